"""Plans written by hand, applied over real HTTP to a simulated tenant, and held against what the tenant truly is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from entra_pipeline.graph import Graph
from entra_pipeline.graph.factory import open_graph
from entra_pipeline.restore.execute.apply import RestoreTarget, apply
from entra_pipeline.restore.objects.model import RestoreOptions, RestorePlan, RestoreSelection, RestoreStep
from entra_pipeline.restore.records.journal import Journal
from entra_pipeline.restore.records.passwords import Passwords, key_of
from entra_pipeline.restore.records.report import RestoreReport
from entra_pipeline.store.manifest import Manifest
from tests.support.protected import Protected, protect, starting


class Damaged(Protected):
    """A tenant with a recovery point, to be damaged and mended."""

    point: Manifest

    def plan(self, *steps: RestoreStep, job: str = "job", stages: tuple[str, ...] = (), **options: Any) -> RestorePlan:
        """A plan of steps, which get their numbers here."""
        numbered = tuple(msgspec.structs.replace(step, number=n) for n, step in enumerate(steps, 1))
        return RestorePlan(
            id=job,
            scope="contoso",
            point=self.point.recovery_point,
            tenant="simulated",
            tenant_id=self.simulator.tenant_id,
            live_point=self.point.recovery_point,
            created="2026-11-23T05:00:00Z",
            selection=RestoreSelection(),
            options=RestoreOptions(**options),
            stages=stages or tuple(dict.fromkeys(step.stage for step in steps)),
            steps=numbered,
            refusals=(),
            identity={},
            requests=len(steps),
            seconds=1.0,
        )

    def apply(self, plan: RestorePlan, **options: Any) -> RestoreReport:
        """Carries a plan out."""

        async def run() -> RestoreReport:
            tenant = self.project.tenants["simulated"]
            async with Graph(tenant) as reading, open_graph(tenant, writing=True) as writing:
                target = RestoreTarget(scope=self.scope, store=self.store, reading=reading, writing=writing)
                passwords = Passwords(self.store.files, plan, lambda: key_of(tenant))
                report = await apply(
                    plan,
                    store=self.store,
                    target=target,
                    passwords=passwords,
                    clock=self.clock,
                    **{"patience": 2.0, **options},
                )
                passwords.hand_over(Journal(self.store.files, plan.id).made, self.passwords)
                return report

        return asyncio.run(run())

    def restore(self, *steps: RestoreStep, **options: Any) -> RestoreReport:
        """Carries out a plan of steps, all of which have to succeed."""
        report = self.apply(self.plan(*steps, **options))
        assert bad(report) == []
        assert report.status == "finished"
        return report

    @property
    def passwords(self) -> Path:
        return self._folder / "passwords.csv"

    def first(self, path: str, **wanted: Any) -> dict[str, Any]:
        """The first object of a set with these properties."""
        return next(one for one in self.control.dump(path) if all(one.get(n) == v for n, v in wanted.items()))

    def writes(self) -> list[tuple[str, str, int]]:
        """Writes that the tenant got since the ledger was reset: method, path and status."""
        entries = self.control.ledger(entries=True)["entries"]
        asking = ("getAvailableExtensionProperties", "getByIds")
        return [
            (e["method"], e["path"], e["status"])
            for e in entries
            if e["method"] != "GET" and not e["path"].endswith(asking)
        ]


def step(action: Any, table: str, identifier: str, *, stage: str = "", **values: Any) -> RestoreStep:
    """A step; a plan numbers it."""
    values.setdefault("live_id", "" if action == "create" else identifier)
    return RestoreStep(number=0, stage=stage or table, action=action, table=table, id=identifier, **values)


def links(action: Any, table: str, owner: str, *targets: str, kind: str = "user", **values: Any) -> RestoreStep:
    """A step that adds or removes links."""
    kinds = (kind,) * len(targets)
    return step(action, table, owner, targets=targets, target_types=kinds, **values)


def bad(report: RestoreReport) -> list[tuple[str, str, str]]:
    """The outcomes that are not as they should be."""
    return [(one.table, one.result, one.reason) for one in report.outcomes if one.result != "restored"]


@pytest.fixture
def damaged(tmp_path: Path) -> Iterator[Callable[..., Damaged]]:
    """Starts a tenant and takes a recovery point: `damaged("users", "groups", users=…)`."""
    with starting(tmp_path, Damaged) as start:

        def begin(*types: str, users: int = 30, **options: Any) -> Damaged:
            site = start(protect(*types), users=users, **options)
            site.point = site.backup()
            return site

        yield begin
