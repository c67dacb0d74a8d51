"""The way to Dagster's own UI: through the console's sign-in, and no further than one's role reaches.

Viewers only ever reach the webserver that is read-only: Dagster itself refuses them there most of what they may send.
Operators and administrators reach the other one. For all, nothing changes by a GET (a link on another site could do
that), nothing but the console's own pages may send, each mutation takes the role that it is listed with (`mutations`),
and runs carry the operator's name whatever the request says.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
from graphql import FieldNode, GraphQLError, OperationDefinitionNode, OperationType, VariableNode, parse
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

from entra_pipeline.console.access_control import AccessControl
from entra_pipeline.console.app_state import AppState
from entra_pipeline.console.auditing import record
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.auth.sessions import User
from entra_pipeline.console.dagster.client import PATH, PAUSE, operator_tags
from entra_pipeline.console.dagster.mutations import NO_ACTS, may
from entra_pipeline.console.dagster.webserver import WebserverAddress
from entra_pipeline.console.routing import address

_OBJECT = msgspec.json.Decoder(dict[str, Any])

# Characters of a mutation's name in the audit log.
_NAME = 100
# Seconds that Dagster has for an answer.
_TIMEOUT = 60.0
_MOST_SENT = 20_000_000
# Answers that tell of runs: GraphQL, what processes wrote, pages and errors. Scripts and styles are Dagster's own.
_TELLING = ("application/json", "text/plain", "text/html")
# Of one hop only (RFC 9110, 7.6.1), or the console's own business.
_NOT_PASSED = {
    *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding"),
    *("upgrade", "host", "cookie", "set-cookie", "content-length", "authorization", "accept-encoding"),
}
# Pages that show files of the webserver's machine as if they were the console's own.
_NOT_NEEDED = {"notebook"}
# What is posted besides GraphQL: events of assets that no run has made.
_REPORTS = {"report_asset_materialization", "report_asset_check", "report_asset_observation"}
# Tags that say what a run is about, who or what asked for it, and how it ended. The project's own jobs, Dagster's
# daemon and the console set them; records, messages and the audit log go by them.
_NOT_GIVEN = ("entra/", ".dagster/", "dagster/schedule_name", "dagster/sensor_name", "dagster/will_retry")
# Arguments of mutations that make runs → where in them the tags of the runs are.
_TAGS = {
    "executionParams": ("executionMetadata", "tags"),
    "executionParamsList": ("executionMetadata", "tags"),
    "backfillParams": ("tags",),
    "reexecutionParams": ("extraTags",),
}


class Proxy:
    """Passes requests on to Dagster's webservers.

    Args:
        state: The console.
        access: Knows the sessions.
    """

    def __init__(self, state: AppState, access: AccessControl) -> None:
        self._site = state
        self._door = access
        dagster = state.dagster
        self._clients = {one: one.async_client(_TIMEOUT) for one in (dagster.webserver, dagster.read_only)}

    async def close(self) -> None:
        """Closes the connections to Dagster."""
        for client in self._clients.values():
            await client.aclose()

    async def front(self, request: Request) -> Response:
        """`/dagster` itself."""
        return RedirectResponse(f"{PATH}/", 303)

    async def http(self, request: Request) -> Response:
        """A request of Dagster's pages."""
        user = await self._user(request)
        if user is None:
            if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
                return RedirectResponse(address("sign-in", next=request.url.path), 303)
            return PlainTextResponse("sign in first", 401)
        if user.role is None:
            return PlainTextResponse("Dagster's pages are about all scopes: they take a role for everything", 403)
        looking = request.method in {"GET", "HEAD"}
        if not looking and not self._door.same_origin(request):
            return PlainTextResponse("this does not come from a page of the console", 403)
        path = request.path_params["path"]
        steps = path.split("/")
        if not looking and request.method != "POST":
            return PlainTextResponse("Dagster's pages send nothing like this", 405)
        # Decided here by the path as it is read; so it must not be one that Dagster could read otherwise.
        if ".." in steps or "." in steps or not path.isprintable() or steps[-1] in _NOT_NEEDED:
            return PlainTextResponse("there is no such page", 404)
        graphql = [step for step in steps if step] == ["graphql"]
        if graphql and looking and "query" in request.query_params:
            return PlainTextResponse("GraphQL is answered to POST only", 405)
        body = b""
        if not looking:
            try:
                body = await _body(request)
            except ProxyRefusal as refusal:
                return PlainTextResponse(str(refusal), 413)
            if graphql:
                if not request.headers.get("content-type", "").startswith("application/json"):
                    return PlainTextResponse("GraphQL is answered to application/json only", 415)
                try:
                    body, fields = signed(body, user)
                except ProxyRefusal as refusal:
                    return PlainTextResponse(str(refusal), 400)
            else:
                fields = [next((step for step in steps if step), "")]
                if fields[0] not in _REPORTS:
                    return PlainTextResponse("Dagster's pages send nothing like this", 404)
            role = user.role
            refused = next((field for field in fields if not may(role, field)), "")
            for field in set(fields) - NO_ACTS:
                told = "refused" if refused else "started"
                await run_in_threadpool(
                    record, self._site, user, request, action=f"dagster {field[:_NAME]}", result=told
                )
            if refused:
                return PlainTextResponse(f"{refused} takes another role; yours is {role.name}", 403)
        return await self._passed(request, user, body, bare=graphql)

    async def _passed(self, request: Request, user: User, body: bytes, *, bare: bool) -> Response:
        # What stands in the address of a GraphQL request would be taken for its query.
        query = "" if bare else request.url.query
        webserver = self._webserver(user)
        client = self._clients[webserver]
        target = (
            webserver.url + str(request.scope["raw_path"], "ascii").removeprefix(PATH) + (f"?{query}" if query else "")
        )
        headers = _passed_on(request.headers)
        if bare and body:
            # Of several, another one might be read there than here.
            headers["content-type"] = "application/json"
        try:
            asked = client.build_request(request.method, target, headers=headers, content=body or None)
            answer = await self._sent(client, asked)
        except httpx.HTTPError:
            return PlainTextResponse("Dagster does not answer; it may still be starting. Try again soon.", 503)
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in _NOT_PASSED}
        kept.pop("content-encoding", None)
        if (moved := kept.get("location", "")) and (parts := urlsplit(moved)).netloc == urlsplit(webserver.url).netloc:
            kept["location"] = parts._replace(scheme="", netloc="").geturl()
        kept |= {"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin"}
        if kept.get("content-type", "").startswith(_TELLING):
            try:
                # Whole: a secret may begin in one part of an answer and end in the next.
                await answer.aread()
            except httpx.HTTPError:
                return PlainTextResponse("Dagster's answer ended too early. Try again.", 502)
            finally:
                await answer.aclose()
            text = await run_in_threadpool(self._site.scrub, answer.text)
            return Response(text.encode(answer.encoding or "utf-8"), answer.status_code, headers=kept)
        return StreamingResponse(
            answer.aiter_bytes(), answer.status_code, headers=kept, background=BackgroundTask(answer.aclose)
        )

    async def _sent(self, client: httpx.AsyncClient, asked: httpx.Request) -> httpx.Response:
        """Sends a request as soon as Dagster is there; raises httpx.HTTPError."""
        end = monotonic() + self._site.dagster.starting
        while True:
            try:
                return await client.send(asked, stream=True)
            except httpx.ConnectError:
                # Nothing was sent.
                if monotonic() > end:
                    raise
                await asyncio.sleep(PAUSE)

    async def websocket(self, socket: WebSocket) -> None:
        """Dagster's subscriptions: logs of runs, states of assets. Nothing is changed by them."""
        user = await self._user(socket)
        if user is None or user.role is None or "origin" not in socket.headers or not self._door.same_origin(socket):
            await socket.close(4401)
            return
        webserver = self._webserver(user)
        target = "ws" + webserver.url.removeprefix("http") + socket.url.path.removeprefix(PATH)
        protocols = [Subprotocol(one) for one in socket.scope["subprotocols"]] or None
        try:
            if webserver.socket:
                upstream = await unix_connect(webserver.socket, target, subprotocols=protocols, max_size=None)
            else:
                upstream = await connect(target, subprotocols=protocols, proxy=None, max_size=None)
        except (OSError, InvalidHandshake):
            await socket.close(1013)
            return
        async with upstream:
            await socket.accept(upstream.subprotocol)
            ways = {
                asyncio.create_task(self._to_dagster(socket, upstream)),
                asyncio.create_task(self._from_dagster(upstream, socket)),
            }
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        # Whoever has gone already cannot be told.
        with suppress(RuntimeError, WebSocketDisconnect):
            await socket.close()

    async def _to_dagster(self, socket: WebSocket, upstream: ClientConnection) -> None:
        with suppress(ConnectionClosed):
            while (message := await socket.receive())["type"] == "websocket.receive":
                text = message.get("text")
                if text is None or not await self._may_watch(socket) or changes(text):
                    return
                await upstream.send(text)

    async def _from_dagster(self, upstream: ClientConnection, socket: WebSocket) -> None:
        with suppress(ConnectionClosed, RuntimeError):
            async for message in upstream:
                if not await self._may_watch(socket):
                    return
                text = message if isinstance(message, str) else message.decode()
                await socket.send_text(await run_in_threadpool(self._site.scrub, text))

    async def _user(self, connection: Request | WebSocket, *, used: bool = True) -> User | None:
        session = await run_in_threadpool(self._door.session, connection, used=used)
        return session.user if session else None

    async def _may_watch(self, socket: WebSocket) -> bool:
        user = await self._user(socket, used=False)
        return user is not None and user.role is not None

    def _webserver(self, user: User) -> WebserverAddress:
        dagster = self._site.dagster
        return dagster.webserver if user.access.everywhere(Role.operator) else dagster.read_only


