"""A recovery point in the making: its Parquet files, and what a repeated run need not do again.

Parquet files are written to where they stay; entries of tables and of the run are remembered under `_staged/`. Nothing
of it is visible before the manifest is (`commit`), and what a run leaves that never ends is swept (`retention.sweep`).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import msgspec

from entra_pipeline.errors import NotInStore
from entra_pipeline.store.backends import ObjectStore
from entra_pipeline.store.manifest import TABLE_ENTRY_DECODER, Part, TableEntry, canonical, decode_record
from entra_pipeline.store.points.confidential import encrypted_part
from entra_pipeline.store.points.keys import part_folders, part_key, require_uncommitted

# Among the staged entries, which are named after tables.
_RUN = "_run.json"
_OBJECT = msgspec.json.Decoder(dict[str, object])


def staging_folder(scope: str) -> str:
    """Makes the start of the keys of everything that is staged of a scope."""
    return f"_staged/{scope}/"


class PointStaging:
    """The recovery points in the making of one scope.

    Args:
        files: The place.
        scope: Name of the scope.
    """

    def __init__(self, files: ObjectStore, scope: str) -> None:
        self._files = files
        self._scope = scope

    def points(self) -> set[str]:
        """Returns the keys of the points in the making."""
        prefix = staging_folder(self._scope)
        return {file.key.removeprefix(prefix).partition("/")[0] for file in self._files.list(prefix)}

    def write_part(
        self,
        point: str,
        table: str,
        number: int,
        path: Path,
        *,
        role: Literal["base", "changes"],
        rows: int,
        by_person: bool = False,
    ) -> Part:
        """Stores a Parquet file of a point.

        Args:
            point: Key of the point.
            table: Object type or relation.
            number: Number of the file among those that the point writes for the table, from 0.
            path: The local file.
            role: What it holds; see `Part`.
            rows: Rows in it.
            by_person: The values of persons in it are encrypted with their own keys.

        Raises:
            RecoveryPointRefused: The point is committed.
        """
        self._require_uncommitted(point)
        key = encrypted_part(self._files, part_key(self._scope, table, point, number), path, by_person=by_person)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self._files.upload(key, path)
        return Part(key=key, rows=rows, bytes=path.stat().st_size, sha256=digest, recovery_point=point, role=role)

    def save_table(self, point: str, entry: TableEntry) -> None:
        """Remembers a table of a point, so that a repeated run need not read it again."""
        self._require_uncommitted(point)
        self._files.replace(f"{self._folder(point)}{entry.table}.json", canonical(entry))

    def tables(self, point: str) -> dict[str, TableEntry]:
        """Returns the tables that are remembered, by name; raises IntegrityError when one cannot be read."""
        entries: dict[str, TableEntry] = {}
        for file in self._files.list(self._folder(point)):
            if file.key.endswith(_RUN):
                continue
            entry = decode_record(
                self._files.read(file.key), file.key, TABLE_ENTRY_DECODER, remedy="Discard the run and repeat it."
            )
            entries[entry.table] = entry
        return entries

    def save_run(self, point: str, run: dict[str, object]) -> None:
        """Remembers what a repeated run of a point has to know besides its tables."""
        self._require_uncommitted(point)
        self._files.replace(f"{self._folder(point)}{_RUN}", canonical(run))

    def run(self, point: str) -> dict[str, object] | None:
        """Returns what `save_run` remembered; None when there is nothing."""
        try:
            return _OBJECT.decode(self._files.read(f"{self._folder(point)}{_RUN}"))
        except NotInStore:
            return None

    def discard(self, point: str) -> None:
        """Removes all that there is of a point; raises RecoveryPointRefused when it is committed."""
        self._require_uncommitted(point)
        entries = self._entries(point)
        tables = [name for name in self._files.folders() if not name.startswith("_")]
        folders = [folder for table in tables for folder in part_folders(self._scope, table, point)]
        parts = [file.key for folder in folders for file in self._files.list(folder)]
        # Parts last: an entry never names a file that is gone.
        self._files.delete(entries)
        self._files.delete(parts)

    def forget(self, point: str) -> None:
        """Removes what is remembered of a point, and leaves its Parquet files."""
        self._files.delete(self._entries(point))

    def _entries(self, point: str) -> list[str]:
        return [file.key for file in self._files.list(self._folder(point))]

    def _folder(self, point: str) -> str:
        return f"{staging_folder(self._scope)}{point}/"

    def _require_uncommitted(self, point: str) -> None:
        require_uncommitted(self._files, self._scope, point)
