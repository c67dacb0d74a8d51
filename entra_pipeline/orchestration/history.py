"""Asks Dagster for the newest run, recovery point and evaluation of many scopes, each in few queries."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import dagster as dg

from entra_pipeline.orchestration.dagster_internals import ASSET_JOB
from entra_pipeline.orchestration.keys import RECOVERY_POINT, asset_key, backup_job_name, backup_now_job_name
from entra_pipeline.orchestration.partitions import EXISTED
from entra_pipeline.project import Scope
from entra_pipeline.run_queue import SCOPE_TAG
from entra_pipeline.store.points.keys import moment_of

# Runs of asset pages and backfills that are looked at, the newest: what matters of a run is the last hours.
_ASSET_RUNS = 200


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


def last_evaluations(
    instance: dg.DagsterInstance, keys: Sequence[dg.AssetCheckKey]
) -> Mapping[dg.AssetCheckKey, tuple[dg.AssetCheckEvaluation, float]]:
    """Read the last evaluation of each check with the POSIX time at which its row was made, in one query.

    A check whose last row is no evaluation is left out: one that is planned or under way, or whose run ended before it.
    """
    found = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(keys))
    return {
        key: (record.evaluation, record.create_timestamp)
        for key, record in found.items()
        # Dagster types it as an evaluation, whichever event the row holds.
        if isinstance(record.evaluation, dg.AssetCheckEvaluation)
    }
