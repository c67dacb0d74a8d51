"""One list of jobs, from Dagster and the command alike, and the report of each, as a person sees them."""

from __future__ import annotations

import csv
import json
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from entra_pipeline.backup.jobs import backup_job
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.auth.sessions import User
from entra_pipeline.console.dagster.client import DagsterUnavailable, Run
from entra_pipeline.project import Project
from entra_pipeline.project.stores import open_store
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.running_jobs import recorded
from tests.console.two_points import Served, _console, backed_up, points, project, served, simulator, until
from tests.support.browser import browser

__all__ = ["_console", "backed_up", "browser", "points", "project", "served", "simulator"]

RUN = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"
PRUNE = "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb"


@pytest.fixture
def store(served: Served, project: Project) -> ScopeStore:
    """The scope's store, without records of other tests."""
    store = open_store(project, "contoso")
    store.files.delete([file.key for file in store.jobs.files()])
    served.site.job_list.clear()
    return store


def leave(store: ScopeStore, kind: str, status: str, ago: timedelta, *, run: str = "", trigger: str = "command") -> str:
    """Leaves the record of a job that ended some time ago; its id."""
    started = datetime.now(UTC) - ago
    with recorded(store, kind, trigger=trigger, run_id=run, started=started) as job:
        job.status = status
    return job.id


def runs_of(served: Served, monkeypatch: pytest.MonkeyPatch, *runs: Run) -> None:
    """Has Dagster know these runs, newest first."""

    def listed(*, filters: dict[str, Any] | None = None, limit: int, after: str = "") -> list[Run]:
        asked = filters or {}
        wanted = [
            run
            for run in sorted(runs, key=lambda one: -one.created)
            if run.id in asked.get("runIds", [run.id])
            and run.status.upper() in asked.get("statuses", [run.status.upper()])
            and asked.get("createdAfter", 0) <= run.created < asked.get("createdBefore", 1e12)
            and all(run.tags.get(tag["key"]) == tag["value"] for tag in asked.get("tags", ()))
        ]
        first = [run.id for run in wanted].index(after) + 1 if after else 0
        return wanted[first:][:limit]

    monkeypatch.setattr(served.site.dagster, "runs", listed)
    monkeypatch.setattr(served.site.dagster, "run", lambda run_id: next(run for run in runs if run.id == run_id))
    monkeypatch.setattr(served.site.dagster, "log", lambda run: [])


def run(identifier: str, job: str, status: str, ago: float, **tags: str) -> Run:
    began = time.time() - ago
    given = {key.replace("_", "/", 1): value for key, value in tags.items()}
    return Run(identifier, job, status, began, began, None if status == "started" else began + 1, given)


def kinds(page: str) -> list[str]:
    """The kinds of the jobs of a page, in its order."""
    return re.findall(r"<tr><td class=\"moment\">.*?</td><td[^>]*>([^<]+)</td>", page)


