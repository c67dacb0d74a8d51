"""Records of jobs that several runs have worked on: the newest run's stays, whoever is late."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from entra_pipeline.store.backends import LocalObjectStore, ObjectStore
from entra_pipeline.store.job_records import JobRecord
from entra_pipeline.store.recovery_points import ScopeStore
from tests.support.s3 import Bucket


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ScopeStore:
    bucket: Bucket | None = request.getfixturevalue("s3_bucket") if request.param == "s3" else None
    files: ObjectStore = bucket.files() if bucket else LocalObjectStore(tmp_path)
    return ScopeStore(files, "contoso")


def record(minute: int, status: str = "failed", run: str = "", **more: Any) -> JobRecord:
    began = f"2026-11-23T05:{minute:02}:00Z"
    return JobRecord(id="a-plan", type="restore", status=status, run_id=run, run_started=began, **more)


def test_a_run_that_was_killed_is_not_recorded_over_the_run_that_took_its_place(store: ScopeStore) -> None:
    assert store.jobs.put(record(9, "finished", "second", finished="2026-11-23T05:10:00Z"))
    # Dagster finds it dead long after.
    assert not store.jobs.put(record(0, "failed", "first", finished="2026-11-23T05:30:00Z"))
    [kept] = store.jobs.all()
    assert (kept.run_id, kept.status) == ("second", "finished")


def test_a_run_that_took_the_place_of_another_is_recorded_over_it(store: ScopeStore) -> None:
    assert store.jobs.put(record(0, "finished", "first"))
    assert store.jobs.put(record(9, "failed", "second"))
    [kept] = store.jobs.all()
    assert (kept.run_id, kept.status) == ("second", "failed")


def test_a_run_that_failed_beside_the_one_that_did_the_job_does_not_hide_that(store: ScopeStore) -> None:
    assert store.jobs.put(record(2, "failed", "second", finished="2026-11-23T05:03:00Z"))
    assert store.jobs.put(record(0, "finished", "first", finished="2026-11-23T05:30:00Z"))
    [kept] = store.jobs.all()
    assert (kept.run_id, kept.status) == ("first", "finished")


def test_a_run_has_the_last_word_on_itself(store: ScopeStore) -> None:
    assert store.jobs.put(record(5, "finished", "one"))
    assert store.jobs.put(record(3, "finished with exception", "one"))
    [kept] = store.jobs.all()
    assert kept.status == "finished with exception"


def test_records_of_earlier_releases_are_judged_by_their_start(store: ScopeStore) -> None:
    old = JobRecord(id="a-plan", status="finished", started="2026-11-23T05:05:00Z")
    store.jobs.write(old)
    assert not store.jobs.put(record(4))
    assert store.jobs.put(record(6))


def test_of_runs_that_are_recorded_at_once_the_newest_stays(store: ScopeStore) -> None:
    runs = [record(minute, run=str(minute)) for minute in range(12)]
    random.Random(7).shuffle(runs)
    with ThreadPoolExecutor(len(runs)) as pool:
        list(pool.map(lambda one: store.jobs.put(one), runs))
    [kept] = store.jobs.all()
    assert kept.run_id == "11"
