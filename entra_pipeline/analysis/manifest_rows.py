"""Recovery points as rows for people and programs: what they hold, what proves them whole, what they took of Graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from entra_pipeline.catalogue import CATALOGUE, RELATIONS, table_names
from entra_pipeline.clock import parse_iso
from entra_pipeline.store.manifest import Manifest, TableEntry

# Of tables that are older, those that are named.
_NAMED = 3
# Tables that were read within so much of each other are told together.
_ONE_BACKUP = timedelta(minutes=1)
# What a table took of Graph, and what people call it.
COSTS = {
    "requests": "requests",
    "items": "batch items",
    "resource_units": "units",
    "retries": "retries",
    "throttled": "throttled",
}


def tables_in_order(manifest: Manifest) -> dict[str, TableEntry]:
    """The tables of a recovery point in the catalogue's order; what this release does not know comes last."""
    known = [table for table in table_names() if table in manifest.tables]
    return {table: manifest.tables[table] for table in dict.fromkeys([*known, *sorted(manifest.tables)])}


def category(table: str) -> str:
    """The category of an object type or relation; empty when this release does not know it."""
    entry = CATALOGUE.get(table) or (RELATIONS[table][0] if table in RELATIONS else None)
    return entry.category.value if entry else ""


def point_row(manifest: Manifest) -> dict[str, Any]:
    """A recovery point: key, kind, what it was taken for, status, window; by table live rows, proof and gaps.

    `older` are the tables that were not read for it, and when they were.
    """
    return {
        "recovery_point": manifest.recovery_point,
        "kind": manifest.kind,
        "taken_for": manifest.taken_for or "unknown",
        "status": manifest.status,
        "started": manifest.started,
        "finished": manifest.finished,
        "older": manifest.older(),
        "types": {table: entry.live for table, entry in tables_in_order(manifest).items()},
        "proof": {table: proof(entry) for table, entry in tables_in_order(manifest).items()},
        "gaps": [
            {"table": table, "what": gap.what, "reason": gap.reason, "remedy": gap.remedy, "since": gap.since}
            for table, entry in tables_in_order(manifest).items()
            for gap in entry.gaps
        ],
    }


def older_text(older: Mapping[str, str]) -> str:
    """Which tables are as of earlier moments, for people: a few by name, else how many; those of a time together."""
    together: list[list[tuple[str, str]]] = []
    for table, when in sorted(older.items(), key=lambda one: one[1]):
        if together and parse_iso(when) - parse_iso(together[-1][-1][1]) <= _ONE_BACKUP:
            together[-1].append((table, when))
        else:
            together.append([(table, when)])
    told = []
    for some in together:
        (_, first), (_, last) = some[0], some[-1]
        named = ", ".join(table for table, _ in some) if len(some) <= _NAMED else f"{len(some)} tables"
        told.append(f"{named} as of {first}{f' to {last}' if last != first else ''}")
    return "; ".join(told)


def proof(entry: TableEntry) -> dict[str, Any]:
    """What shows that a table is whole.

    Rows against Graph's count (`counted`, None where it does not count), `pages` read until Graph named no next one,
    `owners` whose rows were read to the end, owners `compared` with what Graph shows or counts elsewhere, and what it
    took of Graph.
    """
    return {
        "read": entry.read,
        "rows": entry.live,
        "counted": entry.reported,
        "pages": entry.pages,
        "owners": entry.owners,
        "compared": entry.compared,
        "listed": entry.listed,
        **cost([entry]),
        "proven": not entry.gaps and entry.read not in {"carried", "never"},
        "notes": list(entry.notes),
    }


def cost(entries: Iterable[TableEntry]) -> dict[str, int]:
    """What tables took of Graph, together.

    `requests` with retries, a `$batch` counting as one; `items`, the requests inside batches; `resource_units` as
    Graph told them; `retries`; `throttled`, the answers that said to wait.
    """
    listed = list(entries)
    return {name: sum(getattr(entry, name) for entry in listed) for name in COSTS}


def cost_rows(manifest: Manifest) -> list[dict[str, Any]]:
    """What each table took of Graph, the dearest first; tables that took nothing are left out."""
    rows = [{"table": table, **cost([entry])} for table, entry in tables_in_order(manifest).items()]
    asked = [row for row in rows if row["requests"] or row["items"]]
    return sorted(asked, key=lambda row: (row["resource_units"], row["requests"], row["items"]), reverse=True)


def table_rows(manifest: Manifest) -> list[dict[str, Any]]:
    """The tables of a recovery point: how each was read, its rows, changes against the parent, and cost."""
    return [
        {
            "table": table,
            "read": entry.read,
            "live": entry.live,
            "baseline": entry.baseline,
            "added": entry.added,
            "changed": entry.changed,
            "deleted": entry.deleted,
            "reported": entry.reported,
            **cost([entry]),
            "misfits": entry.misfits,
            "notes": list(entry.notes),
        }
        for table, entry in tables_in_order(manifest).items()
    ]
