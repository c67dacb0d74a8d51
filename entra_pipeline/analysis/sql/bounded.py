"""A session for questions of people who are not at home on this machine: it reads the stores, and reaches nothing else.

Two bounds, each of which would do. DuckDB has no access to files, network, extensions and settings: the stores are
handed to it (`store.backends.duckdb_filesystem`), so it knows no secret of theirs either. And what a question may name
is a list: tables and views of ours, and a few functions that make rows out of its own arguments.

What belongs here: what may be asked. What does not: how long it may take and how much memory, which its process decides
(`console.sql`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import duckdb
import msgspec

from entra_pipeline.analysis.sql.relations import Relations
from entra_pipeline.analysis.sql.session import SqlSession
from entra_pipeline.errors import EntraPipelineError, UsageError
from entra_pipeline.project import Project
from entra_pipeline.store.backends.duckdb_filesystem import DuckDBFilesystem
from entra_pipeline.store.state import sql_text

TOO_MUCH = "the query needs more memory than it is allowed"
"""What is said of a question that was given up for its memory."""
LESS = "Narrow the query: name columns, filter with WHERE, count with GROUP BY."
"""What to do about it."""

_FUNCTIONS = {"unnest", "range", "generate_series", "json_each", "json_tree"}
_ASK = "Ask with one SELECT, over what the list of tables names."


class BoundedSession(SqlSession):
    """As `SqlSession`, without a way out.

    Args:
        project: The configuration.
        memory: The most memory that DuckDB takes, such as `512MB`. It spills nothing to disk.

    Raises:
        ConfigurationError: A secret cannot be found.
    """

    def __init__(self, project: Project, memory: str) -> None:
        super().__init__(Relations.of(project, through=DuckDBFilesystem))
        places = ", ".join(f"'{place.url('')}'" for place in self._relations.places.values())
        for setting in (
            f"memory_limit = '{memory}'",
            "temp_directory = ''",
            "threads = 2",
            "python_enable_replacements = false",
            "allow_community_extensions = false",
            f"allowed_directories = [{places}]",
            "enable_external_access = false",
            "lock_configuration = true",
        ):
            self.connection.execute(f"SET {setting}")

    def ask(self, query: str, parameters: list[Any] | None = None) -> duckdb.DuckDBPyConnection:
        """Runs one SELECT.

        Raises:
            UsageError: It is anything else, names what is none of ours, or is not understood.
            StoreError: The stores cannot be read.
        """
        self._check(query)
        return super().ask(query, parameters)

    def explained(self, error: duckdb.Error) -> EntraPipelineError:
        """What a failure of DuckDB means to the one who asked."""
        if isinstance(error, duckdb.OutOfMemoryException):
            return UsageError(TOO_MUCH, remedy=LESS)
        return super().explained(error)

    def _check(self, query: str) -> None:
        """Refuses what is no SELECT, or names what may not be named."""
        if "\0" in query:
            raise UsageError("the query is not text", remedy=_ASK)
        # As a literal: a parameter would have DuckDB import pandas, which takes longer than all else.
        [(text,)] = self.connection.execute(f"SELECT json_serialize_sql({sql_text(query)})").fetchall()
        tree = msgspec.json.decode(text)
        if tree["error"]:
            if tree["error_type"] == "parser":
                # Asking tells where.
                return
            raise UsageError("only SELECT is answered here: what is backed up is only read", remedy=_ASK)
        macros = {name for name in Relations.names() if name.endswith("_at")}
        for node in _nodes(tree["statements"]):
            if node.get("type") == "TABLE_FUNCTION":
                name = str(node.get("function", {}).get("function_name", "")).lower()
                if name not in _FUNCTIONS and name not in macros:
                    raise UsageError(f"the table function {name} is not available here", remedy=_ASK)
            elif node.get("type") == "BASE_TABLE" and not re.fullmatch(r"\w+", str(node.get("table_name"))):
                raise UsageError(f"there is no table {node.get('table_name')!r}", remedy=_ASK)


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object in a statement that was written as JSON."""
    waiting = [tree]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield one
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
