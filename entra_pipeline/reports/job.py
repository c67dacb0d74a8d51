"""One job, by type and by object, with everything that did not go well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from entra_pipeline.analysis.manifest_rows import COSTS, table_rows
from entra_pipeline.clock import iso
from entra_pipeline.errors import NotInStore, StoreError, UsageError
from entra_pipeline.project.stores import open_store
from entra_pipeline.reports.jobs import job_row
from entra_pipeline.reports.model import Column, Report, ReportRequest, ReportTable
from entra_pipeline.restore.objects.model import RestorePlan, RestoreStep
from entra_pipeline.restore.records.plan_rows import names_at
from entra_pipeline.restore.records.plans import read_plan
from entra_pipeline.restore.records.report import RestoreReport, exceptions, read_report, rows
from entra_pipeline.store.job_records import UNDONE, JobRecord
from entra_pipeline.store.points.unreadable import read_unreadable
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.text import pluralize

# Members of a record that are told elsewhere, or in other words.
_TOLD = {"id", "type", "scope", "status", "started", "run_started", "finished", "error", "seconds", "exceptions"}
# Of the links that a step writes, the ends that are named.
_ENDS = 3
_WORDS = {
    "edges": "links",
    "baseline": "read for the first time",
    "bytes_written": "bytes written",
    "rows_written": "rows written",
    "resource_units": "resource units",
    "throttled": "times throttled",
    "trigger": "started by",
    "run_id": "run in Dagster",
    "refusals": "not restored",
    "undo_point": "point before the restore",
    "passwords": "first passwords",
}
_BACKED_UP = (
    Column("table", "type", "types"),
    Column("read", "read"),
    Column("baseline", "first read", "number"),
    *(Column(name, name, "number") for name in ("added", "changed", "deleted")),
    Column("live", "rows", "number"),
    Column("gaps", "gaps", "number"),
    *(Column(name, heading, "number") for name, heading in COSTS.items() if name != "items"),
)
_GAPS = (
    Column("table", "type", "types"),
    Column("what", "what is missing", "prose"),
    Column("since", "shown as of"),
    Column("reason", "why", "prose"),
    Column("remedy", "what to do", "prose"),
)
_SENT = "Unreadable elements sent by Graph"
_UNREADABLE = (
    Column("table", "type", "type"),
    Column("object", "object", "key"),
    Column("reason", "why", "prose"),
    Column("size", "bytes", "number"),
    Column("bytes", "its beginning"),
)
_RESTORED = (Column("type", "type", "types"), Column("result", "result", "status"), Column("steps", "steps", "number"))
_NOT_RESTORED = (
    Column("type", "type", "type"),
    Column("name", "name"),
    Column("id", "id", "key"),
    Column("result", "result", "status"),
    Column("reason", "why", "prose"),
    Column("remedy", "what to do", "prose"),
)
_SAID = ("name", "id", "reason", "remedy")
_OBJECTS = (
    Column("type", "type", "type"),
    Column("name", "name"),
    Column("id", "id", "key"),
    Column("action", "action"),
    Column("what", "what was written", "properties"),
    Column("result", "result", "status"),
    Column("verified", "verified"),
    Column("live_id", "id in the tenant", "key", detail=True),
    Column("reason", "why", "prose"),
    Column("remedy", "what to do", "prose"),
)
_SCORES = (
    Column("type", "type", "types"),
    Column("kind", "what"),
    Column("objects", "objects", "number"),
    Column("compared", "compared", "number"),
    Column("share", "came back", "percent"),
    Column("left_out", "left out", "number"),
)
_DIFFERENCES = (
    Column("type", "type", "type"),
    Column("name", "name"),
    Column("id", "id", "key"),
    Column("what", "what"),
    Column("properties", "properties", "properties"),
    Column("reason", "why", "prose"),
)


def job(request: ReportRequest, job_id: str) -> Report:
    """The report of a job, with every object that a restore was about.

    Args:
        request: The project, and the scope when it is known.
        job_id: Id of the job.

    Raises:
        UsageError: No scope has such a job.
        StoreError: A storage cannot be read.
    """
    return job_report(*_find(request, job_id), request.now, objects=True)


def job_report(store: ScopeStore, record: JobRecord, now: datetime, *, objects: bool = False) -> Report:
    """The report of a job of which the record is known.

    Args:
        store: The store of its scope.
        record: Its record.
        now: The present moment.
        objects: With a table of every object that a restore was about: there may be a hundred thousand.

    Raises:
        StoreError: The storage cannot be read.
    """
    row = job_row(record)
    counts = {key: value for key, value in record.members().items() if key not in _TOLD and value not in ("", None)}
    facts = {
        "scope": store.scope,
        "status": row["status"],
        "started": row["started"],
        "finished": record.finished,
        "duration": row["seconds"],
        **{
            _WORDS.get(key, key.replace("_", " ")): value
            for key, value in counts.items()
            if isinstance(value, str | int | float)
        },
    }
    if row["error"]:
        facts["error"] = row["error"]
    problems: list[str] = []
    tables = [
        one for one in _TABLES.get(record.type, _nothing)(store, record, problems) if objects or one.key != "objects"
    ]
    return Report(
        name="job",
        title=f"{str(row['type']).capitalize()} of scope {store.scope}: {row['status']}",
        subtitle=f"job {record.id}",
        made=iso(now),
        facts=facts,
        tables=tables,
        problems=problems,
        csv_table={"backup": "types", "restore": "objects"}.get(record.type, ""),
    )


def _find(request: ReportRequest, job_id: str) -> tuple[ScopeStore, JobRecord]:
    for scope in request.scopes():
        store = open_store(request.project, scope)
        if record := store.jobs.find(job_id):
            return store, record
    raise UsageError(
        f"there is no job {job_id!r}", remedy="entra-pipeline report jobs lists them; --from asks for older ones."
    )


def _nothing(store: ScopeStore, record: JobRecord, problems: list[str]) -> Sequence[ReportTable]:
    return []


def _backup(store: ScopeStore, record: JobRecord, problems: list[str]) -> Sequence[ReportTable]:
    # What failed, or was stopped, has committed none, whatever its name was to be.
    point = str(record.details.get("recovery_point") or "")
    if not point or record.status in UNDONE:
        return []
    try:
        manifest = store.manifest(point)
    except NotInStore:
        problems.append(f"the recovery point {point} is no longer in the store")
        return []
    except StoreError as error:
        problems.append(f"the recovery point {point} cannot be read: {error.message}")
        return []
    gaps = [
        {"table": table, "what": gap.what, "since": gap.since, "reason": gap.reason, "remedy": gap.remedy}
        for table, entry in manifest.tables.items()
        for gap in entry.gaps
    ]
    unreadable = [
        {"table": one.table, "object": one.object, "reason": one.reason, "size": one.size, "bytes": one.text}
        for one in read_unreadable(store.files, store.scope, point)
    ]
    rows_by_type = [{**row, "gaps": len(manifest.tables[row["table"]].gaps)} for row in table_rows(manifest)]
    notes = [{"table": table, "note": note} for table, entry in manifest.tables.items() for note in entry.notes]
    return [
        ReportTable("gaps", "Gaps", _GAPS, gaps, "nothing is missing"),
        ReportTable("types", "By type", _BACKED_UP, rows_by_type),
        *(
            [ReportTable("unreadable", "Unreadable elements sent by Graph", _UNREADABLE, unreadable)]
            if unreadable
            else []
        ),
        *(
            [ReportTable("notes", "Notes", (Column("table", "type", "types"), Column("note", "note", "prose")), notes)]
            if notes
            else []
        ),
    ]


def _restore(store: ScopeStore, record: JobRecord, problems: list[str]) -> Sequence[ReportTable]:
    job_id = record.id
    report = read_report(store, job_id)
    if report is None:
        problems.append("the restore is unfinished: entra-pipeline restore --resume continues it")
        return []
    plan = read_plan(store, job_id)
    refused = [
        {"type": one.table, "result": one.kind, **{name: getattr(one, name) for name in _SAID}}
        for one in (report.refusals or plan.refusals)
    ]
    missing = [*exceptions(report), *refused]
    names = _names(store, plan, missing, problems)
    for row in missing:
        row["name"] = _called(row["id"], row["name"], names)
    written = [*_written(plan, report, names), *refused]
    return [
        ReportTable("exceptions", "Not restored", _NOT_RESTORED, missing, "everything was restored"),
        ReportTable("types", "By type", _RESTORED, rows(report)),
        ReportTable("objects", "Every object", _OBJECTS, written, "nothing was to be done"),
    ]


def _names(
    store: ScopeStore, plan: RestorePlan, missing: Sequence[Mapping[str, Any]], problems: list[str]
) -> Mapping[str, str]:
    """Finds what people call the objects that have no name but their id, and the ends of links."""
    ids = {one for step in plan.steps for one in step.targets[:_ENDS]}
    ids |= {row["id"] for row in missing if row["name"] in ("", row["id"])}
    ids |= {step.id for step in plan.steps if step.name in ("", step.id)}
    try:
        # Retention may have taken the recovery point since.
        return names_at(store, plan.point, ids) if ids and plan.point in store.points() else {}
    except StoreError as error:
        problems.append(f"some objects have no name, because the recovery point cannot be read: {error.message}")
        return {}


def _written(plan: RestorePlan, report: RestoreReport, names: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Lists what was written, or was to be, one row a step: what the plan wanted, and what became of it."""
    steps = {step.number: step for step in plan.steps}
    for outcome in report.outcomes:
        step = steps.get(outcome.number)
        yield {
            "type": outcome.table,
            "name": _called(outcome.id, outcome.name, names),
            "id": outcome.id,
            "action": step.action if step else "",
            "what": _wanted(step, names) if step else "",
            "result": outcome.result,
            "verified": "yes" if report.verified else "not yet",
            "live_id": outcome.live_id,
            "reason": outcome.reason or ", ".join(f"{name} differs" for name in outcome.differences),
            "remedy": outcome.remedy,
        }


