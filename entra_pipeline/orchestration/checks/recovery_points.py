"""Asset checks of a recovery point, evaluated when it is committed: is it complete, and does the chain hold."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import dagster as dg

from entra_pipeline.analysis.manifest_rows import proof
from entra_pipeline.analysis.unusual import verdict_of
from entra_pipeline.orchestration.metadata.recovery_points import finding_table, proof_metadata
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.verify import verify

UNUSUAL = "unusual"
"""The check for unusual change."""


def check_specs(key: dg.AssetKey, partitions: dg.DynamicPartitionsDefinition) -> Sequence[dg.AssetCheckSpec]:
    """The checks of recovery points.

    Args:
        key: The asset that shows them.
        partitions: Its partitions.
    """
    told = {
        "complete": "The point holds all that the scope protects, and all checks of the backup passed.",
        "chained": "The manifest and its place in the chain are unchanged.",
        UNUSUAL: "No unusual change since the previous point.",
    }
    with warnings.catch_warnings():
        # Dagster calls partitions of checks a preview; pyproject.toml pins the minor version.
        warnings.filterwarnings("ignore", message="Specifying a partitions_def on an AssetCheckSpec")
        return [
            dg.AssetCheckSpec(name, asset=key, description=text, partitions_def=partitions)
            for name, text in told.items()
        ]


def check_results(store: ScopeStore, manifest: Manifest, *, tables: bool = True) -> Sequence[dg.AssetCheckResult]:
    """The results of the checks for a committed point.

    `complete` shows the proof that the manifest keeps. Checksums of the files are not computed again: the commit has
    just done that. `entra-pipeline verify` does it for all.

    Args:
        store: The scope's store.
        manifest: The point.
        tables: Whether `complete` shows every table, which is most of what Dagster keeps of it.
    """
    entries = manifest.tables.values()
    proven = sum(proof(entry)["proven"] for entry in entries)
    gaps = sum(len(entry.gaps) for entry in entries)
    unread = len(entries) - proven - sum(bool(entry.gaps) for entry in entries)
    # The first finding of a point is about its manifest; the files come after it, and are not asked for.
    chain = next(verify(store, [manifest.recovery_point]))
    return [
        dg.AssetCheckResult(
            check_name="complete",
            passed=not gaps,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{proven} of {len(entries)} tables proven, {gaps or 'no'} gap{'' if gaps == 1 else 's'}"
            + (f", {unread} not read" if unread else ""),
            metadata={
                "proven": proven,
                "tables": len(entries),
                "gaps": gaps,
                **(proof_metadata(manifest) if tables else {}),
            },
        ),
        dg.AssetCheckResult(
            check_name="chained",
            passed=chain.ok,
            severity=dg.AssetCheckSeverity.ERROR,
            description=chain.problem or "the chain holds",
        ),
        _unusual(store, manifest),
    ]


def _unusual(store: ScopeStore, manifest: Manifest) -> dg.AssetCheckResult:
    """What the rules for unusual change found when the point was committed."""
    verdict = verdict_of(store, manifest.recovery_point)
    findings, problems = (verdict.findings, verdict.problems) if verdict else ([], [])
    found = ", ".join(f"{one.title} ({one.total})" for one in findings)
    held = f"; {verdict.parent} is on hold" if verdict and verdict.held else ""
    return dg.AssetCheckResult(
        check_name=UNUSUAL,
        passed=verdict is None,
        severity=dg.AssetCheckSeverity.ERROR if findings else dg.AssetCheckSeverity.WARN,
        description=f"{found}{held}" if findings else "; ".join(problems) or "nothing unusual",
        metadata={
            **{one.rule: finding_table(one) for one in findings},
            **({"not_evaluated": dg.MetadataValue.text("\n".join(problems))} if problems else {}),
        },
    )
