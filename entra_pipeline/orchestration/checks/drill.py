"""Turns a restore drill into the result of the check `drill`: scores by type, and the first differences."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from entra_pipeline.analysis.markdown import one_line
from entra_pipeline.orchestration.metadata.tables import metadata_table

if TYPE_CHECKING:
    from entra_pipeline.restore.check.drill import Drill

MOST = 200
"""Differences that are shown; the store has them all."""
# Few columns: Dagster's tables do not shrink, and what is too wide is out of sight.
_SCORES = ("table", "came_back", "compared", "left_out")
_DIFFERENCES = ("object", "what", "reason")


def drill_result(drill: "Drill") -> dg.AssetCheckResult:
    """Makes the result of the check of a drill; it passes when the drill is finished without exception."""
    from entra_pipeline.restore.check.drill import drill_file, drill_text, share

    numbers = {
        name: getattr(drill, name)
        for name in ("properties", "properties_equal", "links", "links_equal", "steps", "writes", "seconds")
    }
    scores = [
        {
            "table": one.table,
            "came_back": share(one.equal, one.compared),
            "compared": f"{one.compared:,} {one.kind}",
            "left_out": "; ".join(f"{number:,}: {reason}" for reason, number in one.left_out.items()),
        }
        # What is not whole comes first.
        for one in sorted(drill.scores, key=lambda score: score.equal == score.compared)
        if one.compared or one.left_out
    ]
    differences = [
        {
            "object": f"{one.table} {one.name or one.id}",
            "what": f"{one.what}: {', '.join(one.properties)}" if one.properties else one.what,
            "reason": one_line(one.reason),
        }
        for one in drill.differences[:MOST]
    ]
    metadata: dict[str, Any] = {
        "recovery_point": drill.point,
        **numbers,
        "scores": metadata_table(scores, {name: name for name in _SCORES}, words=_SCORES),
        "stored_as": drill_file(drill.scope, drill.id),
    }
    if differences:
        metadata["differences"] = metadata_table(differences, {name: name for name in _DIFFERENCES}, words=_DIFFERENCES)
    return dg.AssetCheckResult(
        passed=drill.status == "finished",
        severity=dg.AssetCheckSeverity.ERROR,
        description=drill_text(drill),
        metadata=metadata,
    )
