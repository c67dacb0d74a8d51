"""Recovery points that are missing, or lack something, and what the sensors do about it, with real runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from entra_pipeline.orchestration.jobs.backup import backup_asset_job
from entra_pipeline.orchestration.keys import RETRY_TAG, asset_key, partitions_name
from entra_pipeline.orchestration.sensors.repair import PAUSES, REPAIRS_TAG, repair_sensor
from entra_pipeline.project import Project
from entra_pipeline.project.stores import open_store
from entra_pipeline.run_queue import SCOPE_TAG
from entra_pipeline.simulator import Simulator
from entra_pipeline.store.recovery_points import ScopeStore

PARTITIONS = partitions_name("contoso-eu")
NOW = "backup_now_contoso_eu"
OP = "take_recovery_point_contoso_eu"


class Repairs:
    """Ticks of the sensor at moments from now, each with the cursor that the one before left."""

    def __init__(self, project: Project, instance: dg.DagsterInstance, definitions: dg.Definitions) -> None:
        jobs = [backup_asset_job(scope) for scope in project.scopes.values()]
        self.sensor = repair_sensor(project, jobs, lambda: datetime.now(UTC) + self.later)
        self.store = open_store(project, "contoso-eu")
        self.instance = instance
        self.definitions = definitions
        self.later = timedelta()
        self.cursor: str | None = None

    def tick(self, later: timedelta = timedelta(days=1)) -> dg.RunRequest | str:
        """The run that a tick asks for, or what it says instead."""
        self.later = later
        with dg.build_sensor_context(instance=self.instance, cursor=self.cursor) as context:
            result = self.sensor(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        if result.run_requests:
            [asked] = result.run_requests
            return asked
        return str(result.skip_reason.skip_message)  # type: ignore[union-attr]

    def take(self, types: list[str] | None = None) -> dg.ExecuteInProcessResult:
        """A recovery point that somebody wants."""
        config = {"ops": {OP: {"config": {"types": types or []}}}}
        job = self.definitions.resolve_job_def(NOW)
        return job.execute_in_process(instance=self.instance, run_config=config, raise_on_error=False)

    def launch(self, asked: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """What the daemon does with a request, on the last of its retries; now, whatever the sensor's time."""
        assert asked.partition_key in self.instance.get_dynamic_partitions(PARTITIONS)
        point = self.store.new_key(manual=True)
        self.instance.add_dynamic_partitions(PARTITIONS, [point])
        return self.definitions.resolve_job_def(str(asked.job_name)).execute_in_process(
            instance=self.instance,
            partition_key=point,
            asset_selection=list(asked.asset_selection) if asked.asset_selection else None,
            tags={**asked.tags, "dagster/sensor_name": "repair", "dagster/retry_number": "2"},
            raise_on_error=False,
        )

    def repaired(self) -> dg.RunRequest:
        """Launches what the next tick asks for."""
        asked = self.tick()
        assert isinstance(asked, dg.RunRequest), asked
        assert self.launch(asked).success
        return asked


@pytest.fixture
def repairs(project: Project, instance: dg.DagsterInstance, definitions: dg.Definitions) -> Repairs:
    return Repairs(project, instance, definitions)


def types_of(asked: dg.RunRequest) -> list[str]:
    return [key.path[-1] for key in asked.asset_selection or ()]


def test_only_what_a_point_lacks_is_read_again(repairs: Repairs, store: ScopeStore, simulator: Simulator) -> None:
    assert repairs.take().success
    assert repairs.tick() == "nothing to repair"
    simulator.control.deny("domains", 500)
    assert repairs.take().success
    [_, lacking] = store.points()
    assert "is tried again at" in str(repairs.tick(timedelta(minutes=1)))
    simulator.control.deny("domains", 0)
    asked = repairs.tick(PAUSES[0])
    assert isinstance(asked, dg.RunRequest)
    assert (types_of(asked), asked.tags[REPAIRS_TAG]) == (["domains", "recovery_point"], lacking)
    assert repairs.launch(asked).success
    latest = store.latest()
    assert latest is not None
    assert (latest.status, latest.parent) == ("finished", lacking)
    assert {table for table, entry in latest.tables.items() if entry.read != "carried"} == {"domains"}
    assert repairs.tick() == "nothing to repair"


