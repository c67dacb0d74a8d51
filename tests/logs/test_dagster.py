"""Logs in Dagster: a partition per day, one run for many of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from entra_pipeline.catalogue.logs import LOGS
from entra_pipeline.definitions import build_definitions
from entra_pipeline.orchestration.jobs.logs import RANGE_END, RANGE_START, log_request
from entra_pipeline.orchestration.keys import FIRST_DAY, SCHEDULED_TAG, asset_key
from entra_pipeline.orchestration.sync import sync_scope
from entra_pipeline.project import Project, load_project
from entra_pipeline.project.stores import open_store
from entra_pipeline.simulator import Simulator
from entra_pipeline.store.logs import LogStore
from tests.support.dagster_instance import instance

__all__ = ["instance"]

PROJECT = """\
[storage.disk]
kind = "local"
path = "backup"
{tenant}
[scopes.contoso-eu]
tenant = "contoso"
storage = "disk"
protect = ["domains"]
logs = {logs}
schedule = "0 */6 * * *"
"""


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(users=20, groups=4, seed=11) as one:
        one.control.knobs(throttle_lanes=False)
        yield one


@pytest.fixture
def project(tmp_path: Path, simulator: Simulator) -> Iterator[Project]:
    file = tmp_path / "dagster_project.toml"
    file.write_text(PROJECT.format(tenant=simulator.tenant_table("contoso"), logs="true"))
    yield load_project(file)
    simulator.control.deny("auditLogs/provisioning", 0)


def day(days_ago: int) -> str:
    return f"{datetime.now(UTC) - timedelta(days=days_ago):%Y-%m-%d}"


def run(
    project: Project, instance: dg.DagsterInstance, first: str, last: str, **tags: str
) -> dg.ExecuteInProcessResult:
    job = build_definitions(project).resolve_job_def("logs_contoso_eu")
    return job.execute_in_process(
        instance=instance, raise_on_error=False, tags={RANGE_START: first, RANGE_END: last, **tags}
    )


def materialized(instance: dg.DagsterInstance, log: str) -> set[str]:
    return set(instance.get_materialized_partitions(asset_key("contoso-eu", log)))


def test_one_run_reads_many_days_and_tells_each(
    project: Project, instance: dg.DagsterInstance, simulator: Simulator
) -> None:
    simulator.control.ledger(reset=True)
    assert run(project, instance, day(9), day(0)).success
    store = LogStore(open_store(project, "contoso-eu").files, "contoso-eu")
    assert simulator.control.ledger()["sets"]["provisioningObjectSummary"] == 2
    for log in LOGS:
        assert materialized(instance, log) == {day(number) for number in range(10)}
        records = instance.fetch_materializations(asset_key("contoso-eu", log), limit=20).records
        rows = {}
        for record in records:
            event = record.asset_materialization
            assert event is not None
            rows[str(event.partition)] = event.metadata["dagster/row_count"].value
        assert rows == {key.isoformat(): found.rows for key, found in store.held(log).items()}
    assert rows[day(3)]
    specs = build_definitions(project).resolve_all_asset_specs()
    [spec] = [spec for spec in specs if spec.key == asset_key("contoso-eu", log)]
    columns = {column.name: column.type for column in spec.metadata["dagster/column_schema"].columns}
    assert columns["activityDateTime"] == "TIMESTAMPTZ"


def test_a_day_can_be_read_again_but_a_schedule_reads_what_is_due(
    project: Project, instance: dg.DagsterInstance, simulator: Simulator
) -> None:
    assert run(project, instance, day(5), day(5)).success
    simulator.control.ledger(reset=True)
    assert run(project, instance, day(5), day(5), **{SCHEDULED_TAG: "schedule_logs_contoso_eu"}).success
    assert simulator.control.ledger()["sets"] == {}
    assert run(project, instance, day(5), day(5)).success
    assert simulator.control.ledger()["sets"] == {
        "directoryAudit": 1,
        "signIn": 2,
        "provisioningObjectSummary": 1,
    }


def test_what_entra_dropped_is_a_gap_and_not_a_failure(project: Project, instance: dg.DagsterInstance) -> None:
    assert run(project, instance, day(40), day(40)).success
    event = instance.get_latest_materialization_event(asset_key("contoso-eu", "sign_ins"))
    assert event is not None
    assert event.asset_materialization is not None
    assert "entries from" in str(event.asset_materialization.metadata["gaps"].value)


def test_a_tick_asks_for_the_days_that_may_be_open(project: Project, instance: dg.DagsterInstance) -> None:
    scope = project.scope("contoso-eu")
    now = datetime.now(UTC)
    first = log_request(scope, instance, now)
    assert (first.tags[RANGE_START], first.tags[RANGE_END]) == (day(30), day(0))
    assert run(project, instance, day(7), day(2)).success
    later = log_request(scope, instance, now)
    assert (later.tags[RANGE_START], later.tags[RANGE_END]) == (day(5), day(0))
    assert later.run_key == first.run_key
    assert run(project, instance, later.tags[RANGE_START], later.tags[RANGE_END]).success
    assert materialized(instance, "sign_ins") == {day(number) for number in range(8)}


def test_a_log_that_fails_fails_the_run_and_the_others_are_stored(
    project: Project, instance: dg.DagsterInstance, simulator: Simulator
) -> None:
    simulator.control.deny("auditLogs/provisioning", 500)
    assert not run(project, instance, day(3), day(2)).success
    store = LogStore(open_store(project, "contoso-eu").files, "contoso-eu")
    assert (len(store.days("sign_ins")), store.days("provisioning")) == (2, [])


def test_dagster_is_told_again_of_the_days_that_the_store_holds(
    project: Project, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    assert run(project, instance, day(3), day(2)).success
    store = open_store(project, "contoso-eu")
    assert sync_scope(store, instance).days == 0
    (tmp_path / "other").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "other")) as empty:
        assert sync_scope(store, empty).days == 2 * len(LOGS)
        assert materialized(empty, "sign_ins") == {day(3), day(2)}
        assert sync_scope(store, empty).days == 0


def test_a_scope_has_the_assets_of_its_logs_only(project: Project, simulator: Simulator) -> None:
    definitions = build_definitions(project)
    dg.Definitions.validate_loadable(definitions)
    graph = definitions.resolve_asset_graph()
    for log in LOGS:
        node = graph.get(asset_key("contoso-eu", log))
        assert node.group_name == "contoso_eu/logs"
        assert node.tags["entra/category"] == "logs"
        assert node.partitions_def is not None
        keys = node.partitions_def.get_partition_keys()
        assert (keys[0], keys[-1]) == (FIRST_DAY, day(0))
        assert node.backfill_policy == dg.BackfillPolicy.single_run()
    assert definitions.resolve_schedule_def("schedule_logs_contoso_eu").cron_schedule == "0 */6 * * *"
    file = project.file
    file.write_text(PROJECT.format(tenant=simulator.tenant_table("contoso"), logs='["sign_ins"]'))
    graph = build_definitions(load_project(file)).resolve_asset_graph()
    assert graph.has(asset_key("contoso-eu", "sign_ins"))
    assert not graph.has(asset_key("contoso-eu", "provisioning"))
    file.write_text(PROJECT.format(tenant=simulator.tenant_table("contoso"), logs="false"))
    definitions = build_definitions(load_project(file))
    assert not definitions.resolve_asset_graph().has(asset_key("contoso-eu", "sign_ins"))
    assert {job.name for job in definitions.resolve_all_job_defs() if job.name.startswith("logs")} == set()
