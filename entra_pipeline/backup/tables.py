"""A table of the point in the making: its parent's state, its new state, and how changes are written to the store.

One DuckDB connection serves a run. Its work is done in a thread, one piece at a time, while the network goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict, TypeVar

import duckdb
import msgspec
import pyarrow as pa

from entra_pipeline.backup.merge import Counts, merge_edges, merge_objects
from entra_pipeline.backup.parquet import write_edges, write_objects
from entra_pipeline.backup.read import Reading
from entra_pipeline.backup.staging import EDGE_ROWS, OBJECT_ROWS, Staging
from entra_pipeline.catalogue import CATALOGUE, RELATIONS
from entra_pipeline.clock import iso
from entra_pipeline.graph import Ledger
from entra_pipeline.store.manifest import Gap, Manifest, Part, Read, TableEntry
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.state import state_query

_T = TypeVar("_T")


def is_objects(table: str) -> bool:
    """Whether a table holds objects; otherwise it holds edges."""
    return table in CATALOGUE


@dataclass
class Tables:
    """The tables of a recovery point in the making.

    Attributes:
        store: The scope's store.
        point: Key of the recovery point.
        parent: The manifest it builds on.
        connection: DuckDB, prepared to read the store.
        folder: For files on their way to the store.
        full: Every table that is read gets a new base.
        max_changes: Change files a table may have behind its base before a new base is written.
        entries: What is known of each table so far.
    """

    store: ScopeStore
    point: str
    parent: Manifest | None
    connection: duckdb.DuckDBPyConnection
    folder: Path
    full: bool
    max_changes: int
    entries: dict[str, TableEntry] = field(default_factory=dict)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    # --- What stands in the store ------------------------------------------------------------------------------------

    def before(self, table: str) -> TableEntry | None:
        """The parent's entry, if it has rows to build on."""
        return known(self.parent, table)

    def sql_before(self, table: str) -> str | None:
        """SQL of the parent's state; None when there is none."""
        entry = self.before(table)
        return self._sql(entry) if entry else None

    def sql(self, table: str) -> str:
        """SQL of the new state, columns `id, parent_id, raw` or `source_id, target_id, target_type`."""
        return self._sql(self.entries[table])

    def _sql(self, entry: TableEntry) -> str:
        if not is_objects(entry.table):
            return state_query(self.store.files, entry, "source_id, target_id, target_type")
        owner = "_parent_id" if CATALOGUE[entry.table].parent else "NULL::VARCHAR"
        return state_query(self.store.files, entry, f"id, {owner} AS parent_id, _raw AS raw")

    async def query(self, sql: str, **tables: pa.Table) -> list[tuple[object, ...]]:
        """Rows of a query, in which each of `tables` can be named."""

        def run() -> list[tuple[object, ...]]:
            for name, table in tables.items():
                self.connection.register(name, table)
            try:
                return self.connection.execute(sql).fetchall()
            finally:
                for name in tables:
                    self.connection.unregister(name)

        return await self._work(run)

    async def _work(self, function: Callable[[], _T]) -> _T:
        async with self._turn:
            return await asyncio.to_thread(function)

    # --- What a read adds --------------------------------------------------------------------------------------------

    async def write(self, reading: Reading, gone: pa.Table | None = None) -> TableEntry:
        """Writes what a read brought; the new entry of the table.

        Args:
            reading: The read.
            gone: For edges: objects that went since the parent (`gone_table`), so that an edge that went with its end
                is told from one that was removed.
        """
        table = reading.table
        before = self.before(table)
        # A complete delta round replaces what was known; a listing is compared with it, unless a full was asked for.
        base = reading.complete and (self.full or bool(reading.signature))
        base = base or before is None or not 0 < len(before.parts) <= self.max_changes
        counts, part, misfits = await self._work(
            lambda: self._store(reading.staged, table, self.sql_before(table), reading.complete, base, 0, gone)
        )
        parts = (
            (part,) if base and part else (*(before.parts if before and not base else ()), *((part,) if part else ()))
        )
        read: Read
        if base:
            read = "full" if reading.complete else "synthetic full"
        else:
            read = "incremental" if part else "unchanged"
        entry = TableEntry(
            table=table,
            kind="objects" if is_objects(table) else "edges",
            read=read,
            parts=parts,
            live=counts.rows if base else (before.live if before else 0) + counts.added - counts.deleted,
            added=counts.added,
            changed=counts.changed,
            deleted=counts.deleted,
            reported=None,
            delta_link=reading.delta_link,
            delta_minted=reading.delta_minted,
            signature=reading.signature,
            started=iso(reading.started),
            finished=iso(reading.finished),
            misfits=misfits,
            gaps=(),
            notes=tuple(reading.notes),
            **costs(reading.ledger),
        )
        self.entries[table] = entry
        return entry

    async def amend(
        self, table: str, rows: Sequence[tuple[object, ...]], *, note: str = "", gone: pa.Table | None = None
    ) -> None:
        """Adds rows to the new state of a table: corrections found after the read.

        Args:
            table: The table.
            rows: `(id, parent_id, change, raw)` or `(source_id, target_id, target_type, change)`.
            note: What a person should know.
            gone: As for `write`.
        """
        entry = self.entries[table]
        path = self.folder / f"{table}.amend.arrow"
        with Staging(path, OBJECT_ROWS if is_objects(table) else EDGE_ROWS) as staged:
            for row in rows:
                staged.append(*row)
        number = sum(part.recovery_point == self.point for part in entry.parts)
        counts, part, misfits = await self._work(
            lambda: self._store(path, table, self._sql(entry), False, False, number, gone)
        )
        if part is None:
            return
        self.entries[table] = msgspec.structs.replace(
            entry,
            read=entry.read if entry.read != "unchanged" else "incremental",
            parts=(*entry.parts, part),
            live=entry.live + counts.added - counts.deleted,
            added=entry.added + counts.added,
            changed=entry.changed + counts.changed,
            deleted=entry.deleted + counts.deleted,
            misfits={k: entry.misfits.get(k, 0) + misfits.get(k, 0) for k in {**entry.misfits, **misfits}},
            notes=(*entry.notes, note) if note else entry.notes,
        )

    def _store(
        self,
        staged: Path,
        table: str,
        parent: str | None,
        complete: bool,
        base: bool,
        number: int,
        gone: pa.Table | None,
    ) -> tuple[Counts, Part | None, dict[str, int]]:
        path = self.folder / f"{table}.parquet"
        misfits: dict[str, int] = {}
        if is_objects(table):
            counts = merge_objects(self.connection, staged, parent, complete=complete, base=base)
            if counts.rows:
                misfits = write_objects(self.connection, table, path)
        else:
            many = RELATIONS[table][1].many
            counts = merge_edges(self.connection, staged, parent, complete=complete, base=base, many=many)
            if gone is not None:
                self._give_reasons(gone)
            if counts.rows:
                write_edges(self.connection, path)
        part = None
        if counts.rows:
            part = self.store.write_part(
                self.point, table, number, path, role="base" if base else "changes", rows=counts.rows
            )
        return counts, part, misfits

    def _give_reasons(self, gone: pa.Table) -> None:
        self.connection.register("gone", gone)
        self.connection.execute(
            """
            UPDATE merged SET reason = 'target deleted'
            WHERE change = 'delete' AND target_id IN (SELECT id FROM gone WHERE dead);
            UPDATE merged SET reason = 'source deleted' WHERE change = 'delete' AND source_id IN (SELECT id FROM gone);
            """
        )
        self.connection.unregister("gone")

    # --- Tables that were not read -----------------------------------------------------------------------------------

    def carry(self, table: str, ledger: Ledger, now: str, gap: Gap) -> TableEntry:
        """The entry of a table that could not be read: the parent's rows and delta link, and what is missing."""
        self.entries[table] = carried(self.before(table), table, ledger, now, gaps=(gap,))
        return self.entries[table]

    def charge(self, table: str, ledger: Ledger) -> None:
        """Adds what was spent on a table after its read."""
        entry = self.entries[table]
        self.entries[table] = msgspec.structs.replace(
            entry,
            requests=entry.requests + ledger.requests,
            resource_units=entry.resource_units + ledger.resource_units,
            retries=entry.retries + ledger.retries,
            throttled=entry.throttled + ledger.throttled,
            bytes_read=entry.bytes_read + ledger.bytes_read,
        )

    def flag(
        self, table: str, *, gaps: Iterable[Gap] = (), notes: Iterable[str] = (), reported: int | None = None
    ) -> None:
        """Adds what the proof found to an entry."""
        entry = self.entries[table]
        self.entries[table] = msgspec.structs.replace(
            entry,
            gaps=(*entry.gaps, *gaps),
            notes=(*entry.notes, *notes),
            reported=entry.reported if reported is None else reported,
        )


