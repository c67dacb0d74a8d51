"""How a scope stands: its last recovery points against its schedule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from entra_pipeline.project import Scope
from entra_pipeline.project.schedules import next_run, windows
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.points.keys import moment_of
from entra_pipeline.store.recovery_points import ScopeStore

FRESH, LATE, MISSING, UNSCHEDULED = "fresh", "late", "missing", "no schedule"
NEVER, NO_GOOD = "never backed up", "no good point"


@dataclass(frozen=True, slots=True)
class ScopeHealth:
    """How a scope stands.

    Attributes:
        points: How many recovery points it has.
        latest: The newest one; None when there is none.
        good: Key of the newest one that is finished, without exception; empty when there is none.
        age: How old that is; None when there is none.
        freshness: `fresh`; `late` when the good point is older than 1.1 times the longest pause of the schedule,
            `missing` from 1.5 times; `never backed up` without a point, `no good point` without one that is finished;
            `no schedule` when there is none.
        due: When the schedule is due next; None without one.
    """

    points: int
    latest: Manifest | None
    good: str
    age: timedelta | None
    freshness: str
    due: datetime | None


def health(
    scope: Scope, store: ScopeStore, now: datetime, read: Callable[[str], Manifest] | None = None
) -> ScopeHealth:
    """How a scope stands now; reads the newest manifest and that of the last good point.

    Args:
        scope: The scope.
        store: Its store.
        now: The present moment.
        read: What gives the manifest of a point, where somebody keeps them; the store when None.

    Raises:
        StoreError: The store cannot be read.
    """
    points, read = store.points(), read or store.manifest
    latest = read(points[-1]) if points else None
    last = latest if latest and latest.status == "finished" else store.last_good(points, read)
    good = last.recovery_point if last else ""
    age = now - moment_of(good) if good else None
    return ScopeHealth(
        len(points), latest, good, age, _freshness(scope, age) if points else NEVER, next_run(scope, now)
    )


def _freshness(scope: Scope, age: timedelta | None) -> str:
    limits = windows(scope)
    if age is None:
        return NO_GOOD
    if limits is None:
        return UNSCHEDULED
    return MISSING if age > limits.fail else LATE if age > limits.warn else FRESH
