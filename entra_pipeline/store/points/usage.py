"""How much of the storage a scope takes."""

from __future__ import annotations

from collections.abc import Iterable

from entra_pipeline.store.backends import ObjectStore
from entra_pipeline.store.parallel import in_parallel
from entra_pipeline.store.points.keys import table_folders


def stored_bytes(files: ObjectStore, scope: str, tables: Iterable[str]) -> int:
    """Adds up the Parquet files of a scope's tables, in bytes; each counts once, however many points need it.

    Args:
        files: The place.
        scope: Name of the scope.
        tables: Names of the tables that count.

    Raises:
        StoreError: The storage cannot be read.
    """
    there = set(files.folders())
    prefixes = [folder for name in tables if name in there for folder in table_folders(scope, name)]
    return sum(in_parallel(lambda prefix: sum(file.size for file in files.list(prefix)), prefixes))
