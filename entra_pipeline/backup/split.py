"""Where a page of Graph becomes rows: objects apart from the relation payloads that a delta query puts inside them."""

from __future__ import annotations

from collections.abc import Iterable

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
# Keys of a delta object that say nothing about the object itself.
_ENVELOPE = {"id", "@odata.type", "@odata.id"}


def split_list_page(page: Page, objects: Staging, parent_id: str | None = None) -> None:
    """Stages the objects of a page of an ordinary collection."""
    for raw in page.value:
        objects.append(_identified.decode(raw).id, parent_id, UPSERT, bytes(raw).decode())


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
    """The id of an object read with `$expand=<segment>`, and the expanded items as Graph sent them."""
    members = _members.decode(raw)
    items = members.get(segment)
    return _string.decode(members["id"]), msgspec.json.decode(items, type=list[msgspec.Raw]) if items else []


def neighbour(raw: bytes | msgspec.Raw) -> Neighbour:
    """The end of an edge in a list of directory objects."""
    return msgspec.json.decode(raw, type=Neighbour)


def object_id(raw: bytes | msgspec.Raw) -> str:
    """The `id` of an object."""
    return _identified.decode(raw).id
