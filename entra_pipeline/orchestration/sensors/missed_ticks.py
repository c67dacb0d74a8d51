"""The sensor `missed_ticks`: a schedule that should have run and did not.

A tick is lost when its evaluation fails, when its run is lost before it is launched, or when the run has waited until
its moment was past. Dagster itself makes up for the last tick that came while its daemon was down: so what counts is
how long the sensor has seen that something is missing, not how long ago it was due.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg
import msgspec

from entra_pipeline.clock import Clock, system_clock
from entra_pipeline.errors import UsageError
from entra_pipeline.orchestration.dagster_internals import InstigatorStatus, InstigatorType, ScheduleInstigatorData
from entra_pipeline.orchestration.errors import scrubbed_tick
from entra_pipeline.orchestration.history import newest_points, newest_runs
from entra_pipeline.orchestration.partitions import is_present
from entra_pipeline.orchestration.schedules import extra_request, schedule_name
from entra_pipeline.orchestration.sensors.failures import contained
from entra_pipeline.project import Project, Scope
from entra_pipeline.project.schedules import last_run
from entra_pipeline.project.stores import open_store
from entra_pipeline.store.points.keys import moment_of

if TYPE_CHECKING:
    from entra_pipeline.orchestration.dagster_internals import UnresolvedAssetJobDefinition

_CURSOR = msgspec.json.Decoder(dict[str, datetime])

GRACE = timedelta(minutes=15)
"""How long a run may be missing: Dagster launches a hundred schedules of the same minute one after the other."""


def missed_ticks_sensor(
    project: Project, jobs: Sequence[UnresolvedAssetJobDefinition], clock: Clock = system_clock
) -> dg.SensorDefinition:
    """The sensor that asks for the run of a tick that was missed, once.

    Args:
        project: The project.
        jobs: The jobs that the schedules launch, one per scope.
        clock: The one clock.
    """
    scopes = list(project.scopes.values())

    @dg.sensor(
        name="missed_ticks",
        jobs=list(jobs),
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Takes a recovery point of a scope whose schedule should have run, unless somebody has stopped it.",
    )
    def missed_ticks(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        with scrubbed_tick(context, project.file):
            now = clock()
            # Scope → since when its run has been seen missing.
            before = _CURSOR.decode(context.cursor) if context.cursor else {}
            seen: dict[str, datetime] = {}
            requests = []
            for scope, due in missed(context.instance, scopes, now):
                seen[scope.name] = before.get(scope.name, now)
                if now < seen[scope.name] + GRACE:
                    continue
                with contained(context, project, "missed_ticks", scope.name):
                    latest = open_store(project, scope.name).points()[-1:]
                    # Taken by the command: Dagster does not know of it.
                    if latest and moment_of(latest[0]) >= due:
                        continue
                    context.log.info(
                        f"{scope.name}: the tick of {due:%Y-%m-%d %H:%M} UTC was missed; its run is requested now"
                    )
                    requests.append(extra_request(scope, context.instance, now, f"{scope.name} {due:%Y-%m-%dT%H:%M}"))
            return dg.SensorResult(run_requests=requests, cursor=msgspec.json.encode(seen).decode())

    return missed_ticks


def missed(instance: dg.DagsterInstance, scopes: Sequence[Scope], now: datetime) -> Iterator[tuple[Scope, datetime]]:
    """The scopes whose schedule was due, with the moment of the last tick, and of which Dagster knows nothing since."""
    running = _running_since(instance)
    runs = newest_runs(instance, scopes)
    points = newest_points(instance, scopes)
    for scope in scopes:
        due, since = last_run(scope, now), running.get(schedule_name(scope))
        if due is None or since is None or due < since:
            continue
        run, point = runs.get(scope.name), points.get(scope.name)
        if run and run.create_timestamp.replace(tzinfo=UTC) >= due and not _was_refused(run):
            continue
        if point is None or point[2] < due:
            yield scope, due


def _was_refused(record: dg.RunRecord) -> bool:
    """Whether a run failed that was for no present moment: it waited too long, or somebody wanted the past."""
    run, point = record.dagster_run, record.dagster_run.tags.get("dagster/partition")
    if run.status is not dg.DagsterRunStatus.FAILURE or point is None:
        return False
    begun = record.start_time or record.create_timestamp.replace(tzinfo=UTC).timestamp()
    try:
        return not is_present(point, datetime.fromtimestamp(begun, UTC))
    except UsageError:
        return True


def _running_since(instance: dg.DagsterInstance) -> dict[str, datetime]:
    """Since when schedules run, by name; those that somebody has stopped, or that never ran, are not among them."""
    states = instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE)
    return {
        state.instigator_name: datetime.fromtimestamp(state.instigator_data.start_timestamp, UTC)
        for state in states
        if state.status is not InstigatorStatus.STOPPED
        and isinstance(state.instigator_data, ScheduleInstigatorData)
        and state.instigator_data.start_timestamp is not None
    }
