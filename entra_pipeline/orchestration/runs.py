"""What Dagster knows of a run that its job record says."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg

from entra_pipeline.store.manifest import TakenFor

_RETRY_NUMBER = "dagster/retry_number"


def trigger(run: dg.DagsterRun, otherwise: str = "dagster") -> str:
    """Returns what launched a run: the name of the schedule or sensor, else `otherwise`."""
    return run.tags.get("dagster/schedule_name") or run.tags.get("dagster/sensor_name", otherwise)


def begun(instance: dg.DagsterInstance, run: dg.DagsterRun) -> datetime:
    """Returns when the work of a run began, in UTC.

    A retry goes on with the work of the run that failed first. A run that never started began when it was created.
    """
    first = run.root_run_id if run.root_run_id and _RETRY_NUMBER in run.tags else run.run_id
    # The first run may have been deleted since.
    record = instance.get_run_record_by_id(first) or instance.get_run_record_by_id(run.run_id)
    if record is None:
        return datetime.now(UTC)
    return datetime.fromtimestamp(record.start_time or record.create_timestamp.replace(tzinfo=UTC).timestamp(), UTC)


def taken_for(context: dg.AssetExecutionContext) -> TakenFor:
    """What the point of a run is taken for, by what launched it."""
    tags = context.run.tags
    if "dagster/schedule_name" in tags:
        return TakenFor.SCHEDULE
    return TakenFor.REPAIR if "dagster/sensor_name" in tags else TakenFor.BY_HAND


def tries_left(context: dg.AssetExecutionContext) -> bool:
    """Whether the daemon will try this run again if it fails."""
    tags = context.run.tags
    return int(tags.get("dagster/retry_number", "0")) < int(tags.get("dagster/max_retries", "0"))
