"""Reports: what administrators want to know about backups, as data, rendered in five formats.

1. A module per report makes a `Report` (`model`) of manifests, job records and audit events: tables, charts, facts.
2. `REPORTS` below lists them: the command, the console and Dagster offer whatever is there.
3. `rendering` turns any `Report` into JSON, CSV, HTML or a spreadsheet; `cli` prints it, Dagster shows it as metadata.

What a report could not find out is part of it: a store that cannot be read is named, never left out. Adding a report is
a module here and its line in `REPORTS`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from entra_pipeline.reports.audit import audit
from entra_pipeline.reports.backup_analysis import backup_analysis
from entra_pipeline.reports.job import job
from entra_pipeline.reports.jobs import jobs
from entra_pipeline.reports.model import Report, ReportRequest
from entra_pipeline.reports.readiness import readiness
from entra_pipeline.reports.subscription import subscription


@dataclass(frozen=True, slots=True)
class ReportType:
    """A kind of report.

    Attributes:
        build: Makes it.
        about: What it tells, in a sentence.
        days: How many days it is about unless told otherwise, today included; 0: it is about the present.
        filters: What its rows can be chosen by: option → column.
    """

    build: Callable[[ReportRequest], Report]
    about: str
    days: int
    filters: Mapping[str, str]


REPORTS: Mapping[str, ReportType] = {
    "backup-analysis": ReportType(
        backup_analysis, "Objects protected by category and day, and what was added, changed and deleted.", 7, {}
    ),
    "subscription": ReportType(
        subscription, "Seats: enabled members of each tenant against its subscription, over time.", 30, {}
    ),
    "jobs": ReportType(
        jobs,
        "Every backup, log read, restore, drill and prune: status, duration, counts, requests, exceptions.",
        7,
        {"type": "type", "status": "status"},
    ),
    "readiness": ReportType(
        readiness, "Whether each scope could be restored today: last good point, freshness, gaps, last drill.", 0, {}
    ),
    "audit": ReportType(
        audit,
        "Who did what, when, from where, and with which result.",
        30,
        {"actor": "actor", "action": "action", "result": "result"},
    ),
}

__all__ = ["REPORTS", "Report", "ReportRequest", "ReportType", "job"]
