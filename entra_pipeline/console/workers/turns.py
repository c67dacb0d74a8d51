"""Turns: few questions of one person at a time, few of all, and only while somebody waits for the answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, Event
from time import monotonic

from entra_pipeline.errors import EntraPipelineError, FailureSort, UsageError

# Seconds between two looks whether the one who waits has gone.
_LOOK = 0.25


class TooManyQuestions(UsageError):
    """Somebody asks more at a time than they may, or all together do."""


class VisitorGone(EntraPipelineError):
    """The one who asked waits no longer: there is nobody to answer."""

    sort = FailureSort.TRANSIENT


class Turns:
    """Who may ask now.

    Args:
        at_once: Questions that are answered at a time.
        per_person: Of one person.
        waiting: Of one person that wait for their turn.
        patience: Seconds that one waits at the most.
    """

    def __init__(self, at_once: int, *, per_person: int, waiting: int, patience: float) -> None:
        self._at_once, self._per_person, self._waiting, self._patience = at_once, per_person, waiting, patience
        self._changed = Condition()
        self._answered: Counter[str] = Counter()
        self._present: Counter[str] = Counter()

    @contextmanager
    def taking(self, person: str, gone: Event) -> Iterator[None]:
        """Takes a turn for the block.

        Args:
            person: Who asks.
            gone: Set when the client has closed the connection any more.

        Raises:
            TooManyQuestions: The person has too many of them, or others are before for too long.
            VisitorGone: Nobody waits any more.
        """
        with self._changed:
            if self._present[person] >= self._per_person + self._waiting:
                raise TooManyQuestions(
                    "your last question is still being answered"
                    if self._per_person == 1
                    else f"{self._present[person]} of your questions are still being answered",
                    remedy="Wait for the answer, or close the pages that you do not need, and try again.",
                )
            self._present[person] += 1
        try:
            self._wait(person, gone)
            try:
                yield
            finally:
                with self._changed:
                    self._leave(self._answered, person)
        finally:
            with self._changed:
                self._leave(self._present, person)

    def _wait(self, person: str, gone: Event) -> None:
        end = monotonic() + self._patience
        with self._changed:
            while self._answered.total() >= self._at_once or self._answered[person] >= self._per_person:
                if gone.is_set():
                    raise VisitorGone("the client has closed the connection")
                if monotonic() >= end:
                    raise TooManyQuestions(
                        "the server is busy with other queries", remedy="Try again in half a minute."
                    )
                self._changed.wait(_LOOK)
            self._answered[person] += 1

    def _leave(self, counted: Counter[str], person: str) -> None:
        counted[person] -= 1
        if not counted[person]:
            del counted[person]
        self._changed.notify_all()
