"""The sensor that records in the audit log what is done in Dagster: runs, schedules toggled, the configuration changed.

What belongs here: what is recorded, and since when it is known. What does not: the log (`entra_pipeline.audit`).

Whoever may use Dagster's UI has no name there; who launched a run is told by its tags only. A tick looks at what has
changed since the last one, which the cursor remembers, and stops where an event cannot be written: the next tick goes
on there.
"""

import hashlib
import socket
import tomllib
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import msgspec

from entra_pipeline.audit import Act, AuditLog, Origin
from entra_pipeline.clock import Clock, system_clock
from entra_pipeline.errors import EntraPipelineError
from entra_pipeline.orchestration.dagster_internals import InstigatorStatus
from entra_pipeline.orchestration.errors import scrubbed_tick
from entra_pipeline.orchestration.keys import OPERATOR_TAG, SOMEBODY
from entra_pipeline.project import Project, load_project
from entra_pipeline.project.folder import FOLDER, read_folder
from entra_pipeline.project.stores import storages_of
from entra_pipeline.run_queue import SCOPE_TAG
from entra_pipeline.text import pluralize

# Tags of Dagster's that tell what launched a run; the first that is there counts.
_LAUNCHERS = {
    "dagster/parent_run_id": "retry of",
    "dagster/schedule_name": "schedule",
    "dagster/sensor_name": "sensor",
    "dagster/backfill": "backfill",
}
_ENDS = {
    dg.DagsterRunStatus.SUCCESS: "finished",
    dg.DagsterRunStatus.FAILURE: "failed",
    dg.DagsterRunStatus.CANCELED: "cancelled",
}
# What a person fills in that says how grave the run is.
_ASKED = ("point", "plan_id", "dry_run")
_EVERY = 30
# Runs looked at in one tick; what is left comes in the next.
_MOST = 200
# A database may show a change later than one that was made after it.
_OVERLAP = timedelta(minutes=2)


class Seen(msgspec.Struct, kw_only=True):
    """What the last tick knew.

    Attributes:
        updated: Runs have been looked at up to this moment, RFC 3339.
        runs: Ids of the runs that were recorded as launched, and not as ended.
        ended: The runs that were recorded as ended a short while ago: id → when, RFC 3339.
        stopped: Schedules and sensors that are stopped.
        settings: The tables of the configuration: dotted name → hash.
    """

    updated: str
    runs: list[str] = []
    ended: dict[str, str] = {}
    stopped: list[str] = []
    settings: dict[str, str] = {}


_SEEN_DECODER = msgspec.json.Decoder(Seen)


