"""Job records: what was tried, by whom it was started, and how it ended, also when nothing came of it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic, sleep

import msgspec

from entra_pipeline.clock import Clock, iso, system_clock
from entra_pipeline.errors import AlreadyExists, EntraPipelineError, NotInStore, ScopeBusy, StoreError
from entra_pipeline.store.events import announce
from entra_pipeline.store.manifest import canonical
from entra_pipeline.store.parallel import in_parallel
from entra_pipeline.store.recovery_points import ScopeStore

_OBJECT = msgspec.json.Decoder(dict[str, object])
# Seconds to wait for another writer; longer than the lease of one that was killed (`backends.leases.LIFETIME`).
_PATIENCE = 120.0
_PAUSE = 0.2


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
            "run_started": iso(started),
            "finished": iso(clock()),
            "error": error,
            **job.details,
        }
        # The record is not worth the job: a storage that fails now has said so already, or will the next time.
        with suppress(StoreError):
            if write_record(store, record, clock):
                announce(store, record)


def write_record(store: ScopeStore, record: dict[str, object], clock: Clock = system_clock) -> bool:
    """Stores the record of a job, unless a run that started later has stored one under the same id.

    A job that was interrupted is gone on with under its id, perhaps on another machine. The interrupted run may be
    recorded long after the one that took its place: by a sensor, or by itself when its machine comes back.

    Args:
        store: The scope's store.
        record: The record; `run_started` (RFC 3339) says when the run that it is about began.
        clock: The time.

    Returns:
        Whether it was stored.

    Raises:
        ScopeBusy: Others have been writing records of the scope for two minutes.
        StoreError: The storage cannot be reached.
    """
    key = f"_jobs/{store.scope}/{record['id']}.json"
    try:
        store.files.create(key, canonical(record))
        return True
    except AlreadyExists:
        pass
    with _alone(store, clock):
        if _is_newer(_OBJECT.decode(store.files.read(key)), record):
            return False
        store.write_job(record)
        return True


@contextmanager
def _alone(store: ScopeStore, clock: Clock) -> Iterator[None]:
    """Keeps others from replacing records meanwhile; waits for one that does."""
    deadline = monotonic() + _PATIENCE
    while True:
        with ExitStack() as stack:
            try:
                stack.enter_context(store.files.lock(f"_locks/{store.scope}.jobs", "the scope's job records", clock))
            except ScopeBusy:
                if monotonic() >= deadline:
                    raise
            else:
                yield
                return
        sleep(_PAUSE)


def _is_newer(there: dict[str, object], record: dict[str, object]) -> bool:
    """Whether the record that is there is about a run that started after the other's."""
    if there.get("run_id") and there.get("run_id") == record.get("run_id"):
        return False
    # Records of earlier releases have no `run_started`.
    began, other = (str(one.get("run_started") or one.get("started") or "") for one in (there, record))
    if began == other:
        return there.get("status") != "failed" and record.get("status") == "failed"
    return began > other


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
