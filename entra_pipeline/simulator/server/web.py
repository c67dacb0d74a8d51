"""The HTTP surface: Graph, the sign-in endpoints, and the control API, as one ASGI application."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from entra_pipeline.simulator.graph.batch import answer_batch
from entra_pipeline.simulator.graph.tenant import SimulatedGraph
from entra_pipeline.simulator.protocol.failures import Failure
from entra_pipeline.simulator.protocol.requests import GraphRequest, GraphResponse, clean_path, parse_options
from entra_pipeline.simulator.server.control.panel import ControlPanel
from entra_pipeline.simulator.server.signin import TokenRefused, issue, openid_configuration
from entra_pipeline.simulator.server.users import GRANTS, UserSignIns

_BREAKING = {"reset", "truncated", "short", "reset-after"}


class BrokenOff(Exception):
    """Raised on purpose in the middle of a response, so that the server closes the connection."""


class _Cut(Response):
    """A response whose body ends early."""

    def __init__(self, answer: Response, kind: str) -> None:
        super().__init__()
        self._answer = answer
        self._kind = kind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._kind == "reset-after":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})
            raise BrokenOff
        body = bytes(self._answer.body)
        part = body[: max(1, len(body) // 2)]
        length = len(part) if self._kind == "truncated" else len(body) + 10
        headers = [(name, value) for name, value in self._answer.raw_headers if name != b"content-length"]
        headers.append((b"content-length", str(length).encode()))
        await send({"type": "http.response.start", "status": self._answer.status_code, "headers": headers})
        if self._kind == "truncated":
            await send({"type": "http.response.body", "body": part})
            return
        await send({"type": "http.response.body", "body": part if self._kind == "reset" else body, "more_body": True})
        raise BrokenOff


def build_app(tenant: SimulatedGraph, panel: ControlPanel) -> Starlette:
    """Returns the application that serves one tenant."""
    users = UserSignIns(tenant)

    async def graph(http: HttpRequest) -> Response:
        request = await _request(http, time.monotonic(), "v1.0")
        if tenant.settings.latency:
            await asyncio.sleep(tenant.settings.latency)
        fault = tenant.fault(request.method)
        if request.path == "$batch":
            answer = _batch(tenant, request, fault)
        else:
            answer = tenant.answer_with_fault(request, fault)
        response = _respond(answer, request)
        return _Cut(response, fault) if fault in _BREAKING and (answer.body or fault == "reset-after") else response

    async def beta(http: HttpRequest) -> Response:
        request = await _request(http, time.monotonic(), "beta")
        return _respond(tenant.answer_with_fault(request, tenant.fault(request.method)), request)

    async def configuration(http: HttpRequest) -> Response:
        authority = f"https://{http.url.netloc}"
        return _signing(lambda: openid_configuration(tenant, authority, http.path_params["tenant"]))

    async def device_code(http: HttpRequest) -> Response:
        form = dict(parse_qsl((await http.body()).decode(), keep_blank_values=True))
        return _signing(lambda: users.device_code(http.path_params["tenant"], form))

    async def authorize(http: HttpRequest) -> Response:
        page = users.authorize(http.path_params["tenant"], dict(http.query_params))
        return Response(page, media_type="text/html")

    async def token(http: HttpRequest) -> Response:
        form = dict(parse_qsl((await http.body()).decode(), keep_blank_values=True))
        if form.get("grant_type") in GRANTS:
            authority = f"https://{http.url.netloc}"
            return _signing(lambda: users.issue(http.path_params["tenant"], authority, form))

        address = http.client.host if http.client else ""

        def healthy() -> dict[str, Any]:
            return issue(tenant, http.path_params["tenant"], form, address)

        try:
            misbehaving = tenant.misbehaviours.strike_sign_in(healthy)
        except TokenRefused:
            misbehaving = None
        if misbehaving is not None:
            return Response(misbehaving.body, misbehaving.status, headers=misbehaving.headers)
        return _signing(healthy)

    async def control(http: HttpRequest) -> Response:
        if http.client is None or not http.client.host.startswith(("127.", "::1")):
            return Response(b'{"error": "the control API answers to this machine only"}', 403)
        status, result = panel.answer(http.path_params["order"], await http.body())
        return Response(result, status, media_type="application/json")

    methods = ["GET", "POST", "PATCH", "PUT", "DELETE"]
    return Starlette(
        routes=[
            Route("/v1.0/{path:path}", graph, methods=methods),
            Route("/beta/{path:path}", beta, methods=methods),
            Route("/{tenant}/v2.0/.well-known/openid-configuration", configuration),
            Route("/{tenant}/oauth2/v2.0/token", token, methods=["POST"]),
            Route("/{tenant}/oauth2/v2.0/devicecode", device_code, methods=["POST"]),
            Route("/{tenant}/oauth2/v2.0/authorize", authorize),
            Route("/_control/{order}", control, methods=["GET", "POST"]),
        ]
    )


async def _request(http: HttpRequest, arrived: float, version: str) -> GraphRequest:
    headers = {name.decode().lower(): value.decode("latin-1") for name, value in http.headers.raw}
    return GraphRequest(
        method=http.method,
        path=clean_path(http.path_params["path"]),
        options=parse_options(http.url.query),
        headers=headers,
        body=await http.body(),
        root=f"{http.url.scheme}://{http.url.netloc}/{version}",
        arrived=arrived,
    )


def _batch(tenant: SimulatedGraph, request: GraphRequest, fault: str) -> GraphResponse:
    if tenant.refuses(fault):
        return tenant.refusal(fault, request)
    try:
        if request.method != "POST":
            raise Failure(405, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.")
        answer = answer_batch(tenant, request)
        return tenant.refusal(fault, request) if fault == "504-after" else answer
    except Failure as failure:
        return tenant.failed(failure, request)


def _respond(answer: GraphResponse, request: GraphRequest) -> Response:
    headers = {
        "request-id": str(uuid.uuid4()),
        "client-request-id": request.headers.get("client-request-id", str(uuid.uuid4())),
        "x-ms-ags-diagnostic": '{"ServerInfo":{"DataCenter":"Simulated","Slice":"E","Ring":"1"}}',
        "OData-Version": "4.0",
        "Cache-Control": "no-cache",
        **answer.headers,
    }
    return Response(answer.body, answer.status, headers=headers)


def _signing(act: Callable[[], dict[str, Any]]) -> Response:
    try:
        body = act()
    except TokenRefused as refused:
        return Response(msgspec.json.encode(refused.body()), refused.status, media_type="application/json")
    return Response(msgspec.json.encode(body), media_type="application/json")
