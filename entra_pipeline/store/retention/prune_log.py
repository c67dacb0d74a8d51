"""What retention has taken from a scope: an append-only row of sealed records, each with the hash of the one before.

What belongs here: the shape of a prune record, where it is kept, whether the row is whole. What does not: which points
are past their time (`retention`). The format is public: docs/storage-format.md.

A record is written before the manifests that it tells of go. So a point that is neither in the store nor in a record
was not taken by retention.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from entra_pipeline.errors import AlreadyExists, EntraPipelineError, NotInStore, ScopeBusy
from entra_pipeline.store.backends import ObjectStore
from entra_pipeline.store.backends.signing.envelope import BadSignature
from entra_pipeline.store.manifest import canonical, decode_sealed, seal, sha256
from entra_pipeline.store.parallel import in_parallel
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


class PruneRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What was forgotten at one time.

    Attributes:
        format: Says what the file is.
        version: Version of the format; a reader refuses one that it does not know.
        scope: Name of the scope.
        number: Its place in the row, from 1.
        previous_sha256: SHA-256 of the bytes of the record before it; empty for the first.
        pruned: When, RFC 3339.
        by: Who or what asked for it.
        retention: How long points are kept, as it was configured then.
        points: The points.
        seal: SHA-256 of the record's own bytes with an empty seal.
    """

    format: str = FORMAT
    version: int = VERSION
    scope: str
    number: int
    previous_sha256: str
    pruned: str
    by: str
    retention: str
    points: tuple[ForgottenPoint, ...]
    seal: str = ""


_PRUNE_RECORD_DECODER = msgspec.json.Decoder(PruneRecord)


class PruneRecords:
    """The records of one scope.

    Args:
        files: The place.
        scope: Name of the scope.
    """

    def __init__(self, files: ObjectStore, scope: str) -> None:
        self._files = files
        self._scope = scope

    def __iter__(self) -> Iterator[PruneRecord]:
        """Yields the records, oldest first; raises IntegrityError for one that is not what was written."""
        yield from in_parallel(self._read, self._keys())

    def points(self) -> dict[str, ForgottenPoint]:
        """Returns the pruned points, by key."""
        return {point.recovery_point: point for record in self for point in record.points}

    def append(self, points: Sequence[ForgottenPoint], *, pruned: str, by: str, retention: str) -> PruneRecord:
        """Adds a record; the caller holds the scope."""
        keys = self._keys()
        record = seal(
            PruneRecord(
                scope=self._scope,
                number=_number(keys[-1]) + 1 if keys else 1,
                previous_sha256=sha256(self._files.read(keys[-1])) if keys else "",
                pruned=pruned,
                by=by,
                retention=retention,
                points=tuple(points),
            )
        )
        data = canonical(record)
        try:
            self._files.create(self._key(record.number), data)
        except AlreadyExists:
            raise ScopeBusy(
                f"scope {self._scope!r} was pruned by another process meanwhile", remedy="Run prune again."
            ) from None
        note_pruned(self._files, self._scope, record.number, sha256(data))
        return record

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

    def _read(self, key: str) -> PruneRecord:
        return decode_sealed(self._files.read(key), key, _PRUNE_RECORD_DECODER, format=FORMAT, version=VERSION)

    def _keys(self) -> list[str]:
        return [file.key for file in self._files.list(self._root)]

    def _key(self, number: int) -> str:
        return f"{self._root}{number:06d}.json"

    @property
    def _root(self) -> str:
        return f"_pruned/{self._scope}/"


def _number(key: str) -> int:
    name = key.rpartition("/")[2].removesuffix(".json")
    return int(name) if name.isdigit() else 0
