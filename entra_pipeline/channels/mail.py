"""Mail over SMTP: the addresses of a profile, the project's server, and sending."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime, formataddr
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints, model_validator

from entra_pipeline.channels import channel
from entra_pipeline.channels.channel import Channel, Undelivered, undelivered
from entra_pipeline.channels.message import Message
from entra_pipeline.settings.fields import LOOPBACK, MailAddress, TlsPeer
from entra_pipeline.settings.secrets import Secret
from entra_pipeline.settings.section import Receiver, Section, wrong


class Mail(TlsPeer):
    """How mail is sent."""

    host: Annotated[
        str, StringConstraints(min_length=1), Field(title="Server", description="Such as smtp.example.com.")
    ]
    port: Annotated[
        Annotated[int, Field(ge=1, le=65535)] | None,
        Field(title="Port", description="Empty: 587, or 465 with implicit encryption."),
    ] = None
    from_: MailAddress = Field(alias="from", title="Sender", description="Such as entra-pipeline@example.com.")
    username: Annotated[str | None, Field(title="User name", description="Empty: no sign-in.")] = None
    password: Annotated[Secret | None, Field(title="Password")] = None
    tls: Annotated[
        Literal["starttls", "implicit", "none"] | None,
        Field(title="Encryption", description="Default: implicit on port 465, else starttls."),
    ] = None

    def receiver(self) -> Receiver:
        """As `Section.receiver`."""
        return Receiver(self.host.lower(), own=True)

    @model_validator(mode="after")
    def _sign_in(self) -> Mail:
        if (self.username is None) != (self.password is None):
            raise wrong("has half a sign-in", "Set both username and password, or neither.")
        if self.username and self.encryption == "none" and self.host not in LOOPBACK:
            raise wrong("would send a password in the clear", 'Set tls = "starttls" or tls = "implicit".')
        return self

    @property
    def encryption(self) -> Literal["starttls", "implicit", "none"]:
        """How the connection is encrypted: as `tls` says; else from the start on port 465, by STARTTLS elsewhere."""
        return self.tls or ("implicit" if self.port == 465 else "starttls")

    @property
    def server_port(self) -> int:
        """The port: as `port` says; else 465 when encrypted from the start, and 587 (RFC 6409) elsewhere."""
        return self.port or (465 if self.tls == "implicit" else 587)


class MailServer(Section):
    """What the project sets once: `[mail]`."""

    mail: Mail | None = None


class MailRecipients(Section):
    """What a profile sets."""

    to: list[MailAddress] = []
    attach_report: bool = True


class MailChannel(Channel[MailRecipients, MailServer]):
    """Sends mail; one that is sent again has the same Message-ID."""

    name: ClassVar[str] = "mail"
    setting: ClassVar[str] = "to"
    how: ClassVar[str] = "`to` (mail addresses)"
    digests: ClassVar[bool] = True
    shared: ClassVar[bool] = True

    def recipients(self, profile: MailRecipients) -> list[str]:
        """Returns the addresses."""
        return list(profile.to)

    def shown(self, profile: MailRecipients) -> list[str]:
        """Returns the addresses."""
        return profile.to

    def check(self, profile: MailRecipients, shared: MailServer) -> None:
        """As `Channel.check`: mail takes a server."""
        if profile.to and shared.mail is None:
            raise profile.error(
                "to", "there is no [mail] server to send it with", remedy="Add a [mail] table with host and from."
            )

    def reach(self, shared: MailServer) -> str:
        """As `Channel.reach`: connects to the server, and signs in."""
        mail = shared.mail
        assert mail is not None  # noqa: S101 - the configuration has been checked
        with _connection(mail):
            signed = f", signed in as {mail.username}" if mail.username else ""
            return f"{mail.host}:{mail.server_port} can be reached (encryption: {mail.encryption}){signed}"

    def send(
        self, profile: MailRecipients, shared: MailServer, message: Message, *, reference: str, now: datetime
    ) -> str:
        """As `Channel.send`; returns which addresses the server refused while it took the message for others."""
        self.check(profile, shared)
        mail = shared.mail
        assert mail is not None  # noqa: S101 - it was checked
        whole = _email(mail, profile, message, reference, now)
        with _connection(mail) as server:
            try:
                refused = server.send_message(whole)
            except smtplib.SMTPRecipientsRefused as error:
                raise undelivered(
                    profile, "to", f"{mail.host} refused every address: {_refusals(error.recipients)}", "Correct them."
                ) from None
            except smtplib.SMTPSenderRefused as error:
                raise undelivered(
                    mail,
                    "from",
                    f"{mail.host} refused the sender: {_said(error.smtp_error)}",
                    "Use an address that the account is allowed to send from.",
                ) from None
            except (smtplib.SMTPException, OSError) as error:
                raise undelivered(
                    mail, "host", f"{mail.host} did not accept the message: {_reason(error)}", "Check the mail server."
                ) from None
        return f"{mail.host} accepted it for the others, but not for {_refusals(refused)}" if refused else ""


def _email(mail: Mail, profile: MailRecipients, message: Message, reference: str, now: datetime) -> EmailMessage:
    # Templates and their engine are not needed to read the configuration.
    from entra_pipeline.channels.rendering import html, text

    whole = EmailMessage()
    whole["Subject"] = message.subject
    whole["From"] = formataddr(("entra-pipeline", mail.from_))
    whole["To"] = ", ".join(profile.to)
    whole["Date"] = format_datetime(now)
    whole["Message-ID"] = f"<{reference}@{mail.from_.rpartition('@')[2]}>"
    # Nobody's vacation responder needs to answer (RFC 3834).
    whole["Auto-Submitted"] = "auto-generated"
    whole.set_content(text(message))
    whole.add_alternative(html(message), subtype="html")
    if profile.attach_report and message.page is not None:
        whole.add_attachment(message.page(), subtype="html", filename=f"report-{message.name}.html")
    return whole


@contextmanager
def _connection(mail: Mail) -> Iterator[smtplib.SMTP]:
    """Returns a connection to the mail server, encrypted and signed in as configured."""
    context = _tls(mail)
    server: smtplib.SMTP | None = None
    try:
        if mail.encryption == "implicit":
            server = smtplib.SMTP_SSL(mail.host, mail.server_port, timeout=channel.TIMEOUT, context=context)
        else:
            server = smtplib.SMTP(mail.host, mail.server_port, timeout=channel.TIMEOUT)
        if mail.encryption == "starttls":
            server.starttls(context=context)
        if mail.username and mail.password:
            server.login(mail.username, mail.password.reveal())
    except (smtplib.SMTPException, OSError) as error:
        if server is not None:
            server.close()
        raise _not_connected(mail, error) from None
    except BaseException:
        if server is not None:
            server.close()
        raise
    try:
        yield server
    finally:
        try:
            server.quit()
        except (smtplib.SMTPException, OSError):
            # What it took, it took.
            server.close()


def _tls(mail: Mail) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if mail.ca_file is not None:
        try:
            context.load_verify_locations(mail.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise undelivered(
                mail, "ca_bundle", f"{mail.ca_file} cannot be used: {_reason(error)}", "Name a PEM file."
            ) from None
    return context


def _not_connected(mail: Mail, error: Exception) -> Undelivered:
    where = f"{mail.host}:{mail.server_port}"
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return undelivered(
            mail, "password", f"{where} refused to sign in: {_said(error.smtp_error)}", "Correct username and password."
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return undelivered(
            mail,
            "host",
            f"the certificate of {where} is not trusted: {error.verify_message}",
            "Use the host name in its certificate, or name its certificate authority in ca_bundle.",
        )
    if isinstance(error, smtplib.SMTPNotSupportedError | ssl.SSLError):
        return undelivered(
            mail,
            "tls",
            f"{where} does not support the tls setting ({mail.encryption}): {_reason(error)}",
            'Set tls to "starttls" (usually port 587) or "implicit" (usually port 465), as the server requires.',
        )
    return undelivered(
        mail, "host", f"{where} cannot be reached: {_reason(error)}", "Correct host and port, or start the server."
    )


def _refusals(refused: dict[str, tuple[int, bytes]]) -> str:
    return "; ".join(f"{address} ({code} {_said(said)})" for address, (code, said) in refused.items())


def _said(answer: bytes | str) -> str:
    return " ".join((answer.decode(errors="replace") if isinstance(answer, bytes) else answer).split())


def _reason(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{error.smtp_code} {_said(error.smtp_error)}"
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
