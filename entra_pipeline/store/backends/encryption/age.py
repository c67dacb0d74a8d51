"""age (age-encryption.org/v1) with X25519 keys: what wraps a data key, so that `age --decrypt` unwraps it, too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyrage import x25519


class AgeIdentity:
    """A secret key.

    Args:
        text: As `age-keygen` writes it: lines that start with `#`, and one with `AGE-SECRET-KEY-1…`.

    Raises:
        ValueError: It is none.
    """

    def __init__(self, text: str) -> None:
        from pyrage import IdentityError, x25519

        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        if len(lines) != 1:
            raise ValueError("is not one AGE-SECRET-KEY-1…")
        try:
            self._key = x25519.Identity.from_str(lines[0])
        except IdentityError:
            # The library's message is of the text, which may be a key with a typing error.
            raise ValueError("is no AGE-SECRET-KEY-1…, or one with a typing error") from None

    @property
    def recipient(self) -> str:
        """The public key, `age1…`."""
        return str(self._key.to_public())

    def decrypt(self, data: bytes) -> bytes:
        """Decrypts a file; raises ValueError when it is none, is not for this key, or was changed."""
        from pyrage import DecryptError, decrypt

        try:
            return bytes(decrypt(data, [self._key]))
        except DecryptError as error:
            raise ValueError(f"is not for {self.recipient}, or was changed ({error})") from None


def encrypt(data: bytes, recipients: Sequence[str]) -> bytes:
    """Encrypts for some recipients, `age1…`; raises ValueError for what is no recipient."""
    import pyrage

    return bytes(pyrage.encrypt(data, [_recipient(one) for one in recipients]))


def check_recipient(text: str) -> None:
    """Checks a public key; raises ValueError when it is none."""
    _recipient(text)


def _recipient(text: str) -> x25519.Recipient:
    from pyrage import RecipientError, x25519

    try:
        return x25519.Recipient.from_str(text.strip())
    except RecipientError:
        raise ValueError("is not age1…, or one with a typing error") from None
