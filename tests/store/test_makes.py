"""S3 services of other makes: what reports tell of them, before a real server. Each works, or says what it lacks."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from entra_pipeline.clock import system_clock
from entra_pipeline.errors import AlreadyExists, DeleteRefused, ScopeBusy, StorageUnfit, StoreError
from entra_pipeline.store.backends import S3Storage
from entra_pipeline.store.backends.promise import StoragePromise
from entra_pipeline.store.backends.promises import StoragePromises
from entra_pipeline.store.state import connect
from tests.support.gateway import AFTER, HABITS, Call, Gateway, Reply, gateway, refusal
from tests.support.s3 import Bucket, Endpoint, ceph_is_installed, new_bucket


@pytest.fixture(scope="module")
def proxy(moto_endpoint: Endpoint) -> Iterator[Gateway]:
    with gateway(moto_endpoint) as one:
        yield one


@pytest.fixture
def bucket(proxy: Gateway, moto_endpoint: Endpoint) -> Iterator[Bucket]:
    made = new_bucket(moto_endpoint)
    yield Bucket(proxy.endpoint, made.name)
    proxy.habit = proxy.after = None
    proxy.seen.clear()


def profile(bucket: Bucket, **more: object) -> S3Storage:
    os.environ["S3_TEST_KEY"], os.environ["S3_TEST_SECRET"] = bucket.endpoint[1:3]
    keys = {"access_key_id": {"env": "S3_TEST_KEY"}, "secret_access_key": {"env": "S3_TEST_SECRET"}}
    return S3Storage.model_validate(
        {"kind": "s3", "bucket": bucket.name, "endpoint_url": bucket.endpoint.url, "patience": 3, **keys, **more}
    )


def promises(bucket: Bucket, **more: object) -> dict[str, StoragePromise]:
    return {one.check: one for one in StoragePromises(profile(bucket, **more)).check()}


def broken(found: dict[str, StoragePromise]) -> set[str]:
    """What is broken besides checksums: moto's server takes every one for right."""
    return {name for name, one in found.items() if one.outcome == "failed"} - {"checksums"}


# --- What works all the same -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*HABITS, *AFTER])
def test_a_service_of_another_make_keeps_all_that_a_store_promises(
    proxy: Gateway, bucket: Bucket, name: str, tmp_path: Path
) -> None:
    proxy.habit, proxy.after = HABITS.get(name), AFTER.get(name)
    files = bucket.files("prod")
    files.check()
    files.create("a/1", b"one")
    with pytest.raises(AlreadyExists):
        files.create("a/1", b"two")
    files.replace("a/2", b"two")
    assert [(file.key, file.size) for file in files.list("a/")] == [("a/1", 3), ("a/2", 3)]
    assert (files.read("a/1"), files.size("a/2")) == (b"one", 3)
    assert (files.slice("a/1", 1, 2), files.slice("a/1", -2, 2)) == ((b"ne", 3), (b"ne", 3))
    assert files.folders() == ["a"]
    with (
        files.lock("_locks/a", "scope 'a'", system_clock),
        pytest.raises(ScopeBusy),
        files.lock("_locks/a", "scope 'a'", system_clock),
    ):
        raise AssertionError
    path = tmp_path / "p.parquet"
    duckdb.execute(f"COPY (SELECT range AS n, md5(range::VARCHAR) AS t FROM range(300000)) TO '{path}'")
    files.upload_in_parts("a/p.parquet", path)
    with connect(files) as connection:
        assert connection.execute(f"SELECT sum(n), max(length(t)) FROM '{files.url('a/p.parquet')}'").fetchall() == [
            (44_999_850_000, 32)
        ]
    files.delete(["a/1", "a/2", "a/p.parquet", "absent"])
    assert list(files.list("a/")) == []


