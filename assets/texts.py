"""What Dagster shows as Markdown of a recovery point: what it lacks, what proves it whole, what it took of Graph.

The figures are the manifest's, through the functions that the command uses as well (`entra_pipeline.analysis.points`).
"""

from __future__ import annotations

from collections.abc import Mapping

from entra_pipeline.analysis.markdown import markdown_table, one_line
from entra_pipeline.analysis.points import COSTS, cost, cost_rows, proof, tables_in_order
from entra_pipeline.store.manifest import Manifest, TableEntry

_PROOF = {
    "table": "table",
    "read": "read",
    "rows": "rows",
    "counted": "Graph's count",
    "pages": "pages",
    "owners": "owners closed",
    "compared": "owners compared",
    **COSTS,
    "result": "result",
}


def gaps_text(tables: Mapping[str, TableEntry]) -> str:
    """What tables lack, with what to do about each: a list, or `none`."""
    lines = []
    for table, entry in tables.items():
        for gap in entry.gaps:
            since = f" (shown as of {gap.since})" if gap.since else ""
            remedy = f" → {gap.remedy}" if gap.remedy else ""
            lines.append(f"- **{table}**: {one_line(f'{gap.what}{since}: {gap.reason}{remedy}')}")
    return "\n".join(lines) or "none"


def notes_text(tables: Mapping[str, TableEntry]) -> str:
    """What a person should know of tables: a list, or `none`."""
    return "\n".join(f"- **{table}**: {one_line(note)}" for table, e in tables.items() for note in e.notes) or "none"


def proof_text(manifest: Manifest) -> str:
    """What shows that a recovery point is whole: first what it lacks, then every table's proof."""
    rows = [
        {"table": f"`{table}`", **proof(entry), "result": _result(entry)}
        for table, entry in tables_in_order(manifest).items()
    ]
    table = markdown_table(rows, _PROOF, right=_PROOF.keys() - {"table", "read", "result"})
    lacks = gaps_text(tables_in_order(manifest))
    return table if lacks == "none" else f"{lacks}\n\n{table}"


def cost_text(manifest: Manifest) -> str:
    """What every table took of Graph, the dearest first, with the total."""
    rows = [{**row, "table": f"`{row['table']}`"} for row in cost_rows(manifest)]
    total = {"table": "**total**", **cost(manifest.tables.values())}
    return markdown_table([*rows, total], {"table": "table", **COSTS}, right=COSTS.keys())


def _result(entry: TableEntry) -> str:
    if entry.gaps:
        return f"**{len(entry.gaps)} gaps**" if len(entry.gaps) > 1 else "**1 gap**"
    return "proven" if proof(entry)["proven"] else ": ".join(("not read", *entry.notes))