def audit_sensor(project_file: str, schedules: Collection[str]) -> dg.SensorDefinition:
    """The sensor.

    Args:
        project_file: The project's dagster_project.toml.
        schedules: Names of the schedules and sensors that are told of.
    """

    @dg.sensor(
        name="audit_log",
        minimum_interval_seconds=_EVERY,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Records in the audit log the runs of this location, schedules and sensors that are started or "
        "stopped, and changes of the configuration file.",
    )
    def audit_log(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        with scrubbed_tick(context, project_file):
            cursor, told = record(context.instance, project_file, schedules, context.cursor)
            return dg.SensorResult(cursor=cursor, skip_reason=dg.SkipReason(told))

    return audit_log


def record(
    instance: dg.DagsterInstance,
    project_file: str,
    schedules: Collection[str],
    cursor: str | None,
    clock: Clock = system_clock,
) -> tuple[str, str]:
    """Records what has happened since the last tick.

    Args:
        instance: Dagster's instance.
        project_file: The project's dagster_project.toml.
        schedules: Names of the schedules and sensors that are told of.
        cursor: What the last tick returned; None on the first, which only looks how things are.
        clock: The one clock.

    Returns:
        The new cursor, and what was done in a sentence.
    """
    if cursor is None:
        project = load_project(project_file)
        stopped = sorted(_stopped(instance, schedules))
        seen = Seen(updated=clock().isoformat(), stopped=stopped, settings=_settings(project.file))
        return msgspec.json.encode(seen).decode(), "Recording has started."
    seen = _SEEN_DECODER.decode(cursor)
    written, told = 0, ""
    try:
        project = load_project(project_file)
        for act, actor, known in _acts(instance, project, schedules, seen):
            origin = Origin(actor=actor, channel="dagster", host=socket.gethostname())
            for files in storages_of(project, act.scope or None).values():
                AuditLog(files, clock).write(act, origin)
                written += 1
            known()
    except EntraPipelineError as error:
        told = f" Some could not be recorded: this is retried. {error}"
    return msgspec.json.encode(seen).decode(), f"{pluralize(written, 'event')} recorded.{told}"


_Found = tuple[Act, str, Callable[[], object]]


def _acts(instance: dg.DagsterInstance, project: Project, schedules: Collection[str], seen: Seen) -> Iterator[_Found]:
    """What is to be recorded: the act, who did it, and what to call when it is."""
    yield from _configured(project.file, seen)
    yield from _toggled(_stopped(instance, schedules), seen)
    yield from _ran(instance, project, seen)


# --- Runs ------------------------------------------------------------------------------------------------------------


def _ran(instance: dg.DagsterInstance, project: Project, seen: Seen) -> Iterator[_Found]:
    after = datetime.fromisoformat(seen.updated) - _OVERLAP
    seen.ended = {run: when for run, when in seen.ended.items() if datetime.fromisoformat(when) >= after}
    # A run that was deleted does not end any more.
    seen.runs = [run.run_id for run in instance.get_runs(dg.RunsFilter(run_ids=seen.runs))] if seen.runs else []
    records = instance.get_run_records(
        filters=dg.RunsFilter(updated_after=after), order_by="update_timestamp", ascending=True, limit=_MOST
    )
    for one in records:
        run, updated = one.dagster_run, one.update_timestamp.replace(tzinfo=UTC)
        end = datetime.fromtimestamp(one.end_time, UTC) if one.end_time else updated
        # A run may be changed long after its end: somebody adds a tag.
        told = run.run_id in seen.ended or (run.status in _ENDS and end < after and run.run_id not in seen.runs)
        scope = _scope(run)
        if scope in project.scopes and not told:
            yield from _run(run, scope, end, seen)
        seen.updated = max(seen.updated, updated.isoformat())


def _run(run: dg.DagsterRun, scope: str, end: datetime, seen: Seen) -> Iterator[_Found]:
    """That a run was launched, and how it has ended, each unless it is recorded already."""
    partition = run.tags.get("dagster/partition")
    asked = {key: run.run_config[key] for key in _ASKED if run.run_config.get(key) not in (None, "")}
    started = Act(
        action="run",
        scope=scope,
        subject=run.run_id,
        result="started",
        details={"job": run.job_name, **({"partition": partition} if partition else {}), **asked},
    )
    if run.run_id not in seen.runs:
        yield started, _actor(run), lambda: seen.runs.append(run.run_id)
    if run.status in _ENDS:

        def ended() -> None:
            seen.runs.remove(run.run_id)
            seen.ended[run.run_id] = end.isoformat()

        yield msgspec.structs.replace(started, result=_ENDS[run.status]), _actor(run), ended


def _scope(run: dg.DagsterRun) -> str:
    """The scope that a run is about; empty when it is none of ours."""
    if tagged := run.tags.get(SCOPE_TAG):
        return tagged
    keys = {*(run.asset_selection or ()), *(check.asset_key for check in run.asset_check_selection or ())}
    if keys:
        first = {key.path[0] for key in keys}
        return first.pop() if len(first) == 1 else ""
    config: Any = run.run_config
    asked = [config, *(op.get("config", {}) for op in config.get("ops", {}).values())]
    return next((str(one["scope"]) for one in asked if one.get("scope")), "")


def _actor(run: dg.DagsterRun) -> str:
    if operator := run.tags.get(OPERATOR_TAG):
        return operator
    tag = next((tag for tag in _LAUNCHERS if tag in run.tags), "")
    return f"{_LAUNCHERS[tag]} {run.tags[tag]}" if tag else SOMEBODY


# --- Schedules and sensors -------------------------------------------------------------------------------------------


def _stopped(instance: dg.DagsterInstance, schedules: Collection[str]) -> set[str]:
    return {
        state.instigator_name
        for state in instance.all_instigator_state()
        if state.instigator_name in schedules and state.status is InstigatorStatus.STOPPED
    }


def _toggled(stopped: set[str], seen: Seen) -> Iterator[_Found]:
    for name in sorted(stopped - set(seen.stopped)):
        act = Act(action="schedule stopped", subject=name, result="finished")
        yield act, SOMEBODY, partial(seen.stopped.append, name)
    for name in sorted(set(seen.stopped) - stopped):
        act = Act(action="schedule started", subject=name, result="finished")
        yield act, SOMEBODY, partial(seen.stopped.remove, name)


# --- The configuration -----------------------------------------------------------------------------------------------


def _settings(file: Path) -> dict[str, str]:
    """The tables of a configuration file, and the hash of each: which have changed, without what they say."""
    found: dict[str, Any] = {}
    for part, content in read_folder(file).items():
        # Which tables are in a file that may not be one; and whose it is.
        found[f"{FOLDER}/{part.name}"] = content.hex() if isinstance(content, bytes) else ""
    for name, value in tomllib.loads(file.read_text(encoding="utf-8")).items():
        several = isinstance(value, dict) and all(isinstance(inner, dict) for inner in value.values())
        found |= {f"{name}.{one}": inner for one, inner in value.items()} if several else {name: value}
    return {
        name: hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest() for name, value in found.items()
    }


def _configured(file: Path, seen: Seen) -> Iterator[_Found]:
    now, before = _settings(file), seen.settings
    if now == before:
        return
    details = {
        "added": sorted(now.keys() - before.keys()),
        "removed": sorted(before.keys() - now.keys()),
        "changed": sorted(name for name in now.keys() & before.keys() if now[name] != before[name]),
    }
    act = Act(
        action="configuration changed",
        subject=file.name,
        result="finished",
        details={key: names for key, names in details.items() if names},
    )
    yield act, "unknown", lambda: setattr(seen, "settings", now)
