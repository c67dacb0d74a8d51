"""Typing and writing a new base while its rows are still coming.

What belongs here: one thread beside the network that turns each complete segment of staged rows into a Parquet file of
the store. What does not: whether the files may be used (`point_builder` decides when all rows are there).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from entra_pipeline.backup.rows.hashes import Digest, digest
from entra_pipeline.backup.rows.parquet import write_edges, write_objects
from entra_pipeline.backup.rows.staging import EDGE_ROWS, OBJECT_ROWS, UPSERT, read_segment
from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.runtime import lower_thread_priority
from entra_pipeline.store.backends.encryption.person_keys import ScopeKeys
from entra_pipeline.store.backends.encryption.vault import Vault
from entra_pipeline.store.manifest import Part

_MEMORY = "160MB"
# Who waits for Graph goes first: the next page is asked for the sooner, and the processors have time while it comes.
_NICENESS = 19


@dataclass(frozen=True, slots=True)
class WrittenSegment:
    """A segment in the store: its file, its rows in hashes, and values that did not fit their column, by column."""

    part: Part
    digest: Digest
    misfits: dict[str, int]


@dataclass
class SegmentWriter:
    """Writes segments, in order, in a thread of its own.

    Attributes:
        folder: For files on their way to the store.
        number: The next number of a file of a table.
        store: Stores a local file of so many rows as part number so-and-so of a table.
        vault: Encrypts files where the store is encrypted.
        keys: Encrypt the values of persons, where the scope has that.
    """

    folder: Path
    number: Callable[[str], int]
    store: Callable[[str, int, Path, int], Part]
    vault: Vault | None = None
    keys: ScopeKeys | None = None
    _thread: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(
            1, "prewrite", initializer=lower_thread_priority, initargs=(_NICENESS,)
        )
    )
    _connection: duckdb.DuckDBPyConnection | None = None
    _segments: dict[str, list[Future[WrittenSegment]]] = field(default_factory=dict)

    def begin(self, table: str) -> Callable[[Path], None]:
        """Starts a table, anew if it was started before; what is returned takes its segments."""
        self._segments[table] = futures = []
        schema = OBJECT_ROWS if table in CATALOGUE else EDGE_ROWS

        def segment(path: Path) -> None:
            futures.append(self._thread.submit(self._write, table, self.number(table), path, schema))

        return segment

    def finish(self, table: str) -> list[WrittenSegment]:
        """The files of a table, when all are written; empty when none was started. Raises what writing raised."""
        return [future.result() for future in self._segments.pop(table, [])]

    def close(self) -> None:
        """Ends the thread; what it has not begun is dropped."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        if self._connection is not None:
            self._connection.close()

    def _write(self, table: str, number: int, path: Path, schema: pa.Schema) -> WrittenSegment:
        if self._connection is None:
            # One thread and little memory: it works beside the network and the rest of the run.
            self._connection = duckdb.connect(
                config={"threads": "1", "memory_limit": _MEMORY, "temp_directory": str(self.folder / "prewrite")}
            )
            self._connection.execute("SET TimeZone = 'UTC'")
        rows = read_segment(path, schema)
        # Objects are looked at three times, and few enough to be unpacked once; edges are many, and looked at twice.
        if schema is OBJECT_ROWS and isinstance(rows, ds.Dataset):
            rows = rows.to_table()
        number_of_rows = rows.num_rows if isinstance(rows, pa.Table) else rows.count_rows()
        self._connection.register("segment", rows)
        file = self.folder / f"{table}.{number}.parquet"
        try:
            misfits: dict[str, int] = {}
            if schema is OBJECT_ROWS:
                misfits = write_objects(self._connection, "segment", table, file, self.vault, self.keys)
            else:
                source = f"SELECT *, NULL::VARCHAR AS reason FROM segment WHERE change = '{UPSERT}'"
                write_edges(self._connection, f"({source})", table, file)
            hashes = digest(self._connection, "FROM segment", table, changes=True)
        finally:
            self._connection.unregister("segment")
            # A million links take some 300 MB while they are written, which Arrow would keep for another time.
            pa.default_memory_pool().release_unused()
        part = self.store(table, number, file, number_of_rows)
        file.unlink()
        return WrittenSegment(part, hashes, misfits)
