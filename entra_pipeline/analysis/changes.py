"""What differs between two recovery points, object by object and link by link.

What belongs here: finding what differs, whatever the size, and what can be compared at all. What does not: when two
values are the same (`equality`).

Files that both points share are not compared, and rows are compared by hash inside DuckDB: only rows whose text differs
are decoded. The points may be of one scope, or of two: another tenant's, in another store.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, Literal, NamedTuple

import duckdb
import msgspec

from entra_pipeline.analysis.equality import Values, differences
from entra_pipeline.analysis.manifest_rows import tables_in_order
from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.clock import parse_iso
from entra_pipeline.errors import NotInStore, StoreError
from entra_pipeline.store.backends.duckdb_errors import storage_error
from entra_pipeline.store.manifest import Manifest, Part, TableEntry, TableKind
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.state import KEYS, connect, parquet, sql_text

_OBJECT = msgspec.json.Decoder(dict[str, Any])

ChangeKind = Literal["added", "removed", "modified", "volatile"]
_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Change:
    """A difference.

    Attributes:
        table: Object type or relation.
        kind: What happened from the first point to the second; `volatile` when only properties differ that Graph
            computes by itself.
        key: `(id,)` of an object, `(source id, target id)` of a link.
        before: The object (or `source_id`, `target_id`, `target_type` of the link) at the first point; None when it was
            not there.
        after: The same at the second point.
        properties: Of a modified object, the properties that differ: before and after.
        volatile: The same of properties that Graph computes.
        parent: Id of the object that owns it, for child types.
    """

    table: str
    kind: ChangeKind
    key: tuple[str, ...]
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    properties: Values = field(default_factory=dict)
    volatile: Values = field(default_factory=dict)
    parent: str = ""


class Row(NamedTuple):
    """A row that is not the same text in two states.

    Attributes:
        key: `(id,)` of an object, `(source id, target id)` of a link.
        before: The object as Graph returned it, or the link's `source_id`, `target_id` and `target_type` as JSON; None
            when it is not there.
        after: The same in the second state.
    """

    key: tuple[str, ...]
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Basis:
    """What a comparison of a table rests on.

    Attributes:
        table: Object type or relation.
        comparable: Whether both points have it. Where one does not, nothing is known of the differences.
        notes: Why not; or how old, or how incomplete, what is compared is.
    """

    table: str
    comparable: bool
    notes: tuple[str, ...] = ()


def bases(before: Manifest, after: Manifest, tables: Collection[str] | None = None) -> dict[str, Basis]:
    """What the comparison of each table rests on, in the catalogue's order.

    Args:
        before: A recovery point.
        after: The other one.
        tables: Only these; when None, all that either point has.
    """
    both = tables_in_order(msgspec.structs.replace(before, tables={**before.tables, **after.tables}))
    missing = [table for table in tables or () if table not in both]
    named = [table for table in [*both, *missing] if tables is None or table in tables]
    return {table: _basis(before, after, table) for table in named}


def changes(
    store_a: ScopeStore,
    manifest_a: Manifest,
    store_b: ScopeStore,
    manifest_b: Manifest,
    tables: Collection[str] | None = None,
    ids: Collection[str] | None = None,
    *,
    connection: duckdb.DuckDBPyConnection | None = None,
) -> Iterator[Change]:
    """The differences between two recovery points, table by table in the catalogue's order, by key.

    Tables that cannot be compared are left out: `bases` names them.

    Args:
        store_a: The store of the first point.
        manifest_a: The first point.
        store_b: The store of the second point, which may be the same.
        manifest_b: The second point.
        tables: Only these object types and relations.
        ids: Only these objects, what belongs to them, and links from and to them.
        connection: Reads both stores (see `reading`); one is made when None.

    Raises:
        StoreError: A file cannot be read.
    """
    with (connection or reading(store_a, store_b)).cursor() as shared:
        for table, basis in bases(manifest_a, manifest_b, tables).items():
            if not basis.comparable:
                continue
            kind = manifest_b.tables[table].kind
            rows = _differing(shared, (store_a, manifest_a), (store_b, manifest_b), table, ids)
            for row, parent in rows:
                before, after = _decoded(row.before), _decoded(row.after)
                if before is None or after is None:
                    what: ChangeKind = "added" if before is None else "removed"
                    yield Change(table, what, row.key, before, after, parent=parent)
                elif kind == "objects":
                    told, computed = differences(table, before, after)
                    if told or computed:
                        what = "modified" if told else "volatile"
                        yield Change(table, what, row.key, before, after, told, computed, parent)


def differing(
    store_a: ScopeStore,
    manifest_a: Manifest,
    store_b: ScopeStore,
    manifest_b: Manifest,
    table: str,
    ids: Collection[str] | None = None,
    *,
    connection: duckdb.DuckDBPyConnection | None = None,
) -> Iterator[Row]:
    """The rows of a table whose text is not the same at two recovery points, in the order of their keys.

    The same object can be written in different ways: `equality.differences` tells what of it differs. A link is its two
    ends, and is only ever there or not.

    Args:
        store_a: The store of the first point.
        manifest_a: The first point.
        store_b: The store of the second point, which may be another tenant's.
        manifest_b: The second point.
        table: Object type or relation.
        ids: Only these objects, what belongs to them, and links from and to them.
        connection: Reads both stores (see `reading`); one is made when None.

    Raises:
        NotInStore: One of the points does not have the table: nobody knows what differs.
        StoreError: A file cannot be read.
    """
    basis = _basis(manifest_a, manifest_b, table)
    if not basis.comparable:
        raise NotInStore(f"{table} cannot be compared: {'; '.join(basis.notes)}", remedy=_UNPROTECTED)
    with (connection or reading(store_a, store_b)).cursor() as own:
        for row, _ in _differing(own, (store_a, manifest_a), (store_b, manifest_b), table, ids):
            yield row


def reading(*stores: ScopeStore) -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory that reads several stores."""
    connection = connect(*(store.files for store in stores))
    connection.execute("SET preserve_insertion_order = false")
    return connection


