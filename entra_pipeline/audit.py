"""The audit log: who did what to the backups, when, from where, and what came of it.

What belongs here: the shape of an event, the chain that the events make, reading it and checking it. What does not:
which acts are recorded, and who did them: the command (`cli.auditing`) and Dagster (`orchestration.sensors.audit`) know
that.

An event is an object of its own, as objects of S3 cannot be appended to: `_audit/<yyyy-mm-dd>/<number>.jsonl`, numbered
through all days. It is created on condition that its key does not exist, so that of two writers one goes on with the
next number, and carries the SHA-256 of the event before it. A day ends with an event that says so: it takes the number
that a late writer would, so that days do not fork the chain. docs/audit.md has the format.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import date, timedelta
from importlib.metadata import version
from typing import Any, Literal, NamedTuple

import msgspec

from entra_pipeline.clock import Clock, iso, system_clock
from entra_pipeline.errors import AlreadyExists, IntegrityError, NotInStore, StoreError
from entra_pipeline.store.backends import ObjectStore
from entra_pipeline.store.backends.encryption.names import ENCRYPTION
from entra_pipeline.store.backends.signing.envelope import BadSignature
from entra_pipeline.store.manifest import canonical, sha256
from entra_pipeline.store.parallel import in_parallel
from entra_pipeline.store.points.head import all_heads

ActChannel = Literal["cli", "dagster", "console"]

DAY_CLOSED = "day closed"
"""The act of the log itself, which ends a day's events."""

_ROOT = "_audit/"
_HEAD = f"{_ROOT}head.json"
_KEY = re.compile(rf"{_ROOT}(\d{{4}}-\d\d-\d\d)/(\d{{12}})\.jsonl")
_NO_EVENT: dict[str, Any] = {"number": 0, "sha256": ""}
_UNREADABLE = "unreadable event"
_CHUNK = 1000


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where an act comes from.

    Attributes:
        actor: Who: the name of an operating system's user, of a schedule, later of a person who has signed in.
        channel: Through what.
        host: The machine that did it.
        address: Network address that it was asked for from, where that is another machine; may be empty.
    """

    actor: str
    channel: ActChannel
    host: str
    address: str = ""


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """What was done.

    Attributes:
        action: What: `backup`, `scope edit` …
        scope: Name of the scope; empty for what concerns none, or all.
        subject: What it was done to, or what came of it: a recovery point, a plan, a run, a schedule; may be empty.
        result: How it ended: `finished`, `finished with exception`, `failed`, `refused`, `cancelled`; `started` where
            the end is an event of its own.
        details: What else there is to know. Never secrets.
    """

    action: str
    scope: str = ""
    subject: str = ""
    result: str
    details: dict[str, Any] = {}


class AuditEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event as it is stored; see `Act` and `Origin` for the members not told here.

    Attributes:
        number: Its place in the chain, from 1.
        moment: When it was written, RFC 3339.
        tool: What wrote it, with its version.
        previous: SHA-256 of the bytes of the event before it; empty for the first.
        encrypted: Where the store is encrypted: the members `actor`, `host`, `address`, `subject` and `details`, which
            are empty beside it.
    """

    number: int
    moment: str
    actor: str
    channel: str
    host: str
    address: str
    action: str
    scope: str
    subject: str
    result: str
    details: dict[str, Any]
    tool: str
    previous: str
    encrypted: str | msgspec.UnsetType = msgspec.UNSET


_EVENT_DECODER = msgspec.json.Decoder(AuditEvent)
_MEMBERS_DECODER = msgspec.json.Decoder(dict[str, Any])
_CONCEALED: dict[str, Any] = {"actor": "", "host": "", "address": "", "subject": "", "details": {}}


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    """Where the chain goes on, as far as its last writer knew: it may be behind, and is never ahead.

    Attributes:
        day: Day of the event, or on which the first is to be written.
        number: Number of the event; 0 before the first.
        sha256: SHA-256 of its bytes; empty before the first.
    """

    day: date
    number: int
    sha256: str


_HEAD_DECODER = msgspec.json.Decoder(_Head)


