"""Reports, the audit log among them: shown, and as files. What they tell is the work of `entra_pipeline.reports`."""

from __future__ import annotations

from base64 import b64encode
from datetime import date, timedelta
from functools import partial
from typing import Any

from starlette.responses import Response

from entra_pipeline.console.auditing import record
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.routing import Page, RequestContext, address
from entra_pipeline.errors import NotInStore, UsageError
from entra_pipeline.reports import REPORTS, Report, ReportRequest, ReportType
from entra_pipeline.reports.model import Chart
from entra_pipeline.reports.rendering import FORMATS
from entra_pipeline.reports.rendering.plain import shown, shown_fact, used_columns

_ROWS = 200
_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "json": "application/json",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


def every(context: RequestContext) -> Response:
    """The reports that there are."""
    return context.page("reports.html", reports=REPORTS)


def one(context: RequestContext) -> Response:
    """Shows a report with its filters; with `format`, sends its file."""
    return _one(context, context.path("report"))


def audit(context: RequestContext) -> Response:
    """Shows the audit log, which is a report with a navigation entry of its own."""
    return _one(context, "audit")


def _one(context: RequestContext, name: str) -> Response:
    kind = REPORTS.get(name)
    if kind is None:
        raise NotInStore(f"there is no report {name[:100]!r}", remedy="See Reports for the existing ones.")
    requested = _request(context, kind)
    made = kind.build(requested)
    if format_ := context.query("format"):
        return _file(context, made, format_)
    given: dict[str, Any] = {"from": requested.first, "to": requested.last} if kind.days else {}
    given |= {"scope": requested.scope} | {option: requested.only.get(key, "") for option, key in kind.filters.items()}
    return context.page(
        "report.html",
        name=name,
        kind=kind,
        report=made,
        asked=requested,
        charts=_charts(context, made),
        tables=[
            (table, [column for column in used_columns(table) if not column.detail], table.rows[-_ROWS:][::-1])
            for table in made.tables
        ],
        shown=_shown,
        fact=shown_fact,
        files=[(one, address("reports", name, **given, format=one)) for one in sorted(FORMATS)],
    )


def _request(context: RequestContext, kind: ReportType) -> ReportRequest:
    """What the address asks for.

    Raises:
        UsageError: A day is none, or there is no such scope.
    """
    now = context.state.clock()
    last = _day(context, "to", now.date())
    first = _day(context, "from", last - timedelta(days=max(kind.days - 1, 0)))
    if first > last:
        raise UsageError(f"{first} comes after {last}", remedy="Give the earlier day first.")
    only = {column: text for option, column in kind.filters.items() if (text := context.query(option).strip())}
    scope = context.query("scope")
    return ReportRequest(
        context.project, now, first, last, scope=context.project.scope(scope).name if scope else "", only=only
    )


def _day(context: RequestContext, name: str, default: date) -> date:
    text = context.query(name)
    try:
        return date.fromisoformat(text) if text else default
    except ValueError:
        raise UsageError(f"{text[:40]!r} is not a date", remedy="Write it as 2026-11-30.") from None


def _file(context: RequestContext, made: Report, format_: str) -> Response:
    make = FORMATS.get(format_)
    if make is None:
        raise UsageError(f"there is no format {format_[:40]!r}", remedy=f"There are {', '.join(FORMATS)}.")
    data = make(made)
    record(context.state, context.user, context.request, action="report export", subject=made.name, format=format_)
    headers = {"Content-Disposition": f'attachment; filename="{made.name}-{made.made[:10]}.{format_}"'}
    return Response(data, media_type=_TYPES[format_], headers=headers)


def _shown(value: Any, kind: str) -> str:
    return "" if value in ({}, []) else shown(value, kind)


def _charts(context: RequestContext, made: Report) -> list[dict[str, Any]]:
    """Charts as pictures, which are drawn once: the page's own policy forbids the styles that they would bring."""
    return [
        {"title": chart.title, "source": context.state.findings.get(("chart", repr(chart)), partial(_picture, chart))}
        for chart in made.charts
    ]


def _picture(chart: Chart) -> str:
    from entra_pipeline.reports.rendering.charts import lone_svg

    return f"data:image/svg+xml;base64,{b64encode(lone_svg(chart).encode()).decode()}"


PAGES = (
    Page("/reports", every, Role.viewer, label="Reports", place=70),
    Page("/reports/audit", audit, Role.viewer, label="Audit log", place=80),
    Page("/reports/{report}", one, Role.viewer),
)
