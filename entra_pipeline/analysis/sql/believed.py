"""Parquet files are hashed before a query believes them: what SQL answers rests on bytes that a manifest vouches for.

What belongs here: which manifest says what a file has to be. What does not: how a file is hashed (`store.checksums`),
and how DuckDB comes to read it (`store.backends.duckdb_filesystem`).

Queries choose files by their names while they run, so that a file is hashed when it is opened: once in a session. The
manifest of a part is that of the point that wrote it. Where retention has deleted that point, it is one that the index
of recovery points names the part for. A file that no manifest lists, such as the remains of a killed backup, may be
opened, as DuckDB looks at the columns of some file of a table; but the index must not name it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from threading import Lock

from entra_pipeline.errors import IntegrityError, NotInStore
from entra_pipeline.single_flight import SingleFlightCache
from entra_pipeline.store.backends import ObjectStore
from entra_pipeline.store.backends.encryption.names import plain_name
from entra_pipeline.store.checksums import StoredPart, not_intact, require_intact
from entra_pipeline.store.logs import LogStore
from entra_pipeline.store.manifest import sha256
from entra_pipeline.store.points.confidential import read_parquet
from entra_pipeline.store.points.index import INDEX
from entra_pipeline.store.recovery_points import ScopeStore

_PART = re.compile(r"[^/]+/(?:backup-)?scope=([^/]+)/recovery[-_]point=([^/]+)/[^/]+\.parquet")
_LOG = re.compile(r"([^/]+)/(?:backup-)?scope=([^/]+)/log[-_]day=([^/]+)/[^/]+\.parquet")
# Files of which is known that they are intact, and manifests: of each some hundred kilobytes at the most.
_FILES, _MANIFESTS = 100_000, 100


class BelievedFiles:
    """Hashes the Parquet files of a store, each once in the life of the object, for many threads at a time.

    Args:
        files: The store's place.
    """

    def __init__(self, files: ObjectStore) -> None:
        self._files = files
        self._checked = SingleFlightCache[None](_FILES)
        self._manifests = SingleFlightCache[Mapping[str, StoredPart]](_MANIFESTS)
        self._lock = Lock()
        # Of parts: the scope and point that the index names each for; and those that were opened without a manifest.
        self._named: dict[str, tuple[str, str]] = {}
        self._unlisted: set[str] = set()

    def require(self, key: str) -> None:
        """Checks a file of the store that is about to be read.

        Raises:
            IntegrityError: It is not what its manifest says; or the index names it, and no manifest does.
            StoreError: It cannot be read.
        """
        self._checked.get(key, lambda: self._check(key))

    def _check(self, key: str) -> None:
        if key.startswith(INDEX):
            self._check_index(key)
        elif found := _PART.fullmatch(key):
            self._check_part(key, found[1], found[2])
        elif (found := _LOG.fullmatch(key)) and (part := self._day(*found.groups()).get(key)):
            require_intact(self._files, part)

    def _check_index(self, key: str) -> None:
        data = self._files.read(key)
        if sha256(data) != plain_name(key).rpartition("/")[2].split(".")[-2]:
            raise IntegrityError(
                f"the index {key} is not what was written", remedy="Remove it: entra-pipeline sql makes it again."
            )
        rows = read_parquet(self._files, key, data, ["scope", "recovery_point", "parts"]).to_pylist()
        named = {part["key"]: (row["scope"], row["recovery_point"]) for row in rows for part in row["parts"] or ()}
        with self._lock:
            self._named |= named
            late = self._unlisted & named.keys()
        for one in late:
            self._check_part(one, *named[one])

    def _check_part(self, key: str, scope: str, point: str) -> None:
        with self._lock:
            named = self._named.get(key)
        part = self._point(scope, point).get(key) or (self._point(*named).get(key) if named else None)
        if part is not None:
            require_intact(self._files, part)
            return
        with self._lock:
            self._unlisted.add(key)
            named = self._named.get(key)
        if named is not None:
            raise not_intact(key, f"is in the index of recovery point {named[1]}, but not in its manifest")

    def _point(self, scope: str, point: str) -> Mapping[str, StoredPart]:
        """The parts that a recovery point lists, by key; none when there is no such point."""

        def read() -> Mapping[str, StoredPart]:
            try:
                manifest = ScopeStore(self._files, scope).manifest(point)
            except NotInStore:
                return {}
            return {part.key: part for entry in manifest.tables.values() for part in entry.parts}

        return self._manifests.get((scope, point), read)

    def _day(self, log: str, scope: str, day: str) -> Mapping[str, StoredPart]:
        """The files that the manifest of a day of a log lists, by key; none when there is no such day."""

        def read() -> Mapping[str, StoredPart]:
            try:
                return {part.key: part for part in LogStore(self._files, scope).day(log, date.fromisoformat(day)).parts}
            except (NotInStore, ValueError):
                return {}

        return self._manifests.get((log, scope, day), read)
