"""A cache that computes a value once, however many threads ask for it at the same time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

_T = TypeVar("_T")


class SingleFlightCache(Generic[_T]):
    """Keeps values that stay right, and computes each once, however many threads ask for it at a time.

    Args:
        most: How many values are kept; the least recently used one goes first.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = Lock()
        self._kept: OrderedDict[Hashable, Future[_T]] = OrderedDict()

    def get(self, key: Hashable, find: Callable[[], _T]) -> _T:
        """Returns the value of a key; threads that ask for one key at a time share one computation.

        Args:
            key: What the value depends on.
            find: Computes the value. What it raises is raised in all threads that wait, and is not kept.
        """
        with self._lock:
            known = self._kept.pop(key, None)
            answer = known or Future[_T]()
            self._kept[key] = answer
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        if known is None:
            try:
                answer.set_result(find())
            except BaseException as error:
                with self._lock:
                    if self._kept.get(key) is answer:
                        del self._kept[key]
                answer.set_exception(error)
        return answer.result()

    def clear(self) -> None:
        """Empties the cache; threads that wait still get their value."""
        with self._lock:
            self._kept.clear()
