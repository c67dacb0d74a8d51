"""The sensor `repair`: a recovery point that is missing, or lacks something, is tried again.

What Dagster knows of all scopes, in a query each for runs and points, says where something looks wrong; only there is
the store asked. What belongs here: which scope is tried again, when, and how often. What does not: retries within a
run (`run_queue.retry_tags`), and schedules that did not tick (`missed_ticks`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg
import msgspec

from entra_pipeline.backup.run import protected_types
from entra_pipeline.catalogue import RELATIONS
from entra_pipeline.clock import Clock, parse_iso, system_clock
from entra_pipeline.orchestration.errors import scrubbed_tick
from entra_pipeline.orchestration.history import newest_points, newest_runs
from entra_pipeline.orchestration.keys import RECOVERY_POINT, RETRY_TAG, asset_key
from entra_pipeline.orchestration.schedules import extra_request
from entra_pipeline.orchestration.sensors.failures import contained
from entra_pipeline.project import Project, Scope
from entra_pipeline.project.stores import open_store
from entra_pipeline.store.manifest import Manifest

if TYPE_CHECKING:
    from entra_pipeline.orchestration.dagster_internals import UnresolvedAssetJobDefinition

REPAIRS_TAG = "entra/repairs"
"""On runs of the sensor: the recovery point whose gaps they close, or the failed run that they make up for."""

PAUSES = (timedelta(minutes=5), timedelta(minutes=20), timedelta(minutes=80))
"""How long to wait before each try, from the end of what it makes up for: the point, the failed run, the last try."""


class Tried(msgspec.Struct, frozen=True):
    """What has been tried for a scope; the sensor's cursor holds one per scope.

    Attributes:
        of: What is repaired: a value of `REPAIRS_TAG`.
        tries: Runs asked for so far.
        beyond: Whether all that is lacking takes a permission or a licence.
    """

    of: str
    tries: int = 0
    beyond: bool = False


_CURSOR = msgspec.json.Decoder(dict[str, Tried])


@dataclass(frozen=True, slots=True)
class Trouble:
    """A scope whose newest point lacks something, or whose newest run has failed.

    Attributes:
        of: What is to be repaired: a value of `REPAIRS_TAG`.
        since: When the point was told, or the newest run ended.
        failed: When the run began that failed and was to read everything; None where a point lacks something.
    """

    of: str
    since: datetime
    failed: datetime | None = None


def repair_sensor(
    project: Project, jobs: Sequence[UnresolvedAssetJobDefinition], clock: Clock = system_clock
) -> dg.SensorDefinition:
    """The sensor that has another try at recovery points.

    Args:
        project: The project.
        jobs: The jobs that materialise a recovery point, one per scope.
        clock: The one clock.
    """
    scopes = project.scopes

    @dg.sensor(
        name="repair",
        jobs=list(jobs),
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Repairs the gaps of the newest recovery point of a scope, or takes the point that failed: "
        f"at most {len(PAUSES)} times, with growing pauses.",
    )
    def repair(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        with scrubbed_tick(context, project.file):
            cursor = _CURSOR.decode(context.cursor) if context.cursor else {}
            # Also of a scope whose repair is under way: it counts when that has ended.
            cursor = {name: tried for name, tried in cursor.items() if name in scopes}
            requests: list[dg.RunRequest] = []
            said: list[str] = []
            for name, trouble in troubles(context.instance, list(scopes.values())).items():
                tried = cursor.get(name, Tried(trouble.of))
                if tried.of != trouble.of:
                    tried = Tried(trouble.of)
                asked, text = None, "could not be checked: see the log of the tick"
                # No try is spent on a storage that cannot be reached: a run could not store anything either.
                with contained(context, project, "repair", name):
                    tried, asked, text = _next(context.instance, project, scopes[name], trouble, tried, clock())
                cursor[name] = tried
                said.append(f"{name}: {text}")
                if asked is not None:
                    context.log.info(said[-1])
                    requests.append(asked)
            return dg.SensorResult(
                run_requests=requests,
                skip_reason=None if requests else "\n".join(said) or "nothing to repair",
                cursor=msgspec.json.encode(cursor).decode(),
            )

    return repair


def troubles(instance: dg.DagsterInstance, scopes: Sequence[Scope]) -> Mapping[str, Trouble]:
    """The scopes where something looks wrong and nothing is under way, by name."""
    runs = newest_runs(instance, scopes)
    points = newest_points(instance, scopes)
    found = {}
    for scope in scopes:
        run = runs.get(scope.name)
        point, made_by_run, told = points.get(scope.name, (None, None, None))
        trouble = _failure(run, told) if run else None
        if trouble is None and not _is_open(run) and point and told:
            status = point.metadata.get("status")
            if status is not None and status.value == "finished with exception":
                made_by = instance.get_run_by_id(made_by_run) if made_by_run else None
                key = point.partition or ""
                since = max(told, _ended(run)) if run else told
                trouble = Trouble(made_by.tags.get(REPAIRS_TAG, key) if made_by else key, since)
        if trouble is not None:
            found[scope.name] = trouble
    return found


def _is_open(run: dg.RunRecord | None) -> bool:
    """Whether a backup is under way, or about to be tried again by Dagster."""
    if run is None:
        return False
    return not run.dagster_run.is_finished or run.dagster_run.tags.get("dagster/will_retry") == "true"


def _ended(record: dg.RunRecord) -> datetime:
    return (
        datetime.fromtimestamp(record.end_time, UTC) if record.end_time else record.create_timestamp.replace(tzinfo=UTC)
    )


def _failure(record: dg.RunRecord, told: datetime | None) -> Trouble | None:
    """The trouble that a scope's newest run is; None when it has not failed, or a point has come since."""
    run = record.dagster_run
    if run.status is not dg.DagsterRunStatus.FAILURE or _is_open(record) or run.tags.get(RETRY_TAG) == "false":
        return None
    begun = record.create_timestamp.replace(tzinfo=UTC)
    if told is not None and told >= begun:
        return None
    # A repair that fails is another try of what it was to repair; so is a retry, of the first run.
    of = run.tags.get(REPAIRS_TAG) or f"run {run.root_run_id or run.run_id}"
    return Trouble(of, _ended(record), begun if of.startswith("run ") else None)


