"""What a soak came to: ticks as Dagster keeps them; points, jobs and checksums as the command tells them; mails."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import dagster as dg

from benchmarks.processes import command

_ALIVE = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]


def ticks(instance: dg.DagsterInstance) -> Iterator[tuple[str, str, str]]:
    """Yields every tick of a sensor or schedule: the sensor's name, the tick's status, the error of a failed one."""
    for state in instance.all_instigator_state():
        for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id):
            error = tick.tick_data.error
            yield state.instigator_name, tick.status.value, error.message.strip() if error else ""


def tick_table(instance: dg.DagsterInstance) -> list[str]:
    """Returns one line per sensor and schedule with its ticks by status, then every error once."""
    counted: dict[str, Counter[str]] = {}
    errors: Counter[str] = Counter()
    for name, status, error in ticks(instance):
        counted.setdefault(name, Counter())[status] += 1
        if error:
            errors[f"{name}: {error[:300]}"] += 1
    lines = [
        f"{name}: " + ", ".join(f"{count} {status}" for status, count in sorted(found.items()))
        for name, found in sorted(counted.items())
    ]
    return lines + [f"error, {count} times: {error}" for error, count in errors.items()]


def problems(
    instance: dg.DagsterInstance,
    project: Path,
    scopes: Iterable[str],
    mails: Sequence[EmailMessage],
    types: Collection[str] = ("backup",),
) -> list[str]:
    """Returns everything that is not as it has to be at the end; empty when all is well.

    Args:
        instance: Dagster's data.
        project: The configuration.
        scopes: The scopes.
        mails: What was sent.
        types: Types of jobs each of which is told once.
    """
    found = [f"failed tick of {name}: {error[:200]}" for name, status, error in ticks(instance) if status == "FAILURE"]
    for scope in scopes:
        points = _answer(project, "points", scope, "--json")
        if not points or points[-1]["status"] != "finished":
            found.append(f"{scope}: the newest point is {points[-1]['status'] if points else 'not there'}")
        checked = subprocess.run(
            command("--project", project, "verify", scope, "--all"), capture_output=True, text=True, check=False
        )
        said = (checked.stdout + checked.stderr)[-500:]
        if checked.returncode:
            found.append(f"{scope}: verify ends with {checked.returncode}: {said}")
    bodies = [str(mail.get_body(("plain", "html"))) for mail in mails]
    for job in jobs(project, types):
        told = sum(job["id"] in body for body in bodies)
        if told != 1:
            found.append(f"{job['scope']}: {job['type']} {job['id']} ({job['status']}) was told {told} times")
    for run in instance.get_runs(dg.RunsFilter(statuses=_ALIVE)):
        if run.job_name.startswith(tuple(types)):
            found.append(f"run {run.run_id} of {run.job_name} is still {run.status.value}")
    return found


def jobs(project: Path, types: Collection[str]) -> list[dict[str, Any]]:
    """Returns the records of all jobs of some types, as `entra-pipeline report jobs` tells them."""
    told = _answer(project, "report", "jobs", "--format", "json")["jobs"]
    return [job for job in told if job["type"] in types]


def _answer(project: Path, *arguments: str) -> Any:
    done = subprocess.run(command("--project", project, *arguments), capture_output=True, check=True)
    return json.loads(done.stdout)
