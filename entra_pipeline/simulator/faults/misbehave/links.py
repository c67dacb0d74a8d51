"""Links that lead nowhere, in circles, to another set, or to somebody else.

Sources: msgraph-sdk-dotnet#3082; agent-bom#4751; Policy-Weaver#112; microsoft-graph-docs-contrib#1774.
"""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from entra_pipeline.simulator.faults.misbehave.rule import Exchange, Misbehaviour, MisbehaviourRule
from entra_pipeline.simulator.protocol.failures import Failure
from entra_pipeline.simulator.protocol.paths import ResourcePath
from entra_pipeline.simulator.protocol.requests import GraphRequest, GraphResponse

_LINKS = ("@odata.nextLink", "@odata.deltaLink")


def _is_page(request: GraphRequest, place: ResourcePath) -> bool:
    return place.tail in {"", "delta"} and not place.stream


def _repeat(exchange: Exchange, rule: MisbehaviourRule) -> GraphResponse | None:
    body, request = exchange.body(), exchange.request
    if body is None or not body.get("value"):
        return None
    following = str(body.pop(_LINKS[0], ""))
    body.pop(_LINKS[1], None)
    again = str(rule.struck + 1)
    # A link that is new each time: to the page that the request was for, or in turn to the second and the first one.
    if rule.options["pages"] == 1:
        link = request.link(request.path, {"$again"}, again=again)
    elif "$skiptoken" in request.options or not following:
        link = request.link(request.path, {"$again", "$skiptoken"}, again=again)
    else:
        link = f"{following}&$again={again}"
    value = [] if rule.options["empty"] else body["value"]
    if rule.options["invented"]:
        value = [{**one, "id": f"{one.get('id')}-{again}"} for one in value if isinstance(one, dict)]
    return exchange.replaced({**body, "value": value, _LINKS[0]: link})


def _lead_away(exchange: Exchange, rule: MisbehaviourRule) -> GraphResponse | None:
    body = exchange.body()
    names = [name for name in rule.options["links"] if body and body.get(name)]
    if body is None or not names:
        return None
    for name in names:
        parts = urlsplit(body[name])
        scheme, _, host = str(rule.options["root"]).rpartition("://")
        body[name] = urlunsplit(parts._replace(scheme=scheme or parts.scheme, netloc=host))
    return exchange.replaced(body)


def _lead_to_another_set(exchange: Exchange, rule: MisbehaviourRule) -> GraphResponse | None:
    body, request = exchange.body(), exchange.request
    to, is_delta = str(rule.options["to"]), exchange.place.tail == "delta"
    if body is None or not isinstance(body.get("value"), list) or request.path.removesuffix("/delta") == to:
        return None
    links = {
        _LINKS[0]: f"{request.root}/{to}/delta" if is_delta else f"{request.root}/{to}",
        _LINKS[1]: f"{request.root}/{to}/delta?$deltatoken=latest",
    }
    # A list has no delta link; the last page of anything may name a next one.
    changed = {name: links[name] for name in rule.options["links"] if name == _LINKS[0] or name in body}
    return exchange.replaced({**body, **changed}) if changed else None


def _spoil(exchange: Exchange, rule: MisbehaviourRule) -> GraphResponse | None:
    body = exchange.body()
    if body is None or _LINKS[1] not in body:
        return None
    if rule.options["absent"]:
        return exchange.replaced({name: value for name, value in body.items() if name != _LINKS[1]})
    return exchange.replaced({**body, _LINKS[1]: rule.options["value"]})


def _redirect(exchange: Exchange, rule: MisbehaviourRule) -> GraphResponse | None:
    request = exchange.request
    here = request.link(str(rule.options["to"]) or request.path, {"$again"}, again=str(rule.struck + 1))
    root = str(rule.options["root"])
    location = here.replace(request.root.removesuffix("/v1.0"), root, 1) if root else here
    raise Failure(int(rule.options["status"]), "Found", "The resource is elsewhere.", headers={"Location": location})


def _alone(request: GraphRequest, place: ResourcePath) -> bool:
    return not request.batched


MISBEHAVIOURS = (
    Misbehaviour(
        "endless-pages",
        "every page repeats the one before, with a new link to the next; with `pages=2` the first two take turns, with "
        "`empty=true` all are empty, with `invented=true` each has objects with ids of its own",
        _repeat,
        {"pages": 1, "empty": False, "invented": False},
        applies=_is_page,
    ),
    Misbehaviour(
        "foreign-link",
        "a link leads to another host",
        _lead_away,
        {"links": ("@odata.deltaLink",), "root": "https://graph.example.net"},
        applies=_is_page,
    ),
    Misbehaviour(
        "other-set-link",
        "a link leads to another set of the same tenant, and works there",
        _lead_to_another_set,
        {"links": ("@odata.deltaLink",), "to": "groups"},
        applies=_is_page,
    ),
    Misbehaviour(
        "empty-delta-link",
        "`@odata.deltaLink` is an empty text, missing, or no text",
        _spoil,
        {"value": "", "absent": False},
        applies=_is_page,
    ),
    Misbehaviour(
        "redirected",
        "a redirect: to another host, or with an empty root to where the request went, or to the path `to`",
        _redirect,
        {"status": 302, "root": "https://graph.example.net", "to": ""},
        applies=_alone,
    ),
)
