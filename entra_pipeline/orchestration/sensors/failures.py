"""Telling that a sensor fails: its ticks are read from Dagster, and each row of failed ticks is one event.

The ticks also show what no sensor can catch itself, such as a tick that Dagster ended because it took too long. What
goes wrong with one scope within a tick is kept from the other scopes, and is an event of that scope.

What belongs here: which failures there are. What does not: who is told, and how (`entra_pipeline.notifications`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import dagster as dg

from entra_pipeline.clock import iso, system_clock
from entra_pipeline.errors import EntraPipelineError
from entra_pipeline.notifications import places
from entra_pipeline.orchestration.dagster_internals import InstigatorState, InstigatorType, TickStatus
from entra_pipeline.project import Project
from entra_pipeline.project.secrets import secret_values
from entra_pipeline.project.stores import open_store
from entra_pipeline.settings.scrubbing import scrub
from entra_pipeline.store.events import announce
from entra_pipeline.store.points.keys import key_of
from entra_pipeline.store.recovery_points import ScopeStore

NO_SCOPE = "_dagster"
"""Stands for the scope in events that are about none; no scope has this name."""


def announce_failed_sensors(context: dg.SensorEvaluationContext, project: Project) -> Iterator[str]:
    """Leave an event for each sensor of this code location whose last tick has failed.

    The event's id is the same for all ticks since the sensor last succeeded, so that it is told once.

    Yields:
        What could not be done.
    """
    for state in context.instance.all_instigator_state(instigator_type=InstigatorType.SENSOR):
        event = _failure(context.instance, state) if _is_ours(context, state) else None
        if event is None:
            continue
        problems = []
        for name, open_place in places(project):
            try:
                announce(ScopeStore(open_place(), NO_SCOPE), event)
            except EntraPipelineError as error:
                problems.append(f"sensor {state.instigator_name} fails; storage {name}: {error.message}")
            else:
                break
        else:
            yield from problems


@contextmanager
def contained(context: dg.SensorEvaluationContext, project: Project, sensor: str, scope: str) -> Iterator[None]:
    """Keep what goes wrong with one scope in the block from the other scopes: log it, and leave an event of the scope.

    An expected failure, such as a storage that cannot be reached, is logged only: nothing could be left there either.
    The event is told once a day as long as the scope fails.
    """
    try:
        yield
    except EntraPipelineError as error:
        context.log.warning(f"{scope}: {error.message}")
    except Exception as error:
        context.log.exception(f"{scope}: sensor {sensor} failed for this scope")
        now, text = system_clock(), f"{type(error).__name__}: {error}"
        try:
            announce(
                open_store(project, scope),
                _event(sensor, scope, f"{now:%Y-%m-%d}", now, now, scrub(text, secret_values(project))),
            )
        except EntraPipelineError as problem:
            context.log.warning(f"{scope}: {problem.message}")


def _is_ours(context: dg.SensorEvaluationContext, state: InstigatorState) -> bool:
    """Whether a sensor belongs to the code location of the sensor that asks."""
    here = context.code_location_origin
    return here is None or state.origin.repository_origin.code_location_origin.location_name == here.location_name


def _failure(instance: dg.DagsterInstance, state: InstigatorState) -> dict[str, object] | None:
    """Returns the event of a sensor whose last finished tick has failed; None when it has not."""
    ids = (state.instigator_origin_id, state.selector_id)
    good = [TickStatus.SUCCESS, TickStatus.SKIPPED]
    last = instance.get_ticks(*ids, limit=1, statuses=[*good, TickStatus.FAILURE])
    if not last or last[0].status is not TickStatus.FAILURE:
        return None
    before = instance.get_ticks(*ids, limit=1, statuses=good)
    at = datetime.fromtimestamp(last[0].timestamp, UTC)
    since = datetime.fromtimestamp(before[0].timestamp, UTC) if before else at
    error = last[0].error
    cause = (error.cause or error).message if error else "the tick ended without a word"
    return _event(state.instigator_name, NO_SCOPE, key_of(since) if before else "first", since, at, cause)


def _event(sensor: str, scope: str, which: str, since: datetime, at: datetime, error: str) -> dict[str, object]:
    return {
        "id": f"sensor-{sensor}-{which}",
        "type": "sensor",
        "scope": scope,
        "sensor": sensor,
        "status": "failed",
        "started": iso(since),
        "finished": iso(at),
        "error": " ".join(error.split()),
    }
