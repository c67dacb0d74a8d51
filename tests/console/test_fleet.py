"""The page of many scopes: what needs attention first, as the command has it; filtered, page by page, light."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import pytest
from selenium import webdriver

from entra_pipeline.clock import system_clock
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.monitor import fleet as fleet_module
from entra_pipeline.console.monitor.fleet import FleetWatch
from entra_pipeline.project import Project, load_project
from entra_pipeline.project.folder import folder_of
from entra_pipeline.reports.fleet import MISCONFIGURED, UNREADABLE, fleet_status
from entra_pipeline.reports.health import NEVER, UNSCHEDULED
from entra_pipeline.store.recovery_points import ScopeStore
from tests.console.person import Person
from tests.console.test_by_keyboard import PHONE, WIDER, size
from tests.console.test_every_page import MOST_BYTES, serious, weight
from tests.console.two_points import Served, _console, backed_up, points, project, served, simulator
from tests.support.browser import browser

__all__ = ["_console", "backed_up", "browser", "points", "project", "served", "simulator"]

SCOPE = """
[scopes.customer-{number:04}]
tenant = "simulated"
storage = "{storage}"
protect = ["users"]
schedule = "0 5 * * *"
"""
BROKEN = '[scopes.broken]\ntenant = "simulated"\nstorage = "nowhere"\n'
ROW = re.compile(
    r'<td class="name"><a id="scope-([\w-]+)".*?<td class="text"><span class="badge \w+">(?:<svg.*?</svg>)?([^<]+)<',
    re.S,
)


def rows(page: str) -> list[tuple[str, str]]:
    """Scope and state of the rows of a page."""
    return ROW.findall(page)


def many(project: Project, number: int) -> None:
    """Adds scopes that were never backed up, one whose storage cannot be read, and one whose file cannot be used."""
    (project.file.parent / "file").write_text("no folder")
    text = project.file.read_text() + '\n[storage.unreadable]\nkind = "local"\npath = "file"\n'
    text += "".join(SCOPE.format(number=one, storage="disk") for one in range(number))
    project.file.write_text(text + SCOPE.format(number=9999, storage="unreadable"))
    folder_of(project.file).mkdir(exist_ok=True)
    (folder_of(project.file) / "broken.toml").write_text(BROKEN)


@pytest.fixture
def fleet(project: Project) -> Iterator[Project]:
    """A hundred scopes and one that is backed up."""
    many(project, 100)
    yield load_project(project.file)
    (folder_of(project.file) / "broken.toml").unlink()


def test_it_shows_what_the_command_finds_in_the_same_order(served: Served, fleet: Project) -> None:
    expected = [(one.scope, one.state) for one in fleet_status(fleet, fleet.scopes, system_clock())]
    found = []
    with served.client(Role.viewer) as client:
        path = "/fleet"
        while path:
            page = client.get(path).text
            found += rows(page)
            following = re.search(r'rel="next" href="([^"]+)"', page)
            path = following[1].replace("&amp;", "&") if following else ""
        assert found == expected
        first = client.get("/fleet").text
    assert [state for _, state in expected[:2]] == [MISCONFIGURED, UNREADABLE]
    assert "there is no [storage.nowhere]" in first
    counts = Counter(state for _, state in expected)
    shown = re.findall(r"state=([\w+]+)[^>]*>.*?<strong>([\d,]+)</strong>", first)
    assert {state.replace("+", " "): int(number) for state, number in shown} == counts
    assert counts == {MISCONFIGURED: 1, UNREADABLE: 1, NEVER: 100, UNSCHEDULED: 1}


def test_it_is_filtered_by_state_scope_and_tenant(served: Served, fleet: Project) -> None:
    with served.client(Role.viewer) as client:
        assert rows(client.get("/fleet", params={"state": UNREADABLE}).text) == [("customer-9999", UNREADABLE)]
        assert rows(client.get("/fleet?text=TOSO").text) == [("contoso", UNSCHEDULED)]
        assert len(rows(client.get("/fleet?text=customer-000").text)) == 10
        assert rows(client.get("/fleet?tenant=nobody").text) == []
        assert "No scope matches this filter" in client.get("/fleet?tenant=nobody").text
        # What is no state chooses all, and the list that a page asks for again is that of its filter.
        page = client.get("/fleet?state=odd&text=customer&offset=50").text
        assert len(rows(page)) == 50
        again = re.search(r'hx-get="([^"]+)"', page)
        assert again and rows(client.get(again[1].replace("&amp;", "&")).text) == rows(page)


def test_it_is_in_the_menu_where_there_are_more_scopes_than_the_dashboard_shows(
    served: Served, project: Project
) -> None:
    text = project.file.read_text()
    with served.client(Role.viewer) as client:
        assert 'href="/fleet"' not in client.get("/").text
        project.file.write_text(text + '\n[dagster]\nlayout = "fleet"\n')
        assert 'href="/fleet"' in client.get("/").text
        project.file.write_text(text + "".join(SCOPE.format(number=one, storage="disk") for one in range(12)))
        assert 'href="/fleet"' in client.get("/").text
        project.file.write_text("[")
        assert client.get("/").status_code == 409


def test_two_thousand_scopes_are_a_light_page(served: Served, project: Project) -> None:
    text = project.file.read_text()
    project.file.write_text(text + "".join(SCOPE.format(number=one, storage="disk") for one in range(2_000)))
    with served.client(Role.viewer) as client:
        for path in ("/fleet", "/fleet?offset=1950", "/fleet?text=customer-1"):
            assert weight(client, path) < MOST_BYTES, path


def test_what_was_seen_is_shown_while_it_is_looked_at_again(
    served: Served, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A point costs its manifest once; a look that is a moment old is shown, and the next one begun."""
    read: list[str] = []
    manifest = ScopeStore.manifest
    monkeypatch.setattr(ScopeStore, "manifest", lambda self, point: read.append(point) or manifest(self, point))
    moments = [system_clock() + timedelta(minutes=number) for number in range(9)]
    watch = FleetWatch(lambda: moments.pop(0))
    first = watch.look(project)
    assert watch.look(project) is first and len(read) == 1
    monkeypatch.setattr(fleet_module, "_MOMENT", -1.0)
    assert watch.look(project) is first
    with watch._looking:
        monkeypatch.setattr(fleet_module, "_MOMENT", 20.0)
        second = watch.look(project)
    assert second.moment > first.moment and second.found[0].last == first.found[0].last and len(read) == 1
    monkeypatch.setattr(fleet_module, "_STALE", -1.0)
    monkeypatch.setattr(fleet_module, "_MOMENT", -1.0)
    assert watch.look(project).moment > second.moment


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_each_scope_is_a_card(
    browser: webdriver.Chrome, served: Served, fleet: Project, scheme: str
) -> None:
    size(browser, *PHONE)
    browser.set_script_timeout(60)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    person = Person(browser, served, Role.viewer)
    person.open("/fleet")
    person.sees("customer-9999", "storage unreadable")
    assert browser.execute_script(WIDER) <= 0
    assert browser.execute_script("return getComputedStyle(document.querySelector('tbody tr')).display") == "grid"
    assert serious(browser) == []
    person.click(".states a", "never backed up")
    person.sees("customer-0000")
    assert "customer-9999" not in person.text() and "state=never" in browser.current_url
