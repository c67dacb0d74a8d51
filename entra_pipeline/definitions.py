"""The Dagster code location: everything the project's scopes need, put together in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from assets import scope_assets
from entra_pipeline.orchestration.jobs import EXECUTOR, backup_asset_job, backup_now_job
from entra_pipeline.orchestration.schedules import backup_schedule
from entra_pipeline.project import Project, load_project
from resources import StorageResource, TenantResource

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition


def build_definitions(project: Project) -> dg.Definitions:
    """The definitions of a project; used by Dagster, by the command and by tests.

    Asks no network and reveals no secret.
    """
    assets: list[dg.AssetsDefinition] = []
    jobs: list[dg.JobDefinition | UnresolvedAssetJobDefinition] = []
    schedules: list[dg.ScheduleDefinition] = []
    for scope in project.scopes.values():
        assets += scope_assets(scope)
        jobs += [backup_asset_job(scope), backup_now_job(scope)]
        if schedule := backup_schedule(scope):
            schedules.append(schedule)
    file = str(project.file)
    return dg.Definitions(
        assets=assets,
        jobs=jobs,
        schedules=schedules,
        resources={
            "tenants": TenantResource(project_file=file),
            "storage": StorageResource(project_file=file),
        },
        executor=EXECUTOR,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The definitions of the project in this folder, or of the one that ENTRA_PIPELINE_PROJECT names."""
    return build_definitions(load_project())
