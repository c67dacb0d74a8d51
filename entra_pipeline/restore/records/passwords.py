"""First passwords of users that come back: random, to be changed at the first sign-in, for the operator alone."""

from __future__ import annotations

import csv
import io
import os
import secrets
import string
from pathlib import Path

_LENGTH = 24
_SIGNS = "!#$%*+-=?@_"
_CLASSES = (string.ascii_lowercase, string.ascii_uppercase, string.digits, _SIGNS)
_HEADER = ("userPrincipalName", "password")


class Passwords:
    """A CSV file on the operator's machine that only the operator can read (mode 0600).

    A password is in the file before it is sent, so that none is ever lost; a restore that is started again sends the
    same one.

    Args:
        path: The file; made when the first password is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, str] = {}
        if path.exists():
            with path.open(newline="") as file:
                self._known = {row[0]: row[1] for row in list(csv.reader(file))[1:] if len(row) == len(_HEADER)}

    def of(self, user_principal_name: str) -> str:
        """The password of a user, made when it is asked for the first time."""
        known = self._known.get(user_principal_name)
        if known is None:
            known = self._known[user_principal_name] = random_password()
            self._add(user_principal_name, known)
        return known

    def __len__(self) -> int:
        return len(self._known)

    def _add(self, *row: str) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "a", newline="") as file:
            text = io.StringIO()
            rows = [row] if file.tell() else [_HEADER, row]
            csv.writer(text).writerows(rows)
            file.write(text.getvalue())
            file.flush()
            os.fsync(file.fileno())


def random_password() -> str:
    """A password of 24 characters with small and capital letters, digits and signs."""
    signs = [secrets.choice(one) for one in _CLASSES]
    signs += [secrets.choice("".join(_CLASSES)) for _ in range(_LENGTH - len(signs))]
    secrets.SystemRandom().shuffle(signs)
    return "".join(signs)
