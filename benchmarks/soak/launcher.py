"""A run launcher that puts runs on several machines in turn: each machine is a folder with a project file of its own.

Dagster's launchers for containers do the same with images: a worker gets its run, its environment, and nothing else.
Workers in different folders share what the storage and Dagster's database hold, and no file.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._serdes import ConfigurableClassData

from benchmarks.worker_launcher import WorkerLauncher, health_of

_PID = "soak/worker"


class FolderLauncher(WorkerLauncher):
    """Starts each run in the next of its workers: folders that hold a dagster_project.toml each."""

    def __init__(self, workers: Sequence[str], inst_data: ConfigurableClassData | None = None) -> None:
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        super().__init__(workers, inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Starts a worker for a run."""
        run = context.dagster_run
        folder = Path(self._workers[len(self._started) % len(self._workers)])
        with (folder / f"{run.run_id}.log").open("wb") as log:
            worker = subprocess.Popen(
                self.arguments(context),
                cwd=folder,
                env={**os.environ, "ENTRA_PIPELINE_PROJECT": str(folder / "dagster_project.toml")},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._started[run.run_id] = worker
        self._instance.add_run_tags(run.run_id, {_PID: str(worker.pid)})

    def terminate(self, run_id: str) -> bool:
        """Ends the worker of a run."""
        worker = self._started.get(run_id)
        run = self._instance.get_run_by_id(run_id)
        if worker is None or run is None or worker.poll() is not None:
            return False
        self._instance.report_run_canceling(run)
        worker.terminate()
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Tells whether the worker of a run is still there."""
        worker = self._started.get(run.run_id)
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND) if worker is None else health_of(worker.poll())


__all__ = ["FolderLauncher"]
