"""Dagster's GraphQL API, as far as the console needs it: launch jobs, see how they go, load definitions again."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from time import monotonic, sleep, time
from typing import Any

import httpx

from entra_pipeline.console.auth.sessions import User
from entra_pipeline.console.dagster.webserver import WebserverAddress
from entra_pipeline.errors import EntraPipelineError, FailureSort, NotInStore, UsageError

LOCATION = "entra-pipeline"
OPERATOR_TAG = "entra/operator"
OPERATOR_IDENTITY_TAG = "entra/operator-identity"
"""Tag of a run: who asked for it."""
SCOPE_TAGS = ("entra/scope", "entra/logs", "entra/drill")
"""Tags of a run that name its scope: of backups and restores; of reads of logs; of drills."""
UNDER_WAY = ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING")
PATH = "/dagster"
"""Where the console, and Dagster's webservers behind it, have Dagster's UI."""

_REPOSITORY = "__repository__"
_PATIENCE = 20.0
# Runs whose logs are kept: those that somebody looks at; and the most lines of one that has ended.
_LOGS_KEPT = 50
_LINES_KEPT = 2_000
# What Dagster says of steps that had nothing to do: a plan alone has none that writes.
_DAGSTERS_OWN = "Skipping step "
# Seconds after its end in which something may still come into a run's log.
_TRAILING = 60.0
# Seconds to wait for definitions that are being loaded.
_LOADING = 40.0
PAUSE = 0.5
"""Seconds between two looks whether a Dagster that is starting is there."""
_RUN = "runId jobName status creationTime startTime endTime parentRunId tags { key value }"
_LAUNCH = """
mutation Launch($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename
  ... on LaunchRunSuccess { run { runId } }
  ... on Error { message }
  ... on RunConfigValidationInvalid { errors { message } }
} }"""
_RUNS = f"""
query Runs($filter: RunsFilter, $limit: Int, $cursor: String) {{
  runsOrError(filter: $filter, limit: $limit, cursor: $cursor) {{
    __typename
    ... on Runs {{ results {{ {_RUN} }} }}
    ... on Error {{ message }}
  }}
}}"""
_ONE = f"""
query Run($id: ID!) {{ runOrError(runId: $id) {{ __typename ... on Run {{ {_RUN} }} ... on Error {{ message }} }} }}"""
_LOGS = """
query Logs($id: ID!, $cursor: String) { logsForRun(runId: $id, afterCursor: $cursor, limit: 1000) {
  __typename
  ... on EventConnection {
    cursor hasMore
    events {
      __typename
      ... on MessageEvent { message timestamp level }
      ... on ExecutionStepFailureEvent { failureMetadata { description metadataEntries {
        label ... on TextMetadataEntry { text } } } error { message } }
    }
  }
  ... on Error { message }
} }"""
_TERMINATE = """
mutation Terminate($id: String!) { terminateRun(runId: $id) { __typename ... on Error { message } } }"""
_ADD_PARTITION = """
mutation Add($repository: RepositorySelector!, $name: String!, $key: String!) {
  addDynamicPartition(repositorySelector: $repository, partitionsDefName: $name, partitionKey: $key) {
    __typename ... on PythonError { message } ... on UnauthorizedError { message }
} }"""
_RELOAD = """
mutation Reload($name: String!) { reloadRepositoryLocation(repositoryLocationName: $name) {
  __typename ... on Error { message }
} }"""


class DagsterUnavailable(EntraPipelineError):
    """Dagster does not answer, or not as it should."""

    sort = FailureSort.TRANSIENT


class DagsterAbsent(DagsterUnavailable):
    """Nobody listens where Dagster should be: nothing was sent, and nothing has happened."""


def operator_tags(user: User) -> dict[str, str]:
    """Returns the tags of a run that say who launched it: the name, and the identity where the sign-in has one."""
    return {OPERATOR_TAG: user.name} | ({OPERATOR_IDENTITY_TAG: user.identity} if user.identity else {})


@dataclass(frozen=True, slots=True)
class Run:
    """A run of a job.

    Attributes:
        id: Its id.
        job: Name of the job.
        status: Dagster's word, in lower case.
        created, started, finished: Seconds since 1970; None for what has not come.
        tags: Its tags.
    """

    id: str
    job: str
    status: str
    created: float
    started: float | None
    finished: float | None
    tags: Mapping[str, str]

    @property
    def under_way(self) -> bool:
        """Whether it has not come to its end."""
        return self.status.upper() in UNDER_WAY

    @property
    def scope(self) -> str:
        """The scope that it is about; empty when its tags do not tell."""
        return next((self.tags[tag] for tag in SCOPE_TAGS if tag in self.tags), "")

    @property
    def operator(self) -> str:
        """Who asked for it; empty for schedules and sensors."""
        return self.tags.get(OPERATOR_TAG, "")

    @property
    def by(self) -> str:
        """Who or what asked for it, as people call them."""
        if sensor := self.tags.get("dagster/sensor_name"):
            return self.operator or f"sensor {sensor}"
        return self.operator or ("schedule" if "dagster/schedule_name" in self.tags else "Dagster")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a run's log that is meant for people."""

    at: float
    level: str
    text: str


