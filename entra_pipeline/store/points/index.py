"""The index of recovery points: what a query needs of their manifests, as Parquet.

What belongs here: the shape of the index, its files, and how they are joined and trimmed. What does not: when that is
done (`recovery_points`), the queries (`analysis.sql`).

SQL can choose among Parquet files by what another query finds, so that one point among thousands costs one small file.
Of manifests it would have to read every one. The index is never the truth: it is written before its manifest, counts
for nothing without one, and can be made again from it at any time.

A file holds the rows of one point or of several that follow each other. Sixteen files of a kind are joined into one of
the next, so that the history of a thousand points is in a few dozen files. The name of a file says which points may be
in it, and ends with the SHA-256 of its bytes. Where several files have a point, the one of the highest level counts,
and of these the one with the fewest points: it was trimmed last.
"""

from __future__ import annotations

import io
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from entra_pipeline.errors import IntegrityError
from entra_pipeline.store.backends import ObjectStore
from entra_pipeline.store.backends.encryption.names import key_name_in, plain_name
from entra_pipeline.store.checksums import read_intact
from entra_pipeline.store.manifest import Manifest, Part, TableEntry, TableKind, sha256
from entra_pipeline.store.parallel import in_parallel
from entra_pipeline.store.points.confidential import read_parquet
from entra_pipeline.store.state import KEYS

INDEX = "_index/4/"
"""Where indexes are, with the version of their columns."""

JOINED = 16
"""Files that are joined into one of the next level."""
LEVELS = 2
"""Files of this level are joined no further: 256 points."""
_GROUP = 2048
_MOST_KEYS = 10_000

_TEXT = (
    *("scope", "recovery_point", "tenant_id", "kind", "taken_for", "status"),
    *("started", "finished", "parent", "last_full"),
)
_ENTRY_TEXT = ("table", "contents", "read", "read_started", "read_finished", "gaps")
_NUMBERS = (
    *("live", "baseline", "added", "changed", "deleted", "reported"),
    *("requests", "items", "resource_units", "throttled"),
)
_PART = pa.struct([("key", pa.string()), ("rows", pa.int64()), ("bytes", pa.int64()), ("role", pa.string())])
_KEY = pa.struct([("id", pa.string()), ("target_id", pa.string())])
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in (*_TEXT, *_ENTRY_TEXT)),
        *((name, pa.int64()) for name in _NUMBERS),
        ("notes", pa.list_(pa.string())),
        ("parts", pa.list_(_PART)),
        ("follows", pa.bool_()),
        ("changed_keys", pa.list_(_KEY)),
    ]
)
"""One row per table of the point, and one without a table when it has none."""

_Rows = list[dict[str, object]]


class IndexFile(NamedTuple):
    """What the name of a file of the index says.

    Attributes:
        key: Where it is.
        first: The first point that is in it.
        last: The last one.
        level: 0 for the file of one point; files that were joined are of the next level.
        points: How many points are in it.
    """

    key: str
    first: str
    last: str
    level: int
    points: int

    @classmethod
    def of(cls, key: str) -> IndexFile:
        """Returns the file of a key; ValueError when it is none of the index."""
        first, last, level, points, *_ = key.rpartition("/")[2].split(".")
        return cls(key, first, last, int(level), int(points))

    def may_have(self, point: str) -> bool:
        """Tells whether a point is in the file, provided that the point exists."""
        return self.first <= point <= self.last


def index_folder(scope: str) -> str:
    """Returns the start of the keys of a scope's indexes."""
    return f"{INDEX}{scope}/"


def former_folders(scope: str) -> list[str]:
    """Returns the starts of the keys of a scope's indexes that earlier releases wrote: nobody reads them any more."""
    return [f"_index/{version}/{scope}/" for version in range(1, int(INDEX.split("/")[1]))]


