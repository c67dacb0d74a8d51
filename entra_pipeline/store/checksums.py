"""Checks stored Parquet files against what a manifest says of them: size and SHA-256."""

from __future__ import annotations

import hashlib
from typing import Protocol

from entra_pipeline.store.backends import ObjectStore


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
    return "" if digest.hexdigest() == part.sha256 else "has other bytes than were written: its SHA-256 differs"