def test_tries_are_counted_over_the_points_they_make_and_come_to_an_end(
    repairs: Repairs, store: ScopeStore, simulator: Simulator
) -> None:
    simulator.control.deny("domains", 500)
    assert repairs.take().success
    [lacking] = store.points()
    asked = []
    for pause in PAUSES:
        # The pauses grow: after the one before, it is too early.
        assert "is tried again at" in str(repairs.tick(pause - timedelta(minutes=1)))
        asked.append(repairs.repaired())
    assert len({one.run_key for one in asked}) == len(PAUSES)
    assert {one.tags[REPAIRS_TAG] for one in asked} == {lacking}
    assert len(store.points()) == 1 + len(PAUSES)
    assert repairs.tick() == f"contoso-eu: {lacking} is given up after 3 tries"
    # Another point is another matter.
    assert repairs.take().success
    assert isinstance(repairs.tick(), dg.RunRequest)


def test_what_takes_a_permission_is_not_tried(repairs: Repairs, store: ScopeStore, simulator: Simulator) -> None:
    simulator.control.deny("domains", 403)
    assert repairs.take().success
    assert store.latest().status == "finished with exception"  # type: ignore[union-attr]
    for _ in range(2):
        assert "require a permission or a licence" in str(repairs.tick())


def test_a_failed_run_is_made_up_for(repairs: Repairs, instance: dg.DagsterInstance, store: ScopeStore) -> None:
    assert repairs.take().success
    run = instance.create_run_for_job(repairs.definitions.resolve_job_def(NOW))
    instance.report_run_failed(run, "The process of the run has ended unexpectedly.")
    assert "is tried again at" in str(repairs.tick(timedelta(minutes=1)))
    asked = repairs.repaired()
    assert (types_of(asked), asked.tags[REPAIRS_TAG]) == ([], f"run {run.run_id}")
    assert len(store.points()) == 2
    assert store.jobs.all()[-1].trigger == "repair"
    assert repairs.tick() == "nothing to repair"


def test_runs_of_other_jobs_are_neither_read_nor_in_the_way(
    repairs: Repairs, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dg.job
    def somebody_elses() -> None: ...

    run = instance.create_run_for_job(repairs.definitions.resolve_job_def(NOW))
    instance.report_run_failed(run, "The process of the run has ended unexpectedly.")
    for _ in range(30):
        instance.create_run_for_job(somebody_elses)
        instance.create_run_for_job(repairs.definitions.resolve_job_def("reports"))
        instance.create_run_for_job(repairs.definitions.resolve_implicit_global_asset_job_def())
    read = []
    records = dg.DagsterInstance.get_run_records

    def counted(self: dg.DagsterInstance, *args: Any, **options: Any) -> Sequence[dg.RunRecord]:
        read.extend(found := records(self, *args, **options))
        return found

    monkeypatch.setattr(dg.DagsterInstance, "get_run_records", counted)
    assert "is tried again at" in str(repairs.tick(timedelta(minutes=1)))
    assert [record.dagster_run.run_id for record in read] == [run.run_id]


@pytest.mark.parametrize(
    ("table", "said"), [("recovery_point", "is tried again at"), ("users", "nothing to repair")], ids=["point", "type"]
)
def test_a_run_from_an_asset_page_is_made_up_for_when_it_was_to_commit_a_point(
    repairs: Repairs, instance: dg.DagsterInstance, table: str, said: str
) -> None:
    run = instance.create_run_for_job(
        repairs.definitions.resolve_implicit_global_asset_job_def().get_subset(
            asset_selection={key := asset_key("contoso-eu", table)}
        ),
        asset_selection=frozenset({key}),
        tags={SCOPE_TAG: "contoso-eu"},
    )
    assert repairs.tick() == "nothing to repair"
    instance.report_run_failed(run, "The process of the run has ended unexpectedly.")
    assert said in str(repairs.tick(timedelta(minutes=1)))


@pytest.mark.parametrize("kind", ["under way", "canceled", "tried again by Dagster", "of no use"])
def test_a_run_is_not_made_up_for_that_is(repairs: Repairs, instance: dg.DagsterInstance, kind: str) -> None:
    tags = {"tried again by Dagster": {"dagster/will_retry": "true"}, "of no use": {RETRY_TAG: "false"}}
    run = instance.create_run_for_job(repairs.definitions.resolve_job_def(NOW), tags=tags.get(kind))
    if kind == "canceled":
        instance.report_run_canceled(run)
    elif kind != "under way":
        instance.report_run_failed(run, "Something went wrong.")
    assert repairs.tick() == "nothing to repair"


def test_types_that_the_scope_does_not_protect_are_refused(repairs: Repairs, store: ScopeStore) -> None:
    result = repairs.take(types=["devices"])
    assert not result.success
    [failed] = [event for event in result.all_events if event.event_type_value == "STEP_FAILURE"]
    assert "does not protect devices" in str(failed.event_specific_data)
    assert store.points() == []
