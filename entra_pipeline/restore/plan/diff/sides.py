"""Reading objects of two recovery points: the one to restore, and the one that shows the tenant.

What belongs here: which objects of a table there are, and what they say. What does not: what differs (`compare`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import duckdb
import msgspec
import pyarrow as pa

from entra_pipeline.catalogue import ObjectType
from entra_pipeline.restore.objects.normalize import Body
from entra_pipeline.restore.plan.matching import Namesake, compare_namesakes
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.state import sql_text

_OBJECT = msgspec.json.Decoder(dict[str, Any])

_GUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|extension_[0-9a-f]{32}_"


class Side(NamedTuple):
    """A recovery point in its store."""

    store: ScopeStore
    manifest: Manifest

    def has(self, table: str) -> bool:
        """Tells whether the point has the table, and has read it."""
        entry = self.manifest.tables.get(table)
        return entry is not None and entry.read != "never"

    def state(self, table: str, columns: str) -> str:
        """Returns the SQL of a table's state, whose parts are hashed first (`ScopeStore.intact_state`)."""
        return self.store.intact_state(self.manifest.tables[table], columns)


def decoded(text: str) -> Body:
    """Decodes an object from its JSON text."""
    return _OBJECT.decode(text)


def bodies(connection: duckdb.DuckDBPyConnection, side: Side, table: str, ids: Collection[str]) -> dict[str, str]:
    """Reads objects of a type by id, as JSON text."""
    state = side.state(table, "id, _raw")
    query = f"SELECT id, _raw FROM ({state}) SEMI JOIN (SELECT unnest(?::VARCHAR[]) AS id) USING (id)"
    return dict(connection.execute(query, [sorted(ids)]).fetchall())


def naming(connection: duckdb.DuckDBPyConnection, side: Side, table: str, ids: Collection[str]) -> dict[str, str]:
    """Finds objects of a type that name one of the ids anywhere: their id → JSON text.

    Args:
        connection: Reads the store.
        side: The recovery point; it has the type.
        table: The type.
        ids: GUIDs, and beginnings of names of directory extensions: `extension_<appId>_`.
    """
    query = (
        f"SELECT id, body FROM ({side.state(table, 'id, _raw AS body')}) "
        f"WHERE list_has_any(regexp_extract_all(lower(body), '{_GUID}'), ?::VARCHAR[]) ORDER BY id"
    )
    return dict(connection.execute(query, [sorted(ids)]).fetchall())


def children(connection: duckdb.DuckDBPyConnection, side: Side, table: str, owners: Collection[str]) -> dict[str, str]:
    """Finds objects of a child type that belong to one of the owners: their id → JSON text."""
    state = side.state(table, "id, _parent_id, _raw")
    query = f"SELECT id, _raw FROM ({state}) WHERE _parent_id IN (SELECT unnest(?::VARCHAR[])) ORDER BY id"
    return dict(connection.execute(query, [sorted(owners)]).fetchall())


def parents(
    connection: duckdb.DuckDBPyConnection, sides: Collection[Side], entry: ObjectType, ids: Collection[str]
) -> dict[str, str]:
    """Reads ids of the owners of objects of a child type; what a later side says counts."""
    found: dict[str, str] = {}
    for side in sides if entry.parent is not None and ids else ():
        state = side.state(entry.name, "id, _parent_id")
        query = f"SELECT id, _parent_id FROM ({state}) SEMI JOIN (SELECT unnest(?::VARCHAR[]) AS id) USING (id)"
        found.update(connection.execute(query, [sorted(ids)]).fetchall())
    return found


def meeting(connection: duckdb.DuckDBPyConnection, condition: str, texts: Mapping[str, str]) -> set[str]:
    """Finds the objects, given as JSON text by id, of which a condition of the catalogue over `raw` is true."""
    with connection.cursor() as own:
        own.register("_bodies", pa.table({"id": pa.array(texts.keys(), pa.string()), "raw": list(texts.values())}))
        return {row[0] for row in own.execute(f"SELECT id FROM _bodies WHERE ({condition})").fetchall()}


def namesakes(
    connection: duckdb.DuckDBPyConnection, point: Side, live: Side, entry: ObjectType, *, by_name: bool = False
) -> dict[str, Namesake]:
    """Finds objects that only the tenant has, and that have the unique name of one at the point (`Restore.unique`).

    Args:
        connection: Reads both stores.
        point: The recovery point; it has the type.
        live: The recovery point that shows the tenant; it has it, too.
        entry: The type. Of one that belongs to others nothing is found: which owner is which is not known here.
        by_name: As in `matching.compare_namesakes`.

    Returns:
        Id at the point → the object in the tenant.
    """
    names = entry.restore.unique
    if not names or entry.parent is not None:
        return {}
    evidence = entry.restore.evidence.names if entry.restore.evidence else ()
    keys = [f"nullif(lower(_raw->>{sql_text(f'$.{name}')}), '') AS k{n}" for n, name in enumerate(names)]
    told = [f"_raw->>{sql_text(f'$.{name}')} AS e{n}" for n, name in enumerate(evidence)]
    using = ", ".join(f"k{n}" for n in range(len(names)))
    then, now = (side.state(entry.name, ", ".join(["id", *keys, *told])) for side in (point, live))
    shown = ", ".join(f"{side}.e{n}" for side in ("t", "n") for n in range(len(evidence)))
    query = (
        f"SELECT t.id, n.id{', ' + shown if shown else ''} FROM ({then}) t JOIN ({now}) n USING ({using}) "
        f"WHERE t.id <> n.id AND n.id NOT IN (SELECT id FROM ({point.state(entry.name, 'id')}))"
    )
    found: dict[str, Namesake] = {}
    for old, new, *values in connection.execute(query).fetchall():
        before, after = (
            dict(zip(evidence, some, strict=True)) for some in (values[: len(evidence)], values[len(evidence) :])
        )
        found[old] = compare_namesakes(entry, new, before, after, by_name=by_name)
    return found
