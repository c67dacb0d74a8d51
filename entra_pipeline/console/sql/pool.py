"""Asking: a process per question, one question at a time of a visitor and few of all."""

from __future__ import annotations

from collections.abc import Collection
from threading import Event

import msgspec

from entra_pipeline.analysis.sql.bounded import LESS, TOO_MUCH
from entra_pipeline.console.sql import bounds
from entra_pipeline.console.sql.bounds import OUTCOME_DECODER, Format, QueryError, QueryRequest, QueryResult
from entra_pipeline.console.sql.worker import answer
from entra_pipeline.console.workers import Turns, WorkerProcess
from entra_pipeline.errors import StoreError, UsageError
from entra_pipeline.project import Project
from entra_pipeline.project.stores import complete_indexes

# Questions that are answered at once, of all visitors; and seconds that another one waits for its turn.
_AT_ONCE = 2
_PATIENCE = 10.0
_NARROWER = "Narrow the query: one scope, a shorter period, fewer columns. Or use entra-pipeline sql."


class QueryPool:
    """Answers questions of visitors."""

    def __init__(self) -> None:
        self._turns = Turns(_AT_ONCE, per_person=1, waiting=0, patience=_PATIENCE)
        self._indexed: Project | None = None

    def ask(
        self,
        project: Project,
        person: str,
        query: str,
        format_: Format = "",
        *,
        gone: Event | None = None,
        visible: Collection[str] | None = None,
    ) -> QueryResult:
        """Answers a question.

        Args:
            project: The configuration.
            person: Who asks: of one person, one question is answered at a time.
            query: The statement.
            format_: Of the file that is wanted; empty for rows to show.
            gone: Set when the client has closed the connection any more.
            visible: The scopes that who asks may see; None for all.

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
            question = QueryRequest(
                project=str(project.file.absolute()),
                query=query,
                format=format_,
                visible=None if visible is None else tuple(sorted(visible)),
            )
            worker = WorkerProcess(answer)
            try:
                data = worker.ask(
                    msgspec.msgpack.encode(question), gone, seconds=bounds.SECONDS, grace=0.0, remedy=_NARROWER
                )
            finally:
                worker.end()
        told = OUTCOME_DECODER.decode(data)
        if told.answer is not None:
            return told.answer
        refusal = told.refusal or QueryError(message=TOO_MUCH, remedy=LESS)
        raise (UsageError if refusal.asked else StoreError)(refusal.message, remedy=refusal.remedy)
