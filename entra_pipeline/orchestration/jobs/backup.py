"""The two ways to run a backup in Dagster.

`backup_<scope>` materialises the assets of one partition: what the schedule launches. `backup_now_<scope>` needs no
partition: it mints the key itself, takes the backup in one step and reports the materialisations under the new
partition.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg

from assets.drills import drill_key
from assets.freshness import freshness_result
from entra_pipeline.orchestration.partitions import EXISTED, explained
from entra_pipeline.orchestration.keys import (
    RECOVERY_POINT,
    asset_key,
    identifier,
    object_types,
    partitions_name,
    pool,
    run_tags,
)
from assets.recovery_points import point_metadata
from assets.snapshots import LogProgress, shown_tables, table_metadata
from entra_pipeline.analysis.unusual import watch
from entra_pipeline.backup.jobs import backup_job
from entra_pipeline.backup.run import backup, wanted_types
from entra_pipeline.orchestration.checks.reporting import report_check, report_checks
from entra_pipeline.orchestration.dagster_internals import ASSET_JOB
from entra_pipeline.project import Scope
from entra_pipeline.run_queue import SCOPE_TAG, retry_tags
from entra_pipeline.runtime import run_async
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.points.keys import moment_of
from resources import StorageResource, TenantResource

if TYPE_CHECKING:
    from entra_pipeline.orchestration.dagster_internals import UnresolvedAssetJobDefinition

# Definitions of all scopes are imported by every process: a process per step would be the slowest way to run.
EXECUTOR = dg.in_process_executor
# Runs of asset pages and backfills that are looked at, the newest: what matters of a run is the last hours.
_ASSET_RUNS = 200


def backup_job_name(scope: Scope) -> str:
    """The name of the job that a scope's schedule launches."""
    return f"backup_{identifier(scope.name)}"


def backup_now_job_name(scope: Scope) -> str:
    """The name of the job that takes a recovery point now."""
    return f"backup_now_{identifier(scope.name)}"


def backup_now_op_name(scope: Scope) -> str:
    """The name of its op, under which its configuration stands."""
    return f"take_recovery_point_{identifier(scope.name)}"


def newest_runs(instance: dg.DagsterInstance, scopes: Sequence[Scope]) -> Mapping[str, dg.RunRecord]:
    """Find the newest backup run of each scope that has one.

    A run counts when it belongs to one of the scope's two jobs, or when it was launched from an asset page or by an
    asset backfill, is tagged with the scope, and materialises its recovery point. Dagster is asked for one run per job,
    found by an index, and once for the asset runs of all scopes. Runs of other jobs are never read.
    """
    newest: dict[str, dg.RunRecord] = {}

    def consider(scope: str, record: dg.RunRecord) -> None:
        if scope not in newest or record.storage_id > newest[scope].storage_id:
            newest[scope] = record

    for scope in scopes:
        for job in (backup_job_name(scope), backup_now_job_name(scope)):
            for record in instance.get_run_records(dg.RunsFilter(job_name=job), limit=1):
                consider(scope.name, record)
    names = [scope.name for scope in scopes]
    asset_runs = dg.RunsFilter(job_name=ASSET_JOB, tags={SCOPE_TAG: names})
    for record in instance.get_run_records(asset_runs, limit=_ASSET_RUNS) if names else ():
        name = record.dagster_run.tags[SCOPE_TAG]
        if asset_key(name, RECOVERY_POINT) in (record.dagster_run.asset_selection or ()):
            consider(name, record)
    return newest


def newest_points(
    instance: dg.DagsterInstance, scopes: Sequence[Scope]
) -> Mapping[str, tuple[dg.AssetMaterialization, str | None, datetime]]:
    """Find the newest recovery point of each scope that Dagster was told of, in one query where none is shown again.

    Returns:
        By scope: the materialisation, the run that made it, and when it was told. A point that was materialised again
        counts from its own moment.
    """
    found: dict[str, tuple[dg.AssetMaterialization, str | None, datetime]] = {}
    names = {asset_key(scope.name, RECOVERY_POINT): scope.name for scope in scopes}
    for record in instance.get_asset_records(list(names)):
        key, entry = record.asset_entry.asset_key, record.asset_entry.last_materialization
        if entry is not None and entry.asset_materialization and EXISTED in entry.asset_materialization.metadata:
            newest = max(instance.get_materialized_partitions(key))
            only = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[newest])
            entry = instance.fetch_materializations(only, limit=1).records[0].event_log_entry
        point = entry.asset_materialization if entry else None
        if entry is not None and point is not None:
            told = datetime.fromtimestamp(entry.timestamp, UTC)
            if EXISTED in point.metadata and point.partition:
                told = moment_of(point.partition)
            found[names[key]] = (point, entry.run_id or None, told)
    return found


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


def backup_now_job(scope: Scope) -> dg.JobDefinition:
    """The job that takes a recovery point now."""

    @dg.op(name=backup_now_op_name(scope), pool=pool(scope))
    def take_recovery_point(
        context: dg.OpExecutionContext, config: BackupNow, tenants: TenantResource, storage: StorageResource
    ) -> None:
        with explained(context):
            store = storage.open(scope.name)
            types = wanted_types(scope, config.types)

            async def work() -> Manifest:
                with backup_job(store, trigger="dagster: backup now", run_id=context.run_id) as job:
                    async with tenants.open(scope.name) as graph:
                        job.manifest = await backup(
                            scope, store, graph, full=config.full, types=types, progress=LogProgress(context)
                        )
                    return job.manifest

            manifest = run_async(work())
            watch(tenants.project(), scope, store, manifest)
        context.instance.add_dynamic_partitions(partitions_name(scope.name), [manifest.recovery_point])
        for materialization in materializations(scope.name, manifest):
            context.log_event(materialization)
        report_checks(store, manifest, context.instance)
        if scope.schedule is not None:
            report_check(freshness_result(tenants.project(), scope.name, store), manifest, context.instance)

    @dg.job(
        name=backup_now_job_name(scope),
        executor_def=EXECUTOR,
        tags=run_tags(scope),
        description=f"Takes a recovery point of scope {scope.name} now. Needs no partition: it makes one.",
    )
    def backup_now() -> None:
        take_recovery_point()

    return backup_now


def materializations(scope: str, manifest: Manifest) -> list[dg.AssetMaterialization]:
    """What Dagster is told of a committed point: one materialisation per object type, and the point's own."""
    point = manifest.recovery_point
    tables = [
        dg.AssetMaterialization(asset_key(scope, name), partition=point, metadata=table_metadata(entries, name))
        for name, entries in shown_tables(manifest).items()
    ]
    whole = dg.AssetMaterialization(
        asset_key(scope, RECOVERY_POINT), partition=point, metadata=point_metadata(manifest)
    )
    return [*tables, whole]
