"""Restoring into another tenant: where it is read to, and the plan.

What belongs here: what is needed besides when source and target are two tenants. What does not: domains and what cannot
cross (`tenant_mapping`), the plan itself (`planner`). Applying and verifying are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from entra_pipeline.catalogue import EVERYTHING
from entra_pipeline.errors import UsageError
from entra_pipeline.project import Project, Scope
from entra_pipeline.restore.objects.model import RestoreOptions, RestorePlan, RestoreSelection
from entra_pipeline.restore.objects.selection import choose
from entra_pipeline.restore.plan.diff import Side
from entra_pipeline.restore.plan.planner import LiveTenant, make_plan
from entra_pipeline.restore.plan.tenant_mapping import map_to_tenant
from entra_pipeline.restore.records.id_map import lineage
from entra_pipeline.text import did_you_mean


def scope_of(project: Project, source: Scope, tenant: str, name: str = "") -> Scope:
    """Finds the scope whose recovery points show the tenant that is written to.

    That is the source itself for its own tenant; else a scope of the project that protects the other tenant as a whole;
    else one made for the purpose, in the storage of the source: the recovery point that undoes the restore is among
    its own, and has to last.

    Args:
        project: The configuration.
        source: The scope whose recovery point is restored.
        tenant: Name of the tenant that is written to.
        name: The scope that a plan was made with (`RestorePlan.live_scope`); empty to find one.

    Raises:
        UsageError: There is no such tenant, or the scope is another tenant's by now.
    """
    if tenant not in project.tenants:
        raise UsageError(
            f"there is no tenant {tenant!r} in {project.file}{did_you_mean(tenant, list(project.tenants))}",
            remedy=f"Name another one, or add it as [tenants.{tenant}].",
        )
    if tenant == source.tenant and name in {"", source.name}:
        return source
    for scope in project.scopes.values():
        whole = scope.select is None and set(EVERYTHING) <= set(scope.types())
        if scope.tenant == tenant and (scope.name == name or (whole and not name)):
            return scope
    name = name or f"restore-{tenant}"[:63]
    if name in project.scopes:
        raise UsageError(
            f"the scope {name!r} covers tenant {project.scopes[name].tenant!r}, or a part of {tenant!r}",
            remedy=f"Make a scope that protects all of tenant {tenant!r}, or give this one another name.",
        )
    return Scope(name=name, tenant=tenant, storage=source.storage)


def plan_across(
    job: str,
    created: str,
    point: Side,
    target: LiveTenant,
    folder: Path,
    *,
    domains: Mapping[str, str] | None = None,
    selection: RestoreSelection | None = None,
    options: RestoreOptions | None = None,
) -> RestorePlan:
    """Makes the plan that writes the selected part of a recovery point to another tenant.

    What only the other tenant has is its own: it is neither removed nor listed.

    Args:
        job: Id of the plan.
        created: The time, RFC 3339.
        point: The recovery point.
        target: The other tenant, with a recovery point of all its types.
        folder: For a copy of the recovery point with the other tenant's domains; not needed when the plan is made.
        domains: Domain → domain in the other tenant, where it is not the one that `map_to_tenant` finds.
        selection: What to restore.
        options: How.

    Raises:
        UsageError: The selection or a domain cannot be understood.
        NotInStore: One of the points lacks the tenant's domains, or has nothing of what is selected.
        StoreError: A file cannot be read.
    """
    by_name = options is not None and options.taken == "match"
    crossing = map_to_tenant(point, target.live, folder, domains, by_name=by_name)
    chosen = choose(point.store, point.manifest, selection or RestoreSelection())
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
        unsupported=crossing.unsupported,
        domains=crossing.domains,
    )