@dataclass(slots=True)
class _Log:
    """What was read of a run's log: its lines, where to go on, and whether nothing more comes."""

    lines: list[Line] = field(default_factory=list)
    cursor: str | None = None
    whole: bool = False
    lock: Lock = field(default_factory=Lock)


class Dagster:
    """Dagster behind its two webservers.

    Args:
        webserver: The webserver that may change things.
        read_only: The one that may not.
        starting: Seconds that it is given to start: so long whoever wants it waits while nobody listens there.
        scrub: Takes secrets out of what Dagster answers.
    """

    def __init__(
        self,
        webserver: WebserverAddress,
        read_only: WebserverAddress,
        *,
        starting: float = 0.0,
        scrub: Callable[[str], str] = str,
    ) -> None:
        self.webserver = webserver
        self.read_only = read_only
        self.starting = starting
        self.scrub = scrub
        self._client = webserver.client(_PATIENCE)
        self._lock = Lock()
        self._logs: OrderedDict[str, _Log] = OrderedDict()

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def launch(self, job: str, config: Mapping[str, Any], *, operator: User, tags: Mapping[str, str]) -> str:
        """Launches a job, as soon as Dagster is there; the id of its run.

        Raises:
            DagsterUnavailable: Dagster does not answer, or does not know the job.
            UsageError: It does not take the configuration.
        """
        given = {**tags, **operator_tags(operator)}
        params = {
            "selector": {"repositoryLocationName": LOCATION, "repositoryName": _REPOSITORY, "jobName": job},
            "runConfigData": config,
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in given.items()]},
        }
        answer = self._ask_when_there(_LAUNCH, params=params)["launchRun"]
        end = monotonic() + _LOADING
        while answer["__typename"] == "PipelineNotFoundError" and monotonic() < end:
            # Definitions are still being loaded, or are of the time before a scope was made.
            sleep(2)
            self.reload()
            answer = self._ask(_LAUNCH, params=params)["launchRun"]
        match answer["__typename"]:
            case "LaunchRunSuccess":
                return str(answer["run"]["runId"])
            case "RunConfigValidationInvalid":
                raise UsageError("; ".join(error["message"] for error in answer["errors"]), remedy="Correct it.")
            case _:
                raise DagsterUnavailable(
                    f"Dagster cannot run {job}: {answer.get('message', answer['__typename'])}",
                    remedy="See Deployment in Dagster's UI: it shows whether the definitions are loaded.",
                )

    def add_partition(self, partitions: str, key: str) -> None:
        """Adds a partition that is given at run time, where it is not there yet: a run of an unknown one would fail.

        Args:
            partitions: Name of the partitions.
            key: The partition.
        """
        repository = {"repositoryLocationName": LOCATION, "repositoryName": _REPOSITORY}
        asked = self._ask_when_there(_ADD_PARTITION, repository=repository, name=partitions, key=key)
        self._good(asked["addDynamicPartition"])

    def runs(self, *, limit: int, after: str = "", filters: Mapping[str, Any] | None = None) -> list[Run]:
        """Runs, newest first; `after` is the id of the last one of the page before."""
        answer = self._ask(_RUNS, filter=dict(filters or {}), limit=limit, cursor=after or None)["runsOrError"]
        return [_run(one) for one in self._good(answer)["results"]]

    def run(self, run_id: str) -> Run:
        """A run; raises NotInStore when Dagster does not know it."""
        answer = self._ask(_ONE, id=run_id)["runOrError"]
        if answer["__typename"] != "Run":
            raise NotInStore(f"there is no run {run_id}", remedy="See Jobs for the existing ones.")
        return _run(answer)

    def log(self, run: Run) -> list[Line]:
        """What a run's log says to people: its own messages, and what made it fail.

        Pages ask again and again: only what has come since is asked for, and nothing some time after the end.
        """
        with self._lock:
            log = self._logs[run.id] = self._logs.pop(run.id, _Log())
            while len(self._logs) > _LOGS_KEPT:
                self._logs.popitem(last=False)
        with log.lock:
            while not log.whole:
                page = self._good(self._ask(_LOGS, id=run.id, cursor=log.cursor)["logsForRun"])
                for event in page["events"]:
                    log.lines += _lines(event)
                log.cursor = page["cursor"]
                if not page["hasMore"]:
                    break
            log.whole = not run.under_way and time() - (run.finished or run.created) > _TRAILING
            if not run.under_way and len(log.lines) > _LINES_KEPT:
                with self._lock:
                    self._logs.pop(run.id, None)
            return list(log.lines)

    def terminate(self, run_id: str) -> None:
        """Asks a run to stop; what it has committed stands."""
        self._good(self._ask(_TERMINATE, id=run_id)["terminateRun"])

    def reload(self) -> None:
        """Loads the definitions again, after the configuration has changed."""
        self._good(self._ask_when_there(_RELOAD, name=LOCATION)["reloadRepositoryLocation"])

    def _ask_when_there(self, query: str, **variables: Any) -> dict[str, Any]:
        """Asks a Dagster that may be starting: the console, which starts it, is there some seconds sooner."""
        end = monotonic() + self.starting
        while True:
            try:
                return self._ask(query, **variables)
            except DagsterAbsent:
                if monotonic() > end:
                    raise
                sleep(PAUSE)

    def _ask(self, query: str, **variables: Any) -> dict[str, Any]:
        try:
            answer = self._client.post(f"{self.webserver.url}/graphql", json={"query": query, "variables": variables})
            answer.raise_for_status()
            body = json.loads(self.scrub(answer.text))
        except httpx.ConnectError:
            waits = "what is begun meanwhile waits for it" if self.starting else "try again in half a minute"
            raise DagsterAbsent(
                "Dagster does not answer yet",
                remedy=f"It may still be starting: {waits}. Everything but jobs works without it.",
            ) from None
        except (httpx.HTTPError, ValueError) as error:
            raise DagsterUnavailable(
                f"Dagster does not answer ({type(error).__name__})",
                remedy="It may still be starting: try again in half a minute. Everything but jobs works without it.",
            ) from None
        if body.get("errors"):
            raise DagsterUnavailable(
                f"Dagster refuses the request: {body['errors'][0].get('message', '')}",
                remedy="Run the versions of Dagster and entra-pipeline that requirements.lock names.",
            )
        return body["data"]  # type: ignore[no-any-return]

    @staticmethod
    def _good(answer: dict[str, Any]) -> dict[str, Any]:
        if "message" in answer:
            raise DagsterUnavailable(f"Dagster says: {answer['message']}", remedy="See Dagster's UI for details.")
        return answer


def _run(values: Mapping[str, Any]) -> Run:
    return Run(
        id=values["runId"],
        job=values["jobName"],
        status=values["status"].lower(),
        created=values["creationTime"],
        started=values["startTime"],
        finished=values["endTime"],
        tags={one["key"]: one["value"] for one in values["tags"]},
    )


def _lines(event: Mapping[str, Any]) -> Sequence[Line]:
    kind = event["__typename"]
    if kind not in {"LogMessageEvent", "ExecutionStepFailureEvent", "RunFailureEvent", "RunCanceledEvent"}:
        return ()
    if event["message"].startswith(_DAGSTERS_OWN):
        return ()
    at = float(event["timestamp"]) / 1000
    if kind != "ExecutionStepFailureEvent":
        return [Line(at, "ERROR" if kind == "RunFailureEvent" else event["level"], event["message"])]
    told = event["failureMetadata"]
    if told is None:
        return [Line(at, "ERROR", (event["error"] or {}).get("message") or event["message"])]
    remedy = next((one["text"] for one in told["metadataEntries"] if one["label"] == "remedy"), "-")
    return [Line(at, "ERROR", f"{told['description']}{'' if remedy == '-' else f' → {remedy}'}")]
