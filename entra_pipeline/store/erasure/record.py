"""Who was erased from a scope: an append-only row of sealed records, each with the hash of the one before.

A record is written before the keys go, so that none goes without one; the keys themselves tell whether they have gone.
The format is public: docs/erasure.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from entra_pipeline.errors import AlreadyExists, ScopeBusy
from entra_pipeline.store.backends import ObjectStore
from entra_pipeline.store.points.chained_records import ChainedRecord, ChainedRecords, RecordFormat

FOLDER = "_erased/"
FORMAT = "entra-pipeline/erasure"
VERSION = 1


class ErasureRecord(ChainedRecord, frozen=True, kw_only=True):
    """An erasure.

    Attributes:
        format: Says what the file is.
        version: Version of the format.
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
    person: str
    keys: tuple[str, ...]
    erased: str
    by: str
    reason: str
    points: int
    rows: Mapping[str, int]
    seal: str = ""


_DECODER = msgspec.json.Decoder(ErasureRecord)
_RECORDS = RecordFormat(FORMAT, VERSION, _DECODER, FOLDER)


class ErasureRecords(ChainedRecords[ErasureRecord]):
    """The records of one scope.

    Args:
        files: The place.
        scope: Name of the scope.
    """

    def __init__(self, files: ObjectStore, scope: str) -> None:
        super().__init__(files, scope, _RECORDS)

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

        def make(number: int, previous: str) -> ErasureRecord:
            return ErasureRecord(
                scope=self._scope,
                number=number,
                previous_sha256=previous,
                person=person,
                keys=tuple(one.hex() for one in keys),
                erased=erased,
                by=by,
                reason=reason,
                points=points,
                rows=rows,
            )

        try:
            return self.add(make)[0]
        except AlreadyExists:
            raise ScopeBusy(
                f"somebody else was erased from scope {self._scope!r} meanwhile", remedy="Run it again."
            ) from None