class _StoredEvent(NamedTuple):
    """An event as it was read: its bytes, and why they are not to be believed, if so."""

    data: bytes
    problem: str = ""


class ChainedEvent(NamedTuple):
    """An event, and the key of its place in the chain."""

    key: str
    event: AuditEvent


class Problem(NamedTuple):
    """A place at which the log is not what was written: a key, and what is wrong there."""

    key: str
    what: str


class AuditLog:
    """The audit log of a storage.

    Args:
        files: The storage.
        clock: The one clock.
    """

    def __init__(self, files: ObjectStore, clock: Clock = system_clock) -> None:
        self.files = files
        self._clock = clock

    # --- Writing -----------------------------------------------------------------------------------------------------

    def write(self, act: Act, origin: Origin) -> AuditEvent:
        """Appends an event; any number of writers may do so at the same time.

        The head tells where to begin to look for the end of the chain, and each event where the next one is: so all
        writers try to create the same key, and those who come second go on after the first.

        Raises:
            StoreError: The storage cannot be read or written; the act is not in the log.
        """
        if self.files.vault is None and next(iter(self.files.list(ENCRYPTION)), None) is not None:
            # Without the key nothing is encrypted, and only what retention needs may be readable.
            act = msgspec.structs.replace(act, subject="", details={})
        head = self._head()
        while True:
            today = self._clock().date()
            closing = head.day < today
            event = self._event(head, _closing(today) if closing else act, origin)
            key = _key(head.day, event.number)
            data = canonical(_concealed(self.files, key, event))
            try:
                self.files.create(key, data)
            except AlreadyExists:
                # One that nobody signed has the number all the same; the next event goes on after it.
                stored = _stored(self.files, key)
            else:
                stored = _StoredEvent(data)
                if not closing:
                    # The event stands without it; the next writer has a little farther to go.
                    with suppress(StoreError):
                        self.files.replace(_HEAD, canonical(_after(key, stored)))
                    return event
            head = _after(key, stored)

    def _head(self) -> _Head:
        """Returns where to begin to look for the end; makes it of the events when it is missing."""
        for _ in range(2):
            try:
                return _HEAD_DECODER.decode(self.files.read(_HEAD))
            except NotInStore:
                pass
            except (msgspec.DecodeError, BadSignature):
                return self._found()
            with suppress(AlreadyExists):
                self.files.create(_HEAD, canonical(self._found()))
        return self._found()

    def _found(self) -> _Head:
        """Returns the end of the chain by the list of its events."""
        keys = [file.key for file in self.files.list(_ROOT) if _KEY.fullmatch(file.key)]
        return _after(keys[-1], _stored(self.files, keys[-1])) if keys else _Head(day=self._clock().date(), **_NO_EVENT)

    def _event(self, head: _Head, act: Act, origin: Origin) -> AuditEvent:
        return AuditEvent(
            number=head.number + 1,
            moment=iso(self._clock()),
            actor=origin.actor,
            channel=origin.channel,
            host=origin.host,
            address=origin.address,
            action=act.action,
            scope=act.scope,
            subject=act.subject,
            result=act.result,
            details=act.details,
            tool=f"entra-pipeline {version('entra-pipeline')}",
            previous=head.sha256,
        )

    # --- Reading -----------------------------------------------------------------------------------------------------

    def events(self, first: date, last: date) -> list[AuditEvent]:
        """Reads the events of some days (in UTC), oldest first; one that cannot be read becomes one that says so.

        Lists the months of the days, and reads the events of the days only.

        Raises:
            StoreError: The storage cannot be read.
        """
        return [one.event for one in self.chain(first, last) if one.event.action != DAY_CLOSED]

    def chain(self, first: date, last: date) -> list[ChainedEvent]:
        """Reads events as `events` does, with their keys, those that end a day among them."""
        listed = (file.key for month in _months(first, last) for file in self.files.list(f"{_ROOT}{month}-"))
        keys = [key for key in listed if (place := _place(key)) and first <= place[0] <= last]
        stored = in_parallel(lambda key: _stored(self.files, key), keys)
        return [
            ChainedEvent(key, _revealed(self.files, key, _decoded(key, one)))
            for key, one in zip(keys, stored, strict=True)
        ]

    def verify(self) -> Iterator[Problem]:
        """Checks the whole chain: nothing changed, removed or inserted.

        What it cannot show where events are not signed: that somebody who may write to the storage has made the chain
        anew from some event on.

        Raises:
            StoreError: The storage cannot be read.
        """
        # Before the events are listed: a backup that ends meanwhile tells of newer ones.
        told = {(one.audit, one.audit_sha256) for one in all_heads(self.files) if one.audit}
        try:
            head = _HEAD_DECODER.decode(self.files.read(_HEAD))
        except NotInStore:
            head = None
        except msgspec.DecodeError as error:
            head = None
            yield Problem(_HEAD, f"cannot be read: {error}")
        except BadSignature as error:
            head = None
            yield Problem(_HEAD, error.message.removeprefix(f"{_HEAD} "))
        keys = []
        for key in (file.key for file in self.files.list(_ROOT)):
            if _place(key):
                keys.append(key)
            elif key != _HEAD:
                yield Problem(key, "does not belong to the log")
        if keys and head is None:
            yield Problem(_HEAD, "is missing: events removed at the end cannot be detected")
        yield from _Chain(self.files, head).problems(keys)
        yield from self._missing(keys, told)

    def _missing(self, keys: Sequence[str], told: Iterable[tuple[int, str]]) -> Iterator[Problem]:
        """Compares the log with what the heads of scopes say of it: number and SHA-256 of events."""
        places = {_placed(key)[1]: key for key in keys}
        for number, digest in sorted(told):
            if number not in places:
                yield Problem(_ROOT, f"event {number} is missing, and was there when a recovery point was taken")
            elif sha256(_stored(self.files, places[number]).data) != digest:
                yield Problem(places[number], "is not the event that was there when a recovery point was taken")

    def newest(self) -> tuple[int, str]:
        """Returns the number of an event at the end of the log, and its SHA-256; 0 and an empty text without any.

        Raises:
            StoreError: The storage cannot be read, or nobody signed the log's head.
        """
        try:
            head = _HEAD_DECODER.decode(self.files.read(_HEAD))
        except NotInStore:
            return 0, ""
        except msgspec.DecodeError as error:
            raise StoreError(f"{_HEAD} cannot be read: {error}", remedy="Run: entra-pipeline verify --audit") from None
        return head.number, head.sha256

    def digest(self, number: int) -> str:
        """Returns the SHA-256 of an event; empty when it is not there."""
        keys = [file.key for file in self.files.list(_ROOT)]
        found = [key for key in keys if (place := _place(key)) and place[1] == number]
        return sha256(_stored(self.files, found[0]).data) if found else ""


