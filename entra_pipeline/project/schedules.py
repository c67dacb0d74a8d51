"""What a scope's schedule means in time: when it is due next, how long it may pause, and when a point is late."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice, pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from entra_pipeline.project.models import Scope
from entra_pipeline.ticks import last_tick, ticks_after

_WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_NAMED = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0"}


class Windows(NamedTuple):
    """How old the last good recovery point may be: older than `warn` it is late, older than `fail` it is missing."""

    warn: timedelta
    fail: timedelta


def next_runs(scope: Scope, after: datetime, number: int) -> list[datetime]:
    """Returns the next times of a scope's schedule, in its time zone; none without a schedule."""
    if scope.schedule is None:
        return []
    return list(islice(ticks_after(scope.schedule, scope.timezone, after), number))


def next_run(scope: Scope, now: datetime) -> datetime | None:
    """Returns when the schedule is due next, in the scope's time zone; None without a schedule."""
    return next(iter(next_runs(scope, now, 1)), None)


def in_words(schedule: str) -> str:
    """Says a cron expression as people do where it is a usual one, such as `daily at 02:00`; else as it is written."""
    plain = _NAMED.get(schedule.lower(), schedule)
    minute, hour, day, month, weekday = plain.split() if len(plain.split()) == 5 else ("", "", "", "", "")
    if (day, month) == ("*", "*") and minute.isdecimal():
        at = f"{int(hour):02}:{int(minute):02}" if hour.isdecimal() else ""
        if hour == weekday == "*":
            return "every hour" if int(minute) == 0 else f"every hour, {minute} minutes past"
        if (found := re.fullmatch(r"\*/(\d+)", hour)) and weekday == "*" and int(minute) == 0:
            return "every hour" if int(found[1]) == 1 else f"every {int(found[1])} hours"
        if at and weekday == "*":
            return f"daily at {at}"
        if at and re.fullmatch("[0-7]", weekday):
            return f"every {_WEEKDAYS[int(weekday) % 7]} at {at}"
    return f"by cron {schedule}"


def last_run(scope: Scope, now: datetime) -> datetime | None:
    """Returns when the schedule was due last, in UTC; None without a schedule."""
    return None if scope.schedule is None else last_tick(scope.schedule, scope.timezone, now)


def windows(scope: Scope) -> Windows | None:
    """Returns the windows of a scope: 1.1 and 1.5 times the longest pause of its schedule; None without a schedule."""
    if scope.schedule is None:
        return None
    longest = longest_pause(scope.schedule, scope.timezone)
    return Windows(max(longest * 1.1, timedelta(minutes=1)), max(longest * 1.5, timedelta(minutes=2)))


def longest_pause(schedule: str, zone: str = "UTC") -> timedelta:
    """Returns the longest time between two ticks of a cron expression."""
    return max(_pauses(schedule, zone))


def shortest_pause(schedule: str, zone: str = "UTC") -> timedelta:
    """Returns the shortest time between two ticks of a cron expression."""
    return min(_pauses(schedule, zone))


@cache
def _pauses(schedule: str, zone: str) -> frozenset[timedelta]:
    """Returns the times between two ticks of a cron expression, found by looking at a year from many moments.

    Steps of 17 hours come by every hour of the day and every day of the week; twelve longer ones by every month. The
    night in which clocks are put back is looked at as well: a pause across it is longer.
    """
    start = datetime(2026, 1, 1, tzinfo=UTC)
    moments = [start + timedelta(hours=17 * step) for step in range(40)]
    moments += [start + timedelta(days=30 * month) for month in range(12)]
    moments += _clock_changes(zone)
    return frozenset(next(ticks_after(schedule, zone, one)) - last_tick(schedule, zone, one) for one in moments)


@cache
def _clock_changes(zone: str) -> list[datetime]:
    """Returns the full hours of a year that follow a change of the zone's clocks, in UTC."""
    here, start = ZoneInfo(zone), datetime(2026, 1, 1, tzinfo=UTC)
    hours = [start + timedelta(hours=hour) for hour in range(365 * 24)]
    return [
        after
        for before, after in pairwise(hours)
        if before.astimezone(here).utcoffset() != after.astimezone(here).utcoffset()
    ]
