"""Dagster's UI as a person sees it: `dagster dev` and a real browser."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.catalogue.logs import CATEGORY, LOGS
from entra_pipeline.orchestration.keys import CATEGORY_TAG, category_tag
from entra_pipeline.project import Project
from entra_pipeline.store.recovery_points import ScopeStore
from tests.support.browser import browser

__all__ = ["browser"]

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
LOCATION = "/locations/entra-pipeline"


WHOLE = """
[scopes.whole]
tenant = "contoso"
storage = "disk"
"""


def unfolded(*groups: str) -> str:
    """The groups that the asset graph shows unfolded, as its address says it."""
    return quote(",".join(f"global@global:{group}" for group in groups))


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def dagster_ui(project: Project, tmp_path: Path) -> Iterator[str]:
    """Dagster's address, run as `make dagster` runs it, for the test's project and a scope of the whole tenant."""
    project.file.write_text(project.file.read_text() + WHOLE)
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(ROOT / "dagster.yaml", home)
    port = free_port()
    environment = os.environ | {"DAGSTER_HOME": str(home), "ENTRA_PIPELINE_PROJECT": str(project.file)}
    dagster = Path(sys.executable).with_name("dagster")
    with (home / "log").open("w") as log:
        process = subprocess.Popen(
            [dagster, "dev", "-w", "workspace.yaml", "-p", str(port)],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        until(lambda: answers(address), 120, lambda: (home / "log").read_text()[-3000:])
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(5)


def answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/server_info", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def until(condition: Callable[[], bool], seconds: float, why: Callable[[], str] = lambda: "") -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, why()
        time.sleep(0.3)


class Page:
    """What a person does with a page: look for words, press buttons."""

    def __init__(self, driver: webdriver.Chrome, address: str) -> None:
        self.driver = driver
        self.address = address

    def open(self, path: str) -> None:
        self.driver.get(self.address + path)

    def shows(self, *words: str, seconds: float = 30) -> None:
        until(lambda: all(word in self.text() for word in words), seconds, lambda: f"{words} not in: {self.text()}")

    def text(self) -> str:
        try:
            return self.driver.find_element(By.TAG_NAME, "body").text
        except (StaleElementReferenceException, NoSuchElementException):
            return ""

    def assets(self, scope: str) -> set[str]:
        """The assets of a scope that the page links to."""
        try:
            links = [a.get_attribute("href") for a in self.driver.find_elements(By.TAG_NAME, "a")]
        except StaleElementReferenceException:
            return set()
        return set(re.findall(rf"/assets/{scope}/(\w+)(?=[?\s]|$)", "\n".join(filter(None, links)), re.MULTILINE))

    def press(self, label: str, seconds: float = 30) -> None:
        def button() -> WebElement | None:
            found = [b for b in self.driver.find_elements(By.TAG_NAME, "button") if b.text.strip() == label]
            return found[0] if found and found[0].is_enabled() else None

        WebDriverWait(self.driver, seconds, ignored_exceptions=[StaleElementReferenceException]).until(
            lambda _: button()
        ).click()


def test_a_backup_is_launched_and_seen_in_the_ui(dagster_ui: str, browser: webdriver.Chrome, store: ScopeStore) -> None:
    page = Page(browser, dagster_ui)
    page.open(f"{LOCATION}/jobs/backup_now_contoso_eu/playground")
    page.shows("Launch Run")
    if "Join the Dagster community" in page.text():
        page.press("Skip")
        until(lambda: "Join the Dagster community" not in page.text(), 10)
    page.press("Launch Run")
    until(lambda: "/runs/" in browser.current_url, 30)
    page.shows("Success", seconds=60)
    points = store.points()
    assert len(points) == 1

    page.open("/assets?groups=contoso_eu")
    page.shows("contoso-eu", "users", "recovery_point")

    page.open(f"/asset-groups?expanded={unfolded('contoso_eu')}")
    page.shows("contoso_eu", "users", "groups", "tenant", "recovery_point", "4 / 4 Passed")

    page.open("/assets/contoso-eu/recovery_point?view=checks&checkDetail=complete")
    page.shows("7 of 7 tables proven, no gaps", "proof", "group_members", "owners", "compared")

    page.open("/assets/contoso-eu/users?view=partitions")
    page.shows(points[0], "Materialized (1)")

    page.open("/assets/contoso-eu/recovery_point?view=events")
    page.shows("Metadata", "status", "finished", "objects", "links", "resource_units", "lacks")
    assert re.search(r"objects\s+\d+", page.text())

    page.open("/automation")
    page.shows("schedule_contoso_eu")

    shows_a_whole_tenant(page)


def shows_a_whole_tenant(page: Page) -> None:
    """The other scope, of a hundred types, folds into categories, and the tag of a category finds exactly its types."""
    categories: dict[str, set[str]] = {category_tag(CATEGORY): set(LOGS)}
    for name, entry in CATALOGUE.items():
        categories.setdefault(category_tag(entry.category), set()).add(name)
    # The catalog makes only the rows that are in sight.
    page.driver.set_window_size(1500, 4000)
    page.open("/asset-groups")
    page.shows("contoso_eu", "whole")
    assert "recovery_point" not in page.text()

    page.open(f"/asset-groups?expanded={unfolded('whole')}")
    page.shows("recovery_point", *categories)

    for category in ("policies", "logs"):
        selection = f'tag:"{CATEGORY_TAG}"="{category}" and key:"whole/*"'
        page.open(f"/assets?asset-selection={quote(selection)}")
        until(lambda wanted=categories[category]: page.assets("whole") == wanted, 30, page.text)
