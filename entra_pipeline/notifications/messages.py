"""What a message says of an event, before it has a form: the same for mail, webhook and report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from entra_pipeline.clock import parse_iso
from entra_pipeline.errors import StoreError
from entra_pipeline.notifications.outbox import Event
from entra_pipeline.restore.report import exceptions, read_report
from entra_pipeline.store.recovery_points import ScopeStore

SHOWN = 20
"""Rows of a table in a message; the attached report has all."""

# Members of an event that people want to read, and what they are called.
_FACTS = {
    "scope": "Scope",
    "tenant": "Tenant",
    "recovery_point": "Recovery point",
    "kind": "Kind",
    "parent": "Point before, held from retention",
    "undo_point": "To undo it, restore",
    "trigger": "Started by",
    "started": "Started",
    "finished": "Finished",
    "objects": "Objects",
    "edges": "Links",
    "added": "Added",
    "changed": "Changed",
    "deleted": "Deleted",
    "bytes_written": "Bytes written",
    "steps": "Steps",
    "restored": "Restored",
    "retention": "Retention",
    "points": "Recovery points kept",
    "files_deleted": "Files deleted",
    "bytes_deleted": "Bytes deleted",
    "properties": "Properties compared",
    "properties_equal": "Properties that came back",
    "links": "Links compared",
    "links_equal": "Links that came back",
    "requests": "Requests to Microsoft Graph",
    "throttled": "Throttled",
    "job": "Job",
}
_WHAT = {"backup": "Backup", "restore": "Restore", "prune": "Pruning", "drill": "Restore drill"}


@dataclass(frozen=True, slots=True)
class Table:
    """Rows to show: heading, names of the columns, rows of texts."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Message:
    """What is told.

    Attributes:
        subject: One line.
        status: `finished`, `finished with exception`, `failed`, or `unusual`; of a digest, the worst.
        lead: A sentence that says what happened; may be empty.
        facts: Names and values.
        tables: What there is to list.
        report: Whether a report belongs to it.
        name: For the name of an attached file.
    """

    subject: str
    status: str
    lead: str = ""
    facts: Sequence[tuple[str, str]] = ()
    tables: Sequence[Table] = ()
    report: bool = True
    name: str = ""


def message(event: Event, store: ScopeStore) -> Message:
    """The message about an event."""
    if event["type"] == "unusual":
        return _unusual(event)
    return job_message(event, store)


def job_message(record: Event, store: ScopeStore) -> Message:
    """The message about a job: its record, and what it could not do."""
    what = _WHAT.get(record["type"], record["type"].capitalize())
    status = record["status"]
    return Message(
        subject=f"{what} of {record['scope']} {status}",
        status=status,
        lead=record.get("error") or "",
        facts=_facts({**record, "job": record["id"]}),
        tables=_exceptions(record, store),
        name=record["id"],
    )


def digest_message(messages: Sequence[Message]) -> Message:
    """One message about several."""
    order = ("unusual", "failed", "finished with exception", "finished")
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
        tables=[Table("What happened", ("What", "When (UTC)", "Why"), rows)],
        report=False,
    )


def _unusual(event: Event) -> Message:
    findings: list[dict[str, Any]] = event["findings"]
    titles = ", ".join(one["title"] for one in findings)
    tables = [
        Table(
            f"{one['title']} ({one['total']:,})",
            [str(column).replace("_", " ") for column in one["columns"]],
            [[_text(value) for value in row] for row in one["rows"]],
        )
        for one in findings
    ]
    return Message(
        subject=f"Unusual change in {event['scope']}: {titles}",
        status="unusual",
        lead="Recovery points are taken as before. Look at what changed; nothing was undone.",
        facts=_facts(event),
        tables=tables,
        name=event["id"],
    )


def _facts(values: Event) -> list[tuple[str, str]]:
    found = [(label, _text(values[key])) for key, label in _FACTS.items() if values.get(key) not in (None, "")]
    if values.get("started") and values.get("finished"):
        seconds = (parse_iso(values["finished"]) - parse_iso(values["started"])).total_seconds()
        found.append(("Duration", duration(seconds)))
    return found


def duration(seconds: float) -> str:
    """A time for people."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return "" if value is None else str(value)


def _exceptions(record: Event, store: ScopeStore) -> list[Table]:
    """What a job could not do, each with its reason and what to do about it."""
    if record["type"] == "backup":
        rows = _gaps(record, store)
        return [Table("What the recovery point lacks", ("What", "Why", "What to do"), rows)] if rows else []
    if record["type"] == "restore":
        report = read_report(store, record["id"])
        listed = [
            (f"{one['type']} {one['name'] or one['id']}: {one['result']}", str(one["reason"]), str(one["remedy"]))
            for one in (exceptions(report) if report else ())
        ]
        return [Table("What was not restored", ("What", "Why", "What to do"), listed)] if listed else []
    return []


def _gaps(record: Event, store: ScopeStore) -> list[tuple[str, str, str]]:
    if not record.get("recovery_point") or not record.get("gaps"):
        return []
    try:
        manifest = store.manifest(record["recovery_point"])
    except StoreError as error:
        # Retention may have been there before.
        return [("its gaps", error.message, "")]
    return [
        (f"{table}: {gap.what}", gap.reason, gap.remedy)
        for table, entry in manifest.tables.items()
        for gap in entry.gaps
    ]
