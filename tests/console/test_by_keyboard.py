"""Every page by keyboard alone, and at the width of a phone."""

from __future__ import annotations

import re
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.auth.sessions import User
from entra_pipeline.console.pages import PAGES
from entra_pipeline.project import Project
from entra_pipeline.project.stores import open_store
from entra_pipeline.store.running_jobs import recorded
from tests.console.two_points import Served, _console, backed_up, points, project, served, simulator, until
from tests.support.browser import browser

__all__ = ["_console", "backed_up", "browser", "points", "project", "served", "simulator"]

pytestmark = pytest.mark.browser

DESKTOP, PHONE = (1280, 900), (390, 844)
# Parts of pages, which come into them; what needs Dagster, which is not here; and a page that leads on at once.
PARTS = re.compile(
    r".*/(backup|trends|again|chosen|named|links|history|progress|preview|search|callback)|/dashboard/.*|/find.*|/fleet/list|/jobs/.*|/(points|compare)"
)
# Where an element is: parts of a page are put anew while it is looked at.
PLACE = """
const place = (one) => one === document.body ? "" : place(one.parentElement) + " "
  + one.tagName + [...one.parentElement.children].indexOf(one);
"""
OPERATED = f"""{PLACE}
const all = [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")];
const seen = all.filter((one) => one.checkVisibility({{visibilityProperty: true}}) && !one.disabled);
// Of the choices of one kind, Tab reaches one; arrows reach the others.
return seen.filter((one) => one.type !== "hidden" && (one.type !== "radio" || one.checked)).map(place);"""
FOCUSED = f"""{PLACE}
const one = document.activeElement, style = getComputedStyle(one), box = one.getBoundingClientRect();
const named = one.getAttribute("aria-label") || [...(one.labels ?? [])].map((label) => label.innerText).join("")
  || one.innerText || document.getElementById(one.getAttribute("aria-labelledby"))?.innerText
  || (one.matches(".scroll, figure") ? "what scrolls" : "");
return {{
  place: place(one), name: named.trim(), html: one.outerHTML.slice(0, 200),
  outlined: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
  seen: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
}};"""
SETTLED = """return document.readyState === "complete" && !document.querySelector(".htmx-request, .htmx-swapping")"""
WIDER = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"


def addresses(points: list[str], user: str, job: str) -> list[str]:
    """Every page that is looked at, with something in it."""
    given = {
        "scope": "contoso",
        "point": points[-1],
        "table": "users",
        "report": "audit",
        "profile": "operations",
        "tenant": "simulated",
        "storage": "disk",
        "job": job,
    }
    paths = [page.path for page in PAGES if "GET" in page.methods and page.role is not None]
    found = [
        re.sub(r"{(\w+)}", lambda one: given[one[1]], path)
        for path in paths
        if not PARTS.fullmatch(path) and "{plan}" not in path
    ]
    asked = {"object": f"?id={user}", "restore": "?every=point", "remove": f"?added={user}"}
    return [path + asked.get(path.rpartition("/")[2], "") for path in found]


@pytest.fixture
def pages(browser: webdriver.Chrome, served: Served, project: Project, points: list[str]) -> list[str]:
    """The addresses of all pages; the browser is an administrator's."""
    # A description without a space must not widen a page either.
    project.file.write_text(project.file.read_text().replace("People and their groups", "Donaudampfschifffahrt" * 9))
    with project.file.open("a") as file:
        file.write(
            '\n[mail]\nhost = "127.0.0.1"\nport = 9\nfrom = "entra@example.com"\n'
            '\n[notifications.operations]\nto = ["ada@example.com"]\nbackup = ["failed"]\n'
        )
    token, _ = served.site.sessions.begin(User("ada@contoso.com", Role.administrator, "Ada"))
    browser.get(served.url + "/sign-in")
    browser.add_cookie({"name": "entra-session", "value": token})
    with served.client(Role.viewer) as client:
        found = re.search(r"object\?id=([0-9a-f-]{36})", client.get(f"/scopes/contoso/points/{points[-1]}/users").text)
    assert found
    with recorded(open_store(project, "contoso"), "backup", trigger="command") as job:
        job.status = "finished"
    return [served.url + path for path in addresses(points, found[1], job.id)]


def size(driver: webdriver.Chrome, width: int, height: int) -> None:
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def press(driver: webdriver.Chrome, *keys: str) -> None:
    ActionChains(driver).send_keys(*keys).perform()


def focused(driver: webdriver.Chrome) -> dict[str, Any]:
    return dict(driver.execute_script(FOCUSED))


