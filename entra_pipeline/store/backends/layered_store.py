"""A place above a place: what a layer does not do in its own way, the place below does."""

# ruff: noqa: D102 - what the methods do is said in `object_store`

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from entra_pipeline.clock import Clock
from entra_pipeline.store.backends.locks import LockHandle
from entra_pipeline.store.backends.object_store import ObjectStore, StoredFile

if TYPE_CHECKING:
    import duckdb


class LayeredObjectStore(ObjectStore):
    """A place that passes everything on to another. A layer overrides what it writes and reads in its own way.

    Args:
        place: The place below.

    Attributes:
        place: The same.
    """

    def __init__(self, place: ObjectStore) -> None:
        self.place = place
        self.object_lock = place.object_lock
        self.signed = place.signed

    def __str__(self) -> str:
        return str(self.place)

    def create(self, key: str, data: bytes, *, until: datetime | None = None) -> None:
        self.place.create(key, data, until=until)

    def replace(self, key: str, data: bytes) -> None:
        self.place.replace(key, data)

    def upload(self, key: str, path: Path) -> None:
        self.place.upload(key, path)

    def upload_in_parts(self, key: str, path: Path) -> None:
        self.place.upload_in_parts(key, path)

    def read(self, key: str) -> bytes:
        return self.place.read(key)

    def stream(self, key: str) -> Iterator[bytes]:
        return self.place.stream(key)

    def slice(self, key: str, start: int, length: int) -> tuple[bytes, int]:
        return self.place.slice(key, start, length)

    def size(self, key: str) -> int:
        return self.place.size(key)

    def list(self, prefix: str) -> Iterator[StoredFile]:
        return self.place.list(prefix)

    def folders(self) -> Sequence[str]:
        return self.place.folders()

    def retained_until(self, key: str) -> datetime | None:
        return self.place.retained_until(key)

    def retain(self, key: str, until: datetime) -> None:
        self.place.retain(key, until)

    def delete(self, keys: Iterable[str]) -> None:
        self.place.delete(keys)

    def destroy(self, keys: Iterable[str]) -> None:
        self.place.destroy(keys)

    def url(self, key: str) -> str:
        return self.place.url(key)

    def prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.place.prepare(connection)

    def lock(self, key: str, what: str, clock: Clock) -> AbstractContextManager[LockHandle]:
        return self.place.lock(key, what, clock)

    def clear_unfinished(self, before: datetime, *, dry_run: bool = False) -> Sequence[str]:
        return self.place.clear_unfinished(before, dry_run=dry_run)

    def check(self) -> None:
        self.place.check()
