"""The signature of a record, as text: its last member, which other tools may ignore.

What belongs here: which keys are records, how a signature is put on and taken off, what it is over. What does not:
whether it is right (`keys`, `signed_store`).
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

from entra_pipeline.errors import IntegrityError

FOLDERS = (
    "_recovery_points/",
    "_logs/",
    "_pruned/",
    "_holds/",
    "_staged/",
    "_jobs/",
    "_audit/",
    "_restore/",
    "_drills/",
    "_unusual/",
    "_unreadable/",
    "_heads/",
    "_keys/",
    "_adopted/",
    "_encryption/",
    "_people/",
    "_erased/",
    "_tokens/",
    "_sign_ins/",
)
"""What the keys of records start with."""

_STATEMENT = "entra-pipeline/signature/1"
_MEMBER = re.compile(rb',"signature":"([0-9a-f]{16})\.([A-Za-z0-9_-]{86})"(\}\n?)\Z')


class BadSignature(IntegrityError):
    """A record that is not signed, or whose signature does not fit.

    Attributes:
        data: Its bytes without the signature, for whoever has to go on beside it.
    """

    def __init__(self, message: str, *, remedy: str, data: bytes) -> None:
        super().__init__(message, remedy=remedy)
        self.data = data


class SignedRecord(NamedTuple):
    """A record that says that it is signed.

    Attributes:
        data: Its bytes without the signature.
        key_id: Id of the key that it says it is signed with.
        signature: The signature as base64url, without padding.
    """

    data: bytes
    key_id: str
    signature: str


def is_record(key: str) -> bool:
    """Tells whether an object is a record."""
    return key.startswith(FOLDERS) and key.endswith((".json", ".jsonl"))


def statement(key: str, data: bytes) -> bytes:
    """Returns what a signature is over: where the record is, and the SHA-256 of its bytes without the signature."""
    return f"{_STATEMENT}\n{key}\n{hashlib.sha256(data).hexdigest()}\n".encode()


def joined(data: bytes, key_id: str, signature: str) -> bytes:
    """Puts a signature on a record: a JSON object with members, or lines of such; there it is on the last."""
    body = data.removesuffix(b"\n")
    if not body.endswith(b"}") or body.endswith(b"\n{}") or body == b"{}":
        raise ValueError("only a JSON object with members can be signed")
    return body[:-1] + f',"signature":"{key_id}.{signature}"'.encode() + data[len(body) - 1 :]


def split(stored: bytes) -> SignedRecord | None:
    """Takes the signature off a record; None when it has none."""
    # Only the end is looked at: a record may be long.
    found = _MEMBER.search(stored, max(0, len(stored) - 160))
    if found is None:
        return None
    return SignedRecord(stored[: found.start()] + found[3], found[1].decode(), found[2].decode())
