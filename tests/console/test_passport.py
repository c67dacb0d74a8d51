"""An object as a passport: who it is, its relations by name, who changed it when; beside its list, and by Ctrl K."""

from __future__ import annotations

import asyncio

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from entra_pipeline.backup.logs import read_logs
from entra_pipeline.catalogue.labels import label
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.display.states import object_states
from entra_pipeline.graph.factory import open_graph
from entra_pipeline.project import Project
from entra_pipeline.project.stores import open_store
from tests.console.person import Person
from tests.console.test_by_keyboard import DESKTOP, press, size
from tests.console.two_points import HOSTILE, Served, _console, backed_up, points, project, served, simulator
from tests.support.browser import browser

__all__ = ["_console", "backed_up", "browser", "points", "project", "served", "simulator"]


@pytest.mark.browser
def test_an_object_opens_beside_its_list(
    browser: webdriver.Chrome, served: Served, project: Project, points: list[str]
) -> None:
    """With its relations by name and its timeline; Escape gives the keyboard back to the row."""
    person = Person(browser, served, Role.operator)
    size(browser, *DESKTOP)
    row, side = person.beside(f"/scopes/contoso/points/{points[-1]}/groups", "onerror")
    person.wait(lambda: "Timeline" in side.text and "modified" in side.text and "Members" in side.text)
    assert HOSTILE in side.text and "Microsoft 365 group" in side.text
    assert "Display name: " in side.text and "Restore as it was before" in side.text
    assert browser.current_url.endswith("/groups"), "the list is still there"
    assert browser.find_elements(By.CSS_SELECTOR, "tr[aria-current]")
    # A relation opens in the same place.
    side.find_element(By.CSS_SELECTOR, ".relations a").click()
    person.wait(lambda: HOSTILE not in side.find_element(By.CSS_SELECTOR, "h1").text)
    press(browser, Keys.ESCAPE)
    person.wait(lambda: not side.is_displayed())
    assert browser.switch_to.active_element == row


@pytest.mark.browser
def test_the_timeline_tells_who_did_it(
    browser: webdriver.Chrome, served: Served, project: Project, points: list[str]
) -> None:
    """Where the scope keeps the directory audit log; otherwise it says that nobody knows."""
    store = open_store(project, "contoso")
    person = Person(browser, served, Role.viewer)
    groups = f"/scopes/contoso/points/{points[-1]}/groups"
    _, side = person.beside(groups, "onerror")
    person.wait(lambda: "does not keep the directory audit log" in side.text)

    async def read() -> None:
        async with open_graph(project.tenants["simulated"]) as graph:
            await read_logs(project.scope("contoso"), store.logs, graph, types=["directory_audits"])

    asyncio.run(read())
    _, again = person.beside(groups, "onerror")
    person.wait(lambda: "Microsoft Entra: Update group" in again.text)


@pytest.mark.browser
def test_ctrl_k_finds_pages_scopes_points_and_objects(
    browser: webdriver.Chrome, served: Served, project: Project, points: list[str]
) -> None:
    person = Person(browser, served, Role.operator)
    size(browser, *DESKTOP)
    person.open("/")

    def ask(text: str, *expected: str) -> None:
        ActionChains(browser).key_down(Keys.CONTROL).send_keys("k").key_up(Keys.CONTROL).perform()
        found = browser.find_element(By.ID, "palette-found")
        person.wait(lambda: browser.switch_to.active_element.get_attribute("id") == "palette-text")
        press(browser, text)
        person.wait(lambda: all(one in found.text for one in expected))

    ask("cont", "contoso", "People and their groups")
    ask(points[-1][:10], "Recovery points", points[-1][:10])
    ask("onerror", HOSTILE, "Group")
    press(browser, Keys.ARROW_DOWN, Keys.ENTER)
    person.wait(lambda: "/groups/object?id=" in browser.current_url)
    # Also from within a field; and asked for once more, it is written over.
    person.open("/sql")
    browser.find_element(By.ID, "f-query").click()
    ask("nothing of this name", "No object of this name")
    ask("Restores", "Restores")
    press(browser, Keys.ENTER)
    person.wait(lambda: browser.current_url.endswith("/restores"))


@pytest.mark.pure
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("jobTitle", "Job title"),
        ("onPremisesDistinguishedName", "On-premises distinguished name"),
        ("createdDateTime", "Created"),
        ("passwordPolicies", "Password policies"),
        ("memberOf", "Member of"),
        ("samlSingleSignOnSettings", "SAML single sign on settings"),
    ],
)
def test_properties_are_named_in_words(name: str, words: str) -> None:
    assert label(name) == words


@pytest.mark.pure
def test_states_of_objects() -> None:
    assert object_states({"accountEnabled": False, "userType": "Guest"}) == [("disabled", "warn"), ("guest", "plain")]
    assert object_states({"state": "enabledForReportingButNotEnforced"}) == [("report-only", "busy")]
    group = {"groupTypes": ["DynamicMembership"], "securityEnabled": True, "isAssignableToRole": True}
    assert [word for word, _ in object_states(group)] == ["security group", "dynamic membership", "role-assignable"]
    assert object_states({"displayName": "x"}) == []


def test_the_search_says_which_scope_it_could_not_search(served: Served, project: Project, points: list[str]) -> None:
    [manifest] = (project.file.parent / "backup").rglob(f"{points[-1]}.json")
    whole = manifest.read_bytes()
    with served.client(Role.viewer) as viewer:
        manifest.write_bytes(b"{")
        try:
            told = viewer.get("/find/objects", params={"text": "nobody"}).text
        finally:
            manifest.write_bytes(whole)
        assert "contoso cannot be searched." in told
        assert "cannot be searched" not in viewer.get("/find/objects", params={"text": "no one"}).text