class _Chain:
    """The chain as far as it has been checked."""

    def __init__(self, files: ObjectStore, head: _Head | None) -> None:
        self._files = files
        self._head = head
        self._last: _Head | None = None
        self._key = ""

    def problems(self, keys: Sequence[str]) -> Iterator[Problem]:
        for some in (keys[start : start + _CHUNK] for start in range(0, len(keys), _CHUNK)):
            stored = in_parallel(lambda key: _stored(self._files, key), some)
            for key, one in zip(some, stored, strict=True):
                yield from self._next(key, one)
        last, head = self._last, self._head
        if head and head.number > (last.number if last else 0):
            missing = _numbers((last.number if last else 0) + 1, head.number)
            yield Problem(self._key or _ROOT, f"after it, {missing} missing")

    def _next(self, key: str, stored: _StoredEvent) -> Iterator[Problem]:
        last, head = self._last, self._head
        day, number = _placed(key)
        due = last.number + 1 if last else 1
        if number < due:
            # Whatever it says, another event has this place.
            yield Problem(key, f"was inserted: event {number} is elsewhere")
            return
        if number > due:
            yield Problem(key, f"before it, {_numbers(due, number - 1)} missing")
        event = _decoded(key, stored)
        if stored.problem:
            yield Problem(key, stored.problem)
        elif event.action == _UNREADABLE:
            yield Problem(key, f"was changed: {event.details['error']}")
        else:
            if event.number != number:
                yield Problem(key, f"was changed: it says that it is event {event.number}")
            if last and number == due and event.previous != last.sha256:
                yield Problem(self._key, f"was changed: its SHA-256 is not what {key} says")
            if last and number == due and day != last.day:
                yield Problem(key, f"was inserted or moved: the chain continues in {last.day}")
        if head and number == head.number and sha256(stored.data) != head.sha256:
            yield Problem(key, f"was changed: its SHA-256 is not what {_HEAD} says")
        self._last, self._key = _after(key, stored), key


