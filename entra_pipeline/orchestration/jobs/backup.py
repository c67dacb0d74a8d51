"""The two ways to run a backup in Dagster.

`backup_<scope>` materialises the assets of one partition: what the schedule launches. `backup_now_<scope>` needs no
partition: it mints the key itself, takes the backup in one step and reports the materialisations under the new
partition.
"""

from typing import TYPE_CHECKING

import dagster as dg

from entra_pipeline.catalogue import table_names
from entra_pipeline.operations.backup import TakenPoint, run_backup
from entra_pipeline.operations.environment import JobOrigin
from entra_pipeline.orchestration.checks.freshness import freshness_result
from entra_pipeline.orchestration.checks.reporting import report_check, report_checks
from entra_pipeline.orchestration.errors import explained, in_scope
from entra_pipeline.orchestration.jobs.executor import EXECUTOR
from entra_pipeline.orchestration.keys import (
    RECOVERY_POINT,
    asset_key,
    backup_job_name,
    backup_now_job_name,
    backup_now_op_name,
    drill_key,
    object_types,
    partitions_name,
    pool,
    run_tags,
)
from entra_pipeline.orchestration.metadata.recovery_points import materializations, rows_tag
from entra_pipeline.orchestration.progress import RunProgress
from entra_pipeline.project import Scope
from entra_pipeline.run_queue import retry_tags
from entra_pipeline.runtime import run_async
from entra_pipeline.store.manifest import TakenFor
from resources import ResourceEnvironment, StorageResource, TenantResource

if TYPE_CHECKING:
    from entra_pipeline.orchestration.dagster_internals import UnresolvedAssetJobDefinition


def backup_asset_job(scope: Scope) -> "UnresolvedAssetJobDefinition":
    """The job that materialises all assets of a scope for one recovery point."""
    keys = [asset_key(scope.name, name) for name in (*object_types(scope), RECOVERY_POINT)]
    selection: dg.AssetSelection = dg.AssetSelection.assets(*keys)
    # Drills have a job of their own. Freshness stays: Dagster shows a check as not evaluated when a newer point exists.
    if scope.drill is not None:
        selection -= dg.AssetSelection.checks(drill_key(scope))
    return dg.define_asset_job(
        name=backup_job_name(scope),
        selection=selection,
        executor_def=EXECUTOR,
        tags={**run_tags(scope), **retry_tags()},
        description=f"Backs up scope {scope.name} for one recovery point. To back up now, use backup_now instead.",
    )


class BackupNow(dg.Config):
    """What to back up now.

    Attributes:
        full: Read everything, whatever delta could tell.
        types: Only these object types; the others stay as they were. All when empty.
    """

    full: bool = False
    types: list[str] = []


def take_point(
    context: dg.AssetExecutionContext | dg.OpExecutionContext,
    config: BackupNow,
    environment: ResourceEnvironment,
    scope: Scope,
    origin: JobOrigin,
    taken_for: str = TakenFor.BY_HAND,
) -> TakenPoint:
    """Takes a recovery point of a scope, with its progress in the log of the run; raises like `run_backup`."""
    return run_async(
        run_backup(
            environment,
            scope,
            full=config.full,
            types=config.types,
            taken_for=taken_for,
            origin=origin,
            progress=RunProgress(context, len(table_names(config.types or scope.types()))),
        )
    )


def backup_now_job(scope: Scope) -> dg.JobDefinition:
    """The job that takes a recovery point now."""

    @dg.op(name=backup_now_op_name(scope), pool=pool(scope))
    def take_recovery_point(
        context: dg.OpExecutionContext, config: BackupNow, tenants: TenantResource, storage: StorageResource
    ) -> None:
        with explained(context, storage.project_file, in_scope(scope.name)):
            origin = JobOrigin("dagster: backup now", context.run_id)
            taken = take_point(context, config, ResourceEnvironment(tenants, storage), scope, origin)
        manifest = taken.manifest
        context.instance.add_dynamic_partitions(partitions_name(scope.name), [manifest.recovery_point])
        context.instance.add_run_tags(context.run_id, rows_tag(manifest))
        for materialization in materializations(scope.name, manifest):
            context.log_event(materialization)
        report_checks(taken.store, manifest, context.instance)
        if scope.schedule is not None:
            report_check(freshness_result(tenants.project(), scope.name, taken.store), manifest, context.instance)

    @dg.job(
        name=backup_now_job_name(scope),
        executor_def=EXECUTOR,
        tags=run_tags(scope),
        description=f"Takes a recovery point of scope {scope.name} now. Needs no partition: it creates one.",
    )
    def backup_now() -> None:
        take_recovery_point()

    return backup_now
