"""Webhooks of Microsoft Teams and Slack: the address of a profile, the forms of the services, and sending."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Literal

from entra_pipeline.channels import channel
from entra_pipeline.channels.channel import Channel, Undelivered, undelivered
from entra_pipeline.channels.message import SHOWN, Message
from entra_pipeline.settings.fields import LOOPBACK
from entra_pipeline.settings.secrets import Secret
from entra_pipeline.settings.section import Receiver, Section


class Webhook(Section):
    """An address that takes messages for a channel; whoever knows it can write there, so it is a secret."""

    url: Secret
    format: Literal["teams", "slack"]

    def receiver(self) -> Receiver:
        """As `Section.receiver`: the secret is the address."""
        return Receiver("the address of a webhook")


class WebhookAddress(Section):
    """What a profile sets."""

    webhook: Webhook | None = None


class WebhookChannel(Channel[WebhookAddress, Section]):
    """Posts messages, in the form of the service."""

    name: ClassVar[str] = "webhook"
    setting: ClassVar[str] = "webhook"
    how: ClassVar[str] = "`webhook`"

    def recipients(self, profile: WebhookAddress) -> list[str]:
        """Returns the service."""
        return [f"webhook ({profile.webhook.format})"] if profile.webhook else []

    def shown(self, profile: WebhookAddress) -> str:
        """Returns the service."""
        return profile.webhook.format if profile.webhook else ""

    def send(self, profile: WebhookAddress, shared: Section, message: Message, *, reference: str, now: datetime) -> str:
        """As `Channel.send`."""
        import httpx

        webhook = profile.webhook
        if webhook is None:
            raise undelivered(profile, "webhook", "there is none", "Set webhook.")
        address = webhook.url.reveal()
        parts = httpx.URL(address) if address.startswith(("https://", "http://")) else None
        if parts is None or (parts.scheme == "http" and parts.host not in LOOPBACK):
            raise undelivered(webhook, "url", "the address is not an https address", "Copy the address of the webhook.")
        try:
            answer = httpx.post(address, json=_FORMS[webhook.format](message), timeout=channel.TIMEOUT)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            # httpx's own words may repeat the address.
            raise undelivered(
                webhook,
                "url",
                f"the webhook cannot be reached ({type(error).__name__})",
                "Check the address and the network.",
            ) from None
        if not answer.is_success:
            raise _refused(webhook, answer.status_code)
        return ""


def _refused(webhook: Webhook, status: int) -> Undelivered:
    remedy = (
        "Create a new webhook."
        if status in {401, 403, 404, 410}
        else "It is retried. If it keeps failing, check the channel."
    )
    return undelivered(webhook, "url", f"the webhook answered with status {status}", remedy)


def teams(message: Message) -> dict[str, Any]:
    """Returns the message as an Adaptive Card, which a Teams workflow posts.

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
    """Returns the message in blocks of plain text (Slack doc: Block Kit, at most 50 blocks, 3,000 characters each)."""

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
