"""What the benchmarks' run launchers share: a list of workers from dagster.yaml, and what an exit code means.

They stand for Dagster's launchers for containers: a worker is given a run, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

# Dagster's own launchers import these from here; it exports no others.
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, RunLauncher, WorkerStatus
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import ConfigurableClass, ConfigurableClassData


class WorkerLauncher(RunLauncher, ConfigurableClass):  # type: ignore[type-arg]
    """Knows the workers that runs are put on.

    Args:
        workers: What dagster.yaml names; what it is of a worker, each launcher says.
        inst_data: Dagster's.
    """

    def __init__(self, workers: Sequence[str], inst_data: ConfigurableClassData | None = None) -> None:
        self._workers = list(workers)
        self._inst_data = inst_data
        super().__init__()

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """What Dagster made this of."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        """The configuration in dagster.yaml."""
        return {"workers": [str]}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        """Makes a launcher of its configuration."""
        return cls(config_value["workers"], inst_data)

    @property
    def supports_check_run_worker_health(self) -> bool:
        """As the launchers for containers do, it tells Dagster of runs whose process is gone."""
        return True

    def arguments(self, context: LaunchRunContext) -> Sequence[str]:
        """Returns the command that executes a run."""
        origin = context.job_code_origin
        assert origin is not None
        run_id = context.dagster_run.run_id
        return ExecuteRunArgs(
            job_origin=origin, run_id=run_id, instance_ref=self._instance.get_ref()
        ).get_command_args()


def health_of(code: int | None) -> CheckRunHealthResult:
    """Tells how the process of a run is, by its exit code; None while it runs."""
    if code is None:
        return CheckRunHealthResult(WorkerStatus.RUNNING)
    return CheckRunHealthResult(WorkerStatus.SUCCESS if code == 0 else WorkerStatus.FAILED, f"exit code {code}")
