"""Restoring as a person does: a point in time, what is found in it, the basket, the plan, and what came of it."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Thread
from typing import Any, NamedTuple

import pytest
from selenium import webdriver

from entra_pipeline.backup.run import backup
from entra_pipeline.clock import system_clock
from entra_pipeline.console.app_state import AppState
from entra_pipeline.console.auth import SignIn
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.dagster.client import Dagster, Run
from entra_pipeline.console.rendering import templates
from entra_pipeline.graph.factory import open_graph
from entra_pipeline.operations.environment import COMMAND, ProjectEnvironment
from entra_pipeline.operations.restore import RestoreRun, passwords_file, plan_restore
from entra_pipeline.orchestration.jobs.restore import RestoreConfig
from entra_pipeline.project import Project
from entra_pipeline.project.stores import open_store
from entra_pipeline.restore.records.plans import read_plan
from entra_pipeline.simulator import Simulator
from tests.console.person import Person
from tests.console.test_every_page import serious
from tests.console.two_points import NOWHERE, Served, serving
from tests.support.browser import browser
from tests.support.planned import small_project

__all__ = ["browser"]


class InProcess:
    """Runs restores in threads of this process, in Dagster's place."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._runs: list[Run] = []

    def launch(self, job: str, config: Mapping[str, Any], *, tags: Mapping[str, str], **_: Any) -> str:
        run = Run(f"00000000-0000-0000-0000-{len(self._runs):012}", job, "started", time.time(), None, None, tags)
        self._runs.insert(0, run)
        Thread(target=self._work, args=(run, RestoreConfig(**config)), daemon=True).start()
        return run.id

    def _work(self, run: Run, config: RestoreConfig) -> None:
        environment, scope = ProjectEnvironment(self._project), self._project.scope(config.scope)
        store = environment.open_store(scope)
        if config.dry_run:
            making = plan_restore(
                environment,
                scope,
                store,
                store.manifest(config.point),
                config.selection(),
                config.options(),
                writing=False,
                trigger="a test",
            )
            plan = asyncio.run(making)
        else:
            plan = read_plan(store, config.plan_id)
            file = passwords_file(self._project, plan)
            restore = RestoreRun(environment=environment, store=store, plan=plan, passwords_file=file, origin=COMMAND)
            asyncio.run(restore.apply_and_verify())
        ended = replace(run, status="success", finished=time.time(), tags={**run.tags, "entra/plan": plan.id})
        self._runs = [ended if one.id == run.id else one for one in self._runs]

    def run(self, run_id: str) -> Run:
        return next(one for one in self._runs if one.id == run_id)

    def runs(self, **_: Any) -> list[Run]:
        return [one for one in self._runs if one.under_way]


class Lost(NamedTuple):
    """A console on a tenant that has lost three groups since last Tuesday."""

    served: Served
    simulator: Simulator
    groups: list[dict[str, Any]]
    tuesday: datetime


@pytest.fixture
def lost(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lost]:
    now = system_clock()
    tuesday = (now - timedelta(days=(now.weekday() - 1) % 7 or 7)).replace(hour=6, minute=0, second=0)
    with Simulator(users=12, groups=8, seed=5) as simulator:
        project = small_project(tmp_path_factory.mktemp("journey"), simulator)
        groups = simulator.control.dump("groups")[2:5]
        for number, group in enumerate(groups, 1):
            group["displayName"] = f"Project Aurora {number}"
            simulator.control.patch(f"groups/{group['id']}", {"displayName": group["displayName"]})
        take(project, tuesday)
        for group in groups:
            simulator.control.delete(f"groups/{group['id']}")
        take(project, now - timedelta(minutes=5))
        dagster, inside = Dagster(NOWHERE, NOWHERE), InProcess(project)
        for name in ("launch", "run", "runs"):
            monkeypatch.setattr(dagster, name, getattr(inside, name))
        monkeypatch.setattr(dagster, "log", lambda _: [])
        site = AppState(project.file, sign_in=SignIn(), dagster=dagster, templates=templates())
        with serving(site) as served:
            yield Lost(served, simulator, groups, tuesday)
        dagster.close()


def take(project: Project, moment: datetime) -> None:
    scope, began = project.scope("contoso"), system_clock()

    def clock() -> datetime:
        return moment + (system_clock() - began)

    async def work() -> None:
        async with open_graph(project.tenants[scope.tenant]) as graph:
            await backup(scope, open_store(project, scope, clock), graph, clock=clock)

    asyncio.run(work())


