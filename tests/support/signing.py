"""Keys and signed places for tests."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256

from entra_pipeline.store.backends import ObjectStore
from entra_pipeline.store.backends.signing.keys import SigningKey, VerifyingKey, introduce
from entra_pipeline.store.backends.signing.signed_store import SignedObjectStore
from tests.support.writing import START

# RFC 8410, section 7: what stands before the 32 bytes of an Ed25519 private key.
_PREFIX = bytes.fromhex("302e020100300506032b657004220420")


def private_pem(name: str) -> str:
    """A private key that is always the same for a name."""
    der = b64encode(_PREFIX + sha256(name.encode()).digest()).decode()
    return f"-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n"


def signing_key(name: str) -> SigningKey:
    return SigningKey(private_pem(name))


OURS, STRANGER = signing_key("ours"), signing_key("stranger")


def signed(place: ObjectStore, key: SigningKey | None = OURS, *trusted: VerifyingKey) -> SignedObjectStore:
    """A place whose records are signed, with the public key in it."""
    if key is not None:
        introduce(place, key, START)
    return SignedObjectStore(place, key, trusted)