def test_tab_leads_through_all_that_can_be_operated(browser: webdriver.Chrome, pages: list[str]) -> None:
    assert len(pages) >= 15
    size(browser, *DESKTOP)
    for page in pages:
        browser.get(page)
        until(lambda: browser.execute_script(SETTLED), 20)
        expected = browser.execute_script(OPERATED)
        assert len(expected) > 10, page
        reached = []
        for number in range(len(expected) + 30):
            press(browser, Keys.TAB)
            now = focused(browser)
            if not now["place"] or now["place"] in reached[:1]:
                break
            if not number:
                assert now["name"] == "Skip to the content", page
            if now["place"] not in reached[-1:]:
                reached.append(now["place"])
                assert now["outlined"] and now["seen"] and now["name"], (page, now)
        else:
            raise AssertionError(f"{page}: Tab does not come to an end: {now['html']}")
        assert [one for one in expected if one not in reached] == [], page


def test_who_reads_a_part_that_is_put_anew_stays_there(browser: webdriver.Chrome, pages: list[str]) -> None:
    browser.get(next(page for page in pages if page.endswith("/")))
    until(lambda: browser.find_elements(By.ID, "seats"), 20)
    browser.execute_script("seats.focus(); seats.dataset.old = ''")
    browser.execute_script("""htmx.ajax("GET", "/dashboard/attention", "[hx-get='/dashboard/attention']")""")
    until(lambda: not browser.find_elements(By.CSS_SELECTOR, "#seats[data-old]"), 20)
    until(lambda: browser.execute_script("return document.activeElement.id") == "seats", 5)


def test_a_key_skips_the_menu(browser: webdriver.Chrome, pages: list[str]) -> None:
    size(browser, *DESKTOP)
    browser.get(pages[0])
    press(browser, Keys.TAB, Keys.ENTER)
    assert browser.switch_to.active_element.get_attribute("id") == "main"
    press(browser, Keys.TAB)
    assert browser.execute_script("return document.querySelector('main').contains(document.activeElement)")


def test_no_page_is_wider_than_a_screen(browser: webdriver.Chrome, pages: list[str]) -> None:
    for width, height in (DESKTOP, PHONE):
        size(browser, width, height)
        for page in pages:
            browser.get(page)
            for chosen in browser.find_elements(By.CSS_SELECTOR, "[value=chosen]"):
                chosen.click()
            browser.execute_script("document.querySelectorAll('main details').forEach((one) => { one.open = true; })")
            assert browser.execute_script(WIDER) <= 0, (page, width)


def test_a_lost_connection_shows_until_it_is_back(browser: webdriver.Chrome, pages: list[str]) -> None:
    browser.get(next(page for page in pages if page.endswith("/")))
    banner = browser.find_element(By.ID, "lost")
    until(lambda: browser.execute_script(SETTLED), 20)
    assert not banner.is_displayed()
    for offline in (True, False):
        conditions = {"offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        browser.execute_cdp_cmd("Network.enable", {})
        browser.execute_cdp_cmd("Network.emulateNetworkConditions", conditions)
        browser.execute_script("""htmx.ajax("GET", "/dashboard/jobs", "[hx-get='/dashboard/jobs']")""")
        until(lambda offline=offline: banner.is_displayed() is offline, 20)  # type: ignore[misc]


def test_the_menu_of_a_phone(browser: webdriver.Chrome, pages: list[str]) -> None:
    """Enter opens it, Escape closes it, and Enter follows a link of it."""
    size(browser, *PHONE)
    browser.get(pages[0])
    menu = browser.find_element(By.CSS_SELECTOR, "details.menu")
    press(browser, Keys.TAB, Keys.TAB, Keys.TAB)
    assert focused(browser)["name"] == "Menu"
    press(browser, Keys.ENTER)
    assert menu.get_attribute("open")
    press(browser, Keys.ESCAPE)
    assert not menu.get_attribute("open") and focused(browser)["name"] == "Menu"
    press(browser, Keys.ENTER)
    # The search, the dashboard, the scopes.
    press(browser, Keys.TAB, Keys.TAB, Keys.TAB, Keys.ENTER)
    until(lambda: browser.current_url.endswith("/scopes"), 20)


def test_signing_in_and_what_is_asked_before_something_is_done(
    browser: webdriver.Chrome, served: Served, project: Project, pages: list[str]
) -> None:
    """Enter sends the form; Escape says no to a question, and Enter says yes."""
    browser.delete_all_cookies()
    browser.get(served.url + "/notifications/operations/edit")
    press(browser, served.password, Keys.ENTER)
    until(lambda: browser.current_url.endswith("/notifications/operations/edit"), 20)
    button = browser.find_element(By.XPATH, "//button[.='Delete the profile']")
    browser.execute_script("arguments[0].focus()", button)
    press(browser, Keys.ENTER)
    browser.switch_to.alert.dismiss()
    assert "[notifications.operations]" in project.file.read_text()
    press(browser, Keys.ENTER)
    browser.switch_to.alert.accept()
    until(lambda: "[notifications.operations]" not in project.file.read_text(), 20)
