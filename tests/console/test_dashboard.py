"""The dashboard leads with what needs attention, and tells of each scope how the last two weeks went."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

import pytest
from selenium import webdriver

from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.display.pictures import line, strip
from entra_pipeline.project import Project
from entra_pipeline.project.stores import open_store
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
    person.sees("Needs attention", "drill failed", "never backed up", "Last restore drill")
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
