"""Recovery points of a scope: their names, their files, and the moment when they become visible.

What belongs here: the layout of the store and the commit protocol (docs/storage-format.md). What does not: how a place
holds bytes (`files`), what the rows mean (`backup`), what is right and wrong in a store (`verify`).
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from entra_pipeline.clock import Clock, iso, parse_iso, system_clock
from entra_pipeline.errors import (
    AlreadyExists,
    IntegrityError,
    NotInStore,
    RecoveryPointRefused,
    StoreError,
    UsageError,
)
from entra_pipeline.settings.periods import FOREVER, Period
from entra_pipeline.store.backends import LockHandle, ObjectStore, StoredFile
from entra_pipeline.store.checksums import part_problem, size_problem
from entra_pipeline.store.logs import DayOfLog, LogStore
from entra_pipeline.store.manifest import (
    IN_PASSING,
    TABLE_ENTRY_DECODER,
    Manifest,
    Part,
    TableEntry,
    canonical,
    decode,
    seal,
    sha256,
)
from entra_pipeline.store.object_lock import lock_end
from entra_pipeline.store.parallel import in_parallel, in_turns
from entra_pipeline.store.points.index import (
    IndexFile,
    chosen_files,
    index_folder,
    join_indexes,
    trim_indexes,
    write_index,
)

_OBJECT = msgspec.json.Decoder(dict[str, object])

_KEY = re.compile(r"(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ)(-m[0-9a-f]{4})?")
_KEY_TIME = "%Y-%m-%dT%H-%M-%SZ"
# A clock that is corrected by more than this since the newest point was wrong then or is wrong now.
_CLOCK_TOLERANCE = timedelta(minutes=5)
# Longer than a question takes that has looked up which files of the index to read.
_READING = timedelta(hours=1)
# Among the staged entries, which are named after tables.
_RUN = "_run.json"
_PART = "part-"

_log = logging.getLogger(__name__)


def part_number(key: str) -> int:
    """The number of a Parquet file among those that a point wrote for a table."""
    return int(key.rpartition(_PART)[2].removesuffix(".parquet"))


def moment_of(point: str) -> datetime:
    """The moment in the key of a recovery point; raises UsageError for what is no key."""
    match = _KEY.fullmatch(point)
    try:
        if match is None:
            raise ValueError
        return datetime.strptime(match[1], _KEY_TIME).replace(tzinfo=UTC)
    except ValueError:
        raise UsageError(
            f"{point!r} is not a recovery point", remedy="A recovery point looks like 2026-11-23T05-00-00Z."
        ) from None


def _moment(text: str) -> datetime:
    """The moment that a person wrote; raises UsageError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{text!r} is neither a recovery point nor a time",
            remedy="Give a recovery point, a time with its zone such as 2026-11-23T05:00:00Z, or latest.",
        ) from None
    if moment.tzinfo is None:
        raise UsageError(
            f"{text!r} does not say in which time zone it is",
            remedy=f"Add Z for UTC, or the difference from it: {moment.isoformat()}Z, or {moment.isoformat()}+01:00.",
        )
    return moment.astimezone(UTC)


def key_of(moment: datetime) -> str:
    """The key of a recovery point of a moment."""
    return moment.astimezone(UTC).strftime(_KEY_TIME)


class Swept(NamedTuple):
    """What was removed, or, dry, would be.

    Attributes:
        keys: Keys.
        bytes: What they took, as far as their size is known.
        locked: Keys of what Object Lock still keeps.
    """

    keys: list[str]
    bytes: int
    locked: list[str]


