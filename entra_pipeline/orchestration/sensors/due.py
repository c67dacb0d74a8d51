"""The sensors of the layout `fleet`: one tick looks at all scopes, and asks for the runs that are due.

The configuration is read at every tick, so that a scope is backed up as soon as somebody has made it, anywhere. What a
tick leaves to the next one is in its cursor: only scopes that wait or fail, whatever the number of all.

What belongs here: what Dagster knows of runs, and how it is asked for new ones. What does not: what is due
(`entra_pipeline.operations.due_list`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import dagster as dg
import msgspec

from entra_pipeline.clock import Clock, system_clock
from entra_pipeline.operations.due_list import DueList, DueRun, DueState, EndedRun, Why
from entra_pipeline.orchestration.errors import scrubbed_tick
from entra_pipeline.orchestration.jobs.backup import BackupNow
from entra_pipeline.orchestration.jobs.drill import DRILL_TAG
from entra_pipeline.orchestration.jobs.fleet import FLEET_DRILL_OP, FleetDrill
from entra_pipeline.orchestration.keys import (
    AGAIN_TAG,
    AGAIN_TYPES_TAG,
    DUE_SENSOR,
    FLEET_DRILL_JOB,
    FLEET_JOB,
    FLEET_LOGS,
    POINT_TAG,
    RETRY_TAG,
    fleet_key,
    fleet_op,
    fleet_partitions,
    fleet_tags,
    run_tags,
)
from entra_pipeline.orchestration.sensors.repair import REPAIRS_TAG
from entra_pipeline.project import Project, load_project
from entra_pipeline.run_queue import PARTITION_TAG, SCOPE_TAG, SLOW_TAG
from entra_pipeline.text import pluralize

_STATE = msgspec.json.Decoder(DueState)
_EVERY = 30
_ENDS = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_UNDER_WAY = [status for status in dg.DagsterRunStatus if status not in {*_ENDS, dg.DagsterRunStatus.MANAGED}]
# A database may show a change later than one that was made after it.
_OVERLAP = timedelta(minutes=2)
# Waiting scopes that a tick names.
_NAMED = 10


def due_sensor(project: Project, clock: Clock = system_clock) -> dg.SensorDefinition:
    """The sensor that asks for the backups that are due.

    Args:
        project: The project; every tick reads it again.
        clock: The one clock.
    """
    file = project.file

    @dg.sensor(
        name=DUE_SENSOR,
        job_name=FLEET_JOB,
        minimum_interval_seconds=_EVERY,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Looks which scopes are due by their schedules, and asks for their backups, tenants in turns.",
    )
    def due_scopes(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        with scrubbed_tick(context, file):
            now, instance, current = clock(), context.instance, load_project(file)
            partitions = str(fleet_partitions(current).name)
            known = frozenset(instance.get_dynamic_partitions(partitions))
            state = _STATE.decode(context.cursor) if context.cursor else None
            found = DueList(current.scopes, current.dagster.spread, current.dagster.queued_runs).look(
                state,
                now,
                known=known,
                under_way=[_scope_of(run) for run in _under_way(instance, current)],
                ended=_ended(instance, current, state.until) if state else (),
            )
            if new := [name for name in current.scopes if name not in known]:
                instance.add_dynamic_partitions(partitions, new)
            for problem in current.problems:
                context.log.warning(str(problem.error))
            # A file that cannot be used hides scopes that are there.
            for gone in () if current.problems else known - current.scopes.keys():
                instance.delete_dynamic_partition(partitions, gone)
            said = [f"{pluralize(found.overdue, 'scope')} waiting for others"] if found.overdue else []
            said += [problem.error.message for problem in current.problems][:_NAMED]
            said += [
                f"{name}: failed {pluralize(one.tries, 'time')} in a row" for name, one in found.state.failing.items()
            ][:_NAMED]
            return dg.SensorResult(
                run_requests=[_request(current, run) for run in found.runs],
                skip_reason=None if found.runs else "\n".join(said) or "no scope is due",
                cursor=msgspec.json.encode(found.state).decode(),
            )

    return due_scopes


def due_drills_sensor(project: Project, clock: Clock = system_clock) -> dg.SensorDefinition:
    """The sensor that asks for the restore drills that are due; arguments as for `due_sensor`."""
    file = project.file

    @dg.sensor(
        name="due_drills",
        job_name=FLEET_DRILL_JOB,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Looks which scopes are due for a restore drill, and asks for it.",
    )
    def due_drills(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        with scrubbed_tick(context, file):
            now, current = clock(), load_project(file)
            drilled = {
                name: scope.model_copy(update={"schedule": scope.drill})
                for name, scope in current.scopes.items()
                if scope.drill is not None
            }
            state = _STATE.decode(context.cursor) if context.cursor else None
            under_way = context.instance.get_runs(dg.RunsFilter(job_name=FLEET_DRILL_JOB, statuses=_UNDER_WAY))
            found = DueList(drilled, current.dagster.spread, current.dagster.queued_runs).look(
                state, now, known=drilled.keys(), under_way=[run.tags.get(DRILL_TAG, "") for run in under_way]
            )
            return dg.SensorResult(
                run_requests=[
                    dg.RunRequest(
                        run_key=run.key,
                        run_config=dg.RunConfig(ops={FLEET_DRILL_OP: FleetDrill(scope=run.scope.name)}),
                        tags={DRILL_TAG: run.scope.name},
                    )
                    for run in found.runs
                ],
                cursor=msgspec.json.encode(found.state).decode(),
            )

    return due_drills


def _request(project: Project, run: DueRun) -> dg.RunRequest:
    due, scope = run.due, run.scope
    config = dg.RunConfig(ops={fleet_op(project): BackupNow(types=list(due.types))}) if due.types else None
    return dg.RunRequest(
        run_key=run.key,
        partition_key=scope.name,
        asset_selection=[fleet_key(project, FLEET_LOGS)] if due.logs else None,
        run_config=config,
        tags={
            **run_tags(scope),
            **({REPAIRS_TAG: due.of} if due.of else {}),
            **({SLOW_TAG: "true"} if run.slow else {}),
        },
    )


def _under_way(instance: dg.DagsterInstance, project: Project) -> list[dg.DagsterRun]:
    return list(instance.get_runs(dg.RunsFilter(tags=dict(fleet_tags(project)), statuses=_UNDER_WAY)))


def _ended(instance: dg.DagsterInstance, project: Project, since: datetime) -> Iterator[EndedRun]:
    """The backups that have ended since a moment and will not be tried again by Dagster, the first one first."""
    records = instance.get_run_records(
        dg.RunsFilter(tags=dict(fleet_tags(project)), statuses=_ENDS, updated_after=since - _OVERLAP),
        order_by="update_timestamp",
        ascending=True,
    )
    for record in records:
        run = record.dagster_run
        if run.job_name == FLEET_DRILL_JOB or run.tags.get("dagster/will_retry") == "true":
            continue
        ended = record.end_time or record.update_timestamp.replace(tzinfo=UTC).timestamp()
        yield _told(run, datetime.fromtimestamp(ended, UTC))


def _told(run: dg.DagsterRun, ended: datetime) -> EndedRun:
    """What a run that has ended leaves to do."""
    tags: Mapping[str, str] = run.tags
    scope = _scope_of(run)
    if run.status is dg.DagsterRunStatus.FAILURE and tags.get(RETRY_TAG) != "false":
        # What has failed after the point was committed is the read of logs.
        return EndedRun(run.run_id, scope, ended, Why.REPAIR, logs=POINT_TAG in tags)
    if run.status is dg.DagsterRunStatus.SUCCESS and AGAIN_TAG in tags:
        types = tuple(filter(None, tags.get(AGAIN_TYPES_TAG, "").split(",")))
        return EndedRun(run.run_id, scope, ended, Why(tags[AGAIN_TAG]), types)
    return EndedRun(run.run_id, scope, ended)


def _scope_of(run: dg.DagsterRun) -> str:
    """The scope of a run of the fleet: its tag or, where the queue has not tagged it, its partition."""
    return run.tags.get(SCOPE_TAG) or run.tags.get(PARTITION_TAG, "")
