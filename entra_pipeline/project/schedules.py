"""What a scope's schedule means in time: when it is due next, how long it may pause, and when a point is late."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice
from typing import NamedTuple
from zoneinfo import ZoneInfo

from entra_pipeline.project.models import Scope


class Windows(NamedTuple):
    """How old the last good recovery point may be: older than `warn` it is late, older than `fail` it is missing."""

    warn: timedelta
    fail: timedelta


def next_runs(scope: Scope, after: datetime, number: int) -> list[datetime]:
    """Returns the next times of a scope's schedule, in its time zone; none without a schedule."""
    from croniter import croniter

    if scope.schedule is None:
        return []
    here = after.astimezone(ZoneInfo(scope.timezone))
    return list(islice(croniter(scope.schedule, here).all_next(datetime), number))


def next_run(scope: Scope, now: datetime) -> datetime | None:
    """Returns when the schedule is due next, in the scope's time zone; None without a schedule."""
    return next(iter(next_runs(scope, now, 1)), None)


def last_run(scope: Scope, now: datetime) -> datetime | None:
    """Returns when the schedule was due last, in UTC; None without a schedule."""
    from croniter import croniter

    if scope.schedule is None:
        return None
    due: datetime = croniter(scope.schedule, now.astimezone(ZoneInfo(scope.timezone))).get_prev(datetime)
    return due.astimezone(UTC)


def windows(scope: Scope) -> Windows | None:
    """Returns the windows of a scope: 1.1 and 1.5 times the longest pause of its schedule; None without a schedule."""
    if scope.schedule is None:
        return None
    longest = longest_pause(scope.schedule)
    return Windows(max(longest * 1.1, timedelta(minutes=1)), max(longest * 1.5, timedelta(minutes=2)))


@cache
def longest_pause(schedule: str) -> timedelta:
    """Returns the longest time between two ticks of a cron expression, found by looking at a year from many moments.

    Steps of 17 hours come by every hour of the day and every day of the week; twelve longer ones by every month.
    """
    from croniter import croniter

    start = datetime(2026, 1, 1, tzinfo=UTC)
    moments = [start + timedelta(hours=17 * step) for step in range(40)]
    moments += [start + timedelta(days=30 * month) for month in range(12)]
    # One parse for all: a location with a hundred schedules would spend a second on it.
    cron = croniter(schedule, start)
    pauses: list[float] = []
    for moment in moments:
        after: float = cron.get_next(float, start_time=moment)
        pauses.append(after - cron.get_prev(float))
    return timedelta(seconds=max(pauses))
