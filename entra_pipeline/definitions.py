"""The Dagster code location: everything the project's scopes need, put together in one place."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dagster as dg

from assets import scope_assets
from assets.drills import drill_checks
from assets.freshness import freshness_checks
from assets.reports import report_assets
from entra_pipeline.orchestration.audit import audit_sensor
from entra_pipeline.orchestration.drills import drill_job, drill_schedule
from entra_pipeline.orchestration.jobs import EXECUTOR, backup_asset_job, backup_now_job
from entra_pipeline.orchestration.logs import log_job, log_schedule
from entra_pipeline.orchestration.missed_ticks import missed_ticks_sensor
from entra_pipeline.orchestration.repair import repair_sensor
from entra_pipeline.orchestration.reports import overview_jobs, overview_schedules
from entra_pipeline.orchestration.restore import restore
from entra_pipeline.orchestration.retention import prune, prune_schedule
from entra_pipeline.orchestration.schedules import backup_schedule
from entra_pipeline.orchestration.sensors import notifications_sensor, unusual_change_sensor
from entra_pipeline.project import Project, load_project
from resources import DuckDBResource, StorageResource, TenantResource

if TYPE_CHECKING:
    from entra_pipeline.orchestration.dagster_internals import UnresolvedAssetJobDefinition

# What a scope has where it asks for it.
_JOBS = (backup_now_job, log_job, drill_job)
_SCHEDULES = (backup_schedule, log_schedule, drill_schedule)


def build_definitions(project: Project) -> dg.Definitions:
    """The definitions of a project; used by Dagster, by the command and by tests.

    Asks no network and reveals no secret.
    """
    assets: list[dg.AssetsDefinition] = [*report_assets()]
    jobs: list[dg.JobDefinition | UnresolvedAssetJobDefinition] = [restore, prune]
    schedules: list[dg.ScheduleDefinition] = []
    scopes = list(project.scopes.values())
    checks = freshness_checks(scopes)
    taking = [backup_asset_job(scope) for scope in scopes]
    jobs += taking
    for scope in scopes:
        assets += scope_assets(scope)
        checks += drill_checks(scope)
        jobs += [job for make in _JOBS if (job := make(scope))]
        schedules += [schedule for make in _SCHEDULES if (schedule := make(scope))]
    if pruning := prune_schedule(scopes):
        schedules.append(pruning)
    jobs += overview_jobs(project)
    schedules += overview_schedules(project)
    file = str(project.file)
    return dg.Definitions(
        assets=assets,
        asset_checks=checks,
        jobs=jobs,
        schedules=schedules,
        sensors=[
            audit_sensor(file, [schedule.name for schedule in schedules]),
            notifications_sensor(project),
            *(
                (
                    unusual_change_sensor(scopes, taking),
                    repair_sensor(project, taking),
                    missed_ticks_sensor(project, taking),
                )
                if scopes
                else ()
            ),
        ],
        resources={
            "tenants": TenantResource(project_file=file),
            "storage": StorageResource(project_file=file),
            "duckdb": DuckDBResource(project_file=file),
        },
        executor=EXECUTOR,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The definitions of the project in this folder, or of the one that ENTRA_PIPELINE_PROJECT names."""
    with _made_to_stay():
        return build_definitions(load_project())


@contextmanager
def _made_to_stay() -> Iterator[None]:
    """Spares the garbage collector what is made in the block.

    Definitions live as long as their process. With a hundred scopes they are millions of objects, and walking them
    over and over while Dagster goes on to make jobs of them takes a tenth of the time to load.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
