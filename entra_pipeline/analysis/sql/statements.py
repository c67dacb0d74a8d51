"""The SQL of views and macros over recovery points: what a table held last, at a moment, and over time.

What belongs here: the text of the statements, for any DuckDB from 1.3 on that can read the stores, with nothing else of
ours. What does not: where they are defined (`session`, `writing`).

DuckDB wants the names of files before it has read anything, so a query cannot look up in one file which others to read.
It does leave out Parquet files whose name a join has ruled out before it opens them. Hence the pattern in each
statement matches every part of a table, and a join with the parts that the index of recovery points names chooses
among them: a view written once sees what is backed up later, and a point costs its own files only. The chosen names go
through `list` and `unnest`, which lets DuckDB expect few rows of them and so take them for the side that is read first.

A join rules out files only where all of them have the columns that are read. Parts of other releases lack some: such a
property is taken out of `_raw`, which has everything.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import pyarrow as pa

from entra_pipeline.catalogue import CATALOGUE, RELATIONS
from entra_pipeline.catalogue.columns import column_types, json_shape
from entra_pipeline.catalogue.logs import LogType
from entra_pipeline.store.backends.duckdb_names import literal
from entra_pipeline.store.backends.encryption.vault import reading_option, whole_raw
from entra_pipeline.store.manifest import NOT_IN_TENANT
from entra_pipeline.store.points.index import INDEX, SCHEMA
from entra_pipeline.store.state import KEYS, sql_text
from entra_pipeline.surrogates import replaced_sql

_KEY = r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ(-m[0-9a-f]{4})?"
_KEY_TIME = "%Y-%m-%dT%H-%M-%SZ"
EDGE_COLUMNS = ("source_id", "target_id", "target_type")
# A property of Graph's that is called like a column of ours, and what it is called instead.
RENAMED = {"scope": "scope_"}
JOBS = "_jobs/*/*.json"
AUDIT = "_audit/*/*.jsonl"


class Root(NamedTuple):
    """A store.

    Attributes:
        url: What DuckDB reads it by, with `/` at the end.
        elsewhere: Names of the scopes whose points are in another store, whatever there is of them in this one.
        keys: Names of the data keys that Parquet files are encrypted with, oldest first; none when they are not.
        closed: Whether records are encrypted for whoever reads by `url`.
    """

    url: str
    elsewhere: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    closed: bool = False

    def pattern(self, rest: str) -> str:
        """A pattern for `glob` and the readers, as a string literal."""
        return sql_text(literal(self.url) + rest)


class Source(NamedTuple):
    """Files that are read as a table.

    Attributes:
        root: The store.
        pattern: What their keys match.
        present: Whether there are any. A reader refuses a pattern that nothing matches.
        key: Name of the data key that they are encrypted with; empty when they are not.
        later: Whether they are those of a data key that is not there yet.
        by_person: Whether the values of persons in them are encrypted with their own keys.
        stock: Whether they are read without these keys: such values are null.
    """

    root: Root
    pattern: str
    present: bool
    key: str = ""
    later: bool = False
    by_person: bool = False
    stock: bool = False

    def column(self, name: str) -> str:
        """Returns the SQL of a column, as it is quoted, over these files."""
        return f"{whole_raw(self.key)} AS {name}" if self.by_person and not self.stock and name == _RAW else name


_RAW = '"_raw"'
OLDER = "this catalog is older than"
"""How a statement ends that was made when files of a kind were not there that are there now."""
POINTS, INDEX_FILES = "_points", "_index_files"
"""The two views that all others rest on."""


def points(roots: Sequence[Root]) -> str:
    """SQL of all recovery points: `root`, `scope`, `recovery_point`, `moment`."""
    return " UNION ALL ".join(_points(root) for root in roots)


def _points(root: Root) -> str:
    others = f" AND scope NOT IN ({', '.join(map(sql_text, root.elsewhere))})" if root.elsewhere else ""
    return (
        f"SELECT {sql_text(root.url)} AS root, scope, {_name(1)} AS recovery_point, {_moment('recovery_point')} "
        f"AS moment FROM ({_named(root, '_recovery_points/', '.json')}) "
        f"WHERE regexp_full_match({_name(1)}, {sql_text(_KEY)}){others}"
    )


def index_files(roots: Sequence[Root]) -> str:
    """SQL of the files of the index: which points are in them, and which counts where several have a point."""
    # The highest level counts, then the fewest points.
    rank = f"{{level: {_name(3)}::INT, points: -{_name(4)}::INT}} AS rank"
    return " UNION ALL ".join(
        f"SELECT {sql_text(root.url)} AS root, scope, file, {_name(1)} AS first_point, {_name(2)} AS last_point, "
        f"{rank} FROM ({_named(root, INDEX, '.parquet')})"
        for root in roots
    )


def _named(root: Root, folder: str, suffix: str) -> str:
    """SQL of the files in the folders of scopes."""
    name = f"substr(file, {len(root.url) + len(folder) + 1})"
    return (
        f"SELECT file, split_part({name}, '/', 1) AS scope, split_part({name}, '/', 2) AS name "
        f"FROM glob({root.pattern(f'{folder}*/*{suffix}')})"
    )


def _name(place: int) -> str:
    return f"split_part(name, '.', {place})"


def _moment(point: str) -> str:
    return f"timezone('UTC', strptime({point}[:20], {sql_text(_KEY_TIME)}))"


# --- Which points ----------------------------------------------------------------------------------------------------

_LATEST = f"SELECT root, scope, max(recovery_point) AS recovery_point FROM {POINTS} GROUP BY root, scope"
_EVERY = f"SELECT root, scope, recovery_point FROM {POINTS}"
# The parameters of macros are named so that no column is.
_SCOPE, _AT = "scope_name", "at_moment"
AT_PARAMETERS, MOMENT_PARAMETER = f"{_SCOPE}, {_AT}", _AT
"""The parameters of macros for one scope and moment, and the second of them."""
_IS_BEFORE = (
    f"CASE WHEN {_AT}::VARCHAR = 'latest' THEN true "
    f"WHEN regexp_full_match({_AT}::VARCHAR, {sql_text(_KEY)}) THEN recovery_point = {_AT}::VARCHAR "
    # As text, once: a time zone is worked out for every point otherwise.
    f"ELSE recovery_point[:20] <= strftime(timezone('UTC', {_AT}::VARCHAR::TIMESTAMPTZ), {sql_text(_KEY_TIME)}) END"
)
# `concat` takes NULL for an empty text: `||` would make of the whole message a NULL, which is no error.
_AT_MOMENT = (
    "SELECT any_value(root) AS root, any_value(scope) AS scope, CASE "
    f"WHEN {_SCOPE} IS NULL THEN error('the scope is NULL: give the name of a scope as text; FROM recovery_points "
    f"lists them') WHEN {_AT} IS NULL THEN error(concat('the moment is NULL: give a time, a recovery point of scope ', "
    f"{_SCOPE}, ', or ''latest''')) WHEN count(*) = 0 THEN error(concat('there is no recovery point of scope ', "
    f"{_SCOPE}, ': FROM recovery_points lists the scopes and their points')) "
    f"WHEN count(*) FILTER ({_IS_BEFORE}) = 0 THEN error(concat('there is no recovery point of scope ', {_SCOPE}, "
    f"' at ', {_AT}::VARCHAR, ': the first is ', min(recovery_point), '; FROM recovery_points lists them')) "
    f"ELSE max(recovery_point) FILTER ({_IS_BEFORE}) END AS recovery_point FROM {POINTS} WHERE scope = {_SCOPE}"
)


def _entries(index: Sequence[Source], chosen: str, columns: str, where: str = "true") -> str:
    """SQL over the index of some points; `c` is the point, `e` a row of its index."""
    fail = (
        "error('recovery point ' || recovery_point || ' of scope ' || scope || "
        "' has no index: entra-pipeline sql writes it')"
    )
    found = (
        f"SELECT p.root AS root, p.scope AS scope, recovery_point, max_by(file, rank) AS file FROM ({chosen}) p "
        f"LEFT JOIN {INDEX_FILES} i ON p.root = i.root AND p.scope = i.scope "
        "AND recovery_point BETWEEN first_point AND last_point GROUP BY p.root, p.scope, recovery_point"
    )
    listed = (
        "SELECT unnest(list({root: root, scope: scope, recovery_point: recovery_point, "
        f"file: coalesce(file, {fail})}})) AS c FROM ({found})"
    )
    same = "e.filename = c.file AND e.recovery_point = c.recovery_point"
    return f"SELECT {columns} FROM ({listed}) JOIN ({_index(index)}) e ON {same} WHERE {where}"


def _index(index: Sequence[Source]) -> str:
    return _parquet(index, _INDEX_TYPES)


def _sql_type(kind: pa.DataType) -> str:
    """The type that DuckDB reads a column of the index as."""
    if pa.types.is_list(kind):
        return f"{_sql_type(kind.value_type)}[]"
    if pa.types.is_struct(kind):
        return "STRUCT(" + ", ".join(f'"{field.name}" {_sql_type(field.type)}' for field in kind) + ")"
    return {pa.string(): "VARCHAR", pa.int64(): "BIGINT", pa.bool_(): "BOOLEAN"}[kind]


_INDEX_TYPES = {field.name: _sql_type(field.type) for field in SCHEMA} | {"filename": "VARCHAR"}


def _parquet(
    sources: Sequence[Source], columns: Mapping[str, str], properties: Mapping[str, str] = MappingProxyType({})
) -> str:
    """SQL that reads Parquet files: columns and properties with their types; properties get their working name."""
    options = ", filename = true, hive_partitioning = false"
    read = {_quoted(name): kind for name, kind in columns.items()}
    read |= {f"{_quoted(name)} AS {_working(name)}": kind for name, kind in properties.items()}
    return _read(sources, read, "read_parquet", options)


def _read(sources: Sequence[Source], columns: Mapping[str, str], reader: str, options: str = "") -> str:
    """SQL that reads files, columns with their types; there are no rows where there are no files yet."""
    # DuckDB takes one key for all files of a reader.
    there: dict[tuple[str, str], list[str]] = {}
    for source in sources:
        if source.present:
            chosen = ", ".join(map(source.column, columns))
            there.setdefault((source.key, chosen), []).append(source.root.pattern(source.pattern))
    selects = [
        f"SELECT {chosen} FROM {reader}([{', '.join(patterns)}]{options}{reading_option(key)})"
        for (key, chosen), patterns in there.items()
    ]
    # A file that has come since then must not be overlooked.
    nulls = ", ".join(f"NULL::{kind} AS {column.rpartition(' AS ')[2]}" for column, kind in columns.items())
    selects += [
        f"SELECT {nulls} FROM glob({source.root.pattern(source.pattern)}) WHERE error("
        f"'{OLDER} ' || file || ': entra-pipeline sql --write-catalog writes it again') IS NULL"
        for source in sources
        if not source.present
    ]
    return " UNION ALL ".join(selects)


# --- Tables of recovery points ---------------------------------------------------------------------------------------


class SqlTable(NamedTuple):
    """An object type or relation, and where its parts are.

    Attributes:
        name: Its name.
        sources: Its parts, one source per store.
        indexes: The index of recovery points, one source per store.
        columns: Columns that all of its parts have.
    """

    name: str
    sources: Sequence[Source]
    indexes: Sequence[Source]
    columns: frozenset[str] = frozenset()

    @property
    def _is_edges(self) -> bool:
        return self.name in RELATIONS

    @property
    def _keys(self) -> tuple[str, ...]:
        return KEYS["edges" if self._is_edges else "objects"]

    @property
    def _stored(self) -> tuple[str, ...]:
        """The stored columns that make up the content of a row."""
        if self._is_edges:
            return EDGE_COLUMNS
        return ("id", "_parent_id", "_raw") if CATALOGUE[self.name].parent else ("id", "_raw")

    def latest(self) -> str:
        """The state of all scopes at their newest points."""
        return self._state(_LATEST)

    def at(self, *, must_have: bool = True) -> str:
        """The parameters and body of the macro for one scope and moment.

        Args:
            must_have: A point without the table is an error; else it has no rows.
        """
        return f"({AT_PARAMETERS}) AS TABLE {self._state(_AT_MOMENT, one=True, must_have=must_have)}"

    def history(self) -> str:
        """Every row that ever was, with the time in which it was valid; a deleted one has its last values."""
        keys = ", ".join(self._keys)
        named = f"\"table\" = {sql_text(self.name)} AND read <> 'never'"
        entries = _entries(
            self.indexes,
            _EVERY,
            "c.root, c.scope, c.recovery_point, e.parent, e.follows, e.changed_keys, list_transform(e.parts, lambda p: "
            "p.key) AS keys, list_transform(list_filter(e.parts, lambda p: p.role = 'changes'), lambda p: p.key) "
            "AS changes",
            named,
        )
        # A list of parts that goes on where the one before it ended says what changed, and so do the changes behind a
        # base that was made of stored files, where its parent is there; any other says all anew.
        steps = (
            "SELECT *, coalesce(keys[:len(before)] = before, false) AS goes_on, before IS NULL OR NOT (goes_on OR "
            "coalesce(follows AND parent = point_before, false)) AS whole FROM (SELECT *, lag(keys) OVER w AS before, "
            f"lag(recovery_point) OVER w AS point_before FROM ({entries}) "
            "WINDOW w AS (PARTITION BY root, scope ORDER BY recovery_point))"
        )
        # `reset` is the next point that says all anew: what it does not show is gone.
        resets = (
            "SELECT *, CASE WHEN whole THEN keys WHEN goes_on THEN keys[len(before) + 1:] ELSE changes END AS fresh, "
            "count(*) FILTER (whole) OVER w AS epoch, min(CASE WHEN whole THEN recovery_point END) "
            f"OVER (w ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS reset FROM ({steps}) "
            "WINDOW w AS (PARTITION BY root, scope ORDER BY recovery_point)"
        )
        # Of a point that says which keys changed, only the files of those are opened that are asked for.
        told = "NOT whole AND changed_keys IS NOT NULL"
        seen = (
            f"{self._seen(f'SELECT * FROM said WHERE NOT ({told})', keyed=False)} UNION ALL "
            f"{self._seen(f'SELECT *, unnest(changed_keys) AS k FROM said WHERE {told}', keyed=True)}"
        )
        seen = (
            f"SELECT * FROM ({seen}) "
            f"QUALIFY row_number() OVER (PARTITION BY root, scope, {keys}, point ORDER BY place DESC) = 1"
        )
        content = "hash(_raw)" if not self._is_edges else "1"
        gone_why = ""
        if self._is_edges:
            gone_why = ", CASE WHEN lead(point) OVER k = gone_at THEN lead(_reason) OVER k END AS gone_why"
        neighbours = (
            f"SELECT *, lag(stored_change) OVER k AS was, lag({content}) OVER k AS was_content, {content} AS content, "
            "epoch - lag(epoch) OVER k - whole::INT > 0 AS absent_before, "
            # What is deleted keeps its last row: that one says when it went, whichever way that was told.
            "CASE WHEN stored_change <> 'upsert' THEN NULL "
            "WHEN coalesce(lead(epoch) OVER k - epoch - (lead(whole) OVER k)::INT > 0, "
            "reset IS NOT NULL AND lead(epoch) OVER k IS NULL) THEN reset "
            f"WHEN lead(stored_change) OVER k = 'delete' THEN lead(point) OVER k END AS gone_at{gone_why} "
            f"FROM ({seen}) WINDOW k AS (PARTITION BY root, scope, {keys} ORDER BY point)"
        )
        # What the first point of a table shows was there before: nobody knows for how long.
        happened = (
            "CASE WHEN stored_change <> 'upsert' THEN NULL "
            "WHEN was IS DISTINCT FROM 'upsert' OR absent_before THEN CASE WHEN first THEN 'baseline' ELSE 'added' END "
            "WHEN content IS DISTINCT FROM was_content THEN 'changed' END"
        )
        events = (
            "SELECT *, unnest(list_filter([{since: point, what: " + happened + "}, "
            "{since: gone_at, what: CASE WHEN gone_at IS NOT NULL THEN 'deleted' END}], "
            f"lambda e: e.what IS NOT NULL)) AS event FROM ({neighbours})"
        )
        why = ", CASE WHEN event.what = 'deleted' THEN gone_why END AS _reason" if self._is_edges else ""
        spans = (
            f"SELECT scope, {', '.join(self._stored)}, {_moment('event.since')} AS valid_from, "
            f"lead({_moment('event.since')}) OVER (PARTITION BY root, scope, {keys} ORDER BY event.since) AS valid_to, "
            f"event.what AS _change{why}, event.since AS recovery_point FROM ({events})"
        )
        tail = ["valid_from", "valid_to", "_change", *(["_reason"] if self._is_edges else []), "recovery_point"]
        return f"WITH said AS MATERIALIZED ({resets}) {self._shown(spans, tail=tail)}"

    def _seen(self, points: str, *, keyed: bool) -> str:
        """Rows of the fresh parts of some points; of those with the keys `k` only, where there are any."""
        own = (
            "root: root, scope: scope, point: recovery_point, first: before IS NULL, whole: whole, epoch: epoch, "
            "reset: reset"
        )
        key = ", k: k" if keyed else ""
        parts = (
            f"SELECT unnest(list({{{own}, file: root || key, place: place{key}}})) AS p FROM (SELECT *, "
            f"unnest(fresh) AS key, generate_subscripts(fresh, 1) AS place FROM ({points}))"
        )
        shown = ", ".join(
            f"p.{name} AS {name}" for name in ("root", "scope", "point", "first", "whole", "epoch", "reset", "place")
        )
        reason = ", _reason" if self._is_edges else ""
        same = ["r.filename = p.file"]
        if keyed:
            same += [f"r.{name} = p.k.{part}" for name, part in zip(self._keys, ("id", "target_id"), strict=False)]
        return (
            f"SELECT {shown}, {', '.join(self._stored)}, _change AS stored_change{reason} "
            f"FROM ({self._rows()}) r JOIN ({parts}) ON {' AND '.join(same)}"
        )

    def _state(self, chosen: str, *, one: bool = False, must_have: bool = False) -> str:
        named = f'e."table" = {sql_text(self.name)}'
        columns = "c.root AS root, c.scope AS scope, e.parts AS parts"
        if must_have:
            fail = (
                f"error(concat('the recovery point of scope ', {_SCOPE}, ' at ', {_AT}::VARCHAR, ' does not have "
                f"{self.name}: the scope did not protect it, or there is no such point; FROM recovery_points lists "
                "them'))"
            )
            # An aggregate has a row even where there is no entry.
            columns = (
                "any_value(c.root) AS root, any_value(c.scope) AS scope, "
                f"CASE WHEN count(*) = 0 THEN {fail} ELSE any_value(e.parts) END AS parts"
            )
        parts = _entries(self.indexes, chosen, columns, named)
        listed = (
            "SELECT unnest(list({root: root, scope: scope, role: part.role, file: root || part.key, place: place})) "
            "AS p FROM (SELECT root, scope, unnest(parts) AS part, generate_subscripts(parts, 1) AS place "
            f"FROM ({parts}))"
        )
        keys = ", ".join(self._keys)
        typed = [] if self._is_edges else [name for name in column_types(CATALOGUE[self.name]) if name in self.columns]

        def read(role: str, properties: Sequence[str]) -> str:
            files = f"SELECT p FROM parts WHERE p.role = '{role}'"
            ours = "p.root AS root, p.scope AS scope, p.place AS place"
            rows, name = self._rows(properties), "r.filename"
            if one and role == "changes":
                # Names sort by time, so between the first and the last of one scope there are few others. That is
                # quicker to tell of every file there is than whether it is one of thirty; `concat` leaves it at that.
                rows = (
                    f"SELECT r.* FROM ({rows}) r JOIN (SELECT min(p.file) AS first_file, max(p.file) AS last_file "
                    f"FROM ({files})) ON r.filename >= first_file AND r.filename <= last_file"
                )
                name = "concat(r.filename, '')"
            return f"SELECT {ours}, r.* FROM ({rows}) r JOIN ({files}) ON {name} = p.file"

        # Of the base, which is the most of it, only keys are compared. What changed is little: its properties come out
        # of `_raw`, because many columns of many small files take longer.
        others = [*(name for name in self._stored if name not in self._keys), "_change"]
        last = f"max_by({{{', '.join(f'{name}: {name}' for name in others)}}}, place)"
        changed = (
            f"SELECT root, scope, {keys}, {', '.join(f'v.{name} AS {name}' for name in others)} FROM (SELECT root, "
            f"scope, {keys}, {last} AS v FROM ({read('changes', [])}) GROUP BY root, scope, {keys})"
        )
        same = keys if one else f"root, scope, {keys}"
        kept = f"SELECT * FROM ({read('base', typed)}) ANTI JOIN changed USING ({same})"
        return (
            f"WITH parts AS MATERIALIZED ({listed}), changed AS MATERIALIZED ({changed}) {self._shown(kept, typed)} "
            f"UNION ALL {self._shown('SELECT * FROM changed WHERE _change = $$upsert$$')}"
        )

    def _rows(self, properties: Sequence[str] = ()) -> str:
        """The rows of all parts."""
        columns = [*self._stored, "_change", *(["_reason"] if self._is_edges else []), "filename"]
        types = {} if self._is_edges else column_types(CATALOGUE[self.name])
        return _parquet(self.sources, dict.fromkeys(columns, "VARCHAR"), {name: types[name] for name in properties})

    def _shown(self, rows: str, stored: Collection[str] = (), tail: Sequence[str] = ()) -> str:
        """The rows with a column per property, between the columns of the store."""
        if self._is_edges:
            return f"SELECT {', '.join(['scope', *EDGE_COLUMNS, *tail])} FROM ({rows})"
        first = ["scope", *(name for name in self._stored if name != "_raw")]
        return _with_properties(rows, column_types(CATALOGUE[self.name]), stored, first, ["_raw", *tail])


def _with_properties(
    rows: str, types: Mapping[str, str], stored: Collection[str], first: Sequence[str], last: Sequence[str]
) -> str:
    """Rows with all property columns: those that were read as they are stored, and the others out of `_raw`."""
    others = {name: kind for name, kind in types.items() if name not in stored}
    if others:
        rows = (
            f"SELECT *, json_transform({replaced_sql('_raw')}, {sql_text(json_shape(others))}) AS _other FROM ({rows})"
        )
    own = [
        f"{_working(name) if name in stored else f'_other.{_quoted(name)}'} AS {_quoted(RENAMED.get(name, name))}"
        for name in types
    ]
    return f"SELECT {', '.join([*first, *own, *last])} FROM ({rows})"


def _working(name: str) -> str:
    """What a property is called while its rows are worked on: no column of ours is called so."""
    return _quoted(f"p.{name}")


def _quoted(name: str) -> str:
    return f'"{name}"'


# --- What else is stored ---------------------------------------------------------------------------------------------


def recovery_points(index: Sequence[Source]) -> str:
    """A row per recovery point, with what its tables hold together."""
    head = ["kind", "taken_for", "status", "tenant_id", "started", "finished", "parent", "last_full"]
    said = ", ".join(f"any_value({_time(f'e.{name}', name)}) AS {name}" for name in head)
    sums = ["baseline", "added", "changed", "deleted", "requests", "items", "resource_units", "throttled"]
    added = ", ".join(f"coalesce(sum(e.{name}), 0)::BIGINT AS {name}" for name in sums)
    counted = ", ".join(
        f"coalesce(sum(e.live) FILTER (e.contents = '{contents}'), 0)::BIGINT AS {name}"
        for contents, name in (("objects", "objects"), ("edges", "links"))
    )
    gaps = "coalesce(sum(json_array_length(e.gaps)), 0)::BIGINT AS gaps"
    columns = f"c.scope, c.recovery_point, {_moment('c.recovery_point')} AS moment, {said}, {counted}, {added}, {gaps}"
    return f"{_entries(index, _EVERY, columns)} GROUP BY c.scope, c.recovery_point"


def recovery_point_tables(index: Sequence[Source]) -> str:
    """A row per table of each recovery point."""
    head = f"c.scope, c.recovery_point, {_moment('c.recovery_point')} AS moment"
    texts = ["table", "contents", "read", "live", "baseline", "added", "changed", "deleted", "reported"]
    times = ", ".join(f"{_time(f'e.{name}', name)} AS {name}" for name in ("read_started", "read_finished"))
    costs = ["requests", "items", "resource_units", "throttled", "notes"]
    stored = (
        "len(e.parts) AS files, list_sum(list_transform(e.parts, lambda p: p.bytes))::BIGINT AS bytes, "
        "e.gaps::JSON AS gaps"
    )
    columns = ", ".join([head, *(f'e."{name}"' for name in texts), times, *(f"e.{name}" for name in costs), stored])
    return _entries(index, _EVERY, columns, 'e."table" IS NOT NULL')


def point_tables(index: Sequence[Source]) -> str:
    """What the newest points have of each table: `scope`, `table`, `readable`, `has_gaps`."""
    return _entries(index, _LATEST, _POINT_TABLE)


def point_tables_at(index: Sequence[Source]) -> str:
    """The same, as the parameters and body of the macro for one scope and moment."""
    return f"({AT_PARAMETERS}) AS TABLE {_entries(index, _AT_MOMENT, _POINT_TABLE)}"


def point_tables_ever(index: Sequence[Source]) -> str:
    """The same of all points: tables that any of them could read, and with gaps at any of them."""
    return _entries(index, _EVERY, _POINT_TABLE)


# Where the tenant lacks the licence of a feature, it has nothing of it.
_POINT_TABLE = (
    'c.scope AS scope, e."table" AS "table", e.read <> \'never\' OR (coalesce(json_array_length(e.gaps), 0) = 0 AND '
    f"len(list_filter(e.notes, lambda n: starts_with(n, {sql_text(NOT_IN_TENANT)}))) > 0) AS readable, "
    "coalesce(json_array_length(e.gaps), 0) > 0 AS has_gaps"
)


def _time(column: str, name: str) -> str:
    if name not in {"started", "finished", "read_started", "read_finished"}:
        return column
    return f"nullif({column}, '')::TIMESTAMPTZ"


def jobs(sources: Sequence[Source]) -> str:
    """A row per job; `record` has all that is known of it."""
    texts = _texts(["id", "type", "scope", "trigger", "status"])
    times = ", ".join(f"(json->>'$.{name}')::TIMESTAMPTZ AS {name}" for name in ("started", "finished"))
    return f"SELECT {texts}, {times}, json->>'$.error' AS error, json AS record FROM ({_documents(sources)})"


def audit_events(sources: Sequence[Source]) -> str:
    """A row per event of the audit log."""
    texts = _texts(["actor", "channel", "host", "address", "action", "scope", "subject", "result"])
    return (
        "SELECT (json->>'$.number')::BIGINT AS number, (json->>'$.moment')::TIMESTAMPTZ AS moment, "
        f"{texts}, json->'$.details' AS details, json->>'$.tool' AS tool "
        f"FROM ({_documents(sources)})"
    )


def _documents(sources: Sequence[Source]) -> str:
    """SQL of files with one JSON document each, as `json`.

    `read_text` reads a pattern that nothing matches as no rows; the readers of JSON refuse it.
    """
    selects = []
    if there := [source.root.pattern(source.pattern) for source in sources if not _is_closed(source)]:
        selects.append(f"SELECT content::JSON AS json FROM read_text([{', '.join(there)}])")
    selects += [
        f"SELECT NULL::JSON AS json FROM glob({source.root.pattern(source.pattern)}) WHERE error("
        "file || ' is encrypted: entra-pipeline sql reads it') IS NULL"
        for source in sources
        if _is_closed(source)
    ]
    return " UNION ALL ".join(selects)


def _is_closed(source: Source) -> bool:
    return source.root.closed and source.pattern in {JOBS, AUDIT}


def _texts(names: Sequence[str]) -> str:
    return ", ".join(f"json->>'$.{name}' AS {name}" for name in names)


def log(entry: LogType, days: Sequence[Source], parts: Sequence[Source]) -> str:
    """The entries of a log, each once."""
    named = []
    for source in days:
        named.append(
            f"SELECT {sql_text(source.root.url)} AS root, json->>'$.scope' AS scope, (json->>'$.day')::DATE AS day, "
            f"json->'$.parts' AS parts FROM ({_documents([source])})"
        )
    listed = (
        "SELECT unnest(list({root: root, scope: scope, day: day, file: root || key, place: place})) AS p FROM "
        "(SELECT *, unnest(keys) AS key, generate_subscripts(keys, 1) AS place FROM (SELECT *, "
        f"json_extract_string(parts, '$[*].key')::VARCHAR[] AS keys FROM ({' UNION ALL '.join(named)})))"
    )
    stored = _parquet(parts, dict.fromkeys(["id", "_raw", "filename"], "VARCHAR"))
    rows = (
        f"SELECT p.scope AS scope, p.day AS day, id, _raw FROM ({stored}) r JOIN ({listed}) ON r.filename = p.file "
        "QUALIFY row_number() OVER (PARTITION BY p.root, p.scope, id ORDER BY p.day DESC, p.place DESC) = 1"
    )
    return _with_properties(rows, column_types(entry), (), ["scope", "day", "id"], ["_raw"])


def part_pattern(table: str) -> str:
    """What the keys of a table's parts match, those of version 1 of the format among them."""
    return f"{table}/*scope=*/*=*/*.parquet"
