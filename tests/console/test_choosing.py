"""Choosing what to restore: nothing is chosen by itself, and the button says how much is."""

from __future__ import annotations

from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from entra_pipeline.console.auth.roles import Role
from entra_pipeline.orchestration.jobs.restore import RestoreConfig
from entra_pipeline.project import Project
from entra_pipeline.simulator import Simulator
from tests.console.person import Person
from tests.console.two_points import Served, _console, backed_up, points, project, served, simulator, take
from tests.support.browser import browser

__all__ = ["_console", "backed_up", "browser", "points", "project", "served", "simulator"]


@pytest.fixture(scope="module")
def added(simulator: Simulator, backed_up: Project) -> str:
    """A group that the first recovery point does not have, and a later one does."""
    made = simulator.control.create("groups", {"displayName": "Added", "mailEnabled": False, "securityEnabled": True})
    simulator.control.add_link(f"groups/{made}/members", simulator.control.dump("users")[0]["id"])
    take(backed_up)
    return made


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"search": "", "where": ""},
        {"types": "users", "search": "", "where": ""},
        {"every": "types"},
        {"search": "Ada", "every": "1"},
    ],
)
def test_nothing_selected_is_never_everything(
    sent: dict[str, str], served: Served, points: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    launched: list[Any] = []
    monkeypatch.setattr(served.site.dagster, "launch", lambda *told, **_: launched.append(told) or "run")
    where = f"/scopes/contoso/points/{points[-1]}/restore"
    with served.client(Role.operator) as client:
        shown = client.get(where, params=sent)
        refused = client.post(where, data={**sent, "conflict": "overwrite"})
        assert (shown.status_code, refused.status_code) == (200, 400)
        for answer in (shown, refused):
            assert "Nothing is selected to restore" in answer.text and "The request failed" not in answer.text
            assert '<button class="primary" disabled>Create the plan' in answer.text
    assert launched == []


@pytest.mark.browser
def test_nothing_selected_is_said_with_what_to_do(browser: webdriver.Chrome, served: Served, points: list[str]) -> None:
    person = Person(browser, served, Role.operator)
    where = f"/scopes/contoso/points/{points[-1]}"
    person.open(f"{where}/restore")
    person.sees("Nothing is selected to restore", "Find objects by name", "none selected")
    assert not person.one("button.primary").is_enabled()
    person.click("main a", "Find objects by name")
    person.sees("Select what to restore", "Nothing selected")
    assert not person.one(".basket button.primary").is_enabled()
    person.open(f"{where}/remove")
    person.sees("Nothing is selected to remove")
    assert not person.one("button.primary").is_enabled()
    person.click("main a", "comparison")
    person.wait(lambda: "change=added" in browser.current_url)


def test_everything_is_chosen_by_name(served: Served, points: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    launched: list[Any] = []
    monkeypatch.setattr(served.site.dagster, "launch", lambda *told, **_: launched.append(told) or "run")
    where = f"/scopes/contoso/points/{points[-1]}"
    with served.client(Role.operator) as client:
        assert f'href="{where}/restore?every=point"' in client.get(where).text
        form = client.get(f"{where}/restore", params={"every": "point"}).text
        assert "Everything in this recovery point is selected" in form
        assert 'name="every" value="point"' in form
        client.post(f"{where}/restore", data={"every": "point"})
        form = client.get(f"{where}/restore", params={"every": "types", "types": ["users", "groups"]}).text
        assert "all of these types" in form and "Everything" not in form
        client.post(f"{where}/restore", data={"every": "types", "types": ["users", "groups"]})
    assert [config["types"] for _, config in launched] == [[], ["users", "groups"]]


def test_what_was_added_since_is_removed_by_a_plan_of_its_own(
    served: Served, points: list[str], added: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched: list[Any] = []
    monkeypatch.setattr(served.site.dagster, "launch", lambda *told, **_: launched.append(told) or "run")
    where = f"/scopes/contoso/points/{points[0]}"
    with served.client(Role.operator) as client:
        compared = client.get("/scopes/contoso/compare", params={"from": points[0], "type": "groups"}).text
        assert f'name="added" value="{added}"' in compared and f'formaction="{where}/remove"' in compared
        there = client.get(f"{where}/groups").text.split('name="ids" value="')[1].split('"')[0]
        # Whatever was selected: what the point does not have is told, and what it has is restored.
        form = client.get(f"{where}/restore", params={"ids": [there, added]}).text
        assert "1 selected object was added after this recovery point" in form
        assert f'name="ids" value="{there}"' in form and f'name="ids" value="{added}"' not in form
        assert f"{where}/remove?added={added}" in form
        # Whatever type the address names.
        form = client.get(f"{where}/restore", params={"types": "users", "ids": [there]}).text
        assert f'name="ids" value="{there}"' in form and "was added after" not in form
        form = client.get(f"{where}/remove", params={"added": added}).text
        assert "Remove 1 added object" in form and "Nothing is removed from the tenant until you apply it" in form
        assert (client.get(f"{where}/remove").status_code, client.post(f"{where}/remove").status_code) == (200, 400)
        client.post(f"{where}/remove", data={"added": added})
    [(_, config)] = launched
    assert (config["ids"], config["delete_added"], config["dry_run"]) == ([added], True, True)
    RestoreConfig(**config).check()


def test_links_of_a_new_object_are_removed_with_it(served: Served, points: list[str], added: str) -> None:
    """They cannot be restored from a point that does not have their group."""
    with served.client(Role.operator) as client:
        compared = client.get("/scopes/contoso/compare", params={"from": points[0], "type": "group_members"}).text
    assert "added with the new object Added" in compared
    assert f'name="added" value="{added}"' in compared and f'name="ids" value="{added}"' not in compared


@pytest.mark.browser
def test_the_button_says_how_many_are_restored(browser: webdriver.Chrome, served: Served, points: list[str]) -> None:
    person = Person(browser, served, Role.operator)

    def button() -> WebElement:
        return person.one("main form button[data-counts]")

    def tick(selector: str) -> None:
        person.one(selector).click()

    person.open(f"/scopes/contoso/points/{points[-1]}/users")
    assert not button().is_enabled() and button().text == "Restore"
    tick("tbody tr:nth-child(2) [name=ids]")
    assert button().is_enabled() and button().text == "Restore 1 object"
    tick("tbody tr:nth-child(4) [name=ids]")
    tick("tbody tr:nth-child(5) [name=ids]")
    assert button().text == "Restore 3 objects"
    tick("[name=every]")
    every = person.one("[name=every]").get_attribute("data-number")
    assert button().text == f"Restore {every} objects"
    tick("[name=every]")
    button().click()
    person.shows("main", "3 selected")
    # Who comes back finds what was ticked, and a button that knows.
    browser.back()
    person.shows("main form button[data-counts]", "Restore 3 objects")
    for box in browser.find_elements(By.CSS_SELECTOR, "[name=ids]:checked"):
        box.click()
    assert not button().is_enabled()

    person.open(f"/scopes/contoso/points/{points[-1]}")
    assert not button().is_enabled()
    tick("[data-all]")
    assert button().text.startswith("Restore ") and button().text.endswith(" types")

    person.open(f"/scopes/contoso/compare?from={points[0]}")
    assert not button().is_enabled()
    tick("[name=ids]")
    assert button().text == "Restore 1 object"
    remove = person.one("[data-verb=Remove]")
    assert not remove.is_enabled()
    tick("[name=added]")
    assert remove.text == "Remove 1 added object" and button().text == "Restore 1 object"
    remove.click()
    person.shows("h1", "Remove 1 added object")
