"""What Dagster shows of a recovery point in words and tables: what it lacks, what proves it, what it took of Graph.

Lists are Markdown. Tables are tables to Dagster, which shows them where they are; long Markdown it hides behind a link,
and opens at its end. The figures are the manifest's, through the functions that the command uses as well
(`entra_pipeline.analysis.manifest_rows`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from entra_pipeline.analysis.manifest_rows import COSTS, cost, cost_rows, proof, table_rows, tables_in_order
from entra_pipeline.analysis.markdown import one_line
from entra_pipeline.analysis.unusual import UnusualFinding
from entra_pipeline.backup.jobs import totals
from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.orchestration.keys import RECOVERY_POINT, asset_key
from entra_pipeline.orchestration.metadata.tables import metadata_table
from entra_pipeline.run_queue import ROWS_TAG
from entra_pipeline.store.manifest import Manifest, TableEntry
from entra_pipeline.text import pluralize

# Columns of tables: key → heading. Those of the proof are called what `points --json` calls them.
_CHANGES = {key: key for key in ("table", "read", "live", "baseline", "added", "changed", "deleted")}
_COSTS = {"table": "table", **COSTS}
_FOUND = ("table", "result", "read", "rows", "counted", "pages", "owners", "compared")
_PROOF = {key: key for key in (*_FOUND, "requests", "retries", "throttled")}
_NOT_READ = "not read"
_WORDS = frozenset({"table", "result", "read"})


def gaps_text(tables: Mapping[str, TableEntry]) -> str:
    """What tables lack, with what to do about each: a list, or `none`."""
    return "\n".join(f"- **{table}**: {gap}" for table, gap in _gaps(tables)) or "none"


def notes_text(tables: Mapping[str, TableEntry]) -> str:
    """What a person should know of tables: a list, or `none`."""
    return "\n".join(f"- **{table}**: {one_line(note)}" for table, e in tables.items() for note in e.notes) or "none"


def changes_table(manifest: Manifest) -> dg.TableMetadataValue:
    """Every table of a recovery point: how it was read, its rows, and what came, changed and went."""
    return metadata_table(table_rows(manifest), _CHANGES, words=_WORDS)


def cost_table(manifest: Manifest) -> dg.TableMetadataValue:
    """What every table took of Graph, the dearest first, with the total."""
    rows = [{"table": "total", **cost(manifest.tables.values())}, *cost_rows(manifest)]
    return metadata_table(rows, _COSTS, words=_WORDS)


def proof_metadata(manifest: Manifest) -> dict[str, dg.MetadataValue]:
    """What shows that a recovery point is whole.

    `lacks`, the gaps with what to do about each, and `not_read`, the tables that the scope does without, each only if
    there are any, as text; `proof`, every table's.
    """
    tables = tables_in_order(manifest)
    lines = {
        "lacks": [f"{table}: {gap}" for table, gap in _gaps(tables)],
        "not_read": [
            f"{table}: {one_line(' '.join(entry.notes))}"
            for table, entry in tables.items()
            if _result(entry) == _NOT_READ
        ],
    }
    rows = [{"table": table, **proof(entry), "result": _result(entry)} for table, entry in tables.items()]
    texts = {name: dg.MetadataValue.text(" · ".join(found)) for name, found in lines.items() if found}
    return {**texts, "proof": metadata_table(rows, _PROOF, words=_WORDS)}


def _gaps(tables: Mapping[str, TableEntry]) -> Iterator[tuple[str, str]]:
    for table, entry in tables.items():
        for gap in entry.gaps:
            since = f" (shown as of {gap.since})" if gap.since else ""
            remedy = f" → {gap.remedy}" if gap.remedy else ""
            yield table, one_line(f"{gap.what}{since}: {gap.reason}{remedy}")


def _result(entry: TableEntry) -> str:
    if entry.gaps:
        return pluralize(len(entry.gaps), "gap")
    return "proven" if proof(entry)["proven"] else _NOT_READ


def finding_table(finding: UnusualFinding) -> dg.TableMetadataValue:
    """What a rule for unusual change found, as text: its columns are the rule's own."""
    columns = {name: name.replace("_", " ") for name in finding.columns}
    rows = [
        {name: "" if value is None else str(value) for name, value in zip(finding.columns, row, strict=True)}
        for row in finding.rows
    ]
    return metadata_table(rows, columns, words=columns)


