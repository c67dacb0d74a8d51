"""Dagster assets: for every scope one per object type, the recovery point that commits and checks them, its logs."""

from collections.abc import Sequence

import dagster as dg

from assets.logs import log_assets
from assets.recovery_points import recovery_point_asset
from assets.snapshots import snapshot_assets
from entra_pipeline.project import Scope


def scope_assets(scope: Scope) -> Sequence[dg.AssetsDefinition]:
    """The assets of a scope."""
    return [snapshot_assets(scope), recovery_point_asset(scope), *log_assets(scope)]


__all__ = ["scope_assets"]
