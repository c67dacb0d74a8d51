"""Entries of tables in a manifest: how they change with what a run reads, spends and finds. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TypedDict

import msgspec

from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.graph import RequestStats
from entra_pipeline.store.manifest import Gap, Manifest, TableEntry


def is_objects(table: str) -> bool:
    """Tells whether a table holds objects; otherwise it holds edges."""
    return table in CATALOGUE


def known(manifest: Manifest | None, table: str) -> TableEntry | None:
    """Returns the entry of a table in a manifest; None unless it has rows to build on."""
    entry = manifest.tables.get(table) if manifest else None
    return entry if entry is not None and entry.read != "never" else None


def changes_behind(entry: TableEntry) -> int:
    """Counts the change files that later points have written after a table's base."""
    first = entry.parts[0].recovery_point if entry.parts else ""
    return sum(part.role == "changes" and part.recovery_point != first for part in entry.parts)


def carried(
    before: TableEntry | None,
    table: str,
    stats: RequestStats,
    now: str,
    *,
    gaps: tuple[Gap, ...] = (),
    notes: tuple[str, ...] = (),
) -> TableEntry:
    """Returns the entry of a table that was not read: the parent's rows and delta link, or no rows without a parent."""
    if before is not None:
        return msgspec.structs.replace(
            before,
            read="carried",
            baseline=0,
            added=0,
            changed=0,
            deleted=0,
            reported=None,
            gaps=gaps,
            notes=notes,
            **costs(stats),
        )
    return TableEntry(
        table=table,
        kind="objects" if is_objects(table) else "edges",
        read="never",
        parts=(),
        live=0,
        added=0,
        changed=0,
        deleted=0,
        reported=None,
        started=now,
        finished=now,
        misfits={},
        gaps=gaps,
        notes=notes,
        **costs(stats),
    )


class Costs(TypedDict):
    """The fields of an entry that say what its read cost."""

    requests: int
    items: int
    pages: int
    resource_units: int
    retries: int
    throttled: int
    bytes_read: int


def costs(stats: RequestStats) -> Costs:
    """Returns request counts as fields of an entry."""
    return Costs(
        requests=stats.requests,
        items=stats.items,
        pages=stats.pages,
        resource_units=stats.resource_units,
        retries=stats.retries,
        throttled=stats.throttled,
        bytes_read=stats.bytes_read,
    )


def charged(entry: TableEntry, stats: RequestStats) -> TableEntry:
    """Returns the entry with further request counts added."""
    return msgspec.structs.replace(
        entry,
        requests=entry.requests + stats.requests,
        items=entry.items + stats.items,
        pages=entry.pages + stats.pages,
        resource_units=entry.resource_units + stats.resource_units,
        retries=entry.retries + stats.retries,
        throttled=entry.throttled + stats.throttled,
        bytes_read=entry.bytes_read + stats.bytes_read,
    )


def total(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Adds up counts by name."""
    found: Counter[str] = Counter()
    for one in counts:
        found.update(one)
    return dict(found)