# --- What can be compared --------------------------------------------------------------------------------------------

_UNPROTECTED = "Add it to the scope's `protect`, and back up again."


def _basis(before: Manifest, after: Manifest, table: str) -> Basis:
    missing: list[str] = []
    notes: list[str] = []
    for manifest in (before, after):
        entry = manifest.tables.get(table)
        if entry is None:
            missing.append(f"{manifest.recovery_point} does not have it: the scope did not protect it")
        elif entry.read == "never":
            reasons = [*(gap.reason for gap in entry.gaps), *entry.notes]
            missing.append(f"never read at {manifest.recovery_point}{': ' if reasons else ''}{'; '.join(reasons)}")
        else:
            notes += _shortcomings(manifest, entry)
    if missing:
        return Basis(table, False, tuple(missing))
    then, now = before.tables[table], after.tables[table]
    if then.read == now.read == "carried" and _carried("", then) == _carried("", now):
        notes = [_carried("both points show it", now)]
    return Basis(table, True, (*notes, *_other_questions(before, after, table)))


def _shortcomings(manifest: Manifest, entry: TableEntry) -> Iterator[str]:
    """In what a table at a recovery point is not the tenant of that moment."""
    point = manifest.recovery_point
    if entry.read == "carried":
        yield _carried(f"{point} shows it", entry)
        return
    for gap in entry.gaps:
        since = f" (shown as of {gap.since})" if gap.since else ""
        yield f"{point} lacks {gap.what}{since}: {gap.reason}"


def _carried(who: str, entry: TableEntry) -> str:
    reasons = "; ".join([*(gap.reason for gap in entry.gaps), *entry.notes])
    return f"{who} as of {parse_iso(entry.finished):%Y-%m-%d %H:%M} UTC{': ' if reasons else ''}{reasons}"


def _other_questions(before: Manifest, after: Manifest, table: str) -> Iterator[str]:
    """Why a difference may be one of what was asked for, not of the tenant."""
    then, now = before.tables[table], after.tables[table]
    if before.tenant_id == after.tenant_id and before.selection != after.selection:
        yield "the selection of users and groups changed: objects selected at one point only differ for that reason"
    elif then.signature and now.signature and then.signature != now.signature:
        yield "the set of properties read has changed: properties read at one point only differ for that reason"


# --- Finding what differs --------------------------------------------------------------------------------------------

_Side = tuple[ScopeStore, Manifest]


def _differing(
    connection: duckdb.DuckDBPyConnection, before: _Side, after: _Side, table: str, ids: Collection[str] | None
) -> Iterator[tuple[Row, str]]:
    """The rows whose text differs, each with the id of its owner."""
    then, now = before[1].tables[table], after[1].tables[table]
    if _contents(then.parts) == _contents(now.parts):
        return
    try:
        states = _states(connection, (before, after), table)
        yield from _compared(connection, states, now.kind, table, ids)
    except duckdb.Error as error:
        named = " and ".join(dict.fromkeys(store.scope for store, _ in (before, after)))
        raise storage_error(error) or StoreError(
            f"{table} of {before[1].recovery_point} and {after[1].recovery_point} cannot be compared: "
            f"{str(error).splitlines()[0]}",
            remedy=f"entra-pipeline verify shows what is damaged or missing; the scope is {named}.",
        ) from None


