"""Object Lock follows retention: what a point needs cannot be deleted before its time, and goes after it."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from entra_pipeline.clock import iso, parse_iso
from entra_pipeline.errors import AlreadyExists, ConfigurationError, EntraPipelineError, NotInStore
from entra_pipeline.settings.periods import Period
from entra_pipeline.store.backends import ObjectStore
from entra_pipeline.store.logs import DayOfLog
from entra_pipeline.store.points.keys import moment_of
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.retention.prune import prune
from entra_pipeline.store.verify import verify
from tests.store.test_files import error_factory
from tests.support.aging import Life
from tests.support.s3 import Bucket
from tests.support.writing import put, put_log_day, upsert

_DAY = timedelta(days=1)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _wait(until: datetime) -> None:
    time.sleep(max(0.0, (until - datetime.now(UTC)).total_seconds()) + 1)


def _retained(files: ObjectStore, key: str) -> datetime:
    until = files.retained_until(key)
    assert until is not None
    return until


def _life(bucket: Bucket, folder: Path, *, begins: datetime, retention: str, client: object = None) -> Life:
    files = bucket.files("prod", client=client, object_lock="compliance")
    life = Life(folder, begins=begins, retention=retention, files=files)
    life.store = ScopeStore(files, "contoso", life.time, life.scope.retention)
    return life


@pytest.mark.parametrize("mode", ["governance", "compliance"])
def test_a_locked_object_cannot_be_deleted_before_and_can_be_after(locking_bucket: Bucket, mode: str) -> None:
    files = locking_bucket.files("prod", object_lock=mode)
    files.check()
    until = _now() + timedelta(seconds=4)
    files.create("one", b"1", until=until)
    files.create("two", b"2")
    assert (files.retained_until("one"), files.retained_until("two")) == (until, None)
    later = until + timedelta(seconds=1)
    files.retain("two", later)
    files.retain("two", until)
    assert files.retained_until("two") == later
    for key in ("one", "two"):
        with pytest.raises(EntraPipelineError):
            files.delete([key])
    assert (files.read("one"), files.read("two")) == (b"1", b"2")
    _wait(later)
    files.delete(["one", "two"])
    with pytest.raises(NotInStore):
        files.size("one")
    # Nothing is only hidden: no version and no delete marker is left.
    answer = locking_bucket.endpoint.client().list_object_versions(Bucket=locking_bucket.name)
    assert not answer.get("Versions")
    assert not answer.get("DeleteMarkers")


def test_of_many_creators_one_wins_where_objects_have_versions(locking_bucket: Bucket) -> None:
    """Ceph RGW 16.2 heeds no condition there."""
    won: list[int] = []

    def attempt(number: int) -> None:
        try:
            locking_bucket.files(object_lock="governance").create("key", str(number).encode())
        except AlreadyExists:
            return
        won.append(number)

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    files = locking_bucket.files(object_lock="governance")
    assert [str(number).encode() for number in won] == [files.read("key")]
    with pytest.raises(AlreadyExists):
        files.create("key", b"late")
    # Whoever repeats a request whose answer was lost finds their own bytes.
    files.create("key", files.read("key"))
    files.delete(["key"])
    files.create("key", b"new")
    assert files.read("key") == b"new"


def test_a_bucket_without_object_lock_is_blamed_on_the_setting(s3_bucket: Bucket) -> None:
    with pytest.raises(ConfigurationError, match=r"storage\.main\.object_lock"):
        s3_bucket.files(object_lock="compliance", error_factory=error_factory).check()


def test_locks_follow_the_points_that_need_a_file_and_cost_a_request_per_new_file(
    locking_bucket: Bucket, tmp_path: Path
) -> None:
    client = locking_bucket.endpoint.client()
    asked: list[str] = []
    client.meta.events.register(
        "before-parameter-build.s3.PutObjectRetention", lambda params, **_: asked.append(params["Key"])
    )

    def locked() -> list[str]:
        """The files of tables that were locked since this was last asked; each manifest is locked once."""
        found = [key for key in asked if not key.startswith("prod/_recovery_points/")]
        assert len(asked) - len(found) == 1
        asked.clear()
        return found

    life = _life(locking_bucket, tmp_path, begins=_now(), retention="36 days", client=client)
    files = life.store.files
    first = life.back_up()
    assert set(locked()) == {f"prod/{key}" for key in first.named()}
    until = moment_of(first.recovery_point) + 39 * _DAY
    assert parse_iso(first.locked_until) == until
    assert {_retained(files, key) for key in first.named()} == {until}
    assert _retained(files, life.store.manifest_key(first.recovery_point)) == until - 3 * _DAY
    # Within a twelfth of the retention only what is new is locked …
    life.time.pass_(days=2)
    life.people["u1"] = "Another"
    second = life.back_up()
    [new] = second.named() - first.named()
    assert locked() == [f"prod/{new}"]
    assert _retained(files, new) == until
    # … and then all that the point names, for the next twelfth.
    life.time.pass_(days=2)
    third = life.back_up()
    assert set(locked()) == {f"prod/{key}" for key in third.named()}
    assert {_retained(files, key) for key in third.named()} == {until + 4 * _DAY}
    for one in (first, second, third):
        end = moment_of(one.recovery_point) + 36 * _DAY
        assert all(_retained(files, key) >= end for key in (*one.named(), life.store.manifest_key(one.recovery_point)))
    assert all(finding.ok for finding in verify(life.store))


def test_a_shorter_retention_shortens_no_lock_and_makes_no_new_one_longer_than_it_has_to_be(
    locking_bucket: Bucket, tmp_path: Path
) -> None:
    life = _life(locking_bucket, tmp_path, begins=_now(), retention="2 years")
    first = life.back_up()
    life.time.pass_(hours=1)
    life.people["u1"] = "Another"
    life.store.retention = Period.parse("24 days")
    second = life.back_up()
    [new] = second.named() - first.named()
    until = moment_of(second.recovery_point) + 26 * _DAY
    assert (parse_iso(second.locked_until), _retained(life.store.files, new)) == (until, until)
    assert {iso(_retained(life.store.files, key)) for key in first.named()} == {first.locked_until}


def test_what_no_point_has_locked_can_be_swept(locking_bucket: Bucket, tmp_path: Path) -> None:
    life = _life(locking_bucket, tmp_path, begins=_now(), retention="1 years")
    life.back_up()
    orphan = put(life.store, tmp_path, "2099-01-01T00-00-00Z", [upsert("0", "Alex")])
    life.time.pass_(days=3)
    swept = prune(life.store, life.scope.retention, by="test").deleted
    assert (swept.keys, swept.locked) == ([orphan.key], [])


def test_prune_leaves_what_is_locked_for_later_and_says_so(locking_bucket: Bucket, tmp_path: Path) -> None:
    """Points of three days ago, kept for three days: the lock of the first manifest ends while the test waits."""
    begins = _now() - 3 * _DAY + timedelta(seconds=8)
    life = _life(locking_bucket, tmp_path, begins=begins, retention="3 days")
    first = life.back_up(full=True)
    life.time.pass_(hours=1)
    second = life.back_up(full=True)
    life.time.now = _now()
    # The clock of whoever prunes is right, the retention is shorter than it was: both are past their time, and locked.
    short = Period.parse("1 days")
    for dry_run in (True, False):
        kept = prune(life.store, short, by="test", grace=timedelta(0), dry_run=dry_run)
        assert kept.verdicts[0].kept == f"locked until {iso(moment_of(first.recovery_point) + 3 * _DAY)}"
        assert (kept.forgotten, kept.deleted.keys) == ([], [])
    _wait(moment_of(first.recovery_point) + 3 * _DAY)
    life.time.now = _now()
    dry = prune(life.store, short, by="test", grace=timedelta(0), dry_run=True)
    done = prune(life.store, short, by="test", grace=timedelta(0))
    # Its files are locked a little longer than the point.
    assert dry == done
    assert done.forgotten == [first.recovery_point]
    assert set(done.deleted.locked) == first.named()
    assert life.store.points() == [second.recovery_point]
    life.assert_exact(second.recovery_point)
    assert all(finding.ok for finding in verify(life.store))


def test_days_of_logs_are_locked_for_their_time(locking_bucket: Bucket, tmp_path: Path) -> None:
    life = _life(locking_bucket, tmp_path, begins=_now(), retention="3 days")
    store = ScopeStore(life.store.files, "contoso", life.time, Period.parse("3 days"))
    yesterday = (_now() - _DAY).date()
    day = put_log_day(store.logs, tmp_path, "sign_ins", yesterday)
    until = DayOfLog("sign_ins", yesterday).end + 3 * _DAY
    key = store.logs.manifest_key("sign_ins", yesterday)
    assert {_retained(store.files, one) for one in (day.parts[0].key, key)} == {until}
    # Past its time by the retention that holds now; the lock is older.
    life.time.now = until - timedelta(hours=1)
    kept = prune(store, Period.parse("1 days"), by="test", grace=timedelta(0))
    assert [one.kept for one in kept.days] == [f"locked until {iso(until)}"]
    assert store.logs.problems(store.logs.day("sign_ins", yesterday)) == []
