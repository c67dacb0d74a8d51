"""Applies a plan in a process of its own, to be killed: `python -m tests.restore.applying PROJECT PLAN`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec

from entra_pipeline.graph import Graph
from entra_pipeline.graph.factory import open_graph
from entra_pipeline.project import load_project
from entra_pipeline.project.stores import open_store
from entra_pipeline.restore.execute.apply import RestoreTarget, apply
from entra_pipeline.restore.objects.model import RestorePlan
from entra_pipeline.restore.records.passwords import Passwords, key_of
from entra_pipeline.restore.records.report import RestoreReport


async def _main(file: Path, plan_file: Path) -> RestoreReport:
    project = load_project(file)
    plan = msgspec.json.decode(plan_file.read_bytes(), type=RestorePlan)
    scope = project.scope(plan.scope)
    store = open_store(project, scope)
    tenant = project.tenants[plan.tenant]
    async with Graph(tenant) as reading, open_graph(tenant, writing=True) as writing:
        target = RestoreTarget(scope=scope, store=store, reading=reading, writing=writing)
        passwords = Passwords(store.files, plan, lambda: key_of(tenant))
        return await apply(plan, store=store, target=target, passwords=passwords, patience=2.0)


if __name__ == "__main__":
    report = asyncio.run(_main(Path(sys.argv[1]), Path(sys.argv[2])))
    sys.exit(0 if report.status == "finished" else 3)
