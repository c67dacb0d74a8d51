"""How a scope's backups have developed: how long they took and what is stored, day by day.

What belongs here: what job records tell of many days. What does not: the last two weeks (`monitor.overview`), and how
it is drawn (`display.pictures`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from entra_pipeline.clock import parse_iso
from entra_pipeline.console.monitor.overview import beginning, last_days, worse
from entra_pipeline.store.job_records import JobRecord

DAYS = 90
"""Days that are shown, the present one included."""


@dataclass(slots=True)
class TrendDay:
    """A day of a scope.

    Attributes:
        day: The day, in the time zone of the scope.
        backups: Backups that began on it.
        status: Status of the worst; empty for a day without a backup.
        seconds: How long the longest took; None for a day without a backup.
        written: Bytes that backups wrote.
        deleted: Bytes that retention deleted.
        stored: Bytes stored at the end of the day.
    """

    day: date
    backups: int = 0
    status: str = ""
    seconds: float | None = None
    written: int = 0
    deleted: int = 0
    stored: int = 0


def first_moment(zone: ZoneInfo, now: datetime) -> datetime:
    """Returns the moment (UTC) at which the days that are shown begin."""
    return beginning(last_days(DAYS, zone, now)[0], zone)


def trend(records: Iterable[JobRecord], stored: int, zone: ZoneInfo, now: datetime) -> list[TrendDay]:
    """Tells how backups of a scope went in the last `DAYS` days, the oldest day first.

    What was stored earlier follows from what is stored now, what backups have written since, and what retention has
    deleted.

    Args:
        records: Records of the scope's jobs that ended since `first_moment`.
        stored: Bytes stored now.
        zone: The time zone of the scope.
        now: The present moment.
    """
    days = {day: TrendDay(day) for day in last_days(DAYS, zone, now)}
    for record in records:
        began = parse_iso(record.started)
        if (one := days.get(began.astimezone(zone).date())) is None:
            continue
        if record.type == "backup":
            one.backups += 1
            one.status = worse(one.status, record.status)
            one.seconds = max(one.seconds or 0.0, (parse_iso(record.finished) - began).total_seconds())
            one.written += _bytes(record, "bytes_written")
        elif record.type == "prune":
            one.deleted += _bytes(record, "bytes_deleted")
    for one in reversed(days.values()):
        one.stored = max(stored, 0)
        stored += one.deleted - one.written
    return list(days.values())


def _bytes(record: JobRecord, name: str) -> int:
    value = record.details.get(name)
    return value if isinstance(value, int) else 0
