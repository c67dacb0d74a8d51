"""The ids of others that an object names: in which property, and which text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from entra_pipeline.catalogue import ObjectType

_GUID = re.compile(r"(?<![0-9a-f])[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?![0-9a-f])", re.IGNORECASE)

# Stands for "none": the role of an assignment without one. The policy of a tenant has it for an id.
_NONE = "00000000-0000-0000-0000-000000000000"


def is_guid(text: str) -> bool:
    """Tells whether a text is a GUID, as most ids of Graph are."""
    return _GUID.fullmatch(text) is not None


def guids_in(text: str) -> list[str]:
    """Finds the GUIDs in a text, in their order."""
    return _GUID.findall(text)


def guid_places(text: str) -> Iterator[tuple[int, str]]:
    """Finds the GUIDs in a text, each after the place where it begins."""
    return ((found.start(), found[0]) for found in _GUID.finditer(text))


def mentioned(entry: ObjectType, body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Gives the ids of others that an object names, each after the path of its property.

    GUIDs anywhere, and whatever stands in properties that refer to objects.
    """
    for name, value in body.items():
        if name != "id" and "@" not in name:
            yield from _texts(name, value, whole=name in entry.restore.refers)


def is_tie(entry: ObjectType) -> bool:
    """Tells whether objects of a type tie others together, and have no name of their own."""
    return entry.restore.link or entry.belongs_to not in {"", "id"} or entry.identity[0] == "id"


def _texts(path: str, value: Any, *, whole: bool) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        found = guids_in(value)
        yield from ((path, text) for text in found if text != _NONE)
        if whole and not found:
            yield path, value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(path, item, whole=whole)
    elif isinstance(value, dict):
        for name, item in value.items():
            if "@" not in name:
                yield from _texts(f"{path}.{name}", item, whole=whole)
