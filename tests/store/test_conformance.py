"""What every kind of storage promises: one suite, run on a place of each kind, on real servers.

A kind that is new in `BACKENDS` needs a place in `PLACES`; nothing else is written for it here.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import duckdb
import pytest

from entra_pipeline.clock import system_clock
from entra_pipeline.errors import AlreadyExists, NotInStore, ScopeBusy
from entra_pipeline.store.backends import KINDS, LocalObjectStore, ObjectStore, StorageSettings
from entra_pipeline.store.backends.duckdb_filesystem import DuckDBFilesystem
from entra_pipeline.store.backends.duckdb_names import literal
from entra_pipeline.store.state import connect, parquet, sql_text
from tests.support.s3 import ceph_is_installed, new_bucket


def _folder(request: pytest.FixtureRequest) -> ObjectStore:
    folder: Path = request.getfixturevalue("tmp_path")
    return LocalObjectStore(folder / "store")


def _bucket(server: str, *, object_lock: str = "") -> Callable[[pytest.FixtureRequest], ObjectStore]:
    def place(request: pytest.FixtureRequest) -> ObjectStore:
        bucket = new_bucket(request.getfixturevalue(server), locking=bool(object_lock))
        return bucket.files("backups/prod", object_lock=object_lock)

    return place


# Kind, and what it runs on → a fresh place. A real Ceph is there where it is installed; the report's header says so.
PLACES: dict[str, Callable[[pytest.FixtureRequest], ObjectStore]] = {
    "local": _folder,
    "s3 moto": _bucket("moto_endpoint"),
    "s3 moto, Object Lock": _bucket("moto_endpoint", object_lock="governance"),
}
if ceph_is_installed():
    PLACES |= {
        "s3 Ceph": _bucket("s3_endpoint"),
        "s3 Ceph, Object Lock": _bucket("s3_endpoint", object_lock="governance"),
    }


@pytest.fixture(params=PLACES)
def files(request: pytest.FixtureRequest) -> ObjectStore:
    return PLACES[request.param](request)


def test_every_kind_of_storage_has_a_place_in_this_suite() -> None:
    assert {name.partition(" ")[0] for name in PLACES} == KINDS.keys()


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_the_documentation_tells_of_every_kind_and_setting(kind: type[StorageSettings]) -> None:
    text = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
    [name] = [name for name, one in KINDS.items() if one is kind]
    assert f'`"{name}"`: {kind.about}' in text
    assert [key for key in kind.model_fields if f"`{key}`" not in text] == []


# --- Objects ---------------------------------------------------------------------------------------------------------


def test_bytes_come_back(files: ObjectStore) -> None:
    files.create("a/b.json", b"one")
    files.replace("a/c", b"")
    assert files.read("a/b.json") == b"one"
    assert files.read("a/c") == b""
    assert files.size("a/b.json") == 3


def test_create_never_overwrites(files: ObjectStore) -> None:
    files.create("key", b"one")
    with pytest.raises(AlreadyExists):
        files.create("key", b"two")
    assert files.read("key") == b"one"


def test_one_of_many_creators_wins(files: ObjectStore) -> None:
    won: list[int] = []

    def attempt(number: int) -> None:
        try:
            files.create("race", b"%d" % number)
        except AlreadyExists:
            return
        won.append(number)

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert files.read("race") == b"%d" % won[0]


def test_replace_overwrites(files: ObjectStore) -> None:
    files.replace("key", b"one")
    files.replace("key", b"two")
    assert files.read("key") == b"two"


def test_a_listing_has_what_starts_with_the_prefix_in_order(files: ObjectStore) -> None:
    for key in ("x/b/2", "x/b/1", "x/a", "x/bc", "y"):
        files.replace(key, key.encode())
    assert [file.key for file in files.list("x/b")] == ["x/b/1", "x/b/2", "x/bc"]
    assert [file.key for file in files.list("x/b/")] == ["x/b/1", "x/b/2"]
    assert list(files.list("z/")) == []
    assert [file.size for file in files.list("")] == [3, 5, 5, 4, 1]
    assert files.folders() == ["x"]
    age = system_clock() - next(files.list("y")).modified
    assert abs(age) < timedelta(minutes=5)


def test_delete_takes_what_is_there(files: ObjectStore) -> None:
    for key in ("d/1", "d/2", "e"):
        files.replace(key, b"x")
    files.delete(["d/1", "absent", "d/2"])
    assert [file.key for file in files.list("")] == ["e"]
    files.replace("d/1", b"again")
    assert files.read("d/1") == b"again"
    files.delete([])


@pytest.mark.parametrize("files", ["local", "s3 Ceph" if ceph_is_installed() else "s3 moto"], indirect=True)
def test_nothing_is_left_of_what_is_destroyed(files: ObjectStore) -> None:
    for data in (b"one", b"two"):
        files.replace("_people/contoso/1.json", data)
    files.replace("_people/contoso/1.json.other", b"stays")
    files.destroy(["_people/contoso/1.json"])
    with pytest.raises(NotInStore):
        files.read("_people/contoso/1.json")
    assert [file.key for file in files.list("")] == ["_people/contoso/1.json.other"]
    files.destroy(["_people/contoso/1.json"])


def test_a_listing_is_not_cut_at_a_page(
    files: ObjectStore, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    # moto walks through all versions at each request, and can have smaller pages.
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "50")
    page = 50 if "moto" in request.node.callspec.params["files"] else 1_000
    keys = [f"many/{number:04d}" for number in range(page + 3)]
    threads = [
        threading.Thread(target=lambda some=keys[start::8]: [files.replace(key, b"") for key in some])
        for start in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [file.key for file in files.list("many/")] == keys
    files.delete(keys)
    assert list(files.list("many/")) == []


def test_an_absent_key_is_not_in_the_store(files: ObjectStore) -> None:
    for read in (files.read, files.size, lambda key: next(files.stream(key))):
        with pytest.raises(NotInStore):
            read("a/b")


def test_an_uploaded_file_is_the_file(files: ObjectStore, tmp_path: Path) -> None:
    path = tmp_path / "large"
    data = os.urandom(1 << 20) * 70
    path.write_bytes(data)
    files.upload("parts/large", path)
    assert b"".join(files.stream("parts/large")) == data
    path.write_bytes(b"small")
    files.upload("parts/large", path)
    assert files.read("parts/large") == b"small"


def test_duckdb_reads_what_url_gives(files: ObjectStore, tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    duckdb.execute(f"COPY (SELECT range AS n FROM range(1000)) TO '{path}'")
    files.upload("table/scope=x/part.parquet", path)
    with connect(files) as connection:
        query = f"SELECT sum(n) FROM '{files.url('table/scope=x/part.parquet')}'"
        assert connection.execute(query).fetchall() == [(499_500,)]


def test_a_usable_place_passes_the_check_and_is_left_clean(files: ObjectStore) -> None:
    files.check()
    assert list(files.list("")) == []
    assert files.clear_unfinished(system_clock() + timedelta(days=1)) == []


def test_a_place_says_where_it_is(files: ObjectStore) -> None:
    assert str(files) in files.url("key")


def test_a_duckdb_without_access_reads_what_is_handed_to_it(files: ObjectStore, tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    duckdb.execute(f"COPY (SELECT range AS n FROM range(1000)) TO '{path}'")
    files.upload("table/part.parquet", path)
    place = DuckDBFilesystem(files, "main")
    with duckdb.connect() as connection:
        place.prepare(connection)
        connection.execute(f"SET allowed_directories = ['{place.url('')}']")
        connection.execute("SET enable_external_access = false")
        assert connection.execute(f"SELECT sum(n) FROM '{place.url('table/part.parquet')}'").fetchall() == [(499_500,)]


# --- Names that are patterns elsewhere -------------------------------------------------------------------------------


ODD = "back[ups] *?#1 100% a+b=c&d 'x' \"y\" {z} åäö~!$;:@,(1)"


class _Part(NamedTuple):
    key: str
    bytes: int
    sha256: str


def _odd_place(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if kind == "local":
        return LocalObjectStore(tmp_path / ODD / "store")
    return new_bucket(request.getfixturevalue(f"{kind}_endpoint")).files(f"{ODD}/store")


@pytest.mark.parametrize("kind", ["local", "moto", *(["s3"] if ceph_is_installed() else [])])
def test_a_place_may_have_any_name(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    files = _odd_place(kind, request, tmp_path)
    path = tmp_path / "p.parquet"
    duckdb.execute(f"COPY (SELECT range AS n FROM range(1000)) TO '{path}'")
    keys = ["table/scope=a/1.parquet", "table/scope=b/2.parquet", "table [x]/scope=a/1.parquet"]
    for key in keys:
        files.upload(key, path)
    with files.lock("_locks/a", "scope 'a'", system_clock) as held:
        held.confirm()
    files.check()
    assert [file.key for file in files.list("table")] == sorted(keys)
    assert sorted(files.folders()) == sorted({*(key.partition("/")[0] for key in keys), "_locks"})
    assert files.slice(keys[0], -4, 4) == (b"PAR1", path.stat().st_size)
    parts = [_Part(key, 0, "") for key in keys]
    with connect(files) as connection:
        source = parquet(files, parts, ", filename = true")
        counted = f"SELECT filename, sum(n) FROM {source} GROUP BY ALL ORDER BY ALL"
        assert connection.execute(counted).fetchall() == [(files.url(key), 499_500) for key in sorted(keys)]
        pattern = sql_text(literal(files.url("x")[:-1]) + "table/*/*.parquet")
        found = connection.execute(f"SELECT file FROM glob({pattern}) ORDER BY ALL").fetchall()
        assert found == [(files.url(key),) for key in keys[:2]]
    files.delete(keys)
    assert list(files.list("table")) == []


# --- Object Lock -----------------------------------------------------------------------------------------------------


def test_an_object_is_kept_until_its_moment_where_there_is_object_lock(files: ObjectStore) -> None:
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    files.create("kept", b"x", until=until if files.object_lock else None)
    files.replace("retained", b"x")
    files.retain("retained", until)
    expected = until if files.object_lock else None
    assert (files.retained_until("kept"), files.retained_until("retained")) == (expected, expected)
    files.retain("kept", until - timedelta(hours=1))
    assert files.retained_until("kept") == expected


# --- Locks -----------------------------------------------------------------------------------------------------------


def test_a_name_is_held_by_one_at_a_time(files: ObjectStore) -> None:
    with files.lock("_locks/contoso", "scope 'contoso'", system_clock) as held:
        held.confirm()
        again = files.lock("_locks/contoso", "scope 'contoso'", system_clock)
        with pytest.raises(ScopeBusy, match="scope 'contoso' is held by process"), again:
            raise AssertionError
        with files.lock("_locks/fabrikam", "scope 'fabrikam'", system_clock):
            pass
    with files.lock("_locks/contoso", "scope 'contoso'", system_clock):
        pass
