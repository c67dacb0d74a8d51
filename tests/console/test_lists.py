"""Lists: sorted and sortable, with a bar that counts, columns that stay, and cards on a phone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.display.moments import when, when_taken
from entra_pipeline.console.display.preferences import Preferences
from entra_pipeline.console.editing.saved_filters import MOST, SavedFilter, SavedFilters
from entra_pipeline.console.rendering import pieces, without_id
from entra_pipeline.console.shared.records import ConsoleRecords
from entra_pipeline.console.shared.sealing import Sealer
from entra_pipeline.errors import UsageError
from entra_pipeline.project import Project
from entra_pipeline.store.backends.local import LocalObjectStore
from tests.console.person import Person
from tests.console.test_by_keyboard import DESKTOP, PHONE, size
from tests.console.two_points import Served, _console, backed_up, points, project, served, simulator
from tests.support.browser import browser

__all__ = ["_console", "backed_up", "browser", "points", "project", "served", "simulator"]


def names(page: str) -> list[str]:
    return re.findall(r'data-panel href="[^"]+">([^<]+)</a>', page)


def test_objects_are_sorted_by_name_and_by_what_is_asked(served: Served, points: list[str]) -> None:
    where = f"/scopes/contoso/points/{points[-1]}/users"
    with served.client(Role.viewer) as client:
        usual = client.get(where).text
        assert names(usual) == sorted(names(usual), key=str.lower) and len(names(usual)) > 20
        assert 'aria-sort="ascending"' in usual and "?sort=-name" in usual
        down = names(client.get(where, params={"sort": "-name"}).text)
        assert down == names(usual)[::-1]
        addresses = re.findall(r"<td>(\S+@\S+)</td>", client.get(where, params={"sort": "userPrincipalName"}).text)
        assert addresses == sorted(addresses) and len(addresses) > 20
        # A search and its next pages keep the order; what is no property is no order.
        some = names(client.get(where, params={"sort": "-name", "search": "contoso", "offset": 5}).text)
        assert some == [one for one in down if one in some] and some
        assert names(client.get(where, params={"sort": "x'); DROP"}).text) == names(usual)


def test_columns_stay_for_the_person(served: Served, points: list[str]) -> None:
    """In another session, for another point; and no one else's."""
    before, after = (f"/scopes/contoso/points/{point}/users" for point in points[-2:])
    with served.client(Role.viewer) as client, served.client(Role.operator) as other:
        client.get(before, params={"columns": ["city", "country"]})
        with served.client(Role.viewer) as again:
            assert re.findall(r'<th scope="col" title="(\w+)"', again.get(after).text) == ["city", "country"]
        assert "userPrincipalName" in re.findall(r'<th scope="col" title="(\w+)"', other.get(after).text)
        client.get(before, params={"columns": ""})
        assert "userPrincipalName" in re.findall(r'<th scope="col" title="(\w+)"', client.get(after).text)


def test_links_are_listed_by_name(served: Served, points: list[str]) -> None:
    """Each end leads to its object, with the id on hover; types are words."""
    with served.client(Role.viewer) as client:
        page = client.get(f"/scopes/contoso/points/{points[-1]}/group_members").text
    ends = re.findall(
        r'<a data-panel href="[^"]+/(users|groups)/object\?id=([0-9a-f-]{36})" title="([^"]+)">([^<]+)<', page
    )
    assert len(ends) > 10 and {kind for kind, *_ in ends} == {"users", "groups"}
    assert all(identifier == title and name != title for _, identifier, title, name in ends)
    assert re.findall(r">\s*[0-9a-f]{8}-[0-9a-f-]{27}\s*<", page) == []
    assert "<td>User</td>" in page


