"""Parses a page of Graph into rows: separates objects from the relation payloads of a delta query inside them."""

from __future__ import annotations

import hashlib
import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from itertools import chain, repeat
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from entra_pipeline.backup.rows.staging import DELETE, UPSERT, Staging
from entra_pipeline.catalogue import Relation
from entra_pipeline.errors import GraphProtocolError
from entra_pipeline.graph import GraphPage


class _Identified(msgspec.Struct, gc=False):
    id: str


class _Removed(msgspec.Struct, gc=False):
    reason: str = ""


@cache
def _short_name(graph_type: str) -> str:
    return sys.intern(graph_type.rpartition(".")[2])


class Endpoint(msgspec.Struct, gc=False):
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
_neighbour = msgspec.json.Decoder(Endpoint)
_endpoints = msgspec.json.Decoder(list[list[Endpoint]])
_string = msgspec.json.Decoder(str)
# Ends the key of a slice, which says nothing about the object itself.
_SLICE = b'@delta"'
# What may be nothing but the envelope is looked at: no id and no link to an object is longer.
_SHORT = 400
# Objects to remember: a repeat within so many, some pages, is dropped; a later one is left to the merge.
_RECENT = 400
_ENVELOPE = {"id", "@odata.type", "@odata.id"}
# What Graph adds to a single object's answer (Graph doc: best-practices).
_CONTEXT = {"@odata.context", "@microsoft.graph.tips"}
_ERROR = "error"


def split_list_page(page: GraphPage, objects: Staging, *, key: str = "id", parent_id: str | None = None) -> None:
    """Stages the objects of a page of an ordinary collection."""
    number = len(page.value)
    ids = [identify(raw, key) for raw in page.value]
    objects.extend(ids, [parent_id] * number, [UPSERT] * number, list(map(bytes, page.value)))


def identify(raw: bytes | msgspec.Raw, key: str = "id", *, otherwise: str = "") -> str:
    """Returns the key that an object is stored under: its `id`, or where it has none another property.

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
    """Returns a single object as a list would show it, without the annotations of a single response.

    Raises:
        msgspec.DecodeError: The body is not JSON.
        GraphProtocolError: The body is no object, or an error that came with a status of success.
    """
    try:
        members = _members.decode(body)
    except msgspec.ValidationError as error:
        raise GraphProtocolError(f"Graph answered something that is not an object: {error}") from error
    if _ERROR in members and not members.keys() - _CONTEXT - {_ERROR}:
        detail = bytes(members[_ERROR])[:200].decode("utf-8", "replace")
        raise GraphProtocolError(f"Graph answered an error with a status of success: {detail}")
    if not members.keys() & _CONTEXT:
        return body
    return msgspec.json.encode({name: value for name, value in members.items() if name not in _CONTEXT})


class DeltaPages:
    """Stages the objects of the pages of a delta round, and the slices of their relations.

    A large relation comes in slices: the object is repeated, with all its properties or with nothing but its id (Graph
    doc: delta-query-groups). An object with nothing but slices is no change of the object, and neither is an
    identical repeat.

    Args:
        objects: Takes the objects.
        edges: Take the slices of each relation.
    """

    def __init__(self, objects: Staging, edges: Mapping[Relation, Staging]) -> None:
        keys = [f"{relation.segment}@delta" for relation in edges]
        self._objects = objects
        self._changes = _changes_decoder(tuple(keys))
        self._relations = [
            (attrgetter(f"slice_{number}"), b',"%s":' % key.encode(), staged)
            for number, (key, staged) in enumerate(zip(keys, edges.values(), strict=True))
        ]
        # Where an object has one end at most, nothing comes in slices.
        self._recent = _RecentObjects() if any(relation.many for relation in edges) else None

    def add(self, page: GraphPage) -> None:
        """Stages a page."""
        whole = list(map(bytes, page.value))
        changes = self._changes.decode(_array(whole))
        rests = self._take_links(whole, changes)
        ids: list[str] = []
        bodies: list[bytes | None] = []
        for one, data, rest in zip(changes, whole, rests, strict=True):
            body: bytes | None = rest
            if one.removed:
                body = None
            elif _SLICE in rest or (len(rest) < _SHORT and rest is not data):
                body = _without_slices(data)
                if body is None:
                    continue
            if self._recent is not None and self._recent.repeats(one.id, body):
                continue
            ids.append(one.id)
            bodies.append(body)
        self._objects.extend(ids, [None] * len(ids), [DELETE if body is None else UPSERT for body in bodies], bodies)

    def _take_links(self, objects: list[bytes], changes: list[_Change]) -> list[bytes]:
        """Stages the links of a page; returns the objects without them."""
        rests = objects.copy()
        for slice_of, name, staged in self._relations:
            sources: list[str] = []
            slices: list[bytes] = []
            for index, payload in enumerate(map(slice_of, changes)):
                if payload and not changes[index].removed:
                    links = bytes(payload)
                    sources.append(changes[index].id)
                    slices.append(links)
                    rests[index] = _cut(rests[index], name, links)
            staged.extend(*_edges(sources, slices))
        return rests


class _RecentObjects:
    """The bodies of the last objects."""

    def __init__(self) -> None:
        self._bodies: OrderedDict[str, bytes | None] = OrderedDict()

    def repeats(self, identifier: str, body: bytes | None) -> bool:
        """Tells whether an object repeats its last body."""
        if self._bodies.get(identifier, b"") == body:
            return True
        self._bodies[identifier] = body
        self._bodies.move_to_end(identifier)
        if len(self._bodies) > _RECENT:
            self._bodies.popitem(last=False)
        return False


def _edges(sources: list[str], slices: list[bytes]) -> tuple[list[str], list[str], list[str], list[str]]:
    """The edges of the slices of one relation, and whose they are, column by column."""
    found = _endpoints.decode(_array(slices))
    edges = list(chain.from_iterable(found))
    return (
        list(chain.from_iterable(map(repeat, sources, map(len, found)))),
        [edge.id for edge in edges],
        [_short_name(edge.type) for edge in edges],
        [UPSERT if edge.removed is None else DELETE for edge in edges],
    )


class _Change(msgspec.Struct, gc=False):
    """An object of a delta response; subclasses add `slice_0` and so on, the payload of each relation."""

    id: str
    removed: msgspec.Raw = msgspec.field(default=msgspec.Raw(), name="@removed")


@cache
def _changes_decoder(slices: tuple[str, ...]) -> msgspec.json.Decoder[list[_Change]]:
    """Returns a decoder of a page's objects that leaves the slices of those names as they are."""
    fields = [
        (f"slice_{number}", msgspec.Raw, msgspec.field(name=name, default=msgspec.Raw()))
        for number, name in enumerate(slices)
    ]
    change = msgspec.defstruct("Change", fields, bases=(_Change,), gc=False)
    return msgspec.json.Decoder(list[change])  # type: ignore[valid-type]


