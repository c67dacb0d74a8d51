"""A DuckDB in which everything that is stored can be asked for by name.

What belongs here: opening it, defining what a statement mentions before it runs, and what it says when one fails. What
does not: how answers are shown (`cli.queries.sql`).

Defining all of some 450 views and macros asks the stores for a listing each; a session defines those that are
mentioned, when they are.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import date, datetime
from types import TracebackType
from typing import Any, NamedTuple

import duckdb

from entra_pipeline.analysis.sql.believed import BelievedFiles
from entra_pipeline.analysis.sql.relations import Relations
from entra_pipeline.analysis.sql.statements import OLDER, POINTS
from entra_pipeline.errors import EntraPipelineError, StoreError, UsageError
from entra_pipeline.project import Project
from entra_pipeline.store.backends import ObjectStore
from entra_pipeline.store.backends.duckdb_errors import storage_error
from entra_pipeline.store.backends.duckdb_filesystem import DuckDBFilesystem, remembered_listings
from entra_pipeline.store.points.keys import scope_in
from entra_pipeline.store.state import connect
from entra_pipeline.text import did_you_mean

_WORD = re.compile(r"\w+")
_UNKNOWN = re.compile(r"[Nn]ame (\w+) does not exist")
# What DuckDB (1.4) says when AES-GCM finds that an encrypted file was changed.
_OTHER_BYTES = "AES tag differs"
_KIND = re.compile(r"^[A-Z][A-Za-z ]+ Error: ")
_CANDIDATES = re.compile(r"Candidate bindings?: (.*)")
# What may be done: asking. SET is among them for variables, time zones and the like.
_SETTING = {"SET", "VARIABLE_SET"}
_ASKING = {"SELECT", "EXPLAIN", "PRAGMA", "CALL", "RELATION", *_SETTING}


class Statement(NamedTuple):
    """One statement of a text.

    Attributes:
        text: The statement.
        answers: Whether it has rows to show; SET has none.
    """

    text: str
    answers: bool


class SqlSession:
    """A connection that answers questions over a project's stores, and changes nothing.

    Attributes:
        connection: The DuckDB itself, with what has been defined so far.

    Args:
        relations: What can be asked for.
    """

    def __init__(self, relations: Relations) -> None:
        self._relations = relations
        self._names = set(Relations.names())
        self._settled: set[str] = set()
        self.connection = connect(*relations.places.values())

    @classmethod
    def of(cls, project: Project) -> SqlSession:
        """A session over the stores of a project; raises ConfigurationError when a secret cannot be found.

        Each Parquet file is hashed before a query believes it, once in the session's life.
        """
        return cls(Relations.of(project, through=believed_place))

    def __enter__(self) -> SqlSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the session."""
        self.connection.close()

    def define(self, text: str) -> None:
        """Defines every view and macro that occurs in a text; raises StoreError when a store cannot be read."""
        words = {word.lower() for word in _WORD.findall(text)}
        mentioned = [name for name in Relations.names() if name in words]
        wanted = [name for name in Relations.with_needs(mentioned) if name not in self._settled]
        if not wanted and not (POINTS in words and POINTS not in self._settled):
            return
        try:
            self._define(wanted)
        except duckdb.Error as error:
            raise storage_error(error) or StoreError(
                f"the stores cannot be read: {_first_line(error)}",
                remedy="entra-pipeline verify shows what is damaged or missing.",
            ) from None

    def _define(self, wanted: list[str]) -> None:
        with remembered_listings(self.connection):
            for definition in self._relations.definitions(self.connection, wanted):
                for statement in (definition.sql, *definition.comments):
                    self.connection.execute(statement)
                if definition.settled:
                    self._settled.add(definition.name)

    def statements(self, text: str) -> list[Statement]:
        """Takes a text apart into its statements.

        Raises:
            UsageError: There is none, one changes something, or the text is not understood.
        """
        try:
            found = self.connection.extract_statements(text)
        except duckdb.Error as error:
            raise self.explained(error) from None
        if not found:
            raise UsageError("there is no statement", remedy="Give an SQL statement.")
        for one in found:
            if one.type.name not in _ASKING:
                raise UsageError(
                    f"{one.type.name} statements are refused: backups are read-only",
                    remedy="Ask with SELECT; --output FILE writes the answer to a file.",
                )
        return [Statement(one.query, one.type.name not in _SETTING) for one in found]

    def ask(self, query: str, parameters: list[Any] | None = None) -> duckdb.DuckDBPyConnection:
        """Runs one statement; its result is fetched from what is returned, before the next one runs.

        Raises:
            UsageError: It is more than one statement, one that changes something, or not understood.
            StoreError: The stores cannot be read.
        """
        if len(self.statements(query)) > 1:
            raise UsageError("the query has more than one statement", remedy="Give one SQL statement.")
        self.define(query)
        try:
            return self._execute(query, parameters)
        except duckdb.Error as error:
            if OLDER not in str(error) or not self._settled:
                raise self.explained(error) from None
        self._settled.clear()
        self.define(query)
        try:
            return self._execute(query, parameters)
        except duckdb.Error as error:
            raise self.explained(error) from None

    def _execute(self, query: str, parameters: list[Any] | None) -> duckdb.DuckDBPyConnection:
        # A view names the files of a table several times, and each would be listed anew.
        with remembered_listings(self.connection):
            return self.connection.execute(query, parameters or [])

    def completions(self, text: str, begun: str) -> list[str]:
        """Names that begin with what is typed: tables, and columns of those that the text mentions.

        Args:
            text: The statement so far.
            begun: The word that is being typed.
        """
        mentioned = {word.lower() for word in _WORD.findall(text)}
        columns = [
            name
            for table in dict.fromkeys(re.sub("_(at|history)$", "", word) for word in mentioned)
            for name in Relations.columns(table)
        ]
        names = dict.fromkeys([*columns, *Relations.names()])
        return [name for name in names if name.lower().startswith(begun.lower())]

    def explained(self, error: duckdb.Error) -> EntraPipelineError:
        """What a failure of DuckDB means to the one who asked."""
        if failed := storage_error(error):
            return failed
        text = _first_line(error)
        if _OTHER_BYTES in text:
            return StoreError(
                "an encrypted file is not what was written, or was encrypted with another key",
                remedy="entra-pipeline verify shows which file was changed.",
            )
        if isinstance(error, duckdb.IOException | duckdb.HTTPException):
            return StoreError(text, remedy="entra-pipeline verify shows what is damaged or missing.")
        if isinstance(error, duckdb.CatalogException) and (unknown := _UNKNOWN.search(text)):
            name = unknown[1]
            if name in Relations.names():
                return UsageError(
                    f"{name} is in no schema or catalog",
                    remedy=f"Ask FROM {name}; of one scope with WHERE scope = 'SCOPE'.",
                )
            return UsageError(
                f"there is no table {name!r}{did_you_mean(name.lower(), Relations.names())}",
                remedy="entra-pipeline sql --tables lists the views and macros.",
            )
        near = _CANDIDATES.search(str(error))
        remedy = (
            f"Near names: {near[1]}" if near else "docs/sql.md has examples; DESCRIBE shows the columns of a table."
        )
        if isinstance(error, duckdb.InvalidInputException):
            remedy = "entra-pipeline sql 'FROM recovery_points' lists the points of all scopes."
        return UsageError(text, remedy=remedy)


def believed_place(files: ObjectStore, name: str, scopes: Collection[str] | None = None) -> DuckDBFilesystem:
    """A place whose Parquet files are hashed before DuckDB reads them; `scopes`: those that are all that it has."""
    visible = None if scopes is None else (lambda key: scope_in(key) in scopes)
    return DuckDBFilesystem(files, name, BelievedFiles(files).require, visible)


def plain(value: Any) -> Any:
    """A value of an answer as JSON has it."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    return value if isinstance(value, str | int | float | bool | list | dict | None) else str(value)


def _first_line(error: Exception) -> str:
    """What it says, without the name of the kind of error."""
    return _KIND.sub("", str(error).splitlines()[0])
