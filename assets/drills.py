"""The restore drill of a scope as an asset check of its recovery points: what would come back, by type."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from entra_pipeline.orchestration.partitions import explained
from entra_pipeline.orchestration.keys import RECOVERY_POINT, asset_key
from assets.snapshots import LogProgress
from entra_pipeline.orchestration.metadata.recovery_points import table
from entra_pipeline.analysis.markdown import one_line
from entra_pipeline.project import Scope
from entra_pipeline.restore.objects.model import Outcome
from entra_pipeline.runtime import run_async
from entra_pipeline.text import pluralize
from resources import StorageResource

if TYPE_CHECKING:
    from entra_pipeline.restore.check.drill import Drill

CHECK = "drill"
TRIGGER = "dagster: drill"
MOST = 200
"""Differences that are shown; the store has them all."""

# Few columns: Dagster's tables do not shrink, and what is too wide is out of sight.
_SCORES = ("table", "came_back", "compared", "left_out")
_DIFFERENCES = ("object", "what", "reason")
# A line in the log after so many steps.
_EVERY = 500


def drill_key(scope: Scope) -> dg.AssetCheckKey:
    """The check of a scope."""
    return dg.AssetCheckKey(asset_key(scope.name, RECOVERY_POINT), CHECK)


def drill_checks(scope: Scope) -> list[dg.AssetChecksDefinition]:
    """The check, for a scope that asks for drills."""
    if scope.drill is None:
        return []

    @dg.asset_check(
        asset=asset_key(scope.name, RECOVERY_POINT),
        name=CHECK,
        description="The newest recovery point comes back in an empty simulated tenant: at least 99 % of the "
        "properties and all links. Nothing is written to the real tenant.",
    )
    def drill(context: dg.AssetCheckExecutionContext, storage: StorageResource) -> dg.AssetCheckResult:
        # With it comes the simulated tenant, which nothing else needs.
        from entra_pipeline.restore.check.drill import drill as rehearse

        with explained(context):
            store = storage.open(scope.name)
            point = store.at("latest")
            result = run_async(rehearse(store, point, trigger=TRIGGER, progress=_DrillProgress(context)))
        return drill_result(result)

    return [drill]


def drill_result(drill: "Drill") -> dg.AssetCheckResult:
    """A drill as Dagster shows it."""
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
        "scores": table(scores, {name: name for name in _SCORES}, words=_SCORES),
        "stored_as": drill_file(drill.scope, drill.id),
    }
    if differences:
        metadata["differences"] = table(differences, {name: name for name in _DIFFERENCES}, words=_DIFFERENCES)
    return dg.AssetCheckResult(
        passed=drill.status == "finished",
        severity=dg.AssetCheckSeverity.ERROR,
        description=drill_text(drill),
        metadata=metadata,
    )


class _DrillProgress(LogProgress):
    """Tells in a run's log how a drill goes."""

    def step(self, outcome: Outcome, done: int, steps: int) -> None:
        """A line now and then."""
        if done % _EVERY == 0 or done == steps:
            self._log.info(f"restored: {done:,} of {pluralize(steps, 'step')}")
