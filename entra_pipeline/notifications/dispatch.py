"""Dispatch: events become notices by the project's profiles, and notices are sent when they are due.

What belongs here: when what is sent, and what happens when it cannot be. What does not: the outbox (`outbox`), what a
message says (`messages`), how it travels (`entra_pipeline.channels`).

Anybody may dispatch, and any number at once: a lock in the store lets one at a time do it, and what was sent is
recorded before the lock is given back. A process that is killed after a server has taken a message and before that is
recorded leaves a message that is sent again, under the same Message-ID.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from entra_pipeline.channels import CHANNELS
from entra_pipeline.channels.message import Message
from entra_pipeline.clock import Clock, iso, parse_iso, system_clock
from entra_pipeline.errors import EntraPipelineError, ScopeBusy
from entra_pipeline.notifications import outbox
from entra_pipeline.notifications.messages import digest_message, message
from entra_pipeline.notifications.outbox import Event, Notice
from entra_pipeline.project import NotificationProfile, Project
from entra_pipeline.store.backends import LockHandle, ObjectStore
from entra_pipeline.store.recovery_points import ScopeStore

OLD = timedelta(days=7)
"""Age at which an event is not sent any more, and a notice that could not be sent is given up."""
_REMEMBERED = 2 * OLD
"""Age at which the record of a sent notice is removed: neither an event nor a notice waits for so long."""
_FIRST_PAUSE = timedelta(minutes=1)
_LONGEST_PAUSE = timedelta(hours=1)
_DOUBLINGS = 6
_LEFT_TO_DAGSTER = timedelta(hours=6)

_log = logging.getLogger(__name__)


@dataclass
class Dispatched:
    """What a dispatch came to.

    Attributes:
        sent: Messages that were sent.
        waiting: Notices that remain in the outbox.
        problems: Why some could not be sent, each with what happens next.
    """

    sent: int = 0
    waiting: int = 0
    problems: list[str] = field(default_factory=list)


def places(project: Project) -> Iterator[tuple[str, Callable[[], ObjectStore]]]:
    """Yields the storage profiles that scopes use: name, and how to open the place."""
    for name in dict.fromkeys(scope.storage for scope in project.scopes.values()):
        yield name, lambda name=name: project.storage[name].open()  # type: ignore[misc]


def reported_by_command(event: Event, now: datetime) -> bool:
    """Tells whether the command or the console may report an event now, rather than Dagster's sensor.

    Dagster's sensor reports the events of a run when the run has ended: until then its outcome may change. An event
    that has waited for hours has no sensor.
    """
    return not event.get("run_id") or now - parse_iso(event["finished"]) > _LEFT_TO_DAGSTER


def dispatch(
    project: Project,
    files: ObjectStore,
    *,
    ready: Callable[[Event], bool] | None = None,
    until: datetime | None = None,
    clock: Clock = system_clock,
) -> Dispatched:
    """Sends the notifications that wait in a place. A failure to send is no error: the result and the log name it.

    Args:
        project: The configuration.
        files: The place.
        ready: Whether an event may be reported now; by default as `reported_by_command` says.
        until: No further message is begun after this moment.
        clock: The one clock.

    Raises:
        StoreError: The place cannot be read or written.
    """
    result = Dispatched()
    now = clock()
    may = ready or (lambda event: reported_by_command(event, now))
    new = outbox.events(files)
    if not new and not any(one.due <= now for one in outbox.waiting(files)):
        result.waiting = len(outbox.waiting(files))
        return result
    try:
        with files.lock(outbox.LOCK, "sending notifications", clock) as hold:
            _take_in(project, files, new, may, now)
            _send_due(_Sending(project, files, hold, clock, until, result))
    except ScopeBusy:
        # Whoever holds the lock sends them.
        _log.debug("another process is sending notifications")
    result.waiting = len(outbox.waiting(files))
    return result


# --- Events become notices -------------------------------------------------------------------------------------------


def _take_in(
    project: Project, files: ObjectStore, keys: list[str], ready: Callable[[Event], bool], now: datetime
) -> None:
    there = {one.fingerprint for one in outbox.waiting(files)} if keys else set()
    for key in keys:
        event = outbox.read_event(files, key)
        if event is None:
            continue
        old = now - parse_iso(event["finished"]) > OLD
        if not old and not ready(event):
            continue
        for notice, due in () if old else _notices(project, event, now):
            if notice.fingerprint not in there and not outbox.was_sent(files, notice):
                outbox.put(files, notice, due)
        files.clear([key])


def _notices(project: Project, event: Event, now: datetime) -> Iterator[tuple[Notice, datetime]]:
    """Returns the notices of an event, each with the moment when it is due."""
    for name, profile in project.notifications.items():
        if not profile.wants(event["type"], event["status"]):
            continue
        for channel in CHANNELS.values():
            if channel.recipients(profile):
                waits = channel.digests and bool(profile.digest)
                notice = Notice(event=event, profile=name, channel=channel.name, digest=waits, since=iso(now))
                yield notice, next_digest(profile, now) if waits else now


def next_digest(profile: NotificationProfile, now: datetime) -> datetime:
    """Returns when a profile's next digest is due."""
    local = now.astimezone(ZoneInfo(profile.timezone))
    at = time.fromisoformat(profile.digest_at)
    today = datetime.combine(local.date(), at, local.tzinfo)
    return today if today > local else datetime.combine(local.date() + timedelta(days=1), at, local.tzinfo)


