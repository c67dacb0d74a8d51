"""Recovery points: calendar and list, and what one holds."""

from __future__ import annotations

from calendar import Calendar
from collections.abc import Sequence
from datetime import date
from typing import Any

from starlette.responses import Response

from entra_pipeline.analysis.browse import type_rows
from entra_pipeline.backup.jobs import totals
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.paging import Shown
from entra_pipeline.console.routing import Page, RequestContext
from entra_pipeline.errors import UsageError
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.points.keys import moment_of
from entra_pipeline.store.recovery_points import ScopeStore

_PAGE = 25
# Points of a day that the calendar shows one by one.
_DAILY = 3


def scopes(context: RequestContext) -> Response:
    """The scopes whose recovery points there are; the only one's at once."""
    return context.choose_scope("Recovery points", "points")


def show(context: RequestContext) -> Response:
    """The recovery points of a scope."""
    scope, store = context.scope(), context.store()
    points = store.points()[::-1]
    months = list(dict.fromkeys(point[:7] for point in points))
    month = context.query("month") or (months[0] if months else "")
    if months and month not in months:
        raise UsageError(f"there is no recovery point in {month}", remedy="Choose another month.")
    offset = context.number("offset")
    some = points[offset : offset + _PAGE]
    return context.page(
        "points.html",
        scope=scope,
        months=months,
        month=month,
        weeks=_weeks(context, store, points, month) if month else [],
        rows=[_row(context.state.manifest(store, point)) for point in some],
        shown=Shown(offset, _PAGE, len(points), context.request.url),
    )


def _weeks(context: RequestContext, store: ScopeStore, points: Sequence[str], month: str) -> list[list[dict[str, Any]]]:
    """The month as a calendar shows it."""
    year, number = map(int, month.split("-"))
    by_day: dict[date, list[Manifest]] = {}
    for point in points:
        if point.startswith(month):
            by_day.setdefault(moment_of(point).date(), []).append(context.state.manifest(store, point))
    return [
        [
            {
                "day": day,
                "inside": day.month == number,
                "points": by_day.get(day, [])[:_DAILY],
                "more": len(by_day.get(day, [])[_DAILY:]),
            }
            for day in week
        ]
        for week in Calendar().monthdatescalendar(year, number)
    ]


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
    Page("/points", scopes, Role.viewer, label="Recovery points", place=30),
    Page("/scopes/{scope}/points", show, Role.viewer),
    Page("/scopes/{scope}/points/{point}", one, Role.viewer),
)
