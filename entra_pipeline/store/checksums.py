"""Checks stored Parquet files against what a manifest says of them: size and SHA-256.

`verify` reports what differs. What is written to a tenant rests on parts that `IntactParts` has hashed before: a
changed byte is an error, not a value. `read_intact` does the same for one part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Protocol

from entra_pipeline.errors import IntegrityError, NotInStore
from entra_pipeline.store.backends import ObjectStore
from entra_pipeline.store.manifest import sha256
from entra_pipeline.store.parallel import in_parallel

_DIFFERS = "has other bytes than were written: its SHA-256 differs"


class StoredPart(Protocol):
    """What a manifest of any kind says of a file: where it is, its size in bytes, its SHA-256 in hexadecimal."""

    @property
    def key(self) -> str: ...  # noqa: D102
    @property
    def bytes(self) -> int: ...  # noqa: D102
    @property
    def sha256(self) -> str: ...  # noqa: D102


def size_problem(files: ObjectStore, part: StoredPart) -> str:
    """Compares the size of a stored part with its manifest; returns what differs. Raises NotInStore."""
    size = files.size(part.key)
    return "" if size == part.bytes else f"has {size} bytes instead of {part.bytes}"


def part_problem(files: ObjectStore, part: StoredPart) -> str:
    """Compares size and SHA-256 of a stored part with its manifest; returns what differs, or an empty text."""
    if problem := size_problem(files, part):
        return problem
    digest = hashlib.sha256()
    for chunk in files.stream(part.key):
        digest.update(chunk)
    return "" if digest.hexdigest() == part.sha256 else _DIFFERS


def read_intact(files: ObjectStore, part: StoredPart) -> bytes:
    """Reads a part whole, and hashes the bytes that it returns: nothing can change them between check and use.

    Raises:
        NotInStore: The part is not there.
        IntegrityError: It has other bytes than were written.
    """
    data = files.read(part.key)
    if sha256(data) != part.sha256:
        raise not_intact(part.key, _DIFFERS)
    return data


class IntactParts:
    """Hashes parts before they are believed; each part once in the life of the object.

    Args:
        files: The store's place.
    """

    def __init__(self, files: ObjectStore) -> None:
        self._files = files
        self._intact: set[tuple[str, str]] = set()

    def require(self, parts: Iterable[StoredPart]) -> None:
        """Checks size and SHA-256 of parts, many at a time.

        Raises:
            IntegrityError: A part is not what its manifest says, or is missing.
            StoreError: A part cannot be read.
        """
        new = {(part.key, part.sha256): part for part in parts if (part.key, part.sha256) not in self._intact}
        in_parallel(lambda part: require_intact(self._files, part), new.values())
        self._intact |= new.keys()


def require_intact(files: ObjectStore, part: StoredPart) -> None:
    """Checks size and SHA-256 of a part.

    Raises:
        IntegrityError: It is not what its manifest says, or is missing.
        StoreError: It cannot be read.
    """
    try:
        problem = part_problem(files, part)
    except NotInStore:
        problem = "is missing"
    if problem:
        raise not_intact(part.key, problem)


def not_intact(key: str, problem: str) -> IntegrityError:
    """Makes the error for a part that is not what it has to be; `problem` follows its key."""
    return IntegrityError(
        f"{key} {problem}",
        remedy="The file was not used. Find out who changed it (entra-pipeline verify shows what else differs), or use "
        "another recovery point.",
    )
