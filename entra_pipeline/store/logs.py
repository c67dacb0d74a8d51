"""Days of logs: their files, their manifests, and the moment when a day's new entries become visible.

What belongs here: the layout and the commit protocol of logs (docs/storage-format.md). What does not: which days are
read, and how (`backup.logs`).

A day is a set of immutable Parquet files and a manifest that names them, replaced whole after every read. Files come
first, the manifest last: what a killed run leaves is a file that nobody names.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec

from entra_pipeline.clock import Clock, system_clock
from entra_pipeline.errors import IntegrityError, NotInStore, StoreError
from entra_pipeline.settings.periods import FOREVER, Period
from entra_pipeline.store.backends import LockHandle, ObjectStore
from entra_pipeline.store.checksums import part_problem, size_problem
from entra_pipeline.store.manifest import Gap, canonical, decode_sealed, seal
from entra_pipeline.store.object_lock import lock_end
from entra_pipeline.store.parallel import in_parallel
from entra_pipeline.store.points.confidential import concealed_day, encrypted_part, revealed_day
from entra_pipeline.store.points.keys import table_folder
from entra_pipeline.store.state import parquet, sql_text

FORMAT = "entra-pipeline/log-day"
VERSION = 2
_SUFFIX = ".json"


class LogPart(msgspec.Struct, frozen=True, kw_only=True):
    """A Parquet file of a day.

    Attributes:
        key: Where it is, from the root of the store.
        rows: Rows in it.
        bytes: Its size.
        sha256: SHA-256 of its bytes, in hexadecimal.
    """

    key: str
    rows: int
    bytes: int
    sha256: str


class LogRead(msgspec.Struct, frozen=True, kw_only=True):
    """One reading of a day, or of a part of it.

    Attributes:
        first: From when on entries were asked for, RFC 3339.
        end: Before when; the next day, or the moment of the read when that came earlier.
        started: First request, RFC 3339.
        finished: Last request, RFC 3339.
        rows: Entries that Graph gave.
        added: Those that were new.
        changed: Those that were known, and say something else now.
        pages: Pages of the query, each followed to the next until Graph named none.
        requests: Requests of the query; a query over several days is counted at the first of them, 0 at the others.
    """

    first: str
    end: str
    started: str
    finished: str
    rows: int
    added: int
    changed: int
    pages: int
    requests: int


class LogDay(msgspec.Struct, frozen=True, kw_only=True):
    """A day of a log, as far as it has been read.

    Attributes:
        format: Says what the file is.
        version: Version of the format; a reader refuses one that it does not know.
        tool: What wrote it, with its version.
        scope: Name of the scope.
        tenant_id: Id of the tenant.
        log: Name of the log.
        day: The day in UTC, for example `2026-11-23`.
        rows: Different entries.
        first: Time of the first entry, RFC 3339; empty when there is none.
        last: Time of the last entry.
        complete: The day was over, and late entries had had time to come, when all of it was last read.
        read_to: Up to when entries have been read without a break, RFC 3339; empty when never.
        parts: Its files, oldest first; of entries that are in several, the newest file has the valid one.
        reads: How it was read, oldest first.
        misfits: Values that did not fit their column and are only in `_raw`, by column.
        gaps: What is missing.
        notes: What a person should know.
        seal: SHA-256 of the manifest's own bytes with an empty seal.
        encrypted: Where the store is encrypted: what of it may name people (`confidential`).
    """

    format: str = FORMAT
    version: int = VERSION
    tool: str
    scope: str
    tenant_id: str
    log: str
    day: str
    rows: int = 0
    first: str = ""
    last: str = ""
    complete: bool = False
    read_to: str = ""
    parts: tuple[LogPart, ...] = ()
    reads: tuple[LogRead, ...] = ()
    misfits: dict[str, int] = {}
    gaps: tuple[Gap, ...] = ()
    notes: tuple[str, ...] = ()
    seal: str = ""
    encrypted: str | msgspec.UnsetType = msgspec.UNSET

    @property
    def date(self) -> date:
        """The day."""
        return date.fromisoformat(self.day)


_LOG_DAY_DECODER = msgspec.json.Decoder(LogDay)


class DayOfLog(NamedTuple):
    """A day of one of a scope's logs."""

    log: str
    day: date

    @property
    def end(self) -> datetime:
        """The first moment after it."""
        return datetime(self.day.year, self.day.month, self.day.day, tzinfo=UTC) + timedelta(days=1)


