"""What wraps a data key, so that it can lie in the store: a passphrase, age recipients, or a key in AWS KMS."""

from __future__ import annotations

import hashlib
import secrets
from abc import ABC, abstractmethod
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from entra_pipeline.store.backends.encryption.age import AgeIdentity, encrypt

if TYPE_CHECKING:
    from botocore.client import BaseClient

# RFC 7914: 32 MiB and a tenth of a second for each guess of a passphrase.
_COST = {"n": 1 << 15, "r": 8, "p": 1, "maxmem": 64 << 20}


class CannotUnwrap(Exception):
    """A data key was wrapped by something else, or its wrapping was changed; the message says which."""


class KeyWrapper(ABC):
    """Wraps and unwraps data keys of 32 bytes."""

    kind: ClassVar[str]
    """What wrapped a data key, as its record says."""

    @abstractmethod
    def wrap(self, secret: bytes, name: str) -> dict[str, str]:
        """Wraps a data key; `name` is bound to it."""

    @abstractmethod
    def unwrap(self, wrapped: Mapping[str, str], name: str) -> bytes:
        """Returns the data key that `wrap` wrapped.

        Raises:
            CannotUnwrap: It was wrapped by something else, or was changed.
        """


class PassphraseWrapper(KeyWrapper):
    """Wraps with a passphrase: scrypt (RFC 7914) and AES-256-GCM."""

    kind = "passphrase"

    def __init__(self, passphrase: str) -> None:
        self._passphrase = passphrase

    def wrap(self, secret: bytes, name: str) -> dict[str, str]:
        """As `KeyWrapper.wrap`."""
        salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
        sealed = AESGCM(_stretched(self._passphrase, salt)).encrypt(nonce, secret, name.encode())
        return {"salt": _text(salt), "nonce": _text(nonce), "key": _text(sealed)}

    def unwrap(self, wrapped: Mapping[str, str], name: str) -> bytes:
        """As `KeyWrapper.unwrap`."""
        salt, nonce, sealed = (b64decode(wrapped[member]) for member in ("salt", "nonce", "key"))
        try:
            return AESGCM(_stretched(self._passphrase, salt)).decrypt(nonce, sealed, name.encode())
        except InvalidTag:
            raise CannotUnwrap("the passphrase is another one") from None


class AgeWrapper(KeyWrapper):
    """Wraps for age recipients; the identity unwraps.

    Args:
        identity: The secret key.
        others: Further recipients, who can unwrap too.
    """

    kind = "age"

    def __init__(self, identity: AgeIdentity, others: Sequence[str] = ()) -> None:
        self._identity, self._others = identity, others

    def wrap(self, secret: bytes, name: str) -> dict[str, str]:
        """As `KeyWrapper.wrap`."""
        recipients = list(dict.fromkeys([self._identity.recipient, *self._others]))
        data = encrypt(secret + name.encode(), recipients)
        return {"recipients": " ".join(recipients), "key": _text(data)}

    def unwrap(self, wrapped: Mapping[str, str], name: str) -> bytes:
        """As `KeyWrapper.unwrap`."""
        try:
            data = self._identity.decrypt(b64decode(wrapped["key"]))
        except ValueError as error:
            raise CannotUnwrap(f"it {error}") from None
        if data[32:] != name.encode():
            raise CannotUnwrap("it is another data key")
        return data[:32]


class KmsWrapper(KeyWrapper):
    """Wraps with a key that never leaves AWS KMS.

    Args:
        client: boto3's client of KMS.
        key: Id, ARN or alias.
    """

    kind = "kms"

    def __init__(self, client: BaseClient, key: str) -> None:
        self._client, self._key = client, key

    def wrap(self, secret: bytes, name: str) -> dict[str, str]:
        """As `KeyWrapper.wrap`."""
        answer = self._asked("encrypt", KeyId=self._key, Plaintext=secret, EncryptionContext=_context(name))
        return {"key_id": str(answer["KeyId"]), "key": _text(answer["CiphertextBlob"])}  # type: ignore[arg-type]

    def unwrap(self, wrapped: Mapping[str, str], name: str) -> bytes:
        """As `KeyWrapper.unwrap`."""
        data: bytes = self._asked(  # type: ignore[assignment]
            "decrypt",
            KeyId=wrapped["key_id"],
            CiphertextBlob=b64decode(wrapped["key"]),
            EncryptionContext=_context(name),
        )["Plaintext"]
        return data

    def _asked(self, operation: str, **parameters: object) -> dict[str, object]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer: dict[str, object] = getattr(self._client, operation)(**parameters)
        except (ClientError, BotoCoreError) as error:
            raise CannotUnwrap(f"AWS KMS does not {operation} it: {error}") from error
        return answer


def _context(name: str) -> dict[str, str]:
    return {"entra-pipeline": name}


@lru_cache(maxsize=64)
def _stretched(passphrase: str, salt: bytes) -> bytes:
    # A process opens its stores many times.
    return hashlib.scrypt(passphrase.encode(), salt=salt, dklen=32, **_COST)


def _text(data: bytes) -> str:
    return b64encode(data).decode()
