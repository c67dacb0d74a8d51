"""What a message says of an event."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from entra_pipeline.channels.message import Message, MessageTable
from entra_pipeline.clock import iso, parse_iso
from entra_pipeline.notifications.outbox import Event
from entra_pipeline.reports import model
from entra_pipeline.reports.job import job_report
from entra_pipeline.reports.model import Report
from entra_pipeline.reports.rendering.plain import duration
from entra_pipeline.store.job_records import JobRecord
from entra_pipeline.store.recovery_points import ScopeStore

# Members of an event that people want to read, and what they are called.
_FACTS = {
    "scope": "Scope",
    "tenant": "Tenant",
    "recovery_point": "Recovery point",
    "kind": "Kind",
    "parent": "Previous point, on hold",
    "undo_point": "To undo it, restore",
    "sensor": "Sensor of Dagster",
    "trigger": "Started by",
    "started": "Started",
    "finished": "Finished",
    "objects": "Objects",
    "edges": "Links",
    "baseline": "Found by the first backup",
    "added": "Added",
    "changed": "Changed",
    "deleted": "Deleted",
    "bytes_written": "Bytes written",
    "steps": "Steps",
    "restored": "Restored",
    "retention": "Retention",
    "points": "Recovery points kept",
    "log_days_forgotten": "Days of logs deleted",
    "files_deleted": "Files deleted",
    "bytes_deleted": "Bytes deleted",
    "properties": "Properties compared",
    "properties_equal": "Properties restored",
    "links": "Links compared",
    "links_equal": "Links restored",
    "requests": "Requests to Microsoft Graph",
    "throttled": "Throttled",
    "job": "Job",
}
# Tables of a job's report that are in its message.
_EXCEPTIONS = ("gaps", "exceptions", "differences")
_WHAT = {
    "backup": "Backup",
    "restore": "Restore",
    "prune": "Pruning",
    "drill": "Restore drill",
    "logs": "Reading of logs",
}


def message(event: Event, store: ScopeStore, now: datetime) -> Message:
    """Returns the message about an event; raises StoreError when what belongs to it cannot be read."""
    if event["type"] == "unusual":
        return _unusual(event, now)
    if event["type"] == "sensor":
        return _sensor(event)
    return job_message(event, store, now)


def job_message(record: Event, store: ScopeStore, now: datetime) -> Message:
    """Returns the message about a job: its record, and what its report says that it could not do."""
    what = _WHAT.get(record["type"], record["type"].capitalize())
    status = record["status"]
    report = job_report(store, JobRecord.of(record), now)
    return Message(
        subject=f"{what} of {record['scope']} {status}",
        status=status,
        lead=record.get("error") or "; ".join(report.problems),
        facts=_facts({**record, "job": record["id"]}),
        tables=[_exceptions(table) for table in report.tables if table.key in _EXCEPTIONS and table.rows],
        page=lambda: _page(report),
        name=record["id"],
    )


def digest_message(messages: Sequence[Message]) -> Message:
    """Joins several messages into one."""
    order = ("unusual", "failed", "finished with exception", "cancelled", "finished")
    counted = Counter(one.status for one in messages)
    worst = min(counted, key=lambda status: order.index(status) if status in order else 0)
    said = ", ".join(f"{counted[status]} {status}" for status in order if counted[status])
    rows = []
    for one in sorted(messages, key=lambda one: (order.index(one.status) if one.status in order else 0, one.subject)):
        facts = dict(one.facts)
        lacks = "; ".join(" ".join(row[:2]) for table in one.tables for row in table.rows[:3])
        rows.append((one.subject, facts.get("Finished", ""), one.lead or lacks))
    return Message(
        subject=f"Daily digest: {said}",
        status=worst,
        tables=[MessageTable("What happened", ("What", "When (UTC)", "Why"), rows)],
    )


def _unusual(event: Event, now: datetime) -> Message:
    findings: list[dict[str, Any]] = event["findings"]
    titles = ", ".join(one["title"] for one in findings)
    what = event.get("what", "Unusual change")
    facts = _facts(event)
    report = Report(
        name="unusual",
        title=f"{what} in {event['scope']}",
        subtitle=titles,
        made=iso(now),
        facts=dict(facts),
        tables=[
            model.ReportTable(
                one["rule"],
                f"{one['title']} ({one['total']:,})",
                [model.Column(column, column.replace("_", " ")) for column in one["columns"]],
                [dict(zip(one["columns"], row, strict=True)) for row in one["rows"]],
            )
            for one in findings
        ],
    )
    return Message(
        subject=f"{what} in {event['scope']}: {titles}",
        status="unusual",
        lead=event.get("lead", "Recovery points are still taken. Review the changes; nothing was undone."),
        facts=facts,
        tables=[
            MessageTable(
                table.title,
                [column.heading for column in table.columns],
                [[_text(row[column.key]) for column in table.columns] for row in table.rows],
            )
            for table in report.tables
        ],
        page=lambda: _page(report),
        name=event["id"],
    )


def _sensor(event: Event) -> Message:
    """Returns the message about a sensor of Dagster that fails, for all scopes or for one."""
    # Names of scopes begin with a letter or digit: another one stands for none.
    scope = "" if event["scope"].startswith("_") else event["scope"]
    return Message(
        subject=f"Sensor {event['sensor']} fails" + (f" for {scope}" if scope else ""),
        status="failed",
        lead=event["error"],
        facts=_facts({"scope": scope, "sensor": event["sensor"], "finished": event["finished"]}),
    )


def _facts(values: Event) -> list[tuple[str, str]]:
    found = [(label, _text(values[key])) for key, label in _FACTS.items() if values.get(key) not in (None, "")]
    if values.get("started") and values.get("finished"):
        seconds = (parse_iso(values["finished"]) - parse_iso(values["started"])).total_seconds()
        found.append(("Duration", duration(seconds)))
    return found


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return "" if value is None else str(value)


def _exceptions(table: model.ReportTable) -> MessageTable:
    """Lists what a job could not do, each with its reason and remedy."""
    return MessageTable(table.title, ("What", "Why", "What to do"), [_exception(row) for row in table.rows])


def _exception(row: Mapping[str, Any]) -> tuple[str, str, str]:
    of = " ".join(str(one) for one in (row.get("table") or row.get("type"), row.get("name") or row.get("id")) if one)
    properties = f" ({row['properties']})" if row.get("properties") else ""
    said = f"{of}: {row.get('what') or row.get('result')}{properties}"
    return said, str(row.get("reason") or ""), str(row.get("remedy") or "")


def _page(report: Report) -> str:
    """Returns a report as the page that is attached to a mail."""
    # With the page come the charts, which take half a second to import.
    from entra_pipeline.reports.rendering.html import as_html

    return as_html(report)
