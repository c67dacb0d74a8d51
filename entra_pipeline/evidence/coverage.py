"""What a scope lacked in a period: object types that it does not protect, ticks without a point, pauses that were long.

The schedule is the one that is configured now: earlier ones are not kept.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise, takewhile
from typing import Any, NamedTuple

from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.clock import iso
from entra_pipeline.project import Scope
from entra_pipeline.project.schedules import windows
from entra_pipeline.reports.health import LATE, MISSING
from entra_pipeline.ticks import ticks_after


class EvidencePeriod(NamedTuple):
    """What is looked at.

    Attributes:
        first: The first moment.
        end: The first moment after it; not later than `now`.
        now: The present.
    """

    first: datetime
    end: datetime
    now: datetime


def coverage(
    scope: Scope, period: EvidencePeriod, taken: Sequence[datetime], good: Sequence[datetime]
) -> dict[str, Any]:
    """Tells what a scope lacked.

    Args:
        scope: The scope.
        period: The period.
        taken: When recovery points were taken, until now, oldest first.
        good: When those were taken that finished without exception: in the period, and the one before it.

    Returns:
        `not_protected`: object types; `protected`: how many; `ticks`: times of the schedule in the period, None
        without one; `missed`: rows of ticks until whose next one no point was taken; `late`: times without a good point
        for longer than the schedule's window.
    """
    types = set(scope.types())
    return {
        "late": list(_late(scope, period, good)),
        "not_protected": sorted(set(CATALOGUE) - types),
        "protected": len(types),
        **_ticks(scope, period, taken),
    }


def _ticks(scope: Scope, period: EvidencePeriod, taken: Sequence[datetime]) -> dict[str, Any]:
    """Counts ticks; those that follow each other and were all missed become one row."""
    if scope.schedule is None:
        return {"missed": [], "ticks": None}
    after = pairwise(ticks_after(scope.schedule, scope.timezone, period.first - timedelta(seconds=1)))
    missed: list[dict[str, Any]] = []
    ticks, one_before = 0, False
    for tick, following in takewhile(lambda pair: pair[0] < period.end, after):
        ticks += 1
        place = bisect_left(taken, tick)
        # Until the next tick, a backup may still be under way.
        met = following > period.now or (place < len(taken) and taken[place] < following)
        if not met and one_before:
            missed[-1] |= {"last": iso(tick), "ticks": missed[-1]["ticks"] + 1}
        elif not met:
            missed.append({"first": iso(tick), "last": iso(tick), "ticks": 1})
        one_before = not met
    return {"missed": missed, "ticks": ticks}


def _late(scope: Scope, period: EvidencePeriod, good: Sequence[datetime]) -> Iterator[dict[str, Any]]:
    limits = windows(scope)
    if limits is None:
        return
    start = [] if good and good[0] < period.first else [period.first]
    for since, until in pairwise([*start, *good, period.end]):
        if until - since > limits.warn:
            hours = round((until - since).total_seconds() / 3600, 1)
            verdict = MISSING if until - since > limits.fail else LATE
            yield {"hours": hours, "since": iso(since), "until": iso(until), "verdict": verdict}