def _compared(
    connection: duckdb.DuckDBPyConnection, states: list[str], kind: TableKind, table: str, ids: Collection[str] | None
) -> Iterator[tuple[Row, str]]:
    keys = ", ".join(KEYS[kind])
    mine = "true"
    if ids is not None:
        connection.execute("CREATE OR REPLACE TEMP TABLE _ids AS SELECT unnest(?::VARCHAR[]) AS id", [sorted(ids)])
        mine = _among("_ids", kind, table)
    # A link is its two ends; what is known of their types is no difference.
    content = "hash(body)" if kind == "objects" else "1"
    one, other = (f"SELECT {keys}, {content} AS content, {mine} AS mine FROM ({state})" for state in states)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE _differing AS SELECT {keys} FROM ({one}) a FULL JOIN ({other}) b "
        f"USING ({keys}) WHERE a.content IS DISTINCT FROM b.content AND (a.mine OR b.mine)"
    )
    one, other = (f"SELECT * FROM ({state}) SEMI JOIN _differing USING ({keys})" for state in states)
    result = connection.execute(
        f"SELECT {keys}, coalesce(a.parent, b.parent, ''), a.body, b.body "
        f"FROM ({one}) a FULL JOIN ({other}) b USING ({keys}) ORDER BY {keys}"
    )
    while rows := result.fetchmany(_BATCH):
        for *key, parent, was, now in rows:
            yield Row(tuple(key), was, now), parent


def _states(connection: duckdb.DuckDBPyConnection, sides: Sequence[_Side], table: str) -> list[str]:
    """SQL of both states with the columns of the key, `parent` and `body`; only of rows that can differ."""
    entries = [(store, manifest.tables[table]) for store, manifest in sides]
    states = [store.intact_state(entry, _columns(entry)) for store, entry in entries]
    shared = _shared(*(entry.parts for _, entry in entries))
    if not shared:
        return states
    # The same files lie under both: only keys in those laid over them can differ.
    names = KEYS[entries[0][1].kind]
    keys = ", ".join(names)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE _touched ({', '.join(f'{name} VARCHAR' for name in names)})")
    for store, entry in entries:
        if laid := entry.parts[shared:]:
            connection.execute(f"INSERT INTO _touched SELECT {keys} FROM {parquet(store.files, laid)}")
    return [f"SELECT * FROM ({state}) SEMI JOIN _touched USING ({keys})" for state in states]


def _shared(one: Sequence[Part], other: Sequence[Part]) -> int:
    """How many parts two states have in common, when all that follows in both is laid over those; otherwise none."""
    pairs = zip(_contents(one), _contents(other), strict=False)
    number = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return 0 if any(part.role == "base" for part in (*one[number:], *other[number:])) else number


def _contents(parts: Iterable[Part]) -> list[tuple[str, str]]:
    """What makes a state: equal contents are equal states, whoever wrote the files."""
    return [(part.sha256, part.role) for part in parts]


def _columns(entry: TableEntry) -> str:
    if entry.kind == "edges":
        link = "to_json({source_id: source_id, target_id: target_id, target_type: target_type})"
        return f"source_id, target_id, '' AS parent, CAST({link} AS VARCHAR) AS body"
    known = CATALOGUE.get(entry.table)
    owned = known is not None and known.parent is not None
    return f"id, {'_parent_id' if owned else 'NULL::VARCHAR'} AS parent, _raw AS body"


def _among(chosen: str, kind: TableKind, table: str) -> str:
    """SQL that is true of the rows that are, belong to, or lead from or to one of the chosen objects."""
    columns = ["source_id", "target_id"] if kind == "edges" else ["id", "parent"]
    if table in CATALOGUE and (owner := CATALOGUE[table].belongs_to):
        columns.append(f"json_extract_string(body, {sql_text(f'$.{owner}')})")
    return "(" + " OR ".join(f"coalesce({column} IN (FROM {chosen}), false)" for column in columns) + ")"


def _decoded(body: str | None) -> dict[str, Any] | None:
    return _OBJECT.decode(body) if body is not None else None
