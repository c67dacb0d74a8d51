"""Names a scope's things in Dagster: keys of assets and checks, groups, jobs, partitions, pools, tags."""

from __future__ import annotations

import re
from typing import NamedTuple

import dagster as dg

from entra_pipeline.backup.run import protected_types
from entra_pipeline.project import Project, Scope
from entra_pipeline.run_queue import FLEET_TAG, LOGS_TAG, PARTITION_TAG, SCOPE_TAG, TENANT_TAG

RECOVERY_POINT = "recovery_point"
CATEGORY_TAG = "entra/category"
RETRY_TAG = "dagster/retry_on_asset_or_op_failure"
DRILL_CHECK = "drill"
FRESHNESS_CHECK = "fresh"
REPORTS_GROUP = "reports"
FIRST_DAY = "2026-01-01"
"""The first partition. It never moves: another one would be another set of partitions to Dagster."""
SCHEDULED_TAG = "dagster/schedule_name"
OPERATOR_TAG = "entra/operator"
OPERATOR_IDENTITY_TAG = "entra/operator-identity"
"""Who launched a run, where something that knows sets it."""
SOMEBODY = "somebody in Dagster"
"""Who it was when nobody knows."""
PLAN_TAG = "entra/plan"
"""The plan that a run of the job `restore` has made or carries out."""

DRY_RUN_TAG = "entra/dry-run"
"""`true` on a run of the job `restore` that only plans."""


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


def drill_key(scope: Scope) -> dg.AssetCheckKey:
    """Returns the key of the check that a restore drill of a scope evaluates."""
    return dg.AssetCheckKey(asset_key(scope.name, RECOVERY_POINT), DRILL_CHECK)


def freshness_key(scope: str) -> dg.AssetCheckKey:
    """Returns the key of the check whether the last good recovery point of a scope is fresh."""
    return dg.AssetCheckKey(asset_key(scope, RECOVERY_POINT), FRESHNESS_CHECK)


def report_key(name: str, project: str | None = None) -> dg.AssetKey:
    """Returns the asset key of a report: `reports/<report>`, behind the project's name when it has one."""
    return dg.AssetKey([*([project] if project else []), REPORTS_GROUP, identifier(name)])


def log_partitions() -> dg.DailyPartitionsDefinition:
    """A partition per day in UTC, the present one included."""
    return dg.DailyPartitionsDefinition(start_date=FIRST_DAY, end_offset=1)


def log_tags(scope: Scope) -> dict[str, str]:
    """Tags of runs and assets by which the queue reads the logs of a scope once at a time, beside its backups."""
    return {LOGS_TAG: scope.name, TENANT_TAG: scope.tenant}


def backup_job_name(scope: Scope) -> str:
    """The name of the job that a scope's schedule launches."""
    return f"backup_{identifier(scope.name)}"


def backup_now_job_name(scope: Scope) -> str:
    """The name of the job that takes a recovery point now."""
    return f"backup_now_{identifier(scope.name)}"


def backup_now_op_name(scope: Scope) -> str:
    """The name of its op, under which its configuration stands."""
    return f"take_recovery_point_{identifier(scope.name)}"


# --- The layout `fleet` ----------------------------------------------------------------------------------------------

FLEET = "fleet"
"""The group of the assets that all scopes share; the name of a fleet whose project has none."""
FLEET_POINTS, FLEET_LOGS, FLEET_STANDING = "recovery_points", "logs", "standing"
FLEET_JOB = "backup_fleet"
FLEET_DRILL_JOB = "drill_fleet"
DUE_SENSOR = "due_scopes"
AGAIN_TAG = "entra/again"
"""On a run that leaves something to do: why, as `entra_pipeline.operations.due_list.Why` has it."""
AGAIN_TYPES_TAG = "entra/again-types"
"""On such a run: the object types to read again."""
POINT_TAG = "entra/recovery-point"
"""On a run of the fleet: the recovery point that it has committed."""


class ShownPoint(NamedTuple):
    """Where Dagster shows a recovery point.

    Attributes:
        key: The asset.
        partition: Its partition: the point or, in the layout `fleet`, the scope.
    """

    key: dg.AssetKey
    partition: str


def shown_at(project: Project, scope: str, point: str) -> ShownPoint:
    """Returns where Dagster shows a recovery point of a scope, in the layout of a project."""
    if project.dagster.fleet:
        return ShownPoint(fleet_key(project, FLEET_POINTS), scope)
    return ShownPoint(asset_key(scope, RECOVERY_POINT), point)


def fleet_key(project: Project, name: str) -> dg.AssetKey:
    """Returns the key of an asset that all scopes share: `fleet/<name>`, behind the project's name when it has one."""
    return dg.AssetKey([*([project.name] if project.name else []), FLEET, name])


def fleet_op(project: Project) -> str:
    """Returns the name of the op that takes recovery points, under which its configuration stands."""
    return "__".join(fleet_key(project, FLEET_POINTS).path)


def fleet_partitions(project: Project) -> dg.DynamicPartitionsDefinition:
    """Returns the partitions of these assets: one for each scope."""
    return dg.DynamicPartitionsDefinition(name=f"{identifier(project.name or FLEET)}_scopes")


def fleet_tags(project: Project) -> dict[str, str]:
    """Returns the tags of these assets and of their runs."""
    return {FLEET_TAG: project.name or FLEET}


class BackupLaunch(NamedTuple):
    """How a backup of a scope is launched.

    Attributes:
        job: The job.
        op: The op under which its configuration stands.
        tags: Tags of the run.
        partitions: Name of the partitions among which the scope has to be first; empty where it has not.
    """

    job: str
    op: str
    tags: dict[str, str]
    partitions: str = ""


def backup_launch(project: Project, scope: Scope) -> BackupLaunch:
    """Returns how a recovery point of a scope is taken now, in the layout of a project."""
    if project.dagster.fleet:
        tags = {**run_tags(scope), PARTITION_TAG: scope.name}
        return BackupLaunch(FLEET_JOB, fleet_op(project), tags, str(fleet_partitions(project).name))
    return BackupLaunch(backup_now_job_name(scope), backup_now_op_name(scope), run_tags(scope))
