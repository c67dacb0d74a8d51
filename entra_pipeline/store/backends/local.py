"""A local folder: its settings, and the folder as an object store.

A file gets its name when all of its bytes are on disk; the lock is one of the operating system, by flock(2).
"""

# ruff: noqa: D102 - what the methods do is said in `object_store` and `settings`

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from shutil import copyfileobj
from typing import TYPE_CHECKING, Annotated, BinaryIO, ClassVar, Literal, Protocol
from uuid import uuid4

import msgspec
from pydantic import Field

from entra_pipeline.clock import Clock, iso
from entra_pipeline.errors import AlreadyExists, EntraPipelineError, NotInStore, ScopeBusy, StoreError
from entra_pipeline.settings.fields import FilePath
from entra_pipeline.store.backends.locks import HOLDER_DECODER, Holder, LockHandle
from entra_pipeline.store.backends.object_store import CHUNK, ErrorFactory, ObjectStore, StoredFile, store_error
from entra_pipeline.store.backends.settings import StorageSettings

if TYPE_CHECKING:
    import duckdb

# Bytes on their way; on the same file system as their destination, and outside of every listing.
_UNFINISHED = ".unfinished"
# What is stored is of people: nobody else on the machine reads it.
_FILE, _FOLDER = 0o600, 0o700
_FULL = {errno.ENOSPC, errno.EDQUOT}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR}


class LocalStorage(StorageSettings):
    """A folder on this machine."""

    about: ClassVar[str] = "a folder on this machine"

    kind: Literal["local"]
    path: Annotated[
        FilePath, Field(title="Folder", description="On this machine; it is made when something is written.")
    ]

    @property
    def root(self) -> Path:
        """The folder, absolute."""
        return self.resolve(self.path)

    def place(self) -> LocalObjectStore:
        # DuckDB takes a backslash for another `/`.
        if "\\" in str(self.root) or not str(self.root).isprintable():
            raise self.error(
                "path",
                f"{str(self.root)!r} has a backslash or a character that cannot be seen",
                remedy="Name a folder without.",
            )
        return LocalObjectStore(self.root, error_factory=self.error)

    def location(self) -> str:
        return str(self.root)

    def facts(self) -> list[tuple[str, str]]:
        return [("Folder", str(self.path)), *self.protection()]


