"""Retention in Dagster: the job, the schedule, and partitions that go with their points."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from entra_pipeline.definitions import build_definitions
from entra_pipeline.orchestration.jobs.retention import OP
from entra_pipeline.orchestration.keys import partitions_name
from entra_pipeline.orchestration.sync import sync_scope
from entra_pipeline.project import Project, load_project
from entra_pipeline.project.stores import open_store
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.retention.prune import prune
from tests.support.aging import Life, lived

SCOPE = "contoso-eu"
PARTITIONS = partitions_name(SCOPE)


def _aged(project: Project) -> tuple[Project, ScopeStore]:
    """The project with a week's retention, and points of three weeks."""
    text = project.file.read_text()
    project.file.write_text(text.replace('timezone = "', 'retention = "1 weeks"\ntimezone = "'))
    begins = datetime.now(UTC).replace(microsecond=0) - timedelta(days=20)
    lived(Life(project.file.parent, name=SCOPE, begins=begins, place="backup", max_incrementals=1), days=15)
    project = load_project(project.file)
    return project, open_store(project, SCOPE)


def _run(project: Project, instance: dg.DagsterInstance, **config: object) -> dg.ExecuteInProcessResult:
    job = build_definitions(project).resolve_job_def("prune")
    return job.execute_in_process(
        instance=instance, run_config={"ops": {OP: {"config": {"scope": SCOPE, **config}}}}, raise_on_error=False
    )


def test_partitions_leave_with_their_points(project: Project, instance: dg.DagsterInstance) -> None:
    project, store = _aged(project)
    points = store.points()
    sync_scope(store, instance)
    under_way = "2099-01-01T00-00-00Z"
    instance.add_dynamic_partitions(PARTITIONS, [under_way])
    assert _run(project, instance, dry_run=True).success
    assert (store.points(), store.jobs.all()) == (points, [])
    assert _run(project, instance).success
    assert store.points() == points[14:]
    assert instance.get_dynamic_partitions(PARTITIONS) == [*points[14:], under_way]
    [job] = store.jobs.all()
    assert (job.type, job.status, job.trigger) == ("prune", "finished", "dagster: prune")


def test_partitions_of_points_that_the_command_pruned_leave_too(project: Project, instance: dg.DagsterInstance) -> None:
    project, store = _aged(project)
    sync_scope(store, instance)
    prune(store, project.scope(SCOPE).retention, by="test")
    result = _run(project, instance)
    assert instance.get_dynamic_partitions(PARTITIONS) == store.points()
    [output] = [e.step_output_data for e in result.all_events if e.event_type_value == "STEP_OUTPUT"]
    assert output.metadata["partitions_removed"].value == 14


def test_a_busy_scope_fails_the_run_with_a_remedy(project: Project, instance: dg.DagsterInstance) -> None:
    project, store = _aged(project)
    with store.lock():
        result = _run(project, instance)
    assert not result.success
    assert "is held by process" in str(result.all_events)
    assert [(job.status, job.type) for job in store.jobs.all()] == [("failed", "prune")]


def test_one_run_prunes_all_scopes_and_a_bad_one_does_not_stop_the_others(
    project: Project, instance: dg.DagsterInstance
) -> None:
    project, store = _aged(project)
    points = store.points()
    text = project.file.read_text()
    scope = '[scopes.{}]\ntenant = "contoso"\nstorage = "{}"\n'
    (project.file.parent / "blocked").write_text("no folder")
    project.file.write_text(
        scope.format("bad", "blocked")
        + scope.format("new", "disk")
        + scope.format("by-hand", "disk")
        + "prune = false\n"
        + text
        + '[storage.blocked]\nkind = "local"\npath = "blocked"\n'
    )
    project = load_project(project.file)
    sync_scope(store, instance)
    result = _run(project, instance, scope="")
    assert not result.success
    assert "1 scope could not be pruned; the others are: bad: " in str(result.all_events)
    assert store.points() == points[14:]
    assert instance.get_dynamic_partitions(PARTITIONS) == points[14:]
    for name in (SCOPE, "new"):
        [job] = open_store(project, name).jobs.all()
        assert (job.type, job.status, job.run_id) == ("prune", "finished", result.run_id)
    assert open_store(project, "by-hand").jobs.all() == []


def test_a_scope_that_is_busy_is_pruned_when_it_is_free(
    project: Project, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, store = _aged(project)
    points = store.points()
    lock = store.lock()
    lock.__enter__()
    monkeypatch.setattr("time.sleep", lambda _: lock.__exit__(None, None, None))
    assert _run(project, instance, scope="").success
    assert store.points() == points[14:]
    assert [job.status for job in store.jobs.all()] == ["finished"]


def test_the_schedule_prunes_every_scope_that_wants_it(project: Project) -> None:
    text = project.file.read_text()
    start = text.index("[scopes.contoso-eu]")
    other = text[start:].replace("contoso-eu", "by-hand") + "prune = false\n"
    project.file.write_text(text + other)
    repository = build_definitions(load_project(project.file)).get_repository_def()
    schedule = repository.get_schedule_def("schedule_prune")
    with dg.build_schedule_context(scheduled_execution_time=datetime(2026, 11, 24, 3, 20, tzinfo=UTC)) as context:
        [request] = schedule.evaluate_tick(context).run_requests
    assert request.run_key == "2026-11-24"
    assert not request.run_config["ops"][OP]["config"].get("scope")
    project.file.write_text(text + "prune = false\n")
    assert not build_definitions(load_project(project.file)).get_repository_def().has_schedule_def("schedule_prune")
