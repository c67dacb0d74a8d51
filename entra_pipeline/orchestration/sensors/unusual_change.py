"""The sensor `unusual_change`: it takes one more recovery point where the newest shows an unusual change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from entra_pipeline.orchestration.checks.recovery_points import UNUSUAL
from entra_pipeline.orchestration.errors import scrubbed_tick
from entra_pipeline.orchestration.history import last_evaluations
from entra_pipeline.orchestration.keys import RECOVERY_POINT, asset_key
from entra_pipeline.orchestration.schedules import extra_request
from entra_pipeline.orchestration.sensors.failures import contained
from entra_pipeline.project import Project
from entra_pipeline.store.points.keys import key_of

if TYPE_CHECKING:
    from entra_pipeline.orchestration.dagster_internals import UnresolvedAssetJobDefinition


def unusual_change_sensor(project: Project, jobs: Sequence[UnresolvedAssetJobDefinition]) -> dg.SensorDefinition:
    """The sensor that asks for one more recovery point after an unusual change.

    It looks at what Dagster knows of the check `unusual`, in one query for all scopes, and asks no storage.

    Args:
        project: The project.
        jobs: The jobs that materialise a recovery point, one per scope.
    """
    keys = {
        dg.AssetCheckKey(asset_key(scope.name, RECOVERY_POINT), UNUSUAL): scope for scope in project.scopes.values()
    }

    @dg.sensor(
        name="unusual_change",
        jobs=list(jobs),
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Takes another recovery point of a scope whose newest one shows an unusual change.",
    )
    def unusual_change(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest]:
        with scrubbed_tick(context, project.file):
            for key, (evaluation, evaluated) in last_evaluations(context.instance, list(keys)).items():
                # Only what was found; what could not be evaluated is a warning.
                if evaluation.passed or evaluation.severity is not dg.AssetCheckSeverity.ERROR:
                    continue
                scope, point = keys[key], evaluation.partition
                with contained(context, project, "unusual_change", scope.name):
                    # An older point that was materialised again is no news.
                    if point and point < max(context.instance.get_materialized_partitions(key.asset_key), default=""):
                        continue
                    context.log.info(f"{scope.name}: {evaluation.description}; one more recovery point is taken")
                    # The moment after the check: the same with every tick, so that one run is asked for.
                    after = datetime.fromtimestamp(evaluated, UTC) + timedelta(seconds=1)
                    request = f"{scope.name} {point or key_of(after)} unusual"
                    yield extra_request(scope, context.instance, after, request)

    return unusual_change
