"""Asking: a process per question, one question at a time of a visitor and few of all.

The processes are forked off one that has imported everything before (`preload`), so that nobody waits for that.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from threading import BoundedSemaphore, Lock

from entra_pipeline.analysis.sql.bounded import LESS, TOO_MUCH
from entra_pipeline.console.sql import bounds
from entra_pipeline.console.sql.bounds import OUTCOME_DECODER, Format, QueryError, QueryRequest, QueryResult
from entra_pipeline.console.sql.worker import answer
from entra_pipeline.errors import StoreError, UsageError
from entra_pipeline.project import Project
from entra_pipeline.project.stores import complete_indexes

# Questions that are answered at once, of all visitors; and seconds that another one waits for its turn.
_AT_ONCE = 2
_PATIENCE = 10.0

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["entra_pipeline.console.sql.preload"])


class QueryPool:
    """Answers questions of visitors."""

    def __init__(self) -> None:
        self._turn = BoundedSemaphore(_AT_ONCE)
        self._lock = Lock()
        self._asking: set[str] = set()
        self._indexed: Project | None = None

    @staticmethod
    def expect() -> None:
        """Has everything imported: somebody is about to ask."""
        forkserver.ensure_running()

    def ask(self, project: Project, visitor: str, query: str, format_: Format = "") -> QueryResult:
        """Answers a question.

        Args:
            project: The configuration.
            visitor: Who asks: of one visitor, one question is answered at a time.
            query: The statement.
            format_: Of the file that is wanted; empty for rows to show.

        Raises:
            UsageError: It is refused, not understood, or goes too far; or others are being answered.
            StoreError: The stores cannot be read.
        """
        with self._taking_turn(visitor):
            if self._indexed is not project:
                for _ in complete_indexes(project):
                    pass
                self._indexed = project
            data = _answered(QueryRequest(project=str(project.file.absolute()), query=query, format=format_))
        told = OUTCOME_DECODER.decode(data)
        if told.answer is not None:
            return told.answer
        refusal = told.refusal or QueryError(message=TOO_MUCH, remedy=LESS)
        raise (UsageError if refusal.asked else StoreError)(refusal.message, remedy=refusal.remedy)

    @contextmanager
    def _taking_turn(self, visitor: str) -> Iterator[None]:
        with self._lock:
            if visitor in self._asking:
                raise UsageError(
                    "your last question is still being answered",
                    remedy=f"Wait for it: it takes {bounds.SECONDS} seconds at the most.",
                )
            self._asking.add(visitor)
        try:
            if not self._turn.acquire(timeout=_PATIENCE):
                raise UsageError("others are asking just now", remedy="Try again in half a minute.")
            try:
                yield
            finally:
                self._turn.release()
        finally:
            with self._lock:
                self._asking.discard(visitor)


def _answered(question: QueryRequest) -> bytes:
    """What a process of its own says to a question, or what is to be said of how it ended."""
    here, there = _processes.Pipe(duplex=False)
    process = _processes.Process(target=answer, args=(question, there), daemon=True)
    process.start()
    there.close()
    try:
        if not here.poll(bounds.SECONDS):
            raise UsageError(
                f"there is no answer after {bounds.SECONDS} seconds, and it was given up",
                remedy="Ask for less: one scope, a shorter time, fewer columns; or use the command entra-pipeline sql.",
            )
        return here.recv_bytes()
    except EOFError:
        process.join()
        if process.exitcode == 1:
            raise StoreError("it cannot be answered", remedy="The console's own log tells more.") from None
        # The kernel, or DuckDB itself, ended what could not get the memory.
        raise UsageError(TOO_MUCH, remedy=LESS) from None
    finally:
        here.close()
        process.kill()
        process.join()
        process.close()
