"""Job records: what was tried, by whom it was started, and how it ended, also when nothing was committed."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from entra_pipeline.clock import Clock, iso, system_clock
from entra_pipeline.errors import EntraPipelineError, StoreError
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.recovery_points import ScopeStore


@dataclass
class Job:
    """A job under way; `manifest` is set when it has committed a recovery point."""

    id: str
    manifest: Manifest | None = None


@contextmanager
def backup_job(store: ScopeStore, *, trigger: str, clock: Clock = system_clock) -> Iterator[Job]:
    """Keeps the record of a backup: written when the block ends, however it ends.

    Args:
        store: The scope's store.
        trigger: What started it: `command`, `schedule` …
        clock: The one clock.
    """
    started = clock()
    job = Job(f"{started:%Y-%m-%dT%H-%M-%SZ}-{secrets.token_hex(3)}")
    error = "interrupted"
    try:
        yield job
        error = ""
    except EntraPipelineError as failure:
        error = failure.message
        raise
    except Exception as failure:
        error = f"{type(failure).__name__}"
        raise
    finally:
        record: dict[str, object] = {
            "id": job.id,
            "type": "backup",
            "scope": store.scope,
            "trigger": trigger,
            "status": job.manifest.status if job.manifest and not error else "failed",
            "started": iso(started),
            "finished": iso(clock()),
            "error": error,
            **(totals(job.manifest) if job.manifest else {"recovery_point": ""}),
        }
        # The record is not worth the backup: a storage that fails now has said so already, or will the next time.
        with suppress(StoreError):
            store.write_job(record)


def totals(manifest: Manifest) -> dict[str, Any]:
    """A recovery point in numbers: rows stored and changed, bytes, requests, gaps."""
    entries = list(manifest.tables.values())
    own = [part for entry in entries for part in entry.parts if part.recovery_point == manifest.recovery_point]
    return {
        "recovery_point": manifest.recovery_point,
        "kind": manifest.kind,
        "objects": sum(entry.live for entry in entries if entry.kind == "objects"),
        "edges": sum(entry.live for entry in entries if entry.kind == "edges"),
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
