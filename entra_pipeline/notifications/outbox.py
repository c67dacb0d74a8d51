"""The outbox: notices that are to be sent, and a record of those that were.

What belongs here: where they are, and what makes each be sent once. What does not: which there are and when they are
sent (`dispatch`), and how (`entra_pipeline.channels`).

```
_notifications/events/<scope>/<event id>.json                           looked at, then removed (`store/events.py`)
_notifications/outbox/<due>~<digest of the notice's id>.json            a notice that waits
_notifications/sent/<scope>/<event id>/<status>.<profile>.<channel>.json   one that was sent, or given up
```

The moment when a notice is due stands in its name, so that a look at the outbox is one listing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from entra_pipeline.clock import iso, parse_iso
from entra_pipeline.errors import AlreadyExists, NotInStore
from entra_pipeline.store.backends import ObjectStore
from entra_pipeline.store.events import EVENTS
from entra_pipeline.store.manifest import canonical

OUTBOX = "_notifications/outbox/"
SENT = "_notifications/sent/"
LOCK = "_locks/_notifications"
"""Held by the process that sends. No scope has this name."""

Event = dict[str, Any]


_EVENT_DECODER = msgspec.json.Decoder(Event)
_DUE = "%Y-%m-%dT%H-%M-%SZ"


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """An event that one channel of a profile is to send.

    Attributes:
        event: What happened.
        profile: Name of the notification profile.
        channel: How (`channels.CHANNELS`).
        digest: Sent together with others.
        since: When it was put into the outbox, RFC 3339.
        tries: How often sending it has failed.
        problem: What went wrong the last time.
    """

    event: Event
    profile: str
    channel: str
    digest: bool = False
    since: str
    tries: int = 0
    problem: str = ""

    @property
    def id(self) -> str:
        """What makes it this notice: the event with its outcome, the profile, the channel."""
        status = str(self.event["status"]).replace(" ", "-")
        return f"{self.event['scope']}/{self.event['id']}/{status}.{self.profile}.{self.channel}"

    @property
    def fingerprint(self) -> str:
        """A digest of its id, for names of files and messages."""
        return hashlib.sha256(self.id.encode()).hexdigest()[:32]


_NOTICE_DECODER = msgspec.json.Decoder(Notice)


class WaitingNotice(msgspec.Struct, frozen=True):
    """A notice in the outbox, as its key says."""

    key: str
    due: datetime
    fingerprint: str


def events(files: ObjectStore) -> list[str]:
    """Lists the keys of the events that wait."""
    return [file.key for file in files.list(EVENTS)]


def read_event(files: ObjectStore, key: str) -> Event | None:
    """Reads an event; None when another process has dealt with it."""
    try:
        return _EVENT_DECODER.decode(files.read(key))
    except NotInStore:
        return None


def waiting(files: ObjectStore) -> list[WaitingNotice]:
    """Lists the outbox, the first due first."""
    found = []
    for file in files.list(OUTBOX):
        due, _, fingerprint = file.key.removeprefix(OUTBOX).removesuffix(".json").partition("~")
        found.append(WaitingNotice(file.key, datetime.strptime(due, _DUE).replace(tzinfo=UTC), fingerprint))
    return found


def read_notice(files: ObjectStore, key: str) -> Notice | None:
    """Reads a notice; None when it is gone."""
    try:
        return _NOTICE_DECODER.decode(files.read(key))
    except NotInStore:
        return None


def put(files: ObjectStore, notice: Notice, due: datetime) -> None:
    """Puts a notice into the outbox, for a moment."""
    files.replace(f"{OUTBOX}{due.astimezone(UTC):{_DUE}}~{notice.fingerprint}.json", canonical(notice))


def was_sent(files: ObjectStore, notice: Notice) -> bool:
    """Tells whether a notice was sent or given up."""
    try:
        files.size(f"{SENT}{notice.id}.json")
    except NotInStore:
        return False
    return True


def settle(files: ObjectStore, notice: Notice, key: str, outcome: Literal["sent", "given up"], now: datetime) -> None:
    """Records what became of a notice, and takes it out of the outbox."""
    record: dict[str, object] = {
        "id": notice.id,
        "outcome": outcome,
        "at": iso(now),
        "tries": notice.tries + 1,
        "problem": notice.problem if outcome == "given up" else "",
    }
    # Another process has recorded it.
    with suppress(AlreadyExists):
        files.create(f"{SENT}{notice.id}.json", canonical(record))
    files.clear([key])


def forget_sent(files: ObjectStore, scope: str, before: datetime) -> None:
    """Removes the records of what was sent of a scope before a moment."""
    files.clear([file.key for file in files.list(f"{SENT}{scope}/") if file.modified < before])


def postponed(files: ObjectStore, notice: Notice, key: str, due: datetime, problem: str) -> None:
    """Postpones a notice that could not be sent."""
    # First the new one: a process that dies in between leaves two, of which one is sent.
    put(files, msgspec.structs.replace(notice, tries=notice.tries + 1, problem=problem), due)
    files.clear([key])


def notices(files: ObjectStore, keys: list[str]) -> Iterator[tuple[str, Notice]]:
    """Reads notices by their keys; those that are gone are left out."""
    for key in keys:
        notice = read_notice(files, key)
        if notice is not None:
            yield key, notice


def since(notice: Notice) -> datetime:
    """Returns when a notice was put into the outbox."""
    return parse_iso(notice.since)
