"""Asset checks of a recovery point: is it complete, and is the chain of manifests intact."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from assets.names import RECOVERY_POINT, SCOPE_TAG, asset_key, partitions
from entra_pipeline.project import Scope
from entra_pipeline.store.verify import verify
from resources import StorageResource


def scope_checks(scope: Scope) -> Sequence[dg.AssetChecksDefinition]:
    """The checks of a scope's recovery points."""
    key = asset_key(scope.name, RECOVERY_POINT)

    @dg.asset_check(
        asset=key,
        name="complete",
        description="The point holds everything that the scope protects, and has proven it.",
        partitions_def=partitions(scope.name),
        op_tags={SCOPE_TAG: scope.name},
    )
    def complete(context: dg.AssetCheckExecutionContext, storage: StorageResource) -> dg.AssetCheckResult:
        manifest = storage.open(scope.name).manifest(context.partition_key)
        gaps = [f"{table}: {gap.what}: {gap.reason}" for table, e in manifest.tables.items() for gap in e.gaps]
        return dg.AssetCheckResult(
            passed=not gaps,
            severity=dg.AssetCheckSeverity.WARN,
            description="nothing is missing" if not gaps else f"{len(gaps)} gaps",
            metadata={"gaps": dg.MetadataValue.md("\n".join(f"- {gap}" for gap in gaps) or "none")},
        )

    @dg.asset_check(
        asset=key,
        name="intact",
        description="Every file of the point has the checksum, the rows and the place in the chain that were written.",
        partitions_def=partitions(scope.name),
        op_tags={SCOPE_TAG: scope.name},
    )
    def intact(context: dg.AssetCheckExecutionContext, storage: StorageResource) -> dg.AssetCheckResult:
        findings = list(verify(storage.open(scope.name), [context.partition_key]))
        problems = [f"{finding.table or 'manifest'}: {finding.problem}" for finding in findings if not finding.ok]
        return dg.AssetCheckResult(
            passed=not problems,
            severity=dg.AssetCheckSeverity.ERROR,
            description=f"{len(findings)} checks" if not problems else f"{len(problems)} problems",
            metadata={"problems": dg.MetadataValue.md("\n".join(f"- {one}" for one in problems) or "none")},
        )

    return [complete, intact]
