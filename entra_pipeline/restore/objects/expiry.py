"""When an object is over by itself: moments, schedules and recurrences, as Graph writes them.

What belongs here: from a property (`Restore.ends`) to a moment. What does not: what is done about an object that is
over (`plan.rules.expired`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from entra_pipeline.clock import iso, parse_iso

_EXPIRATION = "expiration"
_DURATION = re.compile(
    r"P(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)(?:\.\d+)?S)?)?"
)
# Python reads six digits of a second, Graph writes seven.
_FRACTION = re.compile(r"\.\d+")


def moment_of(text: Any) -> datetime | None:
    """Reads a moment as Graph writes it; None for anything else. A date ends with its day."""
    if not isinstance(text, str) or not text:
        return None
    try:
        if len(text) == len("2026-11-23"):
            return datetime.fromisoformat(text).replace(tzinfo=UTC) + timedelta(days=1)
        return parse_iso(_FRACTION.sub("", text))
    except ValueError:
        return None


def end_of(value: Any) -> datetime | None:
    """Returns the moment at which something is over; None when it has no end.

    Args:
        value: A moment; a schedule with its start and `expiration` (Graph doc: requestSchedule,
            entitlementManagementSchedule); an expiration alone (expirationPattern), whose duration begins with each
            use and so has no end; a recurrence (patternedRecurrence); or an item with an `endDateTime` (keyCredential).
    """
    if not isinstance(value, Mapping):
        return moment_of(value)
    if isinstance(limits := value.get("range"), Mapping):
        return moment_of(limits.get("endDate")) if str(limits.get("type")).lower() == "enddate" else None
    expiration = value.get(_EXPIRATION)
    if not isinstance(expiration, Mapping):
        return moment_of(value.get("endDateTime"))
    if str(expiration.get("type")) in {"noExpiration", "notSpecified"}:
        return None
    if end := moment_of(expiration.get("endDateTime")):
        return end
    start, duration = moment_of(value.get("startDateTime")), expiration.get("duration")
    return _after(start, str(duration)) if start and duration else None


def with_fixed_end(value: Any) -> Any:
    """Puts the end of a schedule where its duration stands: sent again, a duration would begin anew."""
    if not isinstance(value, Mapping) or not isinstance(value.get(_EXPIRATION), Mapping):
        return value
    end = end_of(value)
    return {**value, _EXPIRATION: {"type": "afterDateTime", "endDateTime": iso(end)}} if end else value


def ending_at(value: Any, moment: str) -> Any:
    """Returns a schedule, an expiration or a recurrence with another end, RFC 3339; anything else stays as it is."""
    if not isinstance(value, Mapping):
        return value
    if isinstance(value.get("range"), Mapping):
        return {**value, "range": {**value["range"], "type": "endDate", "endDate": moment[: len("2026-11-23")]}}
    if isinstance(value.get(_EXPIRATION), Mapping):
        return {**value, _EXPIRATION: {"type": "afterDateTime", "endDateTime": moment}}
    return {"type": "afterDateTime", "endDateTime": moment}


def _after(start: datetime, duration: str) -> datetime | None:
    """Adds a duration (ISO 8601); None when it is none."""
    match = _DURATION.fullmatch(duration)
    if match is None:
        return None
    part = {name: int(value or 0) for name, value in match.groupdict().items()}
    months = start.month - 1 + part["months"]
    year, month = start.year + part["years"] + months // 12, months % 12 + 1
    for day in range(start.day, start.day - 4, -1):
        try:
            begun = start.replace(year=year, month=month, day=day)
            break
        except ValueError:
            # The month is shorter.
            continue
    else:
        return None
    names = ("weeks", "days", "hours", "minutes", "seconds")
    try:
        return begun + timedelta(**{name: part[name] for name in names})
    except OverflowError:
        return None
