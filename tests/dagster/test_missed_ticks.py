"""Schedules that should have run, and what the sensor does about it, with real runs."""

from __future__ import annotations

from collections.abc import Callable
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
from entra_pipeline.orchestration.jobs import backup_asset_job
from entra_pipeline.orchestration.missed_ticks import GRACE, missed_ticks_sensor
from entra_pipeline.project import Project, load_project
from entra_pipeline.project.schedules import last_run
from entra_pipeline.store.recovery_points import ScopeStore, key_of
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


@pytest.fixture
def tick(project: Project, instance: dg.DagsterInstance) -> Callable[..., list[dg.RunRequest]]:
    sensor = missed_ticks_sensor(
        project, [backup_asset_job(scope) for scope in project.scopes.values()], lambda: moment[0]
    )
    moment = [datetime.now(UTC)]

    def one(now: datetime | None = None) -> list[dg.RunRequest]:
        moment[0] = now or datetime.now(UTC)
        with dg.build_sensor_context(instance=instance) as context:
            return list(sensor(context))  # type: ignore[call-overload, no-any-return]

    return one


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
    tick: Callable[..., list[dg.RunRequest]], project: Project, instance: dg.DagsterInstance, store: ScopeStore
) -> None:
    declare(instance, DUE - timedelta(days=3))
    [asked], [again] = tick(), tick()
    assert asked.run_key == again.run_key == f"contoso-eu {DUE:%Y-%m-%dT%H:%M}"
    assert asked.job_name == "backup_contoso_eu"
    assert run_backup(build_definitions(project), instance, str(asked.partition_key)).success
    assert store.points() == [asked.partition_key]
    assert tick() == []


def test_a_tick_is_given_time(tick: Callable[..., list[dg.RunRequest]], instance: dg.DagsterInstance) -> None:
    declare(instance, DUE - timedelta(hours=1))
    assert tick(DUE + GRACE - timedelta(minutes=1)) == []
    assert len(tick(DUE + GRACE + timedelta(minutes=1))) == 1


@pytest.mark.parametrize("why", ["nobody has started it", "it is new", "somebody has stopped it"])
def test_no_tick_is_missed_while(
    tick: Callable[..., list[dg.RunRequest]], instance: dg.DagsterInstance, why: str
) -> None:
    if why == "it is new":
        declare(instance, DUE + timedelta(hours=1))
    if why == "somebody has stopped it":
        declare(instance, DUE - timedelta(days=3), InstigatorStatus.STOPPED)
    assert tick() == []


def test_a_run_that_is_under_way_or_failed_is_no_missed_tick(
    tick: Callable[..., list[dg.RunRequest]], project: Project, instance: dg.DagsterInstance
) -> None:
    declare(instance, DUE - timedelta(days=3))
    run = instance.create_run_for_job(build_definitions(project).resolve_job_def("backup_now_contoso_eu"))
    assert tick() == []
    instance.report_run_failed(run, "Something went wrong.")
    assert tick() == []


def test_a_point_that_only_the_store_knows_counts(
    tick: Callable[..., list[dg.RunRequest]], project: Project, instance: dg.DagsterInstance
) -> None:
    declare(instance, DUE - timedelta(days=3))
    with dg.DagsterInstance.ephemeral() as elsewhere:
        assert run_backup(build_definitions(project), elsewhere, key_of(datetime.now(UTC))).success
    assert tick() == []


def test_the_last_tick_is_told_in_utc(project: Project) -> None:
    scope = project.scopes["contoso-eu"].model_copy(update={"schedule": "30 2 * * *", "timezone": "Europe/Stockholm"})
    assert last_run(scope, datetime(2026, 11, 24, 12, tzinfo=UTC)) == datetime(2026, 11, 24, 1, 30, tzinfo=UTC)
    assert last_run(scope, datetime(2026, 11, 24, 1, tzinfo=UTC)) == datetime(2026, 11, 23, 1, 30, tzinfo=UTC)
    assert last_run(scope.model_copy(update={"schedule": None}), datetime.now(UTC)) is None
