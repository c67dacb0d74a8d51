"""The recovery point of a scope: the commit gate. It exists, for everybody, once this asset is materialised."""

import dagster as dg

from entra_pipeline.operations.backup import commit_backup
from entra_pipeline.operations.environment import JobOrigin
from entra_pipeline.orchestration.checks.recovery_points import check_results, check_specs
from entra_pipeline.orchestration.errors import explained, in_scope
from entra_pipeline.orchestration.keys import RECOVERY_POINT, asset_key, group, object_types, partitions, pool, run_tags
from entra_pipeline.orchestration.metadata.recovery_points import point_metadata, rows_tag
from entra_pipeline.orchestration.partitions import EXISTED, EXISTED_TEXT, committed, partition_of
from entra_pipeline.orchestration.runs import begun, trigger
from entra_pipeline.project import Scope, load_project
from entra_pipeline.project.schedules import windows
from resources import StorageResource


def recovery_point_asset(scope: Scope) -> dg.AssetsDefinition:
    """The asset that verifies the parts of a point and writes its manifest."""

    @dg.asset(
        key=asset_key(scope.name, RECOVERY_POINT),
        deps=[asset_key(scope.name, name) for name in object_types(scope)],
        partitions_def=partitions(scope.name),
        group_name=group(scope.name),
        description=f"A recovery point of scope {scope.name}: verifies the snapshots and commits them, all or nothing.",
        kinds={"json"},
        op_tags=run_tags(scope),
        tags=run_tags(scope),
        pool=pool(scope),
        freshness_policy=freshness(scope),
        check_specs=check_specs(asset_key(scope.name, RECOVERY_POINT), partitions(scope.name)),
    )
    def recovery_point(context: dg.AssetExecutionContext, storage: StorageResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
        with explained(context, storage.project_file, in_scope(scope.name, tenant=False)):
            store = storage.open(scope.name)
            point = partition_of(context, scope)
            if existing := committed(store, point, context):
                return dg.MaterializeResult(
                    metadata={**point_metadata(existing), EXISTED: EXISTED_TEXT},
                    check_results=check_results(store, existing),
                )
            origin = JobOrigin(trigger(context.run), context.run.run_id, begun(context.instance, context.run))
            taken = commit_backup(load_project(storage.project_file), scope, store, point, origin=origin)
            context.instance.add_run_tags(context.run.run_id, rows_tag(taken.manifest))
            checks = check_results(store, taken.manifest)
        # Not with the result: Dagster would keep it twice, with the step's output as well.
        context.add_asset_metadata(point_metadata(taken.manifest))
        return dg.MaterializeResult(check_results=checks)

    return recovery_point


def freshness(scope: Scope) -> dg.FreshnessPolicy | None:
    """Fails when no point has come for one and a half times the longest pause of the schedule."""
    limits = windows(scope)
    return dg.FreshnessPolicy.time_window(fail_window=limits.fail, warn_window=limits.warn) if limits else None
