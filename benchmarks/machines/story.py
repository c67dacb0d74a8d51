"""What happens to the installation: people work with the console, and one thing after the other is killed."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count

import dagster as dg
import httpx

from benchmarks.consoles import Visitor, links
from benchmarks.machines.installation import WEBSERVER, Installation
from benchmarks.machines.launcher import AGENT
from benchmarks.machines.world import PLANNER, SECOND, World
from benchmarks.soak.faults import worker_of
from entra_pipeline.project import Project
from entra_pipeline.project.stores import open_store
from entra_pipeline.restore.records.report import read_report
from tests.restore.disasters import cloud_users

_DELETED = 12
_PATIENCE = 420
_UNDER_WAY = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
_LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) { __typename ... on LaunchRunSuccess { run { runId } } }
}
"""


@dataclass
class Story:
    """What is done, one after the other; the tenants change meanwhile.

    Attributes:
        there: The world.
        made: The machines.
        instance: Dagster's data.
        project: The configuration, as somebody outside has it.
        deleted: Users that are deleted, and have to be there again.
    """

    there: World
    made: Installation
    instance: dg.DagsterInstance
    project: Project
    deleted: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._changes = count(1)
        self._changed = 0.0

    def run(self) -> None:
        """Tells the whole story; raises RuntimeError when something does not come about in time."""
        with Visitor(self.made.console, PLANNER) as ada:
            for scope in self.there.tenants:
                ada.run(f"/scopes/{scope}/backup", {})
                say(f"{PLANNER} has backed up {scope} by a click")
        self._kill_a_worker("alfa")
        self._kill_the_daemon()
        self._restore("alfa")
        self._lose_a_machine()
        self._launch("reports", {})
        self._launch("prune", {})

    def change(self) -> None:
        """Changes every tenant, once in a while."""
        if time.monotonic() < self._changed + 20:
            return
        self._changed = time.monotonic()
        number = next(self._changes)
        for tenant in self.there.tenants.values():
            users = tenant.control.dump("users")
            tenant.control.patch(f"users/{users[number % len(users)]['id']}", {"jobTitle": f"Changed {number}"})

    def until(self, what: str, condition: Callable[[], object]) -> None:
        """Waits; raises RuntimeError when it takes too long."""
        end = time.monotonic() + _PATIENCE
        while not condition():
            if time.monotonic() > end:
                raise RuntimeError(f"did not come about: {what}")
            self.change()
            time.sleep(0.5)
        say(what)

    def _kill_a_worker(self, scope: str) -> None:
        """Kills the run of a scheduled backup while it reads; a later one finishes."""
        tenant = self.there.tenants[scope]
        # Slow enough to be met while it reads.
        tenant.control.latency(2)
        self.until(f"the worker of a backup of {scope} was killed", lambda: self._killed(f"backup_{scope}", after=3))
        tenant.control.latency(0)
        before = open_store(self.project, scope).points()[-1]
        self.until(
            f"{scope} has another good point after it",
            lambda: open_store(self.project, scope).points()[-1] != before,
        )

    def _killed(self, job: str, *, after: float) -> bool:
        """Kills the process of a run that has started; False when there is none."""
        found = self.instance.get_runs(dg.RunsFilter(job_name=job, statuses=[dg.DagsterRunStatus.STARTED]), limit=1)
        if not found:
            return False
        time.sleep(after)
        process = worker_of(self.instance, found[0].run_id)
        if process is None:
            return False
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            # It had ended by itself meanwhile.
            return False
        return True

    def _kill_the_daemon(self) -> None:
        self.made.kill("daemon")
        say("the daemon was killed")
        gone = time.monotonic() + 45
        self.until("nobody ran the daemon for a while", lambda: time.monotonic() > gone)
        self.made.start("daemon")
        say("the daemon runs again")

    def _restore(self, scope: str) -> None:
        """One plans, the console is killed, another one approves, the worker is killed, somebody resumes it."""
        tenant = self.there.tenants[scope]
        point = open_store(self.project, scope).points()[-1]
        # Graph brings back nobody whom another directory owns.
        self.deleted = cloud_users(tenant.control)[-_DELETED:]
        for one in self.deleted:
            tenant.control.delete(f"users/{one}")
        say(f"{_DELETED} users of {scope} were deleted")
        with Visitor(self.made.console, PLANNER) as ada:
            chosen: dict[str, str | list[str]] = {"types": "users", "ids": self.deleted, "conflict": "overwrite"}
            page = ada.run(f"/scopes/{scope}/points/{point}/restore", chosen)
            [plan] = links(page, rf"/scopes/{scope}/restores/[^/]+")
            say(f"{PLANNER} has planned to bring them back")
            if ada.may_send(f"{plan}/apply", {}):
                raise RuntimeError("a plan was applied that nobody has approved")
        self.made.kill("console")
        self.made.start("console")
        say("the console was killed and started again")
        with Visitor(self.made.console, SECOND) as grace:
            seal = re.search(r'name="seal" value="([^"]+)"', grace.get(plan).page.text)
            if seal is None:
                raise RuntimeError("the plan cannot be approved")
            grace.send(f"{plan}/approve", {"seal": seal[1]})
            say(f"{SECOND} has approved it")
            tenant.control.latency(1)
            grace.send(f"{plan}/apply", {})
            self.until(
                "the worker was killed that restores",
                lambda: self._is_writing(tenant.control.dump("users")) and self._killed("restore", after=0),
            )
            tenant.control.latency(0)
            self.until("Dagster knows of it", lambda: not self._under_way("restore"))
            grace.send(f"{plan}/apply", {})
            self.until(f"{SECOND} has applied it again", lambda: not self._under_way("restore"))
        report = read_report(open_store(self.project, scope), plan.rpartition("/")[2])
        # What the plan says that nobody can restore, such as methods of signing in, is no part of it.
        left = [one.reason for one in report.outcomes if one.result != "restored"] if report else ["no report"]
        if left:
            raise RuntimeError(f"not restored: {left}")
        say("every step of the plan was carried out")

    def _is_writing(self, users: list[dict[str, object]]) -> bool:
        return any(one["id"] in self.deleted for one in users)

    def _lose_a_machine(self) -> None:
        """Kills a worker with all its runs, and puts an empty machine in its place."""
        name = "worker-1"
        started = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])
        self.until(
            f"{name} had a run, and was lost with it",
            lambda: any(name in run.tags.get(AGENT, "") for run in self.instance.get_runs(started)),
        )
        self.made.kill(name)
        gone = time.monotonic() + 40
        self.until("it was away for a while", lambda: time.monotonic() > gone)
        self.made.machines[name].build()
        self.made.start(name)
        say(f"an empty machine is in the place of {name}")

    def _launch(self, job: str, config: dict[str, object]) -> None:
        """Runs a job to its end, by Dagster's GraphQL."""
        selector = {
            "repositoryName": "__repository__",
            "repositoryLocationName": "entra-pipeline",
            "pipelineName": job,
        }
        asked = {"query": _LAUNCH, "variables": {"params": {"selector": selector, "runConfigData": config}}}
        answer = httpx.post(f"{WEBSERVER}/graphql", json=asked, timeout=60, trust_env=False).json()
        launched = answer["data"]["launchRun"]
        if launched["__typename"] != "LaunchRunSuccess":
            raise RuntimeError(f"{job} is not launched: {launched}")
        identifier = launched["run"]["runId"]

        def ended() -> bool:
            run = self.instance.get_run_by_id(identifier)
            return run is not None and run.is_finished

        self.until(f"{job} has ended", ended)
        run = self.instance.get_run_by_id(identifier)
        if run is None or not run.is_success:
            raise RuntimeError(f"{job} has failed: run {identifier}")

    def _under_way(self, job: str) -> bool:
        return bool(self.instance.get_runs(dg.RunsFilter(job_name=job, statuses=_UNDER_WAY), limit=1))


def say(text: str) -> None:
    """Prints what has happened, with the time."""
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", flush=True)
