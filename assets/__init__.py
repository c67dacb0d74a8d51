"""Dagster assets: for every scope one asset per object type, the recovery point that commits them, and its checks."""

from collections.abc import Sequence

import dagster as dg

from assets.checks import scope_checks
from assets.recovery_points import recovery_point_asset
from assets.snapshots import snapshot_assets
from entra_pipeline.project import Scope


def scope_assets(scope: Scope) -> tuple[Sequence[dg.AssetsDefinition], Sequence[dg.AssetChecksDefinition]]:
    """The assets and the asset checks of a scope."""
    return [snapshot_assets(scope), recovery_point_asset(scope)], scope_checks(scope)


__all__ = ["scope_assets"]
