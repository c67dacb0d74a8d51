"""The form of a scope as a person uses it: a tree of types, people by name, schedule and retention in words."""

from __future__ import annotations

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from entra_pipeline.project import Project, load_project
from entra_pipeline.simulator import Simulator
from tests.console.person import Person
from tests.console.two_points import Served, _console, backed_up, points, project, served, simulator
from tests.support.browser import browser

__all__ = ["_console", "backed_up", "browser", "points", "project", "served", "simulator"]

pytestmark = pytest.mark.browser


@pytest.fixture
def person(browser: webdriver.Chrome, served: Served, project: Project) -> Person:
    return Person(browser, served)


def test_a_new_scope_of_chosen_groups(person: Person, simulator: Simulator, project: Project) -> None:
    groups = [one for one in simulator.control.dump("groups") if one["displayName"].isascii()][1:3]
    person.open("/scopes")
    person.click("a", "Create a scope")
    person.write("#f-name", "teams")
    # The step is there only for who chooses.
    assert not person.one("#f-find").is_displayed()
    person.click("[name=whom][value=chosen]")
    person.write("#f-find", groups[0]["displayName"])
    for group in groups:
        find = person.one("#f-find")
        find.clear()
        find.send_keys(group["displayName"])
        person.click(f"[data-add='{group['id']}']")
    person.sees("Backups run every 6 hours. Next: ")
    person.choose("[name=keep_unit]", "months")
    person.click("main button.primary", "Save")
    assert person.clicks <= 12
    person.sees("The scope teams has been saved", "Every 6 hours", "2 months")
    select = load_project(project.file).scope("teams").select
    assert select is not None and select.groups == [group["id"] for group in groups]
    # What is kept are ids; what is shown are names.
    person.open("/scopes/teams")
    person.sees(*(group["displayName"] for group in groups))
    person.open("/scopes/teams/edit")
    person.sees(*(group["displayName"] for group in groups))
    person.click(f"#chosen [value='{groups[0]['id']}']")
    person.click("main button.primary", "Save")
    person.sees("has been saved")
    select = load_project(project.file).scope("teams").select
    assert select is not None and select.groups == [groups[1]["id"]]


def test_types_are_a_tree_that_counts(person: Person, project: Project) -> None:
    person.open("/scopes/contoso/edit")
    person.sees("types", "Users", "1 of ")
    branch = person.one(".branch")
    person.click(".branch [data-branch]")
    total = branch.find_element(By.CSS_SELECTOR, "[data-count]").text
    assert total.split()[0] == total.split()[-1]
    person.write("[data-filter]", "group")
    person.wait(lambda: not branch.is_displayed())
    shown = [one for one in person.driver.find_elements(By.CSS_SELECTOR, ".branch") if one.is_displayed()]
    assert any(one.text.startswith("Groups") for one in shown) and len(shown) < len(
        person.driver.find_elements(By.CSS_SELECTOR, ".branch")
    )
    # Select all takes what has been found, and leaves the rest as it is.
    person.click("[data-every]")
    person.one("[data-filter]").clear()
    person.driver.switch_to.active_element.send_keys(" ")
    person.click("main button.primary", "Save")
    person.sees("has been saved")
    types = load_project(project.file).scope("contoso").types()
    assert {"users", "groups"} < set(types) and "named_locations" not in types


def test_what_is_wrong_stands_at_its_field(person: Person, project: Project) -> None:
    before = project.file.read_bytes()
    person.open("/scopes/new")
    person.write("#f-name", "night shift")
    person.choose("#f-when", "cron")
    person.write("#f-schedule", "now and then")
    person.click("main button.primary", "Save")
    person.sees("Nothing has been saved")
    assert "Use letters, digits" in person.one(".field:has(#f-name)").text
    person.one("#f-name").clear()
    person.one("#f-name").send_keys("nights")
    person.click("main button.primary", "Save")
    person.wait(lambda: "not a cron expression" in person.one(".field:has(#f-schedule)").text)
    person.one("#f-schedule").clear()
    person.click("[name=whom][value=chosen]")
    person.click("[name=protect][value=chosen]")
    person.click("main button.primary", "Save")
    person.sees("Enter a cron expression", "Choose at least one user or group", "Select at least one object type")
    assert person.one("#f-name").get_attribute("value") == "nights"
    for secret in (str(project.file), project.file.name, "^[A-Za", "entra-pipeline catalogue"):
        assert secret not in person.text()
    assert project.file.read_bytes() == before
