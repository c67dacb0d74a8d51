"""One backup of a scope at a time, on disk and in a bucket, and what becomes of the lock of a killed process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from entra_pipeline.errors import ScopeBusy
from entra_pipeline.store.backends import LocalObjectStore, ObjectStore
from entra_pipeline.store.backends.leases import LIFETIME
from entra_pipeline.store.backends.locks import Holder
from entra_pipeline.store.commit import commit
from entra_pipeline.store.recovery_points import ScopeStore
from tests.support.s3 import Bucket
from tests.support.writing import Time, entry, manifest, put, take, upsert

_HOLDER = """
import sys
from pathlib import Path
from entra_pipeline.store.backends import LocalObjectStore
from entra_pipeline.store.recovery_points import ScopeStore
from tests.support.s3 import Bucket, Endpoint

kind, place = sys.argv[1:3]
files = LocalObjectStore(Path(place)) if kind == "local" else Bucket(Endpoint(place), sys.argv[3]).files()
with ScopeStore(files, "contoso").lock():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[ObjectStore, list[str]]:
    """A place, and how another process is told of it."""
    if request.param == "local":
        return LocalObjectStore(tmp_path / "store"), ["local", str(tmp_path / "store")]
    bucket: Bucket = request.getfixturevalue("s3_bucket")
    return bucket.files(), ["s3", bucket.endpoint.url, bucket.name]


def _other_process(arguments: list[str]) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_refused_until_the_first_ends(place: tuple[ObjectStore, list[str]]) -> None:
    files, arguments = place
    store = ScopeStore(files, "contoso")
    with _other_process(arguments) as other:
        with (
            pytest.raises(ScopeBusy, match=rf"scope 'contoso' is held by process {other.pid} on .* since 20"),
            store.lock(),
        ):
            raise AssertionError
        with ScopeStore(files, "fabrikam").lock():
            pass
        other.communicate("")
    with store.lock():
        pass


def test_the_lock_of_a_killed_process_is_free_at_once(place: tuple[ObjectStore, list[str]]) -> None:
    files, arguments = place
    with _other_process(arguments) as other:
        other.send_signal(signal.SIGKILL)
        other.wait()
    with ScopeStore(files, "contoso").lock():
        pass


def test_two_stores_in_one_process_exclude_each_other(place: tuple[ObjectStore, list[str]]) -> None:
    files, _ = place
    with ScopeStore(files, "contoso").lock(), pytest.raises(ScopeBusy), ScopeStore(files, "contoso").lock():
        raise AssertionError
    with ScopeStore(files, "contoso").lock():
        pass


def test_of_many_who_want_a_lease_one_gets_it(s3_bucket: Bucket) -> None:
    files = s3_bucket.files()
    for _ in range(3):
        holders: list[int] = []
        refused: list[int] = []
        everybody_tried = threading.Barrier(8)

        def contend(
            number: int,
            holders: list[int] = holders,
            refused: list[int] = refused,
            tried: threading.Barrier = everybody_tried,
        ) -> None:
            try:
                with ScopeStore(files, "contoso").lock():
                    holders.append(number)
                    tried.wait()
            except ScopeBusy:
                refused.append(number)
                tried.wait()

        threads = [threading.Thread(target=contend, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(holders), len(refused)) == (1, 7)


# --- Leases ----------------------------------------------------------------------------------------------------------


def _elsewhere(files: ObjectStore, key: str) -> None:
    """Makes the newest lease that of a process on another machine."""
    newest = list(files.list(f"{key}/"))[-1].key
    lease = msgspec.json.decode(files.read(newest))
    lease["holder"] |= {"host": "elsewhere", "machine": "elsewhere"}
    files.replace(newest, msgspec.json.encode(lease))


def test_a_lease_from_elsewhere_is_taken_over_when_it_expired(s3_bucket: Bucket) -> None:
    files = s3_bucket.files()
    time = Time()
    with files.lock("_locks/contoso", "scope 'contoso'", time):
        _elsewhere(files, "_locks/contoso")
        time.now += LIFETIME / 2
        with pytest.raises(ScopeBusy, match="elsewhere"), files.lock("_locks/contoso", "scope 'contoso'", time):
            raise AssertionError
        time.now += LIFETIME / 2
        with files.lock("_locks/contoso", "scope 'contoso'", time):
            pass


def test_a_renewed_lease_does_not_expire(s3_bucket: Bucket) -> None:
    files = s3_bucket.files()
    time = Time()
    with files.lock("_locks/contoso", "scope 'contoso'", time) as hold:
        for _ in range(5):
            time.now += LIFETIME * 0.9
            hold.confirm()
        _elsewhere(files, "_locks/contoso")
        time.now += LIFETIME * 0.9
        with pytest.raises(ScopeBusy), files.lock("_locks/contoso", "scope 'contoso'", time):
            raise AssertionError


def test_who_lost_the_lease_cannot_commit(s3_bucket: Bucket, tmp_path: Path) -> None:
    files = s3_bucket.files()
    time = Time()
    slow = ScopeStore(files, "contoso", time)
    with slow.lock():
        point = slow.new_key()
        made = manifest(slow, point, entry([put(slow, tmp_path, point, [upsert("1", "Adele")])], 1))
        time.now += LIFETIME
        quick = ScopeStore(files, "contoso", time)
        with quick.lock():
            with pytest.raises(ScopeBusy, match="could not be renewed in time"):
                commit(slow, made)
            assert quick.points() == []
            newer = take(quick, tmp_path, quick.new_key(), "Adele", "Alex")
        with pytest.raises(ScopeBusy):
            commit(slow, made)
    assert slow.points() == [newer.recovery_point]


def test_who_was_overtaken_cannot_commit_even_when_its_clock_stood_still(s3_bucket: Bucket, tmp_path: Path) -> None:
    files = s3_bucket.files()
    frozen, time = Time(), Time()
    slow = ScopeStore(files, "contoso", frozen)
    with slow.lock():
        point = slow.new_key()
        made = manifest(slow, point, entry([put(slow, tmp_path, point, [upsert("1", "Adele")])], 1))
        time.now += LIFETIME
        with ScopeStore(files, "contoso", time).lock(), pytest.raises(ScopeBusy, match="is held by process"):
            commit(slow, made)
        assert slow.points() == []
    # What the overtaken one gave back was not its own any more: the lock is free, and taken only once.
    with slow.lock(), pytest.raises(ScopeBusy), ScopeStore(files, "contoso", frozen).lock():
        raise AssertionError


def test_a_lease_leaves_one_object_behind(s3_bucket: Bucket) -> None:
    files = s3_bucket.files()
    for _ in range(4):
        with files.lock("_locks/contoso", "scope 'contoso'", Time()):
            pass
    assert [file.key for file in files.list("_locks/")] == ["_locks/contoso/000000000004.json"]


# --- Who holds a lock ------------------------------------------------------------------------------------------------


def test_this_process_is_alive_and_an_ended_one_is_dead() -> None:
    assert not Holder.here("").is_dead()
    child = subprocess.Popen([sys.executable, "-c", ""])
    holder = msgspec.structs.replace(Holder.here(""), pid=child.pid)
    child.wait()
    assert holder.is_dead()


def test_a_later_process_of_the_same_number_is_another() -> None:
    assert msgspec.structs.replace(Holder.here(""), started="1").is_dead()


def test_nobody_knows_of_a_process_on_another_machine() -> None:
    assert not msgspec.structs.replace(Holder.here(""), pid=2**22 + os.getpid(), machine="elsewhere").is_dead()
