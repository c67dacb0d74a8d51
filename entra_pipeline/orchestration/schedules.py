"""Where a scope's schedule is made: its cron in its time zone becomes a Dagster schedule that mints recovery points."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg

from entra_pipeline.clock import Clock, system_clock
from entra_pipeline.orchestration.keys import backup_job_name, identifier, partitions_name
from entra_pipeline.orchestration.partitions import is_present
from entra_pipeline.project import Scope
from entra_pipeline.store.points.keys import key_of


def schedule_name(scope: Scope) -> str:
    """The name of a scope's schedule."""
    return f"schedule_{identifier(scope.name)}"


def backup_schedule(scope: Scope, clock: Clock = system_clock) -> dg.ScheduleDefinition | None:
    """The schedule of a scope; None when it has none.

    The run's key comes from the scheduled time, so that a tick that is evaluated twice asks for one run. So does the
    recovery point's, unless that time is long past: after a pause of days, the daemon makes up for the last tick.
    """
    if scope.schedule is None:
        return None

    @dg.schedule(
        name=schedule_name(scope),
        cron_schedule=scope.schedule,
        execution_timezone=scope.timezone,
        job_name=backup_job_name(scope),
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Backs up scope {scope.name}: {scope.schedule} ({scope.timezone}).",
    )
    def tick(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        scheduled, now = context.scheduled_execution_time, clock()
        tick_key = key_of(scheduled)
        asked = request(scope, context.instance, scheduled if is_present(tick_key, now) else now)
        return dg.RunRequest(run_key=tick_key, partition_key=asked.partition_key)

    return tick


def extra_request(
    scope: Scope, instance: dg.DagsterInstance, moment: datetime, run_key: str, **more: Any
) -> dg.RunRequest:
    """The run that takes a recovery point between the ticks.

    Args:
        scope: The scope.
        instance: Told of the partition.
        moment: The recovery point's.
        run_key: Dagster launches one run for it.
        more: What else a RunRequest takes.
    """
    point = request(scope, instance, moment).partition_key
    return dg.RunRequest(run_key=run_key, partition_key=point, job_name=backup_job_name(scope), **more)


def request(scope: Scope, instance: dg.DagsterInstance, scheduled: datetime) -> dg.RunRequest:
    """The run that a tick asks for; its partition is added first, as a run of an unknown one would fail."""
    point = key_of(scheduled.astimezone(UTC))
    instance.add_dynamic_partitions(partitions_name(scope.name), [point])
    return dg.RunRequest(run_key=point, partition_key=point)
