"""What Dagster shows of a recovery point in words and tables: what it lacks, what proves it, what it took of Graph.

Lists are Markdown. Tables are tables to Dagster, which shows them where they are; long Markdown it hides behind a link,
and opens at its end. The figures are the manifest's, through the functions that the command uses as well
(`entra_pipeline.analysis.manifest_rows`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import dagster as dg

from entra_pipeline.analysis.manifest_rows import COSTS, cost, cost_rows, proof, table_rows, tables_in_order
from entra_pipeline.analysis.markdown import one_line
from entra_pipeline.analysis.unusual import UnusualFinding
from entra_pipeline.store.manifest import Manifest, TableEntry
from entra_pipeline.text import pluralize

# Columns of tables: key → heading. Those of the proof are called what `points --json` calls them.
_CHANGES = {key: key for key in ("table", "read", "live", "added", "changed", "deleted")}
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
    return table(table_rows(manifest), _CHANGES, words=_WORDS)


def cost_table(manifest: Manifest) -> dg.TableMetadataValue:
    """What every table took of Graph, the dearest first, with the total."""
    rows = [{"table": "total", **cost(manifest.tables.values())}, *cost_rows(manifest)]
    return table(rows, _COSTS, words=_WORDS)


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
    return {**texts, "proof": table(rows, _PROOF, words=_WORDS)}


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


def table(
    rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str], *, words: Collection[str]
) -> dg.TableMetadataValue:
    """A table to Dagster.

    Args:
        rows: The rows.
        columns: Key → heading.
        words: Keys of columns that hold text; the others hold whole numbers.
    """
    records = [dg.TableRecord({heading: row[key] for key, heading in columns.items()}) for row in rows]
    kinds = {heading: "string" if key in words else "int" for key, heading in columns.items()}
    return dg.MetadataValue.table(
        records, dg.TableSchema(columns=[dg.TableColumn(heading, kind) for heading, kind in kinds.items()])
    )


def finding_table(finding: UnusualFinding) -> dg.TableMetadataValue:
    """What a rule for unusual change found, as text: its columns are the rule's own."""
    columns = {name: name.replace("_", " ") for name in finding.columns}
    rows = [
        {name: "" if value is None else str(value) for name, value in zip(finding.columns, row, strict=True)}
        for row in finding.rows
    ]
    return table(rows, columns, words=columns)
