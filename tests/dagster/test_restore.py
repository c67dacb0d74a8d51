"""The job `restore`, in this process, against a simulated tenant: dry run, approval, apply, verify, resumption."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from entra_pipeline.definitions import build_definitions
from entra_pipeline.errors import GraphUnavailable, UsageError
from entra_pipeline.graph.retry import use_policy
from entra_pipeline.orchestration.jobs import restore as job
from entra_pipeline.orchestration.keys import OPERATOR_IDENTITY_TAG, OPERATOR_TAG, PLAN_TAG, asset_key, partitions_name
from entra_pipeline.orchestration.op_retries import OpRetries, use_op_retries
from entra_pipeline.orchestration.progress import RunRestoreProgress
from entra_pipeline.project import Project, load_project
from entra_pipeline.project.stores import open_store
from entra_pipeline.restore.objects.model import StepOutcome
from entra_pipeline.restore.records.approval import NotApproved, approval_scopes, approve, approved_by, require_approval
from entra_pipeline.restore.records.plans import read_plan
from entra_pipeline.restore.records.report import read_report
from entra_pipeline.simulator import Control, Simulator
from entra_pipeline.store.recovery_points import ScopeStore
from tests.support.patience import IMPATIENT

SCOPE = "contoso-eu"
SETTINGS = """
[storage.disk]
kind = "local"
path = "backup"

[scopes.contoso-eu]
tenant = "simulated"
storage = "disk"
protect = ["users", "groups", "deleted_users"]
"""


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(users=12, groups=3, seed=11) as one:
        yield one


@pytest.fixture
def control(simulator: Simulator) -> Iterator[Control]:
    yield simulator.control
    simulator.control.deny("users", 0)
    simulator.control.deny("groups", 0)


@pytest.fixture(autouse=True)
def _no_pauses() -> Iterator[None]:
    """How long is waited before an op is tried again, or for replication, is not what these tests are about."""
    with use_op_retries(OpRetries(pause=0.0)), use_policy(IMPATIENT):
        yield


def project_in(folder: Path, simulator: Simulator) -> Project:
    file = folder / "dagster_project.toml"
    file.write_text(simulator.tenant_table() + SETTINGS)
    return load_project(file)


@pytest.fixture
def project(tmp_path: Path, simulator: Simulator) -> Project:
    return project_in(tmp_path, simulator)


@pytest.fixture
def store(project: Project) -> ScopeStore:
    return open_store(project, SCOPE)


def job_of(file: str) -> dg.JobDefinition:
    """The job of a project, as Dagster finds it again when a run is repeated."""
    return build_definitions(load_project(file)).resolve_job_def("restore")


class Site:
    """The code location of the project, with one recovery point of its scope."""

    def __init__(self, project: Project, instance: dg.DagsterInstance, store: ScopeStore) -> None:
        self.project = project
        self.instance = instance
        self.store = store
        backup_now = build_definitions(project).resolve_job_def("backup_now_contoso_eu")
        assert backup_now.execute_in_process(instance=instance).success
        [self.point] = store.points()

    def run(
        self,
        *,
        after: str = "",
        from_failure: bool = True,
        steps: Sequence[str] = (),
        by: str = "",
        identity: str = "",
        **config: Any,
    ) -> "Run":
        """Runs the job; `after` is the id of a run that this one repeats, from where it failed, some steps, or all."""
        again = None
        if after:
            options = dg.ReexecutionOptions
            again = options(after, step_selection=steps or None)
            again = options.from_failure(after, self.instance) if from_failure and not steps else again
        job = dg.build_reconstructable_job(__name__, "job_of", (str(self.project.file),))
        config = {"scope": SCOPE, **config}
        tags = {OPERATOR_TAG: by, OPERATOR_IDENTITY_TAG: identity} if by else None
        with dg.execute_job(job, self.instance, config, tags=tags, reexecution_options=again) as result:
            return Run(result, self.instance)

    def materialized(self) -> set[str]:
        return set(self.instance.get_materialized_partitions(asset_key(SCOPE, "recovery_point")))


class Run:
    """What a run came to."""

    def __init__(self, result: dg.JobExecutionResult, instance: dg.DagsterInstance) -> None:
        self.id = result.run_id
        self.success = result.success
        events = result.all_events
        self.steps = {
            event.step_key: event.event_type_value
            for event in events
            if event.event_type_value in {"STEP_SUCCESS", "STEP_SKIPPED", "STEP_FAILURE"}
        }
        self.seen = [
            event.event_specific_data.asset_observation  # type: ignore[union-attr]
            for event in events
            if event.event_type_value == "ASSET_OBSERVATION"
        ]
        self.failure = " ".join(str(e.event_specific_data) for e in events if e.event_type_value == "STEP_FAILURE")
        run = instance.get_run_by_id(self.id)
        assert run is not None
        self.plan = run.tags.get(PLAN_TAG, "")
        self.log = [entry.user_message for entry in instance.all_logs(self.id)]

    def metadata(self, number: int = -1) -> dict[str, Any]:
        """Metadata of an observation: values, rows of tables, text."""
        return {
            key: [record.data for record in value.records] if isinstance(value, dg.TableMetadataValue) else value.value
            for key, value in self.seen[number].metadata.items()
        }


@pytest.fixture(scope="module")
def shared(simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site for tests that change nothing."""
    folder = tmp_path_factory.mktemp("shared")
    project = project_in(folder, simulator)
    with dg.DagsterInstance.local_temp(str(folder), overrides={"telemetry": {"enabled": False}}) as instance:
        yield Site(project, instance, open_store(project, SCOPE))