def _closing(today: date) -> Act:
    return Act(action=DAY_CLOSED, result="finished", details={"next": today.isoformat()})


def _stored(files: ObjectStore, key: str) -> _StoredEvent:
    try:
        return _StoredEvent(files.read(key))
    except BadSignature as error:
        return _StoredEvent(error.data, error.message.removeprefix(f"{key} "))


def _after(key: str, stored: _StoredEvent) -> _Head:
    """Returns where the chain goes on after an event."""
    day, number = _placed(key)
    event = _decoded(key, stored)
    if event.action == DAY_CLOSED:
        with suppress(KeyError, TypeError, ValueError):
            day = date.fromisoformat(event.details["next"])
    return _Head(day=day, number=number, sha256=sha256(stored.data))


def _decoded(key: str, stored: _StoredEvent) -> AuditEvent:
    """Decodes an event; returns one that says so when it cannot be read, or is not to be believed."""
    if stored.problem:
        return _unreadable(key, f"it {stored.problem}")
    try:
        return _EVENT_DECODER.decode(stored.data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _unreadable(key, f"it cannot be read: {error}")


def _concealed(files: ObjectStore, key: str, event: AuditEvent) -> AuditEvent:
    """Returns an event as it is stored; what ends a day stays readable, as whoever goes on has to read it."""
    if files.vault is None:
        return event
    kept = {name: getattr(event, name) for name in _CONCEALED}
    details = event.details if event.action == DAY_CLOSED else {}
    encrypted = files.vault.seal(key, canonical(kept))
    return msgspec.structs.replace(event, **_CONCEALED | {"details": details, "encrypted": encrypted})


def _revealed(files: ObjectStore, key: str, event: AuditEvent) -> AuditEvent:
    """Returns an event as it was written; as it is stored where this machine has no key."""
    if files.vault is None or not isinstance(event.encrypted, str):
        return event
    try:
        kept = _MEMBERS_DECODER.decode(files.vault.open(key, event.encrypted))
        return msgspec.structs.replace(event, **kept, encrypted=msgspec.UNSET)
    except (IntegrityError, msgspec.DecodeError, TypeError) as error:
        return _unreadable(key, f"it cannot be decrypted: {error}")


def _unreadable(key: str, why: str) -> AuditEvent:
    day, number = _placed(key)
    nobody = dict.fromkeys(("actor", "channel", "host", "address", "scope", "tool", "previous"), "")
    return AuditEvent(
        **nobody,
        number=number,
        moment=f"{day}T00:00:00Z",
        action=_UNREADABLE,
        subject=key,
        result="failed",
        details={"error": why},
    )


def _key(day: date, number: int) -> str:
    return f"{_ROOT}{day}/{number:012d}.jsonl"


def _place(key: str) -> tuple[date, int] | None:
    """Reads day and number in a key; None when it is no event's."""
    match = _KEY.fullmatch(key)
    try:
        return (date.fromisoformat(match[1]), int(match[2])) if match else None
    except ValueError:
        return None


def _placed(key: str) -> tuple[date, int]:
    place = _place(key)
    if place is None:
        raise StoreError(f"{key} is not an event of the audit log", remedy="See entra-pipeline verify --audit.")
    return place


def _months(first: date, last: date) -> Iterator[str]:
    month = first.replace(day=1)
    while month <= last:
        yield f"{month:%Y-%m}"
        month = (month + timedelta(days=31)).replace(day=1)


def _numbers(first: int, last: int) -> str:
    return f"event {first} is" if first == last else f"events {first} to {last} are"
