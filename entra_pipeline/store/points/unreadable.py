"""Elements of Graph's answers that a backup could not read, byte by byte, for the report of its job.

They are kept beside the job's record and under the key of its recovery point, which every process of a run knows. The
files are small: at most `MOST_ELEMENTS` elements of `MOST_BYTES` each. They go when the point goes.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Self
from uuid import uuid4

import msgspec

from entra_pipeline.store.backends import ObjectStore, StoredFile
from entra_pipeline.store.manifest import canonical

MOST_BYTES = 2_048
"""Bytes that are kept of an element."""
MOST_ELEMENTS = 200
"""Elements that are kept of a read."""
_ROOT = "_unreadable"


class UnreadableElement(msgspec.Struct, frozen=True, kw_only=True):
    """An element of an answer.

    Attributes:
        table: The table that it belongs to.
        object: Id of the object, or of the owner of an edge or child object; empty when it is not known.
        reason: What is wrong with it.
        data: Its first bytes, as Base64.
        size: How many there were.
    """

    table: str
    object: str
    reason: str
    data: str
    size: int

    @classmethod
    def of(cls, table: str, identifier: str, reason: str, raw: bytes) -> Self:
        """Makes one of the bytes that Graph sent."""
        data = base64.b64encode(raw[:MOST_BYTES]).decode()
        return cls(table=table, object=identifier, reason=reason, data=data, size=len(raw))

    @property
    def text(self) -> str:
        """The kept bytes as text, with U+FFFD for what is none."""
        return base64.b64decode(self.data).decode("utf-8", "replace")


class _File(msgspec.Struct, kw_only=True):
    recovery_point: str
    total: int
    elements: list[UnreadableElement]


_FILE_DECODER = msgspec.json.Decoder(_File)


def keep_unreadable(files: ObjectStore, scope: str, point: str, elements: Sequence[UnreadableElement]) -> None:
    """Stores the elements that a read of a point could not read; raises StoreError."""
    kept = _File(recovery_point=point, total=len(elements), elements=list(elements[:MOST_ELEMENTS]))
    files.create(f"{_folder(scope, point)}{uuid4().hex[:12]}.json", canonical(kept))


def read_unreadable(files: ObjectStore, scope: str, point: str) -> list[UnreadableElement]:
    """Returns the elements that the reads of a point could not read; raises StoreError."""
    found = [_FILE_DECODER.decode(files.read(file.key)) for file in files.list(_folder(scope, point))]
    return [element for one in found for element in one.elements]


def points_with_unreadable(files: ObjectStore, scope: str) -> list[tuple[str, StoredFile]]:
    """Returns all files with such elements, each with the point that it belongs to; raises StoreError."""
    return [(file.key.split("/")[2], file) for file in files.list(f"{_ROOT}/{scope}/")]


def _folder(scope: str, point: str) -> str:
    return f"{_ROOT}/{scope}/{point}/"
