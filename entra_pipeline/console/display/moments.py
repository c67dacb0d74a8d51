"""Moments: written in UTC, with the moment itself beside them, which the script shows in the reader's own time zone."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from markupsafe import Markup

from entra_pipeline.clock import parse_iso
from entra_pipeline.store.points.keys import moment_of

_Moment = str | datetime | float | None


@cache
def _zones() -> frozenset[str]:
    # The names are looked for on disk.
    return frozenset(available_timezones())


def zone_named(name: str) -> ZoneInfo:
    """Returns the time zone that a browser names; UTC for what is none."""
    return ZoneInfo(name if name in _zones() else "UTC")


def local(key: str, zone: ZoneInfo) -> datetime:
    """Returns the moment of a recovery point in a time zone."""
    return moment_of(key).astimezone(zone)


def as_moment(value: str | datetime | float) -> datetime:
    """Returns a moment in UTC."""
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, tz=UTC)
    return parse_iso(value)


def when(value: _Moment, text: str = "") -> Markup:
    """Makes a moment of a page: the day and the minute, or a text such as "5 minutes ago", with UTC on hover."""
    if value in (None, ""):
        return Markup()
    return _time(as_moment(value), text)


def when_taken(key: str, text: str = "") -> Markup:
    """Makes the moment of a recovery point."""
    return _time(moment_of(key), text)


def _time(moment: datetime, text: str) -> Markup:
    whole = f"{moment:%Y-%m-%d %H:%M:%S} UTC"
    shape = Markup('<time datetime="{:%Y-%m-%dT%H:%M:%SZ}" title="{}"{}>{}</time>')
    return shape.format(moment, whole, Markup(" data-told") if text else "", text or f"{moment:%Y-%m-%d %H:%M} UTC")
