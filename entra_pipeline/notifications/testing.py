"""A message that only shows that messages arrive."""

from __future__ import annotations

from uuid import uuid4

from pydantic import ValidationError

from entra_pipeline.channels import CHANNELS
from entra_pipeline.channels.channel import undelivered
from entra_pipeline.channels.mail import MailRecipients
from entra_pipeline.channels.message import Message
from entra_pipeline.clock import Clock, system_clock
from entra_pipeline.errors import UsageError
from entra_pipeline.project import Project


def send_test(project: Project, name: str, clock: Clock = system_clock) -> list[str]:
    """Sends a test message by every channel of a profile.

    Returns:
        Whom it was sent to.

    Raises:
        UsageError: There is no such profile.
        Undelivered: It could not be sent.
        ConfigurationError: A secret cannot be found.
    """
    profile = project.profile(name)
    message = Message(
        subject=f"Test of notification profile {name}",
        status="finished",
        lead="Messages of this profile are delivered here.",
    )
    reached = []
    for channel in CHANNELS.values():
        recipients = channel.recipients(profile)
        if not recipients:
            continue
        partly = channel.send(profile, project, message, reference=uuid4().hex, now=clock())
        if partly:
            raise undelivered(profile, channel.setting, partly, "Correct the addresses.")
        reached += recipients
    return reached


def send_test_mail(project: Project, address: str, clock: Clock = system_clock) -> list[str]:
    """Sends a test message to one address by the mail server of the project.

    Returns:
        Whom it was sent to.

    Raises:
        UsageError: It is no mail address.
        Undelivered: It could not be sent.
        ConfigurationError: A secret cannot be found.
    """
    try:
        recipients = MailRecipients(to=[address])
    except ValidationError:
        raise UsageError(
            f"{address!r} is not a mail address", remedy="Write one such as entra-admins@example.com."
        ) from None
    recipients.locate(project.file, "mail")
    message = Message(subject="Test of the mail server", status="finished", lead="Mail is delivered here.")
    CHANNELS["mail"].send(recipients, project, message, reference=uuid4().hex, now=clock())
    return recipients.to
