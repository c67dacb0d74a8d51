"""A run launcher that puts runs on workers in turn, by asking the agent of each; one that is away is passed over.

It stands for Dagster's launchers for Docker, ECS and Kubernetes: what a worker gets is a run, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, Self

import dagster as dg
import httpx

# Dagster's own launchers import these from here; it exports no others.
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, RunLauncher, WorkerStatus
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import ConfigurableClass, ConfigurableClassData

AGENT = "machines/agent"
"""The tag that says where a run is."""


class AgentLauncher(RunLauncher, ConfigurableClass):  # type: ignore[type-arg]
    """Starts each run on the next of its workers.

    Args:
        agents: Addresses of the workers' agents.
        inst_data: Dagster's.
    """

    def __init__(self, agents: Sequence[str], inst_data: ConfigurableClassData | None = None) -> None:
        self._agents = list(agents)
        self._inst_data = inst_data
        self._turn = count()
        self._client = httpx.Client(trust_env=False, timeout=10)
        super().__init__()

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """What Dagster made this of."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        """The configuration in dagster.yaml."""
        return {"agents": [str]}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        """Makes a launcher of its configuration."""
        return cls(config_value["agents"], inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Starts a run; raises `httpx.HTTPError` when no worker answers."""
        run, origin = context.dagster_run, context.job_code_origin
        assert origin is not None
        arguments = ExecuteRunArgs(
            job_origin=origin, run_id=run.run_id, instance_ref=self._instance.get_ref()
        ).get_command_args()
        refused: httpx.HTTPError | None = None
        for _ in self._agents:
            agent = self._agents[next(self._turn) % len(self._agents)]
            try:
                self._client.post(f"{agent}/{run.run_id}", json=arguments).raise_for_status()
            except httpx.HTTPError as error:
                refused = error
                continue
            self._instance.add_run_tags(run.run_id, {AGENT: agent})
            return
        assert refused is not None
        raise refused

    def terminate(self, run_id: str) -> bool:
        """Ends the process of a run."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or AGENT not in run.tags:
            return False
        self._instance.report_run_canceling(run)
        return self._client.delete(f"{run.tags[AGENT]}/{run_id}").status_code == httpx.codes.OK

    @property
    def supports_check_run_worker_health(self) -> bool:
        """As the launchers for containers do, it tells Dagster of runs whose process is gone."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Tells whether the process of a run is still there."""
        if AGENT not in run.tags:
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND)
        try:
            answer = self._client.get(f"{run.tags[AGENT]}/{run.run_id}")
        except httpx.HTTPError as error:
            return CheckRunHealthResult(WorkerStatus.UNKNOWN, str(error), transient=True)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND)
        code = answer.json()
        if code is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.SUCCESS if code == 0 else WorkerStatus.FAILED, f"exit code {code}")
