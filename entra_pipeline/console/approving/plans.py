"""Plans that wait for a second administrator, who has to learn of them.

What belongs here: which plans wait. What does not: who may approve, and what an approval is
(`restore.records.approval`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from entra_pipeline.console.app_state import AppState
from entra_pipeline.console.dagster.client import Run
from entra_pipeline.errors import EntraPipelineError
from entra_pipeline.project import Project
from entra_pipeline.restore.records.approval import approval_scopes, approved_by, made_by
from entra_pipeline.restore.records.journal import has_begun
from entra_pipeline.restore.records.plans import read_plan
from entra_pipeline.store.parallel import in_parallel

DAYS = 7
"""For so many days a plan that waits is told of: by then the tenant is another one."""


@dataclass(frozen=True, slots=True)
class PendingApproval:
    """A plan that waits for approval.

    Attributes:
        scope: The scope of its recovery point.
        plan: Its id.
        by: Who made it; empty when that is not known.
        moment: When, RFC 3339; empty when that is not known.
    """

    scope: str
    plan: str
    by: str
    moment: str


def waiting(state: AppState, visible: Project, restores: Callable[[], Sequence[Run]]) -> list[PendingApproval]:
    """The plans of restores that wait for approval, as long as it is news, the newest first.

    Args:
        state: The console.
        visible: What the one who looks may see of the configuration.
        restores: Finds runs of restores; not called where no scope asks for approval.
    """
    project = state.project()
    if not any(scope.approval for scope in project.scopes.values()):
        return []
    since = (state.clock() - timedelta(days=DAYS)).timestamp()
    made = {
        run.tags["entra/plan"]: run.scope
        for run in restores()
        if run.tags.get("entra/plan") and run.scope in visible.scopes and not run.under_way and run.created >= since
    }

    def look(item: tuple[str, str]) -> PendingApproval | None:
        identifier, scope = item
        try:
            store = state.store(scope)
            plan = read_plan(store, identifier)
            if not plan.steps or not approval_scopes(project, plan) or approved_by(store, plan):
                return None
            if has_begun(store.files, plan.id):
                return None
            signed = made_by(store, plan)
        except EntraPipelineError:
            # Its own page says what is wrong with it.
            return None
        return PendingApproval(scope, plan.id, signed.by if signed else "", signed.moment if signed else "")

    return [one for one in in_parallel(look, list(made.items())) if one]
