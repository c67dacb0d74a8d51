"""How all scopes stand at once, what needs attention first: for the command, the console and Dagster.

What belongs here: the order, and what is said of each scope. What does not: how one stands (`health`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from entra_pipeline.clock import iso
from entra_pipeline.errors import EntraPipelineError
from entra_pipeline.project import Project, Scope
from entra_pipeline.project.stores import open_stores
from entra_pipeline.reports.health import FRESH, LATE, MISSING, NEVER, NO_GOOD, UNSCHEDULED, ScopeHealth, health
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.parallel import in_parallel
from entra_pipeline.store.recovery_points import ScopeStore

UNREADABLE, MISCONFIGURED = "storage unreadable", "configuration wrong"
STATES = (MISCONFIGURED, UNREADABLE, NO_GOOD, MISSING, NEVER, LATE, UNSCHEDULED, FRESH)
"""How a scope may stand, what needs attention most first."""
GOOD = frozenset({FRESH, UNSCHEDULED})
"""The states in which nothing needs attention."""


@dataclass(frozen=True, slots=True)
class FleetScope:
    """How one of many scopes stands.

    Attributes:
        scope: Its name; of a file that cannot be used and names none, the name of the file.
        tenant: Name of its tenant; empty where the configuration does not say.
        state: One of `STATES`.
        points: How many recovery points it has.
        last: Key of the newest one; empty when there is none.
        status: Of the newest one.
        last_good: Key of the newest one that is finished without exception.
        age_seconds: How old that is; None when there is none.
        schedule: Its cron expression; empty when it has none.
        next: When that is due next, RFC 3339; empty when never.
        problem: What is wrong with its configuration or its storage; empty when nothing is.
        remedy: What to do about it.
    """

    scope: str
    tenant: str
    state: str
    points: int = 0
    last: str = ""
    status: str = ""
    last_good: str = ""
    age_seconds: int | None = None
    schedule: str = ""
    next: str = ""
    problem: str = ""
    remedy: str = ""

    @property
    def good(self) -> bool:
        """Whether nothing needs attention."""
        return self.state in GOOD


def fleet_status(
    project: Project,
    scopes: Mapping[str, Scope],
    now: datetime,
    read: Callable[[ScopeStore, str], Manifest] | None = None,
) -> list[FleetScope]:
    """Looks how scopes stand, many at a time; what needs attention most is first.

    A scope whose storage cannot be read, or whose file of `scopes.d` cannot be used, says so, and stops no other.

    Args:
        project: The project.
        scopes: Those of its scopes that are looked at, by name.
        now: The present moment.
        read: What gives the manifest of a point, where somebody keeps them; the store when None.
    """
    broken = [
        FleetScope(name, "", MISCONFIGURED, problem=problem.error.message, remedy=problem.error.remedy)
        for problem in project.problems
        for name in problem.scopes
    ]

    def look(opened: tuple[str, ScopeStore | EntraPipelineError]) -> FleetScope:
        name, store = opened
        scope = scopes[name]
        try:
            if isinstance(store, EntraPipelineError):
                raise store
            own = store
            found = health(scope, own, now, (lambda point: read(own, point)) if read else None)
        except EntraPipelineError as error:
            return FleetScope(
                name,
                scope.tenant,
                UNREADABLE,
                schedule=scope.schedule or "",
                problem=error.message,
                remedy=error.remedy,
            )
        return _standing(scope, found)

    return in_order([*broken, *in_parallel(look, open_stores(project, scopes))])


def in_order(found: list[FleetScope]) -> list[FleetScope]:
    """Sorts scopes: what needs attention most first; of the same state, the oldest last good point."""
    rank = {state: number for number, state in enumerate(STATES)}
    return sorted(found, key=lambda one: (rank[one.state], one.last_good or "~", one.scope))


def _standing(scope: Scope, found: ScopeHealth) -> FleetScope:
    return FleetScope(
        scope.name,
        scope.tenant,
        found.freshness,
        points=found.points,
        last=found.latest.recovery_point if found.latest else "",
        status=found.latest.status if found.latest else "",
        last_good=found.good,
        age_seconds=int(found.age.total_seconds()) if found.age is not None else None,
        schedule=scope.schedule or "",
        next=iso(found.due) if found.due else "",
    )
