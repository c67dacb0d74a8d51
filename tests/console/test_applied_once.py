"""A plan is applied once, whoever presses again: the second press shows the first, and no record is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import pytest

from entra_pipeline.console.auth import SignIn
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.dagster.client import Dagster, Run
from entra_pipeline.operations.environment import COMMAND, ProjectEnvironment
from entra_pipeline.operations.restore import RestoreRun, passwords_file
from entra_pipeline.restore.objects.model import RestorePlan
from entra_pipeline.restore.records.journal import RestoreUnderWay
from entra_pipeline.restore.records.plans import write_plan
from entra_pipeline.store.events import EVENTS
from entra_pipeline.store.manifest import seal
from entra_pipeline.store.recovery_points import ScopeStore
from tests.console.conftest import Browser, Served, served
from tests.console.two_points import NOWHERE
from tests.support.planned import planned_restore


class Planned(NamedTuple):
    """A plan to bring back a user, and what carries it out."""

    run: RestoreRun
    plan: RestorePlan
    store: ScopeStore
    console: Served

    @property
    def address(self) -> str:
        return f"/scopes/contoso/restores/{self.plan.id}"

    def operator(self) -> Browser:
        return self.console.browser(Role.operator)


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planned]:
    with planned_restore(tmp_path_factory.mktemp("once")) as (project, store, plan):
        nowhere = Dagster(NOWHERE, NOWHERE)
        with served(project.file, sign_in=SignIn(), dagster=nowhere) as console:
            run = RestoreRun(
                environment=ProjectEnvironment(project),
                store=store,
                plan=plan,
                passwords_file=passwords_file(project, plan),
                origin=COMMAND,
            )
            yield Planned(run, plan, store, console)
        nowhere.close()


def a_run(plan: RestorePlan, status: str) -> Run:
    identifier = "11111111-2222-3333-4444-555555555555"
    return Run(identifier, "restore", status, 1.0, None, None, {"entra/plan": plan.id, "entra/scope": "contoso"})


def test_a_plan_that_is_being_applied_is_not_launched_again(planned: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
    launched: list[Any] = []
    dagster = planned.console.site.dagster
    monkeypatch.setattr(dagster, "launch", lambda *told, **_: launched.append(told) or "run")
    asked: list[Any] = []

    def runs(**told: Any) -> list[Run]:
        asked.append(told["filters"])
        return [a_run(planned.plan, "queued")]

    monkeypatch.setattr(dagster, "runs", runs)
    page = planned.operator().get(planned.address).text
    assert "This plan is being applied" in page and "Apply the plan" not in page
    answer = planned.operator().post(f"{planned.address}/apply")
    assert answer.headers["location"] == f"/jobs/{a_run(planned.plan, 'queued').id}"
    assert launched == []
    assert asked[-1]["tags"] == [{"key": "entra/plan", "value": planned.plan.id}]
    assert "QUEUED" in asked[-1]["statuses"]


def test_a_plan_that_takes_a_signed_in_user_is_applied_on_the_command_line(planned: Planned) -> None:
    steps = tuple(msgspec.structs.replace(step, delegated=True) for step in planned.plan.steps)
    plan = seal(msgspec.structs.replace(planned.plan, id="2026-11-24T00-00-00Z-0a1b2c", steps=steps))
    write_plan(planned.store, plan)
    page = planned.operator().get(f"/scopes/contoso/restores/{plan.id}").text
    assert f"entra-pipeline restore contoso --apply {plan.id} --sign-in" in page
    assert "Apply the plan" not in page


def test_who_comes_while_another_restores_leaves_no_record(planned: Planned) -> None:
    busy = planned.store.files.lock(f"_locks/restore-{planned.plan.tenant_id}", "a test", planned.store.clock)
    with busy, pytest.raises(RestoreUnderWay):
        asyncio.run(planned.run.apply_and_verify())
    assert planned.store.jobs.find(planned.plan.id) is None


def test_a_second_time_shows_the_first_and_leaves_its_record(planned: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
    first = asyncio.run(planned.run.apply_and_verify())
    record = planned.store.jobs.find(planned.plan.id)
    assert record is not None and record.status == "finished"
    planned.store.files.clear([file.key for file in planned.store.files.list(EVENTS)])

    assert asyncio.run(planned.run.apply_and_verify()) == first
    assert asyncio.run(planned.run.apply()) == asyncio.run(planned.run.verify(first)) == first
    assert planned.store.jobs.find(planned.plan.id) == record
    assert list(planned.store.files.list(EVENTS)) == []

    launched: list[Any] = []
    monkeypatch.setattr(planned.console.site.dagster, "launch", lambda *told, **_: launched.append(told) or "run")
    browser = planned.operator()
    answer = browser.post(f"{planned.address}/apply")
    assert answer.headers["location"] == planned.address
    page = browser.get(planned.address).text
    assert "This plan was applied already" in page and "Outcome" in page
    assert launched == []
