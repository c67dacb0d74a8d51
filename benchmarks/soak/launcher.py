"""A run launcher that puts runs on several machines in turn: each machine is a folder with a project file of its own.

Dagster's launchers for containers do the same with images: a worker gets its run, its environment, and nothing else.
Workers in different folders share what the storage and Dagster's database hold, and no file.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import dagster as dg

# Dagster's own launchers import these from here; it exports no others.
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, RunLauncher, WorkerStatus
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import ConfigurableClass, ConfigurableClassData

_PID = "soak/worker"


class FolderLauncher(RunLauncher, ConfigurableClass):  # type: ignore[type-arg]
    """Starts each run in the next of its folders.

    Args:
        folders: Folders that hold a dagster_project.toml each.
        inst_data: Dagster's.
    """

    def __init__(self, folders: Sequence[str], inst_data: ConfigurableClassData | None = None) -> None:
        self._folders = list(folders)
        self._inst_data = inst_data
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        super().__init__()

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """What Dagster made this of."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        """The configuration in dagster.yaml."""
        return {"folders": [str]}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        """Makes a launcher of its configuration."""
        return cls(config_value["folders"], inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Starts a worker for a run."""
        run, origin = context.dagster_run, context.job_code_origin
        assert origin is not None
        folder = Path(self._folders[len(self._started) % len(self._folders)])
        arguments = ExecuteRunArgs(
            job_origin=origin, run_id=run.run_id, instance_ref=self._instance.get_ref()
        ).get_command_args()
        with (folder / f"{run.run_id}.log").open("wb") as log:
            worker = subprocess.Popen(
                arguments,
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

    @property
    def supports_check_run_worker_health(self) -> bool:
        """As the launchers for containers do, it tells Dagster of workers that are gone."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Tells whether the worker of a run is still there."""
        worker = self._started.get(run.run_id)
        if worker is None:
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND)
        code = worker.poll()
        if code is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.SUCCESS if code == 0 else WorkerStatus.FAILED, f"exit code {code}")


__all__ = ["FolderLauncher"]
