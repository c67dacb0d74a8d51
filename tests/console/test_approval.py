"""A restore that takes two administrators, in the console: who may approve, and what nobody may switch off alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from entra_pipeline.audit import AuditEvent
from entra_pipeline.console.auth import SignIn
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.dagster.client import Dagster, Run
from entra_pipeline.project import load_project
from entra_pipeline.project.stores import open_store
from entra_pipeline.restore.objects.model import RestorePlan
from entra_pipeline.restore.records.approval import approved_by, sign_plan
from tests.console.conftest import NOWHERE, Browser, Served, served
from tests.console.test_pages import version_of
from tests.console.test_security import events
from tests.support.planned import planned_restore

ADA, GRACE, OTTO = "ada@contoso.com", "grace@contoso.com", "otto@contoso.com"


class Waiting(NamedTuple):
    """A console, and a plan that waits for approval."""

    console: Served
    plan: RestorePlan
    file: Path

    @property
    def address(self) -> str:
        return f"/scopes/contoso/restores/{self.plan.id}"

    def approved(self) -> str:
        found = approved_by(open_store(load_project(self.file), "contoso"), self.plan)
        return found.by if found else ""


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[Waiting]:
    """Ada's plan to bring back a user."""
    with planned_restore(tmp_path, "users", "groups", "deleted_users", more="approval = true") as (project, _, plan):
        nowhere = Dagster(NOWHERE, NOWHERE)
        with served(project.file, sign_in=SignIn(), dagster=nowhere) as console:
            yield Waiting(console, plan, project.file)
        nowhere.close()


def approving(browser: Browser, waiting: Waiting, seal: str = "") -> int:
    return browser.post(f"{waiting.address}/approve", {"seal": seal or waiting.plan.seal}).status_code


def test_another_administrator_approves(waiting: Waiting) -> None:
    console, store = waiting.console, open_store(load_project(waiting.file), "contoso")
    ada, grace = (console.browser(Role.administrator, name) for name in (ADA, GRACE))
    otto = console.browser(Role.operator, OTTO)
    # As long as nobody knows who made it, nobody can be another.
    assert approving(grace, waiting) == 400
    sign_plan(store, waiting.plan, ADA)
    sign_plan(store, waiting.plan, OTTO)

    for browser in (ada, grace, otto):
        page = browser.get(waiting.address).text
        assert "waits for approval" in page and ADA in page and "Apply the plan" not in page
        assert ("Approve the plan" in page) is (browser is grace)
    assert approving(console.browser(Role.viewer), waiting) == 403
    assert approving(otto, waiting) == 403
    assert approving(ada, waiting) == 400
    assert approving(console.browser(Role.administrator, "ADA@contoso.com"), waiting) == 400
    assert approving(grace, waiting, seal="another") == 400
    for browser in (ada, grace, otto):
        assert browser.post(f"{waiting.address}/apply").status_code == 400
    assert waiting.approved() == ""
    assert {event.result for event in events_of(waiting, "restore approve")} == {"refused"}
    assert {event.actor for event in events_of(waiting, "restore")} == {ADA, GRACE, OTTO}

    assert approving(grace, waiting) == 303
    assert waiting.approved() == GRACE
    last = events_of(waiting, "restore approve")[-1]
    assert (last.actor, last.result, last.subject) == (GRACE, "finished", waiting.plan.id)
    page = otto.get(waiting.address).text
    assert GRACE in page and "Apply the plan" in page
    # What is not there is Dagster, and nothing else is in the way.
    answer = otto.post(f"{waiting.address}/apply")
    assert answer.status_code == 503 and "Dagster does not answer" in answer.text


def events_of(waiting: Waiting, action: str) -> list[AuditEvent]:
    return events(waiting.console, action)


def test_another_administrator_learns_of_it(waiting: Waiting, monkeypatch: pytest.MonkeyPatch) -> None:
    site, store = waiting.console.site, open_store(load_project(waiting.file), "contoso")
    sign_plan(store, waiting.plan, ADA)
    tags = {"entra/scope": "contoso", "entra/plan": waiting.plan.id}
    run = Run("a", "restore", "success", time.time(), None, None, tags)
    others = [
        replace(
            run,
            tags={"entra/scope": "contoso", "entra/plan": "20200101T000000Z", "dagster/sensor_name": "unusual_change"},
        ),
        replace(run, tags={"entra/scope": "elsewhere", "entra/plan": "20200102T000000Z"}),
    ]
    runs = [run, *others]
    monkeypatch.setattr(site.dagster, "runs", lambda **_: runs)
    grace = waiting.console.browser(Role.administrator, GRACE)
    assert f"{ADA} planned is waiting for approval" in grace.get("/dashboard/attention").text
    assert f'href="{waiting.address}"' in grace.get("/dashboard/attention").text
    listed = grace.get("/restores").text
    assert listed.count("waits for approval") == 1 and "sensor unusual_change" in listed
    runs[:] = [replace(run, created=run.created - 8 * 86_400), replace(run, status="started"), *others]
    assert "waits for approval" not in grace.get("/dashboard/attention").text
    runs[:] = [run]
    assert approving(grace, waiting) == 303
    for path in ("/dashboard/attention", "/restores"):
        assert "waits for approval" not in grace.get(path).text


def test_nobody_alone_switches_it_off(waiting: Waiting) -> None:
    ada = waiting.console.browser(Role.administrator, ADA)
    form = ada.get("/scopes/contoso/edit").text
    sent = {"tenant": "simulated", "storage": "disk", "keep_unit": "forever"}
    sent["version"] = version_of(form)
    before = waiting.file.read_bytes()
    off = ada.post("/scopes/contoso/edit", sent)
    assert off.status_code == 400 and "cannot be changed in the console" in off.text
    moved = ada.post("/scopes/contoso/edit", sent | {"approval": "1", "tenant": "another"})
    assert moved.status_code == 400 and "cannot be changed in the console" in moved.text
    gone = ada.post("/scopes/contoso/delete", {"confirm": "contoso", "version": sent["version"]})
    assert gone.status_code == 400 and "cannot be changed in the console" in gone.text
    assert waiting.file.read_bytes() == before
    assert ada.post("/scopes/contoso/edit", sent | {"approval": "1", "description": "both"}).status_code == 303
    assert load_project(waiting.file).scope("contoso").approval
