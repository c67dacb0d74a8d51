"""Builds a recovery point: merges what reads bring, writes the files of each table, and keeps its entry.

What belongs here: which files a table gets, and what its entry says. What does not: what the tables say together
(`reconcile`), and the manifest (`run`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
import pyarrow as pa

from entra_pipeline.backup.rows.entries import carried, changes_behind, charged, costs, is_objects, total
from entra_pipeline.backup.rows.hashes import NOTHING, Digest, compare, concat, digest, is_state
from entra_pipeline.backup.rows.memory import retry_with_more_memory
from entra_pipeline.backup.rows.merge import Counts, Merged, merge_edges, merge_objects, repeats
from entra_pipeline.backup.rows.parquet import write_edges, write_objects
from entra_pipeline.backup.rows.result import ReadResult
from entra_pipeline.backup.rows.segment_writer import SegmentWriter
from entra_pipeline.backup.rows.staging import EDGE_ROWS, OBJECT_ROWS, Staged, Staging
from entra_pipeline.backup.states import TableStates, kept_in
from entra_pipeline.catalogue import CATALOGUE, RELATIONS
from entra_pipeline.clock import iso
from entra_pipeline.graph import RequestStats
from entra_pipeline.store.backends.encryption.person_keys import ScopeKeys
from entra_pipeline.store.manifest import Gap, Part, ReadMode, TableEntry
from entra_pipeline.store.points.keys import part_number

# What a table that says nothing new comes to; only objects are kept of such a table.
_UNCHANGED = Counts(0, 0, 0, 0)
_NOTHING_KEPT = "SELECT NULL::VARCHAR AS id LIMIT 0"


class _Stored(NamedTuple):
    """What a merge came to: its counts, the file of its rows (None without rows), and values that did not fit."""

    counts: Counts
    part: Part | None
    misfits: dict[str, int]


@dataclass
class PointBuilder:
    """Writes the tables of a recovery point in the making.

    Attributes:
        states: The parent's states and the new ones.
        folder: For files on their way to the store.
        full: Every table that is read gets a new base.
        max_changes: Change files a table may have behind its base before a new base is written.
        keys: Encrypt the values of persons, where the scope has that.
    """

    states: TableStates
    folder: Path
    full: bool
    max_changes: int
    keys: ScopeKeys | None = None
    _segment_writer: SegmentWriter | None = None
    _next: dict[str, int] = field(default_factory=dict)

    @property
    def entries(self) -> dict[str, TableEntry]:
        """The entry of each table so far."""
        return self.states.entries

    # --- What a read adds --------------------------------------------------------------------------------------------

    def typing(self, table: str) -> Callable[[Path], None]:
        """Returns a function that takes the segments of a whole new base and writes each while the next is read."""
        if self._segment_writer is None:
            self._segment_writer = SegmentWriter(
                self.folder, self._number, self._store_base, self.states.store.files.vault, self.keys
            )
        return self._segment_writer.begin(table)

    def _number(self, table: str) -> int:
        """Returns the next number of a file that this point writes for a table."""
        parts = self.entries[table].parts if table in self.entries else ()
        taken = [part_number(part.key) for part in parts if part.recovery_point == self.states.point]
        self._next[table] = number = max([self._next.get(table, -1), *taken]) + 1
        return number

    def _store_base(self, table: str, number: int, path: Path, rows: int) -> Part:
        return self._write_part(table, number, path, "base", rows)

    def _write_part(self, table: str, number: int, path: Path, role: Literal["base", "changes"], rows: int) -> Part:
        by_person = self.keys is not None and is_objects(table) and CATALOGUE[table].personal is not None
        return self.states.store.staging.write_part(
            self.states.point, table, number, path, role=role, rows=rows, by_person=by_person
        )

    def close(self) -> None:
        """Ends the thread that writes segments."""
        if self._segment_writer is not None:
            self._segment_writer.close()

    async def write(self, result: ReadResult, gone: pa.Table | None = None) -> TableEntry:
        """Writes what a read brought and returns the new entry of the table.

        Args:
            result: The read.
            gone: For edges: objects that were deleted since the parent (`gone_table`). An edge that disappears with its
                endpoint gets another reason than one that was removed.
        """
        table = result.table
        self.states.results[table] = result
        before = self.states.before(table)
        # A complete delta round replaces the parent's state. A listing is compared with it, except in a full backup.
        replaces = result.complete and (self.full or bool(result.signature))
        base = replaces or before is None or changes_behind(before) >= self.max_changes
        # A base that is made of stored files is followed by a file of what differs from the parent's state: a reader of
        # one object's history need not scan whole tables.
        follows = False
        written = await asyncio.to_thread(self._segment_writer.finish, table) if self._segment_writer else []
        whole = concat(one.digest for one in written) if written and base else None
        if whole is not None and await asyncio.to_thread(is_state, whole):
            before_sql = self.states.sql_before(table)
            counts = await self.states.runner.run(lambda: self._compare(whole, table, before_sql), before_sql or "")
            own = tuple(one.part for one in written)
            misfits = total(one.misfits for one in written)
        else:
            follows = base and before is not None and not replaces
            stored = await self._store_read(result, [True, False] if follows else [base], gone)
            counts, _, misfits = stored[0]
            own = tuple(one.part for one in stored if one.part)
        self.entries[table] = entry = TableEntry(
            table=table,
            kind="objects" if is_objects(table) else "edges",
            read=_kind_of_read(result, base, bool(own)),
            parts=own if base else (*(before.parts if before else ()), *own),
            live=counts.rows if base else (before.live if before else 0) + counts.added - counts.deleted,
            added=counts.added,
            changed=counts.changed,
            deleted=counts.deleted,
            reported=result.counted,
            delta_link=result.delta_link,
            delta_minted=result.delta_minted,
            signature=result.signature,
            started=iso(result.started),
            finished=iso(result.finished),
            listed=iso(result.started) if result.complete else before.listed if before else "",
            owners=result.owners,
            misfits=misfits,
            gaps=tuple(result.gaps),
            notes=tuple(result.notes),
            follows=follows,
            **costs(result.stats),
        )
        return entry

    async def _store_read(self, result: ReadResult, bases: Sequence[bool], gone: pa.Table | None) -> list[_Stored]:
        """Merges a read with the parent's state and stores it once as each kind of file, base or changes."""
        table = result.table
        numbers = [self._number(table) for _ in bases]
        keeps = not any(bases) and (is_objects(table) or not result.complete)

        def keep(rows: str) -> None:
            """Keeps the part of the parent's state that reconciling needs: see `TableStates.kept`."""
            self.states.runner.connection.execute(f"CREATE OR REPLACE TEMP TABLE {kept_in(table)} AS {rows}")
            self.states.kept.add(table)

        parent = self.states.sql_before(table)

        def store() -> list[_Stored]:
            return [
                self._store(result.staged, table, parent, result.complete, base, number, gone, keep if keeps else None)
                for base, number in zip(bases, numbers, strict=True)
            ]

        return await self.states.runner.run(store, (parent or "") if self._uses_parent(result, bases) else "")

    def _uses_parent(self, result: ReadResult, bases: Sequence[bool]) -> bool:
        """Whether a merge takes rows from the parent's state: a delta round that told of nothing takes none."""
        told = [result, *([owner] if (owner := self._told_with(result.table)) else [])]
        return result.complete or any(bases) or any(one.staged.segments or one.linked for one in told)

    def _told_with(self, table: str) -> ReadResult | None:
        """The read of the objects whose delta tells of a relation's edges."""
        if is_objects(table):
            return None
        owner, relation = RELATIONS[table]
        return self.states.results.get(owner.name) if relation in owner.delta_relations() else None

    def _compare(self, whole: Digest, table: str, before: str | None) -> Counts:
        connection = self.states.runner.connection
        if before is None:
            return compare(whole, NOTHING, table)
        return compare(whole, retry_with_more_memory(connection, lambda: digest(connection, before, table)), table)

    async def amend(
        self, table: str, rows: Sequence[tuple[object, ...]], *, note: str = "", gone: pa.Table | None = None
    ) -> None:
        """Adds rows to the new state of a table: corrections found after the read.

        Args:
            table: The table.
            rows: `(id, parent_id, change, raw)` or `(source_id, target_id, target_type, change)`.
            note: Added to the entry's notes when the rows change anything.
            gone: As for `write`.
        """
        entry = self.entries[table]
        path = self.folder / f"{table}.amend.arrow"
        with Staging(path, OBJECT_ROWS if is_objects(table) else EDGE_ROWS) as staging:
            for row in rows:
                staging.append(*row)
        number = self._number(table)

        def keep(rows: str) -> None:
            self.states.runner.connection.execute(f"INSERT INTO {kept_in(table)} {rows}")

        keeps = is_objects(table) and table in self.states.kept
        state = self.states.sql_of(entry)
        counts, part, misfits = await self.states.runner.run(
            lambda: self._store(staging.staged, table, state, False, False, number, gone, keep if keeps else None),
            state,
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
            misfits=total([entry.misfits, misfits]),
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
        keep: Callable[[str], None] | None,
    ) -> _Stored:
        """Merges staged rows with a state, writes the result to a file and stores it; runs in a thread.

        `keep` is given SQL of the objects that the parent does not have, or of the parent's edges that were compared.
        """
        path = self.folder / f"{table}.parquet"

        def write() -> tuple[Counts, dict[str, int]]:
            misfits: dict[str, int] = {}
            if not base and self._repeats(staged, table, parent, complete=complete):
                if keep is not None:
                    keep(_NOTHING_KEPT)
                return _UNCHANGED, misfits
            with self._merge(staged, table, parent, complete=complete, base=base) as merged:
                if gone is not None and not is_objects(table):
                    _give_reasons(merged, gone)
                if merged.counts.rows and is_objects(table):
                    misfits = write_objects(
                        merged.connection, merged.rows, table, path, self.states.store.files.vault, self.keys
                    )
                elif merged.counts.rows:
                    write_edges(merged.connection, f"(FROM {merged.rows} ORDER BY source_id, target_id)", table, path)
                if keep is not None:
                    keep(merged.sql_added if is_objects(table) else f"FROM {merged.before}")
            return merged.counts, misfits

        counts, misfits = retry_with_more_memory(self.states.runner.connection, write)
        part = None
        if counts.rows:
            part = self._write_part(table, number, path, "base" if base else "changes", counts.rows)
        return _Stored(counts, part, misfits)

    def _repeats(self, staged: Staged, table: str, parent: str | None, *, complete: bool) -> bool:
        if parent is None or self.keys is not None:
            # Where persons have keys, the parent's rows are opened, whatever has changed: a lost key is found at once.
            return False
        connection = self.states.runner.connection
        return repeats(connection, staged, parent, objects=is_objects(table), complete=complete)

    def _merge(self, staged: Staged, table: str, parent: str | None, *, complete: bool, base: bool) -> Merged:
        connection = self.states.runner.connection
        if is_objects(table):
            return merge_objects(connection, staged, parent, complete=complete, base=base)
        reported = self._told_with(table)
        return merge_edges(
            connection,
            staged,
            parent,
            complete=complete,
            base=base,
            many=RELATIONS[table][1].many,
            owners=reported,
        )

    # --- What changes an entry only ----------------------------------------------------------------------------------

    def not_offered(self, table: str, stats: RequestStats, now: str, reason: str) -> TableEntry:
        """Carries a table that Graph does not offer here: the parent's rows, and the reason as a note."""
        self.entries[table] = carried(self.states.before(table), table, stats, now, notes=(reason,))
        return self.entries[table]

    def carry(self, table: str, stats: RequestStats, now: str, gap: Gap) -> TableEntry:
        """Carries a table that could not be read: the parent's rows and delta link, and a gap."""
        self.entries[table] = carried(self.states.before(table), table, stats, now, gaps=(gap,))
        return self.entries[table]

    def charge(self, table: str, stats: RequestStats) -> None:
        """Adds requests that were sent for a table after its read."""
        self.entries[table] = charged(self.entries[table], stats)

    def flag(
        self,
        table: str,
        *,
        gaps: Iterable[Gap] = (),
        notes: Iterable[str] = (),
        reported: int | None = None,
        compared: int = 0,
    ) -> None:
        """Adds what a check found to an entry.

        Args:
            table: The table.
            gaps: What is missing or unproven.
            notes: What a person should know and is not a gap.
            reported: Graph's count of objects, when it was requested again.
            compared: Number of owners whose rows were compared with another view of Graph.
        """
        entry = self.entries[table]
        self.entries[table] = msgspec.structs.replace(
            entry,
            gaps=(*entry.gaps, *gaps),
            notes=(*entry.notes, *notes),
            reported=entry.reported if reported is None else reported,
            compared=entry.compared + compared,
        )


