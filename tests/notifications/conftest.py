"""A mail server with TLS and authentication, a server for webhooks, and a project that uses them."""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from entra_pipeline.project import Project, load_project
from entra_pipeline.project.stores import open_store
from entra_pipeline.simulator.server.certificates import make_certificates
from entra_pipeline.store.recovery_points import ScopeStore
from tests.store.writing import Time

USER, PASSWORD = "entra", "open sesame"


class _Server(Controller):
    """A server that takes mail from whoever signs in over TLS."""

    def __init__(self, office: PostOffice) -> None:
        self.office = office
        self.sessions: list[SMTP] = []
        super().__init__(office, hostname="127.0.0.1", port=office.port)

    def factory(self) -> SMTP:
        implicit = self.office.implicit
        one = SMTP(
            self.office,
            hostname="localhost",
            tls_context=None if implicit else self.office.context,
            require_starttls=not implicit,
            auth_required=True,
            auth_require_tls=not implicit,
            authenticator=self.office.sign_in,
            enable_SMTPUTF8=True,
            loop=self.loop,
        )
        self.sessions.append(one)
        return one

    async def hang_up(self) -> None:
        """Ends the connections that are open, and lets the loop see to it."""
        for one in self.sessions:
            if one.transport is not None:
                one.transport.abort()
        await asyncio.sleep(0.05)

    def _create_server(self) -> Any:
        context = self.office.context if self.office.implicit else None
        return self.loop.create_server(
            self._factory_invoker, host=self.hostname, port=self.port, ssl=context, family=socket.AF_INET
        )

    def _trigger_server(self) -> None:
        """The first real connection does what this is for."""
        with socket.create_connection((self.hostname, self.port), 5):
            pass
        self._factory_invoker()


class PostOffice:
    """A real SMTP server on loopback that can be shut, and what it took."""

    def __init__(self, folder: Path, *, implicit: bool) -> None:
        make_certificates(folder)
        self.ca = folder / "ca.pem"
        self.implicit = implicit
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(folder / "server.pem", folder / "server.key")
        self.mails: list[EmailMessage] = []
        self.refused: set[str] = set()
        self.port = free_port()
        self._server: _Server | None = None

    def sign_in(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        good = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=good, handled=False)

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address in self.refused:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return "250 OK"

    def open(self) -> None:
        self._server = _Server(self)
        self._server.start()

    def shut(self) -> None:
        if self._server is not None:
            asyncio.run_coroutine_threadsafe(self._server.hang_up(), self._server.loop).result(5)
            self._server.stop(no_assert=True)
            self._server = None

    def table(self, **more: str) -> str:
        """The `[mail]` table for this server."""
        settings = {
            "host": "localhost",
            "from": "entra-pipeline@example.com",
            "username": USER,
            "tls": "implicit" if self.implicit else "starttls",
            "ca_bundle": str(self.ca),
            **more,
        }
        lines = [f'{key} = "{value}"' for key, value in settings.items()]
        return "\n".join(["[mail]", *lines, f"port = {self.port}", 'password = { file = "password" }', ""])

    def told(self) -> list[tuple[str, str]]:
        """Whom it was told, and of what."""
        return sorted((str(mail["To"]), str(mail["Subject"])) for mail in self.mails)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(params=["starttls", "implicit"])
def post_office(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PostOffice]:
    office = PostOffice(tmp_path, implicit=request.param == "implicit")
    office.open()
    yield office
    office.shut()


class Hook:
    """An address that takes messages for a channel."""

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []
        self.status = 200
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                hook.posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(hook.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/services/T000/secret-path"
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> Hook:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as one:
        yield one


BASE = """\
[storage.disk]
kind = "local"
path = "backup"

[tenants.contoso]
simulator = {{ users = 5 }}

[scopes.contoso]
tenant = "contoso"
storage = "disk"

[scopes.fabrikam]
tenant = "contoso"
storage = "disk"

{mail}
{profiles}
"""

MakeProject = Callable[..., Project]


@pytest.fixture
def make_project(tmp_path: Path) -> MakeProject:
    """Makes a project of the tables of profiles and mail."""

    def make(profiles: str, mail: str) -> Project:
        (tmp_path / "password").write_text(PASSWORD)
        file = tmp_path / "dagster_project.toml"
        file.write_text(BASE.format(mail=mail, profiles=profiles))
        return load_project(file)

    return make


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def stores(time: Time) -> Callable[[Project, str], ScopeStore]:
    return lambda project, scope="contoso": open_store(project, scope, time)
