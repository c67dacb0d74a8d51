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
    """Results of a function that waits for the storage, in the order of the items."""
    with ThreadPoolExecutor(_PARALLEL) as pool:
        return list(pool.map(function, items))


def in_turns(function: Callable[[_Item], _T], items: Sequence[_Item]) -> Iterator[_T]:
    """The same, some at a time: of what is large, only so much is in memory as is asked for."""
    with ThreadPoolExecutor(_PARALLEL) as pool:
        for start in range(0, len(items), _TURN):
            yield from pool.map(function, items[start : start + _TURN])
