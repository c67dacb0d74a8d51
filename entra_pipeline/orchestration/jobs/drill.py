"""The job that rehearses a restore of a scope, and its schedule."""

from datetime import UTC
from typing import TYPE_CHECKING

import dagster as dg

from entra_pipeline.orchestration.jobs.executor import EXECUTOR
from entra_pipeline.orchestration.keys import drill_key, identifier
from entra_pipeline.project import Scope

if TYPE_CHECKING:
    from entra_pipeline.orchestration.dagster_internals import UnresolvedAssetJobDefinition

# By which the queue runs one drill of a scope at a time. A drill takes nothing of the tenant: backups go on beside it.
DRILL_TAG = "entra/drill"


def drill_job(scope: Scope) -> "UnresolvedAssetJobDefinition | None":
    """The job that evaluates the check `drill`; None when the scope asks for no drills."""
    if scope.drill is None:
        return None
    return dg.define_asset_job(
        name=f"drill_{identifier(scope.name)}",
        selection=dg.AssetSelection.checks(drill_key(scope)),
        executor_def=EXECUTOR,
        tags={DRILL_TAG: scope.name},
        description=f"Runs a restore drill of scope {scope.name} in an empty simulated tenant, and scores it.",
    )


def drill_schedule(scope: Scope) -> dg.ScheduleDefinition | None:
    """The schedule of a scope's drills; None when it asks for none."""
    if scope.drill is None:
        return None

    @dg.schedule(
        name=f"schedule_drill_{identifier(scope.name)}",
        cron_schedule=scope.drill,
        execution_timezone=scope.timezone,
        job_name=f"drill_{identifier(scope.name)}",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Runs a restore drill of scope {scope.name}: {scope.drill} ({scope.timezone}).",
    )
    def tick(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        return dg.RunRequest(run_key=f"{context.scheduled_execution_time.astimezone(UTC):%Y-%m-%dT%H-%M-%SZ}")

    return tick
