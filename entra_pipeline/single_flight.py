"""Answers that many threads ask for, and that are found once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

_T = TypeVar("_T")


class SingleFlightCache(Generic[_T]):
    """Keeps answers that stay right, by what was asked.

    Args:
        most: Answers that are kept: those asked for last.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = Lock()
        self._kept: OrderedDict[Hashable, Future[_T]] = OrderedDict()

    def get(self, asked: Hashable, find: Callable[[], _T]) -> _T:
        """The answer; whoever asks for the same at the same time waits for the one who looks.

        Args:
            asked: What is asked.
            find: Finds the answer. What it raises is raised to all who wait, and not kept.
        """
        with self._lock:
            known = self._kept.pop(asked, None)
            answer = known or Future[_T]()
            self._kept[asked] = answer
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        if known is None:
            try:
                answer.set_result(find())
            except BaseException as error:
                with self._lock:
                    if self._kept.get(asked) is answer:
                        del self._kept[asked]
                answer.set_exception(error)
        return answer.result()

    def clear(self) -> None:
        """Forgets everything; who waits still gets an answer."""
        with self._lock:
            self._kept.clear()
