"""Checks that a scope's recovery points are what was written.

What belongs here: checking, part by part and point by point. What does not: mending; a damaged store is only reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import duckdb
import pyarrow as pa

from entra_pipeline.errors import IntegrityError, NotInStore, StoreError
from entra_pipeline.store.backends.duckdb_errors import storage_error
from entra_pipeline.store.backends.encryption.names import is_by_person, key_name_in
from entra_pipeline.store.backends.encryption.person_keys import FOLDER as PEOPLE
from entra_pipeline.store.backends.signing.envelope import is_record
from entra_pipeline.store.checksums import part_problem
from entra_pipeline.store.erasure.record import FOLDER as ERASURES
from entra_pipeline.store.erasure.record import ErasureRecords
from entra_pipeline.store.manifest import Manifest, Part, TableEntry, sha256
from entra_pipeline.store.parallel import in_parallel
from entra_pipeline.store.points.head import ScopeHead, head_key, holds_key, read_head
from entra_pipeline.store.points.index import IndexFile, chosen_files, read_index, says
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.retention.holds import hold_problems
from entra_pipeline.store.retention.prune_log import ForgottenPoint, PruneRecords
from entra_pipeline.store.state import KEYS, connect, parquet, sealed_keys, state_query
from entra_pipeline.store.tokens import FOLDER as TOKENS
from entra_pipeline.text import pluralize

_OF_SCOPES = ("_staged/", "_jobs/", "_drills/", "_unusual/", "_unreadable/", "_sign_ins/", PEOPLE)
_OF_STORAGES = ("_restore/", "_keys/", "_adopted/", TOKENS)


class VerifyFinding(NamedTuple):
    """What was found of a table of a recovery point, of the point itself, or of another record.

    Attributes:
        point: The recovery point; empty for other records.
        table: The table; empty for the manifest and its place in the chain, and for the prune records. Without a point,
            the key of the record.
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
        What is wrong with the prune records and, when all points are checked, with the days of logs, if anything is;
        where values are encrypted by person, what is wrong with the records of erasures, and whether keys are left of
        persons who were erased;
        where records are signed, what is wrong with the head and the holds of the scope; where they are signed or
        encrypted, and all points are checked, what is wrong with all other records; then for every point a finding for
        its manifest and one per table; several where there are several problems.

    Raises:
        NotInStore: A point that was asked for does not exist.
        StoreError: The storage cannot be read.
    """
    # Before the points are listed: one that is committed meanwhile is not to be missed.
    head, unbelievable = _head(store)
    present = store.points()
    for point in points or ():
        if point not in present:
            store.manifest_bytes(point)
    records = PruneRecords(store.files, store.scope)
    problems = records.problems()
    yield from (VerifyFinding("", "", False, problem) for problem in problems)
    # What a record says that is not whole is no excuse for anything.
    pruned = {} if problems else records.points()
    if points is None:
        yield from _log_problems(store)
        yield from _erasure_problems(store)
    if store.files.signed:
        told = [unbelievable] if unbelievable else []
        if head is not None:
            told = list(_head_problems(store, head, present, pruned, records))
        elif present and not told:
            told = [f"{head_key(store.scope)} is missing: whether the newest points were removed cannot be told"]
        yield from (VerifyFinding("", head_key(store.scope), False, problem) for problem in told)
        yield from (VerifyFinding("", holds_key(store.scope), False, problem) for problem in hold_problems(store))
    if points is None and (store.files.signed or store.files.vault is not None):
        yield from _record_problems(store)
    with connect(store.files) as connection:
        check = _Check(store, present, pruned, connection)
        for point in present if points is None else points:
            yield from check.point(point)


def _head(store: ScopeStore) -> tuple[ScopeHead | None, str]:
    """Returns the head of the scope, and why it cannot be believed."""
    try:
        return (read_head(store.files, store.scope) if store.files.signed else None), ""
    except IntegrityError as error:
        return None, error.message


def _head_problems(
    store: ScopeStore,
    head: ScopeHead,
    present: Sequence[str],
    pruned: Mapping[str, ForgottenPoint],
    records: PruneRecords,
) -> Iterator[str]:
    """Compares what is there with what the head says should be."""
    point = head.recovery_point
    if point in present:
        try:
            if sha256(store.manifest_bytes(point)) != head.sha256:
                yield f"the manifest of {point} is not the one that the head was moved to"
        except IntegrityError:
            # Told of the point itself.
            pass
        if len([one for one in present if one > point]) > 1:
            yield f"the head says that {point} is the newest recovery point, and there are newer ones: it was put back"
    elif point and (point not in pruned or pruned[point].sha256 != head.sha256):
        yield f"recovery point {point} was the newest, and is gone: no prune record tells of it"
    for one in head.lost:
        yield (
            f"recovery point {one} was the newest once, and was gone when the next was taken"
            if one
            else "the head was gone, or not signed, when a recovery point was taken: older ones may be missing"
        )
    try:
        if head.pruned and records.digest(head.pruned) != head.pruned_sha256:
            yield f"prune record {head.pruned} is missing, or is not the one that was written"
    except IntegrityError:
        # Told of the prune records.
        pass


def _log_problems(store: ScopeStore) -> Iterator[VerifyFinding]:
    """Checks the days of logs: their manifests, and the bytes of their files."""
    for log, day in store.logs.all_days():
        try:
            problems = store.logs.problems(store.logs.day(log, day))
        except NotInStore:
            # Retention took it meanwhile.
            continue
        except IntegrityError as error:
            problems = [error.message]
        key = store.logs.manifest_key(log, day)
        yield from (VerifyFinding("", key, False, problem) for problem in problems)


def _erasure_problems(store: ScopeStore) -> Iterator[VerifyFinding]:
    """Checks the row of erasures, and looks for keys of persons who were erased; without a key nothing can be told."""
    if store.files.vault is None:
        return
    records = ErasureRecords(store.files, store.scope)
    yield from (VerifyFinding("", f"{ERASURES}{store.scope}/", False, problem) for problem in records.problems())
    keys = store.files.vault.people.of(store.scope)
    keys.reload()
    if keys.left:
        problem = f"has {pluralize(keys.left, 'key')} of persons who were erased: entra-pipeline erase removes them"
        yield VerifyFinding("", f"{PEOPLE}{store.scope}/", False, problem)


def _record_problems(store: ScopeStore) -> Iterator[VerifyFinding]:
    """Reads the other records, those that belong to no scope among them: verifies signatures, and decrypts."""
    # Where there is a key, the row of erasures has been checked already.
    erasures = () if store.files.vault is not None else (ERASURES,)
    folders = [*(f"{folder}{store.scope}/" for folder in (*_OF_SCOPES, *erasures)), *_OF_STORAGES]
    keys = [file.key for folder in folders for file in store.files.list(folder) if is_record(file.key)]

    def problem(key: str) -> str:
        try:
            store.files.read(key)
        except NotInStore:
            # Replaced or removed meanwhile.
            return ""
        except IntegrityError as error:
            return error.message
        return ""

    for key, found in zip(keys, in_parallel(problem, keys), strict=True):
        if found:
            yield VerifyFinding("", key, False, found)


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
        # Rows whose values no key opens.
        self._lost: dict[Part, int] = {}

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
        try:
            differs = before and sha256(self._store.manifest_bytes(before)) != digest
        except IntegrityError as error:
            return f"the manifest of its parent cannot be verified: {error.message}"
        if differs:
            return f"the manifest of its parent {before} is not the one that it was made on: its SHA-256 differs"
        return ""

    def _index_problem(self, manifest: Manifest) -> str:
        file = self._indexes.get(manifest.recovery_point)
        if file is None or self._is_closed(file.key):
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
        if any(self._is_closed(part.key) for part in entry.parts):
            return
        try:
            for part in entry.parts:
                yield from self._rows_problems(entry, part)
                yield from self._key_problems(part)
            live = self._live_rows(entry)
        except duckdb.Error as error:
            yield f"its files cannot be read: {failed.message if (failed := storage_error(error)) else error}"
            return
        if live != entry.live:
            yield f"it has {live} live rows instead of {entry.live}"

    def _is_closed(self, key: str) -> bool:
        """Tells whether a file is encrypted, and this machine has no key: its bytes are checked, not its rows."""
        return self._store.files.vault is None and bool(key_name_in(key))

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

    def _key_problems(self, part: Part) -> Iterator[str]:
        """Looks for values of persons that nobody can read, though nobody was erased."""
        vault = self._store.files.vault
        if vault is None or not is_by_person(part.key):
            return
        if part not in self._lost:
            held = sealed_keys(self._connection, self._store.files, part)
            self._lost[part] = sum(number for one, number in held.items() if not vault.people.is_known(one))
        if self._lost[part]:
            yield (
                f"{part.key} has {self._lost[part]} rows with values that no key opens, and that nobody erased: "
                f"files are missing in {PEOPLE}"
            )

    def _live_rows(self, entry: TableEntry) -> int:
        if entry.parts not in self._live:
            (self._live[entry.parts],) = self._numbers(state_query(self._store.files, entry, "count(*)"))
        return self._live[entry.parts]

    def _numbers(self, query: str) -> tuple[int, ...]:
        return tuple(int(number) for number in self._connection.execute(query).fetchall()[0])
