"""Reports with the audit log, and the checks of the settings."""

from __future__ import annotations

import csv
import html
import io
from datetime import UTC, datetime, timedelta

import pytest

from entra_pipeline.clock import system_clock
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.reading.reporting import ROWS, _table
from entra_pipeline.doctor import examine_tenant
from entra_pipeline.reports import REPORTS
from entra_pipeline.reports.model import Column, ReportTable
from entra_pipeline.reports.rendering import FORMATS
from entra_pipeline.simulator import Simulator
from tests.console.conftest import Served
from tests.console.test_security import events


@pytest.mark.parametrize("name", REPORTS)
def test_reports(console: Served, name: str) -> None:
    viewer = console.browser(Role.viewer)
    assert f"/reports/{name}" in viewer.get("/reports").text
    page = viewer.get(f"/reports/{name}", params={"scope": "contoso"})
    assert page.status_code == 200 and 'role="alert"' not in page.text
    for format_ in FORMATS:
        file = viewer.get(f"/reports/{name}", params={"format": format_})
        assert file.status_code == 200 and file.content
        assert file.headers["content-disposition"].startswith(f'attachment; filename="{name}-')


@pytest.mark.parametrize(("hours", "words"), [(30, "the next one is late"), (40, "backups are missing")])
def test_the_dashboard_judges_lateness_as_the_reports_do(
    console: Served, monkeypatch: pytest.MonkeyPatch, hours: int, words: str
) -> None:
    monkeypatch.setattr(console.site, "clock", lambda: datetime.now(UTC) + timedelta(hours=hours))
    assert words in console.browser(Role.viewer).get("/").text
    [row] = console.browser(Role.viewer).get("/reports/readiness", params={"format": "json"}).json()["scopes"]
    assert row["freshness"] == ("late" if hours == 30 else "missing")


def test_audit_log(console: Served) -> None:
    viewer = console.browser(Role.viewer)
    console.browser().sign_in("wrong", name="mallory")
    page = viewer.get("/reports/audit", params={"actor": "mallory"}).text
    assert "mallory" in page and "sign in" in page and "127.0.0.1" in page
    assert "mallory" not in viewer.get("/reports/audit", params={"actor": "ada"}).text.split("</form>", 2)[-1]
    text = viewer.get("/reports/audit", params={"actor": "mallory", "format": "csv"}).text
    assert {row["actor"] for row in csv.DictReader(io.StringIO(text))} == {"mallory"}
    assert events(console, "report export")[-1].details == {"format": "csv"}


@pytest.mark.parametrize(
    "query", [{"from": "yesterday"}, {"from": "2026-11-02", "to": "2026-11-01"}, {"scope": "x"}, {"format": "exe"}]
)
def test_what_cannot_be_asked(console: Served, query: dict[str, str]) -> None:
    answer = console.browser(Role.viewer).get("/reports/audit", params=query)
    assert answer.status_code == 400
    assert "The request failed" in answer.text


def test_a_tenant_is_checked_as_doctor_does(console: Served, simulator: Simulator) -> None:
    operator = console.browser(Role.operator)
    page = operator.post("/settings/tenants/contoso/check")
    assert page.status_code == 200
    found = list(examine_tenant(console.site.project(), "contoso", system_clock))
    assert {one.outcome for one in found} == {"ok"} and len(found) == 5
    for one in found:
        assert f"<td>{one.check}</td>" in page.text and html.escape(one.told) in page.text
    assert "All checks passed." in page.text and "without Member.Read.Hidden it sees no members" in page.text
    assert events(console, "tenant check")[-1].result == "finished"


def test_permissions_that_are_lacking_are_named(console: Served, simulator: Simulator) -> None:
    operator = console.browser(Role.operator)
    before = simulator.control.roles(simulator.client_id)
    simulator.control.roles(
        simulator.client_id, [role for role in before if not role.startswith(("Group", "Directory"))]
    )
    try:
        page = operator.post("/settings/tenants/contoso/check").text
    finally:
        simulator.control.roles(simulator.client_id, before)
    problem = page.split('role="alert"')[1].split("</div>")[0]
    assert "app that backs up: it lacks" in problem and "Group" in problem and "User.Read.All" not in problem
    assert "Grant them in Entra" in problem
    assert "it lacks" in events(console, "tenant check")[-1].details["error"]


def test_storage(console: Served) -> None:
    operator = console.browser(Role.operator)
    page = operator.post("/settings/storage/disk/check").text
    assert "All checks passed." in page
    assert "create only when absent" in page and "MB/s" in page
    page = operator.post("/settings/storage/bucket/check").text
    assert 'role="alert"' in page and "endpoint_url" in page
    assert operator.post("/settings/storage/none/check").status_code == 400


def test_test_message(console: Served) -> None:
    """Nothing listens there: what is wrong is said, with the setting at fault."""
    page = console.browser(Role.operator).post("/notifications/operations/test").text
    assert 'role="alert"' in page and "mail" in page
    assert events(console, "notification test")[-1].result == "failed"


@pytest.mark.pure
def test_a_page_shows_the_first_rows_and_of_what_comes_in_time_the_newest() -> None:
    """Jobs are the newest first already, and scopes the worst first."""
    column = Column("day", "day", "number")
    rows = [{"day": number} for number in range(ROWS + 5)]
    first = _table(ReportTable("jobs", "Jobs", (column,), rows))
    newest = _table(ReportTable("days", "Days", (column,), rows, newest_last=True))
    assert [first["rows"][place]["day"] for place in (0, -1)] == ["0", f"{ROWS - 1}"]
    assert [newest["rows"][place]["day"] for place in (0, -1)] == [f"{ROWS + 4}", "5"]
