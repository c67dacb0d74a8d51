"""Work that waits for the storage, many at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_PARALLEL = 16
_TURN = 64
_Item = TypeVar("_Item")
_T = TypeVar("_T")


def in_parallel(function: Callable[[_Item], _T], items: Iterable[_Item]) -> list[_T]:
    """Calls a function for items, many at a time, and returns the results in their order."""
    with ThreadPoolExecutor(_PARALLEL) as pool:
        return list(pool.map(function, items))


def in_turns(function: Callable[[_Item], _T], items: Sequence[_Item]) -> Iterator[_T]:
    """Yields results as `in_parallel` does, 64 items at a time: large ones need not be in memory all at once."""
    with ThreadPoolExecutor(_PARALLEL) as pool:
        for start in range(0, len(items), _TURN):
            yield from pool.map(function, items[start : start + _TURN])
