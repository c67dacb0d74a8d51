"""What a read brings, kept on local disk until it is typed and written: rows in the order of arrival.

Two shapes. Objects: `seq` (order of arrival), `id`, `parent_id`, `change`, `raw` (the JSON that Graph sent). Edges:
`seq`, `source_id`, `target_id`, `target_type`, `change`. Memory holds one batch; the rest is in an Arrow IPC file.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa

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
_BATCH_ROWS = 20_000


class Staging:
    """Appends rows to an Arrow IPC file.

    Args:
        path: The file; replaced if it exists.
        schema: `OBJECT_ROWS` or `EDGE_ROWS`.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path = path
        self.rows = 0
        self._schema = schema
        self._columns: list[list[object]] = [[] for _ in schema.names[1:]]
        self._writer = pa.ipc.new_file(path, schema, options=pa.ipc.IpcWriteOptions(compression="lz4"))

    def append(self, *values: object) -> None:
        """Adds one row; `seq` is counted here, the other columns are given in the order of the schema."""
        for column, value in zip(self._columns, values, strict=True):
            column.append(value)
        self.rows += 1
        if len(self._columns[0]) >= _BATCH_ROWS:
            self._flush()

    def _flush(self) -> None:
        size = len(self._columns[0])
        if size:
            sequence = range(self.rows - size, self.rows)
            self._writer.write_batch(
                pa.record_batch(
                    [
                        pa.array(values, t)
                        for values, t in zip([sequence, *self._columns], self._schema.types, strict=True)
                    ],
                    schema=self._schema,
                )
            )
            for column in self._columns:
                column.clear()

    def close(self) -> None:
        """Writes what is left; the file can be read afterwards."""
        self._flush()
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_staged(path: Path) -> pa.Table:
    """The staged rows, mapped from disk, not loaded."""
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()
