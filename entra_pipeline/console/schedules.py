"""When a scope's schedule is due."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from zoneinfo import ZoneInfo

from croniter import croniter

from entra_pipeline.clock import Clock, system_clock
from entra_pipeline.project import Scope


def next_times(scope: Scope, number: int, clock: Clock = system_clock) -> list[datetime]:
    """The next times that the schedule is due, in the scope's time zone; none without a schedule."""
    if scope.schedule is None:
        return []
    here = clock().astimezone(ZoneInfo(scope.timezone))
    return list(islice(croniter(scope.schedule, here).all_next(datetime), number))


def overdue(scope: Scope, last: datetime, clock: Clock = system_clock) -> bool:
    """Whether the schedule was due twice since the last recovery point: once may be under way."""
    if scope.schedule is None:
        return False
    here = last.astimezone(ZoneInfo(scope.timezone))
    second: datetime = list(islice(croniter(scope.schedule, here).all_next(datetime), 2))[-1]
    return second <= clock()
