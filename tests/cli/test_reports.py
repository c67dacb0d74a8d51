"""`report`: formats, files, filters, and what it does when something cannot be read."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import openpyxl
import pytest

from entra_pipeline.reports import REPORTS
from tests.support.command import Place


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_is_a_table_and_json(backed_up: Place, name: str) -> None:
    result = backed_up.call("report", name)
    assert result.code == 0, result.err
    data = backed_up.call("report", name, "--format", "json").json
    assert result.out.startswith(data["title"])
    assert data["report"] == name


def test_the_file_says_the_format(backed_up: Place, tmp_path: Path) -> None:
    page, book = tmp_path / "report.html", tmp_path / "report.xlsx"
    assert backed_up.call("report", "backup-analysis", "--output", page).code == 0
    assert page.read_text().startswith("<!doctype html>")
    assert backed_up.call("report", "backup-analysis", "--output", book).code == 0
    users = [row for row in openpyxl.load_workbook(book)["Categories"].values if row[0] == "Users"]
    assert users[0][1] > 60
    result = backed_up.call("report", "jobs", "--output", tmp_path / "report")
    assert result.code == 2 and "--format" in result.err


def test_a_job_is_found_by_its_id(backed_up: Place) -> None:
    jobs = backed_up.call("report", "jobs", "--scope", "all", "--type", "backup", "--format", "json").json["jobs"]
    assert [job["status"] for job in jobs] == ["finished", "finished"]
    told = backed_up.call("report", "job", jobs[1]["id"], "--format", "json").json
    assert told["facts"]["recovery point"] == jobs[1]["recovery_point"]
    assert {row["table"] for row in told["types"]} >= {"users", "group_members"}
    assert backed_up.call("report", "job", "no-such-job").code == 2


def test_the_audit_log_is_filtered(place: Place) -> None:
    assert place.call("backup", "few").code == 0
    assert place.call("scope", "edit", "few", "--retention", "30 days").code == 0
    assert place.call("scope", "edit", "all", "--retention", "soon").code == 2

    def actions(*filters: str) -> list[str]:
        out = place.call("report", "audit", *filters, "--format", "csv").out
        return [row["action"] for row in csv.DictReader(io.StringIO(out))]

    assert actions() == ["backup", "scope edit", "scope edit"]
    assert actions("--action", "scope") == ["scope edit", "scope edit"]
    assert actions("--result", "refused") == ["scope edit"]
    assert actions("--scope", "few") == ["backup", "scope edit"]
    assert actions("--actor", "nobody at all") == []
    assert actions("--from", "2026-01-01", "--to", "2026-01-31") == []
    assert place.call("report", "audit", "--from", "2026-02-01", "--to", "2026-01-31").code == 2


def test_what_cannot_be_read_is_said(place: Place) -> None:
    text = place.file.read_text()
    place.file.write_text(
        f'{text}[storage.gone]\nkind = "local"\npath = "{place.file.name}"\n'
        '[scopes.lost]\ntenant = "contoso"\nstorage = "gone"\n'
    )
    result = place.call("report", "readiness")
    assert result.code == 3
    assert "scope lost:" in result.err


def test_scopes_tell_how_fresh_they_are(backed_up: Place) -> None:
    found = {row["scope"]: row for row in backed_up.call("scope", "list", "--json").json}
    assert found["all"]["freshness"] == "fresh"
    assert 0 <= found["all"]["age_seconds"] < 3600
    assert (found["few"]["freshness"], found["few"]["age_seconds"]) == ("never backed up", None)
