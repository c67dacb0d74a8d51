"""A table of the point in the making: its parent's state, its new state, and how changes are written to the store.

One DuckDB connection serves a run. Its work is done in a thread, one piece at a time, while the network goes on.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict, TypeVar

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.dataset as ds

from entra_pipeline.backup.rows.hashes import NOTHING, Digest, compare, concat, digest, is_state, missing_ids
from entra_pipeline.backup.rows.memory import retry_with_more_memory
from entra_pipeline.backup.rows.merge import Counts, ids_table, merge_edges, merge_objects
from entra_pipeline.backup.rows.parquet import write_edges, write_objects
from entra_pipeline.backup.rows.result import ReadResult
from entra_pipeline.backup.rows.segment_writer import SegmentWriter
from entra_pipeline.backup.rows.staging import DELETE, EDGE_ROWS, OBJECT_ROWS, UPSERT, Staged, Staging, read_staged
from entra_pipeline.catalogue import CATALOGUE, RELATIONS, ObjectType
from entra_pipeline.clock import iso
from entra_pipeline.graph import RequestStats
from entra_pipeline.store.manifest import Gap, Manifest, Part, Read, TableEntry
from entra_pipeline.store.recovery_points import ScopeStore, part_number
from entra_pipeline.store.state import KEYS, latest_query, state_query

_T = TypeVar("_T")


def is_objects(table: str) -> bool:
    """Whether a table holds objects; otherwise it holds edges."""
    return table in CATALOGUE


@dataclass
class PointBuilder:
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
        readings: What was read of each table.
    """

    store: ScopeStore
    point: str
    parent: Manifest | None
    connection: duckdb.DuckDBPyConnection
    folder: Path
    full: bool
    max_changes: int
    entries: dict[str, TableEntry] = field(default_factory=dict)
    readings: dict[str, ReadResult] = field(default_factory=dict)
    _remembered: set[str] = field(default_factory=set)
    _prewriter: SegmentWriter | None = None
    _next: dict[str, int] = field(default_factory=dict)
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
        return state_query(self.store.files, entry, _columns(entry.table))

    def sql_news(self, table: str, change: str = UPSERT) -> str:
        """SQL of what this point has written for a table, the last row of each key: who is there now, or no longer is.

        Where it has written the whole table anew, these are all rows, and what the parent had and the table has not.
        What differs from the parent is among them; so a point with few changes never looks at whole tables.
        """
        entry, before = self.entries[table], self.sql_before(table)
        own = [part for part in entry.parts if part.recovery_point == self.point]
        columns, nothing = _columns(table), f"SELECT * FROM ({self.sql(table)}) WHERE false"
        if any(part.role == "base" for part in own):
            gone = f"{before} ANTI JOIN ({self.sql(table)}) USING ({', '.join(KEYS[entry.kind])})" if before else ""
            return self.sql(table) if change == UPSERT else gone or nothing
        if not own:
            return nothing
        latest = latest_query(self.store.files, own, entry.kind)
        return f"SELECT {columns} FROM ({latest}) WHERE _change = '{change}'"

    def sql_told_before(self, table: str) -> str | None:
        """SQL of the parent's edges, those of everybody whom this run was told of at the least."""
        return f"FROM {_memory(table)}" if table in self._remembered else self.sql_before(table)

    def sql_told_now(self, table: str) -> str:
        """SQL of the new state's edges, those of everybody whom this run was told of at the least."""
        if table not in self._remembered:
            return self.sql(table)
        changed = f"{self.sql_news(table)} UNION ALL {self.sql_news(table, DELETE)}"
        return (
            f"SELECT * FROM {_memory(table)} ANTI JOIN ({changed}) USING (source_id, target_id) "
            f"UNION ALL {self.sql_news(table)}"
        )

    def sql_added(self, table: str) -> str:
        """SQL of the objects that the new state has and the parent has not."""
        news, before = self.sql_news(table), self.sql_before(table)
        if table in self._remembered:
            return f"SELECT * FROM ({news}) SEMI JOIN {_memory(table)} USING (id)"
        return f"SELECT * FROM ({news}) ANTI JOIN (SELECT id FROM ({before})) USING (id)" if before else news

    async def query(self, sql: str, **tables: pa.Table | ds.Dataset) -> list[tuple[object, ...]]:
        """Rows of a query, in which each of `tables` can be named."""

        def run() -> list[tuple[object, ...]]:
            for name, table in tables.items():
                self.connection.register(name, table)
            try:
                return self.connection.execute(sql).fetchall()
            finally:
                for name in tables:
                    self.connection.unregister(name)

        return await self._work(lambda: retry_with_more_memory(self.connection, run))

    async def missing_ids(self, ends: str, table: str) -> list[str]:
        """Ids of a query that are not in the new state of a table, sorted."""
        known = self.sql(table)
        return await self._work(
            lambda: retry_with_more_memory(self.connection, lambda: missing_ids(self.connection, ends, known))
        )

    async def _work(self, function: Callable[[], _T]) -> _T:
        async with self._turn:
            working = asyncio.ensure_future(asyncio.to_thread(function))
            try:
                return await asyncio.shield(working)
            except asyncio.CancelledError:
                # The thread cannot be stopped, and nobody may close the connection under it.
                await asyncio.wait([working])
                raise

    def live_before(self, table: str) -> int:
        """Rows of the parent's state."""
        entry = self.before(table)
        return entry.live if entry else 0

    async def owners(self, entry: ObjectType, where: str = "", ids: Sequence[str] | None = None) -> dict[str, str]:
        """Objects of the new state that can own others: their parent's id (empty when they have none) by their own.

        Args:
            entry: Their type.
            where: SQL condition over `raw` that they have to meet.
            ids: Only these.
        """
        condition = where or "true"
        only = "SEMI JOIN wanted USING (id)" if ids is not None else ""
        rows = await self.query(
            f"SELECT id, parent_id FROM ({self.sql(entry.name)}) {only} WHERE {condition} ORDER BY id",
            wanted=ids_table(ids or ()),
        )
        return {str(one): str(parent or "") for one, parent in rows}

    async def told(self, reading: ReadResult) -> tuple[list[str], list[str]]:
        """Ids of the objects that a delta round told, sorted: those that are there, and those that are gone."""
        rows = await self.query(
            "SELECT id, arg_max(change, seq) FROM told GROUP BY id ORDER BY id", told=read_staged(reading.staged)
        )
        there = [str(one) for one, change in rows if change == UPSERT]
        return there, [str(one) for one, change in rows if change == DELETE]

    async def belonging(self, table: str, owners: Sequence[str]) -> list[tuple[object, ...]]:
        """What the parent's state knows of some owners, as staging rows that take it back."""
        before = self.sql_before(table)
        if before is None or not owners:
            return []
        columns, owner = (
            ("id, parent_id, 'delete', NULL", "parent_id")
            if is_objects(table)
            else ("source_id, target_id, target_type, 'delete'", "source_id")
        )
        return await self.query(
            f"SELECT {columns} FROM ({before}) rows SEMI JOIN owners ON rows.{owner} = owners.id",
            owners=ids_table(owners),
        )

    # --- What a read adds --------------------------------------------------------------------------------------------

    def typing(self, table: str) -> Callable[[Path], None]:
        """Takes the segments of the whole of a new base, to be written while the next ones are read."""
        if self._prewriter is None:
            self._prewriter = SegmentWriter(self.folder, self._number, self._store_base)
        return self._prewriter.begin(table)

    def _number(self, table: str) -> int:
        """The next number of a file that this point writes for a table."""
        parts = self.entries[table].parts if table in self.entries else ()
        taken = [part_number(part.key) for part in parts if part.recovery_point == self.point]
        self._next[table] = number = max([self._next.get(table, -1), *taken]) + 1
        return number

    def _store_base(self, table: str, number: int, path: Path, rows: int) -> Part:
        return self.store.write_part(self.point, table, number, path, role="base", rows=rows)

    def close(self) -> None:
        """Ends what goes on beside the run."""
        if self._prewriter is not None:
            self._prewriter.close()

    async def write(self, reading: ReadResult, gone: pa.Table | None = None) -> TableEntry:
        """Writes what a read brought; the new entry of the table.

        Args:
            reading: The read.
            gone: For edges: objects that went since the parent (`gone_table`), so that an edge that went with its end
                is told from one that was removed.
        """
        table = reading.table
        self.readings[table] = reading
        before = self.before(table)
        # A complete delta round replaces what was known; a listing is compared with it, unless a full was asked for.
        anew = reading.complete and (self.full or bool(reading.signature))
        base = anew or before is None or _changes_behind(before) >= self.max_changes
        follows = False
        written = await asyncio.to_thread(self._prewriter.finish, table) if self._prewriter is not None else []
        whole = concat(one.digest for one in written) if written and base else None
        if whole is not None and await asyncio.to_thread(is_state, whole):
            counts = await self._work(lambda: self._compare(whole, table))
            own = tuple(one.part for one in written)
            misfits = _added_up(one.misfits for one in written)
        else:
            follows = base and before is not None and not anew
            # A base that is made of stored files is followed by what made it differ from the parent's state: who asks
            # for the history of one object need not look at whole tables.
            files = [(as_base, self._number(table)) for as_base in ((True, False) if follows else (base,))]

            def store() -> list[tuple[Counts, Part | None, dict[str, int]]]:
                parent = self.sql_before(table)
                done = [
                    self._store(reading.staged, table, parent, reading.complete, as_base, number, gone)
                    for as_base, number in files
                ]
                if not base and (is_objects(table) or not reading.complete):
                    self._remember(table)
                return done

            stored = await self._work(store)
            counts, _, misfits = stored[0]
            own = tuple(part for _, part, _ in stored if part)
        parts = own if base else (*(before.parts if before else ()), *own)
        read: Read
        if base:
            read = "full" if reading.complete else "synthetic full"
        else:
            read = "incremental" if own else "unchanged"
        entry = TableEntry(
            table=table,
            kind="objects" if is_objects(table) else "edges",
            read=read,
            parts=parts,
            live=counts.rows if base else (before.live if before else 0) + counts.added - counts.deleted,
            added=counts.added,
            changed=counts.changed,
            deleted=counts.deleted,
            reported=reading.counted,
            delta_link=reading.delta_link,
            delta_minted=reading.delta_minted,
            signature=reading.signature,
            started=iso(reading.started),
            finished=iso(reading.finished),
            listed=iso(reading.started) if reading.complete else before.listed if before else "",
            owners=reading.owners,
            misfits=misfits,
            gaps=(),
            notes=tuple(reading.notes),
            follows=follows,
            **costs(reading.stats),
        )
        self.entries[table] = entry
        return entry

    def _compare(self, whole: Digest, table: str) -> Counts:
        before = self.sql_before(table)
        if before is None:
            return compare(whole, NOTHING, table)
        return compare(
            whole, retry_with_more_memory(self.connection, lambda: digest(self.connection, before, table)), table
        )

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
        with Staging(path, OBJECT_ROWS if is_objects(table) else EDGE_ROWS) as staging:
            for row in rows:
                staging.append(*row)
        number = self._number(table)

        def store() -> tuple[Counts, Part | None, dict[str, int]]:
            done = self._store(staging.staged, table, self._sql(entry), False, False, number, gone)
            if is_objects(table) and table in self._remembered:
                self.connection.execute(f"INSERT INTO {_memory(table)} {_ADDED}")
            return done

        counts, part, misfits = await self._work(store)
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
            misfits=_added_up([entry.misfits, misfits]),
            notes=(*entry.notes, note) if note else entry.notes,
        )

    def _store(
        self,
        staged: Staged,
        table: str,
        parent: str | None,
        complete: bool,
        base: bool,
        number: int,
        gone: pa.Table | None,
    ) -> tuple[Counts, Part | None, dict[str, int]]:
        path = self.folder / f"{table}.parquet"

        def write() -> tuple[Counts, dict[str, int]]:
            if is_objects(table):
                counts = merge_objects(self.connection, staged, parent, complete=complete, base=base)
                return counts, write_objects(self.connection, "merged", table, path) if counts.rows else {}
            owner, relation = RELATIONS[table]
            told = self.readings.get(owner.name) if relation in owner.delta_relations() else None
            counts = merge_edges(
                self.connection,
                staged,
                parent,
                complete=complete,
                base=base,
                many=relation.many,
                owners=told.staged if told else None,
            )
            if gone is not None:
                self._give_reasons(gone)
            if counts.rows:
                write_edges(self.connection, "(FROM merged ORDER BY source_id, target_id)", table, path)
            return counts, {}

        counts, misfits = retry_with_more_memory(self.connection, write)
        part = None
        if counts.rows:
            part = self.store.write_part(
                self.point, table, number, path, role="base" if base else "changes", rows=counts.rows
            )
        return counts, part, misfits

    def _remember(self, table: str) -> None:
        """Keeps what settling asks of the parent, so that it need not look at whole tables: see `sql_told_before`."""
        rows = _ADDED if is_objects(table) else "FROM before"
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE {_memory(table)} AS {rows}")
        self._remembered.add(table)

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

    def unavailable(self, table: str, stats: RequestStats, now: str, reason: str) -> TableEntry:
        """The entry of a table that Graph does not offer here: what the parent has, and why there is no news."""
        self.entries[table] = carried(self.before(table), table, stats, now, notes=(reason,))
        return self.entries[table]

    def carry(self, table: str, stats: RequestStats, now: str, gap: Gap) -> TableEntry:
        """The entry of a table that could not be read: the parent's rows and delta link, and what is missing."""
        self.entries[table] = carried(self.before(table), table, stats, now, gaps=(gap,))
        return self.entries[table]

    def charge(self, table: str, stats: RequestStats) -> None:
        """Adds what was spent on a table after its read."""
        entry = self.entries[table]
        self.entries[table] = msgspec.structs.replace(
            entry,
            requests=entry.requests + stats.requests,
            items=entry.items + stats.items,
            pages=entry.pages + stats.pages,
            resource_units=entry.resource_units + stats.resource_units,
            retries=entry.retries + stats.retries,
            throttled=entry.throttled + stats.throttled,
            bytes_read=entry.bytes_read + stats.bytes_read,
        )

    def prove(self, table: str, *, compared: int) -> None:
        """Notes how many owners' rows were compared with what Graph shows or counts of them elsewhere."""
        entry = self.entries[table]
        self.entries[table] = msgspec.structs.replace(entry, compared=entry.compared + compared)

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


