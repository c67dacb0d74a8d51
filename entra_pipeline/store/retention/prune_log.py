"""What retention has taken from a scope: an append-only row of sealed records, each with the hash of the one before.

What belongs here: the shape of a prune record, and where it is kept. What does not: whether the row is whole
(`chained_records`), which points are past their time (`retention`). The format is public: docs/storage-format.md.

A record is written before the manifests that it tells of go. So a point that is neither in the store nor in a record
was not taken by retention.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from entra_pipeline.errors import AlreadyExists, ScopeBusy
from entra_pipeline.store.backends import ObjectStore
from entra_pipeline.store.points.chained_records import ChainedRecord, ChainedRecords, RecordFormat
from entra_pipeline.store.points.head import note_pruned

FORMAT = "entra-pipeline/prune-record"
VERSION = 1


class ForgottenPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A recovery point whose time was over.

    Attributes:
        recovery_point: Its key.
        sha256: SHA-256 of the bytes of its manifest: what `parent_sha256` of the next point says.
        parent: The recovery point before it; empty for the first.
        parent_sha256: SHA-256 of the bytes of the parent's manifest.
        kind: As its manifest said.
        status: As its manifest said.
        expired: When its time was over, RFC 3339.
    """

    recovery_point: str
    sha256: str
    parent: str
    parent_sha256: str
    kind: str
    status: str
    expired: str


class PruneRecord(ChainedRecord, frozen=True, kw_only=True):
    """What was forgotten at one time.

    Attributes:
        format: Says what the file is.
        version: Version of the format; a reader refuses one that it does not know.
        pruned: When, RFC 3339.
        by: Who or what asked for it.
        retention: How long points are kept, as it was configured then.
        points: The points.
        seal: SHA-256 of the record's own bytes with an empty seal.
    """

    format: str = FORMAT
    version: int = VERSION
    pruned: str
    by: str
    retention: str
    points: tuple[ForgottenPoint, ...]
    seal: str = ""


_PRUNE_RECORD_DECODER = msgspec.json.Decoder(PruneRecord)
_RECORDS = RecordFormat(FORMAT, VERSION, _PRUNE_RECORD_DECODER, "_pruned/")


class PruneRecords(ChainedRecords[PruneRecord]):
    """The records of one scope.

    Args:
        files: The place.
        scope: Name of the scope.
    """

    def __init__(self, files: ObjectStore, scope: str) -> None:
        super().__init__(files, scope, _RECORDS)

    def points(self) -> dict[str, ForgottenPoint]:
        """Returns the pruned points, by key."""
        return {point.recovery_point: point for record in self for point in record.points}

    def append(self, points: Sequence[ForgottenPoint], *, pruned: str, by: str, retention: str) -> PruneRecord:
        """Adds a record; the caller holds the scope."""

        def make(number: int, previous: str) -> PruneRecord:
            return PruneRecord(
                scope=self._scope,
                number=number,
                previous_sha256=previous,
                pruned=pruned,
                by=by,
                retention=retention,
                points=tuple(points),
            )

        try:
            record, digest = self.add(make)
        except AlreadyExists:
            raise ScopeBusy(
                f"scope {self._scope!r} was pruned by another process meanwhile", remedy="Run prune again."
            ) from None
        note_pruned(self._files, self._scope, record.number, digest)
        return record
