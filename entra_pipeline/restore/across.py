"""Restoring into another tenant: where it is read to, and the plan.

What belongs here: what is needed besides when source and target are two tenants. What does not: domains and what cannot
cross (`crossing`), the plan itself (`plan`). Applying and verifying are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from entra_pipeline.catalogue import EVERYTHING
from entra_pipeline.clock import Clock, system_clock
from entra_pipeline.errors import UsageError
from entra_pipeline.project import Project, Scope
from entra_pipeline.project.suggestions import did_you_mean
from entra_pipeline.restore.comparison import Side
from entra_pipeline.restore.crossing import cross
from entra_pipeline.restore.identity import lineage
from entra_pipeline.restore.model import Options, Plan, Selection
from entra_pipeline.restore.plan import Target, make_plan
from entra_pipeline.restore.selection import choose
from entra_pipeline.store.files import LocalFiles
from entra_pipeline.store.opening import open_store
from entra_pipeline.store.recovery_points import ScopeStore


def scope_of(project: Project, tenant: str, folder: Path, clock: Clock = system_clock) -> tuple[Scope, ScopeStore]:
    """The scope that shows a whole tenant, and its store: one of the project, else one made for the purpose.

    Args:
        project: The configuration.
        tenant: Name of the tenant.
        folder: Where the recovery points of a scope made for the purpose go; the one that undoes the restore is among
            them, so it has to last.
        clock: The one clock.

    Raises:
        UsageError: There is no such tenant.
        ConfigurationError: A secret of the storage cannot be found.
    """
    if tenant not in project.tenants:
        raise UsageError(
            f"there is no tenant {tenant!r}{did_you_mean(tenant, list(project.tenants))}",
            remedy=f"The configuration has {', '.join(sorted(project.tenants))}.",
        )
    for scope in project.scopes.values():
        if scope.tenant == tenant and scope.select is None and set(EVERYTHING) <= set(scope.types()):
            return scope, open_store(project, scope, clock)
    scope = Scope(name=f"restore-{tenant}"[:63], tenant=tenant, storage="local")
    return scope, ScopeStore(LocalFiles(folder), scope.name, clock)


def plan_across(
    job: str,
    created: str,
    point: Side,
    target: Target,
    folder: Path,
    *,
    domains: Mapping[str, str] | None = None,
    selection: Selection | None = None,
    options: Options | None = None,
) -> Plan:
    """What has to be written so that another tenant has what is selected of a recovery point.

    What only the other tenant has is its own: it is neither removed nor listed.

    Args:
        job: Id of the plan.
        created: The time, RFC 3339.
        point: The recovery point.
        target: The other tenant, with a recovery point of all its types.
        folder: For a copy of the recovery point with the other tenant's domains; not needed when the plan is made.
        domains: Domain → domain in the other tenant, where it is not the one that `cross` finds.
        selection: What to restore.
        options: How.

    Raises:
        UsageError: The selection or a domain cannot be understood.
        NotInStore: One of the points lacks the tenant's domains, or has nothing of what is selected.
        StoreError: A file cannot be read.
    """
    crossing = cross(point, target.live, folder, domains)
    chosen = choose(point.store, point.manifest, selection or Selection())
    # The planner itself finds what is chosen in the tenant, and tells how.
    known = {} if chosen.ids is None and not chosen.types else crossing.identity
    known = {old: new for old, new in known.items() if chosen.ids is None or old not in chosen.ids}
    return make_plan(
        job,
        created,
        crossing.point,
        target,
        selection=selection,
        options=options,
        identity={**known, **lineage(point.store, target.live.manifest.tenant_id)},
        barred=crossing.barred,
        domains=crossing.domains,
    )