def chosen_files(files: Iterable[IndexFile], points: Iterable[str]) -> dict[str, IndexFile]:
    """Returns the file of the index that counts for each point; points that none has are left out."""
    ordered = sorted(points)
    found: dict[str, IndexFile] = {}
    for one in sorted(files, key=lambda one: (one.level, -one.points)):
        within = ordered[bisect_left(ordered, one.first) : bisect_right(ordered, one.last)]
        found.update(dict.fromkeys(within, one))
    return found


def write_index(files: ObjectStore, manifest: Manifest) -> str:
    """Stores the index of a recovery point, under a name that says what is in it; returns its key.

    Raises:
        NotInStore: A file that says what changed at the point is not there.
        IntegrityError: It is not the file that was written.
    """
    return _put(
        files, manifest.scope, [pa.Table.from_pylist(_rows(files, manifest), SCHEMA)], [manifest.recovery_point]
    )


def join_indexes(files: ObjectStore, scope: str, present: Sequence[IndexFile], points: Sequence[str]) -> list[str]:
    """Joins sixteen files of a level that follow each other into one of the next, as often as that can be done.

    The files that were joined stay: somebody may be reading them.

    Args:
        files: The store's place.
        scope: The scope.
        present: Its files.
        points: Its recovery points, oldest first.

    Returns:
        Keys of the new files.

    Raises:
        IntegrityError: One of them is not what was written.
    """
    made = []
    known = list(present)
    for level in range(LEVELS):
        counting = sorted(set(chosen_files(known, points).values()), key=lambda one: one.first)
        for same, run in groupby(counting, key=lambda one: one.level):
            following = list(run) if same == level else []
            for start in range(0, len(following) - JOINED + 1, JOINED):
                some = following[start : start + JOINED]
                there = [point for point in points if some[0].first <= point <= some[-1].last]
                made.append(_copied(files, scope, some, there, level + 1))
                known.append(IndexFile.of(made[-1]))
    return made


def trim_indexes(files: ObjectStore, scope: str, present: Sequence[IndexFile], points: Sequence[str]) -> list[str]:
    """Rewrites files that have points which no longer exist; returns the keys of the new files.

    Args:
        files: The store's place.
        scope: The scope.
        present: Its files.
        points: Its recovery points, oldest first.

    Raises:
        IntegrityError: One of them is not what was written.
    """
    made = []
    for one in sorted(set(chosen_files(present, points).values())):
        there = [point for point in points if one.may_have(point)]
        if len(there) < one.points:
            made.append(_copied(files, scope, [one], there, one.level))
    return made


def read_index(files: ObjectStore, file: IndexFile) -> pa.Table | None:
    """Returns the rows of a file of the index; None when it is not what was written."""
    try:
        return pq.read_table(io.BytesIO(_read_index_file(files, file)))
    except IntegrityError:
        return None


def says(files: ObjectStore, rows: pa.Table, manifest: Manifest) -> bool:
    """Compares the rows of an index with a point's manifest and files; raises NotInStore."""
    told = rows.filter(pc.field("recovery_point") == manifest.recovery_point).sort_by("table").to_pylist()
    expected: bool = told == pa.Table.from_pylist(_rows(files, manifest), SCHEMA).to_pylist()
    return expected


# --- Files -----------------------------------------------------------------------------------------------------------


def _copied(files: ObjectStore, scope: str, sources: Sequence[IndexFile], points: Sequence[str], level: int) -> str:
    """Stores the rows of some points out of some files as one file, by table; returns its key."""
    held = in_parallel(lambda one: _read_index_file(files, one), sources)
    return _put(files, scope, _by_table(held, points), points, level)


def _read_index_file(files: ObjectStore, file: IndexFile) -> bytes:
    """Returns a file of the index, decrypted; raises IntegrityError when it is not what was written."""
    data = files.read(file.key)
    # Copied, a changed byte would get a new name that vouches for it.
    if sha256(data) != plain_name(file.key).rpartition("/")[2].split(".")[-2]:
        raise IntegrityError(
            f"the index {file.key} is not what was written", remedy="Remove it: entra-pipeline sql makes it again."
        )
    if not key_name_in(file.key):
        return data
    buffer = io.BytesIO()
    pq.write_table(read_parquet(files, file.key, data).cast(SCHEMA), buffer, row_group_size=_GROUP, store_schema=False)
    return buffer.getvalue()


