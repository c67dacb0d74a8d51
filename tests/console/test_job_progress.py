"""How far a running job is: on its page, in lists and beside its scope, without loading them again."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.auth.sessions import User
from entra_pipeline.console.dagster.client import Line, Run
from entra_pipeline.console.monitor.progress import progress_of
from entra_pipeline.orchestration import progress as logged
from entra_pipeline.orchestration.progress import RunProgress
from tests.console.person import Person
from tests.console.two_points import Served, _console, backed_up, points, project, served, simulator, until
from tests.support.browser import browser

__all__ = ["_console", "backed_up", "browser", "points", "project", "served", "simulator"]

RUN = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"


def lines(*told: tuple[float, str]) -> list[Line]:
    return [Line(at, "INFO", text) for at, text in told]


def test_what_a_backup_logs_is_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logged, "_SECONDS_BETWEEN", 0.0)
    log: list[str] = []
    context: Any = SimpleNamespace(log=SimpleNamespace(info=log.append))
    run = RunProgress(context, 40)
    run.rows("users", 1500)
    assert log == ["0 of 40 tables read, 1,500 rows, 0 requests"]
    found = progress_of(lines(*enumerate(log)), 1.0)
    assert found and (found.done, found.total, found.unit, found.told) == (
        0,
        40,
        "tables",
        ("1,500 rows", "0 requests"),
    )
    assert found.left is None


def test_the_time_left_follows_the_pace() -> None:
    log = lines(
        (0, "signing in"),
        (100, "stage users: 10 of 50; 10 of all 100 steps"),
        (120, "stage users: 50 of 50; 50 of all 100 steps"),
    )
    # Forty steps in twenty seconds: the other fifty take twenty-five, of which five are over.
    found = progress_of(log, 125)
    assert found and (found.done, found.total, found.unit, found.left) == (50, 100, "steps", 20)
    assert progress_of(lines((0, "reading")), 5) is None


@pytest.mark.browser
def test_the_page_of_a_job_follows_it(
    browser: webdriver.Chrome, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = time.time() - 60
    told = [(began, "reading"), (began + 50, "30 of 102 tables read, 12,345 rows, 87 requests")]
    monkeypatch.setattr(
        served.site.dagster,
        "run",
        lambda _: Run(RUN, "backup_contoso", "started", began, began, None, {"entra/scope": "contoso"}),
    )
    monkeypatch.setattr(served.site.dagster, "log", lambda _: lines(*told))
    token, _ = served.site.sessions.begin(User("vera@contoso.com", Role.viewer, "Vera"))
    browser.get(served.url + "/sign-in")
    browser.add_cookie({"name": "entra-session", "value": token})
    browser.get(f"{served.url}/jobs/{RUN}")
    shown = browser.find_element(By.ID, "how-far").text
    assert shown.startswith("30 of 102 tables, 12,345 rows, 87 requests; about") and "left" in shown
    bar = browser.find_element(By.TAG_NAME, "progress")
    assert (bar.get_attribute("value"), bar.get_attribute("max")) == ("30", "102")
    told.append((time.time(), "60 of 102 tables read, 23,456 rows, 170 requests"))
    until(lambda: "60 of 102 tables" in browser.find_element(By.TAG_NAME, "main").text, 15)


@pytest.mark.browser
def test_lists_follow_what_is_running(
    browser: webdriver.Chrome, served: Served, points: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs and scopes; of a run whose log does not say, nothing."""
    began = time.time() - 60
    told = [(began, "reading"), (began + 50, "30 of 102 tables read, 12,345 rows, 87 requests")]
    backup = Run(RUN, "backup_contoso", "started", began, began, None, {"entra/scope": "contoso"})
    others = [
        Run("b" * 36, "reports", "started", began, began, None, {}),
        Run("c" * 36, "prune", "queued", began, None, None, {}),
    ]
    dagster = served.site.dagster
    monkeypatch.setattr(dagster, "runs", lambda **_: [backup, *others])
    monkeypatch.setattr(dagster, "log", lambda run: lines(*told) if run.id == RUN else [])
    served.site.backups.forget()
    person = Person(browser, served, Role.viewer)
    person.open("/jobs")
    person.shows("tr:has(#job-" + RUN + ")", "30 of 102 tables, 12,345 rows, about")
    assert len(browser.find_elements(By.CSS_SELECTOR, "#jobs progress")) == 1
    told.append((time.time(), "60 of 102 tables read, 23,456 rows, 170 requests"))
    person.shows("tr:has(#job-" + RUN + ")", "60 of 102 tables, 23,456 rows, about")
    person.open("/scopes")
    person.shows("tr:has(#backup-contoso)", "60 of 102 tables, 23,456 rows, about")
    told.append((time.time(), "101 of 102 tables read, 24,567 rows, 200 requests"))
    person.shows("tr:has(#backup-contoso)", "101 of 102 tables, 24,567 rows")
    served.site.backups.forget()
