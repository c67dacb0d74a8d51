"""What each person prefers, such as the columns of a list: kept in a file beside the console's account."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from threading import Lock

import msgspec

_MOST_PEOPLE, _MOST_EACH, _MOST_VALUES = 1_000, 100, 50
# Person → list → values.
_Kept = dict[str, dict[str, list[str]]]
_DECODER = msgspec.json.Decoder(_Kept)


class Preferences:
    """The preferences of all people.

    Args:
        file: Where they are kept; None = in memory only.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._lock = Lock()
        self._kept: _Kept = {}
        if file is not None and file.is_file():
            try:
                self._kept = _DECODER.decode(file.read_bytes())
            except (OSError, msgspec.DecodeError):
                # They are a convenience: whoever had some chooses again.
                self._kept = {}

    def of(self, person: str, name: str) -> list[str]:
        """Returns what a person has chosen; empty when nothing.

        Args:
            person: `User.person`.
            name: What it is about.
        """
        with self._lock:
            return list(self._kept.get(_key(person), {}).get(name, ()))

    def keep(self, person: str, name: str, values: list[str]) -> None:
        """Keeps what a person has chosen, in place of what they had; a file that cannot be written keeps nothing."""
        with self._lock:
            own = self._kept.pop(_key(person), {})
            own.pop(name, None)
            own = dict([*own.items(), (name, values[:_MOST_VALUES])][-_MOST_EACH:])
            self._kept = dict([*self._kept.items(), (_key(person), own)][-_MOST_PEOPLE:])
            if self._file is None:
                return
            made = self._file.with_suffix(".new")
            try:
                made.touch(mode=0o600)
                made.write_bytes(msgspec.json.encode(self._kept))
                made.replace(self._file)
            except OSError:
                made.unlink(missing_ok=True)


def _key(person: str) -> str:
    """Who it is, without their name in the file."""
    return sha256(person.encode()).hexdigest()
