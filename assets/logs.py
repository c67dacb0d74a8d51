"""The logs of a scope: one multi-asset, a spec per log, a partition per day.

Unlike a snapshot, a day that is over can be read as long as Entra keeps it: these partitions can be backfilled. A run
reads all of its days with few requests, whatever their number, and tells each day by a materialisation of its own.
"""

from collections.abc import Sequence
from datetime import date

import dagster as dg

from entra_pipeline.catalogue.columns import column_types
from entra_pipeline.catalogue.logs import CATEGORY, LOGS
from entra_pipeline.errors import UsageError
from entra_pipeline.operations.environment import JobOrigin
from entra_pipeline.operations.logs import run_log_read
from entra_pipeline.operations.sign_ins import ADVICE
from entra_pipeline.orchestration.errors import explained, in_scope
from entra_pipeline.orchestration.keys import (
    CATEGORY_TAG,
    SCHEDULED_TAG,
    asset_key,
    category_tag,
    group,
    identifier,
    log_partitions,
    log_tags,
)
from entra_pipeline.orchestration.metadata.logs import materialization
from entra_pipeline.orchestration.progress import RunLogsProgress
from entra_pipeline.orchestration.runs import begun, trigger
from entra_pipeline.project import Scope
from entra_pipeline.runtime import run_async
from resources import ResourceEnvironment, StorageResource, TenantResource


def log_assets(scope: Scope) -> Sequence[dg.AssetsDefinition]:
    """The multi-asset of a scope's logs; nothing when it protects none."""
    names = scope.log_types()
    if not names:
        return []

    @dg.multi_asset(
        # Apart from the job's name: Dagster holds both in one space, and loads no location in which they are the same.
        name=f"read_logs_{identifier(scope.name)}",
        specs=[_spec(scope, name) for name in names],
        partitions_def=log_partitions(),
        can_subset=True,
        backfill_policy=dg.BackfillPolicy.single_run(),
        op_tags=log_tags(scope),
    )
    # Without a return annotation: Dagster takes one on many outputs for a tuple of them.
    def logs(  # type: ignore[no-untyped-def]
        context: dg.AssetExecutionContext, tenants: TenantResource, storage: StorageResource
    ):
        wanted = [name for name in names if asset_key(scope.name, name) in context.selected_asset_keys]
        with explained(context, storage.project_file, in_scope(scope.name)):
            days = _days(context)
            work = run_log_read(
                ResourceEnvironment(tenants, storage),
                scope,
                types=wanted,
                days=days,
                # What somebody asks for is read whatever is stored of it; a schedule asks for what is due.
                whole=SCHEDULED_TAG not in context.run.tags,
                # A run that fails leaves its record when it is tried no more.
                retried=True,
                origin=JobOrigin(
                    trigger(context.run), context.run.run_id, started=begun(context.instance, context.run)
                ),
                progress=RunLogsProgress(context),
            )
            found, sign_ins = run_async(work)
        if sign_ins and sign_ins.problem:
            context.log.warning(f"not every sign-in of our app registrations can be checked: {sign_ins.problem}")
        for one in sign_ins.unexplained if sign_ins else ():
            context.log.error(f"unexplained sign-in of {one.app} at {one.moment} from {one.address}. {ADVICE}")
        for day in found:
            yield materialization(scope.name, day)

    return [logs]


def _days(context: dg.AssetExecutionContext) -> Sequence[date]:
    """The days that a run is for; raises UsageError when it is for none."""
    if not (context.has_partition_key or context.has_partition_key_range):
        raise UsageError("the run is for no day", remedy="Choose the days (partitions) whose logs are to be read.")
    return [date.fromisoformat(key) for key in context.partition_keys]


def _spec(scope: Scope, name: str) -> dg.AssetSpec:
    entry = LOGS[name]
    columns = {"id": "VARCHAR", **column_types(entry), "_raw": "JSON"}
    schema = dg.TableSchema(columns=[dg.TableColumn(column, kind) for column, kind in columns.items()])
    return dg.AssetSpec(
        asset_key(scope.name, name),
        # The days that were read are told one by one.
        skippable=True,
        group_name=group(scope.name, CATEGORY),
        description=f"{entry.title}s, from `/{entry.path}` of Microsoft Graph, by the day in UTC.",
        tags={CATEGORY_TAG: category_tag(CATEGORY), **log_tags(scope)},
        kinds={"parquet"},
        metadata={"dagster/column_schema": schema, "permissions": entry.permission, "category": CATEGORY},
    )
