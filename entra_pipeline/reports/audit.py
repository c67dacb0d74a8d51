"""Who did what, when, from where: the events of the audit log."""

from __future__ import annotations

import msgspec

from entra_pipeline.audit import AuditLog
from entra_pipeline.clock import iso
from entra_pipeline.errors import EntraPipelineError
from entra_pipeline.project.stores import storages_of
from entra_pipeline.reports.model import Column, Report, ReportRequest, ReportTable

_COLUMNS = (
    Column("moment", "moment", "moment"),
    Column("actor", "actor"),
    Column("channel", "channel"),
    Column("host", "host", detail=True),
    Column("address", "address"),
    Column("action", "action"),
    Column("scope", "scope", "key"),
    Column("subject", "subject"),
    Column("result", "result", "status"),
    Column("details", "details"),
    Column("storage", "storage"),
    Column("number", "number", "number", detail=True),
)


def audit(request: ReportRequest) -> Report:
    """The report; reads the events of the days."""
    rows, problems = [], []
    for name, files in storages_of(request.project, request.scope or None).items():
        try:
            events = AuditLog(files).events(request.first, request.last)
        except EntraPipelineError as error:
            problems.append(f"storage {name}: {error.message}")
            continue
        for event in events:
            row = {**msgspec.to_builtins(event), "storage": name}
            if request.project.partial and event.scope not in request.project.scopes:
                # Somebody asks who may see some scopes only; what concerns none of them is not for them.
                continue
            if request.wanted(row) and request.scope in ("", event.scope):
                rows.append(row)
    rows.sort(key=lambda row: (row["moment"], row["storage"], row["number"]))
    return Report(
        name="audit",
        title="Audit log",
        subtitle=request.subtitle(),
        made=iso(request.now),
        facts={"events": len(rows), "actors": len({row["actor"] for row in rows})},
        tables=[ReportTable("events", "Events", _COLUMNS, rows, "no event in this period", newest_last=True)],
        problems=problems,
    )
