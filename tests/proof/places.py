"""Where the points are: a folder as one process sees it, which can fail or die at any operation."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import duckdb

from entra_pipeline.clock import Clock
from entra_pipeline.errors import StoreError
from entra_pipeline.store.backends import LocalObjectStore, LockHandle, ObjectStore, StoredFile
from tests.proof.virtual import Universe

_T = TypeVar("_T")


class Killed(BaseException):
    """The process ends here; not an Exception, so that nothing can catch it by accident."""


class AgingFolder(LocalObjectStore):
    """A folder in which files are as old as the universe says."""

    def __init__(self, root: Path, universe: Universe) -> None:
        super().__init__(root)
        self._universe = universe

    def _place(self, key: str, move: Callable[[Path], object]) -> None:
        super()._place(key, move)
        seconds = self._universe.tenant_clock().timestamp()
        os.utime(self.url(key), (seconds, seconds))


@dataclass
class Trouble:
    """What is to happen to the operations of a process, by their number from 0.

    Attributes:
        dies_at: The process is killed at this operation; -1 = never.
        fails_at: This operation fails, and as many after it as `failures` says; -1 = none.
        done: Whether what is struck takes effect all the same.
        meanwhile: What another process does just before an operation, by its number.
    """

    dies_at: int = -1
    fails_at: int = -1
    failures: int = 1
    done: bool = False
    meanwhile: dict[int, Callable[[], None]] = field(default_factory=dict)


class Place(ObjectStore):
    """A place, as one process sees it.

    Args:
        files: The real one.
        trouble: What happens to the process.
        told: Called with each operation.

    Attributes:
        count: Operations so far.
        dead: Whether the process was killed.
        struck: Operations that were made to fail.
        overtaken: Whether another process did something in the middle of this one's work.
    """

    def __init__(self, files: ObjectStore, trouble: Trouble, told: Callable[[str], None]) -> None:
        self._files = files
        self._trouble = trouble
        self._told = told
        self.object_lock = files.object_lock
        self.count = 0
        self.dead = False
        self.struck = 0
        self.overtaken = False

    def __str__(self) -> str:
        return str(self._files)

    def _step(self, name: str, key: str, operation: Callable[[], _T]) -> _T:
        if self.dead:
            raise Killed
        number, trouble = self.count, self._trouble
        self.count += 1
        if number in trouble.meanwhile:
            self.overtaken = True
            trouble.meanwhile[number]()
        self._told(f"{number} {name} {key}")
        if number == trouble.dies_at:
            self.dead = True
            if trouble.done:
                # Nobody learns what came of it.
                with suppress(StoreError):
                    operation()
            raise Killed
        if 0 <= trouble.fails_at <= number < trouble.fails_at + trouble.failures:
            self.struck += 1
            if trouble.done:
                operation()
            raise StoreError(f"{key}: the storage failed", remedy="Try again.")
        return operation()

    def create(self, key: str, data: bytes, *, until: datetime | None = None) -> None:
        self._step("create", key, lambda: self._files.create(key, data, until=until))

    def replace(self, key: str, data: bytes) -> None:
        self._step("replace", key, lambda: self._files.replace(key, data))

    def upload(self, key: str, path: Path) -> None:
        self._step("upload", key, lambda: self._files.upload(key, path))

    def stream(self, key: str) -> Iterator[bytes]:
        yield from self._step("read", key, lambda: list(self._files.stream(key)))

    def slice(self, key: str, start: int, length: int) -> tuple[bytes, int]:
        return self._step("slice", key, lambda: self._files.slice(key, start, length))

    def size(self, key: str) -> int:
        return self._step("size", key, lambda: self._files.size(key))

    def list(self, prefix: str) -> Iterator[StoredFile]:
        yield from self._step("list", prefix, lambda: sorted(self._files.list(prefix)))

    def folders(self) -> Sequence[str]:
        return self._step("folders", "", self._files.folders)

    def retained_until(self, key: str) -> datetime | None:
        return self._step("retained", key, lambda: self._files.retained_until(key))

    def retain(self, key: str, until: datetime) -> None:
        self._step("retain", key, lambda: self._files.retain(key, until))

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._step("delete", key, partial(self._files.delete, [key]))

    def url(self, key: str) -> str:
        return self._files.url(key)

    def prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._files.prepare(connection)

    def lock(self, key: str, what: str, clock: Clock) -> AbstractContextManager[LockHandle]:
        return self._step("lock", key, lambda: self._files.lock(key, what, clock))

    def clear_unfinished(self, before: datetime, *, dry_run: bool = False) -> Sequence[str]:
        return self._step("clear", "", lambda: self._files.clear_unfinished(before, dry_run=dry_run))


__all__ = ["AgingFolder", "Killed", "Place", "Trouble"]
