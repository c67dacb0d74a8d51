"""What ids lead to: objects at the recovery point, and whether they are in the tenant."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import duckdb

from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.restore.objects.selection import is_bin, is_view
from entra_pipeline.restore.plan.diff import Side
from entra_pipeline.store.state import sql_text


class KnownObject(NamedTuple):
    """An object at the recovery point."""

    table: str
    id: str


class IdIndex:
    """Looks up ids, and other properties by which objects are referred to (appIds), at the point and in the tenant.

    Args:
        connection: Reads both stores.
        point: The recovery point.
        live: The recovery point that shows the tenant.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, point: Side, live: Side) -> None:
        self._connection = connection
        self._point = point
        self._live = live
        self._then: dict[str, list[KnownObject]] = {}
        self._now: dict[str, bool] = {}

    def look_up(self, ids: Collection[str]) -> None:
        """Looks up several ids at once, at the point and in the tenant."""
        self._look_up_then(ids)
        self._look_up_now(ids)

    def _look_up_then(self, ids: Collection[str]) -> None:
        fresh = sorted(set(ids) - self._then.keys())
        self._then |= {one: [] for one in fresh}
        for key, table, id_ in self._found(self._point, fresh):
            self._then[key].append(KnownObject(table, id_))

    def _look_up_now(self, ids: Collection[str]) -> None:
        fresh = sorted(set(ids) - self._now.keys())
        self._now |= dict.fromkeys(fresh, False) | {key: True for key, _, _ in self._found(self._live, fresh)}

    def at_point(self, id_: str) -> list[KnownObject]:
        """Returns the objects of the recovery point that an id leads to; an appId leads to two."""
        self._look_up_then([id_])
        return self._then[id_]

    def is_live(self, id_: str) -> bool:
        """Tells whether an id leads to an object in the tenant."""
        self._look_up_now([id_])
        return self._now[id_]

    def unread(self, types: Collection[str]) -> list[str]:
        """Returns those of some object types that the scope does not protect: nothing of them is known."""
        return sorted(name for name in types if not self._live.has(name))

    def still(self, identity: Mapping[str, str]) -> dict[str, str]:
        """Keeps the changed ids whose new one is in the tenant or its recycle bin, and whose old one is not."""
        self._look_up_now([*identity, *identity.values()])
        binned = {key for key, _, _ in self._found(self._live, sorted(set(identity.values())), bins=True)}
        return {
            old: new
            for old, new in sorted(identity.items())
            if not self.is_live(old) and (self.is_live(new) or new in binned)
        }

    def _found(self, side: Side, ids: list[str], *, bins: bool = False) -> list[tuple[str, str, str]]:
        if not ids:
            return []
        queries = []
        for name, entry in CATALOGUE.items():
            if not side.has(name) or is_bin(entry) is not bins or (is_view(entry) and not bins) or entry.key != "id":
                continue
            queries.append(f"SELECT id AS key, {sql_text(name)} AS place, id FROM ({side.state(name, 'id')})")
            for alias in entry.aliases:
                value = f"json_extract_string(_raw, {sql_text(f'$.{alias}')}) AS key"
                columns = f"{value}, {sql_text(name)} AS place, id"
                queries.append(f"SELECT * FROM ({side.state(name, columns)})")
        if not queries:
            return []
        query = f"SELECT key, place, id FROM ({' UNION ALL '.join(queries)}) SEMI JOIN _sought USING (key) ORDER BY ALL"
        with self._connection.cursor() as own:
            own.execute("CREATE TEMP TABLE _sought AS SELECT unnest(?::VARCHAR[]) AS key", [ids])
            return own.execute(query).fetchall()
