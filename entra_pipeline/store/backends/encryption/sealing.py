"""Values of a person, encrypted with that person's own key: an *envelope* beside the object that they were taken from.

An object keeps its members; those of the person become null. The envelope has what they were, so that with the key the
object is again, byte for byte, what it was (but for white space, which Graph sends none of). Whoever destroys the key
has destroyed the values wherever the envelope lies.

What belongs here: one object. What does not: which members are a person's (`catalogue`), and where keys are
(`person_keys`). The format is public: docs/erasure.md.
"""

from __future__ import annotations

import hashlib
import secrets
import zlib
from collections.abc import Callable, Collection
from typing import NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from entra_pipeline.errors import IntegrityError
from entra_pipeline.surrogates import hide_text, reveal

ERASED = "_erased"
"""The member, true, of an object of which a person's values are gone for ever."""

_BYTES, _ID, _NONCE = 32, 12, 12
_NULL = msgspec.Raw(b"null")
_MARK = f'{{"{ERASED}":true,'
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_pieces = msgspec.json.Decoder(list[msgspec.Raw])
_places = msgspec.json.Decoder(list[int])
# What zlib writes first, and JSON never.
_ZLIB = b"\x78"
_LEVEL = 6


class PersonKey(NamedTuple):
    """A key of a person.

    Attributes:
        id: Tells which key an envelope needs, and nothing of the key: 12 bytes of its SHA-256.
        secret: 32 bytes.
    """

    id: bytes
    secret: bytes

    @classmethod
    def of(cls, secret: bytes) -> PersonKey:
        """Returns the key that some bytes are."""
        return cls(hashlib.sha256(b"entra-pipeline/person-key/1\n" + secret).digest()[:_ID], secret)

    @classmethod
    def new(cls) -> PersonKey:
        """Makes a key."""
        return cls.of(secrets.token_bytes(_BYTES))


class SealedObject(NamedTuple):
    """An object without a person's values.

    Attributes:
        raw: The object as JSON, with null in place of them.
        envelope: The values, encrypted; None when there is nothing to encrypt.
    """

    raw: str
    envelope: bytes | None


def seal_object(raw: str, identifier: str, key: Callable[[], PersonKey], members: Collection[str] = ()) -> SealedObject:
    """Takes a person's values out of an object.

    Args:
        raw: The object as JSON.
        identifier: Id under which it is stored; the envelope belongs to it.
        key: Returns the person's key; called when there is something to encrypt.
        members: Members that are the person's; all but `id` when empty.
    """
    found = _members.decode(hide_text(raw))
    if ERASED in found:
        return SealedObject(raw, None)
    places: list[int] = []
    values: list[msgspec.Raw] = []
    for place, (name, value) in enumerate(found.items()):
        if (name in members if members else name != "id") and bytes(value) != b"null":
            places.append(place)
            values.append(value)
            found[name] = _NULL
    if not places:
        return SealedObject(raw, None)
    data = msgspec.json.encode([places, *values])
    packed = zlib.compress(data, _LEVEL)
    nonce, own = secrets.token_bytes(_NONCE), key()
    sealed = AESGCM(own.secret).encrypt(nonce, min(data, packed, key=len), _bound(identifier))
    return SealedObject(_text(found), own.id + nonce + sealed)


def key_id_of(envelope: bytes) -> bytes:
    """Returns the id of the key that an envelope needs."""
    return envelope[:_ID]


def open_object(raw: str, identifier: str, envelope: bytes, find: Callable[[bytes], PersonKey | None]) -> str:
    """Puts a person's values back into an object; where their key was destroyed, marks the object as erased.

    Args:
        raw: The object as `seal_object` left it.
        identifier: Id under which it is stored.
        envelope: The values.
        find: Returns the key of an id; None when it was destroyed.

    Raises:
        IntegrityError: The envelope was changed, or belongs to another object.
    """
    key = find(key_id_of(envelope))
    if key is None:
        return _MARK + raw[1:]
    nonce, sealed = envelope[_ID : _ID + _NONCE], envelope[_ID + _NONCE :]
    try:
        data = AESGCM(key.secret).decrypt(nonce, sealed, _bound(identifier))
    except InvalidTag:
        raise IntegrityError(
            f"the values of {identifier} are not what was encrypted: they were changed, or belong elsewhere",
            remedy="entra-pipeline verify shows what else is not as it was written.",
        ) from None
    found = _members.decode(hide_text(raw))
    names = list(found)
    places, *values = _pieces.decode(zlib.decompress(data) if data.startswith(_ZLIB) else data)
    for place, value in zip(_places.decode(places), values, strict=True):
        found[names[place]] = value
    return _text(found)


def _text(members: dict[str, msgspec.Raw]) -> str:
    return reveal(msgspec.json.encode(members)).decode()


def _bound(identifier: str) -> bytes:
    return f"entra-pipeline/person/1\n{identifier}\n".encode()