@pytest.mark.browser
def test_three_groups_of_last_tuesday(browser: webdriver.Chrome, lost: Lost) -> None:
    person = Person(browser, lost.served, Role.operator)
    person.open("/")
    person.click("a", "Restore …")
    person.sees("When was everything still right?")
    person.click("a", f"Tuesday {lost.tuesday:%d %B}")
    person.sees("Select what to restore", "Nothing selected")
    # What is looked for is found among all types; the field to write in is there at once.
    browser.switch_to.active_element.send_keys("aurora\n")
    person.sees("Project Aurora 1", "Project Aurora 3")
    for number, group in enumerate(lost.groups, 1):
        person.click(f"[name=item][value*='{group['id']}']")
        person.sees(f"{number} object{'s' if number > 1 else ''} selected")
    person.click("button.primary", "Review 3 objects")
    # The plan opens by itself as soon as it is made.
    person.sees("Apply the plan", *(group["displayName"] for group in lost.groups))
    assert "Nothing differs" not in person.text()
    # Pages that no list of pages has, as they are made on the way.
    browser.set_script_timeout(60)
    assert serious(browser) == []
    person.click("button.primary", "Apply the plan")
    browser.switch_to.alert.accept()
    person.clicks += 1
    person.sees("finished")
    assert person.clicks <= 8
    assert serious(browser) == []
    # What came of it, and the report to hand on.
    person.click("a.button.primary", "View the plan and its outcome")
    person.sees("Restore of contoso", "Verified against the tenant", *(group["displayName"] for group in lost.groups))
    assert serious(browser) == []
    assert person.one("#report-html").get_attribute("download") is not None
    with lost.served.client(Role.operator) as client:
        report = client.get(str(person.one("#report-html").get_attribute("href")))
    assert report.status_code == 200 and "Project Aurora 2" in report.text
    there = {one["displayName"] for one in lost.simulator.control.dump("groups")}
    assert {group["displayName"] for group in lost.groups} <= there


@pytest.mark.browser
def test_what_is_selected_stays_while_one_looks_further(browser: webdriver.Chrome, lost: Lost) -> None:
    person = Person(browser, lost.served, Role.operator)
    user = next(one for one in lost.simulator.control.dump("users") if one["displayName"].isascii())
    person.open("/scopes/contoso/restore")
    person.click("a", f"Tuesday {lost.tuesday:%d %B}")
    person.write("#f-find", "aurora 2\n")
    person.click("[name=item]")
    person.sees("1 object selected")
    person.one("#f-find").clear()
    person.write("#f-find", f"{user['userPrincipalName']}\n")
    person.sees(user["displayName"], "1 object selected")
    person.click("[name=item]")
    person.sees("2 objects selected", "Review 2 objects")
    # By type, and page by page.
    person.choose("#f-type", "users")
    person.wait(lambda: "type=users" in browser.current_url)
    person.sees("Project Aurora 2", "2 objects selected")
    assert person.one("[name=item]").is_selected()
    person.click("[name=item]")
    person.sees("1 object selected")
    person.click("[aria-label='Remove Project Aurora 2']")
    person.sees("Nothing selected")
    assert re.fullmatch(
        "/scopes/contoso/restore/[^/]+", browser.current_url.removeprefix(lost.served.url).partition("?")[0]
    )


def test_it_works_without_scripts_and_a_basket_is_of_its_point(lost: Lost) -> None:
    with lost.served.client(Role.operator) as client:
        first = re.findall(r'href="(/scopes/contoso/restore/[^"#]+)', client.get("/scopes/contoso/restore").text)
        tuesday = next(path for path in first if f"{lost.tuesday:%Y-%m-%d}" in path)
        found = client.get(tuesday, params={"find": "aurora"}).text
        items = re.findall(r'name="item" value="([^"]+)"', found)
        assert len(items) == 3 and "Update the selection" in found
        sent = {"shown": items, "item": items[:2], "back": f"{tuesday}?find=aurora"}
        answer = client.post(f"{tuesday}/basket", data=sent)
        assert answer.headers["location"] == f"{tuesday}?find=aurora"
        assert "2 objects selected" in client.get(tuesday).text
        assert "Nothing selected" in client.get(first[0]).text
        assert client.post(f"{tuesday}/basket", data={"item": "nonsense"}).status_code == 400
        # Where the page renews the basket alone, it is there that it says so.
        full = client.post(f"{tuesday}/basket", data={"item": "nonsense"}, headers={"HX-Request": "true"})
        assert full.status_code == 200 and "The selection cannot be read" in full.text
        away = client.post(f"{tuesday}/basket", data={"empty": "1", "back": "//evil.example.com"})
        assert away.headers["location"] == "/"
        assert "Nothing selected" in client.get(tuesday).text
        assert client.get(tuesday, params={"type": "nonsense"}).status_code == 400
        assert client.get("/scopes/contoso/restore", params={"day": "never"}).status_code == 400
        assert (
            "No recovery point up to this day"
            in client.get("/scopes/contoso/restore", params={"day": "2001-01-01"}).text
        )
