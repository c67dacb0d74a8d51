"""Parses a page of Graph into rows: separates objects from the relation payloads of a delta query inside them."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import chain, repeat
from operator import attrgetter, contains
from typing import Annotated, Any, NamedTuple

import msgspec

from entra_pipeline.backup.rows.ids import in_one_form, one_form
from entra_pipeline.backup.rows.staging import DELETE, UPSERT, Staging
from entra_pipeline.catalogue import Relation
from entra_pipeline.errors import GraphProtocolError
from entra_pipeline.graph import GraphPage
from entra_pipeline.graph.pages import UNREADABLE, Unreadable, checked, legible_id, shown
from entra_pipeline.surrogates import as_text, reveal

# An empty text identifies nothing.
_Id = Annotated[str, msgspec.Meta(min_length=1)]


class _Identified(msgspec.Struct, gc=False):
    id: _Id


class _Removed(msgspec.Struct, gc=False):
    reason: str = ""


@cache
def _short_name(graph_type: str) -> str:
    return sys.intern(graph_type.rpartition(".")[2])


class Endpoint(msgspec.Struct, gc=False):
    """The other end of an edge, as Graph lists it: id, type, and in a delta whether it was removed."""

    id: _Id
    type: str = msgspec.field(default="", name="@odata.type")
    removed: _Removed | None = msgspec.field(default=None, name="@removed")

    @property
    def target_type(self) -> str:
        """`#microsoft.graph.servicePrincipal` → `servicePrincipal`."""
        return _short_name(self.type)


_identified = checked(msgspec.json.Decoder(_Identified).decode)
_identified_list = checked(msgspec.json.Decoder(list[_Identified]).decode)
_elements = checked(msgspec.json.Decoder(list[msgspec.Raw]).decode)
_members = checked(msgspec.json.Decoder(dict[str, msgspec.Raw]).decode)
_neighbour = checked(msgspec.json.Decoder(Endpoint).decode)
_endpoints = checked(msgspec.json.Decoder(list[list[Endpoint]]).decode)
_string = checked(msgspec.json.Decoder(str).decode)
_id, _type, _removed = attrgetter("id"), attrgetter("type"), attrgetter("removed")
# Ends the key of a slice, which says nothing about the object itself.
_SLICE = b'@delta"'
# What may be nothing but the envelope is looked at: no id and no link to an object is longer.
_SHORT = 400
# Objects to remember: a repeat within so many, some pages, is dropped; a later one is left to the merge.
_RECENT = 400
_ENVELOPE = {"id", "@odata.type", "@odata.id"}


def split_list_page(
    page: GraphPage, objects: Staging, *, key: str = "id", parent_id: str | None = None
) -> list[Unreadable]:
    """Stages the objects of a page of an ordinary collection; returns the elements that cannot be read."""
    listed = read_items(page.value, key)
    number = len(listed.ids)
    objects.extend(listed.ids, [parent_id] * number, [UPSERT] * number, list(map(bytes, listed.items)))
    return [*page.unreadable, *listed.unreadable]


class ReadItems(NamedTuple):
    """Elements of a list that have an id, their ids, and the others."""

    items: list[msgspec.Raw]
    ids: list[str]
    unreadable: list[Unreadable]


def read_items(elements: Sequence[msgspec.Raw], key: str = "id") -> ReadItems:
    """Tells the elements of a list that are objects with an id from the others."""
    if key == "id":
        try:
            return ReadItems(list(elements), _ids(_identified_list(_array(elements))), [])
        except UNREADABLE:
            pass
    found = ReadItems([], [], [])
    for raw in elements:
        try:
            found.ids.append(identify(raw, key))
            found.items.append(raw)
        except GraphProtocolError as error:
            found.unreadable.append(Unreadable(bytes(raw), error.message))
    return found


def _ids(objects: Sequence[_Identified]) -> list[str]:
    ids = list(map(_id, objects))
    # Asked of all at once, as hardly any has a half of a surrogate pair.
    return in_one_form(ids if "".join(ids).isascii() else list(map(as_text, ids)))


def identify(raw: bytes | msgspec.Raw, key: str = "id", *, otherwise: str = "") -> str:
    """Returns the key that an object is stored under: its `id`, or where it has none another property.

    Args:
        raw: The object.
        key: The property that identifies it.
        otherwise: What to store it under when it has no key.

    Raises:
        GraphProtocolError: It is no object, or has no key, and there is nothing else to store it under.
    """
    try:
        value = _members(raw).get(key)
        found = _string(value) if value is not None and bytes(value) != b"null" else otherwise
    except UNREADABLE as error:
        raise GraphProtocolError(f"an object whose {key} cannot be read: {shown(bytes(raw))}") from error
    if not found:
        raise GraphProtocolError(f"{shown(bytes(raw))}: there is no {key}")
    return one_form(as_text(found))


class DeltaPages:
    """Stages the objects of the pages of a delta round, and the slices of their relations.

    A large relation comes in slices: the object is repeated, with all its properties or with nothing but its id (Graph
    doc: delta-query-groups). An object with nothing but slices is no change of the object, and neither is an
    identical repeat. What cannot be read is set aside, in `unreadable`.

    Args:
        objects: Takes the objects.
        edges: Take the slices of each relation.
        whole: It is the first round, which tells everything of each object.

    Attributes:
        linked: Ids of objects that had nothing but slices, in a later round: it need not tell anything else of them.
        unreadable: What cannot be read.
    """

    def __init__(self, objects: Staging, edges: Mapping[Relation, Staging], *, whole: bool = True) -> None:
        keys = [f"{relation.segment}@delta" for relation in edges]
        self.linked: set[str] = set()
        self.unreadable: list[DeltaUnreadable] = []
        self._whole = whole
        self._objects = objects
        self._changes = _changes_decoder(tuple(keys))
        self._relations = [
            (relation, attrgetter(f"slice_{number}"), b',"%s":' % keys[number].encode(), staged)
            for number, (relation, staged) in enumerate(edges.items())
        ]
        # Where an object has one end at most, nothing comes in slices.
        self._recent = _RecentObjects() if any(relation.many for relation in edges) else None

    def add(self, page: GraphPage) -> None:
        """Stages a page."""
        self.unreadable += [DeltaUnreadable(None, one.id, one) for one in page.unreadable]
        whole = list(map(bytes, page.value))
        try:
            changes = self._changes(_array(whole))
        except UNREADABLE:
            changes = []
        if len(changes) < len(whole) or not all(map(_is_removal, filter(None, map(_removed, changes)))):
            whole, changes = self._readable(whole)
        _name_in_one_form(changes)
        rests = self._take_links(whole, changes)
        ids = [one.id for one in changes]
        if self._are_plain(ids, changes, rests):
            self._objects.extend(ids, [None] * len(ids), [UPSERT] * len(ids), rests)
            return
        ids = []
        bodies: list[bytes | None] = []
        for one, data, rest in zip(changes, whole, rests, strict=True):
            body: bytes | None = rest
            if one.removed:
                body = None
            elif _SLICE in rest or (len(rest) < _SHORT and rest is not data):
                body = _without_slices(data)
                if body is None:
                    if not self._whole:
                        self.linked.add(one.id)
                    continue
            if self._recent is not None and self._recent.repeats(one.id, body):
                continue
            ids.append(one.id)
            bodies.append(body)
        self._objects.extend(ids, [None] * len(ids), [DELETE if body is None else UPSERT for body in bodies], bodies)

    def _are_plain(self, ids: list[str], changes: list[_Change], rests: list[bytes]) -> bool:
        """Tells whether a page has nothing but changed objects, none twice: those pages are looked at as a whole."""
        has_slices = any(map(contains, rests, repeat(_SLICE)))
        if has_slices or any(map(_removed, changes)) or min(map(len, rests), default=0) < _SHORT:
            return False
        return self._recent is None or self._recent.take_new(ids, rests)

    def _readable(self, objects: list[bytes]) -> tuple[list[bytes], list[_Change]]:
        """Returns the objects of a page that can be read; the others are set aside."""
        whole, changes = [], []
        for data in objects:
            try:
                [one] = self._changes(_array([data]))
            except UNREADABLE:
                one = None
            if one is not None and (not one.removed or _is_removal(one.removed)):
                whole.append(data)
                changes.append(one)
                continue
            reason = "an object without an id that can be read" if one is None else "@removed is no object"
            identifier = as_text(legible_id(data))
            self.unreadable.append(DeltaUnreadable(None, identifier, Unreadable(data, reason, identifier)))
        return whole, changes

    def _take_links(self, objects: list[bytes], changes: list[_Change]) -> list[bytes]:
        """Stages the links of a page; returns the objects without them."""
        rests = objects.copy()
        for relation, slice_of, name, staged in self._relations:
            sources: list[str] = []
            slices: list[bytes] = []
            for index, payload in enumerate(map(slice_of, changes)):
                if payload and not changes[index].removed:
                    links = bytes(payload)
                    sources.append(changes[index].id)
                    slices.append(links)
                    rests[index] = _cut(rests[index], name, links)
            try:
                edges = _edges(sources, slices, relation.target)
            except UNREADABLE:
                edges = _edges(sources, self._readable_slices(relation, sources, slices), relation.target)
            staged.extend(*edges)
        return rests

    def _readable_slices(self, relation: Relation, sources: list[str], slices: list[bytes]) -> list[bytes]:
        """Returns slices with the links that can be read; the others are set aside, and so is what is no slice."""
        found = []
        for source, payload in zip(sources, slices, strict=True):
            links = []
            try:
                listed = _elements(payload)
            except UNREADABLE:
                reason = f"{relation.segment}@delta is no list: {shown(payload)}"
                self.unreadable.append(DeltaUnreadable(relation, as_text(source), Unreadable(payload, reason)))
                listed = []
            for raw in listed:
                try:
                    _neighbour(raw)
                    links.append(raw)
                except UNREADABLE:
                    link = Unreadable(bytes(raw), f"a link that cannot be read: {shown(bytes(raw))}")
                    self.unreadable.append(DeltaUnreadable(relation, as_text(source), link))
            found.append(_array(links))
        return found


class DeltaUnreadable(NamedTuple):
    """What of a delta response cannot be read.

    Attributes:
        relation: The relation whose slice it is in; None for an object of the page.
        object: Id of the object, empty when it has none.
        element: What it is.
    """

    relation: Relation | None
    object: str
    element: Unreadable


def _name_in_one_form(changes: list[_Change]) -> None:
    ids = [one.id for one in changes]
    plain = in_one_form(ids)
    if plain is not ids:
        for one, identifier in zip(changes, plain, strict=True):
            one.id = identifier


def _is_removal(removed: msgspec.Raw) -> bool:
    return bytes(removed)[:1] == b"{"


class _RecentObjects:
    """The bodies of the last objects."""

    def __init__(self) -> None:
        self._bodies: OrderedDict[str, bytes | None] = OrderedDict()

    def take_new(self, ids: list[str], bodies: list[bytes]) -> bool:
        """Takes the objects of a page, unless one of them is here already or comes twice; tells whether it did."""
        page = dict(zip(ids, bodies, strict=True))
        if len(page) < len(ids) or not self._bodies.keys().isdisjoint(page):
            return False
        self._bodies.update(page)
        for _ in range(len(self._bodies) - _RECENT):
            self._bodies.popitem(last=False)
        return True

    def repeats(self, identifier: str, body: bytes | None) -> bool:
        """Tells whether an object repeats its last body."""
        if self._bodies.get(identifier, b"") == body:
            return True
        self._bodies[identifier] = body
        self._bodies.move_to_end(identifier)
        if len(self._bodies) > _RECENT:
            self._bodies.popitem(last=False)
        return False


def _edges(
    sources: list[str], slices: list[bytes], target: str = ""
) -> tuple[list[str], list[str], list[str], list[str]]:
    """The edges of the slices of one relation, and whose they are, column by column.

    Args:
        sources: Ids of the owners.
        slices: The slice of each.
        target: The type of targets whose type is not named.
    """
    found = _endpoints(_array(slices))
    edges = list(chain.from_iterable(found))
    types = list(map(_type, edges))
    short = {name: _short_name(name) or target for name in set(types)}
    removed = list(map(_removed, edges))
    return (
        list(chain.from_iterable(map(repeat, sources, map(len, found)))),
        in_one_form(list(map(_id, edges))),
        list(map(short.__getitem__, types)),
        [UPSERT if one is None else DELETE for one in removed] if any(removed) else [UPSERT] * len(edges),
    )


class _Change(msgspec.Struct, gc=False):
    """An object of a delta response; subclasses add `slice_0` and so on, the payload of each relation."""

    id: _Id
    removed: msgspec.Raw = msgspec.field(default=msgspec.Raw(), name="@removed")


@cache
def _changes_decoder(slices: tuple[str, ...]) -> Callable[[bytes], list[_Change]]:
    """Returns a decoder of a page's objects that leaves the slices of those names as they are."""
    fields = [
        (f"slice_{number}", msgspec.Raw, msgspec.field(name=name, default=msgspec.Raw()))
        for number, name in enumerate(slices)
    ]
    change = msgspec.defstruct("Change", fields, bases=(_Change,), gc=False)
    return checked(msgspec.json.Decoder(list[change]).decode)  # type: ignore[valid-type]


