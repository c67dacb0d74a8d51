"""A session for questions of people who are not at home on this machine: it reads the stores, and reaches nothing else.

Two bounds, each of which would do. DuckDB has no access to files, network, extensions and settings: the stores are
handed to it (`store.backends.duckdb_filesystem`), so it knows no secret of theirs either. And what a question may name
is a list: tables and views of ours, and a few functions that make rows out of its own arguments.

What belongs here: what may be asked. What does not: how long it may take and how much memory, which its process decides
(`console.sql`).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import duckdb
import msgspec

from entra_pipeline.analysis.sql.relations import Relations
from entra_pipeline.analysis.sql.session import SqlSession, believed_place
from entra_pipeline.errors import EntraPipelineError, UsageError
from entra_pipeline.project import Project
from entra_pipeline.store.state import sql_text
from entra_pipeline.text import did_you_mean

TOO_MUCH = "the query needs more memory than it is allowed"
"""What is said of a question that was given up for its memory."""
LESS = "Narrow the query: name columns, filter with WHERE, count with GROUP BY."
"""What to do about it."""

_FUNCTIONS = {"unnest", "range", "generate_series", "json_each", "json_tree"}
# Scalar functions that tell of the machine or of DuckDB's settings.
_OF_THE_MACHINE = {
    *("current_setting", "getenv", "getvariable", "current_catalog", "current_database", "current_schema"),
    *("current_schemas", "current_query", "current_query_id", "current_transaction_id", "current_connection_id"),
    *("txid_current", "in_search_path", "pg_conf_load_time", "pg_get_viewdef", "nextval", "currval", "write_log"),
    *("json_execute_serialized_sql", "json_serialize_plan", "json_serialize_sql", "json_deserialize_sql"),
}
_ASK = "Ask with one SELECT, over what the list of tables names."


class BoundedSession(SqlSession):
    """As `SqlSession`, without a way out.

    Args:
        project: The configuration. Where it is a part of one (`Project.narrowed`), objects of other scopes do not
            exist, nor those of none, such as the audit log.
        memory: The most memory that DuckDB takes, such as `512MB`. It spills nothing to disk.

    Raises:
        ConfigurationError: A secret cannot be found.
    """

    def __init__(self, project: Project, memory: str) -> None:
        super().__init__(Relations.of(project, through=partial(believed_place, scopes=_own(project))))
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
        names = set(Relations.names())
        macros = {name for name in names if name.endswith("_at")}
        nodes = list(_nodes(tree["statements"]))
        # What WITH names; one of the same name elsewhere in the statement is the table of that name, or none.
        named = {str(one["key"]).lower() for node in nodes for one in (node.get("cte_map") or {}).get("map", [])}
        for node in nodes:
            if node.get("type") == "TABLE_FUNCTION":
                name = str(node.get("function", {}).get("function_name", "")).lower()
                if name not in _FUNCTIONS and name not in macros:
                    raise UsageError(f"the table function {name} is not available here", remedy=_ASK)
            elif node.get("type") == "BASE_TABLE":
                name, schema = str(node.get("table_name")).lower(), str(node.get("schema_name") or "").lower()
                if name not in names | named or schema not in ("", "main") or node.get("catalog_name"):
                    raise UsageError(f"there is no table {name!r}{did_you_mean(name, names)}", remedy=_ASK)
            elif node.get("class") == "FUNCTION" and str(node.get("function_name")).lower() in _OF_THE_MACHINE:
                raise UsageError(f"the function {node['function_name']} is not available here", remedy=_ASK)


def _own(project: Project) -> frozenset[str] | None:
    """The scopes whose objects may be read; None where these are all."""
    return frozenset(project.scopes) if project.partial else None


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
