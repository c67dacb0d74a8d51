"""The account `admin` of a console that has no sign-in configured: for this machine only, its password printed once."""

from __future__ import annotations

import os
import secrets
from hashlib import scrypt
from hmac import compare_digest
from pathlib import Path

import msgspec

from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.auth.sessions import User
from entra_pipeline.errors import UsageError

NAME = "admin"

# OWASP's parameters for scrypt: 2^15 × 8 × 128 bytes are 32 MB.
_COST = {"n": 2**15, "r": 8, "p": 1, "maxmem": 2**26, "dklen": 32}


class _Kept(msgspec.Struct):
    """What is kept of the password."""

    salt: bytes
    hash: bytes


_KEPT_DECODER = msgspec.json.Decoder(_Kept)


class LocalAccount:
    """The account.

    Args:
        kept: What is kept of its password.
    """

    def __init__(self, kept: _Kept) -> None:
        self._kept = kept

    @classmethod
    def open(cls, file: Path) -> tuple[LocalAccount, str]:
        """The account of a file, and its password if that was made just now; else an empty text.

        Raises:
            UsageError: The file cannot be read or written.
        """
        try:
            return cls(_KEPT_DECODER.decode(file.read_bytes())), ""
        except FileNotFoundError:
            pass
        except (OSError, msgspec.DecodeError) as error:
            raise UsageError(
                f"{file}, which stores the console's account, cannot be read: {error}",
                remedy="Remove it; a new password is then generated.",
            ) from None
        password = "-".join(secrets.token_hex(2) for _ in range(5))
        salt = secrets.token_bytes(16)
        kept = _Kept(salt, _hash(password, salt))
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as sink:
                sink.write(msgspec.json.encode(kept))
        except OSError as error:
            raise UsageError(
                f"{file} cannot be written: {error.strerror}",
                remedy="Set DAGSTER_HOME to a folder that the console can write to.",
            ) from None
        return cls(kept), password

    def sign_in(self, name: str, password: str) -> User | None:
        """Who that is; None when it is nobody. Takes the same time for every name."""
        right = compare_digest(_hash(password, self._kept.salt), self._kept.hash)
        if right and name == NAME:
            return User(NAME, Role.administrator, "Administrator")
        return None


def _hash(password: str, salt: bytes) -> bytes:
    return scrypt(password.encode(), salt=salt, **_COST)