def _array(values: Iterable[bytes | msgspec.Raw]) -> bytes:
    return b"[%s]" % b",".join(values)


def _without_slices(data: bytes) -> bytes | None:
    """An object without the slices of any relation, encoded again; None when only the envelope is left.

    Graph may report relations that were not selected (devices bring `registeredOwners@delta`): they are not part of the
    object either.
    """
    members = _members(data)
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
    changes = _changes_decoder((f"{relation.segment}@delta",))(_array(page.value))
    _name_in_one_form(changes)
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


def split_expanded(objects: Sequence[bytes | msgspec.Raw], segment: str) -> tuple[list[Expanded], list[Unreadable]]:
    """Returns the owners read with `$expand=<segment>` with the items of each, and the elements that are no owners.

    A relation with one item at most is expanded to the item itself.
    """
    text = _array(objects)
    try:
        owners = _expanded_decoder(segment)(text)
        return [
            Expanded(identifier, [] if one.items is None else one.items, one.items is not None and one.more is None)
            for identifier, one in zip(_ids(owners), owners, strict=True)
        ], []
    except UNREADABLE:
        found, unreadable = [], []
        for raw in objects:
            try:
                found.append(_expanded(bytes(raw), segment))
            except UNREADABLE:
                unreadable.append(Unreadable(bytes(raw), f"an object without an id: {shown(bytes(raw))}"))
        return found, unreadable