def _kind_of_read(result: ReadResult, base: bool, wrote: bool) -> ReadMode:
    if base:
        return "full" if result.complete else "synthetic full"
    return "incremental" if wrote else "unchanged"


def _give_reasons(merged: Merged, gone: pa.Table) -> None:
    """Gives deleted edges the reason that an endpoint was deleted, where one was."""
    merged.connection.register("gone", gone)
    merged.connection.execute(
        f"""
        UPDATE {merged.rows} SET reason = 'target deleted'
        WHERE change = 'delete' AND target_id IN (SELECT id FROM gone WHERE dead);
        UPDATE {merged.rows} SET reason = 'source deleted'
        WHERE change = 'delete' AND source_id IN (SELECT id FROM gone);
        """
    )
    merged.connection.unregister("gone")


def gone_table(dead: Iterable[str], left: Iterable[str] = ()) -> pa.Table:
    """Returns objects that are no longer stored as a table with the columns `id`, `dead`.

    Args:
        dead: Ids of objects that are no longer in the tenant; no edge leads to or from them.
        left: Ids of objects that the scope no longer selects; the edges that start at them go with them.
    """
    dead, left = list(dead), list(left)
    flags = [True] * len(dead) + [False] * len(left)
    return pa.table({"id": pa.array([*dead, *left], pa.string()), "dead": pa.array(flags, pa.bool_())})
