"""What a place for named byte objects can do, whatever it is made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol
from uuid import uuid4

from entra_pipeline.clock import Clock
from entra_pipeline.errors import AlreadyExists, DeleteRefused, EntraPipelineError, StorageUnfit, StoreError
from entra_pipeline.store.backends.encryption.names import ENCRYPTION
from entra_pipeline.store.backends.locks import LockHandle

if TYPE_CHECKING:
    import duckdb

    from entra_pipeline.store.backends.encryption.vault import Vault

CHUNK = 1 << 20
PROBES = "_check/"
"""What the keys of objects start with that checks write."""
_PROBE = b"first"
_CHECKING = timedelta(hours=1)


class StoredFile(NamedTuple):
    """An object in a listing: its key, its size in bytes, when it was last written (aware, UTC)."""

    key: str
    size: int
    modified: datetime


class ErrorFactory(Protocol):
    """Makes the error for a setting that proved wrong in use, for example `ConfigurationError` with file and key."""

    def __call__(self, key: str, message: str, /, *, remedy: str) -> EntraPipelineError:
        """Makes the error; `key` is the name of the setting in its table."""


def store_error(_key: str, message: str, /, *, remedy: str) -> EntraPipelineError:
    """Makes the error when nothing is known of a configuration file."""
    return StoreError(message, remedy=remedy)


class Readable(Protocol):
    """A place that DuckDB can read.

    Attributes:
        vault: What decrypts; None: nothing is encrypted, or this machine has no key.
    """

    @property
    def vault(self) -> Vault | None: ...  # noqa: D102

    def url(self, key: str) -> str:
        """Returns the address by which DuckDB reads an object."""

    def prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Enables a DuckDB connection to read what `url` gives."""