@pytest.fixture(scope="module")
def planned(shared: Site) -> "Run":
    """A dry run of the shared site."""
    return shared.run(point=shared.point)


@pytest.fixture
def site(project: Project, instance: dg.DagsterInstance, store: ScopeStore) -> Site:
    return Site(project, instance, store)


def delete_user(control: Control, *, for_good: bool = False) -> dict[str, Any]:
    """Deletes a user of the cloud who is a member of something."""
    members = {target for _, target, _ in control.edges("groups", "members")}
    found = (one for one in control.dump("users") if one["id"] in members)
    user = next(one for one in found if not one.get("onPremisesSyncEnabled"))
    control.delete(f"users/{user['id']}")
    if for_good:
        control.purge(user["id"])
    return user


def names(control: Control) -> set[str]:
    return {one["userPrincipalName"] for one in control.dump("users")}


DONE = dict.fromkeys(job.OPS, "STEP_SUCCESS")


def test_a_dry_run_shows_a_plan_that_another_run_carries_out(site: Site, control: Control, store: ScopeStore) -> None:
    user = delete_user(control)
    control.ledger(reset=True)
    dry = site.run(point=site.point)
    assert dry.success
    assert dry.steps == {"plan_restore": "STEP_SUCCESS", **dict.fromkeys(job.OPS[1:], "STEP_SKIPPED")}
    assert control.writes() == []
    assert user["userPrincipalName"] not in names(control)
    plan = read_plan(store, dry.plan)
    shown = dry.metadata()
    assert (shown["plan"], shown["recovery_point"], shown["requests"]) == (plan.id, site.point, plan.requests)
    first = shown["steps"][0]
    assert (first["action"], first["type"], first["name"]) == ("undelete", "users", user["displayName"])
    assert sum(row["steps"] for row in shown["summary"]) == len(plan.steps)
    assert f"plan_id: {plan.id}" in shown["to_approve"]
    assert "Dry run: nothing was written." in str(dry.seen[0].description)
    assert (dry.seen[0].asset_key, dry.seen[0].partition) == (asset_key(SCOPE, "recovery_point"), site.point)

    approved = site.run(plan_id=plan.id, dry_run=False)
    assert approved.steps == DONE, approved.failure
    assert approved.plan == plan.id
    assert user["userPrincipalName"] in names(control)
    report = read_report(store, plan.id)
    assert report is not None and report.verified
    outcome = approved.metadata()
    assert (outcome["status"], outcome["exceptions"]) == ("finished", "none")
    assert outcome["restored"] == len(plan.steps)
    assert f"undo: {plan.id}" in outcome["to_undo"]
    assert any(line.startswith("stage users: 1 of 1") for line in approved.log)
    # Dagster knows all recovery points that the restore took.
    points = set(store.points())
    assert points == site.materialized() == set(site.instance.get_dynamic_partitions(partitions_name(SCOPE)))
    assert {plan.live_point, report.undo_point} < points
    [record] = [one for one in store.jobs.all() if one.id == plan.id]
    assert (record.type, record.status, record.trigger) == ("restore", "finished", job.TRIGGER)

    # A second time shows the first, and writes nothing.
    written = control.writes()
    again = site.run(plan_id=plan.id, dry_run=False)
    assert again.success
    assert again.steps == {"plan_restore": "STEP_SUCCESS", **dict.fromkeys(job.OPS[1:], "STEP_SKIPPED")}
    assert any(line.startswith(f"Plan {plan.id} was applied already") for line in again.log)
    assert again.metadata()["status"] == "finished"
    assert control.writes() == written
    assert store.jobs.find(plan.id) == record

    undone = site.run(undo=plan.id, dry_run=False)
    assert undone.steps == DONE, undone.failure
    assert undone.metadata()["undoes"] == plan.id
    assert user["userPrincipalName"] not in names(control)