def _expanded(raw: bytes, segment: str) -> Expanded:
    members = _members(raw)
    items = bytes(members.get(segment, msgspec.Raw(b"null")))
    more = bytes(members.get(f"{segment}@odata.nextLink", msgspec.Raw(b"null"))) != b"null"
    owner = identify(raw)
    if items[:1] == b"[":
        return Expanded(owner, _elements(items), not more)
    # Anything but an object, or null where an owner has one item at most, is no answer.
    return Expanded(owner, [msgspec.Raw(items)] if items[:1] == b"{" else [], items[:1] == b"{")


@cache
def _expanded_decoder(segment: str) -> Callable[[bytes], list[Any]]:
    fields: list[tuple[str, Any, Any]] = [
        ("items", list[msgspec.Raw] | None, msgspec.field(name=segment, default=None)),
        ("more", str | None, msgspec.field(name=f"{segment}@odata.nextLink", default=None)),
    ]
    expanded = msgspec.defstruct("Expanded", fields, bases=(_Identified,), gc=False)
    return checked(msgspec.json.Decoder(list[expanded]).decode)  # type: ignore[valid-type]


def stored(raw: bytes | msgspec.Raw) -> str:
    """Returns an object as JSON to store, as Graph sent it."""
    return reveal(bytes(raw)).decode()


def endpoint(raw: bytes | msgspec.Raw) -> Endpoint:
    """The end of an edge in a list of directory objects."""
    found = _neighbour(raw)
    found.id = one_form(found.id)
    return found


def object_id(raw: bytes | msgspec.Raw) -> str:
    """The `id` of an object."""
    return one_form(_identified(raw).id)
