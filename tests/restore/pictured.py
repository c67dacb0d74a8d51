"""A simulated tenant whose recovery points are pictures of what it truly is, so that a restore of it takes a moment.

What belongs here: the shortcut. What does not: damage and expectations (`test_preconditions`). Nothing but reading is
cut short: plans are made, and their writes sent over HTTP, as ever.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from entra_pipeline.catalogue import CATALOGUE, RELATIONS
from entra_pipeline.demo import look
from entra_pipeline.graph import Graph
from entra_pipeline.graph.factory import open_graph, open_user_graph
from entra_pipeline.graph.users import SignInPrompt
from entra_pipeline.restore.execute import apply, reinstated
from entra_pipeline.restore.objects.model import RestoreOptions, RestorePlan, RestoreSelection
from entra_pipeline.restore.objects.selection import with_bins
from entra_pipeline.restore.plan.diff import Side
from entra_pipeline.restore.plan.planner import LiveTenant, make_plan
from entra_pipeline.restore.plan.protected_actions import read_protected_actions
from entra_pipeline.restore.plan.rules.extensions import taken_extensions
from entra_pipeline.restore.records.id_map import lineage
from entra_pipeline.restore.records.passwords import Passwords, key_of
from entra_pipeline.restore.records.report import RestoreReport
from entra_pipeline.simulator import Simulator
from entra_pipeline.store.manifest import Manifest
from tests.restore.points import Picture, Points
from tests.support.protected import Protected, protect

# Of parts, the property that names their owner.
_OWNERS = {
    "app_role_assignments": "resourceId",
    "group_role_management_policy_assignments": "scopeId",
    "privileged_access_group_eligibility_schedules": "groupId",
}


class Pictured(Protected):
    """A tenant of which recovery points are taken by looking.

    Args:
        simulator: The tenant.
        folder: Where the store is.
        types: What the scope protects.
    """

    def __init__(self, simulator: Simulator, folder: Path, *types: str) -> None:
        simulator.start()
        super().__init__(simulator, folder, protect(*types))
        self._types = with_bins(self.scope).types()
        relations = [name for name, (owner, rule) in RELATIONS.items() if owner.name in types and not rule.permission]
        self._points = Points(folder, *self._types, *relations, tenant_id=simulator.tenant_id)
        self.store = self._points.store
        self._runner, self._open = asyncio.Runner(), AsyncExitStack()
        self._reading, self._writing = self._runner.run(self._opened())

    def look(self) -> Picture:
        """The tenant as it is."""
        seen = look(self.control, self._types)
        objects: dict[str, dict[str, Any]] = {}
        for table, bodies in seen.objects.items():
            entry = CATALOGUE[table]
            parents = self._parents(table, bodies) if entry.parent else {}
            objects[table] = {
                id_: {**body, "_parent": parents[id_]} if entry.parent else body for id_, body in bodies.items()
            }
        links = {
            relation: {(source, target): kind for source, target, kind in pairs}
            for relation, pairs in seen.links.items()
        }
        return Picture(objects, links)

    def _parents(self, table: str, bodies: dict[str, dict[str, Any]]) -> dict[str, str]:
        """Owners of the objects of a child type."""
        if table in _OWNERS:
            return {id_: body[_OWNERS[table]] for id_, body in bodies.items()}
        parent = CATALOGUE[table].parent
        assert parent is not None
        path = CATALOGUE[parent.type].path
        return {target: source for source, target, _ in self.control.edges(path, parent.segment)}

    def backup(self, **options: Any) -> Manifest:
        return self._points.take(self.look()).manifest

    def close(self) -> None:
        """Ends the tenant."""
        self._runner.run(self._open.aclose())
        self._runner.close()
        self.simulator.stop()

    def plan(self, point: Manifest, job: str, *, types: tuple[str, ...] = (), **options: Any) -> RestorePlan:
        """What brings the tenant back to the point, or objects of some types."""
        extensions = self._runner.run(taken_extensions(self._reading))
        return make_plan(
            job,
            "2026-11-24T00:00:00Z",
            Side(self.store, point),
            LiveTenant(Side(self.store, self.backup()), "simulated", extensions=extensions, protected=self.protected()),
            selection=RestoreSelection(types=types),
            options=RestoreOptions(**options),
            identity=lineage(self.store, point.tenant_id),
        )

    def protected(self) -> dict[str, str]:
        """The protected actions of the tenant, as a plan sees them."""
        return self._runner.run(read_protected_actions(self._reading, self._types))

    def apply(self, plan: RestorePlan, prompt: SignInPrompt | None = None) -> RestoreReport:
        """Carries a plan out; a person signs in where there is a prompt."""
        return self._runner.run(self._applied(plan, prompt))

    async def _applied(self, plan: RestorePlan, prompt: SignInPrompt | None) -> RestoreReport:
        passwords = Passwords(self.store.files, plan, lambda: key_of(self._reading.tenant))
        async with AsyncExitStack() as stack:
            patched = stack.enter_context(pytest.MonkeyPatch.context())
            patched.setattr(apply, "backup", self._taken)
            patched.setattr(reinstated, "backup", self._taken)
            tenant = self.project.tenants["simulated"]
            person = await stack.enter_async_context(open_user_graph(tenant, prompt)) if prompt else None
            target = apply.RestoreTarget(
                scope=self.scope, store=self.store, reading=self._reading, writing=self._writing, person=person
            )
            return await apply.apply(plan, store=self.store, target=target, passwords=passwords, patience=3.0)

    async def _taken(self, *args: Any, **options: Any) -> Manifest:
        return await asyncio.to_thread(self.backup)

    async def _opened(self) -> tuple[Graph, Graph]:
        tenant = self.project.tenants["simulated"]
        reading = await self._open.enter_async_context(Graph(tenant))
        return reading, await self._open.enter_async_context(open_graph(tenant, writing=True))
