"""The objects and edges of a recovery point, filtered by a condition or a text."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import duckdb

from entra_pipeline.analysis.conditions import parsed_condition
from entra_pipeline.catalogue import CATALOGUE, RELATIONS, table_names
from entra_pipeline.errors import NotAtPoint, UsageError
from entra_pipeline.store.backends.duckdb_errors import storage_error, unreadable
from entra_pipeline.store.backends.duckdb_names import literal
from entra_pipeline.store.manifest import Manifest, TableEntry
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.state import connect, sql_text
from entra_pipeline.text import did_you_mean

_BATCH = 1000
# Characters of a search that becomes a regular expression; those of longer ones are large, too.
_SHORT = 200
# ASCII within a search, and the characters from which on it tells texts apart.
_ASCII = re.compile(r"[\x00-\x7f]+")
_TELLING = 3
LINK = "CAST(to_json({source_id: source_id, target_id: target_id, target_type: target_type}) AS VARCHAR)"
"""An edge as JSON text, in SQL."""


def table_entry(manifest: Manifest, table: str) -> TableEntry:
    """A table of a recovery point.

    Raises:
        UsageError: There is no such object type or relation.
        NotAtPoint: The recovery point does not have it.
    """
    known = table_names()
    if table not in known:
        raise UsageError(
            f"there is no object type or relation {table!r}{did_you_mean(table, known)}",
            remedy="entra-pipeline catalogue lists them.",
        )
    entry = manifest.tables.get(table)
    if entry is None:
        raise NotAtPoint(
            f"recovery point {manifest.recovery_point} does not have {table}: the scope did not protect it",
            remedy="Add it to the scope's `protect`, and back up again.",
        )
    return entry


def find(
    store: ScopeStore,
    manifest: Manifest,
    table: str,
    *,
    where: str = "",
    search: str = "",
    limit: int | None = None,
    offset: int = 0,
) -> Iterator[str]:
    """The rows of a table at a recovery point, each as JSON text, ordered by id.

    Objects are exactly what Graph returned; edges are `{"source_id", "target_id", "target_type"}`.

    Args:
        store: The scope's store.
        manifest: The recovery point.
        table: Object type or relation.
        where: SQL condition over the table's columns, in DuckDB's dialect.
        search: Text that must occur in the row, whatever the case.
        limit: Rows at the most.
        offset: Rows to leave out at the beginning.

    Raises:
        UsageError: Unknown table, or a condition that DuckDB does not understand.
        NotAtPoint: The recovery point does not have the table.
        StoreError: A file of the table cannot be read.
    """
    objects = table_entry(manifest, table).kind == "objects"
    row = "_raw" if objects else LINK
    order = "id" if objects else "source_id, target_id"
    tail = f"ORDER BY {order} {_slice(limit, offset)}"
    for found in _select(store, manifest, table, row, tail, where=where, search=search):
        yield str(found)


def find_ids(
    store: ScopeStore,
    manifest: Manifest,
    table: str,
    *,
    where: str = "",
    search: str = "",
    limit: int | None = None,
    offset: int = 0,
) -> Iterator[str]:
    """The ids of the objects that `find` gives, in the same order; it raises the same."""
    tail = f"ORDER BY id {_slice(limit, offset)}"
    for found in _select(store, manifest, table, "id", tail, where=where, search=search):
        yield str(found)


def _slice(limit: int | None, offset: int) -> str:
    return f"{f'LIMIT {limit}' if limit is not None else ''} OFFSET {offset}"


def one(store: ScopeStore, manifest: Manifest, table: str, identifier: str) -> str:
    """One object as JSON text, exactly what Graph returned.

    Raises:
        UsageError: Unknown table, or one that holds links.
        NotAtPoint: The recovery point does not have the table, or the object.
        StoreError: A file of the table cannot be read.
    """
    with closing(ObjectTable(store, manifest, table)) as opened, opened.explaining():
        return opened.one(identifier)


def known_ids(store: ScopeStore, manifest: Manifest, tables: Iterable[str], ids: Collection[str]) -> set[str]:
    """Those of the ids that an object, or an end of a link, of some tables of a recovery point has.

    Raises:
        StoreError: A file cannot be read.
    """
    columns = [
        (table, column)
        for table in tables
        for column in (("id",) if table in CATALOGUE else ("source_id", "target_id"))
        if table in manifest.tables and manifest.tables[table].parts
    ]
    states = [
        f"SELECT {column} AS id FROM ({store.intact_state(manifest.tables[table], column)})"
        for table, column in columns
    ]
    if not states:
        return set()
    with connect(store.files) as connection:
        query = f"SELECT DISTINCT id FROM ({' UNION ALL '.join(states)}) SEMI JOIN (SELECT unnest(?) AS id) USING (id)"
        try:
            return {str(row[0]) for row in connection.execute(query, [sorted(ids)]).fetchall()}
        except duckdb.Error as error:
            raise unreadable(error, f"recovery point {manifest.recovery_point}", store.scope) from None


def count(store: ScopeStore, manifest: Manifest, table: str, *, where: str = "", search: str = "") -> int:
    """How many rows `find` gives without a limit; it raises the same."""
    entry = table_entry(manifest, table)
    if not where and not search:
        return entry.live
    return int(next(_select(store, manifest, table, "count(*)", "", where=where, search=search)))


def _select(
    store: ScopeStore, manifest: Manifest, table: str, what: str, tail: str, *, where: str, search: str
) -> Iterator[Any]:
    """The first column of the rows that are chosen."""
    with closing(ObjectTable(store, manifest, table)) as opened, opened.explaining(where):
        result = opened.ask(what, tail, where=where, search=search)
        while rows := result.fetchmany(_BATCH):
            yield from (one[0] for one in rows)


class ObjectTable:
    """A table of a recovery point, open to be asked.

    It reads the table's files and nothing else: a condition is text from a stranger.

    Args:
        store: The scope's store.
        manifest: The recovery point.
        table: Object type or relation.
        temp: Folder to spill to; DuckDB's own choice when None.
        memory: The most memory it takes, such as `512MB`; as `connect` when empty.
        besides: A file that may be attached later, besides the table's.

    Raises:
        UsageError: Unknown table.
        NotInStore: The recovery point does not have the table.
        StoreError: A file of the table cannot be read.
    """

    def __init__(
        self,
        store: ScopeStore,
        manifest: Manifest,
        table: str,
        *,
        temp: Path | None = None,
        memory: str = "",
        besides: Path | None = None,
    ) -> None:
        self.entry = table_entry(manifest, table)
        self.state = f"({store.intact_state(self.entry)})"
        self.text = "_raw" if self.entry.kind == "objects" else "concat_ws(' ', source_id, target_id, target_type)"
        self._store, self._manifest, self._name = store, manifest, table
        self._columns: list[str] | None = None
        self._connection = connect(store.files, temp=temp, memory=memory)
        try:
            self._confine(besides)
            with self.explaining():
                self._connection.execute(f"EXPLAIN SELECT 1 FROM {self.state}")
        except BaseException:
            self._connection.close()
            raise

    def _confine(self, besides: Path | None) -> None:
        names = [self._store.files.url(part.key) for part in self.entry.parts]
        # A name that is no pattern is asked for as one that matches nothing else; both have to be allowed.
        paths = list(dict.fromkeys([*names, *map(literal, names)]))
        if besides is not None:
            # DuckDB looks for a journal beside a database.
            paths += [str(besides), f"{besides}.wal"]
        self._connection.execute(f"SET allowed_paths = [{', '.join(map(sql_text, paths))}]")
        # Of every cursor, too.
        self._connection.execute("SET GLOBAL TimeZone = 'UTC'")
        self._connection.execute("SET preserve_insertion_order = false")
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET lock_configuration = true")

    def close(self) -> None:
        """Closes it."""
        self._connection.close()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own to the same table, for another thread."""
        return self._connection.cursor()

    def ask(
        self, what: str, tail: str = "", *, where: str = "", search: str = "", within: str = ""
    ) -> duckdb.DuckDBPyConnection:
        """The answer to `SELECT what FROM the rows that are chosen, tail`; `within` is a condition of our own.

        Raises:
            UsageError: `where` is not a condition.
        """
        cursor = self.cursor()
        conditions = [within] if within else []
        if where:
            condition = parsed_condition(cursor, where, self.columns())
            _check(cursor, f"SELECT 1 FROM {self.state} WHERE {condition}")
            conditions.append(condition)
        if search:
            conditions.append(_holds(self.text, search))
        filtered = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        return cursor.execute(f"SELECT {what} FROM {self.state} {filtered} {tail}")

    def columns(self) -> list[str]:
        """The names of its columns, which a condition may name."""
        if self._columns is None:
            self._columns = [column[0] for column in self.cursor().execute(f"FROM {self.state} LIMIT 0").description]
        return self._columns

    def one(self, identifier: str, source: str = "") -> str:
        """One object as JSON text, from its state or another source; raises UsageError for links, NotAtPoint."""
        if self._name in RELATIONS:
            remedy = f"Ask for {RELATIONS[self._name][0].name}."
            raise UsageError(f"{self._name} holds links, not objects", remedy=remedy)
        query = f"SELECT _raw FROM {source or self.state} WHERE id = ?"
        found = self.cursor().execute(query, [identifier]).fetchone()
        if found is None:
            raise NotAtPoint(
                f"recovery point {self._manifest.recovery_point} has no object {identifier} in {self._name}",
                remedy=f"entra-pipeline objects {self._store.scope} {self._name} --search TEXT finds objects by "
                "their content.",
            )
        return str(found[0])

    @contextmanager
    def explaining(self, where: str = "") -> Iterator[None]:
        """Says what DuckDB's errors mean.

        Raises:
            UsageError: The condition fails.
            StoreError: A file of the table cannot be read.
        """
        try:
            yield
        except duckdb.Error as error:
            if where and not storage_error(error) and isinstance(error, duckdb.DataError | duckdb.ProgrammingError):
                raise UsageError(
                    f"the condition fails: {_first_line(error)}", remedy="Correct the condition."
                ) from None
            raise unreadable(
                error, f"{self._name} of recovery point {self._manifest.recovery_point}", self._store.scope
            ) from None


