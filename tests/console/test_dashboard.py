"""The dashboard leads with what needs attention; each scope tells how the last weeks and months went."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.display.pictures import columns, line, strip
from entra_pipeline.console.monitor.trends import DAYS, first_moment, trend
from entra_pipeline.project import Project
from entra_pipeline.project.stores import open_store
from entra_pipeline.store.job_records import JobRecord
from tests.console.person import Person
from tests.console.test_job_list import leave
from tests.console.two_points import Served, _console, backed_up, points, project, served, simulator
from tests.support.browser import browser

__all__ = ["_console", "backed_up", "browser", "points", "project", "served", "simulator"]

EMPTY = """
[scopes.aaa-new]
tenant = "simulated"
storage = "disk"
protect = ["users"]
schedule = "0 5 * * *"
"""


@pytest.mark.browser
def test_it_leads_with_what_needs_attention(
    browser: webdriver.Chrome, served: Served, project: Project, points: list[str]
) -> None:
    with project.file.open("a") as file:
        file.write(EMPTY)
    leave(open_store(project, "contoso"), "drill", "failed", timedelta(hours=1))
    person = Person(browser, served, Role.viewer)
    person.open("/")
    person.sees("Needs attention", "drill failed", "never backed up", "Last completed restore drill")
    text = person.text()
    assert text.index("Needs attention") < text.index("drill failed") < text.index("Scopes") < text.index("Last jobs")
    # The scope that cannot be restored comes before the one that is well.
    assert text.index("aaa-new", text.index("Scopes")) < text.rindex("Complete and verified.")
    person.click("#alert-2")
    person.wait(lambda: browser.current_url.endswith("/scopes/aaa-new"))


def test_each_scope_has_a_strip_of_its_days(served: Served, project: Project, points: list[str]) -> None:
    """The worst backup of a day stands for it; days without one are told."""
    store = open_store(project, "contoso")
    store.files.delete([file.key for file in store.jobs.files()])
    served.site.job_list.clear()
    noon = datetime.now(UTC).replace(hour=12, minute=0) - datetime.now(UTC)
    for days, status in ((1, "finished"), (1, "failed"), (3, "finished with exception"), (40, "failed")):
        leave(store, "backup", status, timedelta(days=days) - noon)
    leave(store, "prune", "failed", timedelta(days=5))
    with served.client(Role.viewer) as client:
        page = client.get("/dashboard/days").text
    classes = re.findall(r'<i class="(\w+)" title', page)
    assert classes == ["none"] * 10 + ["warn", "none", "bad", "none"]
    assert "12 × no backup" in page and "1 × failed" in page and 'id="days-contoso"' in page


def test_pictures_say_what_they_show() -> None:
    days = [(date(2026, 11, 1), "finished", "good"), (date(2026, 11, 2), "", "plain")]
    assert 'aria-label="Backups of the last 2 days: 1 × finished, 1 × no backup"' in strip(days)
    assert line([None, 5, None], "x") == ""
    drawn = line([100, None, 100, 101], "Objects: 100 to 101")
    # A hundredth more is not drawn as a peak.
    heights = [float(one) for one in re.findall(r"[ML][\d.]+ ([\d.]+)", drawn.rpartition("<path")[2])]
    assert max(heights) - min(heights) < 5 and 'aria-label="Objects: 100 to 101"' in drawn

    columned = columns(
        [
            (date(2026, 11, 1), 60.0, "good", "1 minute"),
            (date(2026, 11, 2), None, "plain", ""),
            (date(2026, 11, 3), 30.0, "warn", "30 seconds, <with> exception"),
        ],
        "Longest backups",
    )
    assert re.findall(r'height="([\d.]+)"(?: fill="url\(#hatch\)")?><title>', columned) == ["100.0", "50.0"]
    assert "Sun 01 Nov: 1 minute" in columned and "&lt;with&gt;" in columned and columned.count("url(#hatch)") == 1


@pytest.mark.pure
def test_what_was_stored_follows_from_what_was_written_and_deleted_since() -> None:
    now, zone = datetime(2026, 11, 30, 12, tzinfo=UTC), ZoneInfo("Europe/Stockholm")

    def job(kind: str, started: str, minutes: int, **details: int) -> JobRecord:
        began = datetime.fromisoformat(started)
        finished = (began + timedelta(minutes=minutes)).isoformat()
        status = "failed" if minutes > 30 else "finished"
        return JobRecord(id=started, type=kind, status=status, started=started, finished=finished, details={**details})

    records = [
        job("backup", "2026-08-01T00:00:00+00:00", 10, bytes_written=7),
        job("backup", "2026-11-28T05:00:00+00:00", 10, bytes_written=100),
        job("backup", "2026-11-28T06:00:00+00:00", 40),
        job("prune", "2026-11-29T01:00:00+00:00", 1, bytes_deleted=500),
        # In Stockholm it is the next day.
        job("backup", "2026-11-29T23:30:00+00:00", 5, bytes_written=20),
    ]
    days = trend(records, 1_000, zone, now)
    assert len(days) == DAYS and first_moment(zone, now) == datetime(2026, 9, 1, 22, tzinfo=UTC)
    assert [one.stored for one in days[-4:]] == [1_380, 1_480, 980, 1_000]
    assert [(one.backups, one.seconds, one.status) for one in days[-3:]] == [
        (2, 2_400, "failed"),
        (0, None, ""),
        (1, 300, "finished"),
    ]


@pytest.mark.browser
def test_a_scope_shows_how_its_backups_have_developed(
    browser: webdriver.Chrome, served: Served, project: Project, points: list[str]
) -> None:
    """Two charts, each with its table, and the last drill beside them."""
    store = open_store(project, "contoso")
    store.files.delete([file.key for file in store.jobs.files()])
    served.site.job_list.clear()
    for days, status in ((1, "finished"), (2, "finished with exception"), (3, "failed")):
        leave(store, "backup", status, timedelta(days=days))
    person = Person(browser, served, Role.viewer)
    person.open("/scopes/contoso")
    person.sees("Duration of backups", "Stored", "Restore readiness", "No restore drill")
    drawn = browser.find_elements(By.CSS_SELECTOR, ".columns-chart rect[x]")
    assert {one.get_attribute("class") for one in drawn} >= {"good", "warn", "bad"}
    for table in browser.find_elements(By.CSS_SELECTOR, ".trend details"):
        table.find_element(By.TAG_NAME, "summary").click()
    person.sees("Worst outcome", "Written", "Deleted")
    files = (project.file.parent / "backup").glob("[!_]*/backup-scope=contoso/**/*.parquet")
    bytes_there = sum(file.stat().st_size for file in files)
    assert bytes_there > 10_000
    shown = browser.find_elements(By.CSS_SELECTOR, ".trend .axis")[2].text
    assert f"now {bytes_there / 1000:,.1f} kB" in shown
    leave(store, "drill", "finished", timedelta(hours=1))
    drill = next(one for one in store.jobs.all() if one.type == "drill")
    store.files.create(f"_drills/contoso/{drill.id}.json", b"{}")
    person.open("/scopes/contoso")
    person.sees("Last completed restore drill", "ago", "Report of the drill")
