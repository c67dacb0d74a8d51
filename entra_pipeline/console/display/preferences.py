"""What each person prefers, such as the columns of a list: a record for each, which names nobody."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import sha256
from threading import Lock
from time import monotonic

import msgspec

from entra_pipeline.console.shared.records import ConsoleRecords
from entra_pipeline.errors import StoreError

_FOLDER = "preferences"
_MOST_EACH, _MOST_VALUES = 100, 50
# People whose preferences are remembered, and seconds for which they are believed.
_REMEMBERED, _MOMENT = 1_000, 2.0
# List → values.
_Kept = dict[str, list[str]]
_DECODER = msgspec.json.Decoder(_Kept)


class Preferences:
    """The preferences of all people. They are a convenience: what cannot be read or written is chosen again.

    Args:
        records: Where they are kept.
    """

    def __init__(self, records: ConsoleRecords) -> None:
        self._records = records
        self._lock = Lock()
        self._known: OrderedDict[str, tuple[float, _Kept]] = OrderedDict()

    def of(self, person: str, name: str) -> list[str]:
        """Returns what a person has chosen; empty when nothing.

        Args:
            person: `User.person`.
            name: What it is about.
        """
        record = _record_of(person)
        with self._lock:
            looked, kept = self._known.get(record, (float("-inf"), {}))
        if monotonic() - looked > _MOMENT:
            kept = self._remember(record, self._read(record))
        return list(kept.get(name, ()))

    def keep(self, person: str, name: str, values: list[str]) -> None:
        """Keeps what a person has chosen, in place of what they had."""
        record = _record_of(person)
        own = {key: one for key, one in self._read(record).items() if key != name}
        own = dict([*own.items(), (name, values[:_MOST_VALUES])][-_MOST_EACH:])
        try:
            self._records.write(record, msgspec.json.encode(own))
        except StoreError:
            return
        self._remember(record, own)

    def _remember(self, record: str, kept: _Kept) -> _Kept:
        with self._lock:
            self._known.pop(record, None)
            self._known[record] = monotonic(), kept
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return kept

    def _read(self, record: str) -> _Kept:
        try:
            data = self._records.read(record)
            return _DECODER.decode(data) if data is not None else {}
        except (StoreError, msgspec.DecodeError):
            return {}


def _record_of(person: str) -> str:
    """The record of a person, without their name."""
    return f"{_FOLDER}/{sha256(person.encode()).hexdigest()}"
