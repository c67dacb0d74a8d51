"""Answers to GET: lists, objects, relations, counts, the recycle bin.

What belongs here: Graph's rules of reading other than delta's. Pages go by sequence number, so that an object created
or deleted meanwhile neither shifts nor repeats others.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import msgspec

from entra_pipeline.simulator.faults.settings import TenantSettings
from entra_pipeline.simulator.graph import inline
from entra_pipeline.simulator.graph.options import filter_of, order_of, page_size, select_of
from entra_pipeline.simulator.graph.projection import nulled, shape
from entra_pipeline.simulator.protocol.failures import (
    bad_request,
    not_found,
    unknown_property,
    unsupported,
)
from entra_pipeline.simulator.protocol.odata import (
    Expand,
    check_select,
    parse_expand,
    parse_select,
)
from entra_pipeline.simulator.protocol.paths import ResourcePath
from entra_pipeline.simulator.protocol.requests import GraphRequest, GraphResponse, json_answer
from entra_pipeline.simulator.protocol.tokens import Caller, Signer
from entra_pipeline.simulator.schema import BY_NAME, DIRECTORY_OBJECTS, EntitySet, NavigationProperty
from entra_pipeline.simulator.storage.database import State, StoredObject
from entra_pipeline.simulator.storage.links import DirectoryReader

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])

EXPAND_LIMIT = 20
"""Items of an expanded relation at the most (Graph doc: query-parameters)."""


class Continuation(msgspec.Struct, array_like=True):
    """What a `$skiptoken` of a list carries.

    Attributes:
        after: Sequence number (or, when ordered, offset) the page starts behind.
        number: Which page it is.
        repeat: Where the page before started, when that is to be served again first; -1 = no.
        empty: The page is to be empty.
    """

    after: int
    number: int = 1
    repeat: int = -1
    empty: bool = False


_CONTINUATION_DECODER = msgspec.msgpack.Decoder(Continuation)


class ReadHandler:
    """Reads one tenant."""

    def __init__(self, directory: DirectoryReader, signer: Signer, settings: TenantSettings) -> None:
        self.directory = directory
        self.signer = signer
        self.settings = settings

    def answer(self, request: GraphRequest, place: ResourcePath, caller: Caller) -> GraphResponse:
        """Returns the answer to a GET. Raises Failure."""
        if place.tail == "$ref" and place.relation:
            return self._references(request, place)
        if place.entry is None:
            return self._directory_object(request, place)
        if place.tail == "$count":
            return self._count(request, place)
        if place.inline:
            return inline.read(request, place, self._owner(place))
        if place.stream:
            return self._stream(place)
        if place.relation is not None:
            return self._related(request, place, caller)
        if place.key:
            return self._object(request, place, caller)
        return self._list(request, place, caller)

    # --- one object --------------------------------------------------------------------------------------------------

    def _object(self, request: GraphRequest, place: ResourcePath, caller: Caller) -> GraphResponse:
        entry = place.set
        states = (State.DELETED,) if place.deleted else (State.LIVE,)
        row = self.directory.find(place.key, entry.stored, states=states)
        if row is None:
            raise not_found(place.key)
        select = select_of(self.directory, request, entry, caller)
        bodies = self._bodies(entry, [row], select, single=True)
        self._expand(request, entry, [row], bodies, caller)
        context = {"@odata.context": f"{request.root}/$metadata#{entry.path}/$entity"}
        return json_answer({**context, **_as_dict(bodies[0])})

    def _stream(self, place: ResourcePath) -> GraphResponse:
        held = msgspec.json.decode(self._owner(place).body).get(place.stream)
        if held is None:
            raise not_found(place.stream)
        return GraphResponse(200, base64.b64decode(held), {"Content-Type": "image/png"})

    def _directory_object(self, request: GraphRequest, place: ResourcePath) -> GraphResponse:
        states = (State.DELETED,) if place.deleted else (State.LIVE,)
        row = self.directory.find(place.key, states=states)
        if row is None or row.type not in DIRECTORY_OBJECTS:
            raise not_found(place.key)
        select = parse_select(request.options.get("$select"))
        body = shape(row.type, select, tag=True)([row.body])[0]
        context = {"@odata.context": f"{request.root}/$metadata#directoryObjects/$entity"}
        return json_answer({**context, **_as_dict(body)})

    def by_ids(self, request: GraphRequest, caller: Caller) -> GraphResponse:
        """Answers POST /directoryObjects/getByIds: the objects that exist, in no promised order."""
        given = request.json()
        ids = given.get("ids")
        if not isinstance(ids, list) or len(ids) > 1000:
            raise bad_request("Invalid value specified for property 'ids' of resource 'directoryObject'.")
        types = set(given.get("types") or ())
        rows = [
            row
            for row in self.directory.by_ids([str(identifier) for identifier in ids])
            if row.type in DIRECTORY_OBJECTS and (not types or row.type in types)
        ]
        select = parse_select(request.options.get("$select"))
        context = {"@odata.context": f"{request.root}/$metadata#directoryObjects"}
        return json_answer({**context, "value": self._mixed(rows, select, caller)})

    def extension_properties(self) -> GraphResponse:
        """Answers POST /directoryObjects/getAvailableExtensionProperties."""
        rows = self.directory.page("extensionProperty")
        return json_answer({"value": shape("extensionProperty", None)([row.body for row in rows])})

    # --- lists -------------------------------------------------------------------------------------------------------

    def _list(self, request: GraphRequest, place: ResourcePath, caller: Caller) -> GraphResponse:
        entry = place.set
        select = select_of(self.directory, request, entry, caller, listing=True)
        condition = filter_of(self.directory, request, entry)
        limit = page_size(request, entry, select)
        order = order_of(self.directory, request, entry)
        requested = request.options.get("$filter", "")
        if entry.filters and not any(all(name in requested for name in names) for names in entry.filters):
            wanted = " or ".join(" and ".join(names) for names in entry.filters)
            raise bad_request(f"The required filter on {wanted} is missing.")
        if self._expands(request) and request.counts and entry.name in DIRECTORY_OBJECTS:
            raise unsupported("$expand is not supported together with advanced queries.")
        state = State.DELETED if place.deleted else State.LIVE

        def fetch(after: int, count: int) -> list[StoredObject]:
            return self.directory.page(
                entry.stored,
                after=0 if order else after,
                offset=after if order else 0,
                order=order or "o.seq",
                limit=count,
                where=condition.sql,
                values=condition.values,
                state=state,
            )

        rows, link = self._page(request, limit, fetch, ordered=bool(order))
        bodies = self._bodies(entry, rows, select)
        if entry.list_hides:
            bodies = [{k: v for k, v in _as_dict(body).items() if k not in entry.list_hides} for body in bodies]
        self._expand(request, entry, rows, bodies, caller)
        head: dict[str, Any] = {"@odata.context": _context(request, entry, select)}
        counts = request.counts if entry.name in DIRECTORY_OBJECTS else request.wants_count
        if counts and "$skiptoken" not in request.options:
            head["@odata.count"] = self.directory.count(entry.stored, condition.sql, condition.values, state=state)
        return _page_of(head, link, bodies)

    def _page(
        self, request: GraphRequest, limit: int, fetch: Any, *, ordered: bool = False
    ) -> tuple[list[StoredObject], str]:
        """Returns the objects of the page requested, and the link to the next page; applies the faults of pages."""
        token = request.options.get("$skiptoken")
        here = self.signer.open(token, _CONTINUATION_DECODER) if token else Continuation(0, 0)
        if here.empty:
            more = bool(fetch(here.after, 1))
            onward = Continuation(here.after, here.number + 1)
            return [], self._next(request, onward) if more else ""
        start = here.repeat if here.repeat >= 0 else here.after
        if limit == 0:
            return fetch(start, -1), ""
        rows = fetch(start, limit + 1)
        more = len(rows) > limit
        rows = rows[:limit]
        if here.repeat >= 0:
            return rows, self._next(request, Continuation(here.after, here.number + 1))
        after = start + len(rows) if ordered else rows[-1].seq if rows else start
        settings = self.settings
        key = f"{request.path}?{request.options.get('$filter', '')}"
        if rows and more and settings.hits("repeat", settings.repeat_pages, key, here.number):
            return rows, self._next(request, Continuation(after, here.number + 1, repeat=start))
        if rows and settings.hits("empty", settings.empty_pages, key, here.number):
            return rows, self._next(request, Continuation(after, here.number + 1, empty=True))
        return rows, self._next(request, Continuation(after, here.number + 1)) if more else ""

    def _next(self, request: GraphRequest, onward: Continuation) -> str:
        return request.link(request.path, {"$skiptoken"}, skiptoken=self.signer.seal(onward))

    def _bodies(
        self, entry: EntitySet, rows: Sequence[StoredObject], select: tuple[str, ...] | None, *, single: bool = False
    ) -> list[Any]:
        bodies = shape(entry.name, select)([row.body for row in rows])
        if "keyCredentials" in entry.properties() and not (single and select and "keyCredentials" in select):
            # The certificate itself comes only when it is selected of one object (Graph doc: application-get).
            bodies = [without_keys(body, row) for body, row in zip(bodies, rows, strict=True)]
        return bodies

    def _count(self, request: GraphRequest, place: ResourcePath) -> GraphResponse:
        if not request.advanced:
            raise unsupported("$count is not supported without the ConsistencyLevel:eventual header.")
        entry = place.set
        if place.relation is not None:
            row = self._owner(place)
            where, values = ("o.type = ?", [place.cast]) if place.cast else ("1", [])
            relation = place.relation
            number = self.directory.count_linked(
                relation.codes,
                row.seq,
                inverse=relation.inverse,
                transitive=relation.transitive,
                where=where,
                values=values,
            )
        else:
            condition = filter_of(self.directory, _counting(request), entry)
            state = State.DELETED if place.deleted else State.LIVE
            number = self.directory.count(entry.stored, condition.sql, condition.values, state=state)
        return GraphResponse(200, str(number).encode(), {"Content-Type": "text/plain"})

    # --- relations ---------------------------------------------------------------------------------------------------

    def _owner(self, place: ResourcePath) -> StoredObject:
        row = self.directory.find(place.key, place.set.name)
        if row is None:
            raise not_found(place.key)
        return row

    def _related(self, request: GraphRequest, place: ResourcePath, caller: Caller) -> GraphResponse:
        entry, relation = place.set, place.followed
        row = self._owner(place)
        select = parse_select(request.options.get("$select"))
        if place.item:
            return self._part(request, row, relation, place.item, select)
        if not relation.many:
            found = self.directory.linked(relation.codes, row.seq, limit=1)
            if not found:
                raise not_found(relation.name)
            if relation.part:
                body = shape(relation.part, select)([found[0].body])[0]
                context = f"{request.root}/$metadata#{entry.path}/{relation.name}/$entity"
            else:
                body = self._mixed(found, select, caller)[0]
                context = f"{request.root}/$metadata#directoryObjects/$entity"
            return json_answer({"@odata.context": context, **_as_dict(body)})
        shown = BY_NAME[relation.part or place.cast] if relation.part or place.cast else None
        where, values = ("o.type = ?", (place.cast,)) if place.cast else ("1", ())
        if request.options.get("$filter"):
            target = shown or BY_NAME["user"]
            condition = filter_of(self.directory, request if request.counts else _counting(request), target)
            where, values = f"({where}) AND ({condition.sql})", (*values, *condition.values)
        if shown:
            check_select(shown, select, self.directory.extensions())
        limit = page_size(request, shown or entry, select) if entry.page else 0

        def fetch(after: int, count: int) -> list[StoredObject]:
            return self.directory.linked(
                relation.codes,
                row.seq,
                inverse=relation.inverse,
                transitive=relation.transitive,
                after=after,
                limit=count,
                where=where,
                values=values,
            )

        rows, link = self._page(request, limit, fetch)
        name = f"{entry.path}('{row.id}')/{relation.part and relation.name}" if relation.part else "directoryObjects"
        head: dict[str, Any] = {"@odata.context": f"{request.root}/$metadata#{name}"}
        if request.counts and "$skiptoken" not in request.options:
            head["@odata.count"] = self.directory.count_linked(
                relation.codes,
                row.seq,
                inverse=relation.inverse,
                transitive=relation.transitive,
                where=where,
                values=values,
            )
        if shown:
            bodies = shape(shown.name, select)([found.body for found in rows])
            self._expand(request, shown, rows, bodies, caller)
        else:
            bodies = self._mixed(rows, select, caller)
        return _page_of(head, link, bodies)

    def _part(
        self,
        request: GraphRequest,
        row: StoredObject,
        relation: NavigationProperty,
        item: str,
        select: tuple[str, ...] | None,
    ) -> GraphResponse:
        found = self.directory.linked(relation.codes, row.seq, where="o.id = ?", values=(item,))
        if (not relation.part and not found) or relation.inverse:
            raise not_found(item)
        if not found and relation.part == "federatedIdentityCredential":
            found = self.directory.linked(
                relation.codes, row.seq, where="json_extract(o.json, '$.name') = ?", values=(item,)
            )
        if not found:
            raise not_found(item)
        return json_answer(_as_dict(shape(found[0].type, select)([found[0].body])[0]))

    def _references(self, request: GraphRequest, place: ResourcePath) -> GraphResponse:
        row = self._owner(place)
        found = self.directory.linked(place.followed.codes, row.seq, inverse=place.followed.inverse)
        links = [{"@odata.id": f"{request.root}/directoryObjects/{target.id}"} for target in found]
        if place.followed.many:
            return json_answer({"value": links})
        if not links:
            raise not_found(place.followed.name)
        return json_answer(links[0])

    def _mixed(self, rows: Sequence[StoredObject], select: tuple[str, ...] | None, caller: Caller) -> list[Any]:
        """Returns objects of several types, in order, each with its `@odata.type`; unreadable ones as nulls."""
        result: list[Any] = [None] * len(rows)
        by_type: dict[str, list[int]] = {}
        for index, row in enumerate(rows):
            by_type.setdefault(row.type, []).append(index)
        for type_name, places in by_type.items():
            if caller.may(BY_NAME[type_name].read):
                bodies = shape(type_name, select, tag=True)([rows[index].body for index in places])
            else:
                bodies = [nulled(type_name, rows[index].id) for index in places]
            for index, body in zip(places, bodies, strict=True):
                result[index] = body
        return result

    @staticmethod
    def _expands(request: GraphRequest) -> list[Expand]:
        return parse_expand(request.options.get("$expand", ""))

    def _expand(
        self, request: GraphRequest, entry: EntitySet, rows: Sequence[StoredObject], bodies: list[Any], caller: Caller
    ) -> None:
        """Adds expanded relations to the bodies, in place: 20 items of each at the most, and no link to the rest."""
        wanted = self._expands(request)
        if len(wanted) > 1 and entry.name in DIRECTORY_OBJECTS:
            raise unsupported("Only one property can be expanded in a request for this entity set.")
        for item in wanted:
            if item.segment in entry.expandable:
                for index, row in enumerate(rows):
                    stored = _MEMBERS.decode(row.body).get(item.segment)
                    if stored is not None:
                        bodies[index] = {**_as_dict(bodies[index]), item.segment: stored}
                continue
            relation = entry.relation(item.segment)
            if relation is None:
                raise unknown_property(item.segment, entry.name)
            if relation.transitive:
                raise unsupported(f"$expand of '{relation.name}' is not supported.")
            linked = self.directory.linked_each(
                relation.codes,
                [row.seq for row in rows],
                inverse=relation.inverse,
                limit=EXPAND_LIMIT if relation.many else 1,
            )
            for index, row in enumerate(rows):
                shown: list[Any] = []
                if found := linked.get(row.seq):
                    if relation.part:
                        shown = shape(relation.part, item.select)([target.body for target in found])
                    else:
                        shown = self._mixed(found, item.select, caller)
                body = _as_dict(bodies[index])
                if relation.many:
                    body[relation.name] = shown
                elif shown:
                    body[relation.name] = shown[0]
                bodies[index] = body


def _context(request: GraphRequest, entry: EntitySet, select: tuple[str, ...] | None) -> str:
    names = f"({','.join(select)})" if select else ""
    return f"{request.root}/$metadata#{entry.path}{names}"


def _counting(request: GraphRequest) -> GraphRequest:
    """Returns the request as if it had `$count=true` and the header: /$count itself is an advanced query."""
    return GraphRequest(
        request.method,
        request.path,
        {**request.options, "$count": "true"},
        {**request.headers, "consistencylevel": "eventual"},
        request.body,
        request.root,
    )


def _as_dict(body: Any) -> dict[str, Any]:
    """Returns the body as a dictionary of raw values, to which more can be added."""
    if isinstance(body, dict):
        return body
    decoded: dict[str, Any] = _MEMBERS.decode(msgspec.json.encode(body))
    return decoded


def without_keys(body: Any, row: StoredObject) -> Any:
    """Returns the body without the certificates themselves, of which only the rest is shown."""
    if b'"key":"' not in row.body:
        return body
    shown = _as_dict(body)
    if "keyCredentials" in shown:
        credentials = msgspec.json.decode(msgspec.json.encode(shown["keyCredentials"]))
        shown["keyCredentials"] = [{**credential, "key": None} for credential in credentials]
    return shown


def _page_of(head: dict[str, Any], link: str, bodies: list[Any]) -> GraphResponse:
    if link:
        head["@odata.nextLink"] = link
    return json_answer({**head, "value": bodies})
