"""Where a page of Graph becomes rows: objects apart from the relation payloads that a delta query puts inside them."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from itertools import chain, repeat

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
_neighbours = msgspec.json.Decoder(list[list[Neighbour]])
_string = msgspec.json.Decoder(str)
_items = msgspec.json.Decoder(list[msgspec.Raw])
# Ends the key of a slice, which says nothing about the object itself.
_SLICE = b'@delta"'
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
    names = [b',"%s":' % key.encode() for key in keys]
    links = [_Links() for _ in edges]
    ids: list[str] = []
    bodies: list[bytes | None] = []
    whole = list(map(bytes, page.value))
    for data, (identifier, removed, slices) in zip(whole, _news(whole, tuple(keys)), strict=True):
        body: bytes | None = None
        if not removed:
            body = data
            for name, payload, found in zip(names, slices, links, strict=True):
                if payload:
                    told = bytes(payload)
                    found.add(identifier, told)
                    body = _cut(body, name, told)
            if _SLICE in body or (len(body) < _SHORT and body is not data):
                body = _without_slices(data)
                if body is None:
                    continue
        ids.append(identifier)
        bodies.append(body)
    objects.extend(ids, [None] * len(ids), [DELETE if body is None else UPSERT for body in bodies], bodies)
    for found, staged in zip(links, edges.values(), strict=True):
        staged.extend(*found.columns())


@dataclass(slots=True)
class _Links:
    """The slices of one relation on a page, and whose they are."""

    sources: list[str] = field(default_factory=list)
    slices: list[bytes] = field(default_factory=list)

    def add(self, source_id: str, told: bytes) -> None:
        self.sources.append(source_id)
        self.slices.append(told)

    def columns(self) -> tuple[list[str], list[str], list[str], list[str]]:
        """The edges, column by column."""
        found = _neighbours.decode(_array(self.slices))
        edges = list(chain.from_iterable(found))
        return (
            list(chain.from_iterable(map(repeat, self.sources, map(len, found)))),
            [edge.id for edge in edges],
            [_short_name(edge.type) for edge in edges],
            [UPSERT if edge.removed is None else DELETE for edge in edges],
        )


def _news(objects: Sequence[bytes], keys: tuple[str, ...]) -> Iterator[tuple[str, msgspec.Raw, list[msgspec.Raw]]]:
    """Of each object its id, whether it was removed, and the slices of those names, as they are: a page at a time."""
    for identifier, removed, *slices in map(msgspec.structs.astuple, _news_decoder(keys).decode(_array(objects))):
        yield identifier, removed, slices


@cache
def _news_decoder(slices: tuple[str, ...]) -> msgspec.json.Decoder[list[msgspec.Struct]]:
    names = ["@removed", *slices]
    fields = [
        (f"field_{i}", msgspec.Raw, msgspec.field(name=name, default=msgspec.Raw())) for i, name in enumerate(names)
    ]
    news = msgspec.defstruct("News", [("id", str), *fields], gc=False)
    return msgspec.json.Decoder(list[news])  # type: ignore[valid-type]


def _array(values: Sequence[bytes]) -> bytes:
    return b"[%s]" % b",".join(values)


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
    """The object without one member, given as its name with comma and colon; as it is when that is not so simple."""
    # Graph puts it last.
    start = len(data) - len(payload) - len(name) - 1
    if not data.startswith(name, start):
        start = data.find(name)
    end = start + len(name) + len(payload)
    if start < 0 or not data.startswith(payload, start + len(name)):
        return data
    return data[:start] + data[end:]


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