class ScopeStore:
    """The recovery points of one scope.

    Args:
        files: The place.
        scope: Name of the scope.
        clock: The time.
        retention: How long a point is kept: so long nobody can delete it where there is Object Lock.
    """

    def __init__(
        self, files: ObjectStore, scope: str, clock: Clock = system_clock, retention: Period = FOREVER
    ) -> None:
        self.retention = retention
        self.files = files
        self.scope = scope
        self.clock = clock
        self._hold: LockHandle | None = None

    @property
    def logs(self) -> LogStore:
        """The logs of the scope."""
        return LogStore(self.files, self.scope, self.clock, self.retention)

    # --- What is there -----------------------------------------------------------------------------------------------

    def points(self) -> list[str]:
        """Keys of the committed recovery points, oldest first."""
        prefix = f"_recovery_points/{self.scope}/"
        names = (file.key.removeprefix(prefix) for file in self.files.list(prefix))
        return sorted(name.removesuffix(".json") for name in names if _KEY.fullmatch(name.removesuffix(".json")))

    def manifest(self, point: str) -> Manifest:
        """A recovery point.

        Raises:
            NotInStore: There is none of this key.
            IntegrityError: Its manifest is not what was written.
        """
        return self.decoded(point, self.manifest_bytes(point))

    def manifest_bytes(self, point: str) -> bytes:
        """The manifest as it is stored; raises NotInStore."""
        try:
            return self.files.read(self.manifest_key(point))
        except NotInStore:
            raise self._unknown(point) from None

    def latest(self) -> Manifest | None:
        """The newest recovery point; None when there is none."""
        points = self.points()
        return self.manifest(points[-1]) if points else None

    def last_good(self, points: Sequence[str], read: Callable[[str], Manifest] | None = None) -> Manifest | None:
        """The newest of some points, oldest first, that finished without exception; None when none did.

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
        """The newest recovery point that was not taken in passing, of all or of those before one; None without.

        Comparisons with the live tenant and restores take theirs in passing (`manifest.IN_PASSING`).
        """
        for point in reversed(self.points()):
            if (not before or point < before) and (found := self.manifest(point)).taken_for not in IN_PASSING:
                return found
        return None

    def at(self, moment: datetime | str) -> Manifest:
        """The newest recovery point that is not after a moment.

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
            if _KEY.fullmatch(moment):
                raise self._unknown(moment)
            if moment == "latest":
                moment = datetime.max.replace(tzinfo=UTC)
            else:
                moment = _moment(moment)
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
        """Where a manifest is."""
        moment_of(point)
        return f"_recovery_points/{self.scope}/{point}.json"

    def decoded(self, point: str, data: bytes) -> Manifest:
        """The recovery point in the bytes of its manifest; raises IntegrityError."""
        manifest = decode(data, self.manifest_key(point))
        if (manifest.scope, manifest.recovery_point) != (self.scope, point):
            raise IntegrityError(
                f"{self.manifest_key(point)} is the manifest of {manifest.recovery_point} of scope {manifest.scope!r}",
                remedy="Restore the file from a copy of the storage.",
            )
        return manifest

    # --- Names -------------------------------------------------------------------------------------------------------

    def mint(self, *, manual: bool = False, at: datetime | None = None) -> str:
        """The key of a new recovery point; it sorts after every committed one.

        Args:
            manual: The point is asked for by a person, not by a schedule: the key gets a suffix of its own.
            at: The moment of the schedule; the present when None, or when a newer point exists already.

        Raises:
            RecoveryPointRefused: The newest point lies in the future.
        """
        points = self.points()
        taken = set(points) | self.staged_points()
        now = self.clock()
        moment = (at or now).replace(microsecond=0)
        if points:
            newest = moment_of(points[-1])
            if moment <= newest:
                moment = max(now.replace(microsecond=0), newest + timedelta(seconds=1))
            if moment > now + _CLOCK_TOLERANCE and newest > now:
                raise RecoveryPointRefused(
                    f"the newest recovery point of scope {self.scope!r}, {points[-1]}, lies in the future",
                    remedy="Set this machine's clock right; if the point's time is wrong, wait until it has passed.",
                )
        while True:
            key = key_of(moment) + (f"-m{secrets.token_hex(2)}" if manual else "")
            if key not in taken:
                return key
            if not manual:
                moment += timedelta(seconds=1)

    def require_open(self, point: str) -> None:
        """Raises RecoveryPointRefused when a point exists already, or a newer one does."""
        self._require_uncommitted(point)
        points = self.points()
        if points and moment_of(point) <= moment_of(points[-1]):
            raise self._refused(point, f"comes too late: {points[-1]} is newer, and Graph cannot be read as it was")

    def _require_uncommitted(self, point: str) -> None:
        try:
            self.files.size(self.manifest_key(point))
        except NotInStore:
            return
        raise self._refused(point, "exists and never changes")

    def _refused(self, point: str, why: str) -> RecoveryPointRefused:
        return RecoveryPointRefused(
            f"recovery point {point} of scope {self.scope!r} {why}",
            remedy=f"Take a new one: entra-pipeline backup {self.scope}",
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
    def _held(self) -> Iterator[LockHandle]:
        """The lock that is held, or one for this moment."""
        if self._hold is not None:
            self._hold.confirm()
            yield self._hold
        else:
            with self.lock() as hold:
                yield hold

    # --- A point in the making ---------------------------------------------------------------------------------------

    def write_part(
        self, point: str, table: str, number: int, path: Path, *, role: Literal["base", "changes"], rows: int
    ) -> Part:
        """Stores a Parquet file of a point in the making.

        Args:
            point: Key of the point.
            table: Object type or relation.
            number: Number of the file among those that the point writes for the table, from 0.
            path: The local file.
            role: What it holds; see `Part`.
            rows: Rows in it.

        Raises:
            RecoveryPointRefused: The point is committed.
        """
        self._require_uncommitted(point)
        key = f"{self._parts(table, point)}{_PART}{number:05d}.parquet"
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self.files.upload(key, path)
        return Part(key=key, rows=rows, bytes=path.stat().st_size, sha256=digest, recovery_point=point, role=role)

    def stage(self, point: str, entry: TableEntry) -> None:
        """Remembers a table of a point in the making, so that a repeated run need not read it again."""
        self._require_uncommitted(point)
        self.files.replace(f"{self._staging(point)}{entry.table}.json", canonical(entry))

    def staged(self, point: str) -> dict[str, TableEntry]:
        """The tables that are remembered, by name."""
        entries: dict[str, TableEntry] = {}
        for file in self.files.list(self._staging(point)):
            if file.key.endswith(_RUN):
                continue
            try:
                entry = TABLE_ENTRY_DECODER.decode(self.files.read(file.key))
            except msgspec.DecodeError as error:
                raise IntegrityError(
                    f"{file.key} cannot be read: {error}", remedy="Discard the run and repeat it."
                ) from error
            entries[entry.table] = entry
        return entries

    def stage_run(self, point: str, run: dict[str, object]) -> None:
        """Remembers what a repeated run of a point in the making has to know besides its tables."""
        self._require_uncommitted(point)
        self.files.replace(f"{self._staging(point)}{_RUN}", canonical(run))

    def staged_run(self, point: str) -> dict[str, object] | None:
        """What `stage_run` remembered; None when there is nothing."""
        try:
            return _OBJECT.decode(self.files.read(f"{self._staging(point)}{_RUN}"))
        except NotInStore:
            return None

    def discard(self, point: str) -> None:
        """Removes what is there of a point in the making; raises RecoveryPointRefused when it is committed."""
        self._require_uncommitted(point)
        entries = [file.key for file in self.files.list(self._staging(point))]
        tables = [name for name in self.files.folders() if not name.startswith("_")]
        parts = [file.key for table in tables for file in self.files.list(self._parts(table, point))]
        # Parts last: an entry never names a file that is gone.
        self.files.delete(entries)
        self.files.delete(parts)

    def _parts(self, table: str, point: str) -> str:
        return f"{table}/scope={self.scope}/recovery_point={point}/"

    def _staging(self, point: str) -> str:
        return f"_staged/{self.scope}/{point}/"

    def staged_points(self) -> set[str]:
        """Keys of the points in the making."""
        prefix = f"_staged/{self.scope}/"
        return {file.key.removeprefix(prefix).partition("/")[0] for file in self.files.list(prefix)}

    # --- Commit ------------------------------------------------------------------------------------------------------

    def commit(self, manifest: Manifest) -> Manifest:
        """Makes a recovery point visible: checks everything that it names, then creates its manifest.

        Args:
            manifest: The point; `parent_sha256` and `seal` are filled in here.

        Returns:
            The manifest as it was stored.

        Raises:
            RecoveryPointRefused: It exists, its parent is no longer the newest point, or its tenant is another.
            IntegrityError: A file that it names is absent or differs.
            ScopeBusy: The lock was lost; or, when this store does not hold it, somebody else does.
        """
        with self._held() as hold:
            manifest = self._chained(manifest)
            self._check_parts(manifest)
            end = self._lock_end(manifest.recovery_point)
            locking = self.files.object_lock and end > self.clock()
            if locking:
                manifest = msgspec.structs.replace(manifest, locked_until=self._lock_parts(manifest))
            manifest = seal(manifest)
            write_index(self.files, manifest)
            hold.confirm()
            try:
                self.files.create(
                    self.manifest_key(manifest.recovery_point),
                    canonical(manifest),
                    until=end if locking else None,
                )
            except AlreadyExists:
                raise self._refused(manifest.recovery_point, "was committed meanwhile") from None
            try:
                self.files.delete([file.key for file in self.files.list(self._staging(manifest.recovery_point))])
            except StoreError as error:
                # The point stands; the next sweep removes them.
                _log.warning("staged entries of %s remain: %s", manifest.recovery_point, error.message)
            try:
                join_indexes(self.files, self.scope, self.indexes(), self.points())
            except StoreError as error:
                # Questions take longer until the next commit joins them.
                _log.warning("the indexes of scope %s were not joined: %s", self.scope, error.message)
        return manifest

    def _chained(self, manifest: Manifest) -> Manifest:
        """The manifest with its parent's hash, if it is the next in the chain."""
        point = manifest.recovery_point
        if manifest.scope != self.scope:
            raise self._refused(point, f"is one of scope {manifest.scope!r}")
        self.require_open(point)
        points = self.points()
        parent = points[-1] if points else ""
        if manifest.parent != parent:
            raise self._refused(
                point, f"was made on top of {manifest.parent or 'nothing'}, but the newest is {parent or 'none'}"
            )
        if not parent:
            return msgspec.structs.replace(manifest, parent_sha256="")
        data = self.manifest_bytes(parent)
        tenant = self.decoded(parent, data).tenant_id
        if tenant != manifest.tenant_id:
            raise RecoveryPointRefused(
                f"scope {self.scope!r} holds recovery points of tenant {tenant}, this one is of {manifest.tenant_id}",
                remedy="Give every tenant a scope of its own.",
            )
        return msgspec.structs.replace(manifest, parent_sha256=sha256(data))

    def _check_parts(self, manifest: Manifest) -> None:
        parts = []
        for name, entry in manifest.tables.items():
            for part in entry.parts:
                if name != entry.table or not part.key.startswith(self._parts(name, part.recovery_point)):
                    raise IntegrityError(f"{part.key} does not belong to {name!r} of scope {self.scope!r}")
                parts.append(part)
        in_parallel(lambda part: self._check_part(part, fresh=part.recovery_point == manifest.recovery_point), parts)

    def _check_part(self, part: Part, *, fresh: bool) -> None:
        try:
            problem = part_problem(self.files, part) if fresh else size_problem(self.files, part)
        except NotInStore:
            problem = "is not in the store"
        if problem:
            raise IntegrityError(
                f"{part.key} {problem}", remedy=f"Build on nothing: entra-pipeline backup {self.scope} --full"
            )

    def indexes(self) -> list[IndexFile]:
        """The files of the index of recovery points."""
        return [IndexFile.of(file.key) for file in self.files.list(index_folder(self.scope))]

    def complete_index(self) -> list[str]:
        """Writes the index of those recovery points that have none; their keys.

        An older release wrote none; and whoever doubts an index may remove it.

        Raises:
            IntegrityError: The manifest of such a point is not what was written.
            NotInStore: A file that such a point names is not there.
        """
        present, points = self.indexes(), self.points()
        known = chosen_files(present, points)
        missing = [point for point in points if point not in known]
        if missing:
            written = in_parallel(lambda point: write_index(self.files, self.manifest(point)), missing)
            join_indexes(self.files, self.scope, [*present, *map(IndexFile.of, written)], points)
        return missing

    def _lock_parts(self, manifest: Manifest) -> str:
        """Puts a point's files under Object Lock until its time is over; what its manifest says of that.

        Files are locked a little longer than they have to be, and the manifest says how long all of them are at the
        least. So a later point locks what is new, and what it takes over only once in a twelfth of the retention.
        They are locked now and not when they are written: what a run leaves that never ends can be swept.
        """
        needed = self._lock_end(manifest.recovery_point)
        ahead = needed + (needed - moment_of(manifest.recovery_point)) / 12
        parent = self.manifest(manifest.parent) if manifest.parent else None
        if parent and (end := self._lock_end(parent.recovery_point)) > self.clock():
            # Whoever wrote it may have been killed before it was locked.
            self.files.retain(self.manifest_key(parent.recovery_point), end)
        before = parse_iso(parent.locked_until) if parent and parent.locked_until else None
        keys, until = manifest.named(), ahead
        if parent and before and needed <= before <= ahead:
            keys, until = keys - parent.named(), before
        in_parallel(lambda key: self.files.retain(key, until), keys)
        return iso(until)

    def _lock_end(self, point: str) -> datetime:
        """Until when a point is to be kept, as far as a lock can say."""
        return lock_end(self.retention, moment_of(point))

    # --- Jobs --------------------------------------------------------------------------------------------------------

    def write_job(self, job: dict[str, object]) -> None:
        """Stores the record of a job under its `id`."""
        self.files.replace(f"_jobs/{self.scope}/{job['id']}.json", canonical(job))

    def jobs(self) -> list[dict[str, object]]:
        """Records of all jobs, in the order of their ids."""
        keys = [file.key for file in self.files.list(f"_jobs/{self.scope}/")]
        return [_OBJECT.decode(data) for data in in_parallel(self.files.read, keys)]

    # --- Sweep -------------------------------------------------------------------------------------------------------

    def sweep(
        self,
        *,
        grace: timedelta,
        without: Collection[str] = (),
        without_days: Collection[DayOfLog] = (),
        dry_run: bool = False,
    ) -> Swept:
        """Removes files that no recovery point and no day of a log names.

        Args:
            grace: Only files older than this; longer than any run takes.
            without: Recovery points to leave out of account, as if they were forgotten; for a dry run.
            without_days: Days of logs to leave out of account.
            dry_run: Say what would be removed, and remove nothing.

        Raises:
            ScopeBusy: A backup of the scope is running.
            IntegrityError: A manifest cannot be read, so that nobody knows which files it names; nothing is removed.
        """
        if dry_run:
            return self._sweep(grace, without, without_days, dry_run=True)
        with self._held():
            trim_indexes(self.files, self.scope, self.indexes(), self.points())
            return self._sweep(grace, (), (), dry_run=False)

    def _sweep(
        self, grace: timedelta, without: Collection[str], without_days: Collection[DayOfLog], *, dry_run: bool
    ) -> Swept:
        before = self.clock() - grace
        # Files first, manifests second: what is committed in between is not taken for an orphan.
        indexes = list(self.files.list(index_folder(self.scope)))
        prefixes = [f"_staged/{self.scope}/"]
        prefixes += [f"{name}/scope={self.scope}/" for name in self.files.folders() if not name.startswith("_")]
        old = [file for prefix in prefixes for file in self.files.list(prefix) if file.modified < before]
        remaining = set(self.points()) - set(without)
        named: set[str] = set()
        for manifest in in_turns(self.manifest, sorted(remaining)):
            named |= manifest.named()
        # Logs lie beside the object types.
        named |= self.logs.named(without_days)
        orphans = [file for file in old if file.key not in named]
        orphans += self._unread(indexes, remaining, before)
        locked = self._locked([file.key for file in orphans])
        orphans = [file for file in orphans if file.key not in locked]
        if not dry_run:
            self.files.delete([file.key for file in orphans])
        unfinished = self.files.clear_unfinished(before, dry_run=dry_run)
        return Swept([*(file.key for file in orphans), *unfinished], sum(file.size for file in orphans), sorted(locked))

    def _unread(self, indexes: Sequence[StoredFile], remaining: Collection[str], before: datetime) -> list[StoredFile]:
        """Files of the index that no question looks into: those of no point, and those that others stand in for.

        The others have been there for longer than a question takes: who looked up before which to read has read them.
        """
        since = self.clock() - _READING
        settled = {IndexFile.of(file.key): file for file in indexes if file.modified < since}
        counting = set(chosen_files(settled, remaining).values())
        there = sorted(remaining)
        return [
            file
            for one, file in settled.items()
            if one not in counting and (file.modified < before or any(map(one.may_have, there)))
        ]

    def _locked(self, keys: Sequence[str]) -> set[str]:
        """Those of some files that Object Lock still keeps."""
        if not self.files.object_lock:
            return set()
        now = self.clock()
        ends = zip(keys, in_parallel(self.files.retained_until, keys), strict=True)
        return {key for key, end in ends if end is not None and end > now}
