"""The calendar of recovery points: a day opens, and what restores took for themselves is folded away."""

from __future__ import annotations

import asyncio
import re

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from entra_pipeline.backup.run import backup
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.graph.factory import open_graph
from entra_pipeline.project import Project
from entra_pipeline.project.stores import open_store
from entra_pipeline.store.manifest import TakenFor
from tests.console.person import Person
from tests.console.two_points import Served, _console, backed_up, points, project, served, simulator
from tests.support.browser import browser

__all__ = ["_console", "backed_up", "browser", "points", "project", "served", "simulator"]

AUTOMATIC = (TakenFor.PLAN, TakenFor.UNDO, TakenFor.READ_BACK)


@pytest.fixture(scope="module")
def automatic(backed_up: Project) -> list[str]:
    """Points that a restore takes, besides four of backups."""
    scope = backed_up.scope("contoso")

    async def take(why: str) -> str:
        async with open_graph(backed_up.tenants[scope.tenant]) as graph:
            return (await backup(scope, open_store(backed_up, scope), graph, taken_for=why)).recovery_point

    asyncio.run(take(TakenFor.SCHEDULE))
    asyncio.run(take(TakenFor.SCHEDULE))
    return [asyncio.run(take(why)) for why in AUTOMATIC]


def listed(page: str) -> list[str]:
    return re.findall(r'<td class="moment"><a href="[^"]+/points/([^"]+)"', page)


def test_automatic_points_are_folded_away(served: Served, points: list[str], automatic: list[str]) -> None:
    with served.client(Role.viewer) as client:
        page = client.get("/scopes/contoso/points").text
        own = [point for point in open_store(served.site.project(), "contoso").points() if point not in automatic]
        month = [point for point in own if point[:7] == automatic[-1][:7]]
        assert listed(page) == month[::-1]
        assert sum(map(int, re.findall(r'<summary aria-label="(\d+) automatic', page))) == len(automatic)
        assert all(f", {why}" in page for why in AUTOMATIC)
        every = client.get("/scopes/contoso/points", params={"automatic": "1"}).text
        assert set(automatic) < set(listed(every)) and all(f"<small>{why}</small>" in every for why in AUTOMATIC)


@pytest.mark.browser
def test_a_day_opens(browser: webdriver.Chrome, served: Served, automatic: list[str]) -> None:
    person = Person(browser, served, Role.viewer)
    person.open("/scopes/contoso/points")
    folded = person.one(".calendar .automatic a")
    assert not folded.is_displayed()
    person.click(".calendar .automatic summary")
    assert folded.is_displayed() and "read-back" in person.one(".calendar .automatic").text
    person.click(".calendar .automatic a")
    person.sees("Objects", "Links")
    assert person.clicks == 2
    person.open("/scopes/contoso/points")
    more = browser.find_elements(By.CSS_SELECTOR, ".calendar details:not(.automatic)")
    if more:
        # All on one day: the fourth is behind the first three.
        more[0].find_element(By.TAG_NAME, "summary").click()
        assert more[0].find_element(By.TAG_NAME, "a").is_displayed()
