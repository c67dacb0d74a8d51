"""What pages ask about all scopes, or of a tenant, in the process that answers: reports, the dashboard's alerts.

What belongs here: the core's functions called for a page, and as much of their result as a page shows. What does not:
how the page looks, and how far a question goes (`bounds`).
"""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any
from urllib.parse import quote

import msgspec

from entra_pipeline.clock import parse_iso
from entra_pipeline.console.alerts import Seats, alerts
from entra_pipeline.errors import EntraPipelineError, GraphNotFound, GraphProtocolError
from entra_pipeline.graph import Graph
from entra_pipeline.graph.pages import decode_page
from entra_pipeline.graph.request_stats import RequestStats
from entra_pipeline.operations.environment import ask_tenant
from entra_pipeline.project import Project
from entra_pipeline.reports import REPORTS, ReportRequest, job
from entra_pipeline.reports.model import Chart, Column, Report, ReportTable
from entra_pipeline.reports.rendering import FORMATS
from entra_pipeline.reports.rendering.plain import scalar, shown, shown_fact, used_columns
from entra_pipeline.store.recovery_points import ScopeStore

ROWS = 200
"""Rows of each table of a report that a page shows."""
JOB = "job"
"""Name of the report of one job, which is asked for with its `scope` and `job`."""
SEARCHED = {"users": "displayName,userPrincipalName,id", "groups": "displayName,mail,id"}
"""Kinds of objects that can be looked for in a tenant → properties that are shown, the ones that are searched first."""
_FOUND = 10
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def report_page(project: Project, asked: Mapping[str, Any]) -> dict[str, Any]:
    """A report as its page shows it: texts, moments as they are, and the first rows of each table, or the newest.

    Raises:
        EntraPipelineError: As the report.
    """
    made = _made(project, asked)
    return {
        "title": made.title,
        "subtitle": made.subtitle,
        "problems": list(made.problems),
        "facts": {name: _fact(name, value) for name, value in made.facts.items()},
        "charts": [{"title": chart.title, "source": _picture(chart)} for chart in made.charts],
        "tables": [_table(table) for table in made.tables],
    }


def report_file(project: Project, asked: Mapping[str, Any], format_: str) -> dict[str, Any]:
    """A report as a file: its `data`, and when it was `made`."""
    made = _made(project, asked)
    return {"data": FORMATS[format_](made), "made": made.made}


def _made(project: Project, asked: Mapping[str, Any]) -> Report:
    if asked["name"] == JOB:
        now = parse_iso(asked["now"])
        return job(ReportRequest(project, now, now.date(), now.date(), scope=asked["scope"]), asked["job"])
    request = ReportRequest(
        project,
        parse_iso(asked["now"]),
        date.fromisoformat(asked["first"]),
        date.fromisoformat(asked["last"]),
        scope=asked["scope"],
        only=asked["only"],
    )
    return REPORTS[asked["name"]].build(request)


def _table(table: ReportTable) -> dict[str, Any]:
    used = used_columns(table)
    # Where there is a name, the id is on hover.
    named = {"name", "id"} <= {column.key for column in used}
    columns = [column for column in used if not column.detail and not (named and column.key == "id")]
    some = table.rows[-ROWS:][::-1] if table.newest_last else table.rows[:ROWS]
    return {
        "title": table.title,
        "empty": table.empty,
        "total": len(table.rows),
        "newest_last": table.newest_last,
        "columns": [{"key": one.key, "heading": one.heading, "kind": one.kind} for one in columns],
        "rows": [
            {"id": str(row["id"] or "") if named else ""} | {one.key: _cell(row.get(one.key), one) for one in columns}
            for row in some
        ],
    }


def _fact(name: str, value: Any) -> str:
    return value if isinstance(value, str) else shown_fact(name, value)


def _cell(value: Any, column: Column) -> str:
    # The page words a status with its icon, and shows a moment in the time zone of its reader.
    if column.kind in ("status", "moment"):
        return str(value or "")
    if isinstance(value, Mapping):
        return ", ".join(f"{name.replace('_', ' ')}: {scalar(one)}" for name, one in value.items())
    return "" if value in (None, []) else shown(value, column.kind)


def _picture(chart: Chart) -> str:
    """A chart as a picture: the page's own policy forbids the styles that a drawing within it would bring."""
    from entra_pipeline.reports.rendering.charts import lone_svg

    return f"data:image/svg+xml;base64,{b64encode(lone_svg(chart).encode()).decode()}"


def attention(project: Project, store_of: Callable[[str], ScopeStore], seats: Seats, now: str) -> dict[str, Any]:
    """What wants attention in all scopes: `alerts`, `seats`, and the `problem` (message, remedy) when these fail."""
    moment = parse_iso(now)
    problem: list[str] = []
    rows: list[dict[str, Any]] = []
    try:
        rows = seats.rows(project, store_of, moment)
    except EntraPipelineError as error:
        problem = [error.message, error.remedy]
    return {"alerts": alerts(project, store_of, moment), "seats": rows, "problem": problem}


def people(project: Project, tenant: str, kind: str, text: str) -> list[dict[str, Any]]:
    """Users or groups of a tenant whose name begins with a text, as they are now.

    Raises:
        EntraPipelineError: It cannot be asked, or does not answer in time.
    """
    fields = SEARCHED[kind].split(",")
    escaped = text.replace("'", "''")
    condition = " or ".join(f"startswith({name},'{escaped}')" for name in fields if name != "id")
    url = f"{kind}?$filter={quote(condition)}&$select={SEARCHED[kind]}&$top={_FOUND}"

    page = ask_tenant(project, tenant, "console", lambda graph: graph.fetch(url, decode_page, stats=RequestStats()))
    return [{name: str(one.get(name) or "") for name in fields} for one in map(msgspec.json.decode, page.value)]


def named(project: Project, tenant: str, names: Sequence[tuple[str, str]]) -> list[tuple[str, str, str, str]]:
    """What people call users and groups of a tenant, as they are now.

    Args:
        project: The configuration.
        tenant: Name of the tenant.
        names: Each a kind of `SEARCHED`, and an id or the name that users sign in with.

    Returns:
        Of each that is there: kind, what was asked for, its display name, and what else tells it from others.

    Raises:
        EntraPipelineError: The tenant cannot be asked, or does not answer in time.
    """

    async def look(graph: Graph, kind: str, name: str) -> tuple[str, str, str, str] | None:
        try:
            url = f"{kind}/{quote(name, safe='@')}?$select={SEARCHED[kind]}"
            one = await graph.fetch(url, msgspec.json.decode, stats=RequestStats())
        except (GraphNotFound, GraphProtocolError):
            return None
        detail = one.get("userPrincipalName") or one.get("mail") or ""
        return kind, name, str(one.get("displayName") or name), str(detail)

    async def ask(graph: Graph) -> list[tuple[str, str, str, str] | None]:
        # A group is chosen by its display name as well, which says what it is called by itself.
        wanted = [one for one in names if one[0] == "users" or _GUID.fullmatch(one[1])]
        return await asyncio.gather(*(look(graph, kind, name) for kind, name in wanted))

    return [one for one in ask_tenant(project, tenant, "console", ask) if one is not None]
