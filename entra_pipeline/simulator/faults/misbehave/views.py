"""Views that disagree: a list, a count, an expansion or delta that shows less, or something else, than the others.

Sources: microsoft-graph-docs-contrib#3410, #2630, #3575, #3917, #6329; msgraph-sdk-dotnet#392, #578, #1255, #2759.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from entra_pipeline.simulator.faults.misbehave.rule import Exchange, Misbehaviour, MisbehaviourRule
from entra_pipeline.simulator.protocol.failures import Failure, not_found
from entra_pipeline.simulator.protocol.paths import ResourcePath
from entra_pipeline.simulator.protocol.requests import GraphRequest, GraphResponse
from entra_pipeline.simulator.schema import EntitySet, NavigationProperty

VIEWS = ("list", "count", "expand", "delta")
_HIDDEN = "HiddenMembership"
_Edit = Callable[[str, NavigationProperty, list[dict[str, Any]]], list[dict[str, Any]]]
"""Returns the members of an owner as a view shows them."""


def _shows_links(request: GraphRequest, place: ResourcePath) -> bool:
    return not place.deleted and place.entry is not None


def _type_of(place: ResourcePath, relation: NavigationProperty, member: dict[str, Any]) -> str:
    named = str(member.get("@odata.type", "")).removeprefix("#microsoft.graph.")
    return named or place.cast or relation.part


def _edit_views(exchange: Exchange, rule: MisbehaviourRule, views: list[str], edit: _Edit) -> GraphResponse | None:
    """Returns the answer with the members that `edit` leaves; counts are those of the members that it leaves."""
    place = exchange.place
    entry = place.set
    if place.tail == "delta":
        return _edit_objects(exchange, rule, entry, edit, "@delta") if "delta" in views else None
    if place.relation is None:
        return _edit_objects(exchange, rule, entry, edit, "") if "expand" in views else None
    if not rule.is_on(f"{entry.path}/{place.key}/{place.relation.name}") or not _strikes(rule, place.key):
        return None
    if place.tail == "$count":
        return _edit_count(exchange, edit) if "count" in views else None
    if place.tail or place.item:
        return None
    body = exchange.body()
    if body is None:
        return None
    owner = exchange.directory.find(place.key, entry.name)
    identifier = owner.id if owner else place.key
    if not place.relation.many:
        if "list" in views and not edit(identifier, place.relation, [body]):
            raise not_found(place.relation.name)
        return None
    changed = False
    # Another misbehaviour may have left no list.
    if "list" in views and isinstance(body.get("value"), list):
        shown = edit(identifier, place.relation, body["value"])
        changed = shown != body["value"]
        body["value"] = shown
    if "count" in views and "@odata.count" in body:
        counted = len(edit(identifier, place.relation, _members(exchange)))
        changed = changed or counted != body["@odata.count"]
        body["@odata.count"] = counted
    return exchange.replaced(body) if changed else None


def _strikes(rule: MisbehaviourRule, owner: str) -> bool:
    return not rule.objects or owner in rule.objects


def _members(exchange: Exchange) -> list[dict[str, Any]]:
    """Returns id and type of everything at the other end of the relation."""
    place, relation = exchange.place, exchange.place.followed
    owner = exchange.directory.find(place.key, place.set.name)
    found = exchange.directory.linked(
        relation.codes, owner.seq if owner else 0, inverse=relation.inverse, transitive=relation.transitive
    )
    return [
        {"@odata.type": f"#microsoft.graph.{row.type}", "id": row.id}
        for row in found
        if not place.cast or row.type == place.cast
    ]


def _edit_count(exchange: Exchange, edit: _Edit) -> GraphResponse | None:
    healthy = exchange.healthy
    owner = exchange.directory.find(exchange.place.key, exchange.place.set.name)
    if healthy.status != 200 or owner is None:
        return None
    number = len(edit(owner.id, exchange.place.followed, _members(exchange)))
    body = str(number).encode()
    return GraphResponse(200, body, healthy.headers) if body != healthy.body else None


def _edit_objects(
    exchange: Exchange, rule: MisbehaviourRule, entry: EntitySet, edit: _Edit, suffix: str
) -> GraphResponse | None:
    """Edits the members that objects carry: expanded ones, or those of delta (`members@delta`)."""
    body = exchange.body()
    if body is None:
        return None
    owners = body["value"] if isinstance(body.get("value"), list) else [body]
    changed = False
    for one in owners:
        if not isinstance(one, dict) or not _strikes(rule, str(one.get("id"))):
            continue
        for relation in entry.relations:
            name = relation.name + suffix
            if name not in one or not rule.is_on(f"{entry.path}/{one.get('id')}/{relation.name}"):
                continue
            held = one[name]
            many = isinstance(held, list)
            shown = edit(str(one.get("id")), relation, held if many else [held] if isinstance(held, dict) else [])
            if shown == (held if many else [held]):
                continue
            changed = True
            if many and (shown or not suffix):
                one[name] = shown
            elif shown:
                one[name] = shown[0]
            else:
                # Delta has no key for an object without members; neither has an expansion without a single object.
                del one[name]
    return exchange.replaced(body) if changed else None


def _hide(exchange: Exchange, rule: MisbehaviourRule) -> GraphResponse | None:
    types, members = set(rule.options["types"]), set(rule.options["members"])

    def edit(owner: str, relation: NavigationProperty, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        def hidden(one: dict[str, Any]) -> bool:
            if not isinstance(one, dict) or "@removed" in one:
                return False
            if types and _type_of(exchange.place, relation, one) not in types:
                return False
            if members and one.get("id") not in members:
                return False
            return rule.draws(f"{owner}/{relation.name}/{one.get('id')}")

        return [one for one in found if not hidden(one)]

    return _edit_views(exchange, rule, list(rule.options["views"]), edit)


def _hide_memberships(exchange: Exchange, rule: MisbehaviourRule) -> GraphResponse | None:
    if "Member.Read.Hidden" in exchange.caller.roles:
        return None

    def edit(owner: str, relation: NavigationProperty, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        row = exchange.directory.find(owner) if relation.name in {"members", "transitiveMembers"} else None
        if row is None or msgspec.json.decode(row.body).get("visibility") != _HIDDEN:
            return found
        return [one for one in found if "@removed" in one]

    return _edit_views(exchange, rule, list(rule.options["views"]), edit)


def _rename_type(exchange: Exchange, rule: MisbehaviourRule) -> GraphResponse | None:
    given, shown_as = rule.options["type"], rule.options["shown_as"]

    def edit(owner: str, relation: NavigationProperty, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        def renamed(one: dict[str, Any]) -> dict[str, Any]:
            named = isinstance(one, dict) and one.get("@odata.type") == f"#microsoft.graph.{given}"
            if named and rule.draws(f"{owner}/{relation.name}/{one.get('id')}"):
                return {**one, "@odata.type": f"#microsoft.graph.{shown_as}"}
            return one

        return [renamed(one) for one in found]

    return _edit_views(exchange, rule, list(rule.options["views"]), edit)


def _is_set(request: GraphRequest, place: ResourcePath) -> bool:
    return (
        place.entry is not None and place.relation is None and not place.key and place.tail in {"", "delta", "$count"}
    )


def _hide_objects(exchange: Exchange, rule: MisbehaviourRule) -> GraphResponse | None:
    views, entry, place = rule.options["views"], exchange.place.set, exchange.place

    def hidden(identifier: object) -> bool:
        return identifier in rule.objects if rule.objects else rule.draws(str(identifier))

    if not rule.is_on(entry.path):
        return None
    fewer = 0
    if "count" in views and (place.tail == "$count" or exchange.request.wants_count):
        fewer = sum(hidden(row.id) for row in exchange.directory.page(entry.stored))
    if place.tail == "$count":
        return _less(exchange, fewer) if fewer else None
    body = exchange.body()
    if body is None or not isinstance(body.get("value"), list):
        return None
    shown = body["value"]
    if ("delta" if place.tail else "list") in views:
        shown = [one for one in shown if not isinstance(one, dict) or "@removed" in one or not hidden(one.get("id"))]
    counted = {"@odata.count": body["@odata.count"] - fewer} if fewer and "@odata.count" in body else {}
    changed = {**body, **counted, "value": shown}
    return exchange.replaced(changed) if changed != body else None


def _less(exchange: Exchange, fewer: int) -> GraphResponse | None:
    healthy = exchange.healthy
    if healthy.status != 200:
        return None
    return GraphResponse(200, str(max(0, int(healthy.body) - fewer)).encode(), healthy.headers)


def _counts(request: GraphRequest, place: ResourcePath) -> bool:
    return place.tail == "$count" or request.wants_count


def _is_counted(exchange: Exchange, rule: MisbehaviourRule) -> bool:
    """Returns whether the rule is about the count requested: `groups/$count`, or a list with `$count=true`."""
    path = exchange.request.path
    return rule.is_on(path) or (exchange.place.tail != "$count" and rule.is_on(f"{path}/$count"))


def _miscount(exchange: Exchange, rule: MisbehaviourRule) -> GraphResponse | None:
    if not _is_counted(exchange, rule):
        return None
    fewer = int(rule.options["fewer"])
    if exchange.place.tail == "$count":
        return _less(exchange, fewer)
    body = exchange.body()
    if body is None or "@odata.count" not in body:
        return None
    return exchange.replaced({**body, "@odata.count": max(0, body["@odata.count"] - fewer)})


def _fail_count(exchange: Exchange, rule: MisbehaviourRule) -> GraphResponse | None:
    if not _is_counted(exchange, rule):
        return None
    raise Failure(int(rule.options["status"]), str(rule.options["code"]), str(rule.options["message"]))


def _expands(request: GraphRequest, place: ResourcePath) -> bool:
    return "$expand" in request.options and place.entry is not None and place.relation is None and place.tail == ""


def _edit_expanded(
    exchange: Exchange, rule: MisbehaviourRule, edit: Callable[[dict[str, Any], NavigationProperty], bool]
) -> GraphResponse | None:
    """Returns the answer after `edit` has changed expanded relations of its objects in place."""
    body = exchange.body()
    if body is None:
        return None
    entry = exchange.place.set
    wanted = exchange.request.options["$expand"]
    changed = False
    for one in body["value"] if isinstance(body.get("value"), list) else [body]:
        for relation in entry.relations:
            if relation.name not in wanted or not isinstance(one, dict) or relation.name not in one:
                continue
            path = f"{entry.path}/{one.get('id')}/{relation.name}"
            if rule.is_on(path) and _strikes(rule, str(one.get("id"))) and rule.draws(path):
                changed = edit(one, relation) or changed
    return exchange.replaced(body) if changed else None


def _cut_expanded(exchange: Exchange, rule: MisbehaviourRule) -> GraphResponse | None:
    limit = int(rule.options["limit"])

    def cut(one: dict[str, Any], relation: NavigationProperty) -> bool:
        held = one[relation.name]
        if not isinstance(held, list) or len(held) <= limit:
            return False
        last = exchange.directory.find(str(held[limit - 1].get("id"))) if limit else None
        path = f"{exchange.place.set.path}/{one['id']}/{relation.name}"
        one[relation.name] = held[:limit]
        one[f"{relation.name}@odata.nextLink"] = exchange.continue_after(path, last.seq if last else 0)
        return True

    return _edit_expanded(exchange, rule, cut)


def _null_expanded(exchange: Exchange, rule: MisbehaviourRule) -> GraphResponse | None:
    def empty(one: dict[str, Any], relation: NavigationProperty) -> bool:
        if rule.options["absent"]:
            del one[relation.name]
        else:
            one[relation.name] = None
        return True

    return _edit_expanded(exchange, rule, empty)


MISBEHAVIOURS = (
    Misbehaviour(
        "members-hidden",
        "some views of a relation leave out members that others show, with status 200 and no hint",
        _hide,
        {"views": ("list", "count"), "types": (), "members": ()},
        applies=_shows_links,
        on_relations=True,
        on_elements=True,
    ),
    Misbehaviour(
        "objects-hidden",
        "some views of a set leave out objects that others show, with status 200 and no hint",
        _hide_objects,
        {"views": ("list", "count")},
        applies=_is_set,
        on_relations=True,
        on_elements=True,
    ),
    Misbehaviour(
        "count-wrong",
        "`$count`, and `@odata.count` of lists, are lower than they should be",
        _miscount,
        {"fewer": 1},
        applies=_counts,
        on_relations=True,
    ),
    Misbehaviour(
        "count-fails",
        "`$count` is refused with a status, and so are lists with `$count=true`",
        _fail_count,
        {"status": 500, "code": "InternalServerError", "message": "The server encountered an error."},
        applies=_counts,
        on_relations=True,
    ),
    Misbehaviour(
        "hidden-membership",
        "members of groups and units with visibility HiddenMembership are in no view, for want of Member.Read.Hidden",
        _hide_memberships,
        {"views": VIEWS},
        applies=_shows_links,
        on_relations=True,
        on_elements=True,
    ),
    Misbehaviour(
        "another-type",
        "some views name another type for the same member",
        _rename_type,
        {"views": ("list",), "type": "servicePrincipal", "shown_as": "agentIdentity"},
        applies=_shows_links,
        on_relations=True,
        on_elements=True,
    ),
    Misbehaviour(
        "expand-cut",
        "an expanded relation ends early, with a link to the rest beside it",
        _cut_expanded,
        {"limit": 4},
        applies=_expands,
        on_relations=True,
        on_elements=True,
    ),
    Misbehaviour(
        "expand-null",
        "an expanded relation is null, or missing",
        _null_expanded,
        {"absent": False},
        applies=_expands,
        on_relations=True,
        on_elements=True,
    ),
)