def _next(
    instance: dg.DagsterInstance, project: Project, scope: Scope, trouble: Trouble, tried: Tried, now: datetime
) -> tuple[Tried, dg.RunRequest | None, str]:
    """What becomes of a trouble: the tries, the run to ask for, and what to say. Raises StoreError."""
    if tried.beyond:
        return tried, None, f"the gaps of {trouble.of} require a permission or a licence"
    if tried.tries == len(PAUSES):
        return tried, None, f"{trouble.of} is given up after {tried.tries} tries"
    due = trouble.since + PAUSES[tried.tries]
    if now < due:
        return tried, None, f"{trouble.of} is tried again at {due:%H:%M:%S} UTC"
    latest = open_store(project, scope.name).latest()
    types: list[str] = []
    # A point that has come since, by the command, makes up for a run that failed.
    if latest is not None and (trouble.failed is None or parse_iso(latest.started) >= trouble.failed):
        if latest.status == "finished":
            return tried, None, f"{latest.recovery_point} has made up for {trouble.of}"
        types = missing_types(scope, latest)
        if not types:
            return msgspec.structs.replace(tried, beyond=True), None, "the gaps require a permission or a licence"
    tries = tried.tries + 1
    return (
        msgspec.structs.replace(tried, tries=tries),
        extra_request(
            scope,
            instance,
            now,
            f"{scope.name} {trouble.of} {tries}",
            asset_selection=[asset_key(scope.name, name) for name in (*types, RECOVERY_POINT)] if types else None,
            tags={REPAIRS_TAG: trouble.of},
        ),
        f"{', '.join(types) or 'everything'} is read again for {trouble.of}, try {tries} of {len(PAUSES)}",
    )


def missing_types(scope: Scope, manifest: Manifest) -> list[str]:
    """The object types with gaps that reading again may close; what a permission or a licence is missing for is not."""
    protected = protected_types(scope)
    found = {
        RELATIONS[table][0].name if table in RELATIONS else table
        for table, entry in manifest.tables.items()
        if any(gap.transient for gap in entry.gaps)
    }
    return [name for name in protected if name in found]
