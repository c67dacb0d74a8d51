"""The columns of objects and log entries in DuckDB: one per property, under Graph's own name.

Scalars are typed, lists of scalars are lists, everything complex is JSON text.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from entra_pipeline.catalogue.logs import LogType
from entra_pipeline.catalogue.model import ObjectType
from entra_pipeline.catalogue.sdk import Property, PropertyKind

_SQL_TYPES = {
    PropertyKind.STRING: "VARCHAR",
    PropertyKind.BOOLEAN: "BOOLEAN",
    PropertyKind.INTEGER: "BIGINT",
    PropertyKind.NUMBER: "DOUBLE",
    PropertyKind.DATETIME: "TIMESTAMPTZ",
    PropertyKind.DATE: "DATE",
    PropertyKind.COMPLEX: "JSON",
}


def column_types(entry: ObjectType | LogType) -> dict[str, str]:
    """The DuckDB types of the property columns of an object type or log, `id` not among them."""
    return {name: _column_type(kind) for name, kind in entry.properties.items() if name != "id"}


def stored_types(entry: ObjectType) -> dict[str, str]:
    """The DuckDB types of all columns of an object type's state, in their order."""
    parent = {"_parent_id": "VARCHAR"} if entry.parent else {}
    return {"id": "VARCHAR", **parent, **column_types(entry), "_raw": "VARCHAR"}


def json_shape(types: Mapping[str, str]) -> str:
    """The structure that DuckDB's json_transform takes: lists are written as `["VARCHAR"]`."""
    shape = {name: [kind[:-2]] if kind.endswith("[]") else kind for name, kind in types.items()}
    return msgspec.json.encode(shape).decode()


def _column_type(kind: Property) -> str:
    if kind.kind is PropertyKind.COMPLEX:
        return "JSON"
    return f"{_SQL_TYPES[kind.kind]}[]" if kind.many else _SQL_TYPES[kind.kind]
