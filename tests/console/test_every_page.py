"""Every page in the states that an administrator meets it in: readable for who cannot see it, and light."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from selenium import webdriver

from entra_pipeline.console.auth.roles import Role
from entra_pipeline.project import Project
from entra_pipeline.project.stores import open_store
from tests.console.test_by_keyboard import DESKTOP, PHONE, SETTLED, pages, size
from tests.console.test_job_list import leave
from tests.console.two_points import Served, _console, backed_up, points, project, served, simulator, until
from tests.support.browser import browser

__all__ = ["_console", "backed_up", "browser", "pages", "points", "project", "served", "simulator"]

AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text(encoding="utf-8")
"""axe-core 4.14.1, as npm has it; its licence is beside it."""
CHECK = """
const done = arguments[arguments.length - 1];
axe.run(document, {resultTypes: ["violations"]}).then((found) => done(found.violations.map((one) => [
  one.impact, one.id, one.nodes.slice(0, 5).map((node) => `${node.html.slice(0, 200)}: ${node.any[0]?.message ?? ""}`),
])));"""
MOST_BYTES = 150_000
SCOPE = """
[scopes.subsidiary-{number:03}]
description = "Users and groups of the subsidiary with the number {number}"
tenant = "simulated"
storage = "disk"
protect = ["users", "groups"]
schedule = "0 5 * * *"
"""


def serious(driver: webdriver.Chrome) -> list[Any]:
    """What axe finds in the page that is shown, of the impacts serious and critical."""
    until(lambda: driver.execute_script(SETTLED), 30)
    driver.execute_script("document.querySelectorAll('main details').forEach((one) => { one.open = true; })")
    driver.execute_script(AXE)
    return [one for one in driver.execute_async_script(CHECK) if one[0] in ("serious", "critical")]


@pytest.fixture
def failures(served: Served, project: Project) -> None:
    """Jobs of every outcome."""
    store = open_store(project, "contoso")
    for hours, status in enumerate(("failed", "finished with exception", "cancelled", "finished"), 1):
        leave(store, "backup", status, timedelta(hours=hours))
        leave(store, "drill", status, timedelta(hours=hours + 1))


@pytest.mark.browser
@pytest.mark.parametrize(("scheme", "width"), [("light", DESKTOP), ("dark", DESKTOP), ("light", PHONE)])
def test_axe_finds_nothing_serious(
    browser: webdriver.Chrome, pages: list[str], failures: None, scheme: str, width: tuple[int, int]
) -> None:
    size(browser, *width)
    browser.set_script_timeout(60)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    found = {}
    for page in pages:
        browser.get(page)
        if wrong := serious(browser):
            found[page] = wrong
    assert found == {}


@pytest.mark.browser
def test_axe_finds_nothing_serious_where_there_is_nothing_yet(
    browser: webdriver.Chrome, pages: list[str], project: Project
) -> None:
    """Signed out, and without a scope."""
    browser.set_script_timeout(60)
    text = project.file.read_text()
    project.file.write_text(re.sub(r"\[scopes\.contoso\].*?(?=\n\[)", "", text, flags=re.DOTALL))
    base = next(page for page in pages if page.endswith("/")).rstrip("/")
    for path in ("/", "/scopes", "/points", "/compare", "/restore", "/jobs", "/restores", "/scopes/none"):
        browser.get(base + path)
        assert serious(browser) == [], path
    browser.delete_all_cookies()
    browser.get(base + "/sign-in")
    assert serious(browser) == []


def weight(client: httpx.Client, path: str) -> int:
    """Bytes of a page and of the style sheets and scripts that it names, as they travel."""
    page = client.get(path, follow_redirects=True)
    assert page.status_code == 200, path
    named = re.findall(r'<(?:script src|link rel="stylesheet" href)="([^"]+)"', page.text)
    total = len(page.content)
    while named:
        url = named.pop()
        with client.stream("GET", url, headers={"Accept-Encoding": "gzip"}) as file:
            total += sum(len(chunk) for chunk in file.iter_raw())
        text = client.get(url).text if url.endswith(".js") else ""
        named += [urljoin(url, one) for one in re.findall(r'^import (?:.* from )?"([^"]+)"', text, re.MULTILINE)]
    return total


def test_every_page_is_light(served: Served, project: Project, points: list[str], failures: None) -> None:
    """Also with a hundred scopes."""
    text = project.file.read_text()
    project.file.write_text(text + "".join(SCOPE.format(number=number) for number in range(99)))
    where = f"/scopes/contoso/points/{points[-1]}"
    with served.client(Role.administrator) as client:
        paths = ["/", "/scopes", "/scopes/contoso", "/scopes/new", "/points", "/compare", "/restores", "/restore"]
        paths += ["/jobs?period=all", "/reports", "/reports/readiness", "/reports/jobs", "/reports/audit", "/settings"]
        paths += ["/sql", "/notifications", "/notifications/new", "/sessions", where, f"{where}/users"]
        paths += [f"{where}/group_members", "/scopes/contoso/compare", "/scopes/contoso/restore"]
        weights = {path: weight(client, path) for path in paths}
    assert {path: bytes_ for path, bytes_ in weights.items() if bytes_ >= MOST_BYTES} == {}
