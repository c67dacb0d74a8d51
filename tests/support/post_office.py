"""A mail server with TLS and authentication that can be shut."""

from __future__ import annotations

import asyncio
import email
import email.policy
import socket
import ssl
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from entra_pipeline.simulator.server.certificates import make_certificates

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
