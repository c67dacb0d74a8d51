"""How messages travel: the registry of notification channels.

1. A `Message` has facts and tables, and no form (`message`); `rendering` makes HTML and text of it.
2. Each channel is one module: what a profile may set for it, what the project sets once for all profiles (a mail
   server), and a `Channel` that sends a message and says which setting to look at when it was not taken.
3. `CHANNELS` lists them. `ProfileChannels` is what a notification profile is made of, `SharedChannels` what the project
   has for all: the keys of the configuration follow from the modules.

To add a channel: write its module, and list it here. What belongs here: sending one message. What does not: which
messages there are, when they are sent and how often they are tried (`notifications`).
"""

from __future__ import annotations

from typing import Any

from entra_pipeline.channels.channel import Channel, Undelivered
from entra_pipeline.channels.mail import MailChannel, MailRecipients, MailServer
from entra_pipeline.channels.webhook import WebhookAddress, WebhookChannel

CHANNELS: dict[str, Channel[Any, Any]] = {one.name: one for one in (MailChannel(), WebhookChannel())}
"""Every channel, by its name."""


class ProfileChannels(MailRecipients, WebhookAddress):
    """What a notification profile sets for its channels."""


class SharedChannels(MailServer):
    """What the project sets once for the channels of all profiles."""


__all__ = ["CHANNELS", "Channel", "ProfileChannels", "SharedChannels", "Undelivered"]
