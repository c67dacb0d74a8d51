"""The restore drill of a scope as an asset check of its recovery points: what would come back, by type."""

import dagster as dg

from entra_pipeline.operations.drill import run_drill
from entra_pipeline.operations.environment import JobOrigin
from entra_pipeline.orchestration.checks.drill import drill_result
from entra_pipeline.orchestration.errors import explained, in_scope
from entra_pipeline.orchestration.keys import DRILL_CHECK, RECOVERY_POINT, asset_key
from entra_pipeline.orchestration.progress import RunDrillProgress
from entra_pipeline.project import Scope
from entra_pipeline.runtime import run_async
from resources import ResourceEnvironment, StorageResource, TenantResource


def drill_checks(scope: Scope) -> list[dg.AssetChecksDefinition]:
    """The check, for a scope that asks for drills."""
    if scope.drill is None:
        return []

    @dg.asset_check(
        asset=asset_key(scope.name, RECOVERY_POINT),
        name=DRILL_CHECK,
        description="The newest recovery point is restored in an empty simulated tenant: at least 99 % of the "
        "properties and all links. Nothing is written to the real tenant.",
    )
    def drill(
        context: dg.AssetCheckExecutionContext, tenants: TenantResource, storage: StorageResource
    ) -> dg.AssetCheckResult:
        with explained(context, storage.project_file, in_scope(scope.name)):
            environment = ResourceEnvironment(tenants, storage)
            origin = JobOrigin("dagster: drill", context.run.run_id)
            result = run_async(run_drill(environment, scope, origin=origin, progress=RunDrillProgress(context)))
        return drill_result(result)

    return [drill]
