"""A place that dies in the middle of its work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import duckdb

from entra_pipeline.clock import Clock
from entra_pipeline.store.backends import LockHandle, ObjectStore, StoredFile

_T = TypeVar("_T")


class Killed(BaseException):
    """The process ends here; not an Exception, so that nothing can catch it by accident."""


class DyingFiles(ObjectStore):
    """Real files, until the operation of a given number: it is done or not done, and then nothing more happens.

    Args:
        files: The real ones.
        survives: Operations that succeed before the fatal one.
        done: Whether the fatal operation takes effect.
    """

    def __init__(self, files: ObjectStore, survives: int, *, done: bool) -> None:
        self._files = files
        self.object_lock = files.object_lock
        self._left = survives
        self._done = done

    def _step(self, operation: Callable[[], _T]) -> _T:
        if self._left > 0:
            self._left -= 1
            return operation()
        if self._left == 0 and self._done:
            operation()
        self._left = -1
        raise Killed

    def create(self, key: str, data: bytes, *, until: datetime | None = None) -> None:
        self._step(lambda: self._files.create(key, data, until=until))

    def replace(self, key: str, data: bytes) -> None:
        self._step(lambda: self._files.replace(key, data))

    def upload(self, key: str, path: Path) -> None:
        self._step(lambda: self._files.upload(key, path))

    def stream(self, key: str) -> Iterator[bytes]:
        yield from self._step(lambda: list(self._files.stream(key)))

    def slice(self, key: str, start: int, length: int) -> tuple[bytes, int]:
        return self._step(lambda: self._files.slice(key, start, length))

    def size(self, key: str) -> int:
        return self._step(lambda: self._files.size(key))

    def list(self, prefix: str) -> Iterator[StoredFile]:
        yield from self._step(lambda: sorted(self._files.list(prefix)))

    def folders(self) -> Sequence[str]:
        return self._step(self._files.folders)

    def retained_until(self, key: str) -> datetime | None:
        return self._step(lambda: self._files.retained_until(key))

    def retain(self, key: str, until: datetime) -> None:
        self._step(lambda: self._files.retain(key, until))

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._step(partial(self._files.delete, [key]))

    def url(self, key: str) -> str:
        return self._files.url(key)

    def prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._files.prepare(connection)

    def lock(self, key: str, what: str, clock: Clock) -> AbstractContextManager[LockHandle]:
        return self._step(lambda: self._files.lock(key, what, clock))

    def clear_unfinished(self, before: datetime, *, dry_run: bool = False) -> Sequence[str]:
        return self._step(lambda: self._files.clear_unfinished(before, dry_run=dry_run))
