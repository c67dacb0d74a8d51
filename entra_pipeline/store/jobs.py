"""Job records: what was tried, by whom it was started, and how it ended, also when nothing came of it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from entra_pipeline.clock import Clock, iso, system_clock
from entra_pipeline.errors import EntraPipelineError, NotInStore, StoreError
from entra_pipeline.store.events import announce
from entra_pipeline.store.parallel import in_parallel
from entra_pipeline.store.recovery_points import ScopeStore

_OBJECT = msgspec.json.Decoder(dict[str, object])


@dataclass
class JobRecord:
    """A job under way.

    Attributes:
        id: Its id.
        status: How it ends when nothing is raised.
        details: What there is to say besides.
    """

    id: str
    status: str = "failed"
    details: dict[str, object] = field(default_factory=dict)


def new_job_id(clock: Clock = system_clock) -> str:
    """An id for a job that starts now; ids sort by time."""
    return job_id_at(clock(), secrets.token_hex(3))


def job_id_at(moment: datetime, suffix: str) -> str:
    """The id of a job that starts at a moment (UTC)."""
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
) -> Iterator[JobRecord]:
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
    job = JobRecord(job_id or job_id_at(started, secrets.token_hex(3)))
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
            "type": kind,
            "scope": store.scope,
            "trigger": trigger,
            "run_id": run_id,
            "status": "failed" if error else job.status,
            "started": iso(started),
            "finished": iso(clock()),
            "error": error,
            **job.details,
        }
        # The record is not worth the job: a storage that fails now has said so already, or will the next time.
        with suppress(StoreError):
            store.write_job(record)
            announce(store, record)


def job_records(store: ScopeStore, first: datetime, end: datetime) -> list[dict[str, object]]:
    """Records of the jobs that overlap a time, in the order of their beginning; reads no older ones.

    Args:
        store: The scope's store.
        first: The first moment.
        end: The first moment after it.
    """
    # A record is written when its job ends, and its key starts with the moment at which the job was named.
    keys = [
        file.key
        for file in store.files.list(f"_jobs/{store.scope}/")
        if file.modified >= first and file.key.rpartition("/")[2] < f"{end:%Y-%m-%dT%H-%M-%SZ}"
    ]
    records = [_OBJECT.decode(data) for data in in_parallel(store.files.read, keys)]
    within = [one for one in records if str(one["finished"]) >= iso(first) and str(one["started"]) < iso(end)]
    return sorted(within, key=lambda one: (str(one["started"]), str(one["id"])))


def job_record(store: ScopeStore, job: str) -> dict[str, object] | None:
    """The record of a job; None when the scope has none of this id."""
    if "/" in job:
        return None
    try:
        return _OBJECT.decode(store.files.read(f"_jobs/{store.scope}/{job}.json"))
    except NotInStore:
        return None
