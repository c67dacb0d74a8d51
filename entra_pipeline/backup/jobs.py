"""Job records of backups: how a backup ended, and what it comes to in numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from entra_pipeline.clock import Clock, system_clock
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.running_jobs import recorded

STOPPED = "stopped before the end: no recovery point was made, and earlier ones are unchanged"
"""What the record of a backup says when somebody stopped it."""


@dataclass
class BackupJob:
    """A job under way; `manifest` is set when it has committed a recovery point."""

    id: str
    manifest: Manifest | None = None


@contextmanager
def backup_job(
    store: ScopeStore,
    *,
    trigger: str,
    run_id: str = "",
    started: datetime | None = None,
    clock: Clock = system_clock,
) -> Iterator[BackupJob]:
    """Keeps the record of a backup: written when the block ends, however it ends.

    Args:
        store: The scope's store.
        trigger: What started it: `command`, `schedule` …
        run_id: Id of the Dagster run that it is part of; empty outside of Dagster.
        started: When it began (UTC), where that was before the block; else now.
        clock: The one clock.
    """
    with recorded(store, "backup", trigger=trigger, run_id=run_id, started=started, clock=clock) as record:
        record.stopped = STOPPED
        job = BackupJob(record.id)
        try:
            yield job
        finally:
            record.status = job.manifest.status if job.manifest else "failed"
            record.details = totals(job.manifest) if job.manifest else {"recovery_point": ""}


def totals(manifest: Manifest) -> dict[str, Any]:
    """A recovery point in numbers: rows stored and changed, bytes, requests, gaps."""
    entries = list(manifest.tables.values())
    own = [part for entry in entries for part in entry.parts if part.recovery_point == manifest.recovery_point]
    return {
        "recovery_point": manifest.recovery_point,
        "kind": manifest.kind,
        "objects": sum(entry.live for entry in entries if entry.kind == "objects"),
        "edges": sum(entry.live for entry in entries if entry.kind == "edges"),
        "baseline": sum(entry.baseline for entry in entries),
        "added": sum(entry.added for entry in entries),
        "changed": sum(entry.changed for entry in entries),
        "deleted": sum(entry.deleted for entry in entries),
        "rows_written": sum(part.rows for part in own),
        "bytes_written": sum(part.bytes for part in own),
        "requests": sum(entry.requests for entry in entries),
        "resource_units": sum(entry.resource_units for entry in entries),
        "retries": sum(entry.retries for entry in entries),
        "throttled": sum(entry.throttled for entry in entries),
        "gaps": sum(len(entry.gaps) for entry in entries),
    }
