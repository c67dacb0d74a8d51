"""Refusals that a healthy tenant does not give: owners not found, relations that fail, expired pages, limits.

Sources: terraform-provider-azuread#791; microsoft-graph-docs-contrib#3917, #9241; M365DSC#7290; cartography#2812,
#2853; microsoft-graph-docs#3877; msgraph-sdk-javascript#297; msgraph-sdk-dotnet#2254; msgraph-sdk-powershell#1898;
microsoft-graph-explorer-v4#3184; of writes terraform-provider-azuread#611, msgraph-bicep-types#193,
azure-cli#4896, microsoft-graph-docs#12334.
"""

from __future__ import annotations

from urllib.parse import quote

from entra_pipeline.simulator.faults.misbehave.rule import Exchange, Misbehaviour, MisbehaviourRule
from entra_pipeline.simulator.protocol.failures import Failure, invalid_token, not_found
from entra_pipeline.simulator.protocol.paths import READING_TAILS, ResourcePath
from entra_pipeline.simulator.protocol.requests import GraphRequest, GraphResponse


def _relation(request: GraphRequest, place: ResourcePath) -> bool:
    return place.relation is not None


def _writes(request: GraphRequest, place: ResourcePath) -> bool:
    return place.tail not in READING_TAILS


def _next_page(request: GraphRequest, place: ResourcePath) -> bool:
    return "$skiptoken" in request.options


def _sized(request: GraphRequest, place: ResourcePath) -> bool:
    return request.options.get("$top", "").isdigit()


def _alone(request: GraphRequest, place: ResourcePath) -> bool:
    # The URL of a part of a batch is in the body (Graph doc: json-batching).
    return not request.batched


def _not_found(exchange: Exchange, rule: MisbehaviourRule) -> GraphResponse | None:
    raise not_found(exchange.place.key)


def _fail(exchange: Exchange, rule: MisbehaviourRule) -> GraphResponse | None:
    raise Failure(int(rule.options["status"]), str(rule.options["code"]), str(rule.options["message"]))


def _refuse_property(exchange: Exchange, rule: MisbehaviourRule) -> GraphResponse | None:
    body: object = exchange.request.json() if exchange.request.body else {}
    name, message = str(rule.options["property"]), str(rule.options["message"])
    for part in name.split("."):
        if not isinstance(body, dict) or body.get(part) in (None, [], {}):
            return None
        body = body[part]
    details = [{"code": str(rule.options["code"]), "message": message, "target": name}] if rule.options["named"] else []
    raise Failure(400, str(rule.options["code"]), message, details=details)


def _throttle(exchange: Exchange, rule: MisbehaviourRule) -> GraphResponse | None:
    retry_after = str(rule.options["retry_after"])
    headers = {"Retry-After": retry_after} if retry_after else {}
    raise Failure(429, "TooManyRequests", "Please retry again later.", headers=headers)


def _expire_token(exchange: Exchange, rule: MisbehaviourRule) -> GraphResponse | None:
    raise invalid_token("Lifetime validation failed, the token is expired.")


def _refuse_size(exchange: Exchange, rule: MisbehaviourRule) -> GraphResponse | None:
    largest, wanted = int(rule.options["largest"]), exchange.request.options["$top"]
    if int(wanted) <= largest:
        return None
    raise Failure(
        400,
        "Request_BadRequest",
        f"Invalid page size specified: '{wanted}'. Must be between 1 and {largest} inclusive.",
    )


def _refuse_length(exchange: Exchange, rule: MisbehaviourRule) -> GraphResponse | None:
    options = "&".join(f"{name}={quote(value)}" for name, value in exchange.request.options.items())
    length = len(f"{exchange.request.root}/{exchange.request.path}?{options}")
    if length <= int(rule.options["longest"]):
        return None
    raise Failure(int(rule.options["status"]), str(rule.options["code"]), "The request URI is too long.")


MISBEHAVIOURS = (
    Misbehaviour(
        "owner-not-found",
        "what belongs to a living object is answered 404, as if the object were gone",
        _not_found,
        applies=_relation,
    ),
    Misbehaviour(
        "fails",
        "requests are refused with a status; those for the owners of one application, for example",
        _fail,
        {"status": 500, "code": "InternalServerError", "message": "The server encountered an error."},
    ),
    Misbehaviour(
        "write-fails",
        "writes are refused with a status, before they change anything; those that lead to a new object, for example",
        _fail,
        {"status": 400, "code": "Request_BadRequest", "message": "One or more property values specified are invalid."},
        methods=frozenset({"POST", "PATCH", "PUT", "DELETE"}),
        applies=_writes,
    ),
    Misbehaviour(
        "property-refused",
        "writes that carry a property are refused; Graph's details name it, or nothing does",
        _refuse_property,
        {
            "property": "",
            "named": True,
            "code": "Request_BadRequest",
            "message": "One or more property values specified are invalid.",
        },
        methods=frozenset({"POST", "PATCH", "PUT"}),
        applies=_writes,
    ),
    Misbehaviour(
        "next-page-fails",
        "the second and later pages of a list are refused with a status; 404: its owner has been deleted meanwhile",
        _fail,
        {"status": 404, "code": "Request_ResourceNotFound", "message": "Resource does not exist."},
        applies=_next_page,
    ),
    Misbehaviour(
        "page-token-expired",
        "the link to the next page has expired: 400 Directory_ExpiredPageToken",
        _fail,
        {
            "status": 400,
            "code": "Directory_ExpiredPageToken",
            "message": "The specified page token value has expired and cannot be included in your request.",
        },
        applies=_next_page,
    ),
    Misbehaviour(
        "throttled",
        "429 with a Retry-After of any text, a fraction of a second for example",
        _throttle,
        {"retry_after": "0.249"},
    ),
    Misbehaviour(
        "token-expired",
        "401: the access token has expired, though its lifetime says otherwise",
        _expire_token,
    ),
    Misbehaviour(
        "page-size-refused",
        "400 for a `$top` beyond a limit",
        _refuse_size,
        {"largest": 500},
        applies=_sized,
    ),
    Misbehaviour(
        "url-too-long",
        "414 for a URL beyond a length; parts of batches have none",
        _refuse_length,
        {"longest": 2000, "status": 414, "code": "RequestUriTooLong"},
        applies=_alone,
    ),
)
