"""A place as a file system of DuckDB's: every byte that DuckDB reads comes through this process.

So DuckDB gets no secret, needs no access to disk or network, and cannot write. And what holds for every other read
holds for its reads: credentials are renewed, transient failures are tried again, names are no patterns.

An object is read from its end first, where Parquet keeps its footer: a small one comes whole with one request. Files
that a query lists by name are begun to be read when DuckDB looks up their names, many at once; it opens them singly.
"""

from __future__ import annotations

import io
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

import duckdb
from fsspec import AbstractFileSystem

from entra_pipeline.errors import EntraPipelineError, NotInStore
from entra_pipeline.store.backends.duckdb_errors import remembered_failure
from entra_pipeline.store.backends.duckdb_names import expression, fixed_part, literal, plain
from entra_pipeline.store.backends.object_store import ObjectStore

if TYPE_CHECKING:
    from entra_pipeline.store.backends.encryption.vault import Vault

_T = TypeVar("_T")

# DuckDB asks whether a file has changed since it looked; what is read here never changes under its name.
_ALWAYS = datetime(2000, 1, 1, tzinfo=UTC)
_END, _BLOCK = 128 << 10, 256 << 10
# DuckDB asks for size and footer of a file several times over while it plans and runs one query. Parquet files never
# change; others may.
_KEPT, _UNCHANGING = 512, ".parquet"
_AT_ONCE = 16

_mounted: WeakKeyDictionary[duckdb.DuckDBPyConnection, dict[str, _ReadOnly]] = WeakKeyDictionary()


class DuckDBFilesystem:
    """A place whose objects DuckDB reads by addresses that mean something to this process only.

    Args:
        files: The place.
        name: What tells it from others: addresses start with `store-NAME://`.
        require: Called with the key of each Parquet file before any of it is read; raises for what must not be read.
        visible: Tells by its key whether an object is there for DuckDB; None: all are.
    """

    def __init__(
        self,
        files: ObjectStore,
        name: str,
        require: Callable[[str], None] | None = None,
        visible: Callable[[str], bool] | None = None,
    ) -> None:
        self._files = files
        self._require = require
        self._visible = visible
        self._scheme = f"store-{name}"

    @property
    def vault(self) -> Vault | None:
        """What decrypts the place; None when nothing does."""
        return self._files.vault

    def url(self, key: str) -> str:
        """Returns the address by which DuckDB reads an object."""
        return f"{self._scheme}://{key}"

    def prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Enables a connection to read what `url` gives."""
        mount(connection, self._scheme, "", self._files)
        if self._require is not None:
            _mounted[connection][self._scheme].require = self._require
        _mounted[connection][self._scheme].visible = self._visible
        if self.vault is not None:
            self.vault.prepare(connection)


def mount(connection: duckdb.DuckDBPyConnection, scheme: str, root: str, files: ObjectStore) -> ObjectStore | None:
    """Enables a connection to read a place by addresses `scheme://root…`; several places may share a scheme.

    Args:
        connection: The DuckDB.
        scheme: Such as `s3`.
        root: What the addresses of all objects of the place start with after `://`.
        files: The place.

    Returns:
        Another place that is mounted there already; None when there is none.
    """
    mounted = _mounted.setdefault(connection, {})
    if scheme not in mounted:
        mounted[scheme] = _ReadOnly(scheme)
        connection.register_filesystem(mounted[scheme])
    there = mounted[scheme].places.setdefault(root, files)
    return None if there is files else there


@contextmanager
def remembered_listings(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Asks a place once for each listing meanwhile: DuckDB asks several times while it defines or reads one view."""
    systems = list(_mounted.get(connection, {}).values())
    for system in systems:
        system.listings = {}
    try:
        yield
    finally:
        for system in systems:
            system.listings = None


class _End(NamedTuple):
    """The size of an object, and its last bytes."""

    size: int
    data: bytes