@pytest.mark.parametrize("name", ["", "only_old_listing", "takes_new_listing_for_old"])
def test_a_listing_is_not_cut_at_a_page_whatever_the_pages_are(proxy: Gateway, bucket: Bucket, name: str) -> None:
    def small_pages(call: Call, state: Gateway) -> Reply | None:
        refused = HABITS[name](call, state) if name else None
        if call.method == "GET" and call.path.startswith(f"/{bucket.name}?"):
            call.path += "&max-keys=3"
        return refused

    files = bucket.files("p")
    keys = [f"many/{number}/x" for number in range(10)]
    for key in keys:
        files.replace(key, b"")
    proxy.habit = small_pages
    assert [file.key for file in files.list("many/")] == keys
    assert bucket.files("p/many").folders() == [str(number) for number in range(10)]


def test_a_listing_that_does_not_get_further_is_an_error(proxy: Gateway, bucket: Bucket) -> None:
    def same_page(call: Call, reply: Reply) -> Reply:
        if call.lists:
            reply.body = reply.body.replace(b"<IsTruncated>false", b"<IsTruncated>true")
        return reply

    files = bucket.files()
    files.replace("a", b"x")
    proxy.after = same_page
    with pytest.raises(StoreError, match="does not go on"):
        list(files.list(""))


# --- What does not work, and is said ---------------------------------------------------------------------------------


def _conditions_refused(status: int, code: str):  # type: ignore[no-untyped-def]
    return lambda call, _: refusal(status, code) if "if-none-match" in call.headers else None


def _conditions_ignored(call: Call, _: Gateway) -> Reply | None:
    call.headers.pop("if-none-match", None)
    return None


@pytest.mark.parametrize(
    "habit",
    [_conditions_refused(501, "NotImplemented"), _conditions_refused(400, "InvalidArgument"), _conditions_ignored],
    ids=["501", "400", "ignored"],
)
def test_a_service_without_conditional_writes_is_refused_by_name(proxy: Gateway, bucket: Bucket, habit: object) -> None:
    proxy.habit = habit  # type: ignore[assignment]
    with pytest.raises(StorageUnfit) as caught:
        bucket.files().check()
    assert "Conditional writes are missing" in caught.value.remedy
    found = promises(bucket)
    assert broken(found) == {"create only when absent"}
    assert "Conditional writes are missing" in found["create only when absent"].remedy


def test_versions_serve_where_conditional_writes_are_missing(proxy: Gateway, moto_endpoint: Endpoint) -> None:
    made = new_bucket(moto_endpoint, locking=True)
    files = Bucket(proxy.endpoint, made.name).files(object_lock="governance")
    proxy.habit = _conditions_refused(501, "NotImplemented")
    try:
        files.check()
        files.create("key", b"one")
        with pytest.raises(AlreadyExists):
            files.create("key", b"two")
        assert files.read("key") == b"one"
    finally:
        proxy.habit = None


def test_a_clock_that_differs_is_named_with_the_difference(proxy: Gateway, bucket: Bucket) -> None:
    def behind(call: Call, _: Gateway) -> Reply:
        reply = refusal(403, "RequestTimeTooSkewed")
        reply.headers["x-date"] = "Mon, 23 Nov 2020 05:00:00 GMT"
        return reply

    proxy.habit = behind
    with pytest.raises(StoreError, match=r"its clock is \d+ minutes \d+ s behind this machine's") as caught:
        bucket.files(patience=1).replace("a", b"x")
    assert "clock" in caught.value.remedy


def test_an_outage_longer_than_the_patience_is_an_error_that_says_so(proxy: Gateway, bucket: Bucket) -> None:
    proxy.habit = lambda call, _: refusal(503, "SlowDown")
    with pytest.raises(StoreError, match=r"SlowDown.*HTTP 503"):
        bucket.files(patience=1).read("a")


