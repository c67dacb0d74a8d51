"""How work runs: asynchronous work in the loop that costs the least, which thread goes first, defaults of a process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Generic, TypeVar

_T = TypeVar("_T")


def run_async(work: Coroutine[Any, Any, _T]) -> _T:
    """Runs a coroutine in an event loop of its own and returns its result; raises what it raises.

    The loop is uvloop's where there is one (not on Windows): most of what a page costs is the loop's and the client's.

    Ctrl-C, and whatever else stops the process in an orderly way, such as a run that is terminated in Dagster, cancels
    the coroutine; when it has ended, whoever handled the signal before gets it. A second signal ends it at once.
    """
    if sys.platform == "win32":
        return asyncio.run(work)
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if threading.current_thread() is not threading.main_thread():
            return runner.run(work)
        stopping = _StopSignals()
        try:
            return runner.run(stopping.watched(work))
        except asyncio.CancelledError:
            stopping.pass_on()
            raise


class _StopSignals:
    """Turns the signals that stop a process into the cancellation of a coroutine.

    A handler that raises, as Python's own and Dagster's do, raises within whatever the loop runs just then. The loop
    logs what a callback raises and goes on: a run that was to stop came to its end.
    """

    def __init__(self) -> None:
        # SIGTERM where somebody handles it; by default it ends the process at once, which nobody is to wait for.
        self._before = {
            number: handler
            for number in (signal.SIGINT, signal.SIGTERM)
            if callable(handler := signal.getsignal(number))
        }
        self._received: list[int] = []

    async def watched(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Awaits a coroutine, which the signals cancel meanwhile."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def stop(number: int, _: FrameType | None) -> None:
            self._received.append(number)
            if len(self._received) > 1:
                raise KeyboardInterrupt
            if task is not None:
                task.cancel()
            # The loop may be waiting for the network.
            loop.call_soon_threadsafe(lambda: None)

        replaced = {number: signal.signal(number, stop) for number in self._before}
        try:
            return await work
        finally:
            for number, handler in replaced.items():
                signal.signal(number, handler)

    def pass_on(self) -> None:
        """Has the signal that was received handled as it would have been; does nothing where none was."""
        for number in self._received[:1]:
            handler = self._before[signal.Signals(number)]
            if callable(handler):
                handler(number, None)


async def to_the_end(work: Coroutine[Any, Any, _T]) -> _T:
    """Awaits what must not be left half done, such as a commit: stopping comes too late for it, and is forgotten."""
    task = asyncio.ensure_future(work)
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if (caller := asyncio.current_task()) is not None:
                caller.uncancel()
    return task.result()


def lower_thread_priority(niceness: int) -> None:
    """Lowers the priority of this thread, on Linux, where a thread has one of its own (setpriority(2)).

    Args:
        niceness: 1 to 19, the last to run. Where the system does not allow it, the thread runs as before.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)


class QuietMoments:
    """Knows when nobody has asked for anything for a while: then there is time for what would be in their way.

    Args:
        quiet: Seconds without a question that are a quiet moment.
        patience: Seconds after which work begins, whoever asks.
    """

    def __init__(self, quiet: float, patience: float) -> None:
        self._quiet, self._patience = quiet, patience
        self._asked = time.monotonic()

    def disturb(self) -> None:
        """Notes that somebody asks."""
        self._asked = time.monotonic()

    def wait(self) -> None:
        """Returns in a quiet moment, or when patience ends."""
        begun = time.monotonic()
        while time.monotonic() - self._asked < self._quiet and time.monotonic() - begun < self._patience:
            time.sleep(self._quiet / 10)


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
