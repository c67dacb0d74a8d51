"""Reporting the checks of a recovery point where no step evaluates them, and reading what was last evaluated."""

from __future__ import annotations

import dagster as dg

from entra_pipeline.orchestration.checks.recovery_points import check_results
from entra_pipeline.orchestration.dagster_internals import AssetCheckEvaluationTargetMaterializationData
from entra_pipeline.orchestration.keys import RECOVERY_POINT, asset_key
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