def _holds(text: str, search: str) -> str:
    """SQL: whether a text holds another, whatever the case.

    As `contains(lower(text), lower(search))` has it, and sooner where the search is ASCII: no text is copied then.
    Beyond ASCII two letters have a lower case within: İ, and K for Kelvin.
    """
    exact = f"contains(lower({text}), lower({sql_text(search)}))"
    if len(search) > _SHORT:
        return exact
    if not search.isascii():
        # Few texts that do not hold it hold what of it is ASCII.
        part = max(_ASCII.findall(search), key=len, default="")
        return f"({_holds(text, part)} AND {exact})" if len(part) >= _TELLING else exact
    pattern = "".join(
        f"[{one.upper()}{one}]" if one.isalpha() else one if one.isdigit() else f"\\x{ord(one):02x}"
        for one in search.lower()
    )
    quick = f"regexp_matches({text}, {sql_text(pattern)})"
    odd = [letter for letter, plain in (("\u0130", "i"), ("\u212a", "k")) if plain in search.lower()]
    if not odd:
        return quick
    there = " OR ".join(f"contains({text}, {sql_text(letter)})" for letter in odd)
    return f"({quick} OR (({there}) AND {exact}))"


def _check(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    """Refuses a condition that does not fit the columns' types."""
    try:
        connection.execute(f"EXPLAIN {query}")
    except (duckdb.ProgrammingError, duckdb.NotSupportedError, duckdb.PermissionException) as error:
        raise UsageError(
            f"the condition is not understood: {_first_line(error)}",
            remedy="Give a DuckDB condition over the columns, for example: displayName LIKE 'A%'.",
        ) from None


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
