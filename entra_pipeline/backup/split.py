"""Where a page of Graph becomes rows: objects apart from the relation payloads that a delta query puts inside them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress

import msgspec

from entra_pipeline.backup.staging import DELETE, UPSERT, Staging
from entra_pipeline.catalogue import Relation
from entra_pipeline.graph import Page


class _Identified(msgspec.Struct):
    id: str


class _Removed(msgspec.Struct):
    reason: str = ""


class Neighbour(msgspec.Struct):
    """The other end of an edge, as Graph lists it: id, type, and in a delta whether it was removed."""

    id: str
    type: str = msgspec.field(default="", name="@odata.type")
    removed: _Removed | None = msgspec.field(default=None, name="@removed")

    @property
    def target_type(self) -> str:
        """`#microsoft.graph.servicePrincipal` → `servicePrincipal`."""
        return self.type.rpartition(".")[2]


_identified = msgspec.json.Decoder(_Identified)
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_neighbours = msgspec.json.Decoder(list[Neighbour])
_string = msgspec.json.Decoder(str)
_items = msgspec.json.Decoder(list[msgspec.Raw])
# Keys of a delta object that say nothing about the object itself.
_ENVELOPE = {"id", "@odata.type", "@odata.id"}
# What Graph adds to a single object's answer (Graph doc: best-practices).
_CONTEXT = {"@odata.context", "@microsoft.graph.tips"}


def split_list_page(page: Page, objects: Staging, *, key: str = "id", parent_id: str | None = None) -> None:
    """Stages the objects of a page of an ordinary collection."""
    for raw in page.value:
        objects.append(identify(raw, key), parent_id, UPSERT, bytes(raw).decode())


def identify(raw: bytes | msgspec.Raw, key: str = "id", *, otherwise: str = "") -> str:
    """What an object is stored under: its `id`, or where it has none another key.

    Args:
        raw: The object.
        key: The property that identifies it.
        otherwise: What to store it under when it has no key; a hash of what it says when empty, so that it is not lost.
    """
    if key == "id":
        with suppress(msgspec.ValidationError):
            return _identified.decode(raw).id
    value = _members.decode(raw).get(key)
    if value is not None and bytes(value) != b"null":
        return _string.decode(value)
    return otherwise or hashlib.sha256(bytes(raw)).hexdigest()[:32]


def without_context(body: bytes) -> bytes:
    """A single object as a list would show it: it does not say of itself where it was read from."""
    members = _members.decode(body)
    if not members.keys() & _CONTEXT:
        return body
    return msgspec.json.encode({name: value for name, value in members.items() if name not in _CONTEXT})


def split_delta_page(page: Page, objects: Staging, edges: dict[Relation, Staging]) -> None:
    """Stages the objects of a page of a delta query, and the slices of their relations.

    A large relation comes in slices: the object is repeated, with all its properties or with nothing but its id (Graph
    doc: delta-query-groups). An object with nothing but slices is no news of the object.
    """
    for data in map(bytes, page.value):
        if b'@removed"' not in data and b'@delta"' not in data:
            objects.append(_identified.decode(data).id, None, UPSERT, data.decode())
            continue
        members = _members.decode(data)
        identifier = _string.decode(members["id"])
        if "@removed" in members:
            objects.append(identifier, None, DELETE, None)
            continue
        # Graph may track relations that nobody asked for (devices bring `registeredOwners@delta`): they are not part
        # of the object either.
        slices = {key: members.pop(key) for key in list(members) if key.endswith("@delta")}
        for relation, staged in edges.items():
            if payload := slices.get(f"{relation.segment}@delta"):
                _stage_neighbours(identifier, _neighbours.decode(payload), staged)
        if not slices or members.keys() - _ENVELOPE:
            objects.append(identifier, None, UPSERT, msgspec.json.encode(members).decode())


def _stage_neighbours(source_id: str, neighbours: Iterable[Neighbour], staged: Staging) -> None:
    for other in neighbours:
        staged.append(source_id, other.id, other.target_type, DELETE if other.removed else UPSERT)


def split_expanded(raw: bytes | msgspec.Raw, segment: str) -> tuple[str, list[msgspec.Raw]]:
    """The id of an object read with `$expand=<segment>`, and the expanded items as Graph sent them.

    A relation with one item at most is expanded to the item itself.
    """
    members = _members.decode(raw)
    items = members.get(segment)
    identifier = _string.decode(members["id"])
    if items is None or bytes(items) == b"null":
        return identifier, []
    return identifier, _items.decode(items) if bytes(items).startswith(b"[") else [items]


def neighbour(raw: bytes | msgspec.Raw) -> Neighbour:
    """The end of an edge in a list of directory objects."""
    return msgspec.json.decode(raw, type=Neighbour)


def object_id(raw: bytes | msgspec.Raw) -> str:
    """The `id` of an object."""
    return _identified.decode(raw).id
