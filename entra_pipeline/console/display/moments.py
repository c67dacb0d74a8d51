"""Moments: written in UTC, with the moment itself beside them, which the script shows in the reader's own time zone."""

from __future__ import annotations

from datetime import UTC, datetime

from markupsafe import Markup

from entra_pipeline.clock import parse_iso
from entra_pipeline.store.points.keys import moment_of

_Moment = str | datetime | float | None


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
