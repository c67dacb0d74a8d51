"""The keys that records are signed with, and which of them are trusted.

A private key comes from the configuration only. A public key is trusted when the configuration names it, when it
belongs to that private key, or when a trusted key vouches for it in the store: a new key is introduced by a record that
the key before it has signed, and that is signed by the new one, which so vouches for what was signed before.
What merely lies in the store is not trusted.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from datetime import datetime
from typing import Self

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from entra_pipeline.clock import iso
from entra_pipeline.errors import AlreadyExists, NotInStore
from entra_pipeline.store.backends.object_store import ObjectStore
from entra_pipeline.store.backends.signing.envelope import joined, split, statement
from entra_pipeline.store.manifest import canonical

FORMAT = "entra-pipeline/signing-key"
KEYS = "_keys/"
_BYTES = 32


class PublicKeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A public key in the store.

    Attributes:
        id: First 16 hexadecimal digits of the SHA-256 of the key.
        public_key: The key, as base64url.
        introduced: When, RFC 3339.
        previous: The key before it, as base64url; empty for the first.
        by_previous: Signature of the key before it over this one, as base64url; empty for the first.
        format, version: Of this file.
    """

    id: str
    public_key: str
    introduced: str
    previous: str = ""
    by_previous: str = ""
    format: str = FORMAT
    version: int = 1


_RECORD_DECODER = msgspec.json.Decoder(PublicKeyRecord)


class VerifyingKey:
    """A public key.

    Args:
        raw: Its 32 bytes.

    Attributes:
        id: Its id.
        text: The key as base64url.
    """

    def __init__(self, raw: bytes) -> None:
        self._key = Ed25519PublicKey.from_public_bytes(raw)
        self.id = hashlib.sha256(raw).hexdigest()[:16]
        self.text = _text(raw)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Makes a key of its base64url text; raises ValueError."""
        return cls(_bytes(text, _BYTES))

    def verifies(self, signature: str, message: bytes) -> bool:
        """Tells whether a signature (base64url) of a message is of this key."""
        try:
            self._key.verify(_bytes(signature, 2 * _BYTES), message)
        except (InvalidSignature, ValueError):
            return False
        return True


class SigningKey:
    """A private key.

    Args:
        pem: The key, PKCS #8 in PEM.

    Raises:
        ValueError: It is no Ed25519 private key.
    """

    def __init__(self, pem: str) -> None:
        try:
            key = load_pem_private_key(pem.encode() + b"\n", None)
        except TypeError:
            raise ValueError("is encrypted") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError("is of another kind")
        self._key = key
        self.public = VerifyingKey(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    def sign(self, message: bytes) -> str:
        """Returns the signature of a message, as base64url."""
        return _text(self._key.sign(message))

    def signed(self, key: str, data: bytes) -> bytes:
        """Returns a record with its signature; `key` says where it will be."""
        return joined(data, self.public.id, self.sign(statement(key, data)))


class KeyRing:
    """The public keys that are trusted.

    Args:
        place: Where keys that others vouch for may be.
        trusted: Keys of the configuration.
    """

    def __init__(self, place: ObjectStore, trusted: Iterable[VerifyingKey]) -> None:
        self._place = place
        self._keys = {key.id: key for key in trusted}
        self._looked = False

    def find(self, key_id: str) -> VerifyingKey | None:
        """Returns a trusted key; looks into the store for those that the configuration does not name, once."""
        if key_id not in self._keys and not self._looked:
            self._look()
            self._looked = True
        return self._keys.get(key_id)

    def _look(self) -> None:
        found = [record for record in map(self._record, self._listed()) if record is not None]
        while new := [key for record in found for key in self._vouched(record) if key.id not in self._keys]:
            self._keys.update({key.id: key for key in new})

    def _vouched(self, record: PublicKeyRecord) -> list[VerifyingKey]:
        """Returns the keys that trusted ones vouch for in a record."""
        key = VerifyingKey.parse(record.public_key)
        previous = VerifyingKey.parse(record.previous) if record.previous else None
        if previous is None:
            return []
        if key.id in self._keys:
            return [previous]
        trusted = previous.id in self._keys and previous.verifies(record.by_previous, _introduction(key))
        return [key] if trusted else []

    def _listed(self) -> list[str]:
        return [file.key for file in self._place.list(KEYS)]

    def _record(self, key: str) -> PublicKeyRecord | None:
        """Returns the record of a public key that has signed it; None when it is not whole."""
        try:
            found = split(self._place.read(key))
            if found is None:
                return None
            record = _RECORD_DECODER.decode(found.data)
            own = VerifyingKey.parse(record.public_key)
            keys = [VerifyingKey.parse(text) for text in (record.previous,) if text]
        except (NotInStore, msgspec.DecodeError, ValueError):
            return None
        whole = (own.id, own.id) == (record.id, found.key_id) and all(one.id != own.id for one in keys)
        return record if whole and own.verifies(found.signature, statement(key, found.data)) else None


def key_place(key_id: str) -> str:
    """Returns where the record of a public key is."""
    return f"{KEYS}{key_id}.json"


def introduce(place: ObjectStore, key: SigningKey, now: datetime, previous: SigningKey | None = None) -> bool:
    """Puts the public key of a private one into the store, once.

    Args:
        place: The store's place, not a signed one.
        key: The key that signs from now on.
        now: The present.
        previous: The key that has signed until now; it vouches for the new one, and the new one for it.

    Returns:
        Whether it was new.
    """
    record = PublicKeyRecord(
        id=key.public.id,
        public_key=key.public.text,
        introduced=iso(now),
        previous=previous.public.text if previous else "",
        by_previous=previous.sign(_introduction(key.public)) if previous else "",
    )
    where = key_place(key.public.id)
    try:
        place.create(where, key.signed(where, canonical(record)))
    except AlreadyExists:
        return False
    return True


def _introduction(key: VerifyingKey) -> bytes:
    return f"{FORMAT}/1\n{key.text}\n".encode()


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str, length: int) -> bytes:
    """Returns the bytes of a base64url text without padding; raises ValueError for any other text."""
    raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if len(raw) != length or _text(raw) != text:
        raise ValueError(f"is not {length} bytes as base64url")
    return raw
