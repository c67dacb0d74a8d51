"""The assets of the layout `fleet`: one for the recovery points of all scopes, one for their logs, one for their state.

A partition is a scope: its newest materialisation is its newest point, and Dagster shows at a glance which scopes
failed. So the number of assets, jobs and sensors stays the same whatever the number of scopes, and a scope that is new
in the configuration needs no reload. What is lost against the layout `scopes` is an asset for each object type.
"""

from collections.abc import Sequence

import dagster as dg

from entra_pipeline.clock import system_clock
from entra_pipeline.errors import UsageError
from entra_pipeline.operations.due_list import Why
from entra_pipeline.operations.environment import JobOrigin
from entra_pipeline.operations.logs import run_log_read
from entra_pipeline.operations.sign_ins import ADVICE
from entra_pipeline.orchestration.checks.recovery_points import check_results, check_specs
from entra_pipeline.orchestration.errors import explained, in_scope
from entra_pipeline.orchestration.jobs.backup import BackupNow, take_point
from entra_pipeline.orchestration.keys import (
    AGAIN_TAG,
    AGAIN_TYPES_TAG,
    FLEET,
    FLEET_LOGS,
    FLEET_POINTS,
    FLEET_STANDING,
    FRESHNESS_CHECK,
    POINT_TAG,
    fleet_key,
    fleet_partitions,
    fleet_tags,
)
from entra_pipeline.orchestration.metadata.fleet import fleet_log_metadata, fleet_point_metadata, standing_metadata
from entra_pipeline.orchestration.metadata.recovery_points import rows_tag
from entra_pipeline.orchestration.progress import RunLogsProgress
from entra_pipeline.orchestration.runs import begun, taken_for, trigger
from entra_pipeline.orchestration.sensors.repair import REPAIRS_TAG, missing_types
from entra_pipeline.project import Project, load_project
from entra_pipeline.project.secrets import Needs, needs_of_all_storages
from entra_pipeline.reports.fleet import fleet_status
from entra_pipeline.runtime import run_async
from entra_pipeline.text import pluralize
from resources import ResourceEnvironment, StorageResource, TenantResource


def fleet_assets(project: Project) -> Sequence[dg.AssetsDefinition]:
    """Returns the assets that all scopes of a project share."""
    return [_points(project), _logs(project), _standing(project)]


def _points(project: Project) -> dg.AssetsDefinition:
    key, partitions = fleet_key(project, FLEET_POINTS), fleet_partitions(project)

    @dg.asset(
        key=key,
        partitions_def=partitions,
        group_name=FLEET,
        tags=fleet_tags(project),
        kinds={"parquet"},
        check_specs=check_specs(key, partitions),
        description="The recovery points of all scopes: a partition is a scope, and to materialise it takes a recovery "
        "point of it now.",
    )
    def recovery_points(
        context: dg.AssetExecutionContext, config: BackupNow, tenants: TenantResource, storage: StorageResource
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        name = _scope_of(context, storage)
        with explained(context, storage.project_file, in_scope(name)):
            scope = load_project(storage.project_file).scope(name)
            origin = JobOrigin(trigger(context.run), context.run.run_id, begun(context.instance, context.run))
            environment = ResourceEnvironment(tenants, storage)
            taken = take_point(context, config, environment, scope, origin, taken_for(context))
            manifest = taken.manifest
            tags = {POINT_TAG: manifest.recovery_point, **rows_tag(manifest)}
            if types := missing_types(scope, manifest):
                tags |= {AGAIN_TAG: Why.REPAIR.value, AGAIN_TYPES_TAG: ",".join(types)}
            elif taken.unusual.findings and REPAIRS_TAG not in context.run.tags:
                tags[AGAIN_TAG] = Why.UNUSUAL.value
            context.instance.add_run_tags(context.run.run_id, tags)
            checks = check_results(taken.store, manifest, tables=False)
        # Not with the result: Dagster would keep it twice, with the step's output as well.
        context.add_asset_metadata(fleet_point_metadata(manifest))
        return dg.MaterializeResult(check_results=checks)

    return recovery_points


def _logs(project: Project) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name="__".join(fleet_key(project, FLEET_LOGS).path),
        specs=[
            dg.AssetSpec(
                fleet_key(project, FLEET_LOGS),
                deps=[fleet_key(project, FLEET_POINTS)],
                # A scope may protect none.
                skippable=True,
                group_name=FLEET,
                tags=fleet_tags(project),
                kinds={"parquet"},
                description="The logs of all scopes that protect some: a partition is a scope, and to materialise it "
                "reads the days that are due.",
            )
        ],
        partitions_def=fleet_partitions(project),
    )
    # Without a return annotation: Dagster takes one on outputs for a tuple of them.
    def logs(  # type: ignore[no-untyped-def]
        context: dg.AssetExecutionContext, tenants: TenantResource, storage: StorageResource
    ):
        name = _scope_of(context, storage)
        with explained(context, storage.project_file, in_scope(name)):
            scope = load_project(storage.project_file).scope(name)
            if not scope.log_types():
                return
            found, sign_ins = run_async(
                run_log_read(
                    ResourceEnvironment(tenants, storage),
                    scope,
                    types=scope.log_types(),
                    origin=JobOrigin(trigger(context.run), context.run.run_id),
                    progress=RunLogsProgress(context),
                )
            )
        if sign_ins and sign_ins.problem:
            context.log.warning(f"not every sign-in of our app registrations can be checked: {sign_ins.problem}")
        for one in sign_ins.unexplained if sign_ins else ():
            context.log.error(f"unexplained sign-in of {one.app} at {one.moment} from {one.address}. {ADVICE}")
        yield dg.MaterializeResult(metadata=fleet_log_metadata(found))

    return logs


def _standing(project: Project) -> dg.AssetsDefinition:
    key = fleet_key(project, FLEET_STANDING)

    @dg.asset(
        key=key,
        group_name=FLEET,
        kinds={"table"},
        check_specs=[
            dg.AssetCheckSpec(
                FRESHNESS_CHECK,
                asset=key,
                description="The last recovery point of every scope that is finished without exception is no older "
                "than 1.1 times the longest pause of its schedule.",
            )
        ],
        description="How all scopes stand against their schedules: those that need attention, the worst first.",
    )
    def standing(context: dg.AssetExecutionContext, storage: StorageResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
        with explained(context, storage.project_file, needs_of_all_storages):
            now = load_project(storage.project_file)
            found = fleet_status(now, now.scopes, system_clock())
        bad = [one for one in found if not one.good]
        return dg.MaterializeResult(
            metadata=standing_metadata(found),
            check_results=[
                dg.AssetCheckResult(
                    check_name=FRESHNESS_CHECK,
                    passed=not bad,
                    severity=dg.AssetCheckSeverity.ERROR,
                    description=f"{len(bad):,} of {pluralize(len(found), 'scope')} "
                    f"{'needs' if len(bad) == 1 else 'need'} attention",
                )
            ],
        )

    return standing


def _scope_of(context: dg.AssetExecutionContext, storage: StorageResource) -> str:
    """Returns the scope that a run is for."""
    with explained(context, storage.project_file, lambda _: Needs()):
        if not context.has_partition_key:
            raise UsageError(
                "the run is for no scope, or for several: it has to be for one",
                remedy="Choose a scope (a partition); a backfill over several scopes launches a run for each.",
            )
    return str(context.partition_key)
