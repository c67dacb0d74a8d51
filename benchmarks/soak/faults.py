"""What is broken during a soak, and when."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import dagster as dg

from entra_pipeline.simulator import Simulator


@dataclass
class Fault:
    """Something to break.

    Attributes:
        name: What happens.
        at: Which part of the soak has passed when it happens.
        act: Breaks it; False as long as there is nothing to break.
        done: Whether it has happened.
    """

    name: str
    at: float
    act: Callable[[], bool]
    done: bool = field(default=False)


def failing_type(tenant: Simulator, status: int) -> Callable[[], bool]:
    """Makes a type answer with a status; 0 ends it."""

    def act() -> bool:
        tenant.control.deny("domains", status)
        return True

    return act


def killed_worker(instance: dg.DagsterInstance, tenant: Simulator, scope: str) -> Callable[[], bool]:
    """Kills the worker of a scope's next backup with SIGKILL, while it reads."""

    def act() -> bool:
        # Slow enough to be met while it reads.
        tenant.control.latency(3)
        started = instance.get_runs(
            dg.RunsFilter(job_name=f"backup_{scope}", statuses=[dg.DagsterRunStatus.STARTED]), limit=1
        )
        if not started:
            return False
        time.sleep(4)
        worker = worker_of(instance, started[0].run_id)
        try:
            if worker is None:
                return False
            os.kill(worker, signal.SIGKILL)
        except ProcessLookupError:
            # It had ended by itself meanwhile.
            return False
        tenant.control.latency(0)
        return True

    return act


def missed_tick(instance: dg.DagsterInstance, scope: str) -> Callable[[], bool]:
    """Loses the run of a scope's next tick before it begins."""

    def act() -> bool:
        waiting = instance.get_runs(
            dg.RunsFilter(
                job_name=f"backup_{scope}",
                statuses=[dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING],
                tags={"dagster/schedule_name": f"schedule_{scope}"},
            ),
            limit=1,
        )
        for run in waiting:
            instance.delete_run(run.run_id)
        return bool(waiting)

    return act


def worker_of(instance: dg.DagsterInstance, run_id: str) -> int | None:
    """Returns the process that executes a run, from what Dagster's executor says when it begins."""
    for entry in instance.all_logs(run_id):
        if found := re.search(r"Executing steps in process \(pid: (\d+)\)", entry.user_message or entry.message):
            return int(found[1])
    return None
