"""Merges staged rows with the parent's state into the rows to store.

What belongs here: folding repeats and partial objects, dropping replays, comparing complete listings. What does not:
where rows come from (`read`), how they look in Parquet (`parquet`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from types import TracebackType
from typing import Self

import duckdb
import msgspec
import pyarrow as pa

from entra_pipeline.backup.rows.result import ReadResult
from entra_pipeline.backup.rows.staging import DELETE, UPSERT, Staged, read_staged
from entra_pipeline.graph.pages import UNREADABLE, checked
from entra_pipeline.surrogates import hide_text, reveal

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_value = checked(msgspec.json.Decoder().decode)
_FETCH_ROWS = 10_000
_MERGED_OBJECTS = pa.schema(
    [("id", pa.string()), ("parent_id", pa.string()), ("change", pa.string()), ("raw", pa.large_string())]
)


# Of a full join of what was staged, `s`, with the parent's state, `b`: rows that say something else.
_ANOTHER_OBJECT = "s.change = 'delete' OR s.raw IS DISTINCT FROM b.raw"
_ANOTHER_EDGE = (
    "s.source_id IS NULL OR b.source_id IS NULL OR s.change = 'delete' "
    "OR (s.target_type <> '' AND s.target_type <> b.target_type)"
)


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows to store, and what they mean against the parent: objects (or edges) added, changed and deleted."""

    rows: int
    added: int
    changed: int
    deleted: int


@dataclass(frozen=True, slots=True)
class Merged:
    """The result of a merge, in temporary tables of a connection. Use as a context manager, which drops them.

    Attributes:
        connection: Where the tables are.
        counts: What the rows mean against the parent.
        rows: Name of the table of the rows to store: `id, parent_id, change, raw`, or `source_id, target_id,
            target_type, change, reason`.
        before: Name of the table of the parent's rows that were compared.
    """

    connection: duckdb.DuckDBPyConnection
    counts: Counts
    rows: str = "merged"
    before: str = "before"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.connection.execute(f"DROP TABLE {self.rows}; DROP TABLE {self.before}")

    @property
    def sql_added(self) -> str:
        """SQL of the ids of objects that the parent does not have."""
        return f"SELECT m.id FROM {self.rows} m ANTI JOIN {self.before} b USING (id) WHERE m.change = 'upsert'"


def repeats(
    connection: duckdb.DuckDBPyConnection, staged: Staged, parent: str, *, objects: bool, complete: bool
) -> bool:
    """Tells whether a read says what the parent's state says, as far as a single query or none can tell.

    Of most tables an incremental finds nothing, and a merge takes a dozen statements.

    Args:
        connection: Where the question is asked.
        staged: As for `merge_objects` or `merge_edges`.
        parent: SQL of the parent's state.
        objects: Whether they are objects; otherwise edges.
        complete: As for objects. Changes of edges depend on those of their owners, and are always merged.
    """
    if not complete:
        return objects and not staged.segments
    rows = read_staged(staged)
    if not isinstance(rows, pa.Table):
        # Many rows: the merge has to load the parent's, and finds the same then.
        return False
    connection.register("staged", rows)
    try:
        if objects:
            return _is_empty(connection, f"staged s FULL JOIN ({parent}) b USING (id) WHERE {_ANOTHER_OBJECT}")
        pair = "s.source_id = b.source_id AND s.target_id = b.target_id"
        return _is_empty(connection, f"staged s FULL JOIN ({parent}) b ON {pair} WHERE {_ANOTHER_EDGE}")
    finally:
        connection.unregister("staged")