class ProxyRefusal(Exception):
    """A request that is not passed on; the text says why."""


def signed(body: bytes, user: User) -> tuple[bytes, list[str]]:
    """A GraphQL request whose runs carry the name of who sent it, whatever name they had; and what it changes.

    Raises:
        Refused: It cannot be read; or it makes runs in a way that does not let them be told whose they are.
    """
    try:
        sent = msgspec.json.decode(body)
    except msgspec.DecodeError:
        raise ProxyRefusal("this is not JSON") from None
    fields: list[str] = []
    for one in sent if isinstance(sent, list) else [sent]:
        if not isinstance(one, dict) or not isinstance(one.get("query"), str):
            raise ProxyRefusal("this is not a GraphQL request")
        variables = one["variables"] = one.get("variables") or {}
        if not isinstance(variables, dict):
            raise ProxyRefusal("variables are an object")
        for field in _changing(one["query"]):
            fields.append(field.name.value)
            for argument in field.arguments:
                if argument.name.value in _TAGS:
                    if not isinstance(argument.value, VariableNode):
                        raise ProxyRefusal(f"give {argument.name.value} as a variable: runs carry the operator's name")
                    # Null, where nothing is given: what the query says is given then would not be signed.
                    given = variables.setdefault(argument.value.name.value, None)
                    for params in given if isinstance(given, list) else [given] if given is not None else []:
                        _sign(params, argument.name.value, user)
    return msgspec.json.encode(sent), fields