def known(manifest: Manifest | None, table: str) -> TableEntry | None:
    """The entry of a table in a manifest, if it has rows to build on."""
    entry = manifest.tables.get(table) if manifest else None
    return entry if entry is not None and entry.read != "never" else None


def carried(
    before: TableEntry | None,
    table: str,
    ledger: Ledger,
    now: str,
    *,
    gaps: tuple[Gap, ...] = (),
    notes: tuple[str, ...] = (),
) -> TableEntry:
    """The entry of a table that was not read: the parent's rows and delta link, or no rows where it has none."""
    if before is not None:
        return msgspec.structs.replace(
            before,
            read="carried",
            added=0,
            changed=0,
            deleted=0,
            reported=None,
            gaps=gaps,
            notes=notes,
            **costs(ledger),
        )
    return TableEntry(
        table=table,
        kind="objects" if is_objects(table) else "edges",
        read="never",
        parts=(),
        live=0,
        added=0,
        changed=0,
        deleted=0,
        reported=None,
        started=now,
        finished=now,
        misfits={},
        gaps=gaps,
        notes=notes,
        **costs(ledger),
    )


class Costs(TypedDict):
    """The fields of an entry that say what its read cost."""

    requests: int
    resource_units: int
    retries: int
    throttled: int
    bytes_read: int


def costs(ledger: Ledger) -> Costs:
    """What a ledger says, as fields of an entry."""
    return Costs(
        requests=ledger.requests,
        resource_units=ledger.resource_units,
        retries=ledger.retries,
        throttled=ledger.throttled,
        bytes_read=ledger.bytes_read,
    )


def ids_table(ids: Iterable[str]) -> pa.Table:
    """Ids as a table with the one column `id`, to be named in a query."""
    return pa.table({"id": pa.array(list(ids), pa.string())})


def gone_table(dead: Iterable[str], left: Iterable[str] = ()) -> pa.Table:
    """Objects that are no longer stored: columns `id`, `dead`.

    Args:
        dead: Ids of those that are no longer in the tenant; no edge leads to or from them.
        left: Ids of those that the scope no longer chooses; they take the edges that lead from them.
    """
    dead, left = list(dead), list(left)
    flags = [True] * len(dead) + [False] * len(left)
    return pa.table({"id": pa.array([*dead, *left], pa.string()), "dead": pa.array(flags, pa.bool_())})