def merge_objects(
    connection: duckdb.DuckDBPyConnection, staged: Staged, parent: str | None, *, complete: bool, base: bool
) -> Merged:
    """Merges objects.

    Args:
        connection: Where the merge is done.
        staged: Rows by `staging.OBJECT_ROWS`.
        parent: SQL of the parent's state with at least `id` and `_raw`; None when there is none.
        complete: The staged rows are the whole collection; otherwise they are changes on top of the parent.
        base: Store the whole state; otherwise only what differs from the parent.
    """
    connection.register("staged", read_staged(staged))
    connection.execute(f"CREATE OR REPLACE TEMP TABLE before AS {_parent_objects(parent, whole=complete or base)}")
    if complete and not base and _says_nothing_new(connection):
        connection.execute("CREATE OR REPLACE TEMP TABLE merged AS SELECT *, 'upsert' AS change FROM before LIMIT 0")
        connection.unregister("staged")
        return Merged(connection, Counts(0, 0, 0, 0))
    if complete:
        # Only what arrived more than once needs folding.
        connection.execute(
            """
            CREATE OR REPLACE TEMP TABLE repeated AS
            SELECT id FROM staged GROUP BY id HAVING count(*) > 1 OR bool_or(change = 'delete')
            """
        )
        rows = _folded(
            connection,
            """
            SELECT id, parent_id, change, raw, NULL FROM staged SEMI JOIN repeated USING (id) ORDER BY id, seq
            """,
            keep_unchanged=True,
        )
        _load(connection, rows)
        connection.execute(
            """
            DELETE FROM merged WHERE change = 'delete';
            INSERT INTO merged SELECT id, parent_id, change, raw FROM staged ANTI JOIN repeated USING (id);
            """
        )
        connection.execute("DROP TABLE repeated")
        counts = _compare_listing(connection)
        if not base:
            _reduce_to_differences(connection)
            counts = _count_changes(connection)
    else:
        rows = _folded(
            connection,
            """
            SELECT s.id, s.parent_id, s.change, s.raw, b.raw
            FROM staged s LEFT JOIN before b USING (id) ORDER BY s.id, s.seq
            """,
            keep_unchanged=False,
        )
        _load(connection, rows)
        counts = _count_changes(connection)
        if base:
            connection.execute(
                """
                INSERT INTO merged SELECT id, parent_id, 'upsert', raw FROM before ANTI JOIN merged USING (id);
                DELETE FROM merged WHERE change = 'delete';
                """
            )
    connection.unregister("staged")
    number = _scalar(connection, "SELECT count(*) FROM merged")
    return Merged(connection, Counts(number, counts.added, counts.changed, counts.deleted))


def merge_edges(
    connection: duckdb.DuckDBPyConnection,
    staged: Staged,
    parent: str | None,
    *,
    complete: bool,
    base: bool,
    many: bool,
    owners: ReadResult | None = None,
) -> Merged:
    """Merges edges; an edge whose target has another type is changed. A type that is not named changes none.

    `before` has at least the parent's edges of every source that is staged, or that the round reports otherwise.

    Args:
        connection: Where the merge is done.
        staged: Rows by `staging.EDGE_ROWS`.
        parent: SQL of the parent's state.
        complete: As for objects.
        base: As for objects.
        many: False when a source has at most one target.
        owners: The read of the sources themselves.
    """
    connection.register("staged", read_staged(staged))
    connection.register("owners", read_staged(owners.staged) if owners else ids_table(()))
    connection.register("linked", ids_table(owners.linked if owners else ()))
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE before AS {_parent_edges(parent, whole=complete or base)};
        CREATE OR REPLACE TEMP TABLE latest AS
        SELECT source_id, target_id, coalesce(arg_max(target_type, seq) FILTER (target_type <> ''), '') target_type,
            arg_max(change, seq) change, max(seq) seq
        FROM staged GROUP BY source_id, target_id;
        """
    )
    if not many:
        connection.execute(
            """
            CREATE OR REPLACE TEMP TABLE latest AS
            WITH chosen AS (
                SELECT source_id, arg_max(target_id, seq) target_id
                FROM latest WHERE change = 'upsert' GROUP BY source_id
            ), replaced AS (
                SELECT b.source_id, b.target_id, b.target_type, 'delete' AS change, 0 AS seq
                FROM before b JOIN chosen c USING (source_id) WHERE b.target_id <> c.target_id
            )
            SELECT l.* FROM latest l ANTI JOIN chosen USING (source_id)
            UNION ALL SELECT l.* FROM latest l SEMI JOIN chosen USING (source_id, target_id)
            UNION ALL SELECT * FROM replaced
            """
        )
    gone = (
        "SELECT source_id, target_id, target_type FROM before ANTI JOIN (FROM latest WHERE change = 'upsert') "
        "USING (source_id, target_id)"
        if complete
        else "SELECT source_id, target_id, b.target_type FROM before b "
        "JOIN (FROM latest WHERE change = 'delete') USING (source_id, target_id)"
    )
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE merged AS
        SELECT source_id, target_id, l.target_type, 'upsert' AS change, NULL::VARCHAR AS reason
        FROM latest l LEFT JOIN before b USING (source_id, target_id)
        WHERE l.change = 'upsert'
        AND (b.source_id IS NULL OR (l.target_type <> '' AND l.target_type <> b.target_type))
        UNION ALL SELECT source_id, target_id, target_type, 'delete', 'removed' FROM ({gone})
        """
    )
    connection.unregister("staged")
    connection.unregister("owners")
    connection.unregister("linked")
    upserts = _scalar(connection, "SELECT count(*) FROM merged WHERE change = 'upsert'")
    changed = _scalar(
        connection, "SELECT count(*) FROM merged SEMI JOIN before USING (source_id, target_id) WHERE change = 'upsert'"
    )
    deleted = _scalar(connection, "SELECT count(*) FROM merged WHERE change = 'delete'")
    if base:
        connection.execute(
            """
            INSERT INTO merged SELECT source_id, target_id, target_type, 'upsert', NULL
            FROM before ANTI JOIN merged USING (source_id, target_id);
            DELETE FROM merged WHERE change = 'delete';
            """
        )
    connection.execute("DROP TABLE latest")
    number = _scalar(connection, "SELECT count(*) FROM merged")
    return Merged(connection, Counts(number, upserts - changed, changed, deleted))


