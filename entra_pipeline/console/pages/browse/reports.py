"""Reports, the audit log among them: shown, and as files. What they tell is the work of `entra_pipeline.reports`."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from starlette.responses import Response

from entra_pipeline.console.auditing import record
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.routing import Area, Page, RequestContext, address
from entra_pipeline.errors import NotInStore, UsageError
from entra_pipeline.reports import REPORTS, ReportRequest, ReportType
from entra_pipeline.reports.rendering import FORMATS

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
    asked = {
        "name": name,
        "now": requested.now.isoformat(),
        "first": requested.first.isoformat(),
        "last": requested.last.isoformat(),
        "scope": requested.scope,
        "only": dict(requested.only),
    }
    if format_ := context.query("format"):
        return report_file(context, asked, format_, name)
    given: dict[str, Any] = {"from": requested.first, "to": requested.last} if kind.days else {}
    given |= {"scope": requested.scope} | {option: requested.only.get(key, "") for option, key in kind.filters.items()}
    return context.page(
        "report.html",
        name=name,
        kind=kind,
        report=context.ask("report", **asked),
        asked=requested,
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


def report_file(context: RequestContext, asked: dict[str, Any], format_: str, name: str) -> Response:
    """Sends the file of a report.

    Args:
        context: The request.
        asked: Which report (`reading.reporting`).
        format_: One of `FORMATS`.
        name: Of the file, without the day and the extension.

    Raises:
        UsageError: There is no such format.
    """
    if format_ not in FORMATS:
        raise UsageError(f"there is no format {format_[:40]!r}", remedy=f"There are {', '.join(FORMATS)}.")
    made = context.ask("file", **asked, format=format_)
    of_job = {"scope": asked["scope"], "job": asked["job"]} if "job" in asked else {}
    record(
        context.state,
        context.user,
        context.request,
        action="report export",
        subject=asked["name"],
        format=format_,
        **of_job,
    )
    headers = {"Content-Disposition": f'attachment; filename="{name}-{made["made"][:10]}.{format_}"'}
    return Response(made["data"], media_type=_TYPES[format_], headers=headers)


PAGES = (
    Page("/reports", every, Role.viewer, area=Area.OWN_SCOPES, label="Reports", place=70, icon="chart-column"),
    Page("/reports/audit", audit, Role.viewer, area=Area.OWN_SCOPES, label="Audit log", place=80, icon="scroll-text"),
    Page("/reports/{report}", one, Role.viewer, area=Area.OWN_SCOPES),
)
