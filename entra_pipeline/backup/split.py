"""Where a page of Graph becomes rows: objects apart from the relation payloads that a delta query puts inside them."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache

import msgspec

from entra_pipeline.backup.staging import DELETE, UPSERT, Staging
from entra_pipeline.catalogue import Relation
from entra_pipeline.graph import Page


class _Identified(msgspec.Struct, gc=False):
    id: str


class _Removed(msgspec.Struct, gc=False):
    reason: str = ""


@cache
def _short_name(graph_type: str) -> str:
    return sys.intern(graph_type.rpartition(".")[2])


class Neighbour(msgspec.Struct, gc=False):
    """The other end of an edge, as Graph lists it: id, type, and in a delta whether it was removed."""

    id: str
    type: str = msgspec.field(default="", name="@odata.type")
    removed: _Removed | None = msgspec.field(default=None, name="@removed")

    @property
    def target_type(self) -> str:
        """`#microsoft.graph.servicePrincipal` → `servicePrincipal`."""
        return _short_name(self.type)


_identified = msgspec.json.Decoder(_Identified)
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_neighbours = msgspec.json.Decoder(list[Neighbour])
_string = msgspec.json.Decoder(str)
_items = msgspec.json.Decoder(list[msgspec.Raw])
# Keys of a delta object that say nothing about the object itself.
_REMOVED, _SLICE = b'@removed"', b'@delta"'
# What may be nothing but the envelope is looked at: no id and no link to an object is longer.
_SHORT = 400
_ENVELOPE = {"id", "@odata.type", "@odata.id"}
# What Graph adds to a single object's answer (Graph doc: best-practices).
_CONTEXT = {"@odata.context", "@microsoft.graph.tips"}


def split_list_page(page: Page, objects: Staging, *, key: str = "id", parent_id: str | None = None) -> None:
    """Stages the objects of a page of an ordinary collection."""
    number = len(page.value)
    ids = [identify(raw, key) for raw in page.value]
    objects.extend(ids, [parent_id] * number, [UPSERT] * number, list(map(bytes, page.value)))


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


def split_delta_page(page: Page, objects: Staging, edges: Mapping[Relation, Staging]) -> None:
    """Stages the objects of a page of a delta query, and the slices of their relations.

    A large relation comes in slices: the object is repeated, with all its properties or with nothing but its id (Graph
    doc: delta-query-groups). An object with nothing but slices is no news of the object.
    """
    keys = [f"{relation.segment}@delta" for relation in edges]
    names = [b'"%s":' % key.encode() for key in keys]
    news = _news(tuple(keys))
    links = [_Links() for _ in edges]
    ids: list[str] = []
    bodies: list[bytes | None] = []
    for data in map(bytes, page.value):
        if _REMOVED not in data and _SLICE not in data:
            ids.append(_identified.decode(data).id)
            bodies.append(data)
            continue
        identifier, removed, *slices = msgspec.structs.astuple(news.decode(data))
        body: bytes | None = None
        if not removed:
            body = data
            for name, payload, found in zip(names, slices, links, strict=True):
                if payload:
                    found.add(identifier, _neighbours.decode(payload))
                    body = _cut(body, name, bytes(payload))
            if _SLICE in body or len(body) < _SHORT:
                body = _without_slices(data)
                if body is None:
                    continue
        ids.append(identifier)
        bodies.append(body)
    objects.extend(ids, [None] * len(ids), [DELETE if body is None else UPSERT for body in bodies], bodies)
    for found, staged in zip(links, edges.values(), strict=True):
        staged.extend(found.sources, found.targets, found.types, found.changes)


@dataclass(slots=True)
class _Links:
    """Edges of a page, column by column."""

    sources: list[str] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    types: list[str] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)

    def add(self, source_id: str, neighbours: Sequence[Neighbour]) -> None:
        self.sources += [source_id] * len(neighbours)
        self.targets += [other.id for other in neighbours]
        self.types += [_short_name(other.type) for other in neighbours]
        self.changes += [UPSERT if other.removed is None else DELETE for other in neighbours]


@cache
def _news(slices: tuple[str, ...]) -> msgspec.json.Decoder[msgspec.Struct]:
    """Decodes of an object only its id, whether it was removed, and the given slices, as they are."""
    names = ["@removed", *slices]
    fields = [
        (f"field_{i}", msgspec.Raw, msgspec.field(name=name, default=msgspec.Raw())) for i, name in enumerate(names)
    ]
    return msgspec.json.Decoder(msgspec.defstruct("News", [("id", str), *fields]))


def _without_slices(data: bytes) -> bytes | None:
    """An object without the slices of any relation, written anew; None when nothing is left that says anything.

    Graph may track relations that nobody asked for (devices bring `registeredOwners@delta`): they are not part of the
    object either.
    """
    members = _members.decode(data)
    kept = {name: raw for name, raw in members.items() if not name.endswith("@delta")}
    if len(kept) == len(members):
        return data
    return msgspec.json.encode(kept) if kept.keys() - _ENVELOPE else None


def _cut(data: bytes, name: bytes, payload: bytes) -> bytes:
    """The object without one member, and one of the commas around it; as it is when that is not so simple."""
    start = data.find(name)
    end = start + len(name) + len(payload)
    if start < 0 or not data.startswith(payload, start + len(name)):
        return data
    if data[end : end + 1] == b",":
        return data[:start] + data[end + 1 :]
    return data[: start - 1] + data[end:] if data[start - 1 : start] == b"," else data


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
