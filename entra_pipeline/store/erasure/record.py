"""Who was erased from a scope: an append-only row of sealed records, each with the hash of the one before.

A record is written before the keys go, so that none goes without one; the keys themselves tell whether they have gone.
The format is public: docs/erasure.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from entra_pipeline.errors import AlreadyExists, ScopeBusy
from entra_pipeline.store.backends import ObjectStore
from entra_pipeline.store.manifest import canonical, decode_sealed, seal, sha256
from entra_pipeline.store.parallel import in_parallel

FOLDER = "_erased/"
FORMAT = "entra-pipeline/erasure"
VERSION = 1


class ErasureRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An erasure.

    Attributes:
        format: Says what the file is.
        version: Version of the format.
        scope: Name of the scope.
        number: Its place in the row, from 1.
        previous_sha256: SHA-256 of the bytes of the record before it; empty for the first.
        person: Id of the person.
        keys: Ids of the keys that were destroyed, hexadecimal.
        erased: When, RFC 3339.
        by: Who asked for it.
        reason: Why.
        points: Recovery points in which the person has values.
        rows: Rows with such values, by object type.
        seal: SHA-256 of the record's own bytes with an empty seal.
    """

    format: str = FORMAT
    version: int = VERSION
    scope: str
    number: int
    previous_sha256: str
    person: str
    keys: tuple[str, ...]
    erased: str
    by: str
    reason: str
    points: int
    rows: Mapping[str, int]
    seal: str = ""


_DECODER = msgspec.json.Decoder(ErasureRecord)


class ErasureRecords:
    """The records of one scope.

    Args:
        files: The place.
        scope: Name of the scope.
    """

    def __init__(self, files: ObjectStore, scope: str) -> None:
        self._files, self._scope = files, scope

    def __iter__(self) -> Iterator[ErasureRecord]:
        """Yields the records, oldest first; raises IntegrityError for one that is not what was written."""
        yield from in_parallel(self._read, self._keys())

    def append(
        self,
        person: str,
        keys: Sequence[bytes],
        *,
        erased: str,
        by: str,
        reason: str,
        points: int,
        rows: Mapping[str, int],
    ) -> ErasureRecord:
        """Adds a record; the caller holds the scope. Arguments as in `ErasureRecord`."""
        there = self._keys()
        record = seal(
            ErasureRecord(
                scope=self._scope,
                number=len(there) + 1,
                previous_sha256=sha256(self._files.read(there[-1])) if there else "",
                person=person,
                keys=tuple(one.hex() for one in keys),
                erased=erased,
                by=by,
                reason=reason,
                points=points,
                rows=rows,
            )
        )
        try:
            self._files.create(f"{self._folder}{record.number:06d}.json", canonical(record))
        except AlreadyExists:
            raise ScopeBusy(
                f"somebody else was erased from scope {self._scope!r} meanwhile", remedy="Run it again."
            ) from None
        return record

    def _read(self, key: str) -> ErasureRecord:
        return decode_sealed(self._files.read(key), key, _DECODER, format=FORMAT, version=VERSION)

    def _keys(self) -> list[str]:
        return [file.key for file in self._files.list(self._folder)]

    @property
    def _folder(self) -> str:
        return f"{FOLDER}{self._scope}/"
