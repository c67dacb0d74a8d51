"""Parquet files in the store, whoever they belong to: are they what a manifest says."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from entra_pipeline.store.files import Files

_PARALLEL = 16
_TURN = 64
_Item = TypeVar("_Item")
_T = TypeVar("_T")


class StoredPart(Protocol):
    """What a manifest of any kind says of a file: where it is, its size in bytes, its SHA-256 in hexadecimal."""

    @property
    def key(self) -> str: ...  # noqa: D102
    @property
    def bytes(self) -> int: ...  # noqa: D102
    @property
    def sha256(self) -> str: ...  # noqa: D102


def size_problem(files: Files, part: StoredPart) -> str:
    """What is wrong with the size of a stored part; empty when nothing is. Raises NotInStore."""
    size = files.size(part.key)
    return "" if size == part.bytes else f"has {size} bytes instead of {part.bytes}"


def part_problem(files: Files, part: StoredPart) -> str:
    """What is wrong with the bytes of a stored part; empty when nothing is. Raises NotInStore."""
    if problem := size_problem(files, part):
        return problem
    digest = hashlib.sha256()
    for chunk in files.stream(part.key):
        digest.update(chunk)
    return "" if digest.hexdigest() == part.sha256 else "has other bytes than were written: its SHA-256 differs"


def in_parallel(function: Callable[[_Item], _T], items: Iterable[_Item]) -> list[_T]:
    """Results of a function that waits for the storage, in the order of the items."""
    with ThreadPoolExecutor(_PARALLEL) as pool:
        return list(pool.map(function, items))


def in_turns(function: Callable[[_Item], _T], items: Sequence[_Item]) -> Iterator[_T]:
    """The same, some at a time: of what is large, only so much is in memory as is asked for."""
    with ThreadPoolExecutor(_PARALLEL) as pool:
        for start in range(0, len(items), _TURN):
            yield from pool.map(function, items[start : start + _TURN])
