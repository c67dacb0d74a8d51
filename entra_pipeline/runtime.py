"""How work runs: asynchronous work in the loop that costs the least, and who goes first when threads want to run."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

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
