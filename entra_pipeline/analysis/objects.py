"""The objects and edges of a recovery point, filtered by a condition or a text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb

from entra_pipeline.catalogue import RELATIONS, table_names
from entra_pipeline.errors import NotInStore, StoreError, UsageError
from entra_pipeline.project.suggestions import did_you_mean
from entra_pipeline.store.manifest import Manifest, TableEntry
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.state import connect, sql_text, state_query

_BATCH = 1000
_LINK = "to_json({source_id: source_id, target_id: target_id, target_type: target_type})"


def table_entry(manifest: Manifest, table: str) -> TableEntry:
    """A table of a recovery point.

    Raises:
        UsageError: There is no such object type or relation.
        NotInStore: The recovery point does not have it.
    """
    known = table_names()
    if table not in known:
        raise UsageError(
            f"there is no object type or relation {table!r}{did_you_mean(table, known)}",
            remedy="entra-pipeline catalogue lists them.",
        )
    entry = manifest.tables.get(table)
    if entry is None:
        raise NotInStore(
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
        NotInStore: The recovery point does not have the table.
        StoreError: A file of the table cannot be read.
    """
    objects = table_entry(manifest, table).kind == "objects"
    row = "_raw" if objects else f"CAST({_LINK} AS VARCHAR)"
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
        NotInStore: The recovery point does not have the table, or the object.
        StoreError: A file of the table cannot be read.
    """
    if table in RELATIONS:
        raise UsageError(f"{table} holds links, not objects", remedy=f"Ask for {RELATIONS[table][0].name}.")
    found = next(find(store, manifest, table, where=f"id = {sql_text(identifier)}"), None)
    if found is None:
        raise NotInStore(
            f"recovery point {manifest.recovery_point} has no object {identifier} in {table}",
            remedy=f"entra-pipeline objects {store.scope} {table} --search TEXT finds objects by what is in them.",
        )
    return found


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
    entry = table_entry(manifest, table)
    conditions = [_bracketed(where)] if where else []
    if search:
        text = "_raw" if entry.kind == "objects" else "concat_ws(' ', source_id, target_id, target_type)"
        conditions.append(f"regexp_matches({text}, regexp_escape({sql_text(search)}), 'i')")
    with connect(store.files) as connection:
        connection.execute("SET preserve_insertion_order = false")
        _confine(connection, store, entry)
        state = f"FROM ({state_query(store.files, entry)})"
        filtered = f"{state} WHERE {' AND '.join(conditions)}" if conditions else state
        try:
            connection.execute(f"EXPLAIN SELECT 1 {state}")
        except duckdb.Error as error:
            raise _unreadable(store, manifest, table, error) from None
        if where:
            _check(connection, f"SELECT 1 {state} WHERE {_bracketed(where)}")
        try:
            result = connection.execute(f"SELECT {what} {filtered} {tail}")
            while rows := result.fetchmany(_BATCH):
                yield from (one[0] for one in rows)
        except duckdb.Error as error:
            if where and isinstance(error, duckdb.DataError | duckdb.ProgrammingError):
                raise UsageError(
                    f"the condition fails: {_first_line(error)}", remedy="Correct the condition."
                ) from None
            raise _unreadable(store, manifest, table, error) from None


def _unreadable(store: ScopeStore, manifest: Manifest, table: str, error: duckdb.Error) -> StoreError:
    return StoreError(
        f"{table} of recovery point {manifest.recovery_point} cannot be read: {_first_line(error)}",
        remedy=f"entra-pipeline verify {store.scope} tells what is damaged or missing.",
    )


def _bracketed(condition: str) -> str:
    """A condition that stays one whatever follows it; the line break ends a comment in it."""
    return f"({condition}\n)"


def _confine(connection: duckdb.DuckDBPyConnection, store: ScopeStore, entry: TableEntry) -> None:
    """Lets the connection read the table's files and nothing else: a condition is text from a stranger."""
    paths = ", ".join(sql_text(store.files.url(part.key)) for part in entry.parts)
    connection.execute(f"SET allowed_paths = [{paths}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _check(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    """Refuses a condition that is more, or other, than a condition."""
    try:
        statements = connection.extract_statements(query)
        if len(statements) != 1 or statements[0].type.name != "SELECT":
            raise UsageError("the condition holds more than a condition", remedy="Give one SQL condition.")
        connection.execute(f"EXPLAIN {query}")
    except (duckdb.ProgrammingError, duckdb.NotSupportedError, duckdb.PermissionException) as error:
        raise UsageError(
            f"the condition is not understood: {_first_line(error)}",
            remedy="Give a DuckDB condition over the columns, for example --where \"displayName LIKE 'A%'\".",
        ) from None


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
