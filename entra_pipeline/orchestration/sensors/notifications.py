"""The sensor `notifications`: it gives runs that ended without a job record one, and sends what profiles ask for.

What belongs here: when Dagster looks, and what it knows of runs. What does not: what is sent and how
(`entra_pipeline.notifications`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from entra_pipeline.backup.jobs import STOPPED
from entra_pipeline.catalogue.logs import LOGS
from entra_pipeline.clock import iso, system_clock
from entra_pipeline.errors import EntraPipelineError
from entra_pipeline.notifications import Event, dispatch, places
from entra_pipeline.operations.logs import LOGS_JOB
from entra_pipeline.orchestration.dagster_internals import FAILURE_PREFIX
from entra_pipeline.orchestration.errors import scrubbed_tick
from entra_pipeline.orchestration.jobs.retention import OP as PRUNE_OP
from entra_pipeline.orchestration.keys import PLAN_TAG, identifier
from entra_pipeline.orchestration.runs import begun, trigger
from entra_pipeline.orchestration.sensors.failures import announce_failed_sensors
from entra_pipeline.project import Project, load_project
from entra_pipeline.project.stores import open_store
from entra_pipeline.restore.records.jobs import is_recorded, what_was_done
from entra_pipeline.restore.records.plans import is_plan_id, read_plan
from entra_pipeline.restore.records.report import applied
from entra_pipeline.run_queue import FLEET_TAG, LOGS_TAG, SCOPE_TAG
from entra_pipeline.settings.fields import is_name
from entra_pipeline.store.job_records import CANCELLED, JobRecord
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.running_jobs import job_id_at, keep_record

_ENDED_BADLY = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_UNDER_WAY = [
    status
    for status in dg.DagsterRunStatus
    if status not in {*_ENDED_BADLY, dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.MANAGED}
]
# Dagster ends a sensor after sixty seconds.
_SENDING = timedelta(seconds=30)
_BATCH = 100
# Jobs of a scope by the beginning of their names.
_PREFIXES = {"backup_now_": "backup", "backup_": "backup", "logs_": LOGS_JOB}


def notifications_sensor(project: Project) -> dg.SensorDefinition:
    """The sensor that tells how jobs ended."""
    file = project.file

    @dg.sensor(
        name="notifications",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Sends the messages of notification profiles, each once; also for runs that were killed.",
    )
    def notifications(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        current = load_project(file)
        with scrubbed_tick(context, file):
            problems = [*record_lost_runs(context, current), *announce_failed_sensors(context, current)]
            until = system_clock() + _SENDING
            sent = waiting = 0
            for name, open_place in places(current):
                try:
                    told = dispatch(current, open_place(), ready=_has_ended(context.instance), until=until)
                except EntraPipelineError as error:
                    problems.append(f"storage {name}: {error.message}")
                    continue
                sent, waiting = sent + told.sent, waiting + told.waiting
                problems += told.problems
            for problem in problems:
                context.log.warning(problem)
            return dg.SkipReason(f"{sent} sent, {waiting} waiting" + "".join(f"\n{problem}" for problem in problems))

    return notifications


def _has_ended(instance: dg.DagsterInstance) -> Callable[[Event], bool]:
    """Whether an event may be told: until its run has ended, what it says may change."""

    def ended(event: Event) -> bool:
        run = instance.get_run_by_id(event["run_id"]) if event.get("run_id") else None
        return run is None or run.is_finished

    return ended


def record_lost_runs(context: dg.SensorEvaluationContext, project: Project) -> Iterator[str]:
    """Gives runs that failed or were canceled before their job was recorded the record of a failed job.

    The cursor is the moment up to which runs have been looked at; a run that is looked at twice gets the same record.

    Yields:
        What could not be done.
    """
    since = datetime.fromisoformat(context.cursor) if context.cursor else system_clock() - timedelta(hours=1)
    found = context.instance.get_run_records(
        dg.RunsFilter(statuses=_ENDED_BADLY, updated_after=since),
        limit=_BATCH,
        order_by="update_timestamp",
        ascending=True,
    )
    for record in found:
        try:
            _record_lost(context.instance, project, record.dagster_run, record)
        except EntraPipelineError as error:
            # Looked at again with the next tick: the cursor stays before it.
            yield f"run {record.dagster_run.run_id} could not be recorded: {error.message}"
            return
        since = record.update_timestamp.replace(tzinfo=UTC)
    context.update_cursor(since.isoformat())


def _record_lost(instance: dg.DagsterInstance, project: Project, run: dg.DagsterRun, record: dg.RunRecord) -> None:
    # A try that is about to be repeated is no outcome.
    if run.tags.get("dagster/will_retry") == "true":
        return
    for kind, scope in jobs_of(project, run):
        if scope in project.scopes:
            _record_job(instance, open_store(project, scope), kind, record)
        elif is_name(scope) and (store := _former_store(project, scope)) is not None:
            # Deleted while the job was queued or running: it ends like any other, with its record and its message.
            _record_job(instance, store, kind, record)


def _plan_of(run: dg.DagsterRun) -> str:
    """The plan that a run is of; empty when its tag names none. Whoever launches a run may write anything there."""
    plan = run.tags.get(PLAN_TAG, "")
    return plan if is_plan_id(plan) else ""


def _former_store(project: Project, scope: str) -> ScopeStore | None:
    """Opens the store of a scope that is no longer configured: where its recovery points or job records are.

    One that never had any has none: its record goes to the first storage. None where no storage is left.
    """
    stores = [ScopeStore(open_place(), scope) for _, open_place in places(project)]
    known = [one for one in stores if one.points() or any(True for _ in one.files.list(f"_jobs/{scope}/"))]
    return next(iter(known or stores), None)


def _record_job(instance: dg.DagsterInstance, store: ScopeStore, kind: str, record: dg.RunRecord) -> None:
    run = record.dagster_run
    started = begun(instance, run)
    plan = _plan_of(run)
    if _is_recorded(store, run.run_id, started):
        return
    if plan and _another_applies(instance, store, plan, run.run_id):
        # A plan is applied once: this run did nothing, and its failure is none of that restore.
        return
    ended = datetime.fromtimestamp(record.end_time, UTC) if record.end_time else system_clock()
    lost = JobRecord(
        id=plan or job_id_at(started, run.run_id[:6]),
        type=kind,
        scope=store.scope,
        trigger=trigger(run),
        run_id=run.run_id,
        status=CANCELLED if run.status is dg.DagsterRunStatus.CANCELED else "failed",
        started=iso(started),
        # A run that never came to its first op counts from when it was asked for.
        run_started=iso(record.create_timestamp.replace(tzinfo=UTC)),
        finished=iso(ended),
        error=_stopped(store, kind, plan) if run.status is dg.DagsterRunStatus.CANCELED else _why(instance, run),
        details={"recovery_point": run.tags.get("dagster/partition", "") if kind == "backup" else ""},
    )
    # A restore that was gone on with meanwhile keeps the record of the run that did.
    keep_record(store, lost)


def jobs_of(project: Project, run: dg.DagsterRun) -> Sequence[tuple[str, str]]:
    """Returns the types of jobs that a run is, each with its scope; none for runs that only look at things.

    A run from an asset's page or of a backfill is of no job of ours: its assets tell. A backfill of logs may be of
    several scopes.
    """
    if run.job_name in {"restore", "prune"}:
        # A dry run restores and prunes nothing; a restore is one unless told otherwise.
        values: Any = run.run_config
        if run.job_name == "prune":
            values = values.get("ops", {}).get(PRUNE_OP, {}).get("config", {})
        dry = values.get("dry_run", run.job_name == "restore")
        scope = str(values.get("scope", ""))
        if run.job_name == "prune" and not scope:
            return [] if dry else [("prune", one.name) for one in project.scopes.values() if one.prune]
        return [] if dry else [(run.job_name, scope)]
    former = run.tags.get(SCOPE_TAG, run.tags.get(LOGS_TAG, ""))
    if FLEET_TAG in run.tags:
        # Drills that fail leave their record themselves.
        return [("backup", former)] if former else []
    for prefix, kind in _PREFIXES.items():
        for scope in dict.fromkeys((*project.scopes, former)):
            if scope and run.job_name == f"{prefix}{identifier(scope)}":
                return [(kind, scope)]
    tables = {(key.path[0], key.path[-1]) for key in run.asset_selection or () if key.path[0] in project.scopes}
    return sorted({(LOGS_JOB if table in LOGS else "backup", scope) for scope, table in tables})


def _is_recorded(store: ScopeStore, run_id: str, begun: datetime) -> bool:
    """Whether a run has left the record of its job, among those that ended after it began."""
    records = store.jobs.between(begun - timedelta(minutes=1), system_clock() + timedelta(days=1))
    return any(one.run_id == run_id for one in records)


def _another_applies(instance: dg.DagsterInstance, store: ScopeStore, plan: str, run_id: str) -> bool:
    """Whether another run has carried a plan out, or is about to."""
    if (report := applied(store, plan)) and is_recorded(store, report):
        return True
    under_way = dg.RunsFilter(job_name="restore", tags={PLAN_TAG: plan}, statuses=_UNDER_WAY)
    return any(run.run_id != run_id for run in instance.get_runs(under_way))


def _stopped(store: ScopeStore, kind: str, plan: str) -> str:
    """Says what a job had done whose run was stopped, or ended by force, before it left a record."""
    if kind == "backup":
        return STOPPED
    if kind == "restore":
        return what_was_done(store, read_plan(store, plan)) if plan else "stopped before anything was written"
    return "stopped"


def _why(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    failed = instance.get_records_for_run(
        run.run_id, of_type={dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}, ascending=False
    ).records
    for one in failed:
        event = one.event_log_entry.dagster_event
        error = getattr(event.event_specific_data, "error", None) if event else None
        if event and event.is_step_failure and error is not None:
            # Dagster puts the name of the class before what our own failures say.
            return " ".join((error.cause or error).message.split()).removeprefix(FAILURE_PREFIX)
    for one in failed:
        event = one.event_log_entry.dagster_event
        if event and event.message:
            return " ".join(event.message.split())
    return "the run ended without a word"
