"""Asking: a process per question, one question at a time of a visitor and few of all.

The processes are forked off one that has imported everything before (`preload`), so that nobody waits for that.
"""

from __future__ import annotations

import multiprocessing
from multiprocessing import forkserver
from threading import Event
from time import monotonic

from entra_pipeline.analysis.sql.bounded import LESS, TOO_MUCH
from entra_pipeline.console.reading import Turns, VisitorGone
from entra_pipeline.console.sql import bounds
from entra_pipeline.console.sql.bounds import OUTCOME_DECODER, Format, QueryError, QueryRequest, QueryResult
from entra_pipeline.console.sql.worker import answer
from entra_pipeline.errors import StoreError, UsageError
from entra_pipeline.project import Project
from entra_pipeline.project.stores import complete_indexes

# Questions that are answered at once, of all visitors; and seconds that another one waits for its turn.
_AT_ONCE = 2
_PATIENCE = 10.0
_LOOK = 0.1

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["entra_pipeline.console.sql.preload"])


class QueryPool:
    """Answers questions of visitors."""

    def __init__(self) -> None:
        self._turns = Turns(_AT_ONCE, per_person=1, waiting=0, patience=_PATIENCE)
        self._indexed: Project | None = None

    @staticmethod
    def expect() -> None:
        """Has everything imported: somebody is about to ask."""
        forkserver.ensure_running()

    def ask(
        self, project: Project, person: str, query: str, format_: Format = "", *, gone: Event | None = None
    ) -> QueryResult:
        """Answers a question.

        Args:
            project: The configuration.
            person: Who asks: of one person, one question is answered at a time.
            query: The statement.
            format_: Of the file that is wanted; empty for rows to show.
            gone: Set when the client has closed the connection any more.

        Raises:
            UsageError: It is refused, not understood, or goes too far; or others are being answered.
            VisitorGone: Nobody waits any more.
            StoreError: The stores cannot be read.
        """
        gone = gone or Event()
        with self._turns.taking(person, gone):
            if self._indexed is not project:
                for _ in complete_indexes(project):
                    pass
                self._indexed = project
            data = _answered(QueryRequest(project=str(project.file.absolute()), query=query, format=format_), gone)
        told = OUTCOME_DECODER.decode(data)
        if told.answer is not None:
            return told.answer
        refusal = told.refusal or QueryError(message=TOO_MUCH, remedy=LESS)
        raise (UsageError if refusal.asked else StoreError)(refusal.message, remedy=refusal.remedy)


def _answered(question: QueryRequest, gone: Event) -> bytes:
    """What a process of its own says to a question, or what is to be said of how it ended."""
    here, there = _processes.Pipe(duplex=False)
    process = _processes.Process(target=answer, args=(question, there), daemon=True)
    process.start()
    there.close()
    try:
        end = monotonic() + bounds.SECONDS
        while not here.poll(_LOOK):
            if gone.is_set():
                raise VisitorGone("the client has closed the connection")
            if monotonic() < end:
                continue
            raise UsageError(
                f"there is no answer after {bounds.SECONDS} seconds, and the query was cancelled",
                remedy="Narrow the query: one scope, a shorter period, fewer columns. Or use entra-pipeline sql.",
            )
        return here.recv_bytes()
    except EOFError:
        process.join()
        if process.exitcode == 1:
            raise StoreError("the query failed", remedy="See the console's log for details.") from None
        # The kernel, or DuckDB itself, ended what could not get the memory.
        raise UsageError(TOO_MUCH, remedy=LESS) from None
    finally:
        here.close()
        process.kill()
        process.join()
        process.close()
