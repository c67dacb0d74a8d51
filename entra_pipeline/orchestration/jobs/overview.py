"""The jobs that look at all scopes: reports every morning, freshness every hour; and their schedules."""

from datetime import UTC
from typing import TYPE_CHECKING

import dagster as dg

from entra_pipeline.orchestration.jobs.executor import EXECUTOR
from entra_pipeline.orchestration.keys import FLEET_STANDING, REPORTS_GROUP, fleet_key, freshness_key
from entra_pipeline.project import Project

if TYPE_CHECKING:
    from entra_pipeline.orchestration.dagster_internals import UnresolvedAssetJobDefinition

REPORTS_JOB = "reports"
FRESHNESS_JOB = "check_freshness_of_scopes"
_MORNING = "45 4 * * *"
_HOURLY = "25 * * * *"


def overview_jobs(project: Project) -> "list[UnresolvedAssetJobDefinition]":
    """The job that makes the reports, and the one that checks freshness where a scope has a schedule.

    In the layout `fleet` a scope may come at any time, so that there always is one.
    """
    jobs = [
        dg.define_asset_job(
            REPORTS_JOB,
            selection=dg.AssetSelection.groups(REPORTS_GROUP),
            executor_def=EXECUTOR,
            description="Renews all reports.",
        )
    ]
    scheduled = [scope.name for scope in project.scopes.values() if scope.schedule is not None]
    if scheduled or project.dagster.fleet:
        jobs.append(
            dg.define_asset_job(
                FRESHNESS_JOB,
                selection=dg.AssetSelection.assets(fleet_key(project, FLEET_STANDING))
                if project.dagster.fleet
                else dg.AssetSelection.checks(*map(freshness_key, scheduled)),
                executor_def=EXECUTOR,
                description="Checks that the last good recovery point of every scope is as fresh as its schedule says.",
            )
        )
    return jobs


def overview_schedules(project: Project) -> list[dg.ScheduleDefinition]:
    """The schedules of these jobs, in UTC."""
    crons = {REPORTS_JOB: _MORNING, FRESHNESS_JOB: _HOURLY}
    return [_schedule(job.name, crons[job.name]) for job in overview_jobs(project)]


def _schedule(job: str, cron: str) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=f"schedule_{job}",
        cron_schedule=cron,
        execution_timezone="UTC",
        job_name=job,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Runs {job}: {cron} (UTC).",
    )
    def tick(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        return dg.RunRequest(run_key=f"{context.scheduled_execution_time.astimezone(UTC):%Y-%m-%dT%H-%M-%SZ}")

    return tick
