"""Objects of a recovery point by name, address or id, whatever their type: for who looks before they know the type."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import duckdb

from entra_pipeline.analysis.manifest_rows import tables_in_order
from entra_pipeline.analysis.names import title_sql
from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.store.backends.duckdb_errors import unreadable
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.state import connect, sql_text

_FIELDS = ("displayName", "userPrincipalName", "mail", "mailNickname", "appId", "description")
# What tells objects of one name apart, the best first.
_DETAILS = ("userPrincipalName", "mail", "appId", "description")


class FoundObject(NamedTuple):
    """An object that was found: its type, its id, its name, and what tells it from others of the name."""

    table: str
    id: str
    name: str
    detail: str


def find_by_name(
    store: ScopeStore,
    manifest: Manifest,
    text: str = "",
    *,
    types: Collection[str] = (),
    limit: int,
    offset: int = 0,
) -> tuple[list[FoundObject], dict[str, int]]:
    """Finds objects whose name, address, description or id has a text in it, whatever the case.

    Args:
        store: The scope's store.
        manifest: The recovery point.
        text: The text; all objects for an empty one.
        types: Only these object types; when empty, all that the recovery point has objects of and that can be restored.
        limit: Objects of each type at the most, by name.
        offset: Objects of each type to leave out before.

    Returns:
        What was found, type by type in the catalogue's order; and how many there are of each type in all.

    Raises:
        StoreError: A file cannot be read.
    """
    tables = {name: entry for name, entry in tables_in_order(manifest).items() if name in CATALOGUE and entry.live}
    wanted = [name for name in tables if (name in types if types else CATALOGUE[name].restore.possible)]
    if not wanted:
        return [], {}
    paths = "[" + ", ".join(sql_text(f"$.{name}") for name in _FIELDS) + "]"
    needle = sql_text(text.lower())
    told = f"lower(array_to_string(json_extract_string(_raw, {paths}), chr(10)))"
    holds = f"id = {sql_text(text)} OR contains({told}, {needle})"
    details = ", ".join(f"nullif(json_extract_string(_raw, {sql_text(f'$.{name}')}), '')" for name in _DETAILS)
    queries = [
        f"SELECT {place} AS place, id, {title_sql(CATALOGUE[name])} AS name, coalesce({details}, '') AS detail "
        f"FROM ({store.intact_state(tables[name], 'id, _raw')}) WHERE {holds if text else 'true'}"
        for place, name in enumerate(wanted)
    ]
    query = (
        "SELECT *, count(*) OVER (PARTITION BY place) FROM (" + " UNION ALL ".join(queries) + ") QUALIFY row_number() "
        f"OVER (PARTITION BY place ORDER BY lower(name), id) BETWEEN {offset + 1} AND {offset + limit} "
        "ORDER BY place, lower(name), id"
    )
    with connect(store.files) as connection:
        try:
            rows = connection.execute(query).fetchall()
        except duckdb.Error as error:
            raise unreadable(error, f"recovery point {manifest.recovery_point}", store.scope) from None
    found = [FoundObject(wanted[place], identifier, name, detail) for place, identifier, name, detail, _ in rows]
    return found, {wanted[place]: number for place, *_, number in rows}