def test_jobs_of_the_command_and_of_dagster_are_one_list(
    served: Served, store: ScopeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each once: a run and its record are one job; newest first."""
    own = leave(store, "backup", "finished", timedelta(hours=3))
    leave(store, "backup", "finished with exception", timedelta(hours=2), run=RUN, trigger="dagster: backup now")
    pruned = leave(store, "prune", "finished", timedelta(hours=1), run=PRUNE, trigger="dagster: prune")
    leave(store, "drill", "failed", timedelta(days=40))
    runs_of(
        served,
        monkeypatch,
        run(RUN, "backup_now_contoso", "success", 7200, entra_scope="contoso", entra_operator="ada"),
        run(PRUNE, "prune", "success", 3600),
        run("c" * 36, "restore", "started", 60, entra_scope="contoso"),
        run("d" * 36, "drill_contoso", "failure", 1800, entra_drill="contoso"),
    )
    with served.client(Role.viewer) as client:
        page = client.get("/jobs").text
        assert kinds(page) == ["Restore", "Restore drill", "Retention", "Backup", "Backup"]
        assert f'href="/jobs/{RUN}"' in page and "<td>ada</td>" in page and "<td>command</td>" in page
        for job_id in (own, pruned):
            assert f'href="/scopes/contoso/jobs/{job_id}"' in page
        assert kinds(client.get("/jobs?scope=contoso").text) == kinds(page)
        assert kinds(client.get("/jobs?period=quarter").text)[-1] == "Restore drill"
        assert kinds(client.get("/jobs?kind=Backup").text) == ["Backup", "Backup"]
        assert kinds(client.get("/jobs?status=finished+with+exception").text) == ["Backup"]
        assert kinds(client.get("/jobs?status=running").text) == ["Restore"]
        assert "No job matches" in client.get("/jobs?kind=Logs").text


def test_older_pages_lack_no_job_and_repeat_none(
    served: Served, store: ScopeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of jobs that began in the same second, and when records and runs take turns."""
    began = timedelta(hours=20)
    left = [leave(store, "backup", "finished", began) for _ in range(70)]
    left += [leave(store, "prune", "finished", timedelta(minutes=number)) for number in range(60)]
    some = [run(f"{number:036x}", "reports", "success", number * 60 + 30) for number in range(1, 120)]
    runs_of(served, monkeypatch, *some)
    found: list[str] = []
    path = "/jobs"
    with served.client(Role.viewer) as client:
        while path:
            page = client.get(path).text
            assert len(page) < 150_000
            found += re.findall(r'<a id="job-([^"]+)"', page)
            older = re.search(r'rel="next" href="([^"]+)"', page)
            path = older[1].replace("&amp;", "&") if older else ""
    assert len(found) == len(set(found))
    assert set(found) == {*left, *(one.id for one in some)}


def test_without_dagster_records_are_listed_and_that_is_said(
    served: Served, store: ScopeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(**_: object) -> list[Run]:
        raise DagsterUnavailable("Dagster does not answer", remedy="Wait.")

    monkeypatch.setattr(served.site.dagster, "runs", away)
    leave(store, "backup", "finished", timedelta(hours=1))
    with served.client(Role.viewer) as client:
        page = client.get("/jobs").text
        assert kinds(page) == ["Backup"] and "Dagster does not answer" in page
        assert client.get("/jobs?after=~").status_code == client.get("/jobs?after=1e999~x&kind=x").status_code == 200
        assert client.get("/scopes/contoso/jobs/..%2F..%2Fsecret").status_code == 404


@pytest.mark.browser
@pytest.mark.parametrize("launched", ["", RUN])
def test_the_report_of_a_job_is_downloaded_in_two_clicks(
    browser: webdriver.Chrome,
    served: Served,
    store: ScopeStore,
    points: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    launched: str,
) -> None:
    with backup_job(store, trigger="command", run_id=launched) as job:
        job.manifest = store.manifest(points[-1])
    some = [run(RUN, "backup_now_contoso", "success", 5, entra_scope="contoso")] if launched else []
    runs_of(served, monkeypatch, *some)
    sign_in(browser, served)
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    browser.get(served.url + "/jobs")
    [row] = browser.find_elements(By.XPATH, "//tr[td[normalize-space()='Backup']]//a")
    row.click()
    until(lambda: "By type" in browser.find_element(By.TAG_NAME, "main").text, 20)
    shown = browser.find_element(By.TAG_NAME, "main").text
    assert "Gaps" in shown and "Group members" in shown
    assert browser.find_elements(By.CSS_SELECTOR, "[title=group_members]")
    for format_ in ("html", "csv", "json"):
        browser.find_element(By.ID, f"report-{format_}").click()

    def file(suffix: str) -> list[Path]:
        return list(tmp_path.glob(f"backup-contoso-*.{suffix}"))

    until(lambda: all(file(one) for one in ("html", "csv", "json")), 20)
    assert "group_members" in file("html")[0].read_text()
    rows = list(csv.DictReader(file("csv")[0].read_text().splitlines()))
    assert {row["table"] for row in rows} >= {"users", "group_members"} and {row["gaps"] for row in rows} == {"0"}
    assert json.loads(file("json")[0].read_text())["facts"]["recovery point"] == points[-1]


@pytest.mark.browser
def test_a_choice_in_a_drop_down_is_applied_at_once(
    browser: webdriver.Chrome, served: Served, store: ScopeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(store, "backup", "finished", timedelta(hours=3))
    leave(store, "prune", "failed", timedelta(hours=1))
    runs_of(served, monkeypatch)
    sign_in(browser, served)
    browser.get(served.url + "/jobs")
    Select(browser.find_element(By.ID, "f-kind")).select_by_visible_text("Retention")
    until(lambda: "kind=Retention" in browser.current_url, 10)
    assert [one.text for one in browser.find_elements(By.CSS_SELECTOR, "tbody td:nth-child(2)")] == ["Retention"]
    assert Select(browser.find_element(By.ID, "f-kind")).first_selected_option.text == "Retention"


def sign_in(driver: webdriver.Chrome, served: Served) -> None:
    token, _ = served.site.sessions.begin(User("vera@contoso.com", Role.viewer, "Vera"))
    driver.get(served.url + "/sign-in")
    driver.add_cookie({"name": "entra-session", "value": token})
