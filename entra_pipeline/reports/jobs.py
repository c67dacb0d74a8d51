"""Every job: backups, restores, drills, prunes; how it ended, how long it took, what it came to."""

from __future__ import annotations

from collections import Counter
from typing import Any

from entra_pipeline.clock import iso, parse_iso
from entra_pipeline.errors import EntraPipelineError
from entra_pipeline.project.stores import open_store
from entra_pipeline.reports.model import Chart, Column, Report, ReportRequest, ReportTable
from entra_pipeline.store.job_records import JobRecord

COLUMNS = (
    Column("id", "job", "key"),
    Column("scope", "scope", "key"),
    Column("type", "type"),
    Column("status", "status", "status"),
    Column("started", "started", "moment"),
    Column("seconds", "duration", "seconds"),
    Column("trigger", "trigger", detail=True),
    Column("recovery_point", "recovery point", "key"),
    Column("objects", "objects", "number", detail=True),
    Column("baseline", "first read", "number", detail=True),
    Column("added", "added", "number"),
    Column("changed", "changed", "number"),
    Column("deleted", "deleted", "number"),
    Column("steps", "steps", "number", detail=True),
    Column("requests", "requests", "number"),
    Column("throttled", "throttled", "number", detail=True),
    Column("exceptions", "exceptions", "number"),
    Column("error", "error"),
)
_STATUSES = {"finished": "good", "finished with exception": "warning", "failed": "bad", "cancelled": ""}
# Members of a record that count what did not go well: gaps of a backup; refusals and results of a restore's steps.
_EXCEPTIONS = ("gaps", "refusals", "failed", "refused", "restored_with_differences", "not_reached")


def jobs(request: ReportRequest) -> Report:
    """The report; reads the records of the jobs in the days."""
    rows, problems = [], []
    for scope in request.scopes():
        try:
            records = open_store(request.project, scope).jobs.between(request.begin, request.end)
        except EntraPipelineError as error:
            problems.append(f"scope {scope.name}: {error.message}")
            continue
        rows += [row for row in map(job_row, records) if request.wanted(row)]
    rows.sort(key=lambda row: (row["started"], row["id"]), reverse=True)
    counted = Counter(row["status"] for row in rows)
    return Report(
        name="jobs",
        title="Jobs",
        subtitle=request.subtitle(),
        made=iso(request.now),
        facts={"jobs": len(rows), **{status: counted[status] for status in _STATUSES if counted[status]}},
        tables=[ReportTable("jobs", "Jobs", COLUMNS, rows, "no job in this period")],
        charts=[_chart(request, rows)] if rows else (),
        problems=problems,
    )


def job_row(record: JobRecord) -> dict[str, Any]:
    """A job as a row: what its kind does not have is empty."""
    seconds = (parse_iso(record.finished) - parse_iso(record.started)).total_seconds()
    members = record.members()
    row = {column.key: members.get(column.key) for column in COLUMNS}
    # The status `failed` is a word; of a restore's steps, `failed` is how many did.
    exceptions = sum(members[name] for name in _EXCEPTIONS if isinstance(members.get(name), int))
    return {**row, "seconds": seconds, "exceptions": exceptions}


def _chart(request: ReportRequest, rows: list[dict[str, Any]]) -> Chart:
    days = request.days()
    counted = Counter((row["started"][:10], row["status"]) for row in rows)
    present = [status for status in _STATUSES if any(key[1] == status for key in counted)]
    return Chart(
        "Jobs by day",
        [f"{day:%d %b}" for day in days],
        {status: [counted[day.isoformat(), status] for day in days] for status in present},
        colours={status: _STATUSES[status] for status in present if _STATUSES[status]},  # type: ignore[misc]
    )