@pytest.mark.pure
def test_ids_within_a_text_stand_as_names() -> None:
    one, other = "11111111-0000-4000-8000-000000000001", "22222222-0000-4000-8000-000000000002"
    names = {one: ("users", one, "Ada")}
    assert pieces(one, names) == [(one, names[one])]
    assert pieces(f"/users/{one} of {other}", names) == [("/users/", None), (one, names[one]), (f" of {other}", None)]
    assert pieces("nobody", names) == [("nobody", None)]
    assert pieces("", names) == []
    assert without_id("Principal ID") == "Principal" and without_id("Department") == "Department"


@pytest.mark.pure
def test_preferences_are_kept_in_records_without_names(tmp_path: Path) -> None:
    records = ConsoleRecords(Sealer(bytes(32)), LocalObjectStore(tmp_path))
    Preferences(records).keep("ada@contoso.com", "columns of users", ["city"])
    assert Preferences(records).of("ada@contoso.com", "columns of users") == ["city"]
    assert Preferences(records).of("eve@contoso.com", "columns of users") == []
    [file] = tmp_path.rglob("*.json")
    assert "ada" not in f"{file}{file.read_text()}" and file.stat().st_mode & 0o077 == 0
    file.write_text("not JSON")
    assert Preferences(records).of("ada@contoso.com", "columns of users") == []
    (tmp_path / "file").touch()
    nowhere = Preferences(ConsoleRecords(Sealer(bytes(32)), LocalObjectStore(tmp_path / "file")))
    nowhere.keep("ada", "x", ["y"])
    assert nowhere.of("ada", "x") == []


@pytest.mark.browser
def test_the_bar_counts_and_stays_in_sight(
    browser: webdriver.Chrome, served: Served, project: Project, points: list[str]
) -> None:
    person = Person(browser, served, Role.operator)
    size(browser, *DESKTOP)
    person.open(f"/scopes/contoso/points/{points[-1]}/users")
    bar = browser.find_element(By.CSS_SELECTOR, ".selection")
    assert "Nothing selected" in bar.text
    for box in browser.find_elements(By.NAME, "ids")[:2]:
        box.click()
    assert "2 selected" in bar.text and "Restore 2 objects" in bar.text
    seen = "const box = arguments[0].getBoundingClientRect(); return box.top >= 0 && box.bottom <= innerHeight"
    assert browser.execute_script(seen, bar)
    head = browser.find_element(By.CSS_SELECTOR, "thead th")
    browser.execute_script("document.querySelector('.scroll').scrollTo(0, 500)")
    assert browser.execute_script(seen, head), "the header stays"


@pytest.mark.browser
def test_rows_are_cards_on_a_phone(
    browser: webdriver.Chrome, served: Served, project: Project, points: list[str]
) -> None:
    """Each cell is named after its column, and nothing has to be scrolled sideways."""
    person = Person(browser, served, Role.operator)
    size(browser, *PHONE)
    for path in ("/scopes", "/scopes/contoso/points", f"/scopes/contoso/points/{points[-1]}/users"):
        person.open(path)
        sideways = """return [...document.querySelectorAll(".scroll:not(.calendar *)")].filter(
            (one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.innerText.slice(0, 80))"""
        assert browser.execute_script(sideways) == [], path
        named = "return getComputedStyle(document.querySelector('.by-cell td:nth-child(3)'), '::before').content"
        assert len(browser.execute_script(named)) > 3, path


@pytest.mark.browser
def test_a_short_table_is_sorted_where_it_is(
    browser: webdriver.Chrome, served: Served, project: Project, points: list[str]
) -> None:
    person = Person(browser, served, Role.viewer)
    size(browser, *DESKTOP)
    person.open(f"/scopes/contoso/points/{points[-1]}?empty=1")
    numbers = """return [...document.querySelectorAll("tbody tr")].map(
        (row) => Number(row.querySelector("td.number").innerText.replace(",", "")))"""
    for down in (False, True):
        person.click("th.number .sort")
        found = browser.execute_script(numbers)
        assert found == sorted(found, reverse=down) and len(found) > 2
    assert browser.find_element(By.CSS_SELECTOR, "th.number").get_attribute("aria-sort") == "descending"


