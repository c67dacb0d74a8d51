"""Schedules that should have run, and what the sensor does about it, with real runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    ScheduleInstigatorData,
)

from entra_pipeline.definitions import build_definitions
from entra_pipeline.orchestration.jobs.backup import backup_asset_job
from entra_pipeline.orchestration.keys import partitions_name
from entra_pipeline.orchestration.schedules import backup_schedule
from entra_pipeline.orchestration.sensors.missed_ticks import GRACE, missed_ticks_sensor
from entra_pipeline.project import Project, load_project
from entra_pipeline.project.schedules import last_run
from entra_pipeline.store.points.keys import key_of
from entra_pipeline.store.recovery_points import ScopeStore
from tests.dagster.test_runs import run_backup

DUE = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
"""The last tick of the schedule: two full hours ago."""


@pytest.fixture
def project(project: Project) -> Project:
    project.file.write_text(
        project.file.read_text()
        .replace("30 2 * * *", f"0 {DUE.hour} * * *")
        .replace('timezone = "Europe/Stockholm"', 'timezone = "UTC"')
    )
    return load_project(project.file)


class Watch:
    """Ticks of the sensor, each with the cursor that the one before left."""

    def __init__(self, project: Project, instance: dg.DagsterInstance) -> None:
        jobs = [backup_asset_job(scope) for scope in project.scopes.values()]
        self.sensor = missed_ticks_sensor(project, jobs, lambda: self.now)
        self.instance = instance
        self.cursor: str | None = None
        self.now = datetime.now(UTC)

    def look(self, now: datetime | None = None) -> list[dg.RunRequest]:
        """The runs that a tick at a moment asks for."""
        self.now = now or datetime.now(UTC)
        with dg.build_sensor_context(instance=self.instance, cursor=self.cursor) as context:
            result = self.sensor(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        return list(result.run_requests or ())

    def __call__(self) -> list[dg.RunRequest]:
        """The runs that are asked for when the sensor has watched for long enough."""
        now = datetime.now(UTC)
        self.look(now)
        return self.look(now + GRACE)


@pytest.fixture
def tick(project: Project, instance: dg.DagsterInstance) -> Watch:
    return Watch(project, instance)


def declare(
    instance: dg.DagsterInstance, since: datetime, status: InstigatorStatus = InstigatorStatus.DECLARED_IN_CODE
) -> None:
    """What the daemon keeps of a schedule that runs since a moment, and the UI of one that somebody stops."""
    origin = RemoteInstigatorOrigin(
        RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("entra-pipeline"), "__repository__"), "schedule_contoso_eu"
    )
    data = ScheduleInstigatorData(f"0 {DUE.hour} * * *", since.timestamp())
    instance.add_instigator_state(InstigatorState(origin, InstigatorType.SCHEDULE, status, data))


def test_a_missed_tick_is_made_up_for_once(
    tick: Watch, project: Project, instance: dg.DagsterInstance, store: ScopeStore
) -> None:
    declare(instance, DUE - timedelta(days=3))
    [asked], [again] = tick(), tick()
    assert asked.run_key == again.run_key == f"contoso-eu {DUE:%Y-%m-%dT%H:%M}"
    assert asked.job_name == "backup_contoso_eu"
    # The test's time is ahead of the run's.
    assert again.partition_key == key_of(tick.now)
    point = key_of(datetime.now(UTC))
    assert run_backup(build_definitions(project), instance, point).success
    assert store.points() == [point]
    assert tick() == []


def test_a_tick_is_given_time_from_when_the_sensor_sees_that_its_run_is_missing(
    tick: Watch, instance: dg.DagsterInstance
) -> None:
    declare(instance, DUE - timedelta(hours=1))
    # As after a pause of the daemon: the scheduler makes up for the tick at this moment.
    back = DUE + timedelta(hours=1)
    assert tick.look(back) == []
    assert tick.look(back + GRACE - timedelta(minutes=1)) == []
    assert len(tick.look(back + GRACE)) == 1


@pytest.mark.parametrize("why", ["nobody has started it", "it is new", "somebody has stopped it"])
def test_no_tick_is_missed_while(tick: Watch, instance: dg.DagsterInstance, why: str) -> None:
    if why == "it is new":
        declare(instance, DUE + timedelta(hours=1))
    if why == "somebody has stopped it":
        declare(instance, DUE - timedelta(days=3), InstigatorStatus.STOPPED)
    assert tick() == []


def test_a_run_that_is_under_way_or_failed_is_no_missed_tick(
    tick: Watch, project: Project, instance: dg.DagsterInstance
) -> None:
    declare(instance, DUE - timedelta(days=3))
    run = instance.create_run_for_job(build_definitions(project).resolve_job_def("backup_now_contoso_eu"))
    assert tick() == []
    instance.report_run_failed(run, "Something went wrong.")
    assert tick() == []


def test_a_run_that_has_waited_until_its_moment_was_past_is_made_up_for(
    tick: Watch, project: Project, instance: dg.DagsterInstance, store: ScopeStore
) -> None:
    declare(instance, DUE - timedelta(days=3))
    late = key_of(DUE - timedelta(days=1))
    assert not run_backup(build_definitions(project), instance, late).success
    [asked] = tick()
    assert asked.run_key == f"contoso-eu {DUE:%Y-%m-%dT%H:%M}"
    assert run_backup(build_definitions(project), instance, key_of(datetime.now(UTC))).success
    assert tick() == []


def test_a_tick_that_is_made_up_for_after_days_takes_the_present(
    project: Project, instance: dg.DagsterInstance
) -> None:
    def point(now: datetime) -> str | None:
        schedule = backup_schedule(project.scopes["contoso-eu"], lambda: now)
        assert schedule is not None
        with dg.build_schedule_context(instance=instance, scheduled_execution_time=DUE) as context:
            asked = schedule(context)
        assert isinstance(asked, dg.RunRequest)
        assert asked.run_key == key_of(DUE)
        return asked.partition_key

    assert point(DUE + timedelta(hours=24)) == key_of(DUE)
    assert point(DUE + timedelta(hours=30)) == key_of(DUE + timedelta(hours=30))
    assert set(instance.get_dynamic_partitions(partitions_name("contoso-eu"))) == {
        key_of(DUE),
        key_of(DUE + timedelta(hours=30)),
    }


def test_a_point_that_only_the_store_knows_counts(tick: Watch, project: Project, instance: dg.DagsterInstance) -> None:
    declare(instance, DUE - timedelta(days=3))
    with dg.DagsterInstance.ephemeral() as elsewhere:
        assert run_backup(build_definitions(project), elsewhere, key_of(datetime.now(UTC))).success
    assert tick() == []


def test_the_last_tick_is_told_in_utc(project: Project) -> None:
    scope = project.scopes["contoso-eu"].model_copy(update={"schedule": "30 2 * * *", "timezone": "Europe/Stockholm"})
    assert last_run(scope, datetime(2026, 11, 24, 12, tzinfo=UTC)) == datetime(2026, 11, 24, 1, 30, tzinfo=UTC)
    assert last_run(scope, datetime(2026, 11, 24, 1, tzinfo=UTC)) == datetime(2026, 11, 23, 1, 30, tzinfo=UTC)
    assert last_run(scope.model_copy(update={"schedule": None}), datetime.now(UTC)) is None
