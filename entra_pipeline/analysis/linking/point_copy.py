"""A recovery point in a DuckDB of its own: its objects, links and names, whatever their type.

What belongs here: which tables are copied and when, and the rows of one kind from the copy and from the files. What
does not: what the rows mean to each other (`related`, `called`).

A recovery point has more than a hundred types, most of which are small. To read the file of each for every question
takes longer than to answer it, so what is small is copied when the point is opened. Large tables are asked in their
files until somebody has time to copy what of them is asked for.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from types import MappingProxyType
from typing import Any, NamedTuple
from weakref import finalize

import duckdb

from entra_pipeline.analysis.manifest_rows import tables_in_order
from entra_pipeline.analysis.names import title_sql
from entra_pipeline.catalogue import CATALOGUE, RELATIONS, ObjectType
from entra_pipeline.store.backends.duckdb_errors import unreadable
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.state import connect, parquet, sql_text
from entra_pipeline.surrogates import replaced_sql

# Rows from which on a table is large; and the most memory that a copy takes, what is more of it is on disk.
_LARGE = 20_000
_MEMORY = "512MB"
_FEW = 1_000
_NOTHING: Mapping[str, object] = MappingProxyType({})
_GUID = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
_TABLES = """
CREATE SCHEMA kept;
CREATE TABLE kept.objects (kind VARCHAR, id VARCHAR, _parent_id VARCHAR, _raw VARCHAR);
CREATE TABLE kept.links (relation VARCHAR, source_id VARCHAR, target_id VARCHAR, target_type VARCHAR);
CREATE TABLE kept.known (text VARCHAR, kind VARCHAR, id VARCHAR, name VARCHAR);
CREATE TABLE kept.mentions (kind VARCHAR, text VARCHAR);
"""

_log = logging.getLogger(__name__)


class NamedObject(NamedTuple):
    """An object that a text names: the text (its id or an alias), its type, its id, and what people call it."""

    text: str
    kind: str
    id: str
    name: str


class RawLink(NamedTuple):
    """A link as it is stored: the relation's table, both ids, and Graph's name of the target's type."""

    relation: str
    source: str
    target: str
    target_type: str


class RawObject(NamedTuple):
    """An object as it is stored: its type, its id, its parent's, and its JSON text."""

    kind: str
    id: str
    parent: str
    raw: str


