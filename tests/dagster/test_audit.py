"""What happens in Dagster is in the audit log, once."""

from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    ScheduleInstigatorData,
)

from entra_pipeline.audit import AuditEvent, AuditLog
from entra_pipeline.orchestration.keys import OPERATOR_TAG
from entra_pipeline.orchestration.sensors.audit import record
from entra_pipeline.project import Project
from entra_pipeline.store.points.keys import key_of
from entra_pipeline.store.recovery_points import ScopeStore
from tests.dagster.test_runs import run_backup

SCHEDULE = "schedule_contoso_eu"


class Ticks:
    """The sensor, tick after tick."""

    def __init__(self, project: Project, instance: dg.DagsterInstance) -> None:
        self.project = project
        self.instance = instance
        self.cursor: str | None = None
        self.said = ""

    def __call__(self) -> None:
        self.cursor, self.said = record(self.instance, str(self.project.file), [SCHEDULE], self.cursor)


@pytest.fixture
def tick(project: Project, instance: dg.DagsterInstance) -> Ticks:
    one = Ticks(project, instance)
    one()
    return one


def events(store: ScopeStore) -> list[AuditEvent]:
    return AuditLog(store.files).events(date(2026, 1, 1), date(2100, 1, 1))


def told(store: ScopeStore) -> list[tuple[str, str, str]]:
    return [(event.action, event.subject, event.result) for event in events(store)]


def test_a_run_is_recorded_when_it_was_launched_and_when_it_has_ended(
    definitions: dg.Definitions, instance: dg.DagsterInstance, store: ScopeStore, tick: Ticks
) -> None:
    point = key_of(datetime.now(UTC))
    run_id = run_backup(definitions, instance, point, tags={"dagster/schedule_name": SCHEDULE}).run_id
    tick()
    assert told(store) == [("run", run_id, "started"), ("run", run_id, "finished")]
    [launched, _] = events(store)
    assert (launched.actor, launched.channel, launched.scope) == (f"schedule {SCHEDULE}", "dagster", "contoso-eu")
    assert launched.details == {"job": "backup_contoso_eu", "partition": point}
    # Somebody adds a tag to a run that has ended; and a tick comes again that did not know of its own end.
    instance.add_run_tags(run_id, {"note": "looked at"})
    tick()
    assert len(told(store)) == 2
    past = key_of(datetime.now(UTC) - timedelta(days=2))
    failed = run_backup(definitions, instance, past, tags={OPERATOR_TAG: "anna@contoso.com"}).run_id
    tick()
    assert told(store)[2:] == [("run", failed, "started"), ("run", failed, "failed")]
    assert events(store)[-1].actor == "anna@contoso.com"


def test_a_run_that_is_under_way_is_recorded_as_launched_and_ends_later(
    definitions: dg.Definitions, instance: dg.DagsterInstance, store: ScopeStore, tick: Ticks
) -> None:
    job = definitions.resolve_job_def("backup_now_contoso_eu")
    run = instance.create_run_for_job(job, tags=job.tags)
    tick()
    tick()
    assert told(store) == [("run", run.run_id, "started")]
    assert events(store)[0].actor == "somebody in Dagster"
    instance.report_run_canceled(run)
    tick()
    tick()
    assert told(store)[1:] == [("run", run.run_id, "cancelled")]


def test_a_restore_belongs_to_the_scope_that_it_was_asked_for(
    definitions: dg.Definitions, instance: dg.DagsterInstance, store: ScopeStore, tick: Ticks
) -> None:
    config = {"scope": "contoso-eu", "point": "latest", "dry_run": False}
    run = instance.create_run_for_job(definitions.resolve_job_def("restore"), run_config=config)
    tick()
    assert told(store) == [("run", run.run_id, "started")]
    [event] = events(store)
    assert event.scope == "contoso-eu"
    assert event.details == {"job": "restore", "point": "latest", "dry_run": False}


def test_runs_of_others_are_not_recorded(instance: dg.DagsterInstance, store: ScopeStore, tick: Ticks) -> None:
    @dg.op
    def nothing() -> None: ...

    @dg.job
    def theirs() -> None:
        nothing()

    assert theirs.execute_in_process(instance=instance).success
    tick()
    assert told(store) == []


def test_a_schedule_that_is_stopped_and_started_is_recorded(
    instance: dg.DagsterInstance, store: ScopeStore, tick: Ticks
) -> None:
    def toggled(name: str, status: InstigatorStatus) -> InstigatorState:
        """What the UI and `dagster schedule stop` leave behind."""
        location = RegisteredCodeLocationOrigin("entra-pipeline")
        origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), name)
        return InstigatorState(origin, InstigatorType.SCHEDULE, status, ScheduleInstigatorData("30 2 * * *"))

    instance.add_instigator_state(toggled(SCHEDULE, InstigatorStatus.STOPPED))
    instance.add_instigator_state(toggled("theirs", InstigatorStatus.STOPPED))
    tick()
    tick()
    assert told(store) == [("schedule stopped", SCHEDULE, "finished")]
    instance.update_instigator_state(toggled(SCHEDULE, InstigatorStatus.RUNNING))
    tick()
    tick()
    assert told(store)[1:] == [("schedule started", SCHEDULE, "finished")]


def test_a_changed_configuration_is_recorded_without_what_it_says(
    project: Project, store: ScopeStore, tick: Ticks
) -> None:
    text = project.file.read_text().replace("30 2 * * *", "30 3 * * *")
    project.file.write_text(
        text.replace("30 2 * * *", "30 3 * * *") + '\n[scopes.new]\ntenant = "contoso"\nstorage = "disk"\n'
    )
    tick()
    tick()
    assert told(store) == [("configuration changed", "dagster_project.toml", "finished")]
    [event] = events(store)
    assert event.details == {"added": ["scopes.new"], "changed": ["scopes.contoso-eu"]}


def test_what_cannot_be_recorded_now_is_recorded_later_once(
    definitions: dg.Definitions, instance: dg.DagsterInstance, store: ScopeStore, project: Project, tick: Ticks
) -> None:
    point = key_of(datetime.now(UTC))
    run_id = run_backup(definitions, instance, point).run_id
    in_the_way = project.file.parent / "backup" / "_audit"
    in_the_way.write_text("")
    tick()
    assert "this is retried" in tick.said
    in_the_way.unlink()
    tick()
    tick()
    assert told(store) == [("run", run_id, "started"), ("run", run_id, "finished")]
