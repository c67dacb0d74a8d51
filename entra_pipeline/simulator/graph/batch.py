"""JSON batching (Graph doc: json-batching): up to 20 requests in one, each throttled and answered on its own."""

from __future__ import annotations

import base64
import time
from typing import Any
from urllib.parse import urlsplit

import msgspec

from entra_pipeline.simulator.generate.plan import seeded_random
from entra_pipeline.simulator.graph.tenant import SimulatedGraph
from entra_pipeline.simulator.protocol.failures import Failure
from entra_pipeline.simulator.protocol.requests import JSON, GraphRequest, GraphResponse, clean_path, parse_options

LARGEST = 20
"""Requests in one batch at the most."""


def answer_batch(tenant: SimulatedGraph, request: GraphRequest) -> GraphResponse:
    """Returns the answer to POST /$batch. Raises Failure (400, 401) when the batch as a whole is refused."""
    tenant.signer.caller(request.headers.get("authorization", ""), tenant.audiences, tenant.settings.issued_after)
    items = _items(request)
    done: dict[str, dict[str, Any]] = {}
    for item in items:
        needed = [str(name).lower() for name in item.get("dependsOn") or ()]
        if any(done[name]["status"] >= 400 for name in needed):
            done[item["id"].lower()] = _failed_dependency(item["id"])
        else:
            done[item["id"].lower()] = _one(tenant, request, item)
    responses = list(done.values())
    # The order of responses is not that of requests, as in Graph; the same requests give the same order.
    seeded_random(len(request.body)).shuffle(responses)
    return GraphResponse(200, msgspec.json.encode({"responses": responses}), {"Content-Type": JSON}, units=0)


def _items(request: GraphRequest) -> list[dict[str, Any]]:
    given = request.json().get("requests")
    if not isinstance(given, list) or not given:
        raise _malformed("Invalid batch payload format.")
    if len(given) > LARGEST:
        raise _malformed(f"Number of batch request steps exceeds the maximum value of {LARGEST}.")
    seen: set[str] = set()
    dependent = []
    for item in given:
        if not isinstance(item, dict) or not all(isinstance(item.get(name), str) for name in ("id", "method", "url")):
            raise _malformed("Invalid batch payload format.")
        key = item["id"].lower()
        if key in seen:
            raise _malformed(f"Request Id {item['id']} has to be unique in a batch.")
        needed = [str(name).lower() for name in item.get("dependsOn") or ()]
        if not set(needed) <= seen:
            raise _malformed(f"Request {item['id']} depends on an unknown or later request.")
        seen.add(key)
        dependent.append(bool(needed))
        if item["url"].lstrip("/").lower().startswith(("$batch", "http:", "https:")):
            raise _malformed("The url of a batch request has to be relative, and not another batch.")
        headers = {str(name).lower() for name in item.get("headers") or {}}
        if item.get("body") is not None and "content-type" not in headers:
            raise _malformed(f"Write request id : {item['id']} does not contain Content-Type header or body.")
    if any(dependent) and not all(dependent[1:]):
        raise _malformed("Only wholly parallel or wholly serial batches are supported.")
    return given


def _one(tenant: SimulatedGraph, outer: GraphRequest, item: dict[str, Any]) -> dict[str, Any]:
    url = urlsplit(item["url"].lstrip("/"))
    body = item.get("body")
    inner = GraphRequest(
        method=item["method"].upper(),
        path=clean_path(url.path),
        options=parse_options(url.query),
        headers={
            "authorization": outer.headers.get("authorization", ""),
            **{str(name).lower(): str(value) for name, value in (item.get("headers") or {}).items()},
        },
        body=b"" if body is None else msgspec.json.encode(body),
        root=outer.root,
        # Items that do not wait for each other are under way all at once.
        arrived=time.monotonic() if item.get("dependsOn") else outer.arrived,
        batched=True,
    )
    answer = tenant.answer_with_fault(inner, tenant.fault(inner.method))
    result: dict[str, Any] = {"id": item["id"], "status": answer.status, "headers": answer.headers}
    if answer.body:
        result["body"] = _body(answer)
    return result


def _body(answer: GraphResponse) -> Any:
    """Returns the body as the batch shows it: JSON as it is, a count as a number, bytes as Base64."""
    kind = answer.headers.get("Content-Type", "")
    if kind.startswith("text/"):
        return int(answer.body)
    return msgspec.Raw(answer.body) if "json" in kind else base64.b64encode(answer.body).decode()


def _failed_dependency(identifier: str) -> dict[str, Any]:
    error = {"code": "FailedDependency", "message": "The request failed because a request it depends on failed."}
    return {"id": identifier, "status": 424, "headers": {"Content-Type": JSON}, "body": {"error": error}}


def _malformed(message: str) -> Failure:
    return Failure(400, "BadRequest", message)
