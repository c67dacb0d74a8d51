"""How the scopes went lately: of each the outcomes of its last days, the objects it held, and its last drill.

What belongs here: what the dashboard shows of job records. What does not: which point is late (`reports.health`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from entra_pipeline.clock import parse_iso
from entra_pipeline.errors import EntraPipelineError
from entra_pipeline.project import Scope
from entra_pipeline.store.job_records import JobRecord
from entra_pipeline.store.parallel import in_parallel
from entra_pipeline.store.recovery_points import ScopeStore

DAYS = 14
"""Days of a strip, the present one included."""
# The worst job of a day stands for it.
_BEST_FIRST = ("cancelled", "finished", "finished with exception", "failed")


@dataclass(frozen=True, slots=True)
class ScopeDays:
    """How a scope went lately.

    Attributes:
        scope: Its name.
        days: Day and status of its worst backup, the oldest first; an empty status for a day without a backup.
        objects: Objects that the last backup of each day found; None where there was none.
        drill: When its last drill ended, RFC 3339; empty when it was never drilled.
        drilled: How that ended.
        problem: Why nothing is known; empty otherwise.
    """

    scope: str
    days: Sequence[tuple[date, str]]
    objects: Sequence[int | None]
    drill: str = ""
    drilled: str = ""
    problem: str = ""


def scope_days(
    scopes: Sequence[Scope],
    records_of: Callable[[str, datetime], Sequence[JobRecord]],
    open_store: Callable[[str], ScopeStore],
    now: datetime,
) -> list[ScopeDays]:
    """Tells how scopes went in the last `DAYS` days, each by the days of its own time zone.

    Args:
        scopes: The scopes.
        records_of: Gives the records of a scope's jobs that ended since a moment.
        open_store: Opens the store of a scope.
        now: The present moment.
    """

    def look(scope: Scope) -> ScopeDays:
        zone = ZoneInfo(scope.timezone)
        days = last_days(DAYS, zone, now)
        try:
            records = records_of(scope.name, beginning(days[0], zone))
            drill = last_drill(open_store(scope.name))
        except EntraPipelineError as error:
            return ScopeDays(scope.name, [(day, "") for day in days], [None] * DAYS, problem=error.message)
        worst: dict[date, str] = {}
        held: dict[date, int] = {}
        for record in sorted((one for one in records if one.type == "backup"), key=lambda one: one.started):
            day = parse_iso(record.started).astimezone(zone).date()
            worst[day] = worse(worst.get(day, ""), record.status)
            if isinstance(number := record.details.get("objects"), int) and number:
                held[day] = number
        return ScopeDays(
            scope.name,
            [(day, worst.get(day, "")) for day in days],
            [held.get(day) for day in days],
            drill.finished if drill else "",
            drill.status if drill else "",
        )

    return in_parallel(look, scopes)


def last_days(number: int, zone: ZoneInfo, now: datetime) -> list[date]:
    """Returns so many days in a time zone, the present one included, the oldest first."""
    today = now.astimezone(zone).date()
    return [today - timedelta(days=back) for back in range(number - 1, -1, -1)]


def beginning(day: date, zone: ZoneInfo) -> datetime:
    """Returns the moment (UTC) at which a day begins in a time zone."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def worse(status: str, other: str) -> str:
    """Returns the worse of two statuses of jobs; an empty one is no job."""
    return max(status, other, key=_rank)


def _rank(status: str) -> int:
    return _BEST_FIRST.index(status) if status in _BEST_FIRST else -1


def last_drill(store: ScopeStore) -> JobRecord | None:
    """Returns the record of the last drill that came to its end; None when the scope was never drilled.

    Raises:
        StoreError: The storage cannot be read.
    """
    keys = [file.key for file in store.files.list(f"_drills/{store.scope}/")]
    return store.jobs.find(max(keys).rpartition("/")[2].removesuffix(".json")) if keys else None