class ObjectStore(ABC):
    """Named byte objects. Keys are relative, with `/` between their parts.

    Every method raises StoreError when the place cannot be reached, is full or refuses, and the error of
    `ErrorFactory` when that is the fault of a setting.
    """

    object_lock: bool = False
    """Whether objects can be kept from being deleted (S3 user guide, "Locking objects with Object Lock")."""

    signed: bool = False
    """Whether records are signed (`signing`)."""

    vault: Vault | None = None
    """What encrypts and decrypts (`encryption`); None: nothing is encrypted, or this machine has no key."""

    @abstractmethod
    def create(self, key: str, data: bytes, *, until: datetime | None = None) -> None:
        """Writes a new object, all or nothing; raises AlreadyExists when the key is taken.

        Args:
            key: Its key.
            data: Its bytes.
            until: Where there is Object Lock: nobody can delete it before.
        """

    @abstractmethod
    def replace(self, key: str, data: bytes) -> None:
        """Writes a small object over whatever is there; a reader sees the old bytes or the new."""

    @abstractmethod
    def upload(self, key: str, path: Path) -> None:
        """Stores a local file, however large; it becomes visible when all of it has arrived."""

    def upload_in_parts(self, key: str, path: Path) -> None:
        """As `upload`, in the way in which very large files are stored."""
        self.upload(key, path)

    @abstractmethod
    def stream(self, key: str) -> Iterator[bytes]:
        """Returns the object in pieces of about 1 MiB; raises NotInStore when it is absent."""

    def read(self, key: str) -> bytes:
        """Returns the whole object; raises NotInStore when it is absent."""
        return b"".join(self.stream(key))

    @abstractmethod
    def slice(self, key: str, start: int, length: int) -> tuple[bytes, int]:
        """Returns some bytes of an object, and the size of the whole; raises NotInStore when it is absent.

        Args:
            key: Its key.
            start: Of the first byte; counted from the end when negative.
            length: At most so many; fewer come where the object ends.
        """

    @abstractmethod
    def size(self, key: str) -> int:
        """Returns the object's size in bytes; raises NotInStore when it is absent."""

    @abstractmethod
    def list(self, prefix: str) -> Iterator[StoredFile]:
        """Returns the objects whose key starts with `prefix`, in the order of their keys."""

    @abstractmethod
    def folders(self) -> Sequence[str]:
        """Returns the first parts of all keys that have more than one part."""

    @abstractmethod
    def retained_until(self, key: str) -> datetime | None:
        """Returns until when Object Lock keeps an object; None when it does not. Raises NotInStore."""

    @abstractmethod
    def retain(self, key: str, until: datetime) -> None:
        """Keeps an object from being deleted before a moment; never shortens. Raises NotInStore.

        Does nothing where there is no Object Lock.
        """

    @abstractmethod
    def delete(self, keys: Iterable[str]) -> None:
        """Removes objects, with all their versions; keys that are absent are fine.

        Raises:
            DeleteRefused: The credentials may not delete, or an object is locked.
        """

    def destroy(self, keys: Iterable[str]) -> None:
        """Removes objects so that nothing of them is left where they were: with all versions, whatever is configured.

        Raises:
            DeleteRefused: As `delete`.
            StoreError: A version is left.
        """
        self.delete(keys)

    def clear(self, keys: Iterable[str]) -> None:
        """Removes objects that do no harm where they are; they stay where deleting is refused."""
        with suppress(DeleteRefused):
            self.delete(keys)

    @abstractmethod
    def url(self, key: str) -> str:
        """Returns the address by which DuckDB reads an object: an absolute path or `s3://bucket/key`."""

    @abstractmethod
    def prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Enables a DuckDB connection to read what `url` gives."""

    @abstractmethod
    def lock(self, key: str, what: str, clock: Clock) -> AbstractContextManager[LockHandle]:
        """Holds a name exclusively among all processes that use this place; raises ScopeBusy when it is held.

        Args:
            key: The name; objects under it belong to the lock.
            what: What is held, for the message.
            clock: The time.
        """

    @abstractmethod
    def clear_unfinished(self, before: datetime, *, dry_run: bool = False) -> Sequence[str]:
        """Removes the remains of writes that were begun before a moment and never ended; returns their names."""

    def check(self) -> None:
        """Writes, reads and removes a small object, and tries to create it twice.

        Where nothing can be deleted the object stays, and serves the next check.

        Raises:
            StoreError: The place cannot be used; or it overwrites where it was asked to create, and so could lose a
                recovery point.
        """
        key = self._probe()
        try:
            for data in (_PROBE, b"second"):
                try:
                    self.create(key, data)
                except AlreadyExists:
                    break
            else:
                raise no_conditional_writes(
                    str(self), "overwrites an object that was to be created only when absent (If-None-Match is ignored)"
                )
            if self.read(key) != _PROBE:
                raise StoreError(f"{self} gave back other bytes than were written", remedy="Use another storage.")
        finally:
            self.clear([key])

    def check_key(self) -> None:
        """Checks that what is written here will be encrypted, where what is there is.

        Raises:
            StoreError: What is there is encrypted, and the profile has no key; or it is to be encrypted, and there is
                no data key yet.
        """
        if self.vault is not None:
            self.vault.newest  # noqa: B018 - raises
        elif next(iter(self.list(ENCRYPTION)), None) is not None:
            raise StoreError(
                f"{self} is encrypted, and its profile has no encryption: what is written would be readable",
                remedy="Set encryption in the storage profile, as on the machine that runs the backups.",
            )

    def _probe(self) -> str:
        """Returns the key of the object that a check writes: one that an earlier check had to leave, or a new one."""
        # A younger one may be another process's, which is about to delete it.
        long_ago = datetime.now(UTC) - _CHECKING
        left = (file.key for file in self.list(PROBES) if file.modified < long_ago and file.size == len(_PROBE))
        return next(left, f"{PROBES}{uuid4().hex}")


def no_conditional_writes(place: str, what: str) -> StorageUnfit:
    """Makes the error for a service that does not create objects only when they are absent."""
    return StorageUnfit(
        f"{place} {what}",
        remedy="Conditional writes are missing (If-None-Match: * on PUT): without them one backup could overwrite "
        "another's. Use a service or a newer release that has them, a bucket with Object Lock (its versions serve as "
        "well; set object_lock), or a local folder.",
    )
