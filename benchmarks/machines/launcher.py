"""A run launcher that puts runs on workers in turn, by asking the agent of each; one that is away is passed over.

It stands for Dagster's launchers for Docker, ECS and Kubernetes: what a worker gets is a run, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import dagster as dg
import httpx
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._serdes import ConfigurableClassData

from benchmarks.worker_launcher import WorkerLauncher, health_of

AGENT = "machines/agent"
"""The tag that says where a run is."""


class AgentLauncher(WorkerLauncher):
    """Starts each run on the next of its workers: addresses of their agents."""

    def __init__(self, workers: Sequence[str], inst_data: ConfigurableClassData | None = None) -> None:
        self._turn = count()
        self._client = httpx.Client(trust_env=False, timeout=10)
        super().__init__(workers, inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Starts a run; raises `httpx.HTTPError` when no worker answers."""
        run, arguments = context.dagster_run, self.arguments(context)
        refused: httpx.HTTPError | None = None
        for _ in self._workers:
            agent = self._workers[next(self._turn) % len(self._workers)]
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
        return health_of(answer.json())
