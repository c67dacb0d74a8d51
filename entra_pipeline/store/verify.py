"""Checks that a scope's recovery points are what was written.

What belongs here: checking, part by part and point by point. What does not: mending; a damaged store is only reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import duckdb
import pyarrow as pa

from entra_pipeline.errors import IntegrityError, NotInStore, StoreError
from entra_pipeline.store.backends.duckdb_filesystem import storage_error
from entra_pipeline.store.checksums import part_problem
from entra_pipeline.store.manifest import Manifest, Part, TableEntry, sha256
from entra_pipeline.store.parallel import in_parallel
from entra_pipeline.store.points.index import IndexFile, chosen_files, read_index, says
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.retention.prune_log import ForgottenPoint, PruneRecords
from entra_pipeline.store.state import KEYS, connect, parquet, state_query


class VerifyFinding(NamedTuple):
    """What was found of a table of a recovery point, of the point itself, or of the prune records.

    Attributes:
        point: The recovery point; empty for the prune records.
        table: The table; empty for the manifest and its place in the chain.
        ok: Whether all is well.
        problem: What is not; empty when all is well.
    """

    point: str
    table: str
    ok: bool
    problem: str


def verify(store: ScopeStore, points: Sequence[str] | None = None) -> Iterator[VerifyFinding]:
    """Checks recovery points: seals and chain of the manifests, bytes and rows of every part, live rows of every table.

    The chain may lead over points that retention has taken, as long as a prune record tells of them. A part or a state
    that several points share is read once.

    Args:
        store: The scope's store.
        points: The points to check; all when None.

    Yields:
        What is wrong with the prune records, if anything is; then for every point a finding for its manifest and one
        per table; several where there are several problems.

    Raises:
        NotInStore: A point that was asked for does not exist.
        StoreError: The storage cannot be read.
    """
    present = store.points()
    for point in points or ():
        if point not in present:
            store.manifest_bytes(point)
    records = PruneRecords(store.files, store.scope)
    problems = records.problems()
    yield from (VerifyFinding("", "", False, problem) for problem in problems)
    # What a record says that is not whole is no excuse for anything.
    pruned = {} if problems else records.points()
    with connect(store.files) as connection:
        check = _Check(store, present, pruned, connection)
        for point in present if points is None else points:
            yield from check.point(point)


class _Check:
    """What is known so far of the parts and states of a scope."""

    def __init__(
        self,
        store: ScopeStore,
        present: list[str],
        pruned: Mapping[str, ForgottenPoint],
        connection: duckdb.DuckDBPyConnection,
    ) -> None:
        self._store = store
        self._present = present
        self._pruned = pruned
        self._connection = connection
        self._indexes = chosen_files(store.indexes(), present)
        # Points that follow each other are mostly in one file.
        self._index: tuple[IndexFile, pa.Table | None] | None = None
        self._parts: dict[Part, str] = {}
        self._rows: dict[Part, tuple[int, ...]] = {}
        self._live: dict[tuple[Part, ...], int] = {}

    def point(self, point: str) -> Iterator[VerifyFinding]:
        try:
            manifest = self._store.manifest(point)
        except IntegrityError as error:
            yield VerifyFinding(point, "", False, error.message)
            return
        problem = self._chain_problem(manifest) or self._index_problem(manifest)
        yield VerifyFinding(point, "", not problem, problem)
        fresh = {part for entry in manifest.tables.values() for part in entry.parts} - self._parts.keys()
        self._parts.update(in_parallel(lambda part: (part, self._bytes_problem(part)), fresh))
        for table, entry in sorted(manifest.tables.items()):
            problems = list(self._table_problems(table, entry))
            yield from (VerifyFinding(point, table, False, problem) for problem in problems)
            if not problems:
                yield VerifyFinding(point, table, True, "")

    def _chain_problem(self, manifest: Manifest) -> str:
        place = self._present.index(manifest.recovery_point)
        before = self._present[place - 1] if place else ""
        parent, digest, child = manifest.parent, manifest.parent_sha256, manifest.recovery_point
        while parent and parent not in self._present:
            gone = self._pruned.get(parent)
            if gone is None:
                whose = (
                    "its parent" if child == manifest.recovery_point else f"the parent of {child}, which was pruned,"
                )
                return f"{whose} {parent} is missing"
            if gone.sha256 != digest or parent >= child:
                return f"the prune record of {parent} is not of the manifest that {child} was made on"
            parent, digest, child = gone.parent, gone.parent_sha256, parent
        if parent != before:
            return f"its parent is {parent or 'none'}, but the point before it is {before}"
        if before and sha256(self._store.manifest_bytes(before)) != digest:
            return f"the manifest of its parent {before} is not the one that it was made on: its SHA-256 differs"
        return ""

    def _index_problem(self, manifest: Manifest) -> str:
        file = self._indexes.get(manifest.recovery_point)
        if file is None:
            return ""
        if self._index is None or self._index[0] != file:
            self._index = file, read_index(self._store.files, file)
        rows = self._index[1]
        try:
            if rows is None:
                problem = "is not what was written"
            elif says(self._store.files, rows, manifest):
                return ""
            else:
                problem = "does not say what its manifest does"
        except StoreError:
            # What is wrong with the files is found where they are checked.
            return ""
        return f"its index {file.key} {problem}: remove it, entra-pipeline sql makes it again"

    def _bytes_problem(self, part: Part) -> str:
        try:
            return part_problem(self._store.files, part)
        except NotInStore:
            return "is not in the store"

    def _table_problems(self, table: str, entry: TableEntry) -> Iterator[str]:
        if entry.table != table:
            yield f"its entry is that of {entry.table}"
        damaged = [f"{part.key} {self._parts[part]}" for part in entry.parts if self._parts[part]]
        yield from damaged
        if damaged:
            return
        try:
            for part in entry.parts:
                yield from self._rows_problems(entry, part)
            live = self._live_rows(entry)
        except duckdb.Error as error:
            yield f"its files cannot be read: {failed.message if (failed := storage_error(error)) else error}"
            return
        if live != entry.live:
            yield f"it has {live} live rows instead of {entry.live}"

    def _rows_problems(self, entry: TableEntry, part: Part) -> Iterator[str]:
        if part not in self._rows:
            key = f"({', '.join(KEYS[entry.kind])})"
            self._rows[part] = self._numbers(
                f"SELECT count(*), count(DISTINCT {key}) FROM {parquet(self._store.files, [part])}"
            )
        rows, keys = self._rows[part]
        if rows != part.rows:
            yield f"{part.key} has {rows} rows instead of {part.rows}"
        if rows != keys:
            yield f"{part.key} has more than one row for {rows - keys} keys"

    def _live_rows(self, entry: TableEntry) -> int:
        if entry.parts not in self._live:
            (self._live[entry.parts],) = self._numbers(state_query(self._store.files, entry, "count(*)"))
        return self._live[entry.parts]

    def _numbers(self, query: str) -> tuple[int, ...]:
        return tuple(int(number) for number in self._connection.execute(query).fetchall()[0])
