"""A process that answers questions, and how long one waits for it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import forkserver
from threading import Event
from time import monotonic
from typing import Any

from entra_pipeline.analysis.sql.bounded import LESS, TOO_MUCH
from entra_pipeline.console.workers.turns import VisitorGone
from entra_pipeline.errors import StoreError, UsageError

# Seconds between two looks whether the one who waits has gone.
_LOOK = 0.1

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["entra_pipeline.console.workers.preload"])


def expect_work() -> None:
    """Has everything imported: somebody is about to ask."""
    forkserver.ensure_running()


class WorkerProcess:
    """A process of its own for some work.

    Args:
        work: Runs in the process; a function of a module, called with `arguments` and its end of a pipe.
        arguments: What it is given.
    """

    def __init__(self, work: Callable[..., None], *arguments: Any) -> None:
        self._here, there = _processes.Pipe()
        self._process = _processes.Process(target=work, args=(*arguments, there), daemon=True)
        self._process.start()
        there.close()

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.is_alive()

    def ask(self, request: bytes, gone: Event, *, seconds: float, grace: float, remedy: str) -> bytes:
        """Sends a question, and returns the answer.

        Args:
            request: The question.
            gone: Set when nobody waits any more.
            seconds: How long the answer may take.
            grace: How long it may take at the most when nobody waits any more.
            remedy: What to do about a question that takes longer.

        Raises:
            UsageError: It took too long, or too much memory.
            StoreError: The process ended with an error of its own.
            VisitorGone: Nobody waits any more.
        """
        end = monotonic() + seconds
        left = False
        try:
            self._here.send_bytes(request)
            while not self._here.poll(_LOOK):
                if gone.is_set() and not left:
                    left, end = True, min(end, monotonic() + grace)
                if monotonic() < end:
                    continue
                if left:
                    raise VisitorGone("the client has closed the connection")
                raise UsageError(
                    f"there is no answer after {seconds:.0f} seconds, and the query was cancelled", remedy=remedy
                )
            return self._here.recv_bytes()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            self._process.join()
            if self._process.exitcode == 1:
                raise StoreError("the query failed", remedy="See the console's log for details.") from None
            # The kernel, or DuckDB itself, ended what could not get the memory.
            raise UsageError(TOO_MUCH, remedy=LESS) from None

    def end(self) -> None:
        """Ends it."""
        self._here.close()
        self._process.kill()
        self._process.join()
        with suppress(ValueError):
            self._process.close()
