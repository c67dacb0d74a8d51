"""Links that lead nowhere, in circles, or to somebody else.

Sources: msgraph-sdk-dotnet#3082; agent-bom#4751; Policy-Weaver#112; microsoft-graph-docs-contrib#1774.
"""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from entra_pipeline.simulator.faults.misbehave.rule import Exchange, Misbehaviour, MisbehaviourRule
from entra_pipeline.simulator.protocol.paths import ResourcePath
from entra_pipeline.simulator.protocol.requests import GraphRequest, GraphResponse

_LINKS = ("@odata.nextLink", "@odata.deltaLink")


def _is_page(request: GraphRequest, place: ResourcePath) -> bool:
    return place.tail in {"", "delta"} and not place.stream


def _repeat(exchange: Exchange, rule: MisbehaviourRule) -> GraphResponse | None:
    body = exchange.body()
    if body is None or not body.get("value"):
        return None
    for name in _LINKS:
        body.pop(name, None)
    # A link that is new each time, to the page that the request was for.
    request = exchange.request
    return exchange.replaced(
        {**body, "@odata.nextLink": request.link(request.path, {"$again"}, again=str(rule.struck + 1))}
    )


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


def _empty(exchange: Exchange, rule: MisbehaviourRule) -> GraphResponse | None:
    body = exchange.body()
    if body is None or "@odata.deltaLink" not in body:
        return None
    return exchange.replaced({**body, "@odata.deltaLink": ""})


MISBEHAVIOURS = (
    Misbehaviour(
        "endless-pages",
        "every page repeats the one before, with a new link to the next",
        _repeat,
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
        "empty-delta-link",
        "`@odata.deltaLink` is an empty text",
        _empty,
        applies=_is_page,
    ),
)
