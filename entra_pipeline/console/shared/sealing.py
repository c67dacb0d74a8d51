"""Sealing: what leaves a console and comes back, so that only consoles with the same key can make or read it.

The key is derived from a secret that all processes of a console have already: the client secret of the sign-in, or
the stored hash of the local account. A new secret makes everything unreadable that was sealed before.
"""

from __future__ import annotations

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE = 12
_PURPOSE = b"entra-pipeline console"


def key_of(secret: bytes) -> bytes:
    """Derives the key of 32 bytes from a secret that is hard to guess (HKDF-SHA256, RFC 5869)."""
    return HKDF(SHA256(), 32, salt=None, info=_PURPOSE).derive(secret)


class Sealer:
    """Seals and opens (AES-256-GCM).

    Args:
        key: 32 bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, place: str, data: bytes) -> str:
        """Seals bytes for one place, such as the name of a cookie or record: elsewhere they are worth nothing."""
        nonce = os.urandom(_NONCE)
        sealed = urlsafe_b64encode(nonce + self._cipher.encrypt(nonce, data, place.encode()))
        # Cookies have no `=` in their values.
        return sealed.decode().rstrip("=")

    def open(self, place: str, text: str) -> bytes | None:
        """Opens what was sealed for a place; None for what was not sealed there with this key."""
        try:
            sealed = urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4))
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], place.encode())
        except (ValueError, InvalidTag):
            return None
