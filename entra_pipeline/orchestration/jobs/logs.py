"""The job that reads a scope's logs, and the schedule that does so for the days that are still open."""

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from entra_pipeline.backup.log_lifetime import KEPT_WITH_LICENCE
from entra_pipeline.backup.logs import LATENESS
from entra_pipeline.orchestration.jobs.executor import EXECUTOR
from entra_pipeline.orchestration.keys import FIRST_DAY, asset_key, identifier, log_tags
from entra_pipeline.project import Scope
from entra_pipeline.run_queue import log_retry_tags

if TYPE_CHECKING:
    from entra_pipeline.orchestration.dagster_internals import UnresolvedAssetJobDefinition

# Dagster's names for a run over several partitions.
RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
_DAY = timedelta(days=1)


def log_job_name(scope: Scope) -> str:
    """The name of the job that reads a scope's logs."""
    return f"logs_{identifier(scope.name)}"


def log_job(scope: Scope) -> "UnresolvedAssetJobDefinition | None":
    """The job that reads days of all logs of a scope; None when it protects none."""
    if not scope.log_types():
        return None
    return dg.define_asset_job(
        name=f"{log_job_name(scope)}",
        selection=dg.AssetSelection.assets(*(asset_key(scope.name, name) for name in scope.log_types())),
        executor_def=EXECUTOR,
        tags={**log_tags(scope), **log_retry_tags()},
        description=f"Reads the logs of scope {scope.name} for some days: again whole, as long as Entra keeps them.",
    )


def log_schedule(scope: Scope) -> dg.ScheduleDefinition | None:
    """The schedule of a scope's logs, at the times of its backups; None when it has none, or protects no logs."""
    if scope.schedule is None or not scope.log_types():
        return None

    @dg.schedule(
        name=f"schedule_{log_job_name(scope)}",
        cron_schedule=scope.schedule,
        execution_timezone=scope.timezone,
        job_name=log_job_name(scope),
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Reads the logs of scope {scope.name}, open days again: {scope.schedule} ({scope.timezone}).",
    )
    def tick(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        return log_request(scope, context.instance, context.scheduled_execution_time)

    return tick


def log_request(scope: Scope, instance: dg.DagsterInstance, scheduled: datetime) -> dg.RunRequest:
    """The run that a tick asks for: the days that may be open, since the last one that Dagster knows of.

    The first time, and for a log that is new in the scope, all that Entra keeps; after a pause, the days of the pause.
    """
    moment = scheduled.astimezone(UTC)
    starts = []
    for name in scope.log_types():
        told = instance.get_materialized_partitions(asset_key(scope.name, name))
        newest = date.fromisoformat(max(told)) if told else None
        starts.append(newest - LATENESS - _DAY if newest else (moment - KEPT_WITH_LICENCE).date())
    first = max(min(starts), date.fromisoformat(FIRST_DAY))
    tags = {RANGE_START: first.isoformat(), RANGE_END: moment.date().isoformat()}
    return dg.RunRequest(run_key=f"{moment:%Y-%m-%dT%H-%M-%SZ}", tags=tags)
