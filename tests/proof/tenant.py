"""A small simulated tenant in this process: Graph without sockets, and the orders that change it and tell the truth."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from starlette.types import Message

from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.project import Project, load_project
from entra_pipeline.simulator.generate.plan import TenantPlan, identity
from entra_pipeline.simulator.graph.tenant import SimulatedGraph
from entra_pipeline.simulator.protocol.tokens import Signer
from entra_pipeline.simulator.server.control.client import Control
from entra_pipeline.simulator.server.control.panel import ControlPanel
from entra_pipeline.simulator.server.state import open_directory
from entra_pipeline.simulator.server.web import BrokenOff, build_app
from entra_pipeline.simulator.storage.directory import Directory
from tests.proof.virtual import Universe

HOST = "graph.proof"
ROOT = f"https://{HOST}"
_PLAN = TenantPlan(users=12, groups=5, memberships=24, seed=7, empty=False)
_PROJECT = """\
[storage.disk]
kind = "local"
path = "backup"

[tenants.simulated]
tenant_id = "{tenant_id}"
client_id = "{client_id}"
client_secret = {{ file = "client_secret" }}
graph_url = "{root}/v1.0"
authority = "{root}"

[scopes.contoso]
tenant = "simulated"
storage = "disk"
retention = "{retention}"
max_incrementals = 3
"""
RETENTION = "3 days"


class Reply(NamedTuple):
    """What an application sent, and whether it broke off."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    broken: bool


async def ask(app: Any, method: str, url: httpx.URL, headers: list[tuple[bytes, bytes]], body: bytes) -> Reply:
    """Sends a request to an ASGI application."""
    status, sent, parts, broken = 0, list[tuple[bytes, bytes]](), list[bytes](), False
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "headers": [(name.lower(), value) for name, value in headers],
        "scheme": url.scheme,
        "path": url.path,
        "raw_path": url.raw_path.partition(b"?")[0],
        "query_string": url.query,
        "server": (url.host, url.port or 443),
        "client": ("127.0.0.1", 1),
        "root_path": "",
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status, sent
        if message["type"] == "http.response.start":
            status, sent = message["status"], list(message["headers"])
        else:
            parts.append(message.get("body", b""))

    try:
        await app(scope, receive, send)
    except BrokenOff:
        broken = True
    return Reply(status, sent, b"".join(parts), broken)


class Direct(Control):
    """The control API without a connection."""

    def __init__(self, panel: ControlPanel) -> None:
        self._panel = panel

    def close(self) -> None:
        """There is nothing to close."""

    def order(self, name: str, /, **values: Any) -> Any:
        """Carries out one order; its values and its result travel as JSON, as over HTTP."""
        result = self._panel.obey(name, msgspec.json.decode(msgspec.json.encode(values)))
        return msgspec.json.decode(msgspec.json.encode(result))


class Tenant:
    """A tenant of its own, always the same at first.

    Args:
        universe: Whose time it keeps.
        folder: For its file.

    Attributes:
        control: Changes it, and tells the truth about it.
        before: Called before each request to Graph.
        lost: Whether the answer to the next request gets lost.
    """

    def __init__(self, universe: Universe, folder: Path) -> None:
        self._universe = universe
        path = folder / "tenant.sqlite3"
        shutil.copyfile(_template(folder.parent), path)
        who = identity(_PLAN.seed, _PLAN.domain)
        self._directory = Directory(path, universe.tenant_clock, durable=False)
        self.graph = SimulatedGraph(self._directory, who, Signer(b"proof" * 8), universe.random.randrange(2**31))
        self.graph.audiences |= {ROOT}
        panel = ControlPanel(self.graph)
        self.app = build_app(self.graph, panel)
        self.control = Direct(panel)
        self.control.knobs(throttle_conditional_access=False)
        self.before: Callable[[str], None] = lambda what: None
        self.told: Callable[[str], None] = lambda what: None

    def close(self) -> None:
        """Closes its file."""
        self._directory.close()

    def is_part_of(self, table: str, key: str, owners: set[str]) -> bool:
        """Tells whether one of these owners has the object now, which Graph shows below its owner only."""
        entry = CATALOGUE.get(table)
        if entry is None or entry.parent is None or not (holder := CATALOGUE[entry.parent.type]).path:
            return False
        places = [f"{holder.path}/{owner}/{entry.parent.segment}" for owner in owners]
        return any(key == body.get(entry.key) for place in places for body in self.control.dump(place))

    def transport(self) -> httpx.AsyncBaseTransport:
        """Returns what carries requests of a client to it."""
        return _Transport(self, self._universe)

    def credential(self) -> Any:
        """Returns what asks it for tokens."""
        return _TokenSource(self)


class _Transport(httpx.AsyncBaseTransport):
    def __init__(self, tenant: Tenant, universe: Universe) -> None:
        self._tenant = tenant
        self._universe = universe

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        import asyncio

        body = await request.aread()
        await asyncio.sleep(self._universe.random.uniform(0.001, 0.05))
        what = f"{request.method} {request.url.raw_path.decode()}"
        self._tenant.before(what)
        if request.url.host != HOST:
            raise AssertionError(f"a request with the token left for another host: {request.url.host}")
        reply = await ask(self._tenant.app, request.method, request.url, request.headers.raw, body)
        self._tenant.told(f"{what} -> {reply.status} {len(reply.body)}{' broken' if reply.broken else ''}")
        await asyncio.sleep(self._universe.random.uniform(0.001, 0.05))
        promised = next((int(value) for name, value in reply.headers if name == b"content-length"), len(reply.body))
        if reply.broken or promised > len(reply.body):
            raise httpx.RemoteProtocolError("the connection was closed in the middle of an answer", request=request)
        return httpx.Response(reply.status, headers=reply.headers, content=reply.body, request=request)


class _TokenSource:
    """Gets tokens as azure-identity does, without its connection."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        import time
        from urllib.parse import urlencode

        who = self._tenant.graph.identity
        form = {
            "client_id": who.client_id,
            "client_secret": who.client_secret,
            "grant_type": "client_credentials",
            "scope": scopes[0],
        }
        asked = ask(
            self._tenant.app,
            "POST",
            httpx.URL(f"{ROOT}/{who.tenant_id}/oauth2/v2.0/token"),
            [(b"host", HOST.encode()), (b"content-type", b"application/x-www-form-urlencoded")],
            urlencode(form).encode(),
        )
        reply = _finished(asked)
        answer = msgspec.json.decode(reply.body)
        if reply.status != 200:
            raise ClientAuthenticationError(message=f"Authentication failed: {answer.get('error_description')}")
        return AccessToken(answer["access_token"], int(time.time()) + answer["expires_in"])


def _finished(work: Any) -> Any:
    """Runs a coroutine that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("signing in waits for something")


@cache
def _template(folder: Path) -> Path:
    """Makes the tenant that all start with."""
    from datetime import UTC, datetime

    place = folder / "template"
    place.mkdir()
    open_directory(place, _PLAN, lambda: datetime(2026, 11, 23, 4, 0, tzinfo=UTC), durable=False).close()
    return place / "tenant.sqlite3"


@cache
def project(folder: Path) -> Project:
    """Returns a project with one scope on such a tenant."""
    who = identity(_PLAN.seed, _PLAN.domain)
    (folder / "client_secret").write_text(who.client_secret)
    file = folder / "dagster_project.toml"
    file.write_text(
        _PROJECT.format(
            tenant_id=who.tenant_id,
            client_id=who.client_id,
            root=ROOT,
            retention=RETENTION,
        )
    )
    return load_project(file)
