"""Pruning a scope by its retention."""

from __future__ import annotations

from entra_pipeline.operations.environment import JobOrigin
from entra_pipeline.project import Scope
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.retention.prune import PruneResult, prune, prune_job


def prune_scope(store: ScopeStore, scope: Scope, *, by: str, dry_run: bool = False, origin: JobOrigin) -> PruneResult:
    """Forgets what is past its time in a scope, and deletes the files that nothing needs any more.

    Args:
        store: The scope's store, open; a dry run only reads it.
        scope: The scope, with its retention.
        by: Who or what asks for it.
        dry_run: Find out what would go; change nothing and keep no record.
        origin: What started it.

    Raises:
        ScopeBusy: A backup of the scope is running.
        StoreError: The store cannot be read or written.
    """
    if dry_run:
        return prune(store, scope.retention, by=by, dry_run=True)
    return prune_job(store, scope.retention, by=by, trigger=origin.trigger, run_id=origin.run_id)
