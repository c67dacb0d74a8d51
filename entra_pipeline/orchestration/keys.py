"""How a scope's things are called in Dagster: keys, groups, partitions, tags."""

from __future__ import annotations

import re

import dagster as dg

from entra_pipeline.backup.run import protected_types
from entra_pipeline.project import Scope
from entra_pipeline.run_queue import SCOPE_TAG, TENANT_TAG

RECOVERY_POINT = "recovery_point"
CATEGORY_TAG = "entra/category"
RETRY_TAG = "dagster/retry_on_asset_or_op_failure"


def identifier(scope: str) -> str:
    """The scope's name as Dagster wants names of groups and jobs: letters, digits, underscores."""
    return re.sub(r"\W", "_", scope)


def asset_key(scope: str, table: str) -> dg.AssetKey:
    """The asset of an object type of a scope."""
    return dg.AssetKey([scope, table])


def group(scope: str, category: str = "") -> str:
    """The asset group of a scope, or the one within it that holds a category of its object types.

    Dagster takes slashes in names of groups for a hierarchy: its graph folds and unfolds them.
    """
    return "/".join([identifier(scope), *([category_tag(category)] if category else [])])


def category_tag(category: str) -> str:
    """A category as the value of a tag: `Conditional access` is `conditional_access`."""
    return identifier(category.lower())


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
    """Tags of runs, and of assets, by which the queue runs one backup of a scope at a time (dagster.yaml)."""
    return {SCOPE_TAG: scope.name, TENANT_TAG: scope.tenant}


def pool(scope: Scope) -> str:
    """The pool of a scope: a slot for whatever takes a recovery point of it, from wherever it was launched."""
    return f"backup_{identifier(scope.name)}"