# After a merge of objects: those that the parent does not have.
_ADDED = "SELECT m.id FROM merged m ANTI JOIN before b USING (id) WHERE m.change = 'upsert'"


def _memory(table: str) -> str:
    """The temporary table with what is kept of the parent: added objects, or edges of those who were told."""
    return f"told_{table}"


def _columns(table: str) -> str:
    if not is_objects(table):
        return "source_id, target_id, target_type"
    owner = "_parent_id" if CATALOGUE[table].parent else "NULL::VARCHAR"
    return f"id, {owner} AS parent_id, _raw AS raw"


def known(manifest: Manifest | None, table: str) -> TableEntry | None:
    """The entry of a table in a manifest, if it has rows to build on."""
    entry = manifest.tables.get(table) if manifest else None
    return entry if entry is not None and entry.read != "never" else None


def _changes_behind(entry: TableEntry) -> int:
    """How many change files later points have laid behind a table's base."""
    first = entry.parts[0].recovery_point if entry.parts else ""
    return sum(part.role == "changes" and part.recovery_point != first for part in entry.parts)


def carried(
    before: TableEntry | None,
    table: str,
    stats: RequestStats,
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
            **costs(stats),
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
        **costs(stats),
    )


class Costs(TypedDict):
    """The fields of an entry that say what its read cost."""

    requests: int
    items: int
    pages: int
    resource_units: int
    retries: int
    throttled: int
    bytes_read: int


def costs(stats: RequestStats) -> Costs:
    """What a ledger says, as fields of an entry."""
    return Costs(
        requests=stats.requests,
        items=stats.items,
        pages=stats.pages,
        resource_units=stats.resource_units,
        retries=stats.retries,
        throttled=stats.throttled,
        bytes_read=stats.bytes_read,
    )


def _added_up(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return dict(total)


def gone_table(dead: Iterable[str], left: Iterable[str] = ()) -> pa.Table:
    """Objects that are no longer stored: columns `id`, `dead`.

    Args:
        dead: Ids of those that are no longer in the tenant; no edge leads to or from them.
        left: Ids of those that the scope no longer chooses; they take the edges that lead from them.
    """
    dead, left = list(dead), list(left)
    flags = [True] * len(dead) + [False] * len(left)
    return pa.table({"id": pa.array([*dead, *left], pa.string()), "dead": pa.array(flags, pa.bool_())})
