"""The two kinds of storage of a simulation, a folder and a bucket, and what can be done to them past the engine."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

from entra_pipeline.store.backends import LocalObjectStore, ObjectStore
from tests.proof.places import AgingFolder
from tests.proof.virtual import Universe


class Shelf(ABC):
    """A storage.

    Attributes:
        files: As the engine opens it.
        lease_seconds: How long the lock of a process that was killed lasts.
    """

    files: ObjectStore
    lease_seconds = 0.0

    @abstractmethod
    def read(self, key: str) -> bytes:
        """Returns a stored file."""

    @abstractmethod
    def write(self, key: str, data: bytes | None) -> None:
        """Writes a stored file, or removes it (None)."""

    @abstractmethod
    def readable(self) -> ObjectStore:
        """Returns what DuckDB can read all of by patterns."""

    @property
    def requests(self) -> int:
        """Requests to the storage since `fail`."""
        return 0

    @property
    def killed(self) -> bool:
        """Whether a process died at one of them."""
        return False

    def fail(self, rate: float, kinds: Sequence[str], dies_at: int = -1) -> None:
        """Lets this share of requests to the storage fail, and a process die after one, where there are any."""
        _ = rate, kinds, dies_at


class FolderShelf(Shelf):
    """A folder."""

    def __init__(self, folder: Path, universe: Universe) -> None:
        self._root = folder / "store"
        self.files = AgingFolder(self._root, universe)

    def read(self, key: str) -> bytes:
        return (self._root / key).read_bytes()

    def write(self, key: str, data: bytes | None) -> None:
        path = self._root / key
        if data is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def readable(self) -> ObjectStore:
        return self.files


class BucketShelf(Shelf):
    """A bucket."""

    lease_seconds = 100.0

    def __init__(self, folder: Path, told: Callable[[str], None]) -> None:
        # boto3 and moto take a second to import.
        from tests.proof import buckets

        self._buckets = buckets
        self._folder = folder
        self.files, self._wire = buckets.new_bucket(folder / "mirror", told)

    def read(self, key: str) -> bytes:
        return self._buckets.all_objects()[key]

    def write(self, key: str, data: bytes | None) -> None:
        if data is None:
            self._buckets.drop(key)
        else:
            self._buckets.put(key, data)

    def readable(self) -> ObjectStore:
        copy = self._folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        for key, data in self._buckets.all_objects().items():
            path = copy / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return LocalObjectStore(copy)

    @property
    def requests(self) -> int:
        return self._wire.count

    @property
    def killed(self) -> bool:
        return self._wire.dead

    def fail(self, rate: float, kinds: Sequence[str], dies_at: int = -1) -> None:
        self._wire.rate, self._wire.kinds, self._wire.dies_at = rate, tuple(kinds), dies_at
        self._wire.count, self._wire.dead = 0, False
