"""The jobs of the layout `fleet`: a backup of one scope, and a restore drill of one."""

from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from entra_pipeline.operations.drill import run_drill
from entra_pipeline.operations.environment import JobOrigin
from entra_pipeline.orchestration.checks.drill import drill_result
from entra_pipeline.orchestration.errors import explained, in_scope
from entra_pipeline.orchestration.jobs.drill import DRILL_TAG
from entra_pipeline.orchestration.jobs.executor import EXECUTOR
from entra_pipeline.orchestration.keys import (
    FLEET_DRILL_JOB,
    FLEET_JOB,
    FLEET_LOGS,
    FLEET_POINTS,
    fleet_key,
    fleet_tags,
)
from entra_pipeline.orchestration.progress import RunDrillProgress
from entra_pipeline.orchestration.runs import trigger
from entra_pipeline.project import Project
from entra_pipeline.run_queue import retry_tags
from entra_pipeline.runtime import run_async
from resources import ResourceEnvironment, StorageResource, TenantResource

if TYPE_CHECKING:
    from entra_pipeline.orchestration.dagster_internals import UnresolvedAssetJobDefinition

FLEET_DRILL_OP = "drill_scope"


def fleet_backup_job(project: Project) -> "UnresolvedAssetJobDefinition":
    """The job that backs up the scope of its partition, and reads its logs."""
    return dg.define_asset_job(
        name=FLEET_JOB,
        selection=dg.AssetSelection.assets(*(fleet_key(project, name) for name in (FLEET_POINTS, FLEET_LOGS))),
        executor_def=EXECUTOR,
        tags={**fleet_tags(project), **retry_tags()},
        description="Takes a recovery point of the scope that is its partition now, then reads the scope's logs.",
    )


class FleetDrill(dg.Config):
    """What to rehearse."""

    scope: str = Field(description="The scope whose newest recovery point is restored in an empty simulated tenant.")


def fleet_drill_job(project: Project) -> dg.JobDefinition:
    """The job that rehearses a restore of a scope."""

    @dg.op(name=FLEET_DRILL_OP)
    def drill_scope(
        context: dg.OpExecutionContext, config: FleetDrill, tenants: TenantResource, storage: StorageResource
    ) -> None:
        with explained(context, storage.project_file, in_scope(config.scope)):
            environment = ResourceEnvironment(tenants, storage)
            scope = environment.project.scope(config.scope)
            context.instance.add_run_tags(context.run_id, {DRILL_TAG: scope.name})
            origin = JobOrigin(trigger(context.run, "dagster: drill"), context.run_id)
            drill = run_async(run_drill(environment, scope, origin=origin, progress=RunDrillProgress(context)))
        result = drill_result(drill)
        context.add_output_metadata(dict(result.metadata))
        if not result.passed:
            raise dg.Failure(result.description, metadata=result.metadata, allow_retries=False)

    @dg.job(
        name=FLEET_DRILL_JOB,
        executor_def=EXECUTOR,
        tags=fleet_tags(project),
        description="Runs a restore drill of a scope in an empty simulated tenant, and scores it.",
    )
    def drill_fleet() -> None:
        drill_scope()

    return drill_fleet