def ids_table(ids: Iterable[str]) -> pa.Table:
    """Returns ids as a table with the one column `id`, to be named in a query."""
    return pa.table({"id": pa.array(list(ids), pa.string())})


def fold(rows: Iterable[tuple[str, str | None]], start: str | None) -> dict[str, msgspec.Raw] | None:
    """Returns an object after a sequence of changes; None when the last change is its deletion.

    Graph promises that an update holds at least the changed properties, not all of them (Graph doc:
    delta-query-overview), so each is laid over what was known.

    Args:
        rows: (`upsert`, JSON) or (`delete`, None), in the order of arrival.
        start: The object as JSON before the first row, None when it did not exist.
    """
    members = _read(start) if start is not None else None
    for change, raw in rows:
        if change == DELETE or raw is None:
            members = None
        else:
            members = {**(members or {}), **_read(raw)}
    return members


def same(one: dict[str, msgspec.Raw], other: dict[str, msgspec.Raw]) -> bool:
    """Tells whether two objects are equal: null equals absent, and the order of members does not matter."""
    if {k: bytes(v) for k, v in one.items()} == {k: bytes(v) for k, v in other.items()}:
        return True
    try:
        return _plain(one) == _plain(other)
    except UNREADABLE:
        # A number beyond all numbers, or values nested too deeply: written otherwise, it counts as something else.
        return False


def _read(raw: str) -> dict[str, msgspec.Raw]:
    return _members.decode(hide_text(raw))


def _plain(members: dict[str, msgspec.Raw]) -> dict[str, object]:
    decoded = {name: _value(raw) for name, raw in members.items()}
    return {name: value for name, value in decoded.items() if value is not None}


def _says_nothing_new(connection: duckdb.DuckDBPyConnection) -> bool:
    """Tells whether the listing `staged` repeats `before` text by text."""
    return _is_empty(connection, f"staged s FULL JOIN before b USING (id) WHERE {_ANOTHER_OBJECT}")


def _is_empty(connection: duckdb.DuckDBPyConnection, rows: str) -> bool:
    return connection.execute(f"SELECT 1 FROM {rows} LIMIT 1").fetchone() is None


def _parent_objects(parent: str | None, *, whole: bool) -> str:
    if parent is None:
        return "SELECT NULL::VARCHAR id, NULL::VARCHAR parent_id, NULL::VARCHAR raw LIMIT 0"
    needed = "" if whole else "SEMI JOIN staged USING (id)"
    return f"SELECT id, parent_id, raw FROM ({parent}) {needed}"


def _parent_edges(parent: str | None, *, whole: bool) -> str:
    if parent is None:
        return "SELECT NULL::VARCHAR source_id, NULL::VARCHAR target_id, NULL::VARCHAR target_type LIMIT 0"
    reported = "(SELECT source_id FROM staged UNION SELECT id FROM owners UNION SELECT id FROM linked)"
    needed = "" if whole else f"SEMI JOIN {reported} USING (source_id)"
    return f"SELECT source_id, target_id, target_type FROM ({parent}) {needed}"


