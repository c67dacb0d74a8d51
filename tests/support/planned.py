"""A tenant that has lost a user since its recovery point, and the plan that brings the user back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from entra_pipeline.backup.run import backup
from entra_pipeline.graph.factory import open_graph
from entra_pipeline.project import Project, load_project
from entra_pipeline.project.stores import open_store
from entra_pipeline.restore.objects.model import RestorePlan
from entra_pipeline.restore.plan.service import PlannedTenant, plan_restore
from entra_pipeline.simulator import Simulator
from entra_pipeline.store.recovery_points import ScopeStore

SCOPE = "contoso"
_PROJECT = """\
{tenant}
[storage.disk]
kind = "local"
path = "backup"

[scopes.contoso]
tenant = "simulated"
storage = "disk"
protect = {protect}
{more}
"""


class PlannedRestore(NamedTuple):
    """A plan that is not applied yet, in a project of its own."""

    project: Project
    store: ScopeStore
    plan: RestorePlan


def small_project(folder: Path, simulator: Simulator, *types: str, more: str = "") -> Project:
    """A project whose one scope, on a local folder, protects some types.

    Args:
        folder: Where the configuration is written.
        simulator: The tenant.
        types: The types; users and groups when none is given.
        more: Further settings of the scope, as TOML.
    """
    file = folder / "dagster_project.toml"
    protect = msgspec.json.encode(types or ("users", "groups")).decode()
    file.write_text(_PROJECT.format(tenant=simulator.tenant_table(), protect=protect, more=more))
    return load_project(file)


@contextmanager
def planned_restore(folder: Path, *types: str, more: str = "") -> Iterator[PlannedRestore]:
    """Serves a tenant that has lost a user, with a plan to bring the user back; arguments as for `small_project`."""
    with Simulator(users=8, groups=2, seed=5) as simulator:
        project = small_project(folder, simulator, *types, more=more)
        scope, store = project.scope(SCOPE), open_store(project, SCOPE)

        async def make() -> RestorePlan:
            async with open_graph(project.tenants[scope.tenant]) as graph:
                point = await backup(scope, store, graph)
                user = next(one for one in simulator.control.dump("users") if not one.get("onPremisesSyncEnabled"))
                simulator.control.delete(f"users/{user['id']}")
                tenant = PlannedTenant(scope=scope, store=store, reading=graph)
                return await plan_restore(store, point, tenant, trigger="a test")

        plan = asyncio.run(make())
        assert plan.steps
        yield PlannedRestore(project, store, plan)
