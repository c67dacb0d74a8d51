"""When a cron expression ticks in a time zone, as Dagster reckons it.

Every place that tells of a schedule asks here: the list of scopes, the console, the sensor of missed ticks, the age at
which a recovery point is late. Dagster has rules of its own for the nights in which clocks change (docs.dagster.io,
"Execution times and daylight saving time"). Its own iterator is asked, so a tick that is told of is one that Dagster
makes.

What belongs here: moments of ticks. What does not: what a scope's schedule means (`project.schedules`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Callable

_DAYS = "sun|mon|tue|wed|thu|fri|sat"


def ticks_after(schedule: str, zone: str, moment: datetime) -> Iterator[datetime]:
    """Yields the ticks later than a moment, in the time zone, for ever.

    Args:
        schedule: A cron expression that `problem` finds nothing wrong with.
        zone: Name of the time zone.
        moment: Aware.
    """
    here, after = ZoneInfo(zone), moment.timestamp()
    for tick in _iterator()(after, schedule, zone):
        # A tick of the very moment comes first.
        if tick.timestamp() > after:
            yield datetime.fromtimestamp(tick.timestamp(), here)


def last_tick(schedule: str, zone: str, moment: datetime) -> datetime:
    """Returns the last tick that is not later than a moment, in UTC; arguments as for `ticks_after`."""
    return datetime.fromtimestamp(
        next(_iterator()(moment.timestamp(), schedule, zone, ascending=False)).timestamp(), UTC
    )


@lru_cache(maxsize=1000)
def problem(schedule: str) -> str:
    """Returns what is wrong with a cron expression that Dagster would not run, or that never ticks; empty: nothing.

    The fields are read by croniter, as Dagster's copy of it does; what only newer versions know is refused. Dagster
    itself is not imported for it: every command reads the configuration.
    """
    from croniter import croniter
    from croniter.croniter import CroniterBadDateError

    named = schedule.startswith("@") and schedule.lower() != "@reboot"
    fields = schedule.lower().split()
    if not croniter.is_valid(schedule) or not (named or len(fields) == 5):
        return f"{schedule!r} is not a cron expression"
    if not named and re.search("[rhw]", " ".join((*fields[:3], re.sub(_DAYS, "", fields[4])))):
        return f"{schedule!r} uses a letter that schedules here do not have (R, H, W)"
    try:
        croniter(schedule, datetime(2026, 1, 1, tzinfo=UTC)).get_next(datetime)
    except CroniterBadDateError:
        return f"{schedule!r} is a date that no year has"
    return ""


def _iterator() -> Callable[..., Iterator[datetime]]:
    # Imported when it is asked for: it takes half a second.
    from dagster._utils.schedules import schedule_execution_time_iterator

    return schedule_execution_time_iterator
