"""Erasures that wait for a second administrator, where a scope asks for that; until the console restarts.

What belongs here: who asked for which. What does not: who may approve (`restore.records.approval`), and erasing
(`store.erasure`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from threading import Lock

from entra_pipeline.console.auth.sessions import User


@dataclass(frozen=True, slots=True)
class ErasureRequest:
    """An erasure that somebody has asked for.

    Attributes:
        scope: The scope.
        person: Id of the person.
        by: Who asked.
        reason: Why.
        records: Whether records that name the person are deleted, too.
        moment: When.
    """

    scope: str
    person: str
    by: User
    reason: str
    records: bool
    moment: datetime


class PendingErasures:
    """The erasures that wait, one for each person of a scope."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: dict[tuple[str, str], ErasureRequest] = {}

    def add(self, request: ErasureRequest) -> None:
        """Adds a request; it takes the place of an earlier one for the same person."""
        with self._lock:
            self._waiting[request.scope, request.person] = request

    def of(self, scope: str) -> list[ErasureRequest]:
        """Returns the requests of a scope, oldest first."""
        with self._lock:
            return sorted((one for one in self._waiting.values() if one.scope == scope), key=lambda one: one.moment)

    def find(self, scope: str, person: str) -> ErasureRequest | None:
        """Returns the request for a person; None when there is none."""
        with self._lock:
            return self._waiting.get((scope, person))

    def remove(self, scope: str, person: str) -> None:
        """Removes the request for a person, if there is one."""
        with self._lock:
            self._waiting.pop((scope, person), None)
