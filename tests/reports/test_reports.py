"""What reports say: counts by day, seats, jobs, readiness; and how little they read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from entra_pipeline.backup.jobs import backup_job
from entra_pipeline.clock import iso
from entra_pipeline.errors import StoreError, UsageError
from entra_pipeline.reports import REPORTS, Report, job
from entra_pipeline.reports.health import health
from entra_pipeline.restore.check.drill import Drill, drill_file
from entra_pipeline.restore.check.fidelity import Difference
from entra_pipeline.settings.periods import Period
from entra_pipeline.store.backends import LocalObjectStore
from entra_pipeline.store.manifest import canonical
from entra_pipeline.store.retention.holds import hold
from entra_pipeline.store.retention.prune import prune_job
from tests.reports.conftest import GAP, NOW, Site, gone, person
from tests.support.writing import Time

pytestmark = pytest.mark.pure

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def rows(report: Report, table: str) -> list[dict[str, Any]]:
    return [dict(row) for one in report.tables if one.key == table for row in one.rows]


def build(site: Site, name: str, first: date = date(2026, 11, 17), **more: Any) -> Report:
    return REPORTS[name].build(site.asked(first, **more))


# --- Backup analysis -------------------------------------------------------------------------------------------------


def test_objects_and_changes_are_told_by_day_and_category(site: Site) -> None:
    site.take("contoso", NOW - 30 * DAY, person(1), added=4)
    site.take("contoso", NOW - 2 * DAY, person(2), added=1)
    site.take("contoso", NOW - 2 * DAY + HOUR, person(3), added=1)
    site.take("contoso", NOW, gone("u1"))
    report = build(site, "backup-analysis", date(2026, 11, 20))
    users = [row for row in rows(report, "days") if row["category"] == "Users"]
    assert [(row["day"], row["objects"], row["added"], row["deleted"]) for row in users] == [
        ("2026-11-20", 1, 0, 0),
        ("2026-11-21", 3, 2, 0),
        ("2026-11-22", 3, 0, 0),
        ("2026-11-23", 2, 0, 1),
    ]
    [total] = [row for row in rows(report, "categories") if row["category"] == "Users"]
    assert (total["objects"], total["added"], total["deleted"]) == (2, 2, 1)
    [scope] = rows(report, "scopes")
    assert (scope["recovery_points"], scope["objects"], scope["last"]) == (3, 5, "2026-11-23T12-00-00Z")
    assert report.charts[0].series["Users"] == [1, 3, 3, 2]
    assert report.charts[1].series == {"added": [0, 2, 0, 0], "changed": [0, 0, 0, 0], "deleted": [0, 0, 0, 1]}


def test_what_the_first_backup_found_was_not_added_on_its_day(site: Site) -> None:
    site.take("contoso", NOW - 2 * DAY, person(1), person(2), baseline=2)
    site.take("contoso", NOW - DAY, person(3), added=1)
    report = build(site, "backup-analysis", date(2026, 11, 20))
    [total] = [row for row in rows(report, "categories") if row["category"] == "Users"]
    assert (total["objects"], total["baseline"], total["added"]) == (3, 2, 1)
    [scope] = rows(report, "scopes")
    assert (scope["baseline"], scope["added"]) == (2, 1)
    assert report.charts[1].series["added"] == [0, 0, 1, 0]


def test_scopes_are_added_up(tmp_path: Path) -> None:
    site = Site(tmp_path, "one", "two", "three")
    site.take("one", NOW - DAY, person(1), person(2))
    site.take("two", NOW, person(1))
    report = build(site, "backup-analysis")
    at_the_end = {row["category"]: row["objects"] for row in rows(report, "categories")}
    assert at_the_end == {"Users": 3, "Tenant": 6}
    assert [row["status"] for row in rows(report, "scopes")] == ["finished", "finished", "never backed up"]
    assert {
        row["category"]: row["objects"] for row in rows(build(site, "backup-analysis", scope="two"), "categories")
    } == {
        "Users": 1,
        "Tenant": 3,
    }


class Reads:
    """Counts what is read of a folder."""

    def __init__(self) -> None:
        self.keys: list[str] = []


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    counted, stream = Reads(), LocalObjectStore.stream

    def counting(self: LocalObjectStore, key: str) -> Iterator[bytes]:
        counted.keys.append(key)
        return stream(self, key)

    monkeypatch.setattr(LocalObjectStore, "stream", counting)
    return counted


def test_reports_read_nothing_that_is_older_than_they_are_asked_for(site: Site, reads: Reads) -> None:
    for day in range(20, 0, -1):
        site.take("contoso", NOW - day * DAY, *([person(1)] if day == 20 else []))
    old = NOW - 20 * DAY
    for file in site.store("contoso").files.list("_jobs/"):
        # Records of long ago were written long ago.
        if "2026-11-2" not in file.key:
            path = site.store("contoso").files.url(file.key)
            import os

            os.utime(path, (old.timestamp(), old.timestamp()))
    read = {}
    for name in ("backup-analysis", "jobs", "readiness"):
        reads.keys.clear()
        build(site, name, NOW.date() - 2 * DAY)
        read[name] = len(reads.keys)
    # Points in the days, the one before them, and the last one once more; young jobs; the newest point.
    assert read["backup-analysis"] <= 5
    assert read["jobs"] <= 4
    assert read["readiness"] == 1


# --- Subscription ----------------------------------------------------------------------------------------------------


def test_seats_are_enabled_members_over_time(site: Site) -> None:
    disabled, guest, of_old = {"accountEnabled": "false"}, {"userType": "Guest"}, {"userType": None}
    site.take("contoso", NOW - 3 * DAY, person(1), person(2, **disabled), person(3, **guest), person(4, **of_old))
    site.take("contoso", NOW - DAY, person(5), person(6))
    report = build(site, "subscription", date(2026, 11, 18))
    assert [(row["day"], row["used"]) for row in rows(report, "days")] == [
        ("2026-11-20", 2),
        ("2026-11-21", 2),
        ("2026-11-22", 4),
        ("2026-11-23", 4),
    ]
    [tenant] = rows(report, "tenants")
    assert (tenant["used"], tenant["seats"], tenant["share"], tenant["state"]) == (4, 4, 1.0, "warning")
    site.take("contoso", NOW - HOUR, person(7))
    assert rows(build(site, "subscription"), "tenants")[0]["state"] == "over"


def test_seats_are_known_from_before_the_days(site: Site) -> None:
    site.take("contoso", NOW - 40 * DAY, person(1))
    report = build(site, "subscription", NOW.date() - DAY)
    assert [(row["day"], row["used"]) for row in rows(report, "days")] == [("2026-11-22", 1), ("2026-11-23", 1)]


@pytest.mark.parametrize(("seats", "state"), [(None, "no seats set"), (100, "ok")])
def test_a_tenant_without_trouble(tmp_path: Path, seats: int | None, state: str) -> None:
    site = Site(tmp_path, "contoso", seats=seats)
    site.take("contoso", NOW, person(1))
    assert rows(build(site, "subscription"), "tenants")[0]["state"] == state


# --- Jobs ------------------------------------------------------------------------------------------------------------


def failed(site: Site, moment: datetime) -> None:
    clock = Time(moment)
    with pytest.raises(StoreError), backup_job(site.store("contoso"), trigger="schedule", clock=clock):
        clock.pass_(minutes=2)
        raise StoreError("the disk is <full>")


def test_jobs_tell_how_they_ended(site: Site) -> None:
    site.take("contoso", NOW - 20 * DAY, person(1))
    site.take("contoso", NOW - DAY, person(2), gaps=(GAP,))
    failed(site, NOW - HOUR)
    report = build(site, "jobs")
    assert [(row["status"], row["seconds"], row["exceptions"], row["error"]) for row in rows(report, "jobs")] == [
        ("failed", 120.0, 0, "the disk is <full>"),
        ("finished with exception", 90.0, 1, ""),
    ]
    assert report.charts[0].series["failed"][-1] == 1
    assert len(rows(build(site, "jobs", only={"status": "FAILED"}), "jobs")) == 1
    assert rows(build(site, "jobs", date(2026, 11, 23), only={"type": "restore"}), "jobs") == []


def test_a_job_is_told_by_type_with_what_is_missing(site: Site) -> None:
    site.take("contoso", NOW, person(1), gaps=(GAP,))
    [record] = site.store("contoso").jobs.all()
    report = job(site.asked(NOW.date()), record.id)
    assert report.facts["status"] == "finished with exception"
    assert rows(report, "gaps") == [
        {"table": "domains", "what": GAP.what, "since": "", "reason": GAP.reason, "remedy": GAP.remedy}
    ]
    assert [row["table"] for row in rows(report, "types")] == ["users", "domains"]
    with pytest.raises(UsageError, match="there is no job"):
        job(site.asked(NOW.date()), "../../secret")


def test_a_job_that_pruned_is_told_with_what_went_and_what_stayed(site: Site) -> None:
    store = site.store("contoso")
    for age in (9, 8, 7):
        site.take("contoso", NOW - age * DAY, person(age))
    hold(store, store.points()[1], reason="case 7", by="anna")
    held = prune_job(store, Period.parse("1 day"), by="anna", trigger="command")
    [record] = [one for one in store.jobs.all() if one.type == "prune"]
    report = job(site.asked(NOW.date()), record.id)
    assert [row["recovery_point"] for row in rows(report, "forgotten")] == held.forgotten == ["2026-11-14T12-00-00Z"]
    assert rows(report, "kept")[0] == {"recovery_point": "2026-11-15T12-00-00Z", "reason": "held: case 7"}


# --- Readiness -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ages", "freshness", "verdict"),
    [
        ([], "never backed up", "never backed up"),
        ([(5, False)], "fresh", "never rehearsed"),
        ([(7, False)], "late", "late backup"),
        ([(10, False)], "missing", "missing backup"),
        ([(1, True)], "no good point", "no good point"),
        ([(10, False), (1, True)], "missing", "missing backup"),
        ([(5, False), (1, True)], "fresh", "gaps"),
    ],
)
def test_a_scope_is_as_fresh_as_its_last_good_point(
    site: Site, ages: list[tuple[int, bool]], freshness: str, verdict: str
) -> None:
    for hours, lacking in ages:
        site.take("contoso", NOW - hours * HOUR, gaps=(GAP,) if lacking else ())
    found = health(site.project.scope("contoso"), site.store("contoso"), NOW)
    assert found.freshness == freshness
    assert found.points == len(ages)
    assert iso(found.due) == "2026-11-23T18:00:00Z" if found.due else False
    report = build(site, "readiness")
    [row] = rows(report, "scopes")
    assert (row["freshness"], row["verdict"]) == (freshness, verdict)
    # An empty table does not say that all is well where nobody has looked.
    empty = {table.key: table.empty for table in report.tables}
    assert empty["drills"] == "no restore drill has been completed"
    assert empty["gaps"] == ("nothing is missing" if ages else "no recovery point yet")


@pytest.mark.parametrize("status", ["finished", "finished with exception"])
def test_readiness_tells_what_the_last_drill_lacks(site: Site, status: str) -> None:
    point = site.take("contoso", NOW - HOUR, person(1))
    differences = [
        Difference(table="users", id=f"u{number}", name=f"Person {number}", what="missing", reason="Graph says no")
        for number in (1, 2)
    ]
    links = Difference(
        table="group_members", id="g1", what="differs", properties={"members": (["u1"], [])}, reason="Graph says no"
    )
    result = Drill(
        id="2026-11-23T11-30-00Z-aaaaaa",
        scope="contoso",
        point=point.recovery_point,
        status=status,
        started=iso(NOW - HOUR),
        finished=iso(NOW - HOUR),
        properties=200,
        properties_equal=150,
        links=4,
        links_equal=3,
        steps=9,
        writes=9,
        seconds=1.0,
        seconds_at_limits=1.0,
        brought={},
        refused={},
        scores=(),
        differences=(*differences, links),
    )
    store = site.store("contoso")
    store.files.create(drill_file("contoso", result.id), canonical(result))
    report = build(site, "readiness")
    [row] = rows(report, "scopes")
    assert row["verdict"] == ("ready" if status == "finished" else "drill fell short")
    assert (row["drilled"], row["properties"], row["links"]) == (status, 0.75, 0.75)
    told = [(one["table"], one["what"], one["number"], one["example"]) for one in rows(report, "drills")]
    assert told == [("users", "missing", 2, "Person 1"), ("group_members", "differs", 1, "g1")]
    assert {one["reason"] for one in rows(report, "drills")} == {"Graph says no"}


def test_a_storage_that_cannot_be_read_is_a_problem_and_hides_nothing_else(tmp_path: Path) -> None:
    site = Site(tmp_path, "one")
    text = site.file.read_text()
    site.file.write_text(
        text + '[storage.gone]\nkind = "local"\npath = "dagster_project.toml"\n'
        '[scopes.two]\ntenant = "one"\nstorage = "gone"\n'
    )
    site.take("one", NOW, person(1))
    for name in ("backup-analysis", "jobs", "readiness", "audit"):
        report = build(site, name)
        assert len(report.problems) == 1, name
    assert [row["verdict"] for row in rows(build(site, "readiness"), "scopes")] == ["unknown", "never rehearsed"]