def test_what_takes_two_administrators_is_not_written_by_one(site: Site, control: Control, store: ScopeStore) -> None:
    file = site.project.file
    text = file.read_text()
    file.write_text(text + "approval = true\n")
    user = delete_user(control)
    control.ledger(reset=True)
    dry = site.run(point=site.point, by="ada@contoso.com", identity="https://issuer ada")
    plan = read_plan(store, dry.plan)
    # Not by whoever launches it, not in one go, not by repeating some of a run.
    runs = [
        site.run(plan_id=plan.id, dry_run=False, by="ada@contoso.com"),
        site.run(plan_id=plan.id, dry_run=False, by="grace@contoso.com"),
        site.run(plan_id=plan.id, dry_run=False),
        site.run(point=site.point, dry_run=False, by="ada@contoso.com"),
    ]
    runs.append(
        site.run(plan_id=plan.id, dry_run=False, after=runs[0].id, steps=["apply_restore"], by="ada@contoso.com")
    )
    for run in runs:
        assert not run.success
        assert "needs the approval of a second administrator" in run.failure
    for name in ("ada@contoso.com", "Ada@Contoso.com "):
        with pytest.raises(UsageError, match="cannot approve their own plans"):
            approve(store, plan, name)
    # Names change; issuer and subject stay.
    with pytest.raises(UsageError, match="cannot approve their own plans"):
        approve(store, plan, "ada.lovelace@contoso.com", "https://issuer ada")
    assert approved_by(store, plan) is None
    assert control.writes() == []

    # Another scope of the same tenant asks for it as well; and what nobody asks for takes nobody.
    other = '[scopes.other]\ntenant = "simulated"\nstorage = "disk"\n'
    file.write_text(f"{text}{other}approval = true\n")
    assert approval_scopes(load_project(file), plan) == ["other"]
    file.write_text(text + other)
    assert approval_scopes(load_project(file), plan) == []
    file.write_text(text + "approval = true\n")

    approve(store, plan, "grace@contoso.com")
    with pytest.raises(UsageError, match="already"):
        approve(store, plan, "eve@contoso.com")
    with pytest.raises(NotApproved):
        require_approval(load_project(file), store, read_plan(store, runs[3].plan))
    done = site.run(plan_id=plan.id, dry_run=False, by="ada@contoso.com")
    assert done.steps == DONE, done.failure
    assert user["userPrincipalName"] in names(control)


def test_a_restore_without_approval_makes_users_anew_and_hands_over_their_passwords(
    site: Site, control: Control, project: Project
) -> None:
    user = delete_user(control, for_good=True)
    run = site.run(
        point=site.point, types=["users"], where=f"id = '{user['id']}'", dry_run=False, passwords_file="new.csv"
    )
    assert run.steps == DONE, run.failure
    assert user["userPrincipalName"] in names(control)
    file = project.file.parent / "new.csv"
    assert file.stat().st_mode & 0o777 == 0o600
    [_, line] = file.read_text().splitlines()
    name, password = line.split(",", 1)
    assert name == user["userPrincipalName"]
    told = " ".join([*run.log, *(str(run.metadata(number)) for number in range(len(run.seen)))])
    assert str(file) in told
    assert password.strip('"') not in told


def lose_graph(monkeypatch: pytest.MonkeyPatch, *, times: int) -> None:
    """Graph cannot be reached any more after the first step that is done; the first so many times."""
    left = iter(range(times))

    def step(self: RunRestoreProgress, outcome: StepOutcome, done: int, steps: int) -> None:
        if next(left, None) is not None:
            raise GraphUnavailable("Microsoft Graph cannot be reached", remedy="Start it again.")

    monkeypatch.setattr(RunRestoreProgress, "step", step)


