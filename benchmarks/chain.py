"""The state at a point behind many incrementals against the scan of one full."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.processes import backup
from benchmarks.report import Bound, Section
from benchmarks.tenant import SCOPE, measured
from entra_pipeline.project.stores import open_store
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.state import connect, state_query

_USERS, _GROUPS = 50_000, 5_000
_INCREMENTALS = 30
_ROUNDS = 15
_TABLES = ("users", "group_members")


def measure(folder: Path, scale: float) -> list[Section]:
    """Takes a full, the incrementals and another full, and reads the last two points."""
    users, groups = round(_USERS * scale), round(_GROUPS * scale)
    with measured(folder, users, groups) as tenant:
        tenant.protect(["users", "groups"])
        backup(tenant, full=True)
        changes = 0
        for number in range(_INCREMENTALS):
            changes += tenant.change(0.001, seed=number)
            backup(tenant)
        backup(tenant, full=True)
        store = open_store(tenant.project, SCOPE)
    behind, full = (store.manifest(point) for point in store.points()[-2:])
    rows = [_compare(store, table, behind, full) for table in _TABLES]
    return [
        Section(
            title="A point behind 30 incrementals",
            method=f"{users:,} users and {groups:,} groups; {_INCREMENTALS} incrementals with {changes:,} changes; "
            f"then a full. DuckDB reads every column of every row. Times are medians of {_ROUNDS} alternating reads.",
            columns={"table": "table", "rows": "rows", "behind": "behind 30, s", "full": "one full, s"},
            rows=rows,
            bounds=[
                Bound(f"time to read {r['table']}", float(str(r["behind"])) / float(str(r["full"])), 2) for r in rows
            ],
        )
    ]


def _compare(store: ScopeStore, table: str, behind: Manifest, full: Manifest) -> dict[str, object]:
    with connect(store.files) as connection:

        def read(manifest: Manifest) -> Callable[[], int]:
            query = state_query(store.files, manifest.tables[table])
            return lambda: sum(batch.num_rows for batch in connection.execute(query).fetch_record_batch(50_000))

        times: dict[str, list[float]] = {"behind": [], "full": []}
        rows = read(full)()
        for _ in range(_ROUNDS):
            for name, manifest in (("behind", behind), ("full", full)):
                reading = read(manifest)
                started = time.perf_counter()
                if reading() != rows:
                    raise RuntimeError(f"{table}: the two points do not have the same rows")
                times[name].append(time.perf_counter() - started)
    return {"table": table, "rows": rows, **{name: median(taken) for name, taken in times.items()}}
