"""Deleting old runs: what they show of recovery points, logs and reports stays, and so does what is not ours."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from entra_pipeline.catalogue.logs import LOGS
from entra_pipeline.definitions import build_definitions
from entra_pipeline.orchestration.dagster_internals import AssetPartitionStatus
from entra_pipeline.orchestration.history import newest_points, newest_runs
from entra_pipeline.orchestration.jobs.old_runs import delete_old_runs_of
from entra_pipeline.orchestration.keys import RECOVERY_POINT, asset_key, partitions_name
from entra_pipeline.orchestration.sensors.missed_ticks import missed
from entra_pipeline.orchestration.sensors.repair import troubles
from entra_pipeline.project import Project, load_project
from entra_pipeline.settings.periods import Period
from entra_pipeline.simulator import Simulator
from entra_pipeline.store.recovery_points import ScopeStore
from tests.dagster.test_runs import now, run_backup

SCOPE = "contoso-eu"
MONTH = Period.parse("30 days")
POINT = asset_key(SCOPE, RECOVERY_POINT)
USERS = asset_key(SCOPE, "users")
ELSEWHERE = RemoteJobOrigin(
    RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("elsewhere"), "__repository__"), job_name="prune"
)


def ended(instance: dg.DagsterInstance) -> set[str]:
    """The ids of all runs."""
    return {record.dagster_run.run_id for record in instance.get_run_records()}


@pytest.fixture
def later(definitions: dg.Definitions, instance: dg.DagsterInstance) -> Callable[[int], tuple[int, int]]:
    """Deletes old runs as if days had gone by; what was deleted, and what stays."""

    def delete(days: int) -> tuple[int, int]:
        asking = instance.create_run_for_job(definitions.resolve_job_def("delete_old_runs"))
        return delete_old_runs_of(instance, asking, MONTH, lambda: datetime.now(UTC) + timedelta(days=days))

    return delete


def failed(
    instance: dg.DagsterInstance, job: dg.JobDefinition, tags: Mapping[str, str] | None = None, **more: Any
) -> str:
    """A run of a job, with the job's tags, that has failed."""
    run = instance.create_run_for_job(job, tags={**job.tags, **(tags or {})}, **more)
    instance.report_run_failed(run)
    return run.run_id


def status(instance: dg.DagsterInstance, definitions: dg.Definitions, key: dg.AssetKey) -> dict[str, str]:
    """What Dagster shows of the partitions of an asset."""
    partitions = definitions.resolve_asset_graph().get(key).partitions_def
    found = instance.get_status_by_partition(key, instance.get_dynamic_partitions(partitions_name(SCOPE)), partitions)
    return {point: one.value if one else "missing" for point, one in (found or {}).items()}


def test_runs_go_when_they_are_old_and_points_that_exist_stay_materialised(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    project: Project,
    later: Callable[[int], tuple[int, int]],
) -> None:
    first = now()
    taken = [run_backup(definitions, instance, first)]
    by_hand = definitions.resolve_job_def("backup_now_contoso_eu").execute_in_process(instance=instance)
    taken.append(by_hand)
    refresh = definitions.resolve_job_def("check_freshness_of_scopes")
    checks = [refresh.execute_in_process(instance=instance).run_id for _ in range(3)]
    lost = [failed(instance, definitions.resolve_job_def("backup_contoso_eu")) for _ in range(2)]
    before = {key: status(instance, definitions, key) for key in (POINT, USERS)}
    assert set(before[POINT].values()) == {AssetPartitionStatus.MATERIALIZED.value}
    newest = newest_points(instance, [project.scope(SCOPE)])
    there = ended(instance)
    assert later(29) == (0, 0)
    assert there < ended(instance)
    # The newest run of each job stays: the last check, the last backup, which has failed.
    assert later(31)[0] == len(checks[:-1]) + len(lost[:-1])
    assert ended(instance) >= {one.run_id for one in taken} | {checks[-1], lost[-1]}
    assert ended(instance).isdisjoint({*checks[:-1], *lost[:-1]})
    assert {key: status(instance, definitions, key) for key in (POINT, USERS)} == before
    assert newest_points(instance, [project.scope(SCOPE)]) == newest
    assert len(instance.get_materialized_partitions(USERS)) == 2


def test_a_run_goes_with_its_point(
    definitions: dg.Definitions, instance: dg.DagsterInstance, later: Callable[[int], tuple[int, int]]
) -> None:
    gone = run_backup(definitions, instance, now())
    job = definitions.resolve_job_def("backup_now_contoso_eu")
    by_hand = [job.execute_in_process(instance=instance) for _ in range(2)]
    points = instance.get_dynamic_partitions(partitions_name(SCOPE))
    assert later(31)[0] == 0
    for point in points[:2]:
        instance.delete_dynamic_partition(partitions_name(SCOPE), point)
    # Of the first backup it is the newest run of its job.
    later(31)
    assert by_hand[0].run_id not in ended(instance)
    run_backup(definitions, instance, now())
    later(31)
    assert gone.run_id not in ended(instance)
    assert by_hand[1].run_id in ended(instance)


def test_types_that_a_failed_try_has_read_stay_with_the_point_that_the_next_try_made(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    simulator: Simulator,
    store: ScopeStore,
    later: Callable[[int], tuple[int, int]],
) -> None:
    point = now()
    simulator.control.deny("domains", 500)
    first = run_backup(definitions, instance, point, tags={"dagster/max_retries": "1"})
    assert not first.success
    assert instance.get_materialized_partitions(USERS) == {point}
    useless = failed(instance, definitions.resolve_job_def("backup_contoso_eu"), tags={"dagster/partition": point})
    simulator.control.deny("domains", 0)
    assert run_backup(definitions, instance, point, asset_selection=[asset_key(SCOPE, "domains"), POINT]).success
    assert store.points() == [point]
    assert later(31)[0] == 1
    assert useless not in ended(instance)
    assert first.run_id in ended(instance)
    assert instance.get_materialized_partitions(USERS) == {point}