class LogStore:
    """The logs of one scope.

    Args:
        files: The place.
        scope: Name of the scope.
        clock: The time.
        retention: How long a day is kept after its end: so long nobody can delete it where there is Object Lock.
    """

    def __init__(
        self, files: ObjectStore, scope: str, clock: Clock = system_clock, retention: Period = FOREVER
    ) -> None:
        self.files = files
        self.scope = scope
        self.retention = retention
        self._clock = clock
        self._hold: LockHandle | None = None

    # --- What is there -----------------------------------------------------------------------------------------------

    def days(self, log: str) -> list[date]:
        """Returns the days of a log that have a manifest, oldest first."""
        prefix = f"{self._root}{log}/"
        keys = [file.key for file in self.files.list(prefix) if file.key.endswith(_SUFFIX)]
        return sorted(date.fromisoformat(key.removeprefix(prefix).removesuffix(_SUFFIX)) for key in keys)

    def all_days(self) -> list[DayOfLog]:
        """Returns the days of all logs that have a manifest, by log, oldest first."""
        return sorted(self._day_of(file.key) for file in self.files.list(self._root) if file.key.endswith(_SUFFIX))

    def _day_of(self, key: str) -> DayOfLog:
        log, _, day = key.removeprefix(self._root).removesuffix(_SUFFIX).partition("/")
        return DayOfLog(log, date.fromisoformat(day))

    def held(self, log: str, days: Iterable[date] | None = None) -> dict[date, LogDay]:
        """Returns the manifests of a log, by day; of the given days only, if any, as far as they exist.

        Raises:
            IntegrityError: A manifest is not what was written.
        """
        wanted = None if days is None else set(days)
        present = [day for day in self.days(log) if wanted is None or day in wanted]
        return dict(zip(present, in_parallel(lambda day: self.day(log, day), present), strict=True))

    def day(self, log: str, day: date) -> LogDay:
        """Returns a day of a log.

        Raises:
            NotInStore: The day was never read.
            IntegrityError: Its manifest is not what was written.
        """
        key = self.manifest_key(log, day)
        found = self._decoded(key)
        if (found.scope, found.log, found.day) != (self.scope, log, day.isoformat()):
            raise IntegrityError(
                f"{key} is the manifest of {found.log} of {found.day} of scope {found.scope!r}",
                remedy="Restore the file from a copy of the storage.",
            )
        return found

    def _decoded(self, key: str) -> LogDay:
        found = decode_sealed(self.files.read(key), key, _LOG_DAY_DECODER, format=FORMAT, version=VERSION)
        return revealed_day(self.files, key, found)

    def manifest_key(self, log: str, day: date) -> str:
        """Returns the key of a day's manifest."""
        return f"{self._root}{log}/{day.isoformat()}{_SUFFIX}"

    def named(self, without: Collection[DayOfLog] = ()) -> set[str]:
        """Returns the keys of all files that a day names, but for some days."""
        left_out = {self.manifest_key(*one) for one in without}
        keys = [file.key for file in self.files.list(self._root) if file.key not in left_out]
        return {part.key for day in in_parallel(self._decoded, keys) for part in day.parts}

    def problems(self, day: LogDay) -> list[str]:
        """Compares the bytes of a day's files with its manifest, and returns what differs."""

        def problem(part: LogPart) -> str:
            try:
                found = part_problem(self.files, part)
            except NotInStore:
                found = "is not in the store"
            return f"{part.key} {found}" if found else ""

        return [found for found in in_parallel(problem, day.parts) if found]

    def query(self, days: Sequence[LogDay], columns: str = "*", *, where: str = "true") -> str:
        """Makes the SQL of the entries of some days of one log, each once: the newest file that has an entry counts.

        Args:
            days: The days, at least one of them with files.
            columns: What to select.
            where: A condition over what never changes of an entry.
        """
        parts = [part for day in days for part in day.parts]
        urls = ", ".join(sql_text(self.files.url(part.key)) for part in parts)
        source = parquet(self.files, parts, ", filename = '_file'")
        return (
            f"SELECT {columns} FROM (SELECT * FROM {source} WHERE {where} QUALIFY "
            f"row_number() OVER (PARTITION BY id ORDER BY list_position([{urls}], _file) DESC) = 1)"
        )

    # --- One at a time -----------------------------------------------------------------------------------------------

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the scope's logs: no other process reads them meanwhile. Backups of the scope go on beside it.

        Raises:
            ScopeBusy: Somebody else does; the message says who, where, and since when.
        """
        # No scope has a dot in its name.
        with self.files.lock(f"_locks/{self.scope}.logs", f"the logs of scope {self.scope!r}", self._clock) as hold:
            self._hold = hold
            try:
                yield
            finally:
                self._hold = None

    # --- Writing -----------------------------------------------------------------------------------------------------

    def write_part(self, log: str, day: date, path: Path, *, rows: int) -> LogPart:
        """Stores a Parquet file of a day, under a name that no other read of the day can choose."""
        name = f"part-{self._clock():%Y-%m-%dT%H-%M-%SZ}-{secrets.token_hex(4)}.parquet"
        key = encrypted_part(self.files, f"{table_folder(self.scope, log)}log-day={day.isoformat()}/{name}", path)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self.files.upload(key, path)
        return LogPart(key=key, rows=rows, bytes=path.stat().st_size, sha256=digest)

    def commit(self, day: LogDay, fresh: Sequence[LogPart] = (), *, closed: bool = False) -> LogDay:
        """Makes a day visible as it is now: checks the files that it names, then replaces its manifest.

        Where there is Object Lock, files are locked at once, and the manifest when it is not to be replaced any more.

        Args:
            day: The day; the seal is filled in here.
            fresh: Those of its files that were written since its last manifest: their bytes are checked, too.
            closed: Nothing of the day can come any more.

        Returns:
            The day as it was stored.

        Raises:
            IntegrityError: A file is absent or differs.
            ScopeBusy: The lock was lost.
            StoreError: The lock is not held.
        """
        if self._hold is None:
            raise StoreError(f"the logs of scope {self.scope!r} are written without their lock")
        for part in day.parts:
            try:
                problem = part_problem(self.files, part) if part in fresh else size_problem(self.files, part)
            except NotInStore:
                problem = "is not in the store"
            if problem:
                raise IntegrityError(f"{part.key} {problem}", remedy="Restore the file from a copy of the storage.")
        key = self.manifest_key(day.log, day.date)
        sealed = seal(concealed_day(self.files, key, day))
        until = lock_end(self.retention, DayOfLog(day.log, day.date).end)
        locking = self.files.object_lock and until > self._clock()
        if locking:
            in_parallel(lambda part: self.files.retain(part.key, until), fresh)
        self._hold.confirm()
        self.files.replace(key, canonical(sealed))
        if locking and closed:
            self.files.retain(key, until)
        return msgspec.structs.replace(day, seal=sealed.seal, encrypted=sealed.encrypted)

    def forget(self, days: Iterable[DayOfLog]) -> None:
        """Removes the manifests of days: from now on nobody names their files. The caller holds the lock."""
        if self._hold is None:
            raise StoreError(f"the logs of scope {self.scope!r} are pruned without their lock")
        self._hold.confirm()
        self.files.delete([self.manifest_key(*one) for one in days])

    @property
    def _root(self) -> str:
        return f"_logs/{self.scope}/"
