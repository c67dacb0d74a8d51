"""What a channel is, and the error when a message could not be sent."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime
from typing import ClassVar, Generic, TypeVar

from entra_pipeline.channels.message import Message
from entra_pipeline.errors import ConfigurationError, FailureSort
from entra_pipeline.settings.section import Section

TIMEOUT = 20.0
"""Seconds that a server may take for an answer; Dagster gives a sensor sixty for all it does."""

ProfileT = TypeVar("ProfileT", bound=Section)
SharedT = TypeVar("SharedT", bound=Section)


class Undelivered(ConfigurationError):
    """A message could not be sent; names the setting that it failed at."""

    exit_code = 1
    sort = FailureSort.TRANSIENT


class Channel(ABC, Generic[ProfileT, SharedT]):
    """A way to send messages. Passwords and addresses of webhooks are secrets: they are in no error.

    Attributes:
        name: Names it in the outbox, in reports and logs.
        setting: The key of a profile that turns it on.
        how: What to set, for people.
        digests: Whether its messages may wait for a profile's digest.
        shared: Whether all profiles share one server: when it fails for one, it fails for all.
    """

    name: ClassVar[str]
    setting: ClassVar[str]
    how: ClassVar[str]
    digests: ClassVar[bool] = False
    shared: ClassVar[bool] = False

    @abstractmethod
    def recipients(self, profile: ProfileT) -> list[str]:
        """Returns whom a profile reaches by it, for people; nobody when the profile does not use it."""

    @abstractmethod
    def shown(self, profile: ProfileT) -> object:
        """Returns what lists of profiles show in the column of its setting."""

    def check(self, profile: ProfileT, shared: SharedT) -> None:
        """Raises ConfigurationError when a profile uses it and the project lacks what it takes."""

    def reach(self, shared: SharedT) -> str:
        """Tries what can be tried without a message; returns what was seen.

        Raises:
            Undelivered: The server cannot be reached, or refuses to sign in.
            ConfigurationError: A secret cannot be found.
        """
        return "only a message shows whether it arrives: entra-pipeline notifications test PROFILE"

    @abstractmethod
    def send(self, profile: ProfileT, shared: SharedT, message: Message, *, reference: str, now: datetime) -> str:
        """Sends a message to those whom a profile reaches.

        Args:
            profile: Whom to send it to.
            shared: What the project has for all profiles.
            message: The message.
            reference: What makes it this message, for those who get it twice.
            now: The moment.

        Returns:
            Whom it was not sent to, while it was sent to others; empty when all got it.

        Raises:
            Undelivered: It was not taken.
            ConfigurationError: A secret cannot be found.
        """


def undelivered(section: Section, key: str, message: str, remedy: str) -> Undelivered:
    """Makes the error for a setting of a section."""
    file, dotted = section.setting(key)
    return Undelivered(message, file=str(file), key=dotted, remedy=remedy)
