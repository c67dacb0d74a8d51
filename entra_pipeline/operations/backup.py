"""Taking a recovery point: read and commit in one go, or commit what earlier steps have read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from entra_pipeline.analysis.unusual import UnusualVerdict, watch
from entra_pipeline.backup.jobs import backup_job
from entra_pipeline.backup.manifest_builder import commit_staged, staged_since
from entra_pipeline.backup.run import BackupProgress, wanted_types
from entra_pipeline.backup.run import backup as take_backup
from entra_pipeline.operations.environment import Environment, JobOrigin
from entra_pipeline.project import Project, Scope
from entra_pipeline.store.manifest import Manifest, TakenFor
from entra_pipeline.store.recovery_points import ScopeStore


@dataclass(frozen=True, slots=True)
class TakenPoint:
    """A recovery point that was just committed.

    Attributes:
        store: The scope's store.
        manifest: The recovery point.
        unusual: What changed in it that is unusual.
    """

    store: ScopeStore
    manifest: Manifest
    unusual: UnusualVerdict


async def run_backup(
    environment: Environment,
    scope: Scope,
    *,
    full: bool = False,
    types: Sequence[str] = (),
    taken_for: str = TakenFor.BY_HAND,
    origin: JobOrigin,
    progress: BackupProgress | None = None,
) -> TakenPoint:
    """Takes a recovery point of a scope and keeps the record of the job.

    Args:
        environment: Opens the scope's store and tenant.
        scope: What to back up.
        full: Read everything, also what delta could tell.
        types: Only these object types; the others stay as they were. Empty = all.
        taken_for: What the recovery point is taken for.
        origin: What started it.
        progress: Receives what happens.

    Raises:
        UsageError: The scope does not protect one of the types.
        ScopeBusy: Another backup of the scope is running.
        ConfigurationError, GraphError, StoreError: Nothing was committed.
    """
    wanted = wanted_types(scope, types)
    store = environment.open_store(scope)
    with backup_job(store, trigger=origin.trigger, run_id=origin.run_id, started=origin.started) as job:
        async with environment.open_tenant(scope, job="backup") as graph:
            job.manifest = await take_backup(
                scope, store, graph, full=full, types=wanted, taken_for=taken_for, progress=progress
            )
        manifest = job.manifest
    return TakenPoint(store, manifest, watch(environment.project, scope, store, manifest))


def commit_backup(project: Project, scope: Scope, store: ScopeStore, point: str, *, origin: JobOrigin) -> TakenPoint:
    """Commits the recovery point whose types were read by steps, runs or tries before.

    The record of the job begins with the first of these reads, if that was before `origin.started`.

    Args:
        project: The project, whose rules say what is unusual.
        scope: What is backed up.
        store: The scope's store, open.
        point: Key of the recovery point.
        origin: What started it.

    Raises:
        StoreError: Nothing was committed.
    """
    started = min(filter(None, (origin.started, staged_since(store, point))), default=None)
    with backup_job(store, trigger=origin.trigger, run_id=origin.run_id, started=started) as job:
        manifest = job.manifest = commit_staged(scope, store, point)
    return TakenPoint(store, manifest, watch(project, scope, store, manifest))
