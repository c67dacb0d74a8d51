"""What the queue knows of runs from asset pages: Dagster's own queue and API, with the dagster.yaml that is shipped."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.test_utils import wait_for_futures
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon
from dagster_graphql.schema import create_schema
from dagster_k8s.job import get_user_defined_k8s_config

from entra_pipeline.console.dagster import client
from entra_pipeline.orchestration.keys import FLEET_JOB, fleet_partitions, partitions_name
from entra_pipeline.project import Project, load_project
from entra_pipeline.run_queue import (
    ECS_MEMORY_TAG,
    FLEET_TAG,
    LOGS_TAG,
    MAX_RUNTIME_TAG,
    ROWS_TAG,
    SCOPE_TAG,
    TENANT_TAG,
    run_size,
    size_tags,
)
from entra_pipeline.store.points.keys import key_of

ROOT = Path(__file__).parents[2]
SCOPES = ("contoso-eu", "contoso-us", "contoso-asia")
LOCATION = """\
from entra_pipeline.definitions import build_definitions
from entra_pipeline.project import load_project

defs = build_definitions(load_project({file!r}))
"""
LAUNCH = """mutation Launch($params: ExecutionParams!) { launchPipelineExecution(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on Error { message } } }"""


@pytest.fixture
def workspace(project: Project, tmp_path: Path) -> Iterator[WorkspaceProcessContext]:
    """A code location of three scopes of a tenant, on an instance with the settings that are shipped."""
    text = project.file.read_text()
    start = text.index("[scopes.contoso-eu]")
    scopes = [
        text[start:].replace("contoso-eu", name).replace("schedule =", "logs = true\nschedule =") for name in SCOPES
    ]
    project.file.write_text(text[:start] + "\n".join(scopes))
    with opened(project, tmp_path) as context:
        yield context


@contextmanager
def opened(project: Project, tmp_path: Path) -> Iterator[WorkspaceProcessContext]:
    """The code location of a project, on an instance with the settings that are shipped."""
    (tmp_path / "location.py").write_text(LOCATION.format(file=str(project.file)))
    (tmp_path / "workspace.yaml").write_text("load_from:\n  - python_file: location.py\n")
    (home := tmp_path / "home").mkdir()
    settings = yaml.safe_load((ROOT / "dagster.yaml").read_text())
    # Runs are launched, and stay as they are: what they do is not what this is about.
    settings["run_launcher"] = {"module": "dagster._core.test_utils", "class": "MockedRunLauncher"}
    (home / "dagster.yaml").write_text(yaml.safe_dump(settings))
    with (
        dg.DagsterInstance.from_config(str(home)) as instance,
        WorkspaceProcessContext(instance, WorkspaceFileTarget([str(tmp_path / "workspace.yaml")])) as context,
    ):
        yield context
    context._grpc_server_registry.wait_for_processes()


def launch(
    workspace: WorkspaceProcessContext, job: str, partition: str, assets: list[tuple[str, str]] | None = None
) -> str:
    """Launches a run as the UI does; its id."""
    [location] = workspace.create_request_context().code_location_names
    selector: dict[str, Any] = {
        "repositoryLocationName": location,
        "repositoryName": "__repository__",
        "jobName": job,
    }
    if assets is not None:
        selector["assetSelection"] = [{"path": list(path)} for path in assets]
    tags = [{"key": "dagster/partition", "value": partition}] if partition else []
    params = {"selector": selector, "executionMetadata": {"tags": tags}, "runConfigData": {}, "mode": "default"}
    answer = asyncio.run(
        create_schema().execute_async(LAUNCH, variables={"params": params}, context=workspace.create_request_context())
    )
    assert answer.data is not None, answer.errors
    assert "run" in answer.data["launchPipelineExecution"], answer.data
    return str(answer.data["launchPipelineExecution"]["run"]["runId"])


def dequeue(workspace: WorkspaceProcessContext) -> set[str]:
    """Lets the daemon look at the queue once; the runs that are no longer in it."""
    futures: dict[str, Any] = {}
    list(QueuedRunCoordinatorDaemon(interval_seconds=5).run_iteration(workspace, futures))
    wait_for_futures(futures)
    runs = workspace.instance.get_runs()
    return {run.run_id for run in runs if run.status is not dg.DagsterRunStatus.QUEUED}


def point(workspace: WorkspaceProcessContext, scope: str, minutes: int) -> str:
    key = key_of(datetime.now(UTC) + timedelta(minutes=minutes))
    workspace.instance.add_dynamic_partitions(partitions_name(scope), [key])
    return key


def whole(scope: str) -> list[tuple[str, str]]:
    return [(scope, table) for table in ("users", "groups", "domains", "recovery_point")]


def test_one_backup_of_a_scope_and_two_of_a_tenant_run_at_a_time_from_asset_pages_too(
    workspace: WorkspaceProcessContext,
) -> None:
    eu, us, asia = SCOPES
    page = launch(workspace, "__ASSET_JOB", point(workspace, eu, 0), whole(eu))
    same = launch(workspace, "backup_contoso_eu", point(workspace, eu, 1))
    types = launch(workspace, "__ASSET_JOB", point(workspace, eu, 2), whole(eu)[:2])
    now = launch(workspace, "backup_now_contoso_eu", "")
    other = launch(workspace, "__ASSET_JOB", point(workspace, us, 0), whole(us))
    third = launch(workspace, "__ASSET_JOB", point(workspace, asia, 0), whole(asia))
    assert dequeue(workspace) == {page, other}
    assert dequeue(workspace) == {page, other}
    instance = workspace.instance
    for ended, begins in ((page, same), (same, types), (types, now), (other, third)):
        before = dequeue(workspace)
        instance.report_run_canceled(instance.get_run_by_id(ended))
        assert dequeue(workspace) == before | {begins}


def test_runs_from_asset_pages_have_the_tags_of_our_jobs(workspace: WorkspaceProcessContext) -> None:
    eu, us, _ = SCOPES
    taken = point(workspace, eu, 0)
    page, ours = launch(workspace, "__ASSET_JOB", taken, whole(eu)), launch(workspace, "backup_contoso_eu", taken)
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    logs = launch(workspace, "__ASSET_JOB", day, [(eu, "sign_ins")])
    both = launch(workspace, "__ASSET_JOB", day, [(eu, "sign_ins"), (us, "sign_ins")])
    job = launch(workspace, "logs_contoso_eu", day)
    reports = launch(workspace, "__ASSET_JOB", "", [("reports", "jobs")])

    def tags(run: str) -> dict[str, str]:
        found = workspace.instance.get_run_by_id(run).tags  # type: ignore[union-attr]
        queue = {SCOPE_TAG, TENANT_TAG, LOGS_TAG, "dagster/max_retries", "dagster/retry_strategy"}
        return {key: value for key, value in found.items() if key in queue}

    assert (
        tags(page)
        == tags(ours)
        == {
            SCOPE_TAG: eu,
            TENANT_TAG: "contoso",
            "dagster/max_retries": "2",
            "dagster/retry_strategy": "FROM_ASSET_FAILURE",
        }
    )
    assert tags(logs) == tags(job) == {LOGS_TAG: eu, TENANT_TAG: "contoso", "dagster/max_retries": "2"}
    assert tags(both) == {TENANT_TAG: "contoso", "dagster/max_retries": "2"}
    assert tags(reports) == {}


def test_without_the_coordinator_pools_let_one_backup_of_a_scope_run_at_a_time(
    workspace: WorkspaceProcessContext,
) -> None:
    eu = SCOPES[0]

    def page(minutes: int) -> str:
        run = launch(workspace, "__ASSET_JOB", point(workspace, eu, minutes), whole(eu))
        # As from a webserver that has another coordinator.
        tags = {SCOPE_TAG: f"none-{minutes}", TENANT_TAG: f"none-{minutes}"}
        workspace.instance.run_storage.add_run_tags(run, tags)
        return run

    first = page(0)
    # Dagster makes a pool of its default limit when it first sees it in the queue, and heeds it from the next pass on.
    assert dequeue(workspace) == {first}
    second = page(1)
    assert dequeue(workspace) == {first}
    workspace.instance.report_run_canceled(workspace.instance.get_run_by_id(first))
    assert dequeue(workspace) == {first, second}


def test_a_passing_failure_of_a_run_from_an_asset_page_is_tried_again(workspace: WorkspaceProcessContext) -> None:
    eu = SCOPES[0]
    run = launch(workspace, "__ASSET_JOB", point(workspace, eu, 0), whole(eu))
    instance = workspace.instance
    instance.report_run_failed(instance.get_run_by_id(run))
    assert instance.get_run_by_id(run).tags["dagster/will_retry"] == "true"  # type: ignore[union-attr]


def test_a_backup_is_given_time_by_what_the_last_of_its_scope_held(workspace: WorkspaceProcessContext) -> None:
    eu, us, _ = SCOPES
    instance = workspace.instance
    first = launch(workspace, "backup_contoso_eu", point(workspace, eu, 0))
    instance.add_run_tags(first, {ROWS_TAG: "3000000"})
    instance.report_dagster_event(
        dg.DagsterEvent(event_type_value=dg.DagsterEventType.RUN_SUCCESS.value, job_name="backup_contoso_eu"), first
    )

    def most(run: str) -> str | None:
        found = instance.get_run_by_id(run)
        return found.tags.get(MAX_RUNTIME_TAG) if found else None

    assert most(first) is None
    assert most(launch(workspace, "backup_contoso_eu", point(workspace, eu, 1))) == str(5 * 3600)
    assert most(launch(workspace, "backup_contoso_us", point(workspace, us, 1))) is None
    # Another job of the scope, such as a restore, may take longer.
    assert most(launch(workspace, "backup_now_contoso_eu", "")) is None


def test_containers_are_given_memory_as_well() -> None:
    small, large = size_tags(run_size(5_000), "K8sRunLauncher"), size_tags(run_size(50_000_000), "EcsRunLauncher")
    resources = get_user_defined_k8s_config(small).container_config["resources"]
    assert resources == {"requests": {"memory": "512Mi"}, "limits": {"memory": "1024Mi"}}
    assert large[ECS_MEMORY_TAG] == "4096"
    assert size_tags(run_size(5_000), "EcsRunLauncher")[ECS_MEMORY_TAG] == "2048"
    assert size_tags(run_size(5_000), "DefaultRunLauncher").keys() == {MAX_RUNTIME_TAG}


def test_what_is_launched_for_a_partition_of_the_fleet_is_of_its_scope(project: Project, tmp_path: Path) -> None:
    project.file.write_text(project.file.read_text() + '\n[dagster]\nlayout = "fleet"\n')
    scope, partitions = "contoso-eu", fleet_partitions(load_project(project.file)).name
    with opened(project, tmp_path) as workspace:
        [location] = workspace.create_request_context().code_location_names
        repository = {"repositoryLocationName": location, "repositoryName": "__repository__"}
        # As the console does before it launches a backup; a second time changes nothing.
        for _ in range(2):
            answer = asyncio.run(
                create_schema().execute_async(
                    client._ADD_PARTITION,
                    variables={"repository": repository, "name": partitions, "key": scope},
                    context=workspace.create_request_context(),
                )
            )
            assert answer.data is not None, answer.errors
            assert "message" not in answer.data["addDynamicPartition"]
        page = launch(workspace, "__ASSET_JOB", scope, [("fleet", "recovery_points")])
        job = launch(workspace, FLEET_JOB, scope)
        for run_id in (page, job):
            run = workspace.instance.get_run_by_id(run_id)
            assert run is not None
            assert (run.tags[SCOPE_TAG], run.tags[FLEET_TAG], run.tags["dagster/max_retries"]) == (scope, "fleet", "2")
        assert dequeue(workspace) == {page}