@pytest.mark.browser
def test_times_are_the_readers_and_utc_is_on_hover(
    browser: webdriver.Chrome, served: Served, project: Project, points: list[str]
) -> None:
    browser.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Tokyo"})
    person = Person(browser, served, Role.viewer)
    person.open(f"/scopes/contoso/points/{points[-1]}")
    shown = browser.find_element(By.CSS_SELECTOR, "h1 time")
    utc = shown.get_attribute("title")
    assert utc.endswith(" UTC") and utc[:10] == points[-1][:10]
    hours = (int(shown.text[11:13]) - int(utc[11:13])) % 24
    assert (hours, len(shown.text)) == (9, 16)


@pytest.mark.browser
def test_a_filter_is_saved_with_its_columns(
    browser: webdriver.Chrome, served: Served, project: Project, points: list[str]
) -> None:
    """It is there for another point too, leaves the usual columns as they are, and goes when it is deleted."""
    person = Person(browser, served, Role.viewer)
    size(browser, *DESKTOP)
    before, after = (f"/scopes/contoso/points/{point}/users" for point in points[-2:])
    person.open(f"{before}?search=a&sort=-name&columns=city&columns=country&filter=1")
    person.click("summary", "Save this filter")
    person.write("#f-filter_name", "Towns\n")
    person.sees("The filter has been saved")
    person.open(after)
    assert "City" not in person.one("thead").text
    person.click(".filter a", "Towns")
    person.sees("Towns")
    heads = [one.text for one in browser.find_elements(By.CSS_SELECTOR, "thead th")]
    assert heads[-2:] == ["City", "Country"] and person.one("#f-search").get_attribute("value") == "a"
    assert person.one(".filter [aria-current]").text == "Towns"
    assert browser.find_elements(By.CSS_SELECTOR, "[aria-sort=descending]")
    with served.client(Role.operator) as other:
        assert "Towns" not in other.get(after).text
    person.open(after)
    assert "City" not in person.one("thead").text
    person.click("[aria-label='Delete the filter Towns']")
    person.sees("The filter Towns has been deleted")
    assert not browser.find_elements(By.CSS_SELECTOR, ".filter")
    person.open("/jobs?status=failed")
    person.click("summary", "Save this filter")
    person.write("#f-filter_name", "Failures\n")
    person.sees("The filter has been saved")
    person.open("/jobs")
    person.click(".filter a", "Failures")
    person.wait(lambda: person.one("#f-status").get_attribute("value") == "failed")


@pytest.mark.pure
def test_saved_filters_have_bounds() -> None:
    saved = SavedFilters(Preferences(ConsoleRecords(Sealer(bytes(32)))), "ada", "objects of users")
    saved.save(" By  town ", "search=x&offset=50&columns=city&evil=1")
    assert saved.all() == [SavedFilter("By town", "search=x&columns=city")]
    saved.save("By town", "search=y")
    assert saved.all() == [SavedFilter("By town", "search=y")]
    for name, query in (("", "search=x"), ("n" * 61, "search=x"), ("long", f"where={'x' * 3000}")):
        with pytest.raises(UsageError, match="not been saved"):
            saved.save(name, query)
    for number in range(MOST - 1):
        saved.save(f"{number}", "sort=name")
    with pytest.raises(UsageError, match="not been saved"):
        saved.save("one more", "sort=name")
    for subject in ("", "objects of secrets", "users"):
        with pytest.raises(UsageError, match="no such list"):
            SavedFilters(Preferences(ConsoleRecords(Sealer(bytes(32)))), "ada", subject)


@pytest.mark.pure
def test_a_moment_is_written_with_its_zone() -> None:
    assert when("2026-11-30T10:05:07Z") == (
        '<time datetime="2026-11-30T10:05:07Z" title="2026-11-30 10:05:07 UTC">2026-11-30 10:05 UTC</time>'
    )
    assert when_taken("2026-11-30T10-05-07Z", "<now>").endswith(" data-told>&lt;now&gt;</time>")
    assert when("") == when(None) == ""
