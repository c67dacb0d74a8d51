"""An append-only row of sealed records of a scope, each with the hash of the one before.

What belongs here: numbering, reading and checking such a row. What does not: what its records say (`prune_log`,
`erasure.record`).

A record takes the number after that of the last key, never the number of keys: where one was lost, its place stays
empty, and is found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, NamedTuple, TypeVar

import msgspec

from entra_pipeline.errors import EntraPipelineError, NotInStore
from entra_pipeline.store.backends import ObjectStore
from entra_pipeline.store.backends.signing.envelope import BadSignature
from entra_pipeline.store.manifest import canonical, decode_sealed, seal, sha256
from entra_pipeline.store.parallel import in_parallel


class ChainedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What every record of a row says of its place.

    Attributes:
        scope: Name of the scope.
        number: Its place in the row, from 1.
        previous_sha256: SHA-256 of the bytes of the record before it; empty for the first.
    """

    scope: str
    number: int
    previous_sha256: str


_Record = TypeVar("_Record", bound=ChainedRecord)


class RecordFormat(NamedTuple, Generic[_Record]):
    """How the records of a row are stored.

    Attributes:
        name: What the files say of themselves.
        version: The newest version that is understood.
        decoder: Decodes a record.
        folder: What the keys begin with; the name of the scope follows.
    """

    name: str
    version: int
    decoder: msgspec.json.Decoder[_Record]
    folder: str


class ChainedRecords(Generic[_Record]):
    """The records of one kind of one scope.

    Args:
        files: The place.
        scope: Name of the scope.
        kind: How they are stored.
    """

    def __init__(self, files: ObjectStore, scope: str, kind: RecordFormat[_Record]) -> None:
        self._files = files
        self._scope = scope
        self._kind = kind
        self._root = f"{kind.folder}{scope}/"

    def __iter__(self) -> Iterator[_Record]:
        """Yields the records, oldest first; raises IntegrityError for one that is not what was written."""
        yield from in_parallel(self._read, self._keys())

    def add(self, make: Callable[[int, str], _Record]) -> tuple[_Record, str]:
        """Adds a record; the caller holds the scope.

        Args:
            make: Makes it of its number and the SHA-256 of the record before it; the seal is filled in here.

        Returns:
            The record, and the SHA-256 of its bytes.

        Raises:
            AlreadyExists: Another process has added one meanwhile.
        """
        number, previous = self.newest()
        record = seal(make(number + 1, previous))
        data = canonical(record)
        self._files.create(self._key(record.number), data)
        return record, sha256(data)

    def newest(self) -> tuple[int, str]:
        """Returns the number of the newest record, and the SHA-256 of its bytes; 0 and an empty text without any."""
        keys = self._keys()
        return (_number(keys[-1]), sha256(self._files.read(keys[-1]))) if keys else (0, "")

    def digest(self, number: int) -> str:
        """Returns the SHA-256 of a record's bytes; empty when it is not there."""
        try:
            return sha256(self._files.read(self._key(number)))
        except NotInStore:
            return ""

    def problems(self) -> list[str]:
        """Checks seals and chain of the records; returns what is wrong: a changed record, or a missing one."""
        found = []
        previous = ""
        for place, key in enumerate(self._keys(), start=1):
            try:
                record = self._read(key)
            except EntraPipelineError as error:
                found.append(error.message)
            else:
                if (record.scope, record.number, _number(key)) != (self._scope, place, place):
                    found.append(f"{key} is not record {place} of scope {self._scope!r}: a record is missing")
                elif record.previous_sha256 != previous:
                    found.append(f"{key} does not follow the record before it: the SHA-256 differs")
            previous = self._digest(key)
        return found

    def _digest(self, key: str) -> str:
        try:
            return sha256(self._files.read(key))
        except BadSignature as error:
            # Told already.
            return sha256(error.data)

    def _read(self, key: str) -> _Record:
        kind = self._kind
        return decode_sealed(self._files.read(key), key, kind.decoder, format=kind.name, version=kind.version)

    def _keys(self) -> list[str]:
        return [file.key for file in self._files.list(self._root)]

    def _key(self, number: int) -> str:
        return f"{self._root}{number:06d}.json"


def _number(key: str) -> int:
    name = key.rpartition("/")[2].removesuffix(".json")
    return int(name) if name.isdigit() else 0
