"""How a scope's things are called in Dagster: keys, groups, partitions, tags."""

from __future__ import annotations

import re

import dagster as dg

from entra_pipeline.backup.run import protected_types
from entra_pipeline.project import Scope

RECOVERY_POINT = "recovery_point"
SCOPE_TAG = "entra/scope"
TENANT_TAG = "entra/tenant"
RETRY_TAG = "dagster/retry_on_asset_or_op_failure"


def identifier(scope: str) -> str:
    """The scope's name as Dagster wants names of groups and jobs: letters, digits, underscores."""
    return re.sub(r"\W", "_", scope)


def asset_key(scope: str, table: str) -> dg.AssetKey:
    """The asset of an object type of a scope."""
    return dg.AssetKey([scope, table])


def object_types(scope: Scope) -> list[str]:
    """The object types that have an asset."""
    return protected_types(scope)


def partitions_name(scope: str) -> str:
    """The name of the scope's dynamic partitions definition."""
    return f"{identifier(scope)}_recovery_points"


def partitions(scope: str) -> dg.DynamicPartitionsDefinition:
    """One partition per recovery point; a definition per scope, so that scopes do not slow each other down."""
    return dg.DynamicPartitionsDefinition(name=partitions_name(scope))


def run_tags(scope: Scope) -> dict[str, str]:
    """Tags by which the queue runs one backup of a scope at a time (dagster.yaml)."""
    return {SCOPE_TAG: scope.name, TENANT_TAG: scope.tenant}
