"""A recovery point is all or nothing, comes once, and never changes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from entra_pipeline.errors import (
    EntraPipelineError,
    IntegrityError,
    NotInStore,
    RecoveryPointRefused,
    ScopeBusy,
    UsageError,
)
from entra_pipeline.store.backends import LocalObjectStore, ObjectStore
from entra_pipeline.store.commit import commit
from entra_pipeline.store.job_records import JobRecord
from entra_pipeline.store.manifest import Manifest, canonical, sha256
from entra_pipeline.store.points.index import chosen_files
from entra_pipeline.store.points.keys import moment_of
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.retention.sweep import sweep
from entra_pipeline.store.verify import verify
from tests.store.dying import DyingFiles, Killed
from tests.support.s3 import Bucket
from tests.support.writing import START, Time, entry, gone, manifest, put, take, upsert


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def store(tmp_path: Path, time: Time) -> ScopeStore:
    return ScopeStore(LocalObjectStore(tmp_path / "store"), "contoso", time)


# --- Reading ---------------------------------------------------------------------------------------------------------


def test_an_empty_store_has_no_points(store: ScopeStore) -> None:
    assert store.points() == []
    assert store.latest() is None
    with pytest.raises(NotInStore, match="no recovery point at that time") as caught:
        store.at("latest")
    assert "entra-pipeline backup contoso" in caught.value.remedy
    assert not store.files.root.exists()  # type: ignore[attr-defined]


def test_what_was_committed_is_read_back(store: ScopeStore, tmp_path: Path) -> None:
    committed = take(store, tmp_path, store.new_key(), "Adele", "Alex")
    assert store.points() == ["2026-11-23T05-00-00Z"]
    assert store.manifest(committed.recovery_point) == committed
    assert store.latest() == committed
    assert committed.tables["users"].parts[0].key == (
        "users/backup-scope=contoso/recovery-point=2026-11-23T05-00-00Z/part-00000.parquet"
    )


def test_a_point_is_found_by_moment(store: ScopeStore, tmp_path: Path, time: Time) -> None:
    keys = []
    for hours in (0, 6, 6):
        time.pass_(hours=hours)
        keys.append(take(store, tmp_path, store.new_key(), "Adele").recovery_point)
    assert store.at(keys[1]).recovery_point == keys[1]
    assert store.at("latest").recovery_point == keys[2]
    assert store.at("2026-11-23T16:59:59Z").recovery_point == keys[1]
    assert store.at("2026-11-23T18:00:00+01:00").recovery_point == keys[2]
    assert store.at(START + timedelta(hours=6)).recovery_point == keys[1]
    with pytest.raises(NotInStore, match=r"the first is 2026-11-23T05-00-00Z"):
        store.at(START - timedelta(seconds=1))
    with pytest.raises(NotInStore, match="has no recovery point 2026-11-23T06-00-00Z"):
        store.at("2026-11-23T06-00-00Z")
    for nonsense in ("yesterday", "2026-11-23T05:00:00", ""):
        with pytest.raises(UsageError):
            store.at(nonsense)


def test_scopes_do_not_see_each_other(tmp_path: Path, time: Time) -> None:
    files = LocalObjectStore(tmp_path / "store")
    one, other = ScopeStore(files, "contoso", time), ScopeStore(files, "contoso-test", time)
    take(one, tmp_path, one.new_key(), "Adele")
    assert other.points() == []
    take(other, tmp_path, other.new_key(), "Adele")
    time.pass_(days=2)
    assert sweep(one, grace=timedelta(days=1)).keys == []
    assert all(finding.ok for each in (one, other) for finding in verify(each))


# --- Names -----------------------------------------------------------------------------------------------------------


def test_minted_keys_are_new_and_sort_after_what_is_there(store: ScopeStore, tmp_path: Path, time: Time) -> None:
    for number in range(12):
        take(store, tmp_path, store.new_key(manual=bool(number % 2)), "Adele")
        if number % 3 == 0:
            time.pass_(seconds=0.4)
    moments = [moment_of(point) for point in store.points()]
    assert len(moments) == 12
    assert moments == sorted(set(moments))


def test_the_moment_of_a_schedule_is_its_ticks(store: ScopeStore, tmp_path: Path, time: Time) -> None:
    tick = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
    time.now = tick + timedelta(minutes=3)
    assert store.new_key(at=tick) == "2026-11-23T06-00-00Z"
    take(store, tmp_path, store.new_key(manual=True), "Adele")
    # The tick comes late: somebody has taken a point since. Its key says when the tenant is read, not when it was due.
    time.pass_(minutes=1)
    assert store.new_key(at=tick) == "2026-11-23T06-04-00Z"


def test_a_key_that_is_being_made_is_taken(store: ScopeStore, tmp_path: Path) -> None:
    point = store.new_key()
    store.staging.save_table(point, entry([], 0))
    assert store.new_key() == "2026-11-23T05-00-01Z"
    assert store.new_key(manual=True).startswith("2026-11-23T05-00-00Z-m")


def test_no_key_is_minted_before_a_point_from_the_future(store: ScopeStore, tmp_path: Path, time: Time) -> None:
    take(store, tmp_path, store.new_key(), "Adele")
    time.now -= timedelta(seconds=30)
    assert store.new_key() == "2026-11-23T05-00-01Z"
    time.now -= timedelta(days=30)
    with pytest.raises(RecoveryPointRefused, match="lies in the future"):
        store.new_key()


@pytest.mark.parametrize(
    "key", ["", "latest", "2026-11-23", "2026-13-23T05-00-00Z", "2026-11-23T05-00-00Z-mxyz", "../x"]
)
def test_what_is_no_key_is_refused(store: ScopeStore, key: str) -> None:
    for use in (store.manifest, store.staging.discard, store.require_open):
        with pytest.raises(UsageError, match="is not a recovery point"):
            use(key)


# --- Commit ----------------------------------------------------------------------------------------------------------


def test_every_manifest_holds_the_hash_of_the_one_before(store: ScopeStore, tmp_path: Path, time: Time) -> None:
    first = take(store, tmp_path, store.new_key(), "Adele")
    time.pass_(hours=1)
    second = take(store, tmp_path, store.new_key(), "Adele", "Alex")
    data = store.manifest_bytes(first.recovery_point)
    assert (first.parent, first.parent_sha256) == ("", "")
    assert (second.parent, second.parent_sha256) == (first.recovery_point, sha256(data))
    assert data == canonical(first)
    assert data.endswith(b"}\n")


def test_a_point_is_committed_once(store: ScopeStore, tmp_path: Path) -> None:
    made = take(store, tmp_path, store.new_key(), "Adele")
    data = store.manifest_bytes(made.recovery_point)
    with pytest.raises(RecoveryPointRefused, match="exists and never changes"):
        commit(store, made)
    with pytest.raises(RecoveryPointRefused, match="exists and never changes"):
        put(store, tmp_path, made.recovery_point, [upsert("0", "Mallory")])
    for use in (store.staging.discard, store.require_open, lambda point: store.staging.save_table(point, entry([], 0))):
        with pytest.raises(RecoveryPointRefused):
            use(made.recovery_point)
    assert store.manifest_bytes(made.recovery_point) == data
    assert all(finding.ok for finding in verify(store))


def test_what_was_overtaken_is_refused(store: ScopeStore, tmp_path: Path, time: Time) -> None:
    parent = take(store, tmp_path, store.new_key(), "Adele")
    time.pass_(hours=1)
    early, late = store.new_key(), "2026-11-23T09-00-00Z"
    for point in (early, late):
        put(store, tmp_path, point, [upsert("0", "Adele")])
    time.pass_(hours=1)
    take(store, tmp_path, store.new_key(), "Adele", "Alex")
    with pytest.raises(RecoveryPointRefused, match="is too old"):
        store.require_open(early)
    with pytest.raises(RecoveryPointRefused, match="is too old"):
        commit(store, manifest(store, early, parent=parent.recovery_point))
    with pytest.raises(RecoveryPointRefused, match="on top of 2026-11-23T05-00-00Z, but the newest is 2026-11-23T07"):
        commit(store, manifest(store, late, parent=parent.recovery_point))
    assert len(store.points()) == 2


def test_another_tenant_needs_another_scope(store: ScopeStore, tmp_path: Path, time: Time) -> None:
    take(store, tmp_path, store.new_key(), "Adele")
    time.pass_(hours=1)
    other = msgspec.structs.replace(manifest(store, store.new_key()), tenant_id="another")
    with pytest.raises(RecoveryPointRefused, match=r"of tenant .*, this one is of another"):
        commit(store, other)
    with pytest.raises(RecoveryPointRefused, match="is one of scope 'fabrikam'"):
        commit(store, msgspec.structs.replace(manifest(store, store.new_key()), scope="fabrikam"))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("harm", "problem"), [(Path.unlink, "not in the store"), (_cut, "bytes instead of"), (_flip, "SHA-256")]
)
def test_a_part_that_is_not_as_written_is_not_committed(
    store: ScopeStore, tmp_path: Path, harm: Callable[[Path], object], problem: str
) -> None:
    point = store.new_key()
    part = put(store, tmp_path, point, [upsert("0", "Adele")])
    harm(tmp_path / "store" / part.key)
    with pytest.raises(IntegrityError, match=problem):
        commit(store, manifest(store, point, entry([part], 1)))
    assert store.points() == []


@pytest.mark.parametrize("harm", [Path.unlink, _cut])
def test_a_part_of_an_older_point_must_be_there_too(
    store: ScopeStore, tmp_path: Path, time: Time, harm: Callable[[Path], object]
) -> None:
    first = take(store, tmp_path, store.new_key(), "Adele")
    time.pass_(hours=1)
    harm(tmp_path / "store" / first.tables["users"].parts[0].key)
    with pytest.raises(IntegrityError):
        commit(store, manifest(store, store.new_key(), *first.tables.values()))


@pytest.mark.parametrize("change", [{"key": "_recovery_points/contoso/x.json"}, {"key": "../../etc/passwd"}])
def test_a_part_from_elsewhere_is_not_committed(store: ScopeStore, tmp_path: Path, change: dict[str, str]) -> None:
    point = store.new_key()
    part = msgspec.structs.replace(put(store, tmp_path, point, [upsert("0", "Adele")]), **change)
    with pytest.raises(IntegrityError, match="does not belong"):
        commit(store, manifest(store, point, entry([part], 1)))


def test_a_commit_without_the_lock_waits_for_nobody(store: ScopeStore, tmp_path: Path, time: Time) -> None:
    point = store.new_key()
    made = manifest(store, point, entry([put(store, tmp_path, point, [upsert("0", "Adele")])], 1))
    with ScopeStore(store.files, "contoso", time).lock(), pytest.raises(ScopeBusy):
        commit(store, made)
    assert commit(store, made).recovery_point == point


# --- Staging and jobs ------------------------------------------------------------------------------------------------


def test_a_repeated_run_finds_what_the_first_had_read(store: ScopeStore, tmp_path: Path) -> None:
    point = store.new_key()
    made = entry([put(store, tmp_path, point, [upsert("0", "Adele")])], 1)
    store.staging.save_table(point, made)
    assert store.staging.run(point) is None
    store.staging.save_run(point, {"parent": ""})
    assert store.staging.tables(point) == {"users": made}
    assert store.staging.run(point) == {"parent": ""}
    assert store.staging.tables("2026-11-23T09-00-00Z") == {}
    commit(store, manifest(store, point, made))
    assert store.staging.tables(point) == {}
    assert store.staging.run(point) is None


def test_discarding_a_run_leaves_nothing_of_it(store: ScopeStore, tmp_path: Path, time: Time) -> None:
    kept = take(store, tmp_path, store.new_key(), "Adele")
    time.pass_(hours=1)
    point = store.new_key()
    store.staging.save_table(point, entry([put(store, tmp_path, point, [upsert("0", "Alex")])], 1))
    put(store, tmp_path, point, [{"source_id": "1", "target_id": "2"}], table="group_members")
    before = {file.key for file in store.files.list("")}
    store.staging.discard(point)
    assert {key for key in before if point in key} == before - {file.key for file in store.files.list("")}
    assert store.latest() == kept
    assert all(finding.ok for finding in verify(store))


def test_jobs_come_back_in_order(store: ScopeStore) -> None:
    for name in ("2026-11-23T07-b", "2026-11-23T06-a"):
        store.jobs.write(JobRecord(id=name, status="running"))
    store.jobs.write(JobRecord(id="2026-11-23T06-a", status="done"))
    assert store.jobs.all() == [
        JobRecord(id="2026-11-23T06-a", status="done"),
        JobRecord(id="2026-11-23T07-b", status="running"),
    ]


def test_members_that_a_record_does_not_know_stay_as_they_were_written(store: ScopeStore) -> None:
    members = {
        "id": "one",
        "type": "backup",
        "status": "finished",
        "recovery_point": "2026-11-23T05-00-00Z",
        "added": 3,
    }
    later = {"numbers": [1, 2], "by": {"name": "Ada"}}
    store.files.replace("_jobs/contoso/one.json", msgspec.json.encode(members | later))
    record = store.jobs.find("one")
    assert record is not None
    assert (record.type, record.details["added"], record.details["by"]) == ("backup", 3, {"name": "Ada"})
    store.jobs.write(record)
    written = msgspec.json.decode(store.files.read("_jobs/contoso/one.json"))
    assert {name: value for name, value in written.items() if value != ""} == members | later


# --- Crashes ---------------------------------------------------------------------------------------------------------


def _run(store: ScopeStore, folder: Path, parent: Manifest) -> None:
    """An incremental run with everything that a run does."""
    with store.lock():
        point = store.new_key()
        changes = put(store, folder, point, [upsert("1", "Alexandra"), gone("0")], role="changes")
        users = entry([*parent.tables["users"].parts, changes], 1)
        store.staging.save_table(point, users)
        edge = {"source_id": "g", "target_id": "1", "target_type": "user", "_change": "upsert", "_reason": None}
        members = entry(
            [put(store, folder, point, [edge], table="group_members")], 1, table="group_members", kind="edges"
        )
        store.staging.save_table(point, members)
        commit(store, manifest(store, point, users, members, parent=parent.recovery_point))


@pytest.mark.parametrize("done", [False, True])
def test_a_run_killed_at_any_step_leaves_the_old_points_or_the_new(tmp_path: Path, done: bool) -> None:
    template = tmp_path / "template"
    time = Time()
    first = take(
        ScopeStore(LocalObjectStore(template), "contoso", time), tmp_path, "2026-11-23T05-00-00Z", "Adele", "Alex"
    )
    time.pass_(hours=1)
    seen = set()
    for survives in range(100):
        root = tmp_path / f"killed-{survives}"
        shutil.copytree(template, root)
        store = ScopeStore(LocalObjectStore(root), "contoso", time)
        try:
            _run(ScopeStore(DyingFiles(store.files, survives, done=done), "contoso", time), tmp_path, first)
        except Killed:
            pass
        else:
            break
        seen.add(tuple(store.points()))
        assert all(finding.ok for finding in verify(store))
        _the_next_run_works(store, tmp_path)
    else:
        raise AssertionError("the run never ended")
    assert seen <= {("2026-11-23T05-00-00Z",), ("2026-11-23T05-00-00Z", "2026-11-23T06-00-00Z")}
    assert ("2026-11-23T05-00-00Z",) in seen
    assert survives > 10


def _the_next_run_works(store: ScopeStore, folder: Path) -> None:
    """A run after a crash succeeds, and a sweep afterwards takes exactly what no manifest names."""
    latest = store.latest()
    assert latest is not None
    store = ScopeStore(store.files, "contoso", Time(START + timedelta(hours=2)))
    if len(store.points()) == 1:
        _run(store, folder, latest)
    assert all(finding.ok for finding in verify(store))
    named = {
        part.key for point in store.points() for each in store.manifest(point).tables.values() for part in each.parts
    }
    late = ScopeStore(store.files, "contoso", Time(datetime.now(UTC) + timedelta(days=2)))
    swept = sweep(late, grace=timedelta(days=1)).keys
    assert not named & set(swept)
    left = {
        file.key
        for file in store.files.list("")
        if not file.key.startswith(("_recovery_points/", "_locks/", "_index/"))
    }
    assert left == named
    assert list(chosen_files(store.indexes(), store.points())) == store.points()
    assert all(finding.ok for finding in verify(store))


def test_a_service_that_fails_at_any_step_leaves_the_old_points_or_the_new(tmp_path: Path) -> None:
    """The storage fails in the middle, and the run goes on long enough to say so."""

    class Failing(DyingFiles):
        def _step(self, operation: Callable[[], object]) -> object:  # type: ignore[override]
            try:
                return super()._step(operation)
            except Killed:
                raise EntraPipelineError("the service answers 500") from None

    time = Time()
    store = ScopeStore(LocalObjectStore(tmp_path / "store"), "contoso", time)
    first = take(store, tmp_path, store.new_key(), "Adele", "Alex")
    for survives in range(100):
        time.pass_(hours=1)
        try:
            _run(ScopeStore(Failing(store.files, survives, done=False), "contoso", time), tmp_path, first)
        except EntraPipelineError as error:
            assert "500" in error.message
        else:
            break
        if len(store.points()) > 1:
            break
        assert store.latest() == first
    assert len(store.points()) == 2
    assert all(finding.ok for finding in verify(store))


# --- Sweep -----------------------------------------------------------------------------------------------------------


def test_a_sweep_spares_what_is_young_named_or_anothers(store: ScopeStore, tmp_path: Path) -> None:
    kept = take(store, tmp_path, store.new_key(), "Adele")
    other = ScopeStore(store.files, "fabrikam", Time())
    theirs = put(other, tmp_path, "2026-11-23T06-00-00Z", [upsert("0", "Alex")])
    orphan = put(store, tmp_path, "2026-11-23T06-00-00Z", [upsert("0", "Alex")])
    store.staging.save_table("2026-11-23T06-00-00Z", entry([orphan], 1))
    store.jobs.write(JobRecord(id="one"))
    now = Time(datetime.now(UTC))
    store = ScopeStore(store.files, "contoso", now)
    assert sweep(store, grace=timedelta(days=1)).keys == []
    now.pass_(days=2)
    everything = {file.key for file in store.files.list("")}
    orphans = {orphan.key, "_staged/contoso/2026-11-23T06-00-00Z/users.json"}
    assert set(sweep(store, grace=timedelta(days=1), dry_run=True).keys) == orphans
    assert {file.key for file in store.files.list("")} == everything
    assert set(sweep(store, grace=timedelta(days=1)).keys) == orphans
    left = {file.key for file in store.files.list("")} - {"_locks/contoso.lock"}
    assert left == everything - orphans - {"_locks/contoso.lock"}
    assert {theirs.key, kept.tables["users"].parts[0].key} <= left


def test_a_sweep_waits_for_no_run_and_guesses_nothing(store: ScopeStore, tmp_path: Path) -> None:
    made = take(store, tmp_path, store.new_key(), "Adele")
    late = ScopeStore(store.files, "contoso", Time(datetime.now(UTC) + timedelta(days=2)))
    with store.lock(), pytest.raises(ScopeBusy):
        sweep(late, grace=timedelta(days=1))
    orphan = put(store, tmp_path, "2026-11-23T06-00-00Z", [upsert("0", "Alex")])
    _flip(tmp_path / "store" / store.manifest_key(made.recovery_point))
    with pytest.raises(IntegrityError):
        sweep(late, grace=timedelta(days=1))
    assert store.files.size(orphan.key) == orphan.bytes


# --- On S3 -----------------------------------------------------------------------------------------------------------


def test_a_bucket_holds_points_as_a_folder_does(s3_bucket: Bucket, tmp_path: Path, time: Time) -> None:
    files: ObjectStore = s3_bucket.files("prod")
    store = ScopeStore(files, "contoso", time)
    first = take(store, tmp_path, store.new_key(), "Adele", "Alex")
    time.pass_(hours=1)
    _run(store, tmp_path, first)
    assert store.points() == ["2026-11-23T05-00-00Z", "2026-11-23T06-00-00Z"]
    assert all(finding.ok for finding in verify(store))
    orphan = put(store, tmp_path, "2026-11-23T09-00-00Z", [upsert("0", "Alex")])
    late = ScopeStore(files, "contoso", Time(datetime.now(UTC) + timedelta(days=2)))
    assert sweep(late, grace=timedelta(days=1)).keys == [orphan.key]
    assert all(finding.ok for finding in verify(late))
    files.delete([first.tables["users"].parts[0].key])
    problems = [(finding.point, finding.table) for finding in verify(late) if not finding.ok]
    assert problems == [("2026-11-23T05-00-00Z", "users"), ("2026-11-23T06-00-00Z", "users")]


@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
def test_a_killed_process_leaves_no_partial_manifest(tmp_path: Path) -> None:
    """A real process, killed by the kernel in the middle of the create."""
    store = ScopeStore(LocalObjectStore(tmp_path / "store"), "contoso", Time())
    point = store.new_key()
    made = manifest(store, point, entry([put(store, tmp_path, point, [upsert("0", "Adele")])], 1))
    child = os.fork()
    if child == 0:
        os.link = lambda *_: os.kill(os.getpid(), 9)
        commit(store, made)
        os._exit(0)
    os.waitpid(child, 0)
    assert store.points() == []
    assert commit(store, made).recovery_point == point