class _ReadOnly(AbstractFileSystem):  # type: ignore[misc]
    """What DuckDB calls: to list and to read.

    Attributes:
        places: What addresses start with after the scheme → the place.
        listings: Listings that are remembered, by what they start with; None: none is.
        require: Called with the key of a file that never changes before any of it is read; None: nothing is.
        visible: Tells by its key whether an object is there; None: all are.

    Args:
        scheme: What addresses start with, without `://`.
    """

    cachable = False

    def __init__(self, scheme: str) -> None:
        super().__init__()
        self.protocol: str = scheme
        self.places: dict[str, ObjectStore] = {}
        self.listings: dict[str, list[str]] | None = None
        self.require: Callable[[str], None] | None = None
        self.visible: Callable[[str], bool] | None = None
        self._ends: OrderedDict[str, Future[_End]] = OrderedDict()
        self._turn = threading.Lock()

    def _find(self, path: str) -> tuple[str, ObjectStore, str]:
        """Returns the root that an address is under, its place, and the key."""
        name = path.removeprefix(f"{self.protocol}://")
        for root in sorted(self.places, key=len, reverse=True):
            # In a pattern, the root is escaped as every other name.
            for written in (root, literal(root)):
                if name.startswith(written):
                    key = name.removeprefix(written)
                    if not {"", ".", ".."}.intersection(key.split("/")):
                        return root, self.places[root], key
        raise PermissionError("this is no key of the store")

    def _object(self, path: str) -> tuple[ObjectStore, str]:
        """Returns the place of an object that is there for DuckDB, and its key."""
        _, files, key = self._find(path)
        if self.visible is not None and not self.visible(key):
            raise PermissionError("this object may not be read")
        return files, key

    def glob(self, path: str, **_: Any) -> list[str]:
        """Returns what matches a pattern, without the scheme; a name that is no pattern is not looked up."""
        root, files, pattern = self._find(path)
        if (only := plain(pattern)) is not None:
            if only.endswith(_UNCHANGING):
                self._begin(root + only)
            return [root + only]
        wanted = expression(pattern)
        return [root + key for key in self._list(root, files, fixed_part(pattern)) if wanted.fullmatch(key)]

    def open(self, path: str, mode: str = "rb", **_: Any) -> _File:
        """Opens an object, to read."""
        if mode != "rb":
            raise PermissionError("the store is only read")
        files, key = self._object(path)
        return _File(files, key, self._end(path))

    def size(self, path: str) -> int:
        """Returns the object's size."""
        return self._end(path).size

    def exists(self, path: str, **_: Any) -> bool:
        """Tells whether an object exists."""
        try:
            self.size(path)
        except NotInStore:
            return False
        return True

    def isdir(self, path: str) -> bool:
        """Returns False: a place has objects, no folders."""
        return False

    def modified(self, path: str) -> datetime:
        """Returns a moment that never changes, as objects never do."""
        return _ALWAYS

    def _list(self, root: str, files: ObjectStore, start: str) -> list[str]:
        remembered = self.listings
        if remembered is not None and root + start in remembered:
            return remembered[root + start]
        visible = self.visible or (lambda _: True)
        listed = _told(lambda: [file.key for file in files.list(start) if visible(file.key)])
        if remembered is not None:
            remembered[root + start] = listed
        return listed

    def _end(self, path: str) -> _End:
        name = path.removeprefix(f"{self.protocol}://")
        if not name.endswith(_UNCHANGING):
            return self._read_end(name)
        end = self._begin(name)
        try:
            return end.result()
        except EntraPipelineError:
            with self._turn:
                # Another query may fare better.
                self._ends.pop(name, None)
            raise

    def _begin(self, file: str) -> Future[_End]:
        """Begins to read the end of a file that never changes, unless that was done."""
        with self._turn:
            if file in self._ends:
                self._ends.move_to_end(file)
            else:
                self._ends[file] = _readers().submit(self._read_end, file)
                while len(self._ends) > _KEPT:
                    self._ends.popitem(last=False)
            return self._ends[file]

    def _read_end(self, file: str) -> _End:
        files, key = self._object(file)
        if (require := self.require) is not None and key.endswith(_UNCHANGING):
            _told(lambda: require(key))
        data, size = _told(lambda: files.slice(key, -_END, _END))
        return _End(size, data)


@cache
def _readers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_AT_ONCE, "reads for DuckDB")


# A process that was forked has no threads.
os.register_at_fork(after_in_child=_readers.cache_clear)


class _File(io.RawIOBase):
    """An object that is read in pieces.

    Args:
        files: The place.
        key: The object's key.
        end: Its size and end.
    """

    def __init__(self, files: ObjectStore, key: str, end: _End) -> None:
        super().__init__()
        self._files, self._key, self._size = files, key, end.size
        self._position = 0
        # The two pieces that were read last: the end, and another one. Each with where it starts.
        self._pieces = [(end.size - len(end.data), end.data)]

    def readable(self) -> bool:
        """Returns True."""
        return True

    def seekable(self) -> bool:
        """Returns True."""
        return True

    def tell(self) -> int:
        """Returns where the next read begins."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves to where the next read begins."""
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        return self._position

    def read(self, number: int = -1) -> bytes:
        """Returns the next bytes, all of them that are asked for where the object has as many."""
        start = self._position
        stop = self._size if number < 0 else min(self._size, start + number)
        self._position = max(start, stop)
        if start >= stop:
            return b""
        for first, data in self._pieces:
            if first <= start and stop <= first + len(data):
                return data[start - first : stop - first]
        data, _ = _told(lambda: self._files.slice(self._key, start, max(stop - start, _BLOCK)))
        self._pieces[1:] = [(start, data)]
        return data[: stop - start]


def _told(work: Callable[[], _T]) -> _T:
    """Does work for DuckDB; what it raises is found again by `storage_error`."""
    with remembered_failure():
        return work()
