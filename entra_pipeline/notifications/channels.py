"""How messages travel: mail over SMTP, and webhooks of Microsoft Teams and Slack.

Every failure is an `Undelivered` that says which setting to look at. Passwords and addresses of webhooks are secrets:
they are in no message.
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime, formataddr
from typing import Any

from entra_pipeline.errors import ConfigurationError, FailureSort
from entra_pipeline.notifications.messages import SHOWN, Message
from entra_pipeline.notifications.rendering import html, text
from entra_pipeline.project import Mail, NotificationProfile, Webhook
from entra_pipeline.settings.section import Section

TIMEOUT = 20.0
"""Seconds that a server may take for an answer; Dagster gives a sensor sixty for all it does."""


class Undelivered(ConfigurationError):
    """A message could not be sent; names the setting that it failed at."""

    exit_code = 1
    sort = FailureSort.TRANSIENT


def send_mail(mail: Mail, profile: NotificationProfile, message: Message, *, reference: str, now: datetime) -> str:
    """Sends a message to the addresses of a profile.

    Args:
        mail: The server.
        profile: Whom to send it to, and whether with the report.
        message: What to tell.
        reference: What makes it this message; a mail that is sent again has the same Message-ID.
        now: The moment.

    Returns:
        Which addresses the server refused while it took the message for others; empty when it took it for all.

    Raises:
        Undelivered: The server did not take it.
        ConfigurationError: The password cannot be found.
    """
    whole = _email(mail, profile, message, reference, now)
    with _connection(mail) as server:
        try:
            refused = server.send_message(whole)
        except smtplib.SMTPRecipientsRefused as error:
            raise _undelivered(
                profile, "to", f"{mail.host} refused every address: {_refusals(error.recipients)}", "Correct them."
            ) from None
        except smtplib.SMTPSenderRefused as error:
            raise _undelivered(
                mail,
                "from",
                f"{mail.host} refused the sender: {_said(error.smtp_error)}",
                "Use an address that the account may send as.",
            ) from None
        except (smtplib.SMTPException, OSError) as error:
            raise _undelivered(
                mail, "host", f"{mail.host} did not take the message: {_reason(error)}", "Look at the server."
            ) from None
    return f"{mail.host} took it for the others, but not for {_refusals(refused)}" if refused else ""


def _email(mail: Mail, profile: NotificationProfile, message: Message, reference: str, now: datetime) -> EmailMessage:
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
    if profile.attach_report and message.report is not None:
        # With the page come the charts, which take half a second to import.
        from entra_pipeline.reports.rendering.html import as_html

        whole.add_attachment(as_html(message.report), subtype="html", filename=f"report-{message.name}.html")
    return whole


@contextmanager
def _connection(mail: Mail) -> Iterator[smtplib.SMTP]:
    """A connection to the mail server, encrypted and signed in as configured."""
    context = _tls(mail)
    server: smtplib.SMTP | None = None
    try:
        if mail.encryption == "implicit":
            server = smtplib.SMTP_SSL(mail.host, mail.server_port, timeout=TIMEOUT, context=context)
        else:
            server = smtplib.SMTP(mail.host, mail.server_port, timeout=TIMEOUT)
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
            raise _undelivered(
                mail, "ca_bundle", f"{mail.ca_file} cannot be used: {_reason(error)}", "Name a PEM file."
            ) from None
    return context


def _not_connected(mail: Mail, error: Exception) -> Undelivered:
    where = f"{mail.host}:{mail.server_port}"
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return _undelivered(
            mail, "password", f"{where} refused to sign in: {_said(error.smtp_error)}", "Correct username and password."
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return _undelivered(
            mail,
            "host",
            f"the certificate of {where} is not trusted: {error.verify_message}",
            "Use the name that its certificate has, or name its certificate authority in ca_bundle.",
        )
    if isinstance(error, smtplib.SMTPNotSupportedError | ssl.SSLError):
        return _undelivered(
            mail,
            "tls",
            f"{where} does not do what tls asks for ({mail.encryption}): {_reason(error)}",
            'Set tls to "starttls" (usually port 587) or "implicit" (usually port 465), as the server does it.',
        )
    return _undelivered(
        mail, "host", f"{where} cannot be reached: {_reason(error)}", "Correct host and port, or start the server."
    )


def _undelivered(section: Section, key: str, message: str, remedy: str) -> Undelivered:
    file, dotted = section.setting(key)
    return Undelivered(message, file=str(file), key=dotted, remedy=remedy)


def _refusals(refused: dict[str, tuple[int, bytes]]) -> str:
    return "; ".join(f"{address} ({code} {_said(said)})" for address, (code, said) in refused.items())


def _said(answer: bytes | str) -> str:
    return " ".join((answer.decode(errors="replace") if isinstance(answer, bytes) else answer).split())


def _reason(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{error.smtp_code} {_said(error.smtp_error)}"
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


# --- Webhooks --------------------------------------------------------------------------------------------------------


def send_webhook(profile: NotificationProfile, message: Message) -> None:
    """Posts a message to the webhook of a profile.

    Raises:
        Undelivered: It was not taken.
        ConfigurationError: The address cannot be found.
    """
    import httpx

    webhook = profile.webhook
    assert webhook is not None  # noqa: S101 - the caller looks at what the profile has
    address = webhook.url.reveal()
    parts = httpx.URL(address) if address.startswith(("https://", "http://")) else None
    if parts is None or (parts.scheme == "http" and parts.host not in {"127.0.0.1", "localhost", "::1"}):
        raise _undelivered(webhook, "url", "what it names is no https address", "Copy the address of the webhook.")
    try:
        answer = httpx.post(address, json=_FORMS[webhook.format](message), timeout=TIMEOUT)
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        # httpx's own words may repeat the address.
        raise _undelivered(
            webhook, "url", f"the webhook cannot be reached ({type(error).__name__})", "Look at address and network."
        ) from None
    if not answer.is_success:
        raise _refused(webhook, answer.status_code)


def _refused(webhook: Webhook, status: int) -> Undelivered:
    remedy = "Make a new webhook." if status in {401, 403, 404, 410} else "It is tried again; else look at its channel."
    return _undelivered(webhook, "url", f"the webhook answered with status {status}", remedy)


def teams(message: Message) -> dict[str, Any]:
    """The message as an Adaptive Card, which a Teams workflow posts.

    Names are in text runs, which know no markup (Adaptive Cards doc: RichTextBlock, TextRun).
    """

    def run(words: str, **style: Any) -> dict[str, Any]:
        return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": words or " ", **style}]}

    colour = {"finished": "good", "finished with exception": "warning"}.get(message.status, "attention")
    body = [run(message.subject, weight="bolder", size="medium", color=colour)]
    body += [run(message.lead)] if message.lead else []
    body += [run(f"{label}: {value}") for label, value in message.facts]
    for table in message.tables:
        body.append(run(table.title, weight="bolder"))
        body += [run(" · ".join(cell for cell in row if cell)) for row in table.rows[:SHOWN]]
        if len(table.rows) > SHOWN:
            body.append(run(f"and {len(table.rows) - SHOWN:,} more"))
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": body,
    }
    return {
        "type": "message",
        "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "content": card}],
    }


def slack(message: Message) -> dict[str, Any]:
    """The message in blocks of plain text (Slack doc: Block Kit, at most 50 blocks, 3,000 characters each)."""

    def section(words: str) -> dict[str, Any]:
        return {"type": "section", "text": {"type": "plain_text", "text": words[:3000], "emoji": False}}

    blocks: list[dict[str, Any]] = [section(f"{message.subject}\n{message.lead}".strip())]
    if message.facts:
        blocks.append(section("\n".join(f"{label}: {value}" for label, value in message.facts)))
    for table in message.tables[:40]:
        lines = ["• " + " · ".join(cell for cell in row if cell) for row in table.rows[:SHOWN]]
        more = [f"and {len(table.rows) - SHOWN:,} more"] if len(table.rows) > SHOWN else []
        blocks.append(section("\n".join([table.title, *lines, *more])))
    # Outside of blocks Slack knows markup, and escapes by these three (Slack doc: formatting text).
    fallback = message.subject.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return {"text": fallback, "blocks": blocks}


_FORMS = {"teams": teams, "slack": slack}
