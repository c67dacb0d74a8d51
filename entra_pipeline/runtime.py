"""How work runs: asynchronous work in the loop that costs the least, which thread goes first, defaults of a process."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Generic, TypeVar

_T = TypeVar("_T")


def run_async(work: Coroutine[Any, Any, _T]) -> _T:
    """Runs a coroutine in an event loop of its own and returns its result; raises what it raises.

    The loop is uvloop's where there is one (not on Windows): most of what a page costs is the loop's and the client's.
    """
    if sys.platform == "win32":
        return asyncio.run(work)
    import uvloop

    return uvloop.run(work)


def lower_thread_priority(niceness: int) -> None:
    """Lowers the priority of this thread, on Linux, where a thread has one of its own (setpriority(2)).

    Args:
        niceness: 1 to 19, the last to run. Where the system does not allow it, the thread runs as before.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)


class ProcessDefault(Generic[_T]):
    """A value that holds in this process, and that another one can take the place of for a while.

    Attributes:
        value: The one that holds now.
    """

    def __init__(self, value: _T) -> None:
        self.value = value

    @contextmanager
    def replaced(self, value: _T) -> Iterator[None]:
        """Lets another value hold for as long as the context lasts, in all threads."""
        before, self.value = self.value, value
        try:
            yield
        finally:
            self.value = before
