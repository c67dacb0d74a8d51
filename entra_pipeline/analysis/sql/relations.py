"""What can be asked for by name, and the statement that defines it.

What belongs here: names, and which of the stores' files each stands for. What does not: the SQL itself (`statements`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import duckdb

from entra_pipeline.analysis.manifest_rows import category
from entra_pipeline.analysis.sql import statements
from entra_pipeline.analysis.sql.statements import (
    AUDIT,
    EDGE_COLUMNS,
    INDEX_FILES,
    JOBS,
    POINTS,
    RENAMED,
    Root,
    Source,
    SqlTable,
)
from entra_pipeline.analysis.sql.view_statements import AT, POINT_TABLES, data_statement, form_names, view_form
from entra_pipeline.analysis.sql.views import HISTORY, data, views
from entra_pipeline.catalogue import CATALOGUE, RELATIONS, table_names
from entra_pipeline.catalogue.columns import column_types
from entra_pipeline.catalogue.logs import LOGS
from entra_pipeline.project import Project
from entra_pipeline.store.backends import ObjectStore, Readable
from entra_pipeline.store.backends.duckdb_names import literal
from entra_pipeline.store.backends.encryption.names import key_name_in, next_generation, with_key_name
from entra_pipeline.store.backends.encryption.vault import reading_option
from entra_pipeline.store.points.index import INDEX
from entra_pipeline.store.state import sql_text

_OTHERS = ("recovery_points", "recovery_point_tables", "jobs", "audit_events")


class Definition(NamedTuple):
    """A view or macro.

    Attributes:
        name: Its name.
        sql: The statement that defines it, replacing what was there.
        settled: Whether it stays right: not when it says of a store that there are no such files yet.
        comments: The statements that say what it and its columns mean.
    """

    name: str
    sql: str
    settled: bool
    comments: Sequence[str] = ()


class Relations:
    """The views and macros of some stores.

    Args:
        places: The stores: name of the storage profile → place, and the scopes whose points are in it.
    """

    def __init__(self, places: Mapping[str, tuple[Readable, Sequence[str]]]) -> None:
        self.places = {name: files for name, (files, _) in places.items()}
        known = {scope for _, scopes in places.values() for scope in scopes}
        self._roots = [_root(files, sorted(known - set(scopes))) for files, scopes in places.values()]

    @classmethod
    def of(cls, project: Project, through: Callable[[ObjectStore, str], Readable] | None = None) -> Relations:
        """Those of a project's stores.

        Args:
            project: The project.
            through: Makes of each place, and the name of its profile, what DuckDB reads instead.

        Raises:
            ConfigurationError: A secret cannot be found.
        """
        used: dict[str, list[str]] = {}
        for scope in project.scopes.values():
            used.setdefault(scope.storage, []).append(scope.name)
        places = {name: project.storage[name].open() for name in used}
        return cls({name: (through(one, name) if through else one, used[name]) for name, one in places.items()})

    @staticmethod
    def names() -> list[str]:
        """All names, in the order in which a list shows them."""
        tables = [name + suffix for name in table_names() for suffix in ("", AT, HISTORY)]
        return [*form_names(), *_OTHERS, *LOGS, *tables]

    @staticmethod
    def names_at_moments() -> list[str]:
        """Names of which there is a macro for a moment (`users`, of which there is `users_at`)."""
        return [name.removesuffix(AT) for name in Relations.names() if name.endswith(AT)]

    @staticmethod
    def with_needs(names: Iterable[str]) -> list[str]:
        """The names, each once and behind what it rests on."""
        found: dict[str, None] = {}
        for name in names:
            if (form := view_form(name)) and name not in found:
                found |= dict.fromkeys(Relations.with_needs(form.needs))
            found[name] = None
        return list(found)

    @staticmethod
    def by_category() -> dict[str, list[str]]:
        """The views by what they are about; those of object types and relations have the two macros as well."""
        found: dict[str, list[str]] = {}
        for table in table_names():
            found.setdefault(category(table), []).append(table)
        return {
            "Who may do what": [*views()],
            "The backups themselves": [*_OTHERS],
            "Logs": [*LOGS],
            **found,
        }

    @staticmethod
    def columns(table: str) -> list[str]:
        """Columns of a view; property columns of an object type or log; the ends of a relation."""
        if form := view_form(table):
            return form.columns
        if table in RELATIONS:
            return [*EDGE_COLUMNS]
        entry = CATALOGUE.get(table) or LOGS.get(table)
        return [RENAMED.get(name, name) for name in column_types(entry)] if entry else []

    def definitions(
        self, connection: duckdb.DuckDBPyConnection, names: Sequence[str], *, stock: bool = False
    ) -> Iterator[Definition]:
        """The statements that define some names, what all rest on first.

        Args:
            connection: Reads the stores.
            names: Names out of `with_needs`, in its order; what is left out is defined and settled.
            stock: They are for any DuckDB, which has no keys of persons.
        """
        for name, body in (
            (POINTS, statements.points(self._roots)),
            (INDEX_FILES, statements.index_files(self._roots)),
        ):
            yield Definition(name, f'CREATE OR REPLACE VIEW "{name}" AS {body}', True)
        index = self._sources(connection, f"{INDEX}*/*.parquet")
        known: dict[str, tuple[list[Source], frozenset[str]]] = {}
        settled: dict[str, bool] = {}
        for name in names:
            if form := view_form(name):
                settled[name] = all(settled.get(one, True) for one in form.needs)
                yield Definition(name, form.statement, settled[name], form.comments)
                continue
            if name in data():
                yield Definition(name, data_statement(name), True)
                continue
            table = _table(name)
            if table not in known:
                sources = self._sources(connection, _pattern(table), stock=stock)
                if (entry := CATALOGUE.get(table)) and entry.personal:
                    sources += self._sources(connection, _pattern(table), stock=stock, by_person=True)
                    sources = _settled(sources)
                known[table] = sources, _columns(connection, sources) if table in CATALOGUE else frozenset()
            sources, columns = known[table]
            days = [Source(root, _days(table), True) for root in self._roots] if table in LOGS else []
            used = [*index, *sources, *days]
            settled[name] = all(source.present or source.later for source in used)
            yield Definition(name, self._statement(name, table, sources, index, used, columns), settled[name])

    def _statement(
        self,
        name: str,
        table: str,
        sources: Sequence[Source],
        index: Sequence[Source],
        used: Sequence[Source],
        columns: frozenset[str],
    ) -> str:
        if name == POINT_TABLES + AT:
            return f'CREATE OR REPLACE MACRO "{name}" {statements.point_tables_at(index)}'
        if name.endswith(table + AT):
            body = SqlTable(table, sources, index, columns).at(must_have=name == table + AT)
            return f'CREATE OR REPLACE MACRO "{name}" {body}'
        if name == POINT_TABLES:
            body = statements.point_tables(index)
        elif name == POINT_TABLES + HISTORY:
            body = statements.point_tables_ever(index)
        elif name == table + HISTORY:
            body = SqlTable(table, sources, index, columns).history()
        elif name == "recovery_points":
            body = statements.recovery_points(index)
        elif name == "recovery_point_tables":
            body = statements.recovery_point_tables(index)
        elif name == "jobs":
            body = statements.jobs(sources)
        elif name == "audit_events":
            body = statements.audit_events(sources)
        elif name in LOGS:
            days = [source for source in used if source.pattern == _days(name)]
            body = statements.log(LOGS[name], days, sources)
        else:
            body = SqlTable(table, sources, index, columns).latest()
        return f'CREATE OR REPLACE VIEW "{name}" AS {body}'

    def _sources(
        self, connection: duckdb.DuckDBPyConnection, pattern: str, *, stock: bool = False, by_person: bool = False
    ) -> list[Source]:
        def present(root: Root, pattern: str) -> bool:
            return bool(connection.execute(f"FROM glob({root.pattern(pattern)}) LIMIT 1").fetchall())

        found = []
        for root in self._roots:
            if not (root.keys and pattern.endswith(".parquet")):
                if not by_person:
                    found.append(Source(root, pattern, present(root, pattern)))
                continue
            for name in root.keys:
                one = with_key_name(pattern, name, by_person=by_person)
                found.append(Source(root, one, present(root, one), name, by_person=by_person, stock=stock))
            later = with_key_name(pattern, next_generation(root.keys[-1]), by_person=by_person)
            found.append(Source(root, later, False, later=True))
        return found


def _settled(sources: Sequence[Source]) -> list[Source]:
    """Takes files that are not encrypted by person, where others are, for such as come later; and the other way round.

    Mostly a store has the one or the other. A session that meets both looks again (`SqlSession.ask`).
    """
    there = {(source.root, source.key) for source in sources if source.present}
    return [one if one.present else one._replace(later=one.later or (one.root, one.key) in there) for one in sources]


def _root(files: Readable, elsewhere: Sequence[str]) -> Root:
    keys = tuple(files.vault.keys.all) if files.vault else ()
    return Root(files.url("x")[:-1], tuple(elsewhere), keys, closed=bool(keys) and isinstance(files, ObjectStore))


def _table(name: str) -> str:
    """The table of which a name is a view or macro; the name itself where it is of no table."""
    plain = name.removesuffix(AT).removesuffix(HISTORY).removeprefix("_")
    return plain if plain in CATALOGUE or plain in RELATIONS else name


def _pattern(table: str) -> str:
    indexed = ("recovery_points", "recovery_point_tables", POINT_TABLES, POINT_TABLES + AT, POINT_TABLES + HISTORY)
    own = {"jobs": JOBS, "audit_events": AUDIT, **dict.fromkeys(indexed, f"{INDEX}*/*.parquet")}
    return own.get(table) or statements.part_pattern(table)


def _days(log: str) -> str:
    return f"_logs/*/{log}/*.json"


def _columns(connection: duckdb.DuckDBPyConnection, sources: Sequence[Source]) -> frozenset[str]:
    """Columns that all parts of a table have: those of the first and the newest part of every scope.

    A release adds columns or leaves some out, and parts follow each other as releases do.
    """
    patterns = [f"FROM glob({source.root.pattern(source.pattern)})" for source in sources if source.present]
    if not patterns:
        return frozenset()
    by_scope = "GROUP BY regexp_extract(file, '/[a-z-]*scope=[^/]*/')"
    ends = " UNION ".join(f"SELECT unnest([min(file), max(file)]) {pattern} {by_scope}" for pattern in patterns)
    files = sorted(str(file) for (file,) in connection.execute(ends).fetchall())
    schemas = (
        connection.execute(
            f"SELECT * FROM read_parquet({sql_text(literal(file))}, hive_partitioning = false"
            f"{reading_option(key_name_in(file))}) LIMIT 0"
        )
        for file in files
    )
    return frozenset.intersection(*(frozenset(column[0] for column in schema.description) for schema in schemas))
