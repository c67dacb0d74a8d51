"""Recovery points: calendar and list, and what one holds."""

from __future__ import annotations

from calendar import Calendar
from collections.abc import Sequence
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from starlette.responses import Response

from entra_pipeline.analysis.browse import type_rows
from entra_pipeline.backup.jobs import totals
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.display.moments import local
from entra_pipeline.console.paging import Shown
from entra_pipeline.console.routing import Area, Page, RequestContext
from entra_pipeline.errors import UsageError
from entra_pipeline.store.manifest import IN_PASSING, Manifest

_PAGE = 25
# Points of a day that the calendar shows before it is opened.
_DAILY = 3
# Days of a month that a time zone may make those of another.
_EDGES = frozenset({"01", "28", "29", "30", "31"})


def scopes(context: RequestContext) -> Response:
    """The scopes whose recovery points there are; the only one's at once."""
    return context.choose_scope("Recovery points", "points")


def show(context: RequestContext) -> Response:
    """The recovery points of a scope."""
    scope, store = context.scope(), context.store()
    points = store.points()[::-1]
    zone = context.zone
    in_months = {point: _month(point, zone) for point in points}
    months = list(dict.fromkeys(in_months.values()))
    month = context.query("month") or (months[0] if months else "")
    if months and month not in months:
        raise UsageError(f"there is no recovery point in {month}", remedy="Choose another month.")
    shown = [context.state.manifest(store, point) for point in points if in_months[point] == month]
    own = [one for one in shown if one.taken_for not in IN_PASSING]
    every = context.query("automatic") == "1"
    offset, listed = context.number("offset"), shown if every else own
    place = months.index(month) if month else 0
    return context.page(
        "points.html",
        scope=scope,
        months=[(one, f"{date.fromisoformat(f'{one}-01'):%B %Y}") for one in months],
        month=month,
        later=months[place - 1] if place else "",
        earlier=months[place + 1] if place + 1 < len(months) else "",
        weeks=_weeks(shown, month, zone) if month else [],
        rows=[_row(one) for one in listed[offset : offset + _PAGE]],
        every=every,
        automatic=len(shown) - len(own),
        shown=Shown(offset, _PAGE, len(listed), context.request.url),
    )


def _month(point: str, zone: ZoneInfo) -> str:
    """The month of a point, such as `2026-11`; only at its edges may it be another one elsewhere."""
    return f"{local(point, zone):%Y-%m}" if point[8:10] in _EDGES else point[:7]


def _weeks(shown: Sequence[Manifest], month: str, zone: ZoneInfo) -> list[list[dict[str, Any]]]:
    """The month as a calendar shows it: of each day its points, and apart those that restores took for themselves."""
    year, number = map(int, month.split("-"))
    by_day: dict[date, list[Manifest]] = {}
    for manifest in shown:
        by_day.setdefault(local(manifest.recovery_point, zone).date(), []).append(manifest)
    weeks = []
    for week in Calendar().monthdatescalendar(year, number):
        days = []
        for day in week:
            some = by_day.get(day, [])
            own = [one for one in some if one.taken_for not in IN_PASSING]
            automatic = [one for one in some if one.taken_for in IN_PASSING]
            inside = day.month == number
            days.append(
                {"day": day, "inside": inside, "points": own[:_DAILY], "more": own[_DAILY:], "automatic": automatic}
            )
        weeks.append(days)
    return weeks


def _row(manifest: Manifest) -> dict[str, Any]:
    return {"manifest": manifest, **totals(manifest)}


def one(context: RequestContext) -> Response:
    """What a recovery point holds, by category and type."""
    store = context.store()
    manifest = context.state.manifest(store, context.path("point"))
    rows = type_rows(manifest)
    categories = list(dict.fromkeys(row["category"] for row in rows))
    category = context.query("category")
    gaps = [(table, gap) for table, entry in manifest.tables.items() for gap in entry.gaps]
    shown = [row for row in rows if category in ("", row["category"])]
    empty = context.query("empty") == "1"
    return context.page(
        "point.html",
        scope=context.scope(),
        manifest=manifest,
        totals=totals(manifest),
        categories=categories,
        category=category,
        hidden=0 if empty else sum(1 for row in shown if not row["rows"]),
        rows=[row for row in shown if empty or row["rows"]],
        gaps=gaps,
        points=store.points(),
    )


PAGES = (
    Page("/points", scopes, Role.viewer, area=Area.OWN_SCOPES, label="Recovery points", place=30, icon="history"),
    Page("/scopes/{scope}/points", show, Role.viewer, area=Area.SCOPE),
    Page("/scopes/{scope}/points/{point}", one, Role.viewer, area=Area.SCOPE),
)
