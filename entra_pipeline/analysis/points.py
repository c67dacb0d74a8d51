"""Recovery points as rows for people and programs."""

from __future__ import annotations

from typing import Any

from entra_pipeline.catalogue import table_names
from entra_pipeline.store.manifest import Manifest, TableEntry


def tables_in_order(manifest: Manifest) -> dict[str, TableEntry]:
    """The tables of a recovery point in the catalogue's order; what this release does not know comes last."""
    known = [table for table in table_names() if table in manifest.tables]
    return {table: manifest.tables[table] for table in dict.fromkeys([*known, *sorted(manifest.tables)])}


def point_row(manifest: Manifest) -> dict[str, Any]:
    """A recovery point: key, kind, status, window, live rows, proof and gaps by table."""
    return {
        "recovery_point": manifest.recovery_point,
        "kind": manifest.kind,
        "status": manifest.status,
        "started": manifest.started,
        "finished": manifest.finished,
        "types": {table: entry.live for table, entry in tables_in_order(manifest).items()},
        "proof": {table: proof(entry) for table, entry in tables_in_order(manifest).items()},
        "gaps": [
            {"table": table, "what": gap.what, "reason": gap.reason, "remedy": gap.remedy, "since": gap.since}
            for table, entry in tables_in_order(manifest).items()
            for gap in entry.gaps
        ],
    }


def proof(entry: TableEntry) -> dict[str, Any]:
    """What shows that a table is whole.

    Rows against Graph's count (`counted`, None where it does not count), `pages` read until Graph named no next one,
    `owners` whose rows were read to the end, owners `compared` with what Graph shows or counts elsewhere, and the
    requests, retries included, that it took.
    """
    return {
        "read": entry.read,
        "rows": entry.live,
        "counted": entry.reported,
        "pages": entry.pages,
        "owners": entry.owners,
        "compared": entry.compared,
        "listed": entry.listed,
        "requests": entry.requests,
        "items": entry.items,
        "resource_units": entry.resource_units,
        "retries": entry.retries,
        "throttled": entry.throttled,
        "proven": not entry.gaps and entry.read not in {"carried", "never"},
        "notes": list(entry.notes),
    }


def table_rows(manifest: Manifest) -> list[dict[str, Any]]:
    """The tables of a recovery point: how each was read, its rows, changes against the parent, and cost."""
    return [
        {
            "table": table,
            "read": entry.read,
            "live": entry.live,
            "added": entry.added,
            "changed": entry.changed,
            "deleted": entry.deleted,
            "reported": entry.reported,
            "requests": entry.requests,
            "resource_units": entry.resource_units,
            "retries": entry.retries,
            "throttled": entry.throttled,
            "misfits": entry.misfits,
            "notes": list(entry.notes),
        }
        for table, entry in tables_in_order(manifest).items()
    ]
