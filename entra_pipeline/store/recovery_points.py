"""The recovery points of a scope: which there are, and the newest, the last good, the one of a moment.

What belongs here: finding and reading points, the key of a new one, and one writer at a time. What does not: how a
place holds bytes (`backends`), a point in the making (`points.staging`), how it becomes visible (`commit`), how long it
stays (`retention`), what its rows mean (`backup`), and what is right and wrong in a store (`verify`).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from entra_pipeline.clock import Clock, system_clock
from entra_pipeline.errors import IntegrityError, NotInStore, RecoveryPointRefused
from entra_pipeline.settings.periods import FOREVER, Period
from entra_pipeline.store.backends import LockHandle, ObjectStore
from entra_pipeline.store.checksums import IntactParts
from entra_pipeline.store.job_records import JobRecords
from entra_pipeline.store.logs import LogStore
from entra_pipeline.store.manifest import IN_PASSING, Manifest, TableEntry, decode
from entra_pipeline.store.parallel import in_turns
from entra_pipeline.store.points.confidential import revealed
from entra_pipeline.store.points.index import IndexFile, index_folder
from entra_pipeline.store.points.keys import (
    is_key,
    key_of,
    manifest_key,
    moment_in,
    moment_of,
    refused,
    require_uncommitted,
)
from entra_pipeline.store.points.staging import PointStaging
from entra_pipeline.store.state import state_query

# A clock that is corrected by more than this since the newest point was wrong then or is wrong now.
_CLOCK_TOLERANCE = timedelta(minutes=5)


class ScopeStore:
    """The recovery points of one scope.

    Args:
        files: The place.
        scope: Name of the scope.
        clock: The time.
        retention: How long a point is kept: so long nobody can delete it where there is Object Lock.

    Attributes:
        intact: Hashes parts before they are believed, each once in the life of this object.
    """

    def __init__(
        self, files: ObjectStore, scope: str, clock: Clock = system_clock, retention: Period = FOREVER
    ) -> None:
        self.retention = retention
        self.files = files
        self.scope = scope
        self.clock = clock
        self._hold: LockHandle | None = None
        self.intact = IntactParts(files)

    @property
    def logs(self) -> LogStore:
        """The logs of the scope."""
        return LogStore(self.files, self.scope, self.clock, self.retention)

    @property
    def jobs(self) -> JobRecords:
        """The job records of the scope."""
        return JobRecords(self.files, self.scope)

    @property
    def staging(self) -> PointStaging:
        """The scope's recovery points in the making."""
        return PointStaging(self.files, self.scope)

    # --- What is there -----------------------------------------------------------------------------------------------

    def points(self) -> list[str]:
        """Returns the keys of the committed recovery points, oldest first."""
        prefix = f"_recovery_points/{self.scope}/"
        names = (file.key.removeprefix(prefix) for file in self.files.list(prefix))
        return sorted(name.removesuffix(".json") for name in names if is_key(name.removesuffix(".json")))

    def manifest(self, point: str) -> Manifest:
        """Reads the manifest of a recovery point.

        Raises:
            NotInStore: There is none of this key.
            IntegrityError: Its manifest is not what was written.
        """
        return self.decoded(point, self.manifest_bytes(point))

    def manifest_bytes(self, point: str) -> bytes:
        """Reads the bytes of a manifest as they are stored; raises NotInStore."""
        try:
            return self.files.read(self.manifest_key(point))
        except NotInStore:
            raise self._unknown(point) from None

    def intact_state(self, entry: TableEntry, columns: str = "*") -> str:
        """Makes the SQL of a table's state, as `state_query`, after hashing its parts: each once in a store's life.

        Raises:
            IntegrityError: A part is not what the manifest says.
            StoreError: A part cannot be read.
        """
        self.intact.require(entry.parts)
        return state_query(self.files, entry, columns)

    def latest(self) -> Manifest | None:
        """Reads the newest recovery point; None when there is none."""
        points = self.points()
        return self.manifest(points[-1]) if points else None

    def last_good(self, points: Sequence[str], read: Callable[[str], Manifest] | None = None) -> Manifest | None:
        """Finds the newest of some points, oldest first, that finished without exception; None when none did.

        The newest one tells it. Only where an earlier release wrote that, or somebody removed the point, the others are
        read one after the other.

        Args:
            points: Keys.
            read: What gives the manifest of a point, where somebody keeps them.
        """
        if not points:
            return None
        read = read or self.manifest
        newest = read(points[-1])
        if newest.status == "finished":
            return newest
        good = newest.last_good
        if good == "":
            return None
        if good is not None and good in points:
            return read(good)
        return next((one for one in in_turns(read, points[-2::-1]) if one.status == "finished"), None)

    def newest(self, before: str = "") -> Manifest | None:
        """Finds the newest recovery point that no comparison or restore took for itself, of all or of those before one.

        Comparisons with the live tenant and restores take theirs in passing (`manifest.IN_PASSING`).
        """
        for point in reversed(self.points()):
            if (not before or point < before) and (found := self.manifest(point)).taken_for not in IN_PASSING:
                return found
        return None

    def at(self, moment: datetime | str) -> Manifest:
        """Finds the newest recovery point that is not after a moment.

        Args:
            moment: A moment; or a text: a key, an RFC 3339 time, or `latest`.

        Raises:
            UsageError: The text is none of these.
            NotInStore: There is no such recovery point.
        """
        points = self.points()
        if isinstance(moment, str):
            if moment in points:
                return self.manifest(moment)
            if is_key(moment):
                raise self._unknown(moment)
            if moment == "latest":
                moment = datetime.max.replace(tzinfo=UTC)
            else:
                moment = moment_in(moment)
        before = [point for point in points if moment_of(point) <= moment]
        if not before:
            when = f"; the first is {points[0]}" if points else ""
            raise NotInStore(
                f"scope {self.scope!r} has no recovery point at that time{when}",
                remedy="Choose a later time." if points else f"Run: entra-pipeline backup {self.scope}",
            )
        return self.manifest(before[-1])

    def _unknown(self, point: str) -> NotInStore:
        return NotInStore(
            f"scope {self.scope!r} has no recovery point {point}", remedy=f"Run: entra-pipeline points {self.scope}"
        )

    def manifest_key(self, point: str) -> str:
        """Returns the key of a manifest."""
        return manifest_key(self.scope, point)

    def decoded(self, point: str, data: bytes) -> Manifest:
        """Decodes a manifest, and checks that it is this point's; raises IntegrityError."""
        manifest = decode(data, self.manifest_key(point))
        if (manifest.scope, manifest.recovery_point) != (self.scope, point):
            raise IntegrityError(
                f"{self.manifest_key(point)} is the manifest of {manifest.recovery_point} of scope {manifest.scope!r}",
                remedy="Restore the file from a copy of the storage.",
            )
        return revealed(self.files, self.manifest_key(point), manifest)

    def indexes(self) -> list[IndexFile]:
        """Lists the files of the index of recovery points."""
        return [IndexFile.of(file.key) for file in self.files.list(index_folder(self.scope))]

    # --- Names -------------------------------------------------------------------------------------------------------

    def new_key(self, *, manual: bool = False, at: datetime | None = None) -> str:
        """Makes the key of a new recovery point; it sorts after every committed one.

        Args:
            manual: The point is asked for by a person, not by a schedule: the key gets a suffix of its own.
            at: The moment of the schedule; the present when None, or when a newer point exists already.

        Raises:
            RecoveryPointRefused: The newest point lies in the future.
        """
        points = self.points()
        taken = set(points) | self.staging.points()
        now = self.clock()
        moment = (at or now).replace(microsecond=0)
        if points:
            newest = moment_of(points[-1])
            if moment <= newest:
                moment = max(now.replace(microsecond=0), newest + timedelta(seconds=1))
            if moment > now + _CLOCK_TOLERANCE and newest > now:
                raise RecoveryPointRefused(
                    f"the newest recovery point of scope {self.scope!r}, {points[-1]}, lies in the future",
                    remedy="Correct this machine's clock; if the point's time is wrong, wait until it has passed.",
                )
        while True:
            key = key_of(moment) + (f"-m{secrets.token_hex(2)}" if manual else "")
            if key not in taken:
                return key
            if not manual:
                moment += timedelta(seconds=1)

    def require_open(self, point: str) -> None:
        """Raises RecoveryPointRefused when a point exists already, or a newer one does."""
        require_uncommitted(self.files, self.scope, point)
        points = self.points()
        if points and moment_of(point) <= moment_of(points[-1]):
            raise refused(
                self.scope, point, f"is too old: {points[-1]} is newer, and Graph cannot be read for a past moment"
            )

    # --- One at a time -----------------------------------------------------------------------------------------------

    @contextmanager
    def lock(self) -> Iterator[LockHandle]:
        """Holds the scope: no other process (and no other ScopeStore) backs it up or prunes it meanwhile.

        Raises:
            ScopeBusy: Somebody else does; the message says who, where, and since when.
        """
        with self.files.lock(f"_locks/{self.scope}", f"scope {self.scope!r}", self.clock) as hold:
            self._hold = hold
            try:
                yield hold
            finally:
                self._hold = None

    @contextmanager
    def held(self) -> Iterator[LockHandle]:
        """Confirms the lock that this store holds, or takes it for the block."""
        if self._hold is not None:
            self._hold.confirm()
            yield self._hold
        else:
            with self.lock() as hold:
                yield hold
