"""The checks of recovery points: which are evaluated by which run, and what is known of them afterwards."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from entra_pipeline.definitions import build_definitions
from entra_pipeline.orchestration.checks.recovery_points import UNUSUAL
from entra_pipeline.orchestration.history import last_evaluations
from entra_pipeline.orchestration.jobs.backup import backup_asset_job
from entra_pipeline.orchestration.keys import RECOVERY_POINT, asset_key, freshness_key, object_types, partitions_name
from entra_pipeline.orchestration.sensors.unusual_change import unusual_change_sensor
from entra_pipeline.project import Project
from entra_pipeline.project.stores import open_store
from entra_pipeline.store.points.keys import key_of

EU, US = "contoso-eu", "contoso-us"
POINT = asset_key(EU, RECOVERY_POINT)


def materialize(
    project: Project, instance: dg.DagsterInstance, scope: str, point: str, *, only: list[str] | None = None
) -> dg.ExecuteInProcessResult:
    """What the page of `recovery_point`, or an asset backfill, launches: its assets with all of their checks."""
    keys = {asset_key(scope, name) for name in only or [*object_types(project.scope(scope)), RECOVERY_POINT]}
    instance.add_dynamic_partitions(partitions_name(scope), [point])
    job = build_definitions(project).resolve_implicit_global_asset_job_def().get_subset(asset_selection=keys)
    return job.execute_in_process(instance=instance, partition_key=point, raise_on_error=False)


def now() -> str:
    return key_of(datetime.now(UTC))


def evaluated(result: dg.ExecuteInProcessResult) -> set[tuple[str, str]]:
    """The scopes and names of the checks that a run has evaluated."""
    return {
        (one.asset_key.path[0], one.check_name)
        for one in (event.event_specific_data for event in result.all_events)
        if isinstance(one, dg.AssetCheckEvaluation)
    }


def test_of_two_scheduled_scopes_one_is_materialized_from_its_page(
    two_scopes: Project, instance: dg.DagsterInstance
) -> None:
    result = materialize(two_scopes, instance, EU, point := now())
    assert result.success
    assert open_store(two_scopes, EU).points() == [point]
    assert evaluated(result) == {(EU, name) for name in ("complete", "chained", UNUSUAL, "fresh")}


@pytest.mark.parametrize("way", ["page", "now", "page, twice"])
def test_after_a_backup_each_check_is_evaluated_for_its_point(
    two_scopes: Project, instance: dg.DagsterInstance, way: str
) -> None:
    definitions = build_definitions(two_scopes)
    if way == "now":
        assert definitions.resolve_job_def("backup_now_contoso_eu").execute_in_process(instance=instance).success
    else:
        materialize(two_scopes, instance, EU, point := now())
    if way == "page, twice":
        assert materialize(two_scopes, instance, EU, point).success
    [point] = open_store(two_scopes, EU).points()
    latest = instance.get_latest_materialization_event(POINT)
    keys = {name: dg.AssetCheckKey(POINT, name) for name in ("complete", "chained", UNUSUAL, "fresh")}
    found = {key.name: evaluation for key, (evaluation, _) in last_evaluations(instance, list(keys.values())).items()}
    assert {name: one.partition for name, one in found.items()} == {
        "complete": point,
        "chained": point,
        UNUSUAL: point,
        "fresh": None,
    }
    for one in found.values():
        assert one.target_materialization_data is not None
        assert one.target_materialization_data.timestamp == latest.timestamp  # type: ignore[union-attr]


def test_a_scheduled_backup_checks_the_freshness_of_its_scope_alone(
    two_scopes: Project, instance: dg.DagsterInstance
) -> None:
    instance.add_dynamic_partitions(partitions_name(EU), [point := now()])
    job = build_definitions(two_scopes).resolve_job_def("backup_contoso_eu")
    result = job.execute_in_process(instance=instance, partition_key=point)
    assert evaluated(result) == {(EU, name) for name in ("complete", "chained", UNUSUAL, "fresh")}


def test_an_old_point_that_is_materialized_again_asks_for_no_further_point(
    two_scopes: Project, instance: dg.DagsterInstance
) -> None:
    def asked() -> list[dg.RunRequest]:
        sensor = unusual_change_sensor(two_scopes, [backup_asset_job(scope) for scope in scopes])
        with dg.build_sensor_context(instance=instance) as context:
            return list(sensor(context))  # type: ignore[call-overload, no-any-return]

    scopes = list(two_scopes.scopes.values())
    old, new = (key_of(datetime.now(UTC) - timedelta(hours=hours)) for hours in (2, 1))
    for point in (new, old):
        instance.report_runless_asset_event(dg.AssetMaterialization(POINT, partition=point))
        strange = dg.AssetCheckEvaluation(asset_key=POINT, check_name=UNUSUAL, passed=False, partition=point)
        instance.report_runless_asset_event(strange)
        assert len(asked()) == (point == new)


def test_the_freshness_of_one_scope_is_checked_alone(two_scopes: Project, instance: dg.DagsterInstance) -> None:
    job = build_definitions(two_scopes).resolve_job_def("check_freshness_of_scopes")
    both = job.execute_in_process(instance=instance)
    assert evaluated(both) == {(EU, "fresh"), (US, "fresh")}
    one = job.get_subset(asset_check_selection={freshness_key(US)}).execute_in_process(instance=instance)
    assert evaluated(one) == {(US, "fresh")}


@pytest.mark.parametrize("ends", ["not yet", "failed", "canceled"])
def test_a_check_that_is_planned_and_not_evaluated_is_nothing_unusual(
    two_scopes: Project, instance: dg.DagsterInstance, ends: str
) -> None:
    scopes = list(two_scopes.scopes.values())
    job = build_definitions(two_scopes).resolve_job_def("backup_contoso_eu")
    instance.add_dynamic_partitions(partitions_name(EU), [point := now()])
    run = instance.create_run_for_job(job, tags={"dagster/partition": point})
    [event] = instance.get_records_for_run(
        run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED, limit=1
    ).records
    assert event.event_log_entry.dagster_event is not None
    if ends == "failed":
        instance.report_run_failed(run)
    elif ends == "canceled":
        instance.report_run_canceled(run)
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=(other := asset_key(US, RECOVERY_POINT)), check_name=UNUSUAL, passed=False, description="much"
        )
    )
    sensor = unusual_change_sensor(two_scopes, [backup_asset_job(scope) for scope in scopes])
    with dg.build_sensor_context(instance=instance) as context:
        asked = list(sensor(context))  # type: ignore[call-overload]
    assert [one.job_name for one in asked] == ["backup_contoso_us"]
    keys = [dg.AssetCheckKey(key, UNUSUAL) for key in (POINT, other)]
    assert list(last_evaluations(instance, keys)) == keys[1:]
