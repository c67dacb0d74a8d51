"""Bodies that are not what the status promises: errors, wrong kinds, elements that are no objects, broken text.

Sources: microsoft-graph-explorer-v4#870, #2030, #2834; steampipe-plugin-azuread#114; M365-Assess#114;
msgraph-sdk-dotnet-core#93; msgraph-sdk-dotnet#2661; microsoft-graph-docs-contrib#9338, #8206.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from entra_pipeline.simulator.faults.misbehave.rule import Exchange, Misbehaviour, MisbehaviourRule
from entra_pipeline.simulator.protocol.paths import ResourcePath
from entra_pipeline.simulator.protocol.requests import GraphRequest, GraphResponse, json_answer
from entra_pipeline.simulator.schema import BY_PATH

_MARK = "\uf8ff\uf8fe"

_GUID = re.compile(rb'("id":\s*")([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?="))')


def _has_json(request: GraphRequest, place: ResourcePath) -> bool:
    return place.tail in {"", "delta"} and not place.stream


def _is_page(request: GraphRequest, place: ResourcePath) -> bool:
    if place.tail not in {"", "delta"} or place.stream or place.item or place.inline:
        return False
    if place.relation is not None:
        return place.relation.many
    return not place.key


def _error(exchange: Exchange, rule: MisbehaviourRule) -> GraphResponse | None:
    if exchange.healthy.status != 200:
        return None
    return json_answer({"error": {"code": rule.options["code"], "message": rule.options["message"]}})


def _whole(exchange: Exchange, rule: MisbehaviourRule) -> GraphResponse | None:
    return exchange.replaced(rule.options["body"]) if exchange.healthy.status == 200 else None


def _each(
    change: Callable[[dict[str, Any], MisbehaviourRule], Any],
) -> Callable[[Exchange, MisbehaviourRule], GraphResponse | None]:
    """Returns what puts something else in the place of the elements struck."""

    def act(exchange: Exchange, rule: MisbehaviourRule) -> GraphResponse | None:
        found = exchange.elements(rule)
        if found is None:
            return None
        body, struck = found
        for held, index in struck:
            held[index] = change(held[index], rule)
        return exchange.replaced(body)

    return act


def _insert(exchange: Exchange, rule: MisbehaviourRule) -> GraphResponse | None:
    """Puts an element that is no object into the page: in the place of the objects named, or beside all."""
    value = rule.options["value"]
    if rule.objects:
        return _each(lambda one, _: value)(exchange, rule)
    body = exchange.body()
    held = exchange.lists(body, str(rule.options["within"])) if body is not None else []
    if not held or rule.rng.random() >= rule.probability:
        return None
    held[0].append(value)
    return exchange.replaced(body)


def _without_id(one: dict[str, Any], rule: MisbehaviourRule) -> dict[str, Any]:
    if rule.options["null"] or rule.options["empty"]:
        return {**one, "id": None if rule.options["null"] else ""}
    return {name: value for name, value in one.items() if name != "id"}


def _without_properties(one: dict[str, Any], rule: MisbehaviourRule) -> dict[str, Any]:
    return {name: value for name, value in one.items() if name not in rule.options["properties"]}


def _in_capitals(exchange: Exchange, rule: MisbehaviourRule) -> GraphResponse | None:
    if exchange.body() is None:
        return None
    healthy = exchange.healthy
    body = _GUID.sub(lambda found: found[1] + found[2].upper(), healthy.body)
    return GraphResponse(healthy.status, body, healthy.headers) if body != healthy.body else None


def _wrong_kind(exchange: Exchange, rule: MisbehaviourRule) -> GraphResponse | None:
    """Gives a property another kind: on the objects named, else on a share of those that have it."""
    body = exchange.body()
    if body is None:
        return None
    name, changed = str(rule.options["property"]), False
    for one in body["value"] if isinstance(body.get("value"), list) else [body]:
        if not isinstance(one, dict) or name not in one or (rule.objects and one.get("id") not in rule.objects):
            continue
        if rule.draws(str(one.get("id"))):
            one[name] = rule.options["value"]
            changed = True
    return exchange.replaced(body) if changed else None


def _is_single(request: GraphRequest, place: ResourcePath) -> bool:
    return _has_json(request, place) and not _is_page(request, place)


def _thin(exchange: Exchange, rule: MisbehaviourRule) -> GraphResponse | None:
    """Leaves only some members of a single object."""
    body = exchange.body()
    if body is None or isinstance(body.get("value"), list):
        return None
    without, keep = rule.options["without"], rule.options["keep"]
    shown = {name: value for name, value in body.items() if (name not in without if without else name in keep)}
    return exchange.replaced(shown) if shown != body else None


def _broken_text(raw: bytes) -> Callable[[Exchange, MisbehaviourRule], GraphResponse | None]:
    """Returns what puts bytes that no encoder writes into a text of the elements struck."""

    def act(exchange: Exchange, rule: MisbehaviourRule) -> GraphResponse | None:
        found = exchange.elements(rule)
        if found is None:
            return None
        body, struck = found
        name = str(rule.options["property"])
        for held, index in struck:
            held[index][name] = f"Broken {_MARK} text"
        spoilt = exchange.replaced(body)
        return GraphResponse(spoilt.status, spoilt.body.replace(_MARK.encode(), raw), spoilt.headers)

    return act


def _not_json(exchange: Exchange, rule: MisbehaviourRule) -> GraphResponse | None:
    """Puts a text that JSON does not allow into elements of a page."""
    return _broken_text(str(rule.options["text"]).encode())(exchange, rule)


def _nest(exchange: Exchange, rule: MisbehaviourRule) -> GraphResponse | None:
    """Gives a property of elements a value that is nested too deeply for most programs."""
    found = exchange.elements(rule)
    if found is None:
        return None
    body, struck = found
    for held, index in struck:
        held[index][str(rule.options["property"])] = _MARK
    levels = int(rule.options["levels"])
    nested = exchange.replaced(body)
    value = b'{"and":[' * levels + b"]}" * levels
    return GraphResponse(nested.status, nested.body.replace(f'"{_MARK}"'.encode(), value), nested.headers)


def _cut_page(exchange: Exchange, rule: MisbehaviourRule) -> GraphResponse | None:
    """Ends a page in the middle of an element, before the link to the next."""
    body = exchange.body()
    held = body.get("value") if body is not None else None
    if body is None or not isinstance(held, list) or not held:
        return None
    kept, cut = held[: len(held) // 2], msgspec.json.encode(held[len(held) // 2])
    begin = {name: value for name, value in body.items() if name == "@odata.context"}
    page = exchange.replaced({**begin, "value": kept})
    start = page.body.removesuffix(b"]}") + (b"," if kept else b"")
    return GraphResponse(page.status, start + cut[: len(cut) // 2], page.headers)


def _other_objects(exchange: Exchange, rule: MisbehaviourRule) -> GraphResponse | None:
    """Shows the objects of another set in a page of this one."""
    body, other = exchange.body(), BY_PATH.get(tuple(str(rule.options["to"]).lower().split("/")))
    if body is None or other is None or not isinstance(body.get("value"), list) or other is exchange.place.set:
        return None
    shown = [msgspec.json.decode(row.body) for row in exchange.directory.page(other.stored, limit=len(body["value"]))]
    return exchange.replaced({**body, "value": [{"id": one["id"], **one} for one in shown]})


def _mark_order(exchange: Exchange, rule: MisbehaviourRule) -> GraphResponse | None:
    healthy = exchange.healthy
    return GraphResponse(healthy.status, b"\xef\xbb\xbf" + healthy.body, healthy.headers) if healthy.body else None


def _alone(request: GraphRequest, place: ResourcePath) -> bool:
    # A part of a batch is put into the JSON of the batch, where such bytes would spoil all the others.
    return not request.batched


def _page_alone(request: GraphRequest, place: ResourcePath) -> bool:
    return _is_page(request, place) and not request.batched


MISBEHAVIOURS = (
    Misbehaviour(
        "error-body",
        "status 200 with the body of an error",
        _error,
        {"code": "UnknownError", "message": "An error has occurred."},
        applies=_has_json,
    ),
    Misbehaviour(
        "wrong-body",
        "status 200 with a body that is text, null or an array",
        _whole,
        {"body": "text"},
        applies=_has_json,
    ),
    Misbehaviour(
        "element-null",
        "a null among the elements of a page, or among the links that objects carry (`within=members@delta`)",
        _insert,
        {"value": None, "within": ""},
        applies=_has_json,
        on_elements=True,
    ),
    Misbehaviour(
        "element-not-object",
        "a text, a number or an array among them",
        _insert,
        {"value": "text", "within": ""},
        applies=_has_json,
        on_elements=True,
    ),
    Misbehaviour(
        "element-without-id",
        "an element of a page, or a link, without id, or whose id is null or an empty text",
        _each(_without_id),
        {"null": False, "empty": False, "within": ""},
        applies=_has_json,
        on_elements=True,
    ),
    Misbehaviour(
        "property-missing",
        "an element of a page, or a link, lacks properties; its type, for example",
        _each(_without_properties),
        {"properties": ("@odata.type",), "within": ""},
        applies=_has_json,
        on_elements=True,
    ),
    Misbehaviour(
        "ids-in-capitals",
        "GUIDs that are ids, of objects and of what belongs to them, are written in capitals",
        _in_capitals,
        applies=_has_json,
    ),
    Misbehaviour(
        "single-thin",
        "a single object shows nothing but its id, or lacks properties (`without=`)",
        _thin,
        {"keep": ("@odata.context", "id"), "without": ()},
        applies=_is_single,
    ),
    Misbehaviour(
        "wrong-kind",
        "a property has another kind than the metadata says",
        _wrong_kind,
        {"property": "members@delta", "value": None},
        applies=_has_json,
        on_elements=True,
    ),
    Misbehaviour(
        "not-utf8",
        "a text contains bytes that are no UTF-8",
        _broken_text(b"\xff\xfe"),
        {"property": "displayName"},
        applies=_page_alone,
        on_elements=True,
    ),
    Misbehaviour(
        "not-json",
        "a text contains what JSON does not allow, such as a quotation mark: the page, or the whole batch, is none",
        _not_json,
        {"property": "displayName", "text": '"'},
        applies=_is_page,
        on_elements=True,
    ),
    Misbehaviour(
        "nested-deep",
        "a property of an element holds a value of so many nested objects and arrays",
        _nest,
        {"property": "displayName", "levels": 450},
        applies=_is_page,
        on_elements=True,
    ),
    Misbehaviour(
        "page-cut",
        "a page ends in the middle of an element, before the link to the next one, whenever it is requested",
        _cut_page,
        applies=_page_alone,
    ),
    Misbehaviour(
        "other-objects",
        "a page shows the objects of another set, under the context and with the links of the right one",
        _other_objects,
        {"to": "groups"},
        applies=lambda request, place: _is_page(request, place) and place.relation is None,
    ),
    Misbehaviour(
        "lone-surrogate",
        "a text contains half of a surrogate pair, as the escape that JSON's grammar allows",
        _broken_text(b"\\ud800"),
        {"property": "displayName"},
        applies=_is_page,
        on_elements=True,
    ),
    Misbehaviour(
        "byte-order-mark",
        "a byte order mark before the JSON",
        _mark_order,
        applies=lambda request, place: _alone(request, place) and not place.stream,
    ),
)
