"""What the sensors see and do, with real runs on a real instance and a real mail server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import InstigatorState, SensorInstigatorData, TickData, TickStatus
from dagster._utils.error import SerializableErrorInfo

from entra_pipeline.backup.jobs import STOPPED
from entra_pipeline.backup.run import backup
from entra_pipeline.catalogue.logs import LOGS
from entra_pipeline.definitions import build_definitions
from entra_pipeline.graph.factory import open_graph
from entra_pipeline.orchestration.dagster_internals import InstigatorStatus, InstigatorType
from entra_pipeline.orchestration.jobs.backup import backup_asset_job
from entra_pipeline.orchestration.jobs.retention import OP
from entra_pipeline.orchestration.keys import PLAN_TAG, asset_key, partitions_name
from entra_pipeline.orchestration.sensors.failures import contained
from entra_pipeline.orchestration.sensors.notifications import notifications_sensor
from entra_pipeline.orchestration.sensors.unusual_change import unusual_change_sensor
from entra_pipeline.project import Project, load_project
from entra_pipeline.project.stores import open_store
from entra_pipeline.restore.records.report import RestoreReport, write_report
from entra_pipeline.simulator import Simulator
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.running_jobs import recorded
from entra_pipeline.store.verify import verify
from tests.dagster.conftest import PROJECT
from tests.dagster.test_runs import now, run_backup
from tests.support.post_office import PASSWORD, PostOffice
from tests.support.writing import Time

FAILED = TickStatus.FAILURE
PROFILE = """
[notifications.operations]
to = ["operations@example.com"]
backup = ["finished", "finished with exception", "failed", "cancelled"]
restore = ["finished", "finished with exception", "failed"]
"""


@pytest.fixture
def office(tmp_path: Path) -> Iterator[PostOffice]:
    one = PostOffice(tmp_path, implicit=False)
    one.open()
    yield one
    one.shut()


@pytest.fixture
def notified(project: Project, office: PostOffice, tmp_path: Path) -> Project:
    (tmp_path / "password").write_text(PASSWORD)
    project.file.write_text(project.file.read_text() + office.table() + PROFILE)
    return load_project(project.file)


class Ticks:
    """Ticks of the sensor, each with the cursor that the one before left."""

    def __init__(self, project: Project, instance: dg.DagsterInstance) -> None:
        self.sensor = notifications_sensor(project)
        self.instance = instance
        self.cursor: str | None = None

    def tick(self, *, again: bool = False) -> str:
        """What the tick says; `again` as after a crash that lost its cursor."""
        with dg.build_sensor_context(instance=self.instance, cursor=None if again else self.cursor) as context:
            said = self.sensor(context)
            self.cursor = context.cursor
        return str(said.skip_message)  # type: ignore[union-attr]


@pytest.fixture
def ticks(notified: Project, instance: dg.DagsterInstance) -> Ticks:
    return Ticks(notified, instance)


def subjects(office: PostOffice) -> list[str]:
    return [str(mail["Subject"]) for mail in office.mails]


def test_a_backup_is_told_once(
    ticks: Ticks, notified: Project, instance: dg.DagsterInstance, office: PostOffice
) -> None:
    assert run_backup(build_definitions(notified), instance, now()).success
    assert ticks.tick().startswith("1 sent, 0 waiting")
    assert ticks.tick(again=True).startswith("0 sent, 0 waiting")
    assert subjects(office) == ["Backup of contoso-eu finished"]


def test_a_run_that_failed_before_its_job_began_is_told_once_with_the_reason(
    ticks: Ticks,
    notified: Project,
    instance: dg.DagsterInstance,
    office: PostOffice,
    store: ScopeStore,
    simulator: Simulator,
) -> None:
    simulator.control.deny("domains", 500)
    definitions = build_definitions(notified)
    assert not run_backup(definitions, instance, now()).success
    assert ticks.tick().startswith("1 sent")
    assert ticks.tick(again=True).startswith("0 sent")
    assert subjects(office) == ["Backup of contoso-eu failed"]
    [record] = store.jobs.all()
    assert (record.type, record.status) == ("backup", "failed")
    assert "domains" in record.error
    assert "dagster._core" not in record.error


@pytest.mark.parametrize("kind", ["job", "asset page"])
def test_logs_that_cannot_be_read_are_told_once(
    ticks: Ticks,
    notified: Project,
    instance: dg.DagsterInstance,
    office: PostOffice,
    store: ScopeStore,
    simulator: Simulator,
    kind: str,
) -> None:
    text = notified.file.read_text().replace('schedule = "30', 'logs = true\nschedule = "30')
    notified.file.write_text(text)
    definitions = build_definitions(load_project(notified.file))
    job = definitions.resolve_job_def("logs_contoso_eu" if kind == "job" else "__ASSET_JOB")
    day = f"{datetime.now(UTC):%Y-%m-%d}"

    def read() -> dg.ExecuteInProcessResult:
        return job.execute_in_process(
            instance=instance,
            partition_key=day,
            raise_on_error=False,
            asset_selection=[asset_key("contoso-eu", log) for log in LOGS],
        )

    simulator.control.deny("auditLogs/provisioning", 500)
    try:
        assert not read().success
    finally:
        simulator.control.deny("auditLogs/provisioning", 0)
    assert ticks.tick().startswith("1 sent, 0 waiting")
    assert ticks.tick(again=True).startswith("0 sent, 0 waiting")
    assert subjects(office) == ["Reading of logs of contoso-eu failed"]
    [record] = store.jobs.all()
    assert (record.type, record.status) == ("logs", "failed")
    assert "Graph answered 500" in record.error
    # The next one that goes well is on record too, so that nobody looks for what has passed; it is told to nobody.
    assert read().success
    assert [one.status for one in store.jobs.all()] == ["failed", "finished"]
    assert ticks.tick().startswith("0 sent, 0 waiting")


def test_a_backup_from_an_asset_page_that_fails_is_told_once(
    ticks: Ticks,
    notified: Project,
    instance: dg.DagsterInstance,
    office: PostOffice,
    store: ScopeStore,
    simulator: Simulator,
) -> None:
    simulator.control.deny("domains", 403)
    point = now()
    instance.add_dynamic_partitions(partitions_name("contoso-eu"), [point])
    result = (
        build_definitions(notified)
        .resolve_job_def("__ASSET_JOB")
        .execute_in_process(
            instance=instance,
            partition_key=point,
            raise_on_error=False,
            # Nothing of it has been read.
            asset_selection=[asset_key("contoso-eu", "recovery_point")],
        )
    )
    instance.report_run_failed(instance.get_run_by_id(result.run_id), "The process has ended unexpectedly.")
    ticks.tick()
    ticks.tick(again=True)
    assert subjects(office) == ["Backup of contoso-eu failed"]
    [record] = store.jobs.all()
    assert (record.type, record.status, record.run_id) == ("backup", "failed", result.run_id)


def test_a_backup_of_types_from_an_asset_page_that_is_killed_is_told_once(
    ticks: Ticks, notified: Project, instance: dg.DagsterInstance, office: PostOffice, store: ScopeStore
) -> None:
    job = build_definitions(notified).resolve_job_def("__ASSET_JOB")
    selected = frozenset([asset_key("contoso-eu", "users")])
    run = instance.create_run_for_job(job.get_subset(asset_selection=selected), asset_selection=selected)
    instance.report_run_failed(run, "The process of the run has ended unexpectedly.")
    ticks.tick()
    ticks.tick(again=True)
    assert subjects(office) == ["Backup of contoso-eu failed"]
    [record] = store.jobs.all()
    assert (record.type, record.error) == ("backup", "The process of the run has ended unexpectedly.")


def test_a_try_that_will_be_repeated_is_not_told(
    ticks: Ticks, instance: dg.DagsterInstance, office: PostOffice, definitions: dg.Definitions
) -> None:
    job = definitions.resolve_job_def("backup_contoso_eu")
    run = instance.create_run_for_job(job, tags={"dagster/will_retry": "true"})
    instance.report_run_failed(run)
    instance.add_run_tags(run.run_id, {"dagster/will_retry": "true"})
    ticks.tick()
    assert office.mails == []


@pytest.mark.parametrize("kind", ["canceled", "killed"])
def test_a_run_that_left_nothing_is_told(
    ticks: Ticks,
    instance: dg.DagsterInstance,
    office: PostOffice,
    store: ScopeStore,
    definitions: dg.Definitions,
    kind: str,
) -> None:
    run = instance.create_run_for_job(definitions.resolve_job_def("backup_now_contoso_eu"))
    if kind == "canceled":
        instance.report_run_canceled(run)
    else:
        instance.report_run_failed(run, "The process of the run has ended unexpectedly.")
    ticks.tick()
    ticks.tick(again=True)
    status = {"canceled": "cancelled", "killed": "failed"}[kind]
    assert subjects(office) == [f"Backup of contoso-eu {status}"]
    [record] = store.jobs.all()
    assert record.status == status
    reason = {"canceled": STOPPED, "killed": "The process of the run has ended unexpectedly."}
    assert record.error == reason[kind]


@pytest.mark.parametrize(
    ("scope", "plan"), [("../../elsewhere", ""), ("contoso-eu", "../../../elsewhere"), ("contoso-eu", "\0")]
)
def test_no_launch_keeps_the_runs_after_it_from_being_recorded(
    ticks: Ticks,
    instance: dg.DagsterInstance,
    store: ScopeStore,
    definitions: dg.Definitions,
    office: PostOffice,
    scope: str,
    plan: str,
) -> None:
    """Whoever may launch a run writes what they like into its configuration and its tags."""
    config = {"scope": scope, "point": "latest", "dry_run": False}
    tags = {PLAN_TAG: plan} if plan else {}
    hostile = instance.create_run_for_job(definitions.resolve_job_def("restore"), run_config=config, tags=tags)
    instance.report_run_failed(hostile)
    after = instance.create_run_for_job(definitions.resolve_job_def("backup_now_contoso_eu"))
    instance.report_run_failed(after)
    assert "could not be recorded" not in ticks.tick()
    assert after.run_id in {one.run_id for one in store.jobs.all()}
    assert "Backup of contoso-eu failed" in subjects(office)
    assert all(".." not in file.key for file in store.files.list(""))


def test_a_killed_run_that_prunes_all_scopes_is_recorded_for_those_that_it_did_not_reach(
    ticks: Ticks, notified: Project, instance: dg.DagsterInstance
) -> None:
    scope = PROJECT[PROJECT.index("[scopes.contoso-eu]") :]
    by_itself, with_others = (scope.replace("contoso-eu", name) for name in ("by-hand", "waiting"))
    notified.file.write_text(f"{notified.file.read_text()}\n{with_others}\n{by_itself}prune = false\n")
    project = load_project(notified.file)
    job = build_definitions(project).resolve_job_def("prune")
    reached, waiting, by_hand = (open_store(project, name) for name in ("contoso-eu", "waiting", "by-hand"))
    killed = instance.create_run_for_job(job)
    with recorded(reached, "prune", trigger="schedule_prune", run_id=killed.run_id) as done:
        done.status = "finished"
    instance.report_run_failed(killed, "The process of the run has ended unexpectedly.")
    looked = instance.create_run_for_job(job, run_config={"ops": {OP: {"config": {"dry_run": True}}}})
    instance.report_run_failed(looked)
    ticks.tick()
    ticks.tick(again=True)
    assert [(one.status, one.run_id) for one in reached.jobs.all()] == [("finished", killed.run_id)]
    [record] = waiting.jobs.all()
    assert (record.type, record.status, record.run_id) == ("prune", "failed", killed.run_id)
    assert record.error == "The process of the run has ended unexpectedly."
    assert by_hand.jobs.all() == []


def test_a_restore_that_was_killed_and_gone_on_with_elsewhere_has_the_record_of_the_run_that_finished_it(
    ticks: Ticks, instance: dg.DagsterInstance, office: PostOffice, store: ScopeStore, definitions: dg.Definitions
) -> None:
    plan = "2026-11-23T05-00-00Z-3f9a1c"
    job, config = definitions.resolve_job_def("restore"), {"scope": "contoso-eu", "dry_run": False}
    killed = instance.create_run_for_job(job, run_config=config, tags={PLAN_TAG: plan})
    other = instance.create_run_for_job(job, run_config=config, tags={PLAN_TAG: plan})
    # The one that goes on is done before Dagster notices that the other is dead.
    with recorded(store, "restore", trigger="dagster: restore", job_id=plan, run_id=other.run_id) as going_on:
        going_on.status = "finished"
    instance.report_run_failed(killed, "The process of the run has ended unexpectedly.")
    instance.report_run_canceled(other)
    ticks.tick()
    [record] = store.jobs.all()
    assert (record.status, record.run_id) == ("finished", other.run_id)
    assert "Restore of contoso-eu failed" not in subjects(office)


@pytest.mark.parametrize("known", [True, False])
def test_a_job_whose_scope_is_deleted_ends_with_its_record_and_its_mail(
    ticks: Ticks,
    notified: Project,
    instance: dg.DagsterInstance,
    office: PostOffice,
    store: ScopeStore,
    known: bool,
) -> None:
    definitions = build_definitions(notified)
    if known:
        assert run_backup(definitions, instance, now()).success
        ticks.tick()
        office.mails.clear()
    job = definitions.resolve_job_def("backup_now_contoso_eu")
    running = instance.create_run_for_job(job, tags=dict(job.tags))
    text = notified.file.read_text()
    notified.file.write_text(text.replace("[scopes.contoso-eu]", "[scopes.another]"))
    instance.report_run_failed(running, "there is no scope 'contoso-eu'")
    ticks.tick()
    ticks.tick(again=True)
    [record] = [one for one in store.jobs.all() if one.run_id == running.run_id]
    assert (record.type, record.scope, record.status) == ("backup", "contoso-eu", "failed")
    assert subjects(office) == ["Backup of contoso-eu failed"]


def test_a_second_run_of_a_plan_is_no_failure_of_the_first(
    ticks: Ticks, instance: dg.DagsterInstance, office: PostOffice, store: ScopeStore, definitions: dg.Definitions
) -> None:
    plan = "2026-11-23T05-00-00Z-3f9a1c"
    job, config = definitions.resolve_job_def("restore"), {"scope": "contoso-eu", "dry_run": False}
    first, second, third = (
        instance.create_run_for_job(job, run_config=config, tags={PLAN_TAG: plan}) for _ in range(3)
    )
    instance.report_run_failed(second, "Another restore to this tenant is under way.")
    ticks.tick()
    assert store.jobs.all() == [] and office.mails == []
    with recorded(store, "restore", trigger="dagster: restore", job_id=plan, run_id=first.run_id) as done:
        done.status = "finished"
    empty = dict.fromkeys(("point", "tenant", "started", "finished", "undo_point"), "")
    report = RestoreReport(job=plan, scope="contoso-eu", status="finished", outcomes=(), verified=True, **empty)
    write_report(store, report)
    instance.report_run_canceled(first)
    instance.report_run_failed(third, "nothing was done")
    ticks.tick()
    [record] = store.jobs.all()
    assert (record.status, record.run_id) == ("finished", first.run_id)
    assert "Restore of contoso-eu failed" not in subjects(office)


def test_a_restore_is_told_when_its_run_has_ended_not_before(
    ticks: Ticks, instance: dg.DagsterInstance, office: PostOffice, store: ScopeStore, definitions: dg.Definitions
) -> None:
    run = instance.create_run_for_job(definitions.resolve_job_def("restore"), run_config={"scope": "contoso-eu"})
    for status in ("finished", "finished with exception"):
        with recorded(store, "restore", trigger="dagster: restore", job_id="a-plan", run_id=run.run_id) as job:
            job.status = status
        assert ticks.tick().startswith("0 sent")
    instance.report_run_canceled(run)
    assert ticks.tick().startswith("1 sent")
    assert subjects(office) == ["Restore of contoso-eu finished with exception"]


def test_a_sensor_that_fails_is_told_once_and_again_when_it_fails_after_it_has_worked(
    ticks: Ticks, instance: dg.DagsterInstance, office: PostOffice
) -> None:
    origin = RemoteInstigatorOrigin(
        RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("entra-pipeline"), "__repository__"), "repair"
    )
    state = InstigatorState(
        origin, InstigatorType.SENSOR, InstigatorStatus.DECLARED_IN_CODE, SensorInstigatorData(sensor_type=None)
    )
    instance.add_instigator_state(state)
    moment = datetime.now(UTC) - timedelta(hours=1)

    def ended(status: TickStatus) -> None:
        nonlocal moment
        moment += timedelta(minutes=1)
        error = SerializableErrorInfo("KeyError: '__ASSET_JOB'\n", [], "KeyError") if status is FAILED else None
        ids = (state.instigator_origin_id, "repair", InstigatorType.SENSOR)
        runs: list[str] | None = [] if status is TickStatus.SUCCESS else None
        instance.create_tick(
            TickData(*ids, status, moment.timestamp(), selector_id=state.selector_id, error=error, run_ids=runs)
        )

    ended(TickStatus.SKIPPED)
    assert ticks.tick().startswith("0 sent")
    for _ in range(3):
        ended(FAILED)
        ticks.tick()
    assert subjects(office) == ["Sensor repair fails"]
    assert "KeyError: '__ASSET_JOB'" in str(office.mails[0].get_body(("plain",)).get_content())  # type: ignore[union-attr]
    ended(TickStatus.SUCCESS)
    ticks.tick()
    ended(FAILED)
    ticks.tick()
    ticks.tick()
    assert subjects(office) == ["Sensor repair fails"] * 2


def test_a_scope_that_fails_is_told_and_stops_no_other(
    ticks: Ticks, notified: Project, instance: dg.DagsterInstance, office: PostOffice
) -> None:
    with dg.build_sensor_context(instance=instance) as context:
        for _ in range(2):
            with contained(context, notified, "repair", "contoso-eu"):
                raise KeyError("status")
    ticks.tick()
    ticks.tick()
    assert subjects(office) == ["Sensor repair fails for contoso-eu"]


def test_a_hundred_scopes_have_one_sensor(project: Project) -> None:
    text = project.file.read_text()
    start = text.index("[scopes.contoso-eu]")
    scopes = [text[start:].replace("contoso-eu", f"scope-{number:03}") for number in range(100)]
    project.file.write_text(text[:start] + "\n".join(scopes))
    repository = build_definitions(load_project(project.file)).get_repository_def()
    sensors = {sensor.name: sensor.default_status for sensor in repository.sensor_defs}
    assert sensors["notifications"] is dg.DefaultSensorStatus.RUNNING
    assert set(sensors.values()) == {dg.DefaultSensorStatus.RUNNING}
    assert len(sensors) < 10


def test_a_mass_deletion_trips_the_wire_and_the_point_before_is_safe_from_retention(
    ticks: Ticks,
    notified: Project,
    instance: dg.DagsterInstance,
    office: PostOffice,
    store: ScopeStore,
    simulator: Simulator,
) -> None:
    notified.file.write_text(
        notified.file.read_text()
        .replace("[notifications.operations]", "[notifications.operations]\nunusual = true")
        .replace('backup = ["finished", ', "backup = [")
        .replace('timezone = "', 'retention = "2 days"\ntimezone = "')
        + "[scopes.contoso-eu.unusual]\nmass_deletion = { least = 3 }\n"
    )
    current = load_project(notified.file)
    definitions = build_definitions(current)
    jobs = [backup_asset_job(scope) for scope in current.scopes.values()]
    sensor = unusual_change_sensor(current, jobs)

    def asked() -> list[dg.RunRequest]:
        with dg.build_sensor_context(instance=instance) as context:
            return list(sensor(context))  # type: ignore[call-overload, no-any-return]

    first, before = (taken_at(current, datetime.now(UTC) - timedelta(days=days)) for days in (5, 4))
    assert asked() == []
    # A tenth of them.
    users = sorted(one["id"] for one in simulator.control.dump("users"))[:3]
    for user in users:
        simulator.control.delete(f"users/{user}")
    try:
        assert run_backup(definitions, instance, now()).success
    finally:
        for user in users:
            simulator.control.restore(user)
    [check] = instance.event_log_storage.get_latest_asset_check_execution_by_key(
        [dg.AssetCheckKey(asset_key("contoso-eu", "recovery_point"), "unusual")]
    ).values()
    assert check.evaluation is not None
    assert (check.evaluation.passed, check.evaluation.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "Mass deletion" in str(check.evaluation.description)
    assert "mass_deletion" in check.evaluation.metadata
    assert ticks.tick().startswith("1 sent, 0 waiting")
    assert ticks.tick(again=True).startswith("0 sent, 0 waiting")
    [mail] = office.mails
    assert str(mail["Subject"]) == "Unusual change in contoso-eu: Mass deletion"
    text = str(mail.get_body(("plain",)).get_content())  # type: ignore[union-attr]
    assert f"Previous point, on hold: {before}" in text
    # One more point, whatever the number of ticks; nothing has been deleted at it.
    [once], [again] = asked(), asked()
    assert once.run_key == again.run_key
    assert run_backup(definitions, instance, str(once.partition_key)).success
    assert asked() == []
    # Both are past their time, and there are good points after them.
    config = {"ops": {OP: {"config": {"scope": "contoso-eu"}}}}
    pruned = definitions.resolve_job_def("prune").execute_in_process(instance=instance, run_config=config)
    assert pruned.success
    assert (first in store.points(), before in store.points()) == (False, True)
    assert all(finding.ok for finding in verify(store))
    assert store.manifest(before).tables["users"].live == len(simulator.control.dump("users"))


def taken_at(project: Project, moment: datetime) -> str:
    """A recovery point that was taken at a moment, as the command does it."""

    async def take() -> str:
        store = open_store(project, "contoso-eu", Time(moment))
        async with open_graph(project.tenants["contoso"]) as graph:
            manifest = await backup(project.scope("contoso-eu"), store, graph, clock=store.clock)
        return manifest.recovery_point

    return asyncio.run(take())
