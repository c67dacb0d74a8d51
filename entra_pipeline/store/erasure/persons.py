"""Whom a name means, in which rows of which recovery points that person's values are, and which records name them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import duckdb

from entra_pipeline.catalogue import CATALOGUE, ObjectType
from entra_pipeline.errors import NotInStore, UsageError
from entra_pipeline.store.backends.encryption.names import is_by_person
from entra_pipeline.store.backends.encryption.sealing import PersonKey
from entra_pipeline.store.manifest import Manifest, Part, canonical
from entra_pipeline.store.parallel import in_turns
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.state import connect, parquet, sealed_keys, sql_text
from entra_pipeline.surrogates import replaced_sql

# What else than names tells who somebody is, where it is told.
_TELLING = ("displayName", "userPrincipalName", "mail", "mobilePhone", "employeeId", "onPremisesSamAccountName")
# Shorter texts are in every file.
_SHORTEST = 4
_RECORDS = ("_restore/", "_drills/")
_OF_SCOPES = ("_unusual/", "_unreadable/", "_jobs/", "_notifications/events/", "_notifications/sent/")


class PersonRows(NamedTuple):
    """A person's values in a scope.

    Attributes:
        rows: Rows that have any, by object type, in all files.
        points: Keys of the recovery points that have such a row, oldest first.
    """

    rows: Mapping[str, int]
    points: tuple[str, ...]


@dataclass(frozen=True)
class ScopePersons:
    """Finds persons in the recovery points of a scope.

    Attributes:
        store: The scope's store.
        manifests: Its recovery points, oldest first.
    """

    store: ScopeStore
    manifests: list[Manifest]
    _parts: dict[str, dict[Part, None]] = field(default_factory=dict)

    @classmethod
    def of(cls, store: ScopeStore) -> ScopePersons:
        """Reads all recovery points of a scope."""
        found = cls(store, list(in_turns(store.manifest, store.points())))
        for manifest in found.manifests:
            for table, entry in manifest.tables.items():
                for part in entry.parts:
                    if is_by_person(part.key):
                        found._parts.setdefault(table, {})[part] = None
        return found

    def find(self, name: str, known: Callable[[str], bool]) -> str:
        """Returns the id of whom a name means.

        Args:
            name: An id, or a name such as userPrincipalName, as it is or once was.
            known: Tells whether an id is a person's.

        Raises:
            NotInStore: Nobody is called so.
            UsageError: Several are.
        """
        if known(name):
            return name
        found: dict[str, str] = {}
        with connect(self.store.files) as connection:
            for entry, parts in self._tables():
                if entry.personal and entry.personal.whose == "id":
                    found |= _called(connection, parquet(self.store.files, parts), entry, name)
        found = {one: title for one, title in found.items() if known(one)}
        if not found:
            raise NotInStore(
                f"scope {self.store.scope!r} knows nobody called {name!r} whose values can be read",
                remedy=f"Give the userPrincipalName or the id; entra-pipeline objects {self.store.scope} users "
                "--search TEXT finds them. entra-pipeline erasures shows who was erased.",
            )
        if len(found) > 1:
            raise UsageError(
                f"{name!r} is the name of {len(found)} people: {', '.join(sorted(found))}",
                remedy="Give the id of one of them.",
            )
        return next(iter(found))

    def rows(self, keys: Collection[PersonKey]) -> PersonRows:
        """Finds the rows whose values some keys open."""
        ids = [key.id for key in keys]
        rows: dict[str, int] = {}
        parts: set[Part] = set()
        with connect(self.store.files) as connection:
            for entry, some in self._tables():
                for part in some:
                    if number := sum(sealed_keys(connection, self.store.files, part, ids).values()):
                        rows[entry.name] = rows.get(entry.name, 0) + number
                        parts.add(part)
        points = [
            one.recovery_point
            for one in self.manifests
            if any(part in parts for table in one.tables.values() for part in table.parts)
        ]
        return PersonRows(dict(sorted(rows.items())), tuple(points))

    def texts(self, person: str) -> set[str]:
        """Returns what a person is called in all recovery points: names, addresses, numbers."""
        found: set[str] = set()
        with connect(self.store.files) as connection:
            for entry, parts in self._tables():
                if entry.personal and entry.personal.whose == "id":
                    body = replaced_sql("_raw")
                    columns = ", ".join(f"json_extract_string({body}, {sql_text(f'$.{one}')})" for one in _TELLING)
                    query = f"SELECT {columns} FROM {parquet(self.store.files, parts)} WHERE id = ?"
                    for row in connection.execute(query, [person]).fetchall():
                        found |= {str(one) for one in row if one and len(str(one)) >= _SHORTEST}
        return found

    def naming(self, texts: Collection[str]) -> Iterator[str]:
        """Yields the keys of records that have one of some texts; of a recovery point, that of its manifest.

        The audit log is not looked at: it names who did something, and on what, and cannot be changed.
        """
        needles = [one.encode() for text in texts for one in {text, text.lower()}]
        files, scope = self.store.files, self.store.scope
        for manifest in self.manifests:
            if any(one in canonical(manifest) for one in needles):
                yield self.store.manifest_key(manifest.recovery_point)
        folders = [*_RECORDS, *(f"{folder}{scope}/" for folder in _OF_SCOPES), "_notifications/outbox/"]
        keys = [file.key for folder in folders for file in files.list(folder) if not file.key.endswith(".parquet")]

        def names(key: str) -> bool:
            try:
                data = files.read(key)
            except NotInStore:
                return False
            return any(one in data for one in needles)

        yield from (key for key, found in zip(keys, in_turns(names, keys), strict=True) if found)

    def _tables(self) -> Iterator[tuple[ObjectType, list[Part]]]:
        for table, parts in self._parts.items():
            if entry := CATALOGUE.get(table):
                yield entry, list(parts)


def _called(connection: duckdb.DuckDBPyConnection, source: str, entry: ObjectType, name: str) -> dict[str, str]:
    names = dict.fromkeys([*entry.identity, "mail"])
    is_it = " OR ".join(
        f"lower(json_extract_string({replaced_sql('_raw')}, {sql_text(f'$.{one}')})) = lower(?)" for one in names
    )
    rows = connection.execute(f"SELECT DISTINCT id FROM {source} WHERE {is_it}", [name] * len(names)).fetchall()
    return {str(one): name for (one,) in rows}
