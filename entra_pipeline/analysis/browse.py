"""What a recovery point holds: counts by category and type, and what one object is linked with.

What belongs here: what a person looks at; the command and the console show the same. What does not: how a condition or
a text chooses (`objects`), and page after page of them (`paging`).

An object is linked with others in three ways: by a relation (`members`), by belonging to it (the federated credentials
of an application), and by naming its id in a property (`principalId`, `conditions.users.excludeGroups`). All are shown
from both ends.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import duckdb
import msgspec

from entra_pipeline.analysis.manifest_rows import category, tables_in_order
from entra_pipeline.analysis.names import names
from entra_pipeline.analysis.objects import one
from entra_pipeline.catalogue import BY_GRAPH_TYPE, CATALOGUE, RELATIONS, ObjectType
from entra_pipeline.store.backends.duckdb_errors import unreadable
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.state import connect, parquet, sql_text
from entra_pipeline.surrogates import replaced_sql

_OBJECT = msgspec.json.Decoder(dict[str, Any])

_GUID = re.compile(r"(?<![0-9a-f])[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?![0-9a-f])", re.IGNORECASE)


def type_rows(manifest: Manifest) -> list[dict[str, Any]]:
    """The tables of a recovery point with `category`, `type`, `title`, `kind`, `rows`, `read` and what each lacks.

    `as_of` is when a table was read that was not read for this point, but taken over from an earlier one.
    """
    older = manifest.older()
    return [
        {
            "category": category(table),
            "type": table,
            "title": CATALOGUE[table].title if table in CATALOGUE else "",
            "kind": entry.kind,
            "rows": entry.live,
            "read": entry.read,
            "as_of": older.get(table, ""),
            "lacks": [gap.what for gap in entry.gaps],
        }
        for table, entry in tables_in_order(manifest).items()
    ]


@dataclass(frozen=True, slots=True)
class Related:
    """What an object is linked with.

    Attributes:
        counts: (relation, direction, type) → how many.
        rows: A page of them: `relation`, `direction` (`to` what the object leads to or owns, `from` what leads to it),
            `type`, `id`, `name`. An object that only ties others together (an assignment, a grant) is called after what
            it ties this one to.
    """

    counts: dict[tuple[str, str, str], int]
    rows: list[dict[str, str]]

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.counts.values())


def related(
    store: ScopeStore,
    manifest: Manifest,
    table: str,
    identifier: str,
    *,
    raw: str = "",
    limit: int | None = None,
    offset: int = 0,
) -> Related:
    """Everything that an object is linked with at a recovery point, in both directions.

    Args:
        store: The scope's store.
        manifest: The recovery point.
        table: Its object type.
        identifier: Its id.
        raw: The object as `one` gives it, if it is at hand.
        limit: Rows at the most.
        offset: Rows to leave out at the beginning.

    Raises:
        UsageError: Unknown object type, or a relation.
        NotAtPoint: The recovery point does not have the type, or the object.
        StoreError: A file cannot be read.
    """
    body = _OBJECT.decode(raw or one(store, manifest, table, identifier))
    with connect(store.files) as connection:
        connection.execute("SET preserve_insertion_order = false")
        try:
            return _Relatives(connection, store, manifest, table, identifier, body).page(limit, offset)
        except duckdb.Error as error:
            raise unreadable(error, f"recovery point {manifest.recovery_point}", store.scope) from None


def states(store: ScopeStore, manifests: Sequence[Manifest], table: str, identifier: str) -> list[str | None]:
    """An object at several recovery points as JSON text, None where it is not; every file is read once.

    Args:
        store: The scope's store.
        manifests: The recovery points.
        table: Its object type.
        identifier: Its id.

    Raises:
        StoreError: A file cannot be read.
    """
    entries = [manifest.tables.get(table) for manifest in manifests]
    parts = {part.key: part for entry in entries if entry for part in entry.parts}
    if not parts:
        return [None] * len(entries)
    store.intact.require(parts.values())
    source = parquet(store.files, list(parts.values()), ", filename = '_file'")
    with connect(store.files) as connection:
        try:
            rows = connection.execute(
                f"SELECT _file, _change, {replaced_sql('_raw')} FROM {source} WHERE id = ?", [identifier]
            ).fetchall()
        except duckdb.Error as error:
            raise unreadable(error, f"{table} of scope {store.scope!r}", store.scope) from None
    held = {file: None if change == "delete" else str(raw) for file, change, raw in rows}
    told = []
    for entry in entries:
        state = None
        # The rule of `state_query`: the base, then the changes in their order.
        for part in sorted(entry.parts, key=lambda part: part.role != "base") if entry else ():
            state = held.get(store.files.url(part.key), state)
        told.append(state)
    return told


class _Link(NamedTuple):
    relation: str
    direction: str
    type: str
    id: str


class _Relatives:
    """The search for what one object is linked with."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        store: ScopeStore,
        manifest: Manifest,
        table: str,
        identifier: str,
        body: dict[str, Any],
    ) -> None:
        self._connection = connection
        self._store = store
        self._manifest = manifest
        self._table = table
        self._id = identifier
        # Most types of most tenants have nothing that could lead anywhere.
        self._tables = [name for name, entry in tables_in_order(manifest).items() if entry.live]
        self._objects = [name for name in self._tables if name in CATALOGUE]
        self._body = body
        aliases = (self._body.get(name) for name in CATALOGUE[table].aliases)
        self._known_as = [identifier, *(str(value) for value in aliases if value)]
        self._bodies: dict[tuple[str, str], dict[str, Any]] = {}

    def page(self, limit: int | None, offset: int) -> Related:
        """What it is linked with."""
        links = list(dict.fromkeys([*self._edges(), *self._owned(), *self._named()]))
        told = {(link.type, link.id) for link in links if link.direction == "to"}
        # An object that names the one it belongs to, or that both name alike, says nothing new.
        links += [link for link in dict.fromkeys(self._naming()) if (link.type, link.id) not in told]
        some = links[offset : None if limit is None else offset + limit]
        called = self._names(some)
        rows = [{**link._asdict(), "name": called.get((link.type, link.id), link.id)} for link in some]
        return Related(Counter(link[:3] for link in links), rows)

    def _own(self, table: str) -> dict[str, Any]:
        query = f"SELECT _raw FROM ({self._state(table)}) WHERE id = ?"
        found = self._connection.execute(query, [self._id]).fetchone()
        return _OBJECT.decode(found[0]) if found else {}

    def _state(self, table: str, columns: str = "*") -> str:
        return self._store.intact_state(self._manifest.tables[table], columns)

    def _union(self, queries: Sequence[str], *parameters: object) -> list[Any]:
        """The rows of several queries in one go, sorted: in the order of the queries, then by what they give."""
        numbered = (f"SELECT {number}, * FROM ({query})" for number, query in enumerate(queries))
        if not queries:
            return []
        rows = self._connection.execute(" UNION ALL ".join(numbered), list(parameters)).fetchall()
        return [row[1:] for row in sorted(rows)]

    def _edges(self) -> Iterator[_Link]:
        """The links of relations."""
        queries = []
        identifier = sql_text(self._id)
        for table in (name for name in self._tables if name in RELATIONS):
            owner, relation = RELATIONS[table]
            there, back = sql_text(relation.segment), sql_text(relation.inverse or relation.segment)
            if owner.name == self._table:
                columns = f"{there}, 'to', coalesce(target_type, ''), target_id"
                queries.append(f"SELECT {columns} FROM ({self._state(table)}) WHERE source_id = {identifier}")
            columns = f"{back}, 'from', {sql_text(owner.graph_type)}, source_id"
            queries.append(f"SELECT {columns} FROM ({self._state(table)}) WHERE target_id = {identifier}")
        for relation_name, direction, kind, other in self._union(queries):
            yield _Link(relation_name, direction, BY_GRAPH_TYPE[kind].name if kind in BY_GRAPH_TYPE else kind, other)

    def _owned(self) -> Iterator[_Link]:
        """The objects that belong to it, and the one that it belongs to."""
        identifier = sql_text(self._id)
        queries = []
        for name in self._objects:
            parent = CATALOGUE[name].parent
            if parent is not None and parent.type == self._table:
                columns = f"{sql_text(parent.segment)}, 'to', {sql_text(name)}, id"
                queries.append(f"SELECT {columns} FROM ({self._state(name)}) WHERE _parent_id = {identifier}")
            if parent is not None and name == self._table:
                columns = f"{sql_text(parent.segment)}, 'from', {sql_text(parent.type)}, _parent_id"
                queries.append(f"SELECT {columns} FROM ({self._state(name)}) WHERE id = {identifier}")
        yield from (_Link(*row) for row in self._union(queries))

    def _named(self) -> Iterator[_Link]:
        """The objects that its properties name; those of the same object seen from another side are its own."""
        bodies = {self._table: self._body}
        bodies |= {name: self._own(name) for name in self._objects if CATALOGUE[name].shows == self._table}
        places: dict[str, str] = {}
        for name, body in bodies.items():
            for path, text in _ids(CATALOGUE[name], body):
                places.setdefault(text, path)
        for text in self._known_as[:1]:
            places.pop(text, None)
        for text, kind, identifier in self._found(places):
            if (kind, identifier) != (self._table, self._id):
                yield _Link(places[text], "to", kind, identifier)

    def _naming(self) -> Iterator[_Link]:
        """The objects whose properties name it."""
        needles = [text if _GUID.fullmatch(text) else f'"{text}"' for text in self._known_as]
        holds = " OR ".join(f"contains(_raw, {sql_text(needle)})" for needle in needles)
        seen = set()
        for kind, identifier, raw in self._holding(holds):
            entry = CATALOGUE[kind]
            if identifier == self._id and self._table in {kind, entry.shows}:
                continue
            body = _OBJECT.decode(raw)
            self._bodies[kind, identifier] = body
            for path in dict.fromkeys(path for path, text in _ids(entry, body) if text in self._known_as):
                # What shows an object from another side says the same once more.
                if (path, identifier) not in seen:
                    seen.add((path, identifier))
                    yield _Link(path, "from", kind, identifier)

    def _holding(self, condition: str) -> list[tuple[str, str, str]]:
        """The objects for which a condition over `_raw` holds: object type, id, `_raw`; in the order of the types.

        Most types are small files that no change has followed: these are read as one table, which is planned once.
        """
        files, tables = self._store.files, self._manifest.tables
        plain = {
            files.url(part.key): (name, part)
            for name in self._objects
            if all(part.role == "base" for part in tables[name].parts)
            for part in tables[name].parts
        }
        whole = {name for name, _ in plain.values()}
        queries = [
            f"SELECT {sql_text(name)}, id, _raw FROM ({self._state(name)}) WHERE {condition}"
            for name in self._objects
            if name not in whole
        ]
        if plain:
            self._store.intact.require(part for _, part in plain.values())
            source = parquet(files, [part for _, part in plain.values()], ", filename = '_file'")
            queries.append(f"SELECT _file, id, {replaced_sql('_raw')} AS _raw FROM {source} WHERE {condition}")
        rows = [(plain[of][0] if of in plain else of, *row) for of, *row in self._union(queries)]
        place = {name: number for number, name in enumerate(self._objects)}
        return sorted(rows, key=lambda row: (place[row[0]], *row[1:]))

    def _found(self, texts: Mapping[str, object]) -> list[tuple[str, str, str]]:
        """Which objects some ids are: (id or alias, object type, id)."""
        if not texts:
            return []
        wanted = ", ".join(sql_text(text) for text in texts)
        queries = []
        for name in self._objects:
            entry = CATALOGUE[name]
            if entry.shows and entry.shows in self._manifest.tables and not entry.name.startswith("deleted_"):
                continue
            for column in ("id", *(f"json_extract_string(_raw, {sql_text(f'$.{alias}')})" for alias in entry.aliases)):
                queries.append(
                    f"SELECT {column}, {sql_text(name)}, id FROM ({self._state(name)}) WHERE {column} IN ({wanted})"
                )
        return [(text, kind, identifier) for text, kind, identifier in self._union(queries)]

    def _names(self, links: Sequence[_Link]) -> dict[tuple[str, str], str]:
        """What the objects at the other ends are called."""
        wanted: dict[str, set[str]] = {}
        for link in links:
            wanted.setdefault(link.type, set()).add(link.id)
        called = {
            (kind, identifier): name
            for kind, ids in wanted.items()
            for identifier, name in names(self._connection, self._store, self._manifest, {kind: ids}).items()
        }
        return called | self._names_of_ties(wanted)

    def _names_of_ties(self, wanted: Mapping[str, set[str]]) -> dict[tuple[str, str], str]:
        """What assignments and grants are called: the other objects that they name."""
        ties = {kind: ids for kind, ids in wanted.items() if kind in CATALOGUE and _is_tie(CATALOGUE[kind])}
        others: dict[tuple[str, str], list[str]] = {}
        for kind, ids in ties.items():
            for identifier, body in self._decoded(kind, ids):
                own = {identifier, *self._known_as}
                texts = dict.fromkeys(text for _, text in _ids(CATALOGUE[kind], body) if text not in own)
                others[kind, identifier] = list(texts)
        found = self._found(dict.fromkeys(text for texts in others.values() for text in texts))
        titles = {
            identifier: name
            for kind in {kind for _, kind, _ in found}
            for identifier, name in names(
                self._connection, self._store, self._manifest, {kind: {one for _, of, one in found if of == kind}}
            ).items()
        }
        by_text = {text: titles[identifier] for text, _, identifier in reversed(found) if identifier in titles}
        told = {key: " · ".join(by_text[text] for text in texts if text in by_text) for key, texts in others.items()}
        return {key: text for key, text in told.items() if text}

    def _decoded(self, kind: str, ids: set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        missing = {identifier for identifier in ids if (kind, identifier) not in self._bodies}
        if missing:
            query = f"SELECT id, _raw FROM ({self._state(kind)}) SEMI JOIN (SELECT unnest(?) AS id) USING (id)"
            for identifier, raw in self._connection.execute(query, [sorted(missing)]).fetchall():
                self._bodies[kind, identifier] = _OBJECT.decode(raw)
        yield from ((one, self._bodies[kind, one]) for one in ids if (kind, one) in self._bodies)


def _is_tie(entry: ObjectType) -> bool:
    """Whether objects of a type tie others together, and have no name of their own."""
    return entry.restore.link or entry.belongs_to not in {"", "id"} or entry.identity[0] == "id"


def _ids(entry: ObjectType, body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The ids of others that an object names, each after the path of its property.

    GUIDs anywhere, and whatever stands in properties that refer to objects.
    """
    for name, value in body.items():
        if name != "id" and "@" not in name:
            yield from _texts(name, value, whole=name in entry.restore.refers)


def _texts(path: str, value: Any, *, whole: bool) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        found = _GUID.findall(value)
        yield from ((path, text) for text in found)
        if whole and not found:
            yield path, value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(path, item, whole=whole)
    elif isinstance(value, dict):
        for name, item in value.items():
            if "@" not in name:
                yield from _texts(f"{path}.{name}", item, whole=whole)
