"""What a recovery point holds: counts by category and type, and one object at several of them.

What belongs here: what a person looks at; the command and the console show the same. What does not: what an object is
linked with (`linking`), how a condition or a text chooses (`objects`), and page after page of them (`paging`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb

from entra_pipeline.analysis.manifest_rows import category, tables_in_order
from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.store.backends.duckdb_errors import unreadable
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.state import connect, parquet
from entra_pipeline.surrogates import replaced_sql


def type_rows(manifest: Manifest) -> list[dict[str, Any]]:
    """The tables of a recovery point with `category`, `type`, `title`, `kind`, `rows`, `read` and what each lacks.

    `as_of` is when a table was read that was not read for this point, but taken over from an earlier one.
    """
    older = manifest.older()
    return [
        {
            "category": category(table),
            "type": table,
            "title": CATALOGUE[table].plural if table in CATALOGUE else "",
            "kind": entry.kind,
            "rows": entry.live,
            "read": entry.read,
            "as_of": older.get(table, ""),
            "lacks": [gap.what for gap in entry.gaps],
        }
        for table, entry in tables_in_order(manifest).items()
    ]


def states(store: ScopeStore, manifests: Sequence[Manifest], table: str, identifier: str) -> list[str | None]:
    """An object at several recovery points as JSON text, None where it is not; every file is read once.

    Args:
        store: The scope's store.
        manifests: The recovery points.
        table: Its object type.
        identifier: Its id.

    Raises:
        StoreError: A file cannot be read.
    """
    entries = [manifest.tables.get(table) for manifest in manifests]
    parts = {part.key: part for entry in entries if entry for part in entry.parts}
    if not parts:
        return [None] * len(entries)
    store.intact.require(parts.values())
    source = parquet(store.files, list(parts.values()), ", filename = '_file'")
    with connect(store.files) as connection:
        try:
            rows = connection.execute(
                f"SELECT _file, _change, {replaced_sql('_raw')} FROM {source} WHERE id = ?", [identifier]
            ).fetchall()
        except duckdb.Error as error:
            raise unreadable(error, f"{table} of scope {store.scope!r}", store.scope) from None
    held = {file: None if change == "delete" else str(raw) for file, change, raw in rows}
    told = []
    for entry in entries:
        state = None
        # The rule of `state_query`: the base, then the changes in their order.
        for part in sorted(entry.parts, key=lambda part: part.role != "base") if entry else ():
            state = held.get(store.files.url(part.key), state)
        told.append(state)
    return told
