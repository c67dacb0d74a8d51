"""Jobs: each leaves a record of how it ended, and an event for notifications.

What belongs here: when a record is made, and what is in every one. What does not: what a type of job adds
(`backup.jobs`, `restore.records.jobs`, `retention.prune`), and how records are kept (`job_records`).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from entra_pipeline.clock import Clock, iso, system_clock
from entra_pipeline.errors import EntraPipelineError, StoreError
from entra_pipeline.store.events import announce
from entra_pipeline.store.job_records import CANCELLED, JobRecord
from entra_pipeline.store.recovery_points import ScopeStore


@dataclass
class RunningJob:
    """A job under way.

    Attributes:
        id: Its id.
        status: How it ends when nothing is raised.
        details: What its record tells besides; `started` takes the place of the moment at which the block began.
        stopped: What its record says was done when somebody stops it.
        kept: Whether its record is kept: False for what turns out to be no job of its own.
    """

    id: str
    status: str = "failed"
    details: dict[str, Any] = field(default_factory=dict)
    kept: bool = True
    stopped: str = "stopped"


def new_job_id(clock: Clock = system_clock) -> str:
    """Makes an id for a job that starts now; ids sort by time."""
    return job_id_at(clock(), secrets.token_hex(3))


def job_id_at(moment: datetime, suffix: str) -> str:
    """Makes the id of a job that starts at a moment (UTC)."""
    return f"{moment:%Y-%m-%dT%H-%M-%SZ}-{suffix}"


@contextmanager
def recorded(
    store: ScopeStore,
    kind: str,
    *,
    trigger: str,
    job_id: str = "",
    run_id: str = "",
    started: datetime | None = None,
    clock: Clock = system_clock,
) -> Iterator[RunningJob]:
    """Keeps the record of a job: written, and announced, when the block ends, however it ends.

    Args:
        store: The scope's store.
        kind: `backup`, `restore` …
        trigger: What started it: `command`, `schedule` …
        job_id: Its id, when it has one; else a new one.
        run_id: Id of the Dagster run that it is part of; empty outside of Dagster.
        started: When it began (UTC), where that was before the block; else now.
        clock: The one clock.
    """
    started = started or clock()
    job = RunningJob(job_id or job_id_at(started, secrets.token_hex(3)))
    status, error = "failed", ""
    try:
        yield job
        status = job.status
    except EntraPipelineError as failure:
        error = failure.message
        raise
    except Exception as failure:
        error = f"{type(failure).__name__}"
        raise
    except BaseException:
        # Ctrl-C, or a run that is terminated in Dagster: nothing went wrong.
        status, error = CANCELLED, job.stopped
        raise
    finally:
        record = JobRecord.of(
            {
                "id": job.id,
                "type": kind,
                "scope": store.scope,
                "trigger": trigger,
                "run_id": run_id,
                "status": status,
                "started": iso(started),
                "run_started": iso(started),
                "finished": iso(clock()),
                "error": error,
                **job.details,
            }
        )
        # The record is not worth the job: a storage that fails now has said so already, or will the next time.
        with suppress(StoreError):
            if job.kept:
                keep_record(store, record, clock)


def keep_record(store: ScopeStore, record: JobRecord, clock: Clock = system_clock) -> None:
    """Stores the record of a job that has ended, and leaves the event of it.

    Does neither when a run that started later has a record under the same id. Raises like `JobRecords.put`.
    """
    if store.jobs.put(record, clock):
        announce(store, record.members())
