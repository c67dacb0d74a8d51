"""A mail server on loopback that takes everything, for benchmarks that count what was told."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller

from benchmarks.consoles import free_port


class PostOffice:
    """What a mail server has taken.

    Attributes:
        port: Where it listens.
        mails: What came, the oldest first.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.mails: list[EmailMessage] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Keeps a mail."""
        self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return "250 OK"


@contextmanager
def post_office() -> Iterator[PostOffice]:
    """Runs the server until the context ends."""
    office = PostOffice()
    mail = Controller(office, hostname="127.0.0.1", port=office.port)
    mail.start()
    try:
        yield office
    finally:
        mail.stop()
