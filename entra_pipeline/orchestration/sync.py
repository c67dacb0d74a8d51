"""Dagster in line with the store. The store is the truth: what Dagster has lost, or never saw, is told it again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import dagster as dg

from entra_pipeline.catalogue.logs import LOGS
from entra_pipeline.orchestration.checks.reporting import report_checks
from entra_pipeline.orchestration.dagster_internals import AssetPartitionStatus
from entra_pipeline.orchestration.keys import (
    FLEET_POINTS,
    RECOVERY_POINT,
    asset_key,
    fleet_key,
    fleet_partitions,
    partitions,
    partitions_name,
)
from entra_pipeline.orchestration.metadata.fleet import fleet_materialization
from entra_pipeline.orchestration.metadata.logs import materialization
from entra_pipeline.orchestration.metadata.recovery_points import materializations, own_tables
from entra_pipeline.project import Project
from entra_pipeline.store.recovery_points import ScopeStore


@dataclass(frozen=True, slots=True)
class Synced:
    """What was done for a scope: partitions added and removed, points and days of logs reported."""

    scope: str
    points: int
    added: int
    removed: int
    reported: int
    days: int


def sync_scope(store: ScopeStore, instance: dg.DagsterInstance) -> Synced:
    """Adds a partition for every recovery point, and removes those of points that are gone.

    Materialisations are reported with their checks, and those of the days of logs. So are points that exist and that
    Dagster shows as failed. Doing it again does nothing.
    """
    name = partitions_name(store.scope)
    points = store.points()
    there = set(instance.get_dynamic_partitions(name))
    staged = store.staging.points()
    added = [point for point in points if point not in there]
    # A partition whose run is still under way has no point yet, and is none of our business.
    removed = sorted(there - set(points) - staged)
    instance.add_dynamic_partitions(name, added)
    for point in removed:
        instance.delete_dynamic_partition(name, point)
    told = instance.get_materialized_partitions(asset_key(store.scope, RECOVERY_POINT))
    failed = _failed(store.scope, points, instance)
    reported = [point for point in points if point not in told or point in failed]
    # What is told last is the newest to Dagster.
    for point in reported + (points[-1:] if reported and points[-1] not in reported else []):
        _report(store, point, instance)
    return Synced(store.scope, len(points), len(added), len(removed), len(reported), _sync_logs(store, instance))


def sync_fleet_scope(project: Project, store: ScopeStore, instance: dg.DagsterInstance) -> Synced:
    """Adds the partition of a scope in the layout `fleet`, and tells of its newest point where another one is told.

    Days of logs have no partitions there. Doing it again does nothing.
    """
    partitions, key = fleet_partitions(project), fleet_key(project, FLEET_POINTS)
    name = str(partitions.name)
    added = not instance.has_dynamic_partition(name, store.scope)
    instance.add_dynamic_partitions(name, [store.scope])
    points = store.points()
    reported = 0
    if points:
        only = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[store.scope])
        told = instance.fetch_materializations(only, limit=1).records
        event = told[0].asset_materialization if told else None
        shown = event.metadata.get("recovery_point") if event else None
        if shown is None or shown.value != points[-1]:
            instance.report_runless_asset_event(fleet_materialization(project, store.manifest(points[-1])))
            reported = 1
    return Synced(store.scope, len(points), int(added), 0, reported, 0)


@contextmanager
def report_new_points(project: Project, store: ScopeStore, instance: dg.DagsterInstance) -> Iterator[None]:
    """Tells Dagster of the recovery points that the block takes as part of other work, also when it fails.

    What an op tells of itself is lost when the op fails; the points are there nevertheless.
    """
    before = set(store.points())
    try:
        yield
    finally:
        taken = [point for point in store.points() if point not in before]
        if taken and project.dagster.fleet:
            sync_fleet_scope(project, store, instance)
        elif taken:
            told = instance.get_materialized_partitions(asset_key(store.scope, RECOVERY_POINT))
            untold = [point for point in taken if point not in told]
            instance.add_dynamic_partitions(partitions_name(store.scope), untold)
            for point in untold:
                _report(store, point, instance)


def _failed(scope: str, points: Sequence[str], instance: dg.DagsterInstance) -> set[str]:
    """Returns the points that exist and that Dagster shows as failed in one of their assets."""
    keys = [asset_key(scope, name) for name in (*own_tables(), RECOVERY_POINT)]
    known = [record.asset_entry.asset_key for record in instance.get_asset_records(keys)]
    found: set[str] = set()
    for key in known:
        statuses = instance.get_status_by_partition(key, points, partitions(scope)) or {}
        found |= {point for point, status in statuses.items() if status is AssetPartitionStatus.FAILED}
    return found


def _report(store: ScopeStore, point: str, instance: dg.DagsterInstance) -> None:
    """Reports the materialisations of a point, and its checks."""
    manifest = store.manifest(point)
    for event in materializations(store.scope, manifest):
        instance.report_runless_asset_event(event)
    report_checks(store, manifest, instance)


def _sync_logs(store: ScopeStore, instance: dg.DagsterInstance) -> int:
    """Reports the days that the store holds of logs and Dagster does not know; returns how many."""
    logs = store.logs
    reported = 0
    for log in LOGS:
        told = instance.get_materialized_partitions(asset_key(store.scope, log))
        missing = [day for day in logs.days(log) if day.isoformat() not in told]
        for day in logs.held(log, missing).values():
            instance.report_runless_asset_event(materialization(store.scope, day))
        reported += len(missing)
    return reported
