"""The processes that answer pages: which one answers what, and when one is ended."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path
from tempfile import mkdtemp
from threading import Event, Lock
from typing import Any

import msgspec

from entra_pipeline import errors
from entra_pipeline.console.reading import bounds
from entra_pipeline.console.reading.bounds import READ_OUTCOME_DECODER, ReadRequest, What
from entra_pipeline.console.reading.worker import answer
from entra_pipeline.console.workers import Turns, WorkerProcess
from entra_pipeline.errors import EntraPipelineError, StoreError, UsageError
from entra_pipeline.project import Project

# Processes, and so questions that are answered at a time; of one person, and of one that wait: a page asks for two more
# things by itself. And seconds that one waits.
_PROCESSES, _PER_PERSON, _WAITING, _PATIENCE = 4, 2, 6, 30.0
_NARROWER = "Ask for less: one object type, a text or condition that fewer objects match; or use the command."


class ReadingPool:
    """Answers what pages ask about recovery points."""

    def __init__(self) -> None:
        self._turns = Turns(_PROCESSES, per_person=_PER_PERSON, waiting=_WAITING, patience=_PATIENCE)
        self._lock = Lock()
        self._idle: list[_Worker] = []

    def ask(
        self,
        project: Project,
        person: str,
        what: What,
        scope: str,
        /,
        *,
        gone: Event | None = None,
        visible: Collection[str] | None = None,
        **arguments: Any,
    ) -> Any:
        """Answers a question.

        Args:
            project: The configuration.
            person: Who asks.
            what: What is asked for (`worker.Reader`).
            scope: The scope.
            gone: Set when the client has closed the connection any more.
            visible: The scopes that who asks may see; None for all.
            arguments: Of what is asked for.

        Raises:
            UsageError: What is asked for is refused, or takes too long or too much memory.
            VisitorGone: Nobody waits any more.
            EntraPipelineError: What the one that found it raised.
        """
        gone = gone or Event()
        seen = None if visible is None else tuple(sorted(visible))
        request = msgspec.msgpack.encode(ReadRequest(what=what, scope=scope, arguments=arguments, visible=seen))
        # Links and names are those of a whole recovery point: whatever the type, one process keeps it open.
        kept = (scope, "" if what in ("related", "find") else str(arguments.get("table", "")))
        with self._turns.taking(person, gone):
            worker = self._worker(project, kept)
            try:
                data = worker.ask(request, gone, seconds=bounds.SECONDS, grace=bounds.GRACE, remedy=_NARROWER)
            except BaseException:
                worker.end()
                raise
            worker.kept = kept
            with self._lock:
                self._idle.append(worker)
        told = READ_OUTCOME_DECODER.decode(data)
        if told.kind:
            raise _error(told.kind, told.message, told.remedy)
        return told.answer

    def clear(self) -> None:
        """Ends the processes that have nothing to do; those at work answer first."""
        with self._lock:
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.end()

    def _worker(self, project: Project, kept: tuple[str, str]) -> _Worker:
        """A process without work: the one that was asked for the same table last, if it can be had."""
        with self._lock:
            over = [one for one in self._idle if one.project is not project or not one.alive]
            self._idle = [one for one in self._idle if one not in over]
            found = next((one for one in self._idle if one.kept == kept), None) or next(iter(self._idle), None)
            if found is not None:
                self._idle.remove(found)
        for one in over:
            one.end()
        return found or _Worker(project)


class _Worker(WorkerProcess):
    """A process.

    Attributes:
        project: The configuration that it has read.
        kept: Scope and table that it was asked for last.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self.kept = ("", "")
        self._folder = Path(mkdtemp(prefix="entra-pipeline-"))
        super().__init__(answer, str(project.file.absolute()), str(self._folder))

    def end(self) -> None:
        """Ends it, and removes what it wrote."""
        super().end()
        shutil.rmtree(self._folder, ignore_errors=True)


def _error(kind: str, message: str, remedy: str) -> EntraPipelineError:
    """The error of another process."""
    found = getattr(errors, kind, None)
    if isinstance(found, type) and issubclass(found, StoreError | UsageError):
        return found(message, remedy=remedy)
    return StoreError(message, remedy=remedy)
