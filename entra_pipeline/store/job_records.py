"""Job records in the store: their shape, and where they are kept.

What belongs here: one typed record, its JSON, reading and writing it. What does not: when a record is made
(`running_jobs`).
The file of a record is one flat JSON object; members that a type of job adds, and those of later releases, are
`details` here and come back into the file unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from time import monotonic, sleep
from typing import Any

import msgspec

from entra_pipeline.clock import Clock, iso, system_clock
from entra_pipeline.errors import AlreadyExists, NotInStore, ScopeBusy
from entra_pipeline.store.backends import ObjectStore, StoredFile
from entra_pipeline.store.manifest import canonical
from entra_pipeline.store.parallel import in_parallel
from entra_pipeline.store.points.confidential import require_vault

_OBJECT = msgspec.json.Decoder(dict[str, Any])
# Seconds to wait for another writer; longer than the lease of one that was killed (`backends.leases.LIFETIME`).
_TIMEOUT = 120.0
_PAUSE = 0.2


CANCELLED = "cancelled"
"""Status of a job that somebody stopped."""
UNDONE = frozenset({"failed", CANCELLED})
"""Statuses of jobs that did not come to their end."""


class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How a job ended.

    Attributes:
        id: Its id; ids sort by the moment at which the job was named.
        type: `backup`, `restore`, `prune`, `drill`, `logs`.
        scope: Name of the scope.
        trigger: What started it: `command`, `schedule` …
        run_id: Id of the Dagster run that it was part of; empty outside of Dagster.
        status: `finished`, `finished with exception`, `failed`, `cancelled`: somebody stopped it.
        started: When the job began, RFC 3339.
        run_started: When the run that the record is about began; later than `started` where it went on with a job that
            was interrupted. Empty in records of earlier releases.
        finished: RFC 3339.
        error: Why it failed, or what had been done when it was stopped; empty otherwise.
        details: What its type tells besides: counts, a recovery point, what was forgotten.
    """

    id: str
    type: str = ""
    scope: str = ""
    trigger: str = ""
    run_id: str = ""
    status: str = ""
    started: str = ""
    run_started: str = ""
    finished: str = ""
    error: str = ""
    details: dict[str, Any] = {}

    @classmethod
    def of(cls, members: Mapping[str, Any]) -> JobRecord:
        """Makes a record of the members of its JSON object; those that it does not know become details."""
        known = {name: str(members[name]) for name in _KNOWN if name in members}
        return cls(**known, details={name: value for name, value in members.items() if name not in _KNOWN})

    def members(self) -> dict[str, Any]:
        """Returns the members of its JSON object."""
        return {name: getattr(self, name) for name in _KNOWN} | self.details


_KNOWN = tuple(name for name in JobRecord.__struct_fields__ if name != "details")


class JobRecords:
    """The job records of a scope.

    Args:
        files: The place.
        scope: Name of the scope.
    """

    def __init__(self, files: ObjectStore, scope: str) -> None:
        self._files = files
        self._scope = scope
        self._root = f"_jobs/{scope}/"

    def write(self, record: JobRecord) -> None:
        """Stores a record under its id; replaces one that is there."""
        self._files.replace(self._key(record.id), canonical(record.members()))

    def put(self, record: JobRecord, clock: Clock = system_clock) -> bool:
        """Stores a record, unless a run that started later has stored one under the same id.

        A job that was interrupted is gone on with under its id, perhaps on another machine. The interrupted run may be
        recorded long after the one that took its place: by a sensor, or by itself when its machine comes back.

        Returns:
            Whether it was stored.

        Raises:
            ScopeBusy: Others have been writing records of the scope for two minutes.
            StoreError: The storage cannot be reached.
        """
        key = self._key(record.id)
        try:
            self._files.create(key, canonical(record.members()))
            return True
        except AlreadyExists:
            pass
        with self._alone(clock):
            if _is_newer(self._record(key), record):
                return False
            self.write(record)
            return True

    @contextmanager
    def _alone(self, clock: Clock) -> Iterator[None]:
        """Keeps others from replacing records meanwhile; waits for one that does."""
        deadline = monotonic() + _TIMEOUT
        while True:
            with ExitStack() as stack:
                try:
                    stack.enter_context(
                        self._files.lock(f"_locks/{self._scope}.jobs", "the scope's job records", clock)
                    )
                except ScopeBusy:
                    if monotonic() >= deadline:
                        raise
                else:
                    yield
                    return
            sleep(_PAUSE)

    def all(self) -> list[JobRecord]:
        """Returns all records, in the order of their ids."""
        return self._read([file.key for file in self.files()])

    def files(self) -> list[StoredFile]:
        """Lists the files of the records, in the order of their ids; reads none."""
        return list(self._files.list(self._root))

    def find(self, job_id: str) -> JobRecord | None:
        """Returns the record of a job; None when the scope has none of this id."""
        if "/" in job_id:
            return None
        try:
            return self._record(self._key(job_id))
        except NotInStore:
            return None

    def between(self, first: datetime, end: datetime) -> list[JobRecord]:
        """Returns the records of jobs that overlap a time, in the order of their beginning; reads no older ones.

        Args:
            first: The first moment.
            end: The first moment after it.
        """
        # A record is written when its job ends, and its key starts with the moment at which the job was named.
        keys = [
            file.key
            for file in self.files()
            if file.modified >= first and file.key.rpartition("/")[2] < f"{end:%Y-%m-%dT%H-%M-%SZ}"
        ]
        within = [one for one in self._read(keys) if one.finished >= iso(first) and one.started < iso(end)]
        return sorted(within, key=lambda one: (one.started, one.id))

    def _key(self, job_id: str) -> str:
        return f"{self._root}{job_id}.json"

    def _read(self, keys: list[str]) -> list[JobRecord]:
        return in_parallel(self._record, keys)

    def _record(self, key: str) -> JobRecord:
        members = _OBJECT.decode(self._files.read(key))
        if "encrypted" in members:
            require_vault(self._files, key)
        return JobRecord.of(members)


def _is_newer(there: JobRecord, record: JobRecord) -> bool:
    """Tells whether the record that is there is about a run that started after the other's.

    A run that fails while another one does the job, which it may not, does not hide that the job was done.
    """
    if there.status in UNDONE and record.status not in UNDONE and there.finished <= record.finished:
        return False
    if there.run_id and there.run_id == record.run_id:
        return False
    began, other = (one.run_started or one.started for one in (there, record))
    if began == other:
        return there.status not in UNDONE and record.status in UNDONE
    return began > other