class LocalObjectStore(ObjectStore):
    """A folder; made when something is written.

    Args:
        root: The folder.
        error_factory: Makes the error when the folder's path cannot be used (key `path`).
    """

    def __init__(self, root: Path, *, error_factory: ErrorFactory = store_error) -> None:
        self.root = root.absolute()
        self._error_factory = error_factory

    def __str__(self) -> str:
        return str(self.root)

    def create(self, key: str, data: bytes, *, until: datetime | None = None) -> None:
        with self._explained(key), self._unfinished() as (file, written):
            file.write(data)
            _sync(file)
            try:
                self._place(key, lambda path: os.link(written, path))
            except FileExistsError:
                raise AlreadyExists(f"{self._path(key)} exists already") from None

    def replace(self, key: str, data: bytes) -> None:
        with self._explained(key), self._unfinished() as (file, written):
            file.write(data)
            _sync(file)
            self._place(key, written.replace)

    def upload(self, key: str, path: Path) -> None:
        with self._explained(key), self._unfinished() as (file, written):
            with path.open("rb") as source:
                copyfileobj(source, file, CHUNK)
            _sync(file)
            self._place(key, written.replace)

    def stream(self, key: str) -> Iterator[bytes]:
        with self._explained(key), self._path(key).open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk

    def slice(self, key: str, start: int, length: int) -> tuple[bytes, int]:
        with self._explained(key), self._path(key).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size + start) if start < 0 else start)
            return file.read(length), size

    def size(self, key: str) -> int:
        with self._explained(key):
            return self._path(key).stat().st_size

    def list(self, prefix: str) -> Iterator[StoredFile]:
        folder = self.root / prefix.rpartition("/")[0]
        found = []
        with self._explained(prefix):
            for parent, folders, names in os.walk(folder, onerror=_raise_unless_absent):
                folders[:] = [name for name in folders if not name.startswith(".")]
                for name in names:
                    path = Path(parent, name)
                    key = path.relative_to(self.root).as_posix()
                    if key.startswith(prefix):
                        try:
                            state = path.stat()
                        except FileNotFoundError:
                            # Deleted since the folder was read.
                            continue
                        found.append(StoredFile(key, state.st_size, datetime.fromtimestamp(state.st_mtime, UTC)))
        yield from sorted(found)

    def folders(self) -> Sequence[str]:
        with self._explained(""):
            if not self.root.exists():
                return []
            return sorted(path.name for path in self.root.iterdir() if path.is_dir() and path.name[0] != ".")

    def retained_until(self, key: str) -> datetime | None:
        """Returns None: a folder has no Object Lock."""
        return None

    def retain(self, key: str, until: datetime) -> None:
        """Does nothing: a folder has no Object Lock."""

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            path = self._path(key)
            with self._explained(key):
                path.unlink(missing_ok=True)
            for folder in path.parents:
                if folder == self.root:
                    break
                try:
                    folder.rmdir()
                except OSError:
                    # Not empty, or gone already.
                    break

    def url(self, key: str) -> str:
        return str(self._path(key))

    def prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Does nothing: DuckDB reads local files by itself."""

    @contextmanager
    def lock(self, key: str, what: str, clock: Clock) -> Iterator[LockHandle]:
        """As `ObjectStore.lock`, by flock(2): the lock ends with the process, however that ends."""
        path = self._path(f"{key}.lock")
        with self._explained(key):
            _make_folder(path.parent)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, _FILE)
        with os.fdopen(descriptor, "r+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise _busy(file, what) from None
            file.truncate(0)
            file.write(msgspec.json.encode(Holder.here(iso(clock()))))
            file.flush()
            yield _Flock()

    def clear_unfinished(self, before: datetime, *, dry_run: bool = False) -> Sequence[str]:
        left = []
        with self._explained(_UNFINISHED):
            for path in sorted((self.root / _UNFINISHED).glob("*")):
                if datetime.fromtimestamp(path.stat().st_mtime, UTC) < before:
                    left.append(f"{_UNFINISHED}/{path.name}")
                    if not dry_run:
                        path.unlink(missing_ok=True)
        return left

    def _path(self, key: str) -> Path:
        parts = PurePosixPath(key)
        if parts.is_absolute() or ".." in parts.parts:
            raise StoreError(f"{key!r} is not a key: it leads out of the storage", remedy="Run verify on the scope.")
        return self.root / parts

    @contextmanager
    def _unfinished(self) -> Iterator[tuple[BinaryIO, Path]]:
        folder = self.root / _UNFINISHED
        _make_folder(folder)
        path = folder / uuid4().hex
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE), "wb") as file:
                yield file, path
        finally:
            path.unlink(missing_ok=True)

    def _place(self, key: str, move: _Move) -> None:
        """Gives written bytes their name, durably: the folders on the way are new or synced too."""
        path = self._path(key)
        for attempt in range(3):
            fresh = [folder for folder in path.parents if not folder.exists()]
            _make_folder(path.parent)
            try:
                move(path)
            except FileNotFoundError:
                # A delete took the folder, empty for a moment, in between.
                if attempt == 2:
                    raise
            else:
                break
        for folder in {path.parent, *(folder.parent for folder in fresh)}:
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    @contextmanager
    def _explained(self, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._error(key, error) from error

    def _error(self, key: str, error: OSError) -> EntraPipelineError:
        if isinstance(error, FileNotFoundError):
            return NotInStore(f"{self.root / key} does not exist")
        reason = os.strerror(error.errno) if error.errno else str(error)
        if error.errno in _FULL:
            return StoreError(f"{self.root} is full ({reason})", remedy="Free space there, or move the storage.")
        if error.errno in _REFUSED:
            return self._error_factory(
                "path",
                f"{error.filename or self.root / key} cannot be used ({reason})",
                remedy="Name a folder that this user may read and write.",
            )
        return StoreError(f"{self.root / key}: {reason}", remedy="Look at the disk and the file system.")


class _Flock:
    """A lock that cannot be lost while its process lives."""

    def confirm(self) -> None:
        """Does nothing."""


class _Move(Protocol):
    def __call__(self, path: Path, /) -> object: ...


def _busy(file: BinaryIO, what: str) -> ScopeBusy:
    try:
        return HOLDER_DECODER.decode(file.read()).busy(what)
    except msgspec.DecodeError:
        # The holder has the lock and has not said yet who it is.
        return ScopeBusy(f"{what} is held by another process", remedy="Wait until it has ended.")


def _make_folder(folder: Path) -> None:
    """Makes a folder, and those that lead to it, for this user alone; those that are there stay as they are."""
    for one in [*[above for above in folder.parents if not above.exists()][::-1], folder]:
        one.mkdir(_FOLDER, exist_ok=True)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _raise_unless_absent(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
