"""Objects of a recovery point by name, address or id, whatever their type: for who looks before they know the type."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from entra_pipeline.analysis.linking.point_copy import PointCopy
from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.store.state import sql_text

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
    copy: PointCopy,
    text: str = "",
    *,
    types: Collection[str] = (),
    limit: int,
    offset: int = 0,
) -> tuple[list[FoundObject], dict[str, int]]:
    """Finds objects whose name, address, description or id has a text in it, whatever the case.

    Args:
        copy: The recovery point.
        text: The text; all objects for an empty one.
        types: Only these object types; when empty, all that the recovery point has objects of and that can be restored.
        limit: Objects of each type at the most, by name.
        offset: Objects of each type to leave out before.

    Returns:
        What was found, type by type in the catalogue's order; and how many there are of each type in all.

    Raises:
        StoreError: A file cannot be read.
    """
    wanted = [name for name in copy.objects if (name in types if types else CATALOGUE[name].restore.possible)]
    paths = "[" + ", ".join(sql_text(f"$.{name}") for name in _FIELDS) + "]"
    needle = sql_text(text.lower())
    told = f"lower(array_to_string(json_extract_string(_raw, {paths}), chr(10)))"
    holds = f"id = {sql_text(text)} OR contains({told}, {needle})" if text else "true"
    details = ", ".join(f"nullif(json_extract_string(_raw, {sql_text(f'$.{name}')}), '')" for name in _DETAILS)
    rows = copy.select_named(
        wanted,
        f"place, id, name, coalesce({details}, '') AS detail, count(*) OVER (PARTITION BY place)",
        f"WHERE {holds} QUALIFY row_number() OVER (PARTITION BY place ORDER BY lower(name), id) "
        f"BETWEEN {offset + 1} AND {offset + limit} ORDER BY place, lower(name), id",
    )
    found = [FoundObject(wanted[place], identifier, name, detail) for place, identifier, name, detail, _ in rows]
    return found, {wanted[place]: number for place, *_, number in rows}