def changes(text: str) -> bool:
    """Whether a message of a subscription would change something, or cannot be told: those go by POST."""
    try:
        message = _OBJECT.decode(text)
        payload = message.get("payload")
        query = payload.get("query") if isinstance(payload, dict) else None
        return query is not None and bool(_changing(str(query)))
    except (msgspec.DecodeError, msgspec.ValidationError, ProxyRefusal):
        return True


def _changing(query: str) -> list[FieldNode]:
    """The fields of the mutations in a GraphQL document."""
    try:
        definitions = parse(query).definitions
    except GraphQLError:
        raise ProxyRefusal("this is not GraphQL") from None
    found: list[FieldNode] = []
    for one in definitions:
        if isinstance(one, OperationDefinitionNode) and one.operation is OperationType.MUTATION:
            for selected in one.selection_set.selections:
                if not isinstance(selected, FieldNode):
                    raise ProxyRefusal("mutations name their fields themselves, without fragments")
                found.append(selected)
    return found


def _sign(params: Any, argument: str, user: User) -> None:
    """Puts the operator's tags where a mutation's parameters hold the tags of the runs that it makes.

    Takes out those that nobody gives a run by hand (`_NOT_GIVEN`).

    Raises:
        Refused: They have no such place.
    """
    *path, last = _TAGS[argument]
    for key in path:
        if isinstance(params, dict):
            if params.get(key) is None:
                params[key] = {}
            params = params[key]
    given = params.get(last) or [] if isinstance(params, dict) else None
    if not isinstance(given, list):
        raise ProxyRefusal(f"{argument} is not what Dagster takes: runs carry the operator's name")
    kept = [one for one in given if not (isinstance(one, dict) and str(one.get("key")).startswith(_NOT_GIVEN))]
    params[last] = [*kept, *({"key": key, "value": value} for key, value in operator_tags(user).items())]


async def _body(request: Request) -> bytes:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > _MOST_SENT:
            raise ProxyRefusal("this is more than Dagster's pages send")
    return bytes(data)


def _passed_on(headers: Headers) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _NOT_PASSED}
