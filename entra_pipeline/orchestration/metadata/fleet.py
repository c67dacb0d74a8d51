"""What Dagster shows in the layout `fleet`: of a recovery point, of a read of logs, and of how all scopes stand.

There is one event for a recovery point, whatever the number of its object types: a thousand scopes take some thousands
of points a day, and Dagster keeps every event in full. What each table holds is in the console, the command and SQL.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from entra_pipeline.analysis.manifest_rows import cost, table_rows
from entra_pipeline.backup.jobs import totals
from entra_pipeline.orchestration.keys import FLEET_POINTS, fleet_key
from entra_pipeline.orchestration.metadata.recovery_points import gaps_text
from entra_pipeline.orchestration.metadata.tables import metadata_table
from entra_pipeline.project import Project
from entra_pipeline.reports.fleet import STATES, FleetScope
from entra_pipeline.store.logs import LogDay
from entra_pipeline.store.manifest import Manifest

MOST = 100
"""Scopes that need attention, and tables that have changed, that are shown."""
_STANDING = ("scope", "tenant", "state", "last_good", "status", "problem")
_CHANGES = ("table", "added", "changed", "deleted")


def fleet_point_metadata(manifest: Manifest) -> Mapping[str, Any]:
    """What is shown of a recovery point: totals, the tables that have changed, and what it lacks."""
    total = totals(manifest)
    changed = [row for row in table_rows(manifest) if any(row[name] for name in _CHANGES[1:])]
    lacks = gaps_text(manifest.tables)
    return {
        "recovery_point": manifest.recovery_point,
        "status": manifest.status,
        "kind": manifest.kind,
        "taken_for": manifest.taken_for or "unknown",
        "objects": total["objects"],
        "links": total["edges"],
        **{name: total[name] for name in ("baseline", "added", "changed", "deleted", "bytes_written") if total[name]},
        "requests": cost(manifest.tables.values())["requests"],
        **({"lacks": dg.MetadataValue.md(lacks)} if lacks != "none" else {}),
        **(
            {"changes": metadata_table(changed[:MOST], {name: name for name in _CHANGES}, words={"table"})}
            if changed
            else {}
        ),
    }


def fleet_materialization(project: Project, manifest: Manifest) -> dg.AssetMaterialization:
    """What Dagster is told of a point that no run of the fleet has taken."""
    return dg.AssetMaterialization(
        fleet_key(project, FLEET_POINTS), partition=manifest.scope, metadata=fleet_point_metadata(manifest)
    )


def fleet_log_metadata(days: Sequence[LogDay]) -> Mapping[str, Any]:
    """What is shown of a read of a scope's logs: its days, what came, and what they lack."""
    last = [day.reads[-1] for day in days if day.reads]
    gaps = [f"- {day.log} {day.day}: {gap.what}: {gap.reason} → {gap.remedy}" for day in days for gap in day.gaps]
    return {
        "days": len({day.day for day in days}),
        "rows": sum(day.rows for day in days),
        "added": sum(read.added for read in last),
        "requests": sum(read.requests for read in last),
        **({"gaps": dg.MetadataValue.md("\n".join(gaps[:MOST]))} if gaps else {}),
    }


def standing_metadata(found: Sequence[FleetScope]) -> Mapping[str, Any]:
    """What is shown of all scopes: how many stand how, and those that need attention, the worst first."""
    counts = Counter(one.state for one in found)
    worst = [{name: getattr(one, name) for name in _STANDING} for one in found if not one.good][:MOST]
    return {
        "scopes": len(found),
        **{state.replace(" ", "_"): counts[state] for state in STATES if counts[state]},
        **({"attention": metadata_table(worst, {name: name for name in _STANDING}, words=_STANDING)} if worst else {}),
    }
