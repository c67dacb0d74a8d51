"""The audit log: many writers, the turn of days, and what verifying finds."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from entra_pipeline.audit import Act, AuditLog, Origin
from entra_pipeline.store.backends import LocalObjectStore, ObjectStore
from tests.support.s3 import Bucket

START = datetime(2026, 11, 23, 22, 0, tzinfo=UTC)
ANNA = Origin(actor="anna", channel="cli", host="backup01", address="192.0.2.7")


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self, moment: datetime = START) -> None:
        self.moment = moment

    def __call__(self) -> datetime:
        return self.moment


@pytest.fixture(params=["disk", "s3"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "disk":
        return LocalObjectStore(tmp_path / "store")
    bucket: Bucket = request.getfixturevalue("s3_bucket")
    return bucket.files("prod")


@pytest.fixture
def local(tmp_path: Path) -> LocalObjectStore:
    return LocalObjectStore(tmp_path / "store")


def act(subject: object, **changes: str) -> Act:
    return Act(**{"action": "backup", "scope": "contoso", "subject": str(subject), "result": "finished", **changes})


def written(files: ObjectStore, *hours: float) -> AuditLog:
    """A log with an event at each of some hours after the start."""
    clock = Clock()
    log = AuditLog(files, clock)
    for hour in hours:
        clock.moment = START + timedelta(hours=hour)
        log.write(act(hour), ANNA)
    return log


def subjects(log: AuditLog, first: date = date(2026, 1, 1), last: date = date(2027, 12, 31)) -> list[str]:
    return [event.subject for event in log.events(first, last)]


def problems(log: AuditLog) -> list[tuple[str, str]]:
    return [(problem.key, problem.what) for problem in log.verify()]


def event_keys(files: ObjectStore) -> list[str]:
    return [file.key for file in files.list("_audit/2")]


def test_events_come_back_in_order_by_day(files: ObjectStore) -> None:
    log = written(files, 0, 1, 3, 49, 24 * 40)
    assert subjects(log) == ["0", "1", "3", "49", "960"]
    assert subjects(log, date(2026, 11, 24), date(2026, 11, 25)) == ["3", "49"]
    days = [key.split("/")[1] for key in event_keys(files)]
    assert days == [*["2026-11-23"] * 3, *["2026-11-24"] * 2, *["2026-11-25"] * 2, "2027-01-02"]
    [first, *_] = log.events(date(2026, 11, 23), date(2026, 11, 23))
    assert (first.actor, first.channel, first.host, first.address) == ("anna", "cli", "backup01", "192.0.2.7")
    assert (first.number, first.moment, first.previous) == (1, "2026-11-23T22:00:00Z", "")
    assert problems(log) == []


def test_writers_at_the_same_time_never_fork_the_chain(files: ObjectStore) -> None:
    def write(writer: int) -> None:
        # Clocks differ: for some it is the next day already, for one the day after.
        log = AuditLog(files, Clock(START + timedelta(hours=1.5 * (writer % 3), days=writer == 7)))
        for number in range(5):
            log.write(act(f"{writer}-{number}"), ANNA)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    log = AuditLog(files)
    assert sorted(subjects(log)) == sorted(f"{writer}-{number}" for writer in range(8) for number in range(5))
    assert problems(log) == []


def test_a_clock_that_is_behind_goes_on_in_the_open_day(local: LocalObjectStore) -> None:
    log = written(local, 3, 0)
    assert [key.split("/")[1] for key in event_keys(local)] == ["2026-11-24"] * 2
    assert problems(log) == []


def test_an_empty_log_is_right(files: ObjectStore) -> None:
    log = AuditLog(files, Clock())
    assert subjects(log) == []
    assert problems(log) == []


def test_a_writer_that_died_between_event_and_head_loses_nothing(local: LocalObjectStore) -> None:
    log = written(local, 0)
    behind = local.read("_audit/head.json")
    log = written(local, 0, 3, 4)
    local.replace("_audit/head.json", behind)
    assert problems(log) == []
    log.write(act("next"), ANNA)
    assert subjects(log)[-1] == "next"
    assert problems(log) == []


def changed(files: ObjectStore, key: str) -> None:
    files.replace(key, files.read(key).replace(b'"actor":"anna"', b'"actor":"bill"'))


@pytest.mark.parametrize("place", [0, 1, 3, 4], ids=["first", "in between", "day closed", "last"])
@pytest.mark.parametrize("later", [False, True], ids=["", "and the log goes on"])
def test_a_changed_event_is_found(local: LocalObjectStore, place: int, later: bool) -> None:
    log = written(local, 0, 0.5, 1, 3)
    key = event_keys(local)[place]
    changed(local, key)
    if later:
        log.write(act("later"), ANNA)
    [(where, what)] = problems(log)
    assert where == key
    assert what.startswith("was changed: its SHA-256 is not what _audit/")


def test_an_event_that_is_no_json_any_more_is_found_and_shown(local: LocalObjectStore) -> None:
    log = written(local, 0, 1, 1.5)
    key = event_keys(local)[1]
    local.replace(key, b"{")
    assert [where for where, _ in problems(log)] == [key] * 2
    assert [event.action for event in log.events(date(2026, 11, 23), date(2026, 11, 23))] == [
        "backup",
        "unreadable event",
        "backup",
    ]


@pytest.mark.parametrize("later", [False, True], ids=["", "and the log goes on"])
@pytest.mark.parametrize(
    ("places", "what"),
    [
        ([0], "before it, event 1 is missing"),
        ([1, 2], "before it, events 2 to 3 are missing"),
        ([3], "before it, event 4 is missing"),
    ],
)
def test_removed_events_are_found(local: LocalObjectStore, places: list[int], what: str, later: bool) -> None:
    log = written(local, 0, 0.5, 1, 1.5, 1.8)
    keys = event_keys(local)
    local.delete([keys[place] for place in places])
    if later:
        log.write(act("later"), ANNA)
    assert problems(log) == [(keys[places[-1] + 1], what)]


def test_events_removed_at_the_end_are_found(local: LocalObjectStore) -> None:
    log = written(local, 0, 0.5, 1, 1.5)
    keys = event_keys(local)
    local.delete(keys[2:])
    assert problems(log) == [(keys[1], "after it, events 3 to 4 are missing")]
    log.write(act("later"), ANNA)
    assert problems(log) == [("_audit/2026-11-23/000000000005.jsonl", "before it, events 3 to 4 are missing")]


def test_an_inserted_event_is_found(local: LocalObjectStore) -> None:
    log = written(local, 0, 3)
    keys = event_keys(local)
    forged = "_audit/2026-11-24/000000000002.jsonl"
    local.create(forged, local.read(keys[0]).replace(b'"number":1', b'"number":2'))
    local.create("_audit/2026-11-23/extra.txt", b"")
    assert problems(log) == [
        ("_audit/2026-11-23/extra.txt", "does not belong to the log"),
        (forged, "was inserted: event 2 is elsewhere"),
    ]


def test_a_head_that_is_gone_is_told_and_made_again(local: LocalObjectStore) -> None:
    log = written(local, 0, 3)
    local.delete(["_audit/head.json"])
    assert [where for where, _ in problems(log)] == ["_audit/head.json"]
    log.write(act("later"), ANNA)
    assert subjects(log) == ["0", "3", "later"]
    assert problems(log) == []


def test_duckdb_reads_the_events(local: LocalObjectStore) -> None:
    written(local, 0, 3)
    rows = duckdb.sql(
        f"SELECT number, actor, subject, details->>'next' FROM read_json('{local.root}/_audit/*/*.jsonl', columns = "
        "{number: 'BIGINT', actor: 'VARCHAR', subject: 'VARCHAR', details: 'JSON'}) ORDER BY number"
    ).fetchall()
    assert rows == [(1, "anna", "0", None), (2, "anna", "", "2026-11-24"), (3, "anna", "3", None)]