def _called(identifier: str, name: str, names: Mapping[str, str]) -> str:
    """The name of an object; what else it is called where that is its id."""
    return names.get(identifier, name) if name in ("", identifier) else name


def _wanted(step: RestoreStep, names: Mapping[str, str]) -> str:
    """Words what a step writes: how many links and to whom, or the names of the properties."""
    if not step.targets:
        return ", ".join(sorted(step.body))
    ends = [names.get(one, one) for one in step.targets[:_ENDS]]
    more = " …" if len(step.targets) > _ENDS else ""
    return f"{pluralize(len(step.targets), 'link')}: {' · '.join(ends)}{more}"


def _prune(store: ScopeStore, record: JobRecord, problems: list[str]) -> Sequence[ReportTable]:
    point, why, days = (
        Column("recovery_point", "recovery point", "key"),
        Column("reason", "why", "prose"),
        "days of logs",
    )
    kept = [{"recovery_point": key, "reason": reason} for key, reason in record.details.get("kept", {}).items()]
    kept += [{"days": number, "reason": reason} for reason, number in record.details.get("log_days_kept", {}).items()]
    forgotten = [{"recovery_point": key} for key in record.details.get("forgotten", [])]
    return [
        ReportTable("forgotten", "Expired recovery points", (point,), forgotten, "none"),
        ReportTable("kept", "Kept beyond retention", (point, Column("days", days, "number"), why), kept, "none"),
    ]


def _drill(store: ScopeStore, record: JobRecord, problems: list[str]) -> Sequence[ReportTable]:

    # With the drill comes the simulator.
    from entra_pipeline.restore.check.drill import DRILL_DECODER, drill_file

    try:
        drill = DRILL_DECODER.decode(store.files.read(drill_file(store.scope, record.id)))
    except NotInStore:
        problems.append("the drill is unfinished")
        return []
    scores = [
        {
            "type": score.table,
            "kind": score.kind,
            "objects": score.objects,
            "compared": score.compared,
            "share": score.equal / score.compared if score.compared else None,
            "left_out": sum(score.left_out.values()),
        }
        for score in drill.scores
        if score.compared or score.left_out
    ]
    differences = [
        {
            "type": one.table,
            "name": one.name,
            "id": one.id,
            "what": one.what,
            "properties": ", ".join(one.properties),
            "reason": one.reason,
        }
        for one in drill.differences
    ]
    return [
        ReportTable("differences", "Not restored", _DIFFERENCES, differences, "everything was restored"),
        ReportTable("types", "By type", _SCORES, scores),
    ]


_TABLES = {"backup": _backup, "restore": _restore, "prune": _prune, "drill": _drill}