def point_metadata(manifest: Manifest) -> Mapping[str, Any]:
    """What Dagster shows of a recovery point: totals, what each table holds and took of Graph, and what it lacks."""
    total = totals(manifest)
    return {
        "status": manifest.status,
        "kind": manifest.kind,
        "taken_for": manifest.taken_for or "unknown",
        "parent": manifest.parent or "none",
        "objects": total["objects"],
        "links": total["edges"],
        "object_types": sum(table in CATALOGUE for table in manifest.tables),
        "baseline": total["baseline"],
        "added": total["added"],
        "changed": total["changed"],
        "deleted": total["deleted"],
        "bytes_written": total["bytes_written"],
        **cost(manifest.tables.values()),
        "lacks": dg.MetadataValue.md(gaps_text(manifest.tables)),
        "costs": cost_table(manifest),
        "tables": changes_table(manifest),
    }


def rows_tag(manifest: Manifest) -> dict[str, str]:
    """Returns the tag of a run that has taken a point: by it, the next one of the scope is given time and memory."""
    return {ROWS_TAG: str(sum(entry.live for entry in manifest.tables.values()))}


def own_tables() -> dict[str, list[str]]:
    """For each object type, the tables that its asset stands for: its objects and its relations."""
    return {name: [name, *(relation.name for relation in entry.relations)] for name, entry in CATALOGUE.items()}


def shown_tables(manifest: Manifest) -> dict[str, dict[str, TableEntry]]:
    """Returns the tables of a point by the object type whose asset stands for them."""
    return {
        name: {table: manifest.tables[table] for table in tables if table in manifest.tables}
        for name, tables in own_tables().items()
        if name in manifest.tables
    }


def table_metadata(entries: Mapping[str, TableEntry], name: str) -> Mapping[str, Any]:
    """What Dagster shows of an object type at a recovery point: rows, changes, cost, gaps, notes.

    Figures that are zero are left out, and so are gaps and notes when there are none. A type without changes tells its
    rows and requests only: Dagster keeps an event for every type of every point, and most of them have not changed.
    """
    own = entries[name]
    written = [part for entry in entries.values() for part in entry.parts]
    changes = {
        "baseline": sum(entry.baseline for entry in entries.values()),
        "added": sum(entry.added for entry in entries.values()),
        "changed": sum(entry.changed for entry in entries.values()),
        "deleted": sum(entry.deleted for entry in entries.values()),
    }
    costs = cost(entries.values())
    figures = {
        **changes,
        **{table: entry.live for table, entry in entries.items() if table != name},
        **(
            {"bytes": sum(part.bytes for part in written), "files": len(written), **costs}
            if any(changes.values())
            else {}
        ),
        "requests": costs["requests"],
    }
    gaps = any(entry.gaps for entry in entries.values())
    notes = any(entry.notes for entry in entries.values())
    return {
        "dagster/row_count": own.live,
        "read": own.read,
        **{figure: value for figure, value in figures.items() if value},
        **({"gaps": dg.MetadataValue.md(gaps_text(entries))} if gaps else {}),
        **({"notes": dg.MetadataValue.md(notes_text(entries))} if notes else {}),
    }


def materializations(scope: str, manifest: Manifest) -> list[dg.AssetMaterialization]:
    """What Dagster is told of a committed point: one materialisation per object type, and the point's own."""
    point = manifest.recovery_point
    tables = [
        dg.AssetMaterialization(asset_key(scope, name), partition=point, metadata=table_metadata(entries, name))
        for name, entries in shown_tables(manifest).items()
    ]
    whole = dg.AssetMaterialization(
        asset_key(scope, RECOVERY_POINT), partition=point, metadata=point_metadata(manifest)
    )
    return [*tables, whole]
