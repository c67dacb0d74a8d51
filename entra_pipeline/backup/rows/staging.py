"""What a read brings, kept on local disk until it is typed and written: rows in the order of arrival.

Three shapes. Objects: `seq` (order of arrival), `id`, `parent_id`, `change`, `raw` (the JSON that Graph sent). Edges:
`seq`, `source_id`, `target_id`, `target_type`, `change`. Ids alone: `seq`, `id`. Memory holds one batch; the rest is in
Arrow IPC files, the segments, so that a segment can be typed and written while the next one is filled.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from entra_pipeline.surrogates import MARKS, as_text, may_be_hidden, reveal

UPSERT = "upsert"
DELETE = "delete"

OBJECT_ROWS = pa.schema(
    [
        ("seq", pa.int64()),
        ("id", pa.string()),
        ("parent_id", pa.string()),
        ("change", pa.string()),
        ("raw", pa.large_string()),
    ]
)
EDGE_ROWS = pa.schema(
    [
        ("seq", pa.int64()),
        ("source_id", pa.string()),
        ("target_id", pa.string()),
        ("target_type", pa.string()),
        ("change", pa.string()),
    ]
)
ID_ROWS = pa.schema([("seq", pa.int64()), ("id", pa.string())])
_BATCH_ROWS = 2_048
SEGMENT_ROWS = 25_000
"""Objects in a segment, and not many more."""
_SEGMENT_BYTES = 40 * 2**20
"""What a segment of objects takes in memory, and not much more: large objects make shorter segments."""
EDGE_SEGMENT_ROWS = 1_000_000
"""Edges in a segment, and not many more: the more are written at once, the less space each takes."""

_SMALL_BYTES = 2**18


@dataclass(frozen=True, slots=True)
class Staged:
    """Staged rows: their schema, and their files in the order of arrival."""

    schema: pa.Schema
    segments: tuple[Path, ...]


class Staging:
    """Appends rows to Arrow IPC files.

    Args:
        path: Where the first segment goes, replaced if it exists; the others get a number.
        schema: `OBJECT_ROWS`, `EDGE_ROWS` or `ID_ROWS`.
        on_segment: Told of each segment that is complete, in order.
    """

    def __init__(self, path: Path, schema: pa.Schema, on_segment: Callable[[Path], None] | None = None) -> None:
        self.rows = 0
        self._path = path
        self._schema = schema
        self._on_segment = on_segment
        self._most = (SEGMENT_ROWS, _SEGMENT_BYTES) if schema is OBJECT_ROWS else (EDGE_SEGMENT_ROWS, sys.maxsize)
        self._columns: list[list[object]] = [[] for _ in schema.names[1:]]
        self._segments: list[Path] = []
        self._writer: pa.ipc.RecordBatchFileWriter | None = None
        self._in_segment = (0, 0)

    @property
    def staged(self) -> Staged:
        """What has been staged; complete when the staging is closed."""
        return Staged(self._schema, tuple(self._segments))

    def append(self, *values: object) -> None:
        """Adds one row; `seq` is counted here, the other columns are given in the order of the schema."""
        self.extend(*((value,) for value in values))

    def extend(self, *columns: Sequence[object]) -> None:
        """Adds rows, column by column; text may be given as its bytes in UTF-8."""
        for column, values in zip(self._columns, columns, strict=True):
            column.extend(values)
        self.rows += len(columns[0])
        if len(self._columns[0]) >= _BATCH_ROWS:
            self._flush()

    def _flush(self) -> None:
        size = len(self._columns[0])
        if not size:
            return
        if self._writer is None:
            name = self._path.name if not self._segments else f"{len(self._segments)}-{self._path.name}"
            self._segments.append(self._path.with_name(name))
            self._writer = pa.ipc.new_file(
                self._segments[-1], self._schema, options=pa.ipc.IpcWriteOptions(compression="lz4")
            )
        sequence = np.arange(self.rows - size, self.rows)
        columns = zip([sequence, *self._columns], self._schema.types, strict=True)
        batch = pa.record_batch([_stored(values, kind) for values, kind in columns], schema=self._schema)
        self._writer.write_batch(batch)
        for column in self._columns:
            column.clear()
        self._in_segment = (self._in_segment[0] + size, self._in_segment[1] + batch.nbytes)
        if any(held >= most for held, most in zip(self._in_segment, self._most, strict=True)):
            self._end_segment()

    def _end_segment(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            self._in_segment = (0, 0)
            if self._on_segment is not None:
                self._on_segment(self._segments[-1])

    def close(self) -> None:
        """Writes what is left; the files can be read afterwards."""
        self._flush()
        self._end_segment()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _stored(values: Any, kind: pa.DataType) -> pa.Array:
    """Returns a column with half surrogate pairs as they are stored: in JSON their escape, in other text U+FFFD."""
    if kind == pa.large_string():
        return _stored_objects(values)
    if kind == pa.string() and values[0] is values[-1] and values.count(values[0]) == len(values):
        # Changes and types hardly differ within a batch.
        return pa.repeat(pa.scalar(values[0] and as_text(values[0]), kind), len(values))
    if kind == pa.string():
        text = "".join(filter(None, values))
        if not text.isascii() and any(mark in text for mark in MARKS):
            values = [value if value is None else as_text(value) for value in values]
    return pa.array(values, kind)


def _stored_objects(values: Sequence[Any]) -> pa.Array:
    with suppress(TypeError):
        # Joined at once, objects are looked at three times as fast as one by one.
        data = b"".join(values)
        if not may_be_hidden(data):
            ends = np.concatenate([[0], np.cumsum(list(map(len, values)))])
            buffers = [None, pa.py_buffer(ends), pa.py_buffer(data)]
            objects = pa.Array.from_buffers(pa.large_string(), len(values), buffers)
            objects.validate(full=True)
            return objects
    # A deleted object has no bytes, and what comes as text is as it is stored.
    revealed = [reveal(value) if isinstance(value, bytes) else value for value in values]
    return pa.array(revealed, pa.large_binary()).cast(pa.large_string())


def read_staged(staged: Staged) -> ds.Dataset | pa.Table:
    """The staged rows, for DuckDB or Arrow to scan batch by batch; the order of arrival is in `seq`."""
    if not staged.segments:
        return staged.schema.empty_table()
    if len(staged.segments) == 1:
        return read_segment(staged.segments[0], staged.schema)
    return ds.dataset([str(path) for path in staged.segments], format="ipc", schema=staged.schema)


def staged_table(staged: Staged) -> pa.Table:
    """The staged rows in memory; of few objects, those of one parent for example."""
    rows = read_staged(staged)
    return rows if isinstance(rows, pa.Table) else rows.to_table()


def only_upserts(staged: Staged, path: Path) -> Staged:
    """Returns staged rows without deletions, in a file of their own."""
    with pa.ipc.new_file(path, staged.schema) as file:
        for batch in read_staged(staged).filter(pc.field("change") == UPSERT).to_batches():
            file.write_batch(batch)
    return Staged(staged.schema, (path,))


def read_segment(path: Path, schema: pa.Schema) -> ds.Dataset | pa.Table:
    """The rows of one segment. Few are a table: most tables are small, and to scan a file takes longer than they do."""
    if path.stat().st_size <= _SMALL_BYTES:
        with pa.ipc.open_file(path) as file:
            return file.read_all()
    return ds.dataset([str(path)], format="ipc", schema=schema)
