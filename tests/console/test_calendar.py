"""The calendar of recovery points: a day opens, and what restores took for themselves is folded away."""

from __future__ import annotations

import asyncio
import re
from zoneinfo import ZoneInfo

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from entra_pipeline.backup.run import backup
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.pages.browse.points import _month
from entra_pipeline.graph.factory import open_graph
from entra_pipeline.project import Project
from entra_pipeline.project.stores import open_store
from entra_pipeline.store.manifest import TakenFor
from entra_pipeline.store.points.keys import moment_of
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
def test_days_and_times_are_the_readers(
    browser: webdriver.Chrome, served: Served, project: Project, points: list[str]
) -> None:
    """Of the calendar and of the days to restore from; UTC is on hover."""
    browser.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "Pacific/Kiritimati"})
    person = Person(browser, served, Role.operator)
    person.open("/scopes")
    there = moment_of(points[0]).astimezone(ZoneInfo("Pacific/Kiritimati"))
    for path in ("/scopes/contoso/points", "/scopes/contoso/restore"):
        person.open(path)
        person.sees("Days and times are those of Pacific/Kiritimati")
        # It may be folded away behind later ones of its day.
        link = person.one(f"main a[href*='{points[0]}'][title]")
        assert f"{there:%H:%M}" in str(link.get_attribute("textContent"))
        assert f"{moment_of(points[0]):%Y-%m-%d %H:%M:%S} UTC" in str(link.get_attribute("title"))
    assert f"{there:%A %d %B}" in person.text()
    person.open("/scopes/contoso/points")
    cell = browser.find_element(By.XPATH, f"//td[.//a[contains(@href, '{points[0]}')]][.//span[@class='day']]")
    assert cell.find_element(By.CSS_SELECTOR, ".day").text == str(there.day)


def test_a_month_is_the_readers(served: Served, points: list[str]) -> None:
    assert _month("2026-11-30T23-30-00Z", ZoneInfo("Europe/Stockholm")) == "2026-12"
    assert _month("2026-12-01T00-30-00Z", ZoneInfo("America/New_York")) == "2026-11"
    with served.client(Role.viewer) as client:
        client.cookies.set("zone", "../../etc/passwd")
        assert "Days and times are those of UTC" in client.get("/scopes/contoso/points").text


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
