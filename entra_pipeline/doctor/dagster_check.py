"""Dagster: whether there is an instance, whether its daemon works, and which schedules are off."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime

import dagster as dg

from entra_pipeline.clock import Clock
from entra_pipeline.doctor.diagnosis import Diagnosis
from entra_pipeline.orchestration.dagster_internals import InstigatorStatus
from entra_pipeline.project import Project

_SUBJECT = "dagster"
# Each part of the daemon reports twice a minute.
_SILENT = 300.0


def examine_dagster(project: Project, clock: Clock) -> Iterator[Diagnosis]:
    """Yields what is found of Dagster; without DAGSTER_HOME, that there is none."""
    if not os.environ.get("DAGSTER_HOME"):
        waiting = ", ".join(scope.name for scope in project.scopes.values() if scope.schedule)
        yield Diagnosis(
            _SUBJECT,
            "instance",
            "skipped",
            "DAGSTER_HOME is not set" + (f": nothing here runs the schedules of {waiting}" if waiting else ""),
            "entra-pipeline serve runs Dagster with the console; for a Dagster of your own, set DAGSTER_HOME.",
        )
        return
    try:
        instance = dg.DagsterInstance.get()
    except Exception as error:
        yield Diagnosis(
            _SUBJECT,
            "instance",
            "warning",
            str(error).splitlines()[0].strip(),
            "Set DAGSTER_HOME to the folder with dagster.yaml, and check what that file names.",
            configuration=True,
        )
        return
    with instance:
        yield Diagnosis(_SUBJECT, "instance", "ok", f"{instance.root_directory} can be opened")
        yield _daemon(instance, clock())
        off = sorted(one.name for one in instance.all_instigator_state(instigator_statuses={InstigatorStatus.STOPPED}))
        if off:
            told = f"turned off: {', '.join(off)}"
            yield Diagnosis(_SUBJECT, "schedules and sensors", "warning", told, "Turn on in Dagster what is to run.")


def _daemon(instance: dg.DagsterInstance, now: datetime) -> Diagnosis:
    beats = list(instance.get_daemon_heartbeats().values())
    silent = now.timestamp() - max((beat.timestamp for beat in beats), default=0.0)
    if silent > _SILENT:
        since = f"it was last seen {silent / 60:.0f} minutes ago" if beats else "it has never run"
        told, remedy = f"{since}: no schedule runs", "Start it: dagster-daemon run, or dagster dev."
        return Diagnosis(_SUBJECT, "daemon", "warning", told, remedy)
    errors = [error for beat in beats for error in beat.errors or ()]
    if errors:
        told, remedy = str(errors[0].message).strip(), "See the output of the daemon, and restart it."
        return Diagnosis(_SUBJECT, "daemon", "warning", told, remedy)
    return Diagnosis(_SUBJECT, "daemon", "ok", "it runs")