@pytest.mark.parametrize("from_failure", [True, False], ids=["from failure", "as a whole"])
def test_a_run_that_failed_goes_on_where_it_stopped(
    from_failure: bool, site: Site, control: Control, store: ScopeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_graph(monkeypatch, times=1)
    users = [delete_user(control, for_good=True) for _ in range(2)]
    wanted: dict[str, Any] = {"point": site.point, "types": ["users", "groups"], "dry_run": False}
    with use_op_retries(OpRetries(times=0)):
        failed = site.run(**wanted)
    assert failed.steps == {"plan_restore": "STEP_SUCCESS", "apply_restore": "STEP_FAILURE"}
    assert "Microsoft Graph cannot be reached" in failed.failure
    [record] = [one for one in store.jobs.all() if one.id == failed.plan]
    assert (record.status, record.error) == ("failed", "Microsoft Graph cannot be reached")

    again = site.run(after=failed.id, from_failure=from_failure, **wanted)
    assert again.success, again.failure
    assert again.metadata()["plan"] == failed.plan
    found = [one["userPrincipalName"] for one in control.dump("users")]
    assert [found.count(user["userPrincipalName"]) for user in users] == [1, 1]
    [record] = [one for one in store.jobs.all() if one.id == failed.plan]
    assert (record.status, record.error) == ("finished", "")


def test_what_fails_for_a_passing_reason_is_tried_again(
    site: Site, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_graph(monkeypatch, times=2)
    user = delete_user(control)
    run = site.run(point=site.point, dry_run=False)
    assert run.steps == DONE, run.failure
    assert sum("Retrying in" in line for line in run.log) == 2
    assert user["userPrincipalName"] in names(control)


def test_a_run_fails_when_not_everything_is_restored(
    site: Site, control: Control, simulator: Simulator, store: ScopeStore
) -> None:
    granted = control.roles(simulator.restore_client_id)
    user = delete_user(control)
    dry = site.run(point=site.point)
    control.roles(
        simulator.restore_client_id, [role for role in granted if "Write" not in role and "Restore" not in role]
    )
    run = site.run(plan_id=dry.plan, dry_run=False)
    control.roles(simulator.restore_client_id, granted)
    assert run.steps == {**DONE, "report_restore": "STEP_FAILURE"}, run.failure
    assert user["userPrincipalName"] not in names(control)
    shown = run.metadata()
    assert shown["status"] == "finished with exception"
    assert "users" in {row["type"] for row in shown["exceptions"]}
    assert "finished with exception" in run.failure
    [record] = [one for one in store.jobs.all() if one.id == dry.plan]
    assert record.status == "finished with exception"
    assert site.run(point=site.point, dry_run=False).success


def test_what_changed_since_the_plan_is_left_alone(site: Site, control: Control) -> None:
    one, other = [user for user in control.dump("users") if not user.get("onPremisesSyncEnabled")][:2]
    for user in (one, other):
        control.patch(f"users/{user['id']}", {"jobTitle": "Scrambled"})
    dry = site.run(point=site.point)
    control.patch(f"users/{one['id']}", {"jobTitle": "Changed since"})
    refused = site.run(plan_id=dry.plan, dry_run=False)
    assert refused.steps == {"plan_restore": "STEP_SUCCESS", "apply_restore": "STEP_FAILURE"}
    assert "nothing was written" in refused.failure
    titles = {user["id"]: user.get("jobTitle") for user in control.dump("users")}
    assert (titles[one["id"]], titles[other["id"]]) == ("Changed since", "Scrambled")
    gone_on = site.run(plan_id=dry.plan, dry_run=False, go_on=True)
    assert "report_restore" in gone_on.steps
    titles = {user["id"]: user.get("jobTitle") for user in control.dump("users")}
    assert (titles[one["id"]], titles[other["id"]]) == ("Changed since", other.get("jobTitle"))
    assert site.run(point=site.point, dry_run=False).success


def test_another_tenant_gets_what_is_chosen(tmp_path: Path, simulator: Simulator, instance: dg.DagsterInstance) -> None:
    with Simulator(users=3, groups=1, seed=12, domain="tailwind.com") as other:
        other.control.knobs(throttle_conditional_access=False)
        file = tmp_path / "dagster_project.toml"
        settings = SETTINGS.replace('"deleted_users"', '"domains"')
        file.write_text(simulator.tenant_table() + other.tenant_table("tailwind") + settings)
        project = load_project(file)
        site = Site(project, instance, open_store(project, SCOPE))
        # Whose name is taken there would be found, not created; users that tests made anew come in any order.
        taken = {name.partition("@")[0] for name in names(other.control)}
        user = next(
            one
            for one in simulator.control.dump("users")
            if one["userPrincipalName"].partition("@")[0] not in taken
            and not (one["onPremisesSyncEnabled"] or one["userType"] != "Member" or "extension_" in str(one))
        )
        run = site.run(
            point=site.point,
            to="tailwind",
            domains={"contoso.com": "tailwind.com"},
            types=["users"],
            where=f"id = '{user['id']}'",
            dry_run=False,
        )
        assert "report_restore" in run.steps, run.failure
        name = user["userPrincipalName"].partition("@")[0]
        assert f"{name}@tailwind.com" in names(other.control)
        outcome = run.metadata()
        assert outcome["tenant"] == "tailwind"
        assert "[scopes.restore-tailwind]" in outcome["to_undo"]
        # Dagster has no asset for the points of a scope that the project does not have.
        assert site.materialized() == {site.point}


def test_nothing_to_restore_is_said(site: Site) -> None:
    run = site.run(point=site.point, dry_run=False)
    assert run.success
    assert run.steps == {"plan_restore": "STEP_SUCCESS", **dict.fromkeys(job.OPS[1:], "STEP_SKIPPED")}
    assert "nothing to write" in str(run.seen[0].description)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({}, "the recovery point to restore is missing"),
        ({"point": "yesterday"}, "'yesterday' is neither a recovery point nor a time"),
        ({"point": "2020-01-01T00-00-00Z"}, "has no recovery point 2020-01-01T00-00-00Z"),
        ({"point": "latest", "types": ["user"]}, "there is no object type 'user'"),
        ({"point": "latest", "types": ["applications"]}, "applications"),
        ({"point": "latest", "where": "department = 'Sales'"}, "a condition needs one object type"),
        ({"point": "latest", "types": ["users"], "where": "nonsense ="}, "the condition is not"),
        ({"point": "latest", "ids": ["11111111-1111-1111-1111-111111111111"]}, "has no object 11111111"),
        ({"plan_id": "2026-01-01T00-00-00Z-abcdef"}, "has no plan '2026-01-01T00-00-00Z-abcdef'"),
        ({"plan_id": "some", "types": ["users"]}, "exclude each other"),
        ({"point": "latest", "passwords_file": "../static/new.csv"}, "must be a file name without a folder"),
        ({"point": "latest", "passwords_file": "/tmp/new.csv"}, "must be a file name without a folder"),
        ({"point": "latest", "passwords_file": ".profile"}, "must be a file name without a folder"),
        ({"scope": "contoso", "point": "latest"}, "contoso-eu"),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused_before_the_tenant_is_read(
    config: dict[str, Any], told: str, shared: Site, control: Control
) -> None:
    control.ledger(reset=True)
    run = shared.run(**{"dry_run": False, **config})
    assert run.steps == {"plan_restore": "STEP_FAILURE"}
    assert told in run.failure
    assert control.ledger()["requests"] == 0


@pytest.mark.parametrize(
    ("op", "config", "told"),
    [
        ("apply_restore", {"dry_run": True}, "dry_run is true, and nothing is written while it is"),
        ("apply_restore", {}, "dry_run is true, and nothing is written while it is"),
        ("apply_restore", {"dry_run": False, "passwords_file": "../x.csv"}, "must be a file name without a folder"),
        ("verify_restore", {"dry_run": False, "passwords_file": "/tmp/x.csv"}, "must be a file name without a folder"),
        ("report_restore", {"dry_run": False, "passwords_file": "../x.csv"}, "must be a file name without a folder"),
        ("apply_restore", {"dry_run": False}, "and plan_id is other"),
    ],
    ids=str,
)
def test_an_op_that_is_launched_alone_is_no_way_around_those_before_it(
    op: str, config: dict[str, Any], told: str, shared: Site, planned: "Run", control: Control
) -> None:
    control.ledger(reset=True)
    run = shared.run(after=planned.id, steps=[op], plan_id="other", **config)
    assert run.steps == {op: "STEP_FAILURE"}
    assert told in run.failure
    assert control.ledger()["requests"] == 0


def test_the_form_explains_itself(project: Project) -> None:
    definition = build_definitions(project).resolve_job_def("restore")
    assert definition.config_mapping is not None
    fields = definition.config_mapping.config_schema.config_type.fields  # type: ignore[union-attr]
    assert all(field.description for field in fields.values())
    assert [name for name, field in fields.items() if field.is_required] == ["scope"]
    assert fields["dry_run"].default_value is True
    assert fields["conflict"].config_type.inner_type.config_values == ["overwrite", "merge", "skip"]
