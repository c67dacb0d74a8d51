"""A message that only shows that messages arrive."""

from __future__ import annotations

from uuid import uuid4

from entra_pipeline.clock import Clock, system_clock
from entra_pipeline.notifications.channels import Undelivered, send_mail, send_webhook
from entra_pipeline.notifications.messages import Message
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
        lead="Messages of this profile arrive here.",
    )
    told = []
    if profile.to and project.mail is not None:
        partly = send_mail(project.mail, profile, message, reference=uuid4().hex, now=clock())
        if partly:
            file, key = profile.setting("to")
            raise Undelivered(partly, file=str(file), key=key, remedy="Correct the addresses.")
        told += profile.to
    if profile.webhook is not None:
        send_webhook(profile, message)
        told.append(f"webhook ({profile.webhook.format})")
    return told