# --- Notices are sent ------------------------------------------------------------------------------------------------


@dataclass
class _Sending:
    """What sending needs."""

    project: Project
    files: ObjectStore
    hold: LockHandle
    clock: Clock
    until: datetime | None
    result: Dispatched
    scopes: set[str] = field(default_factory=set)


def _send_due(at: _Sending) -> None:
    keys = [one.key for one in outbox.waiting(at.files) if one.due <= at.clock()]
    digests: dict[str, list[tuple[str, Notice]]] = defaultdict(list)
    # A channel that failed is not tried again in the same pass: a server that is down costs one timeout.
    down: dict[tuple[str, str], str] = {}
    for key, notice in outbox.notices(at.files, keys):
        if at.until is not None and at.clock() >= at.until:
            return
        if outbox.was_sent(at.files, notice):
            at.files.clear([key])
        elif not _reaches(at.project, notice):
            # The profile, or its channel, was removed since.
            outbox.settle(at.files, notice, key, "given up", at.clock())
        elif notice.digest:
            digests[notice.profile].append((key, notice))
        else:
            _send(at, [(key, notice)], down)
    for group in digests.values():
        if at.until is not None and at.clock() >= at.until:
            return
        _send(at, group, down)
    # Only where something was sent, so that what is kept grows with nothing and costs nothing in quiet times.
    for scope in sorted(at.scopes):
        outbox.forget_sent(at.files, scope, at.clock() - _REMEMBERED)


def _reaches(project: Project, notice: Notice) -> bool:
    profile = project.notifications.get(notice.profile)
    channel = CHANNELS.get(notice.channel)
    return profile is not None and channel is not None and bool(channel.recipients(profile))


def _send(at: _Sending, group: list[tuple[str, Notice]], down: dict[tuple[str, str], str]) -> None:
    """Sends one message about one or more notices of a profile."""
    first = group[0][1]
    profile = at.project.notifications[first.profile]
    channel = CHANNELS[first.channel]
    way = (channel.name, "" if channel.shared else first.profile)
    at.hold.confirm()
    if way in down:
        _put_off(at, group, down[way])
        return
    try:
        whole = _whole(at, group)
        partly = channel.send(profile, at.project, whole, reference=first.fingerprint, now=at.clock())
        if partly:
            _log.warning("profile %s: %s", first.profile, partly)
            at.result.problems.append(f"profile {first.profile}: {partly}")
    except EntraPipelineError as error:
        down[way] = error.message
        _put_off(at, group, error.message)
    else:
        at.result.sent += 1
        for key, notice in group:
            outbox.settle(at.files, notice, key, "sent", at.clock())
            at.scopes.add(notice.event["scope"])


def _whole(at: _Sending, group: list[tuple[str, Notice]]) -> Message:
    """Returns the one message about some notices."""
    stores = {notice.event["scope"]: ScopeStore(at.files, notice.event["scope"]) for _, notice in group}
    messages = [message(notice.event, stores[notice.event["scope"]], at.clock()) for _, notice in group]
    return digest_message(messages) if group[0][1].digest else messages[0]


def _put_off(at: _Sending, group: list[tuple[str, Notice]], problem: str) -> None:
    now = at.clock()
    for key, notice in group:
        pause = min(_FIRST_PAUSE * 2 ** min(notice.tries, _DOUBLINGS), _LONGEST_PAUSE)
        event = f"{notice.event['type']} {notice.event['id']} of scope {notice.event['scope']}"
        if now - outbox.since(notice) > OLD:
            then = f"given up after {OLD.days} days"
            outbox.settle(at.files, replace(notice, problem=problem), key, "given up", now)
        else:
            then = f"retried after {iso(now + pause)}"
            outbox.postponed(at.files, notice, key, now + pause, problem)
        text = f"profile {notice.profile} was not notified of {event} by {notice.channel}: {problem}; {then}"
        _log.warning("%s", text)
        at.result.problems.append(text)