def test_keys_that_may_not_delete_take_backups_and_the_check_says_so(proxy: Gateway, bucket: Bucket) -> None:
    def no_deleting(call: Call, _: Gateway) -> Reply | None:
        return refusal(403, "AccessDenied") if call.deletes_many or call.method == "DELETE" else None

    proxy.habit = no_deleting
    files = bucket.files("prod")
    for _ in range(3):
        files.check()
        with files.lock("_locks/a", "scope 'a'", system_clock) as held:
            held.confirm()
    with pytest.raises(DeleteRefused):
        files.delete(["_locks/a/000000000001.json"])
    found = promises(bucket)
    assert broken(found) == {"delete"}
    assert found["delete"].needed_for == "retention"
    assert "s3:DeleteObject" in found["delete"].remedy


# --- What the check tells --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", ["moto_endpoint", *(["s3_endpoint"] if ceph_is_installed() else [])])
def test_the_check_passes_a_service_that_has_all(server: str, request: pytest.FixtureRequest) -> None:
    bucket = new_bucket(request.getfixturevalue(server))
    found = promises(bucket, prefix="prod")
    assert broken(found) == set()
    assert server == "moto_endpoint" or found["checksums"].outcome == "passed"
    assert list(found) == [
        "list",
        "write and read",
        "create only when absent",
        "large files and speed",
        "checksums",
        "Object Lock",
        "clock",
        "credentials",
        "delete",
    ]
    assert "MB/s" in found["large files and speed"].told
    assert list(bucket.files("prod").list("")) == []


@pytest.mark.parametrize("server", ["moto_endpoint", *(["s3_endpoint"] if ceph_is_installed() else [])])
def test_a_bucket_that_locks_by_itself_takes_backups_and_the_check_says_what_stays(
    server: str, request: pytest.FixtureRequest
) -> None:
    bucket = new_bucket(request.getfixturevalue(server), locking=True)
    bucket.endpoint.client().put_object_lock_configuration(
        Bucket=bucket.name,
        ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}},
        },
    )
    files = bucket.files("prod", object_lock="governance")
    for _ in range(2):
        files.check()
        with files.lock("_locks/a", "scope 'a'", system_clock) as held:
            held.confirm()
    files.create("manifest", b"one")
    with pytest.raises(AlreadyExists):
        files.create("manifest", b"two")
    assert files.read("manifest") == b"one"
    assert "1 days" in promises(bucket, prefix="prod", object_lock="governance")["Object Lock"].told
    told = promises(bucket, prefix="other")["Object Lock"]
    assert (told.outcome, told.needed_for) == ("failed", "retention")
    assert "1 days (governance)" in told.told


def test_a_profile_with_object_lock_needs_a_bucket_that_has_it(bucket: Bucket) -> None:
    assert "Object Lock" in broken(promises(bucket, object_lock="compliance"))


def test_what_cannot_be_reached_is_said_once(tmp_path: Path) -> None:
    found = promises(Bucket(Endpoint("http://127.0.0.1:9"), "bucket"))
    assert [(one.check, one.configuration) for one in found.values()] == [("list", True)]


def test_a_bucket_in_the_host_name_is_asked_there(moto_endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names below localhost are not known to every machine: here they lead to this one."""
    bucket = new_bucket(moto_endpoint)
    asked: list[str] = []
    resolve = socket.getaddrinfo

    def resolved(host: str, *more: Any, **options: Any) -> Any:
        asked.append(host)
        return resolve("127.0.0.1" if str(host).endswith("localhost") else host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    port = moto_endpoint.url.rpartition(":")[2]
    local = Bucket(moto_endpoint._replace(url=f"http://localhost:{port}"), bucket.name)
    files = profile(local, addressing="virtual").open()
    files.create("a/1", b"one")
    with pytest.raises(AlreadyExists):
        files.create("a/1", b"two")
    assert (files.read("a/1"), [file.key for file in files.list("a/")]) == (b"one", ["a/1"])
    files.delete(["a/1"])
    assert list(files.list("a/")) == []
    assert {*asked} == {f"{bucket.name}.localhost"}
    # The same objects as under the other address.
    files.create("a/2", b"two")
    assert bucket.files().read("a/2") == b"two"