def test_of_the_runs_that_read_a_day_of_logs_or_made_a_report_the_last_stays(
    project: Project, instance: dg.DagsterInstance, later: Callable[[int], tuple[int, int]]
) -> None:
    project.file.write_text(project.file.read_text().replace('schedule = "30', 'logs = true\nschedule = "30'))
    definitions = build_definitions(load_project(project.file))
    today, yesterday = (f"{datetime.now(UTC) - timedelta(days=days):%Y-%m-%d}" for days in (0, 1))
    job = definitions.resolve_job_def("__ASSET_JOB")
    tags = {"entra/logs": SCOPE}
    keys = [asset_key(SCOPE, log) for log in LOGS]
    runs = [
        job.execute_in_process(instance=instance, partition_key=day, asset_selection=keys, tags=tags).run_id
        for day in (yesterday, today, today, today)
    ]
    reports = [definitions.resolve_job_def("reports").execute_in_process(instance=instance).run_id for _ in range(2)]
    # Runs of other days: then it is not their being the newest that keeps them.
    failed(instance, job.get_subset(asset_selection=frozenset(keys)), tags=tags)
    later(31)
    assert ended(instance).isdisjoint({runs[1], runs[2], reports[0]})
    assert {runs[0], runs[3], reports[1]} <= ended(instance)
    assert instance.get_materialized_partitions(keys[0]) == {yesterday, today}


def test_jobs_of_others_and_of_other_code_locations_are_never_deleted(
    definitions: dg.Definitions, instance: dg.DagsterInstance, later: Callable[[int], tuple[int, int]]
) -> None:
    @dg.job
    def theirs() -> None:
        dg.op(name="nothing")(lambda: None)()

    mine = definitions.resolve_job_def("prune")
    of_others = [theirs.execute_in_process(instance=instance).run_id for _ in range(2)]
    elsewhere = [failed(instance, mine, remote_job_origin=ELSEWHERE) for _ in range(2)]
    ours = [failed(instance, mine) for _ in range(2)]
    assert later(400)[0] == 1
    assert {*of_others, *elsewhere, ours[1]} <= ended(instance)
    assert ours[0] not in ended(instance)
    # The other code location has the same job, for its own.
    asking = instance.get_run_by_id(elsewhere[1])
    assert asking is not None
    assert delete_old_runs_of(instance, asking, MONTH, lambda: datetime.now(UTC) + timedelta(days=31)) == (1, 1)
    assert elsewhere[0] not in ended(instance)
    assert ours[1] in ended(instance)


def test_many_runs_go_the_oldest_first_and_a_bounded_number_at_a_time(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    later: Callable[[int], tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("entra_pipeline.orchestration.jobs.old_runs.MOST", 7)
    monkeypatch.setattr("entra_pipeline.orchestration.jobs.old_runs._PAGE", 3)
    runs = [failed(instance, definitions.resolve_job_def("prune")) for _ in range(12)]
    assert later(31) == (7, 0)
    assert ended(instance) & set(runs) == set(runs[7:])
    assert later(31) == (4, 1)
    assert ended(instance) & set(runs) == {runs[-1]}


def test_sensors_are_not_misled(
    project: Project,
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    store: ScopeStore,
    simulator: Simulator,
    later: Callable[[int], tuple[int, int]],
) -> None:
    scopes = [project.scope(SCOPE)]
    simulator.control.deny("domains", 403)
    assert run_backup(definitions, instance, now()).success
    failed(instance, definitions.resolve_job_def("backup_contoso_eu"))
    last = failed(instance, definitions.resolve_job_def("backup_contoso_eu"))

    def seen() -> object:
        due = list(missed(instance, scopes, datetime.now(UTC)))
        runs = {name: one.dagster_run.run_id for name, one in newest_runs(instance, scopes).items()}
        return troubles(instance, scopes), due, runs, newest_points(instance, scopes)

    before = seen()
    assert last in str(before)
    assert later(31)[0] == 1
    assert seen() == before
    assert store.points()


def test_the_job_and_its_schedule_are_there_unless_runs_are_kept_forever(
    project: Project, instance: dg.DagsterInstance
) -> None:
    repository = build_definitions(project).get_repository_def()
    with dg.build_schedule_context(scheduled_execution_time=datetime(2026, 11, 24, 3, 50, tzinfo=UTC)) as context:
        [request] = repository.get_schedule_def("schedule_delete_old_runs").evaluate_tick(context).run_requests
    assert request.run_key == "2026-11-24"
    result = build_definitions(project).resolve_job_def("delete_old_runs").execute_in_process(instance=instance)
    [output] = [event.step_output_data for event in result.all_events if event.event_type_value == "STEP_OUTPUT"]
    assert {key: value.value for key, value in output.metadata.items()} == {
        "keep_runs": "30 days",
        "deleted": 0,
        "kept_for_what_they_show": 0,
    }
    project.file.write_text(project.file.read_text() + '\n[dagster]\nkeep_runs = "forever"\n')
    forever = load_project(project.file)
    assert not build_definitions(forever).get_repository_def().has_schedule_def("schedule_delete_old_runs")
    assert build_definitions(forever).resolve_job_def("delete_old_runs").execute_in_process(instance=instance).success
