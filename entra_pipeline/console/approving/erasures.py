"""Erasures that wait for a second administrator, where a scope asks for that: sealed records of the console.

What belongs here: who asked for which. What does not: who may approve (`restore.records.approval`), and erasing
(`store.erasure`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

import msgspec

from entra_pipeline.console.auth.sessions import User
from entra_pipeline.console.shared.records import ConsoleRecords

_FOLDER = "erasures"


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


_DECODER = msgspec.json.Decoder(ErasureRequest)


class PendingErasures:
    """The erasures that wait, one for each person of a scope.

    Args:
        records: Where they are kept. Each method raises StoreError when that place cannot be read or written to.
    """

    def __init__(self, records: ConsoleRecords) -> None:
        self._records = records

    def add(self, request: ErasureRequest) -> None:
        """Adds a request; it takes the place of an earlier one for the same person."""
        self._records.write_sealed(_name(request.scope, request.person), msgspec.json.encode(request))

    def of(self, scope: str) -> list[ErasureRequest]:
        """Returns the requests of a scope, oldest first."""
        found = (self._read(name) for name in self._records.listed(f"{_FOLDER}/{scope}"))
        return sorted((one for one in found if one is not None), key=lambda one: one.moment)

    def find(self, scope: str, person: str) -> ErasureRequest | None:
        """Returns the request for a person; None when there is none."""
        return self._read(_name(scope, person))

    def remove(self, scope: str, person: str) -> None:
        """Removes the request for a person, if there is one."""
        self._records.remove(_name(scope, person))

    def _read(self, name: str) -> ErasureRequest | None:
        said = self._records.read_sealed(name)
        return _DECODER.decode(said) if said is not None else None


def _name(scope: str, person: str) -> str:
    return f"{_FOLDER}/{scope}/{sha256(person.encode()).hexdigest()}"