def _by_table(held: Sequence[bytes], points: Collection[str]) -> Iterator[pa.Table]:
    """Returns the rows of some points, a few tables at a time: only so much is unpacked."""
    opened = [pq.ParquetFile(io.BytesIO(data)) for data in held]
    groups = [
        (file, group, set(file.read_row_group(group, columns=["table"]).column(0).to_pylist()))
        for file in opened
        for group in range(file.num_row_groups)
    ]
    tables = sorted({name for _, _, names in groups for name in names}, key=lambda name: name or "")
    step = max(1, _GROUP // max(len(points), 1))
    wanted = pa.array(points, pa.string())
    for start in range(0, len(tables), step):
        chosen = tables[start : start + step]
        some = []
        for file, group, names in groups:
            if names.isdisjoint(chosen):
                continue
            rows = file.read_row_group(group)
            mask = pc.and_(
                pc.is_in(rows["table"], pa.array(chosen, pa.string())), pc.is_in(rows["recovery_point"], wanted)
            )
            some.append(rows.filter(mask))
        yield pa.concat_tables(some).sort_by([("table", "ascending"), ("recovery_point", "ascending")])


def _put(files: ObjectStore, scope: str, tables: Iterable[pa.Table], points: Sequence[str], level: int = 0) -> str:
    buffer = io.BytesIO()
    # What nobody chooses rows by has no statistics: in so small a file they would take more than the rows.
    with pq.ParquetWriter(
        buffer,
        SCHEMA,
        compression="zstd",
        write_statistics=["table", "recovery_point"],
        use_dictionary=level > 0,
        store_schema=False,
    ) as writer:
        for table in tables:
            writer.write_table(table, row_group_size=_GROUP)
    data = buffer.getvalue()
    if files.vault is not None:
        data = files.vault.encrypted(data)
    name = f"{points[0]}.{points[-1]}.{level}.{len(points)}.{sha256(data)}.parquet"
    key = f"{index_folder(scope)}{name}"
    key = files.vault.parquet_name(key) if files.vault else key
    files.replace(key, data)
    return key


# --- Rows ------------------------------------------------------------------------------------------------------------


def _rows(files: ObjectStore, manifest: Manifest) -> _Rows:
    head = {name: getattr(manifest, name) for name in _TEXT}
    keys = _changed_keys(files, manifest)
    return [
        head | _entry(manifest.tables[name]) | {"changed_keys": keys[name]} for name in sorted(manifest.tables)
    ] or [head]


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
        "follows": entry.follows,
    }


def _changed_keys(files: ObjectStore, manifest: Manifest) -> dict[str, _Rows | None]:
    """Reads the keys in the changes that the point wrote, by table; None where there are more than 10,000."""

    def own(entry: TableEntry) -> list[Part]:
        return [p for p in entry.parts if p.role == "changes" and p.recovery_point == manifest.recovery_point]

    def keys(entry: TableEntry) -> _Rows | None:
        if sum(part.rows for part in own(entry)) > _MOST_KEYS:
            return None
        found = {key for part in own(entry) for key in _keys_in(files, part, entry.kind)}
        return [{"id": one, "target_id": target} for one, target in sorted(found)]

    return dict(zip(manifest.tables, in_parallel(keys, manifest.tables.values()), strict=True))


def _keys_in(files: ObjectStore, part: Part, kind: TableKind) -> Iterator[tuple[str, str]]:
    """Returns the keys in a part; those of objects have no second half."""
    # Bytes that nobody wrote may be read as keys that nobody changed, or stop Arrow anywhere.
    data = read_intact(files, part)
    columns = read_parquet(files, part.key, data, KEYS[kind]).columns
    first = columns[0].to_pylist()
    yield from zip(first, columns[1].to_pylist() if kind == "edges" else [""] * len(first), strict=True)