def _array(values: Sequence[bytes | msgspec.Raw]) -> bytes:
    return b"[%s]" % b",".join(values)


def _without_slices(data: bytes) -> bytes | None:
    """An object without the slices of any relation, encoded again; None when only the envelope is left.

    Graph may report relations that were not selected (devices bring `registeredOwners@delta`): they are not part of the
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


def removed_links(page: GraphPage, relation: Relation) -> set[tuple[str, str]]:
    """Returns the links of a page of a delta round whose removal it reports, as (source, target)."""
    changes = _changes_decoder((f"{relation.segment}@delta",)).decode(_array(page.value))
    slices = [(one.id, bytes(one.slice_0)) for one in changes if one.slice_0]  # type: ignore[attr-defined]
    sources, targets, _, kinds = _edges([source for source, _ in slices], [links for _, links in slices])
    return {(source, target) for source, target, kind in zip(sources, targets, kinds, strict=True) if kind == DELETE}


class Expanded(NamedTuple):
    """The items of one owner in a response with `$expand`.

    Attributes:
        id: The owner's id.
        items: The items as Graph sent them.
        complete: Graph gave a list and no link to more. A relation that is null or missing is no empty list.
    """

    id: str
    items: list[msgspec.Raw]
    complete: bool


def split_expanded(objects: Sequence[bytes | msgspec.Raw], segment: str) -> list[Expanded]:
    """Returns the owners read with `$expand=<segment>`, and the items of each.

    A relation with one item at most is expanded to the item itself.
    """
    text = _array(objects)
    try:
        return [
            Expanded(one.id, one.items or [], one.items is not None and one.more is None)
            for one in _expanded_decoder(segment, list[msgspec.Raw] | None).decode(text)
        ]
    except msgspec.ValidationError:
        found = _expanded_decoder(segment, msgspec.Raw).decode(text)
        return [Expanded(one.id, [] if bytes(one.items) in {b"", b"null"} else [one.items], True) for one in found]


@cache
def _expanded_decoder(segment: str, items: Any) -> msgspec.json.Decoder[list[Any]]:
    default = msgspec.Raw() if items is msgspec.Raw else None
    fields: list[tuple[str, Any, Any]] = [
        ("items", items, msgspec.field(name=segment, default=default)),
        ("more", str | None, msgspec.field(name=f"{segment}@odata.nextLink", default=None)),
    ]
    return msgspec.json.Decoder(list[msgspec.defstruct("Expanded", fields, bases=(_Identified,), gc=False)])  # type: ignore[misc]


def endpoint(raw: bytes | msgspec.Raw) -> Endpoint:
    """The end of an edge in a list of directory objects."""
    return _neighbour.decode(raw)


def object_id(raw: bytes | msgspec.Raw) -> str:
    """The `id` of an object."""
    return _identified.decode(raw).id
