"""Reporting the checks of a recovery point where no step evaluates them, and reading what was last evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import dagster as dg

from entra_pipeline.orchestration.checks.recovery_points import check_results
from entra_pipeline.orchestration.keys import RECOVERY_POINT, asset_key
from entra_pipeline.orchestration.dagster_internals import AssetCheckEvaluationTargetMaterializationData
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.recovery_points import ScopeStore


def report_checks(store: ScopeStore, manifest: Manifest, instance: dg.DagsterInstance) -> None:
    """Report the checks of a point whose materialisation is not a step's: nobody else ties the results to it."""
    for result in check_results(store, manifest):
        report_check(result, manifest, instance, partition=manifest.recovery_point)


def report_check(
    result: dg.AssetCheckResult, manifest: Manifest, instance: dg.DagsterInstance, partition: str | None = None
) -> None:
    """Report one check as evaluated for the materialisation of a point; `partition` is given for partitioned checks."""
    key = asset_key(manifest.scope, RECOVERY_POINT)
    only = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[manifest.recovery_point])
    latest = instance.fetch_materializations(only, limit=1).records[0]
    target = AssetCheckEvaluationTargetMaterializationData(
        storage_id=latest.storage_id, run_id=latest.run_id, timestamp=latest.timestamp
    )
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=key,
            check_name=str(result.check_name),
            passed=result.passed,
            severity=result.severity,
            description=result.description,
            metadata=result.metadata,
            target_materialization_data=target,
            partition=partition,
        )
    )


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