def _folded(
    connection: duckdb.DuckDBPyConnection, rows: str, *, keep_unchanged: bool
) -> Iterator[tuple[str, str | None, str, str | None]]:
    """Yields the final row `(id, parent_id, change, raw)` of each object, from SQL ordered by id and arrival."""
    # Another cursor would not see the temporary tables. So this connection is read in batches, and runs nothing else.
    reader = connection.execute(rows).fetch_record_batch(_FETCH_ROWS)
    stream = (row for batch in reader for row in zip(*(column.to_pylist() for column in batch.columns), strict=True))
    for identifier, group in groupby(stream, key=lambda row: row[0]):
        changes = list(group)
        before = changes[0][4]
        after = fold([(change, raw) for _, _, change, raw, _ in changes], before)
        if after is None:
            if before is not None or keep_unchanged:
                yield identifier, None, DELETE, None
        elif keep_unchanged or before is None or not same(after, _read(before)):
            yield identifier, changes[-1][1], UPSERT, reveal(msgspec.json.encode(after)).decode()


def _load(connection: duckdb.DuckDBPyConnection, rows: Iterator[tuple[str, str | None, str, str | None]]) -> None:
    """Creates the table `merged` from rows."""
    chunks: list[pa.Table] = []
    while chunk := [row for _, row in zip(range(_FETCH_ROWS), rows, strict=False)]:
        columns = zip(*chunk, strict=True)
        chunks.append(
            pa.table(
                [pa.array(c, t) for c, t in zip(columns, _MERGED_OBJECTS.types, strict=True)], schema=_MERGED_OBJECTS
            )
        )
    connection.register("folded", pa.concat_tables(chunks) if chunks else _MERGED_OBJECTS.empty_table())
    connection.execute("CREATE OR REPLACE TEMP TABLE merged AS SELECT * FROM folded")
    connection.unregister("folded")


def _compare_listing(connection: duckdb.DuckDBPyConnection) -> Counts:
    """Counts how a whole listing in `merged` differs from `before`."""
    row = connection.execute(
        """
        SELECT count(*) FILTER (b.id IS NULL), count(*) FILTER (m.raw <> b.raw), count(*) FILTER (m.id IS NULL)
        FROM merged m FULL JOIN before b USING (id)
        """
    ).fetchone()
    assert row is not None  # noqa: S101 - an aggregate without GROUP BY has one row
    return Counts(0, *row)


def _reduce_to_differences(connection: duckdb.DuckDBPyConnection) -> None:
    """Keeps in `merged` only what differs from `before`, and adds what is missing as deleted."""
    candidates = connection.execute(
        "SELECT m.id, m.raw, b.raw FROM merged m JOIN before b USING (id) WHERE m.raw <> b.raw"
    ).fetchall()
    alike = [i for i, now, then in candidates if same(_read(now), _read(then))]
    connection.register("alike", pa.table({"id": pa.array(alike, pa.string())}))
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE merged AS
        SELECT m.id, m.parent_id, m.change, m.raw FROM merged m
        ANTI JOIN before b ON m.id = b.id AND m.raw = b.raw ANTI JOIN alike a ON m.id = a.id
        UNION ALL SELECT id, NULL, 'delete', NULL FROM before ANTI JOIN merged USING (id)
        """
    )
    connection.unregister("alike")


def _count_changes(connection: duckdb.DuckDBPyConnection) -> Counts:
    """Counts how the change rows in `merged` differ from `before`."""
    row = connection.execute(
        """
        SELECT count(*) FILTER (m.change = 'upsert' AND b.id IS NULL),
               count(*) FILTER (m.change = 'upsert' AND b.id IS NOT NULL), count(*) FILTER (m.change = 'delete')
        FROM merged m LEFT JOIN before b USING (id)
        """
    ).fetchone()
    assert row is not None  # noqa: S101 - an aggregate without GROUP BY has one row
    return Counts(0, *row)


def _scalar(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    row = connection.execute(query).fetchone()
    assert row is not None  # noqa: S101 - an aggregate without GROUP BY has one row
    return int(row[0])
