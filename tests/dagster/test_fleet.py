"""The layout `fleet`: all scopes share their assets, and one sensor looks which are due, with real runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import msgspec
import pytest

from entra_pipeline.catalogue.logs import LOGS
from entra_pipeline.definitions import ProjectRepository, build_definitions
from entra_pipeline.operations.due_list import PAUSES, DueState
from entra_pipeline.orchestration.jobs.fleet import FLEET_DRILL_OP
from entra_pipeline.orchestration.jobs.overview import FRESHNESS_JOB
from entra_pipeline.orchestration.keys import (
    FLEET_DRILL_JOB,
    FLEET_JOB,
    FLEET_LOGS,
    FLEET_POINTS,
    FLEET_STANDING,
    POINT_TAG,
    asset_key,
    fleet_key,
    fleet_op,
    fleet_partitions,
    fleet_tags,
)
from entra_pipeline.orchestration.sensors.due import due_drills_sensor, due_sensor
from entra_pipeline.orchestration.sensors.notifications import jobs_of
from entra_pipeline.orchestration.sync import sync_fleet_scope
from entra_pipeline.project import Project, load_project
from entra_pipeline.project.stores import open_store
from entra_pipeline.run_queue import SCOPE_TAG, SLOW_TAG, TENANT_TAG
from entra_pipeline.simulator import Simulator
from entra_pipeline.store.manifest import TakenFor

EU, US = "contoso-eu", "contoso-us"


@pytest.fixture
def project(two_scopes: Project) -> Project:
    """Two scopes of a tenant; one protects logs, too."""
    text = two_scopes.file.read_text().replace(f"[scopes.{US}]", f"[scopes.{US}]\nlogs = true")
    # No tick comes while a test goes on.
    text = text.replace('schedule = "30 2 * * *"', f'schedule = "0 {(datetime.now(UTC).hour + 12) % 24} * * *"')
    text = text.replace('timezone = "Europe/Stockholm"', 'timezone = "UTC"')
    two_scopes.file.write_text(text + '\n[dagster]\nlayout = "fleet"\nspread_minutes = 0\n')
    return load_project(two_scopes.file)


class Fleet:
    """The sensor's ticks, and the runs that they ask for, in this process."""

    def __init__(self, project: Project, instance: dg.DagsterInstance) -> None:
        self.project, self.instance = project, instance
        self.definitions = build_definitions(project)
        self.now = datetime.now(UTC)
        self.sensor = due_sensor(project, lambda: self.now)
        self.cursor: str | None = None

    def tick(self, **later: float) -> list[dg.RunRequest]:
        self.now += timedelta(**later)
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, definitions=self.definitions
        ) as context:
            result = self.sensor(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        return list(result.run_requests or ())

    def run(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        self.clock_back()
        job = self.definitions.resolve_job_def(FLEET_JOB)
        return job.execute_in_process(
            instance=self.instance,
            partition_key=request.partition_key,
            run_config=request.run_config,
            tags=request.tags,
            asset_selection=request.asset_selection,
            raise_on_error=False,
        )

    def clock_back(self) -> None:
        """Has the next tick look at what Dagster dates with the time of this machine."""
        state = msgspec.json.decode(self.cursor or "", type=DueState)
        self.cursor = msgspec.json.encode(msgspec.structs.replace(state, until=datetime.now(UTC))).decode()

    def shown(self, name: str, scope: str) -> dict[str, object]:
        only = dg.AssetRecordsFilter(asset_key=fleet_key(self.project, name), asset_partitions=[scope])
        [record] = self.instance.fetch_materializations(only, limit=1).records
        assert record.asset_materialization is not None
        return {key: value.value for key, value in record.asset_materialization.metadata.items()}


@pytest.fixture
def fleet(project: Project, instance: dg.DagsterInstance) -> Fleet:
    return Fleet(project, instance)


def test_what_dagster_loads_does_not_grow_with_the_scopes(project: Project) -> None:
    def names() -> list[list[str]]:
        whole = build_definitions(load_project(project.file)).get_repository_def()
        assets = sorted(map(str, whole.assets_defs_by_key))
        return [
            assets,
            *(sorted(one.name for one in some) for some in (whole.schedule_defs, whole.sensor_defs)),
            [*sorted(whole.job_names)],
        ]

    before = names()
    more = "".join(
        f'[scopes.more-{n}]\ntenant = "contoso"\nstorage = "disk"\nschedule = "0 {n} * * *"\n' for n in range(20)
    )
    project.file.write_text(project.file.read_text() + more)
    assert names() == before
    assert before[2] == ["audit_log", "due_drills", "due_scopes", "notifications"]
    project.file.write_text(project.file.read_text().replace('layout = "fleet"', 'layout = "scopes"'))
    assert "backup_contoso_eu" in names()[3]


def test_new_scopes_are_backed_up_by_partitions_of_their_names(
    fleet: Fleet, project: Project, instance: dg.DagsterInstance
) -> None:
    asked = fleet.tick()
    assert {one.partition_key for one in asked} == {EU, US}
    assert asked[0].tags | {SCOPE_TAG: EU} == {SCOPE_TAG: EU, TENANT_TAG: "contoso"}
    assert set(instance.get_dynamic_partitions(str(fleet_partitions(project).name))) == {EU, US}
    results = {one.partition_key: fleet.run(one) for one in asked}
    assert all(one.success for one in results.values())
    for scope in (EU, US):
        [point] = open_store(project, scope).points()
        shown = fleet.shown(FLEET_POINTS, scope)
        assert (shown["recovery_point"], shown["status"]) == (point, "finished")
        run = instance.get_run_by_id(results[scope].run_id)
        assert run is not None
        assert run.tags[POINT_TAG] == point
        manifest = open_store(project, scope).manifest(point)
        assert manifest.taken_for == TakenFor.BY_HAND
        checks = {one.check_name: one.passed for one in results[scope].get_asset_check_evaluations()}
        assert checks == {"complete": True, "chained": True, "unusual": True}
    # Only one of them protects logs.
    assert fleet.shown(FLEET_LOGS, US)["days"]
    assert instance.get_materialized_partitions(fleet_key(project, FLEET_LOGS)) == {US}
    assert open_store(project, US).logs.days(next(iter(LOGS)))
    # One event for a point, whatever the number of its types.
    events = instance.all_logs(results[EU].run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    assert len(events) == 1
    assert fleet.tick(seconds=30) == []


def test_a_tick_is_one_that_dagster_takes(fleet: Fleet, instance: dg.DagsterInstance) -> None:
    """It resolves partitions and configurations before it launches anything."""
    # As its code server does: what `build_sensor_context` makes knows no partitions.
    with dg.SensorEvaluationContext(
        instance_ref=instance.get_ref(),
        last_tick_completion_time=None,
        last_run_key=None,
        cursor=None,
        repository_name=None,
        definitions=fleet.definitions,
    ) as context:
        found = fleet.sensor.evaluate_tick(context)
    assert {one.partition_key for one in found.run_requests or ()} == {EU, US}


def test_a_scope_that_somebody_makes_is_due_without_a_reload(fleet: Fleet, project: Project) -> None:
    fleet.tick()
    text = project.file.read_text()
    project.file.write_text(text + '\n[scopes.later]\ntenant = "contoso"\nstorage = "disk"\nschedule = "0 5 * * *"\n')
    assert [one.partition_key for one in fleet.tick(seconds=30)] == ["later"]
    project.file.write_text(text)
    assert fleet.tick(seconds=30) == []
    partitions = fleet.instance.get_dynamic_partitions(str(fleet_partitions(project).name))
    assert set(partitions) == {EU, US}


def test_gaps_are_read_again_and_what_fails_again_is_slow(fleet: Fleet, project: Project, simulator: Simulator) -> None:
    [request] = [one for one in fleet.tick() if one.partition_key == EU]
    simulator.control.deny("domains", 500)
    assert fleet.run(request).success
    assert fleet.shown(FLEET_POINTS, EU)["status"] == "finished with exception"
    assert fleet.tick(seconds=30) == []
    [again] = fleet.tick(seconds=PAUSES[0].total_seconds())
    assert again.run_config["ops"][fleet_op(project)]["config"]["types"] == ["domains"]
    assert again.tags[SLOW_TAG] == "true"
    simulator.control.deny("domains", 0)
    assert fleet.run(again).success
    assert fleet.shown(FLEET_POINTS, EU)["status"] == "finished"
    fleet.tick(seconds=30)
    assert msgspec.json.decode(fleet.cursor or "", type=DueState).failing == {}


def test_a_backup_that_is_killed_is_repaired_and_told_as_one(fleet: Fleet, project: Project) -> None:
    [request] = [one for one in fleet.tick() if one.partition_key == EU]
    job = fleet.definitions.resolve_job_def(FLEET_JOB)
    run = fleet.instance.create_run_for_job(job, tags={**job.tags, **request.tags})
    fleet.instance.report_run_failed(run, "The process of the run has ended unexpectedly.")
    fleet.clock_back()
    assert jobs_of(project, run) == [("backup", EU)]
    assert fleet.tick(seconds=1) == []
    [again] = fleet.tick(seconds=PAUSES[0].total_seconds() + 60)
    assert again.partition_key == EU
    assert fleet.run(again).success


def test_what_trying_again_cannot_help_waits_for_the_schedule(fleet: Fleet, project: Project) -> None:
    [request] = [one for one in fleet.tick() if one.partition_key == EU]
    (project.file.parent / "secret").write_text("of yesterday")
    assert not fleet.run(request).success
    fleet.tick(seconds=1)
    assert fleet.tick(hours=1) == []


def test_logs_that_fail_are_read_alone(fleet: Fleet, project: Project, simulator: Simulator) -> None:
    [request] = [one for one in fleet.tick() if one.partition_key == US]
    simulator.control.deny("auditLogs/provisioning", 500)
    try:
        assert not fleet.run(request).success
    finally:
        simulator.control.deny("auditLogs/provisioning", 0)
    assert len(open_store(project, US).points()) == 1
    fleet.tick(seconds=1)
    [again] = fleet.tick(seconds=PAUSES[0].total_seconds() + 60)
    assert again.asset_selection == [fleet_key(project, FLEET_LOGS)]
    assert fleet.run(again).success
    assert len(open_store(project, US).points()) == 1


def test_how_all_scopes_stand_is_an_asset_with_a_check(fleet: Fleet, project: Project) -> None:
    [request] = [one for one in fleet.tick() if one.partition_key == EU]
    fleet.run(request)
    result = fleet.definitions.resolve_job_def(FRESHNESS_JOB).execute_in_process(instance=fleet.instance)
    [check] = result.get_asset_check_evaluations()
    assert (check.passed, check.description) == (False, "1 of 2 scopes needs attention")
    event = fleet.instance.get_latest_materialization_event(fleet_key(project, FLEET_STANDING))
    assert event is not None
    assert event.asset_materialization is not None
    shown = event.asset_materialization.metadata
    assert (shown["fresh"].value, shown["never_backed_up"].value) == (1, 1)
    attention = shown["attention"]
    assert isinstance(attention, dg.TableMetadataValue)
    assert [row.data["scope"] for row in attention.records] == [US]


def test_a_drill_is_due_by_its_schedule(fleet: Fleet, project: Project) -> None:
    [request] = [one for one in fleet.tick() if one.partition_key == EU]
    fleet.run(request)
    project.file.write_text(project.file.read_text().replace(f"[scopes.{EU}]", f'[scopes.{EU}]\ndrill = "0 * * * *"'))
    now = datetime(2026, 11, 23, 11, 59, tzinfo=UTC)
    sensor = due_drills_sensor(project, lambda: now)
    with dg.build_sensor_context(instance=fleet.instance) as context:
        first = sensor(context)
    now += timedelta(minutes=2)
    with dg.build_sensor_context(instance=fleet.instance, cursor=first.cursor) as context:  # type: ignore[union-attr]
        result = sensor(context)
    [asked] = result.run_requests  # type: ignore[union-attr]
    assert asked.run_config["ops"][FLEET_DRILL_OP]["config"] == {"scope": EU}
    job = fleet.definitions.resolve_job_def(FLEET_DRILL_JOB)
    job.execute_in_process(instance=fleet.instance, run_config=asked.run_config, raise_on_error=False)
    assert [one.type for one in open_store(project, EU).jobs.all()] == ["backup", "drill"]


def test_dagster_is_told_of_points_that_the_command_has_taken(fleet: Fleet, project: Project) -> None:
    [request] = [one for one in fleet.tick() if one.partition_key == EU]
    fleet.run(request)
    other = dg.DagsterInstance.ephemeral()
    store = open_store(project, EU)
    assert sync_fleet_scope(project, store, other).reported == 1
    assert sync_fleet_scope(project, store, other).reported == 0
    assert other.get_materialized_partitions(fleet_key(project, FLEET_POINTS)) == {EU}
    assert not other.get_asset_keys([asset_key(EU, "users").path[0]])


def test_the_process_of_a_run_and_the_servers_have_the_same(project: Project) -> None:
    whole = build_definitions(project).get_repository_def()
    for name in whole.job_names:
        alone = ProjectRepository(lambda: project).get_job(name)
        assert alone.get_job_snapshot_id() == whole.get_job(name).get_job_snapshot_id(), name


def test_two_code_locations_share_nothing(project: Project, tmp_path: Path) -> None:
    file = tmp_path / "other" / "dagster_project.toml"
    file.parent.mkdir()
    file.write_text('name = "emea"\n' + project.file.read_text())
    other = load_project(file)
    assert fleet_key(other, FLEET_POINTS).path == ["emea", "fleet", "recovery_points"]
    assert fleet_partitions(other).name != fleet_partitions(project).name
    assert fleet_tags(other) != fleet_tags(project)
    keys = build_definitions(other).get_repository_def().assets_defs_by_key.keys()
    assert keys.isdisjoint(build_definitions(project).get_repository_def().assets_defs_by_key)
