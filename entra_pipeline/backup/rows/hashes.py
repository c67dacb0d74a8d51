"""A whole collection in hashes: 16 bytes for each row, so that a tenant of any size is compared in memory.

What belongs here: whether rows that were written as they came are a state, and what differs from the parent's. What
does not: rows that have to be put together first (`merge`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from entra_pipeline.backup.rows.merge import Counts
from entra_pipeline.backup.rows.staging import DELETE
from entra_pipeline.catalogue import CATALOGUE, RELATIONS

Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Digest:
    """Hashes of rows, in their order.

    Attributes:
        keys: Of what identifies a row.
        contents: Of what it says; empty where the key says all.
        plain: Whether every row says that it is there and, of an edge, what its target is.
    """

    keys: Hashes
    contents: Hashes
    plain: bool = True


_BATCH = 2**18
_NONE: Hashes = np.empty(0, np.uint64)
NOTHING = Digest(_NONE, _NONE)
"""The digest of no rows."""


def hashing(table: str) -> tuple[str, str]:
    """SQL of the hashes of key and content of a table's rows; the content's is empty where the key says all."""
    if table in CATALOGUE:
        return "hash(id)", "hash(raw)"
    if RELATIONS[table][1].many:
        return "hash(source_id, target_id)", ""
    return "hash(source_id)", "hash(target_id)"


def digest(connection: duckdb.DuckDBPyConnection, source: str, table: str, *, changes: bool = False) -> Digest:
    """The digest of rows.

    Args:
        connection: Where the rows are.
        source: SQL of the rows.
        table: What they are rows of.
        changes: Whether they have a column `change`.
    """
    key, content = hashing(table)
    deleted = f"change = '{DELETE}'" if changes else "false"
    if changes and table not in CATALOGUE:
        deleted += " OR target_type = ''"
    columns = connection.execute(f"SELECT {key} AS k, {content or 0} AS c, {deleted} AS d FROM ({source})").fetchnumpy()
    contents = _array(columns["c"]) if content else _NONE
    return Digest(_array(columns["k"]), contents, not bool(np.any(columns["d"])))


def concat(digests: Iterable[Digest]) -> Digest:
    """Digests of the parts of a collection as one."""
    parts = list(digests)
    return Digest(
        np.concatenate([part.keys for part in parts]),
        np.concatenate([part.contents for part in parts]),
        all(part.plain for part in parts),
    )


def is_state(whole: Digest) -> bool:
    """Whether rows are a state as they are: no key arrived twice, nothing was taken back, nothing is left open."""
    keys = np.sort(whole.keys)
    return whole.plain and not bool((keys[1:] == keys[:-1]).any())


def compare(now: Digest, before: Digest, table: str) -> Counts:
    """Counts of a state against its parent's."""
    order = np.argsort(before.keys)
    keys = before.keys[order]
    places, kept = _find(now.keys, keys)
    there = int(kept.sum())
    changed = 0
    if len(now.contents):
        changed = int((before.contents[order][places[kept]] != now.contents[kept]).sum())
    added, deleted = len(now.keys) - there, len(before.keys) - there
    if table not in CATALOGUE:
        # An edge that leads elsewhere is another edge.
        return Counts(len(now.keys), added + changed, 0, deleted + changed)
    return Counts(len(now.keys), added, changed, deleted)


def _find(hashes: Hashes, keys: Hashes) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """Where hashes are among sorted keys, and whether they are."""
    places = np.searchsorted(keys, hashes)
    places[places == len(keys)] = 0
    return places, keys[places] == hashes if len(keys) else np.zeros(len(hashes), bool)


def missing_ids(connection: duckdb.DuckDBPyConnection, ends: str, known: str) -> list[str]:
    """Ids that are not among the known ones, sorted: 8 bytes of memory for each known one, and none for the ends.

    Joined as text, the links of a tenant of a million users take more memory than a backup is to have.

    Args:
        connection: Where the rows are.
        ends: SQL of rows with a column `id`; an id may come many times.
        known: SQL of rows with a column `id`.
    """
    hashed = connection.execute(f"SELECT hash(id) AS k FROM ({known})").fetchnumpy()
    keys = np.sort(_array(hashed["k"]))
    found: list[Hashes] = []
    for batch in connection.execute(f"SELECT hash(id) AS k FROM ({ends})").fetch_record_batch(_BATCH):
        # Sorted, neighbours are looked up side by side; leaving out repeats would take longer than looking them up.
        hashes = np.sort(batch.column("k").to_numpy())
        _, there = _find(hashes, keys)
        found.append(hashes[~there])
    unknown = np.unique(np.concatenate([_NONE, *found]))
    if not len(unknown):
        return []
    connection.register("unknown", pa.table({"k": unknown}))
    try:
        rows = connection.execute(
            f"SELECT DISTINCT id FROM ({ends}) WHERE hash(id) IN (SELECT k FROM unknown) ORDER BY id"
        ).fetchall()
    finally:
        connection.unregister("unknown")
    return [str(row[0]) for row in rows]


def _array(values: Any) -> Hashes:
    return np.asarray(values, dtype=np.uint64)