class PointCopy:
    """A recovery point, open to be asked.

    Args:
        store: The scope's store.
        manifest: The recovery point.

    Attributes:
        manifest: The recovery point.
        objects: The object types that have any, in the catalogue's order.

    Raises:
        StoreError: A file cannot be read.
    """

    def __init__(self, store: ScopeStore, manifest: Manifest) -> None:
        self.manifest = manifest
        # Most types of most tenants have nothing that could lead anywhere.
        self._entries = {name: entry for name, entry in tables_in_order(manifest).items() if entry.live}
        self.objects = [name for name in self._entries if name in CATALOGUE]
        self._relations = [name for name in self._entries if name in RELATIONS]
        large = {name for name, entry in self._entries.items() if entry.live >= _LARGE}
        self._small = [name for name in self.objects if name not in large]
        self._large = [name for name in self.objects if name in large]
        # Large tables of which the files still have to be asked.
        self._not_copied = large
        self._store = store
        folder = mkdtemp(prefix="entra-pipeline-")
        # Whoever asks may still do so when it is forgotten: it ends with the last reference.
        self._end = finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._connection = connect(store.files, temp=Path(folder), memory=_MEMORY)
        try:
            with self._explaining():
                self._connection.execute("SET preserve_insertion_order = false")
                self._connection.execute(_TABLES)
                for statement in self._copying_small(large):
                    self._connection.execute(statement)
        except BaseException:
            self.close()
            raise

    @property
    def large(self) -> bool:
        """Whether there is something that `copy_large` would copy."""
        return bool(self._not_copied)

    def close(self) -> None:
        """Closes it and removes its files."""
        self._connection.close()
        self._end()

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            raise unreadable(error, f"recovery point {self.manifest.recovery_point}", self._store.scope) from None

    def select_objects(
        self, condition: str, among: Collection[str] | None = None, *, mentioned: Sequence[str] = ()
    ) -> list[RawObject]:
        """Objects for which a condition holds, in the order of the types, then of their ids.

        Args:
            condition: SQL over `kind`, `id`, `_parent_id` and `_raw`.
            among: Only these types; all when None.
            mentioned: GUIDs of which the condition requires one in `_raw`: types that mention none are left out.

        Raises:
            StoreError: A file cannot be read.
        """
        columns = "kind, id, coalesce(_parent_id, ''), _raw"
        small = [name for name in self._small if among is None or name in among]
        large = [name for name in self._large if among is None or name in among]
        queries = (
            [f"SELECT {columns} FROM kept.objects WHERE kind IN ({_listed(small)}) AND ({condition})"] if small else []
        )
        queries += [
            f"SELECT {columns} FROM ({self._rows(name)}) WHERE {condition}"
            for name in self._mentioning(large, mentioned)
        ]
        place = {name: number for number, name in enumerate(self.objects)}
        found = map(RawObject._make, self._ask(queries))
        return sorted(found, key=lambda one: (place[one.kind], one.id))

    def select_links(self, condition: str) -> list[RawLink]:
        """Links for which a condition holds, in the order of the relations, then of their ids.

        Args:
            condition: SQL over `source_id` and `target_id`.

        Raises:
            StoreError: A file cannot be read.
        """
        columns = "relation, source_id, target_id, coalesce(target_type, '')"
        # What is copied just now may be found in both places.
        in_files = [name for name in self._relations if name in self._not_copied]
        queries = [f"SELECT {columns} FROM kept.links WHERE {condition}"]
        queries += [f"SELECT {columns} FROM ({self._edges(name)}) WHERE {condition}" for name in in_files]
        place = {name: number for number, name in enumerate(self._relations)}
        found = {RawLink._make(row) for row in self._ask(queries)}
        return sorted(found, key=lambda one: (place[one.relation], one))

    def select_known(self, texts: Iterable[str], among: Collection[str] | None = None) -> list[NamedObject]:
        """Which objects some ids and aliases are, in the order of the types.

        Args:
            texts: Ids and aliases.
            among: Only these types; all when None.

        Raises:
            StoreError: A file cannot be read.
        """
        asked = list(dict.fromkeys(texts))
        kinds = [name for name in self.objects if among is None or name in among]
        if not asked or not kinds:
            return []
        # A few are written into each query, which then skips what cannot hold them; a report may ask for very many.
        few = len(asked) <= _FEW
        wanted = _listed(asked) if few else "SELECT unnest($texts)"
        in_files = [name for name in kinds if name in self._not_copied]
        queries = [f"FROM kept.known WHERE text IN ({wanted}) AND kind IN ({_listed(kinds)})"]
        queries += [query for name in in_files for query in _known(CATALOGUE[name], self._rows(name), wanted)]
        place = {name: number for number, name in enumerate(self.objects)}
        found = {NamedObject._make(row) for row in self._ask(queries, {} if few else {"texts": asked})}
        return sorted(found, key=lambda one: (place[one.kind], one))

    def select_named(self, kinds: Collection[str], what: str, tail: str) -> list[tuple[Any, ...]]:
        """The answer to a query over some types: `SELECT what FROM their objects, tail`.

        Args:
            kinds: The types.
            what: SQL over `place` (of the type in `kinds`), `id`, `name` (what people call it) and `_raw`.
            tail: What follows the source in SQL.

        Raises:
            StoreError: A file cannot be read.
        """
        place = {name: number for number, name in enumerate(kinds)}
        small = [name for name in self._small if name in place]
        queries = []
        if small:
            places = ", ".join(f"({sql_text(name)}, {place[name]})" for name in small)
            queries.append(
                "SELECT place, id, name, _raw FROM kept.objects "
                "JOIN (SELECT kind, id, name FROM kept.known WHERE text = id) USING (kind, id) "
                f"JOIN (VALUES {places}) AS places(kind, place) USING (kind)"
            )
        queries += [
            f"SELECT {place[name]} AS place, id, {title_sql(CATALOGUE[name])} AS name, _raw FROM ({self._rows(name)})"
            for name in self._large
            if name in place
        ]
        if not queries:
            return []
        return self._ask([f"SELECT {what} FROM ({' UNION ALL '.join(queries)}) {tail}"])

    def copy_large(self, wait: Callable[[], None]) -> None:
        """Copies what is asked of the large tables; does without where there is no room for it.

        Args:
            wait: Called before each table; returns when somebody has time.
        """
        cursor = self._connection.cursor()
        for name in sorted(self._not_copied):
            wait()
            try:
                cursor.begin()
                for statement in self._copying(name):
                    cursor.execute(statement)
                cursor.commit()
            except duckdb.Error as error:
                # Without a copy it takes longer.
                _log.warning("no copy of a table is kept: %s", str(error).splitlines()[0])
                return
            self._not_copied.discard(name)

    def _copying_small(self, large: Collection[str]) -> Iterator[str]:
        """The statements that copy what is small.

        Most tables are files that no change has followed: these are read as one table, which is planned once.
        """
        files = self._store.files
        small = {name: self._entries[name] for name in (*self._small, *self._relations) if name not in large}
        plain = [name for name, entry in small.items() if all(part.role == "base" for part in entry.parts)]
        for relations in (False, True):
            parts = {
                files.url(part.key): (name, part)
                for name in plain
                if (name in RELATIONS) is relations
                for part in small[name].parts
            }
            if parts:
                self._store.intact.require(part for _, part in parts.values())
                source = parquet(files, [part for _, part in parts.values()], ", filename = '_file'")
                tables = ", ".join(f"({sql_text(file)}, {sql_text(name)})" for file, (name, _) in parts.items())
                joined = f"{source} JOIN (VALUES {tables}) AS named(_file, _table) USING (_file)"
                if relations:
                    yield f"INSERT INTO kept.links SELECT _table, source_id, target_id, target_type FROM {joined}"
                else:
                    # Without a file that has it there is no such column.
                    owned = any(CATALOGUE[name].parent for name, _ in parts.values())
                    yield (
                        f"INSERT INTO kept.objects SELECT _table, id, {'_parent_id' if owned else 'NULL'}, "
                        f"{replaced_sql('_raw')} FROM {joined}"
                    )
        for name in small.keys() - set(plain):
            target, rows = ("links", self._edges(name)) if name in RELATIONS else ("objects", self._rows(name))
            yield f"INSERT INTO kept.{target} FROM ({rows})"
        # Types that are known by the same properties are asked together.
        alike: dict[tuple[str, tuple[str, ...]], list[ObjectType]] = {}
        for entry in map(CATALOGUE.__getitem__, self._small):
            alike.setdefault((title_sql(entry), entry.aliases), []).append(entry)
        for some in alike.values():
            rows = f"FROM kept.objects WHERE kind IN ({_listed(entry.name for entry in some)})"
            yield from (f"INSERT INTO kept.known {query}" for query in _known(some[0], rows))

    def _copying(self, name: str) -> Iterator[str]:
        """The statements that copy what is asked of a large table; the bodies of its objects stay where they are."""
        if name in RELATIONS:
            yield f"INSERT INTO kept.links FROM ({self._edges(name)}) ORDER BY source_id"
            return
        yield from (f"INSERT INTO kept.known {query}" for query in _known(CATALOGUE[name], self._rows(name)))
        texts = f"SELECT id, unnest(regexp_extract_all(_raw, {sql_text(_GUID)})) AS text FROM ({self._rows(name)})"
        yield f"INSERT INTO kept.mentions SELECT DISTINCT {sql_text(name)}, text FROM ({texts}) WHERE text <> id"

    def _mentioning(self, kinds: Sequence[str], texts: Sequence[str]) -> list[str]:
        """Those of the large types whose objects may mention one of the texts."""
        if not texts or not kinds:
            return list(kinds)
        query = f"SELECT DISTINCT kind FROM kept.mentions WHERE text IN ({_listed(texts)})"
        mentioning = {kind for (kind,) in self._ask([query])}
        return [name for name in kinds if name in self._not_copied or name in mentioning]

    def _rows(self, name: str) -> str:
        """SQL of the objects of a type, with the columns of the copy."""
        parent = "_parent_id" if CATALOGUE[name].parent else "NULL::VARCHAR AS _parent_id"
        columns = f"{sql_text(name)} AS kind, id, {parent}, _raw"
        return self._store.intact_state(self._entries[name], columns)

    def _edges(self, name: str) -> str:
        """SQL of the links of a relation, with the columns of the copy."""
        columns = f"{sql_text(name)} AS relation, source_id, target_id, target_type"
        return self._store.intact_state(self._entries[name], columns)

    def _ask(self, queries: Sequence[str], given: Mapping[str, object] = _NOTHING) -> list[tuple[Any, ...]]:
        """The rows of several queries in one go; `given` are their parameters."""
        if not queries:
            return []
        query = " UNION ALL ".join(f"({one})" for one in queries)
        with self._explaining():
            return self._connection.cursor().execute(query, dict(given)).fetchall()


def _known(entry: ObjectType, rows: str, wanted: str = "") -> Iterator[str]:
    """SQL of the texts that objects of a type are known by, with the columns of the copy.

    Args:
        entry: The type.
        rows: SQL of its objects.
        wanted: Only these texts, as a list or a query in SQL.
    """
    for text in ("id", *(f"json_extract_string(_raw, {sql_text(f'$.{alias}')})" for alias in entry.aliases)):
        condition = f"{text} IN ({wanted})" if wanted else f"{text} IS NOT NULL"
        yield f"SELECT {text} AS text, kind, id, {title_sql(entry)} AS name FROM ({rows}) WHERE {condition}"


def _listed(texts: Iterable[str]) -> str:
    return ", ".join(map(sql_text, texts))
