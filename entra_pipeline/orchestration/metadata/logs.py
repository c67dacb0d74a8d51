"""Makes the materialisation and the metadata of a day of a log."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from entra_pipeline.orchestration.keys import asset_key
from entra_pipeline.store.logs import LogDay


def materialization(scope: str, day: LogDay) -> dg.AssetMaterialization:
    """Makes the materialisation that reports a day of a log."""
    return dg.AssetMaterialization(asset_key(scope, day.log), partition=day.day, metadata=day_metadata(day))


def day_metadata(day: LogDay) -> Mapping[str, Any]:
    """Makes the metadata of a day of a log: entries, what the last read brought, cost, gaps, notes."""
    last = day.reads[-1] if day.reads else None
    gaps = [f"- {gap.what}: {gap.reason} → {gap.remedy}" for gap in day.gaps]
    notes = [f"- {note}" for note in day.notes]
    return {
        "dagster/row_count": day.rows,
        "dagster/partition_row_count": day.rows,
        "rows": day.rows,
        "added": last.added if last else 0,
        "changed": last.changed if last else 0,
        "complete": day.complete,
        "requests": last.requests if last else 0,
        "reads": len(day.reads),
        "files": len(day.parts),
        "bytes": sum(part.bytes for part in day.parts),
        **({"gaps": dg.MetadataValue.md("\n".join(gaps))} if gaps else {}),
        **({"notes": dg.MetadataValue.md("\n".join(notes))} if notes else {}),
    }
