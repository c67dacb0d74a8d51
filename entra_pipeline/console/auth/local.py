"""The account `admin` of a console that has no sign-in configured: for this machine only.

Its password is random and stands in a file that only the user of the console can read. It is never printed: what a
service prints is kept in a log that others read.
"""

from __future__ import annotations

import hmac
import os
import secrets
from contextlib import suppress
from hashlib import scrypt
from hmac import compare_digest
from pathlib import Path

import msgspec

from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.auth.sessions import User
from entra_pipeline.errors import UsageError

NAME = "admin"
PASSWORD = "console-password"  # noqa: S105 - the name of a file
"""The file beside the account's that has its first password."""

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

        A new password is written to the file `PASSWORD` beside it as well, with mode 0600.

        Raises:
            UsageError: A file cannot be read or written.
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
            # The password first: an account whose password nobody has lets nobody in.
            given = file.with_name(PASSWORD)
            with suppress(FileNotFoundError):
                given.unlink()
            _write(given, f"{password}\n".encode())
            _write(file, msgspec.json.encode(kept))
        except OSError as error:
            raise UsageError(
                f"{error.filename or file} cannot be written: {error.strerror}",
                remedy="Set DAGSTER_HOME to a folder that the console can write to.",
            ) from None
        return cls(kept), password

    @property
    def secret(self) -> bytes:
        """What only consoles with this account know; another one after a new password."""
        return hmac.digest(self._kept.hash, b"sessions", "sha256")

    def new_device(self) -> str:
        """Makes the cookie by which a browser that has signed in is known again; worth nothing for signing in."""
        name = secrets.token_urlsafe(16)
        return f"{name}.{self._proof(name)}"

    def device(self, cookie: str) -> str:
        """The name of the browser that a cookie was made for; empty for what this account did not make."""
        name, _, proof = cookie.partition(".")
        return name if compare_digest(proof.encode(), self._proof(name).encode()) else ""

    def _proof(self, name: str) -> str:
        # Of the stored hash: a new password makes new devices of all.
        return hmac.digest(self._kept.hash, f"device {name}".encode(), "sha256").hex()

    def sign_in(self, name: str, password: str) -> User | None:
        """Who that is; None when it is nobody. Takes the same time for every name."""
        right = compare_digest(_hash(password, self._kept.salt), self._kept.hash)
        if right and name == NAME:
            return User(NAME, Role.administrator, "Administrator")
        return None


def _hash(password: str, salt: bytes) -> bytes:
    return scrypt(password.encode(), salt=salt, **_COST)


def _write(file: Path, data: bytes) -> None:
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as sink:
        sink.write(data)
