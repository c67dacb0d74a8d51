"""Writes small recovery points, as a backup would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from entra_pipeline.clock import iso
from entra_pipeline.store.commit import commit
from entra_pipeline.store.logs import DayOfLog, LogDay, LogStore
from entra_pipeline.store.manifest import Manifest, Part, TableEntry
from entra_pipeline.store.recovery_points import ScopeStore

START = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
TENANT = "11111111-2222-3333-4444-555555555555"
Row = Mapping[str, object]


class Time:
    """A clock that stands still until it is moved."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **duration: float) -> None:
        self.now += timedelta(**duration)


def upsert(identifier: str, name: str, **more: object) -> Row:
    """An object that is there."""
    return {"id": identifier, "displayName": name, "_raw": f'{{"id":"{identifier}"}}', "_change": "upsert", **more}


def gone(identifier: str) -> Row:
    """An object that is no longer there."""
    return {"id": identifier, "_change": "delete"}


def put(
    store: ScopeStore,
    folder: Path,
    point: str,
    rows: Sequence[Row],
    *,
    role: Literal["base", "changes"] = "base",
    table: str = "users",
    number: int = 0,
) -> Part:
    """Stores rows as a part; columns are the members of all rows, and for objects those that every part has."""
    usual = ("id", "displayName", "_raw", "_change") if "id" in rows[0] else ()
    columns = dict.fromkeys([*usual, *(name for row in rows for name in row)])
    path = folder / "part.parquet"
    pq.write_table(pa.table({name: pa.array([row.get(name) for row in rows], pa.string()) for name in columns}), path)
    return store.staging.write_part(point, table, number, path, role=role, rows=len(rows))


def entry(
    parts: Sequence[Part], live: int, *, table: str = "users", kind: Literal["objects", "edges"] = "objects"
) -> TableEntry:
    """An entry of which only the parts and the live rows matter."""
    return TableEntry(
        table=table,
        kind=kind,
        read="full",
        parts=tuple(parts),
        live=live,
        added=0,
        changed=0,
        deleted=0,
        reported=live,
        started=iso(START),
        finished=iso(START),
        requests=1,
        resource_units=1,
        retries=0,
        throttled=0,
        bytes_read=0,
        misfits={},
        gaps=(),
        notes=(),
    )


def manifest(store: ScopeStore, point: str, *entries: TableEntry, parent: str | None = None) -> Manifest:
    """The manifest of a point with these tables, on top of the newest point unless told otherwise."""
    points = store.points()
    return Manifest(
        tool="entra-pipeline test",
        scope=store.scope,
        tenant_id=TENANT,
        recovery_point=point,
        kind="full",
        status="finished",
        started=iso(START),
        finished=iso(START),
        parent=parent if parent is not None else points[-1] if points else "",
        tables={each.table: each for each in entries},
        selection={},
    )


def take(store: ScopeStore, folder: Path, point: str, *names: str) -> Manifest:
    """Takes a full point of users with these names."""
    part = put(store, folder, point, [upsert(str(number), name) for number, name in enumerate(names)])
    return commit(store, manifest(store, point, entry([part], len(names))))


def put_log_day(logs: LogStore, folder: Path, log: str, day: date) -> LogDay:
    """Stores a day of a log that is over; with one entry."""
    path = folder / "entries.parquet"
    pq.write_table(pa.table({"id": [f"{log} {day}"], "_raw": ["{}"]}), path)
    with logs.lock():
        part = logs.write_part(log, day, path, rows=1)
        found = LogDay(
            tool="test",
            scope=logs.scope,
            tenant_id=TENANT,
            log=log,
            day=day.isoformat(),
            rows=1,
            complete=True,
            read_to=iso(DayOfLog(log, day).end),
            parts=(part,),
        )
        return logs.commit(found, [part], closed=True)
