"""A backup under way is shown wherever its scope is, and a second press queues no second one."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from selenium import webdriver

from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.dagster.client import Run
from tests.console.person import Person
from tests.console.two_points import Served, _console, backed_up, points, project, served, simulator
from tests.support.browser import browser

__all__ = ["_console", "backed_up", "browser", "points", "project", "served", "simulator"]

BACKUP = "11111111-2222-3333-4444-555555555555"
PAGES = ("/", "/scopes", "/scopes/contoso", "/scopes/contoso/points", "/scopes/contoso/compare")


class Launched:
    """A Dagster in which what is launched is queued, and stays so."""

    def __init__(self, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        self.runs: list[Run] = []
        self.backups = served.site.backups
        monkeypatch.setattr(served.site.dagster, "launch", self.launch)
        monkeypatch.setattr(served.site.dagster, "runs", lambda **_: list(self.runs))

    def launch(self, job: str, config: object, **told: Any) -> str:
        # Long enough for a second press to come while the first is on its way.
        time.sleep(0.1)
        self.add(job, "queued", tags=told["tags"])
        return BACKUP

    def add(self, job: str, status: str, tags: dict[str, str] | None = None) -> None:
        self.runs.append(Run(BACKUP, job, status, time.time(), None, None, tags or {"entra/scope": "contoso"}))
        self.backups.forget()


@pytest.fixture
def dagster(served: Served, monkeypatch: pytest.MonkeyPatch) -> Iterator[Launched]:
    served.site.backups.forget()
    yield Launched(served, monkeypatch)
    served.site.backups.forget()


def test_a_second_press_shows_the_first_backup(served: Served, dagster: Launched) -> None:
    with served.client(Role.operator) as one, served.client(Role.operator) as other, ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda client: client.post("/scopes/contoso/backup"), (one, other)))
        assert [answer.headers["location"] for answer in answers] == [f"/jobs/{BACKUP}"] * 2
        assert len(dagster.runs) == 1
        one.post("/scopes/contoso/backup")
        assert len(dagster.runs) == 1


@pytest.mark.parametrize(
    ("job", "status", "shown"), [("backup_contoso", "started", "running"), ("__ASSET_JOB", "queued", "queued")]
)
def test_a_backup_under_way_is_shown_on_every_page_of_its_scope(
    served: Served, dagster: Launched, job: str, status: str, shown: str
) -> None:
    with served.client(Role.operator) as client:
        for path in PAGES:
            assert "Run backup now" in client.get(path).text, path
        dagster.add(job, status)
        for path in (*PAGES, "/scopes/contoso/backup"):
            page = re.sub("<svg.*?</svg>", "", client.get(path).text)
            assert "Run backup now" not in page, path
            assert f'href="/jobs/{BACKUP}">Backup <span class="badge busy">{shown}</span>' in page, path
            assert 'hx-get="/scopes/contoso/backup"' in page, path
    with served.client(Role.viewer) as client:
        assert f'href="/jobs/{BACKUP}"' in client.get("/scopes/contoso").text


def test_other_jobs_of_a_scope_are_no_backups(served: Served, dagster: Launched) -> None:
    dagster.add("restore", "started")
    dagster.add("logs_contoso", "started")
    with served.client(Role.operator) as client:
        assert "Run backup now" in client.get("/scopes/contoso").text
        client.post("/scopes/contoso/backup")
    assert [run.job for run in dagster.runs][2:] == ["backup_now_contoso"]


@pytest.mark.browser
def test_one_click_in_the_table_of_scopes(
    browser: webdriver.Chrome, served: Served, dagster: Launched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served.site.dagster, "run", lambda _: dagster.runs[0])
    monkeypatch.setattr(served.site.dagster, "log", lambda _: [])
    person = Person(browser, served, Role.operator)
    person.open("/scopes")
    person.click("tr button", "Run backup now")
    person.sees("Backup", "queued", "The queue is checked every few seconds")
    assert person.clicks == 1 and len(dagster.runs) == 1
    person.open("/scopes")
    assert "Backup queued" in " ".join(person.one("table").text.split())
