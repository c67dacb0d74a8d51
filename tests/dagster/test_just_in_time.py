"""The job `restore` by an app registration that has a credential only while it writes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from entra_pipeline.audit import AuditLog
from entra_pipeline.catalogue.logs import APP_SIGN_INS
from entra_pipeline.doctor import examine_tenant
from entra_pipeline.graph.retry import use_policy
from entra_pipeline.orchestration.op_retries import OpRetries, use_op_retries
from entra_pipeline.project import load_project
from entra_pipeline.project.stores import open_store
from entra_pipeline.simulator import Simulator
from entra_pipeline.store.tokens import TokenRecords
from tests.dagster.test_restore import SCOPE, Site, delete_user, names, project_in
from tests.support.just_in_time import make_just_in_time
from tests.support.patience import IMPATIENT


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(users=12, groups=3, seed=11) as one:
        yield one


@pytest.fixture
def site(tmp_path: Path, simulator: Simulator, instance: dg.DagsterInstance) -> Iterator[Site]:
    file = project_in(tmp_path, simulator).file
    make_just_in_time(file, simulator)
    with use_op_retries(OpRetries(pause=0.0)), use_policy(IMPATIENT):
        project = load_project(file)
        yield Site(project, instance, open_store(project, SCOPE))


def test_a_plan_needs_no_credential_and_its_run_has_one_made_and_removed(site: Site, simulator: Simulator) -> None:
    user = delete_user(simulator.control)
    planned = site.run(point="latest", types=["users"], ids=[user["id"]], dry_run=True)
    assert planned.success, planned.failure
    done = site.run(plan_id=planned.plan, dry_run=False)
    assert done.success, done.failure
    assert user["userPrincipalName"] in names(simulator.control)
    [job] = [one for one in site.store.jobs.all() if one.type == "restore"]
    # Writing and reading back are ops of their own: whichever needs the app gives it one.
    assert job.details["credentials"] and all(one["removed"] for one in job.details["credentials"])
    told = {one.check: one.told for one in examine_tenant(site.project, "simulated", lambda: datetime.now(UTC))}
    assert told["credentials, app that restores"].startswith("it has none")
    today = datetime.now(UTC)
    log = AuditLog(site.store.files).events(today.date(), today.date())
    acts = [one.action for one in log if one.action.startswith("credential")]
    assert acts == ["credential made", "credential removed"] * (len(acts) // 2) and acts
    assert {one.channel for one in log if one.action.startswith("credential")} == {"dagster"}
    records, _ = TokenRecords(site.store.files, simulator.tenant_id).of_days(today, today)
    assert {(one.job, one.app) for one in records} >= {
        ("restore", simulator.restore_client_id),
        ("restore", simulator.owner_client_id),
        ("restore plan", simulator.client_id),
    }
    taken = {one.token for one in records}
    assert taken >= {one["uniqueTokenIdentifier"] for one in simulator.control.log("beta/auditLogs/signIns")}
    assert APP_SIGN_INS not in site.project.scopes[SCOPE].log_types()


def test_a_run_that_fails_leaves_no_credential_and_the_next_goes_on(site: Site, simulator: Simulator) -> None:
    user = delete_user(simulator.control)
    planned = site.run(point="latest", types=["users"], ids=[user["id"]], dry_run=True)
    roles = simulator.control.roles(simulator.restore_client_id)
    simulator.control.roles(simulator.restore_client_id, ["Directory.Read.All"])
    failed = site.run(plan_id=planned.plan, dry_run=False)
    assert not failed.success
    [job] = [one for one in site.store.jobs.all() if one.type == "restore"]
    assert all(one["removed"] for one in job.details["credentials"])
    simulator.control.roles(simulator.restore_client_id, roles)
    # An hour later: the secret of then is long gone.
    simulator.control.clock(3700)
    again = site.run(plan_id=planned.plan, dry_run=False)
    assert again.success or "report" in again.failure, again.failure
