"""The index of recovery points: what a query needs of a manifest, as Parquet.

What belongs here: the shape of the index and where it is. What does not: the queries (`analysis.sql`).

SQL can choose among Parquet files by what another query finds, so that one point among thousands costs one small file.
Of manifests it would have to read every one. The index is never the truth: it is written before its manifest, counts
for nothing without one, and can be made again from it at any time. Its name ends with the SHA-256 of its bytes.
"""

from __future__ import annotations

import io

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from entra_pipeline.store.files import Files
from entra_pipeline.store.manifest import Manifest, TableEntry, sha256

INDEX = "_index/2/"
"""Where indexes are, with the version of their columns."""

_TEXT = (
    *("scope", "recovery_point", "tenant_id", "kind", "taken_for", "status"),
    *("started", "finished", "parent", "last_full"),
)
_ENTRY_TEXT = ("table", "contents", "read", "read_started", "read_finished", "gaps")
_NUMBERS = ("live", "added", "changed", "deleted", "reported", "requests", "items", "resource_units", "throttled")
_PART = pa.struct([("key", pa.string()), ("rows", pa.int64()), ("bytes", pa.int64()), ("role", pa.string())])
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in (*_TEXT, *_ENTRY_TEXT)),
        *((name, pa.int64()) for name in _NUMBERS),
        ("notes", pa.list_(pa.string())),
        ("parts", pa.list_(_PART)),
    ]
)
"""One row per table of the point, and one without a table when it has none."""


def index_folder(scope: str) -> str:
    """What the keys of a scope's indexes start with."""
    return f"{INDEX}{scope}/"


def indexed_point(key: str) -> str:
    """The recovery point that an index is of."""
    return key.rpartition("/")[2].partition(".")[0]


def write_index(files: Files, manifest: Manifest) -> None:
    """Stores the index of a recovery point, under a name that says what is in it."""
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(_rows(manifest), SCHEMA), buffer, compression="zstd")
    data = buffer.getvalue()
    files.replace(f"{index_folder(manifest.scope)}{manifest.recovery_point}.{sha256(data)}.parquet", data)


def index_problem(data: bytes, key: str, manifest: Manifest) -> str:
    """What is wrong with an index; empty when it is as it was written, and says what the manifest does."""
    if sha256(data) != key.rpartition("/")[2].split(".")[1]:
        return "is not what was written"
    return "" if pq.read_table(io.BytesIO(data)).to_pylist() == _complete(manifest) else "is not that of its manifest"


def _complete(manifest: Manifest) -> list[dict[str, object]]:
    """The rows as they are read back."""
    table: list[dict[str, object]] = pa.Table.from_pylist(_rows(manifest), SCHEMA).to_pylist()
    return table


def _rows(manifest: Manifest) -> list[dict[str, object]]:
    head = {name: getattr(manifest, name) for name in _TEXT}
    return [head | _entry(manifest.tables[name]) for name in sorted(manifest.tables)] or [head]


def _entry(entry: TableEntry) -> dict[str, object]:
    return {
        "table": entry.table,
        "contents": entry.kind,
        "read": entry.read,
        "read_started": entry.started,
        "read_finished": entry.finished,
        "gaps": msgspec.json.encode(entry.gaps).decode(),
        **{name: getattr(entry, name) for name in _NUMBERS},
        "notes": list(entry.notes),
        "parts": [{name: getattr(part, name) for name in ("key", "rows", "bytes", "role")} for part in entry.parts],
    }
