"""How a local folder and a bucket fail, each in its own way; what both promise is in `test_conformance`."""

from __future__ import annotations

import errno
import http.server
import os
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

import pytest

from entra_pipeline.clock import system_clock
from entra_pipeline.errors import AlreadyExists, ConfigurationError, EntraPipelineError, StoreError
from entra_pipeline.store.backends import LocalObjectStore, ObjectStore
from entra_pipeline.store.state import connect
from tests.support import s3
from tests.support.s3 import Bucket, Endpoint


def error_factory(key: str, message: str, /, *, remedy: str) -> EntraPipelineError:
    return ConfigurationError(message, file="project.toml", key=f"storage.main.{key}", remedy=remedy)


# --- A local folder --------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
def test_a_write_that_was_killed_is_invisible_and_can_be_cleared(tmp_path: Path) -> None:
    files = LocalObjectStore(tmp_path)
    child = os.fork()
    if child == 0:
        # The process dies between writing the bytes and giving them their name.
        files._place = lambda key, move: os.kill(os.getpid(), 9)  # type: ignore[method-assign]
        files.create("a/b", b"bytes")
    os.waitpid(child, 0)
    assert list(files.list("")) == []
    assert files.folders() == []
    assert files.clear_unfinished(system_clock() - timedelta(hours=1)) == []
    later = system_clock() + timedelta(hours=1)
    assert len(files.clear_unfinished(later, dry_run=True)) == 1
    assert len(files.clear_unfinished(later)) == 1
    assert files.clear_unfinished(later) == []


@pytest.mark.parametrize("key", ["../outside", "/etc/passwd", "a/../../b"])
def test_no_key_leads_out_of_the_folder(tmp_path: Path, key: str) -> None:
    with pytest.raises(StoreError, match="leads out"):
        LocalObjectStore(tmp_path / "store").replace(key, b"x")


def test_a_file_in_the_place_of_the_folder_is_blamed_on_the_path(tmp_path: Path) -> None:
    (tmp_path / "store").write_bytes(b"")
    with pytest.raises(ConfigurationError, match=r"project.toml: storage.main.path: .*Not a directory"):
        LocalObjectStore(tmp_path / "store", error_factory=error_factory).check()


@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
def test_a_full_disk_is_said_to_be_full_and_leaves_nothing(tmp_path: Path) -> None:
    # A limit on the size of files stands in for the end of the disk: both end a write in the middle.
    child = os.fork()
    if child == 0:
        import resource
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            LocalObjectStore(tmp_path).create("a", bytes(5000))
        except StoreError:
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_the_errors_of_a_full_disk_are_explained(tmp_path: Path, number: int) -> None:
    error = LocalObjectStore(tmp_path)._error("a", OSError(number, os.strerror(number)))
    assert isinstance(error, StoreError)
    assert "is full" in error.message
    assert error.remedy


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EPERM])
def test_a_forbidden_folder_is_blamed_on_the_path(tmp_path: Path, number: int) -> None:
    error = LocalObjectStore(tmp_path, error_factory=error_factory)._error(
        "a", OSError(number, os.strerror(number), str(tmp_path))
    )
    assert isinstance(error, ConfigurationError)
    assert error.key == "storage.main.path"


# --- A bucket --------------------------------------------------------------------------------------------------------


def test_a_create_whose_answer_was_lost_succeeded(s3_bucket: Bucket) -> None:
    client = s3_bucket.endpoint.client()
    lost: list[int] = []

    def lose_first_answer(response: object, **_: object) -> float | None:
        lost.append(1)
        return 0.01 if len(lost) == 1 else None

    client.meta.events.register_first("needs-retry.s3.PutObject", lose_first_answer)
    files = s3_bucket.files(client=client)
    files.create("manifest", b"mine")
    assert len(lost) == 2
    assert files.read("manifest") == b"mine"
    lost.clear()
    with pytest.raises(AlreadyExists):
        files.create("manifest", b"another's")


def test_a_prefix_does_not_see_its_neighbours(s3_bucket: Bucket) -> None:
    s3_bucket.files("prod").replace("a", b"x")
    s3_bucket.files("production").replace("b", b"x")
    assert [file.key for file in s3_bucket.files("prod").list("")] == ["a"]
    assert s3_bucket.files("/prod/").url("a") == f"s3://{s3_bucket.name}/prod/a"


def test_unfinished_multipart_uploads_are_cleared(s3_bucket: Bucket) -> None:
    client = s3_bucket.endpoint.client()
    client.create_multipart_upload(Bucket=s3_bucket.name, Key="prod/left")
    files = s3_bucket.files("prod")
    later = system_clock() + timedelta(hours=1)
    if s3.ceph_is_installed():
        # For moto's server all uploads began in 2010.
        assert files.clear_unfinished(system_clock() - timedelta(hours=1)) == []
    assert files.clear_unfinished(later, dry_run=True) == ["left"]
    assert files.clear_unfinished(later) == ["left"]
    assert files.clear_unfinished(later) == []


def test_a_missing_bucket_is_blamed_on_the_bucket(s3_endpoint: Endpoint) -> None:
    files = Bucket(s3_endpoint, "no-such-bucket").files(error_factory=error_factory)
    for use in (files.check, lambda: list(files.list("")), lambda: files.read("a"), lambda: files.delete(["a"])):
        with pytest.raises(ConfigurationError, match=r"storage.main.bucket: .*NoSuchBucket"):
            use()


def test_an_impossible_bucket_is_blamed_on_the_bucket(s3_endpoint: Endpoint) -> None:
    with pytest.raises(ConfigurationError, match=r"storage.main.bucket: "):
        Bucket(s3_endpoint, "Not A Bucket!").files(error_factory=error_factory).check()


class _Answering(http.server.BaseHTTPRequestHandler):
    """An S3 service that has one answer to everything."""

    status = 0
    code = ""

    def handle_any(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = f"<Error><Code>{self.code}</Code><Message>No.</Message></Error>".encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def answering() -> Iterator[Callable[[int, str], Endpoint]]:
    servers: list[http.server.ThreadingHTTPServer] = []

    def start(status: int, code: str) -> Endpoint:
        handler = type("Answer", (_Answering,), {"status": status, "code": code})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return Endpoint(f"http://127.0.0.1:{server.server_port}", secret_access_key="not-to-be-shown")

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "code", "key"),
    [
        (403, "AccessDenied", "access_key_id"),
        (403, "InvalidAccessKeyId", "access_key_id"),
        (403, "SignatureDoesNotMatch", "secret_access_key"),
        (404, "NoSuchBucket", "bucket"),
        (400, "AuthorizationHeaderMalformed", "region"),
    ],
)
def test_a_refusal_is_blamed_on_its_setting(
    answering: Callable[[int, str], Endpoint], status: int, code: str, key: str
) -> None:
    files = Bucket(answering(status, code), "bucket").files(error_factory=error_factory)
    with pytest.raises(ConfigurationError) as caught:
        files.check()
    assert caught.value.key == f"storage.main.{key}"
    assert code in caught.value.message
    assert caught.value.remedy
    assert "not-to-be-shown" not in f"{caught.value!r} {caught.value}"


def test_a_refused_head_is_blamed_on_the_credentials(answering: Callable[[int, str], Endpoint]) -> None:
    with pytest.raises(ConfigurationError, match=r"storage.main.access_key_id"):
        Bucket(answering(403, "AccessDenied"), "bucket").files(error_factory=error_factory).size("key")


class _Careless(http.server.BaseHTTPRequestHandler):
    """An S3 service that overwrites whatever it is told, and breaks off its first answers in the middle."""

    objects: ClassVar[dict[str, bytes]] = {}
    breaks = 0
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        self.objects[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200, b"")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200, b"<DeleteResult/>")

    def do_GET(self) -> None:
        if "list-type" in self.path:
            self._answer(200, b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
            return
        data = self.objects[self.path]
        wanted = self.headers.get("Range", "bytes=0-")
        assert wanted == "bytes=0-" or self.headers["If-Match"] == '"etag"'
        rest = data[int(wanted.removeprefix("bytes=").rstrip("-")) :]
        cut = type(self).breaks > 0
        type(self).breaks -= 1
        self._answer(200 if len(rest) == len(data) else 206, rest, send=len(rest) // 2 if cut else len(rest))

    def _answer(self, status: int, body: bytes, send: int | None = None) -> None:
        self.send_response(status)
        self.send_header("ETag", '"etag"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:send])
        self.close_connection = send is not None and send < len(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def careless() -> Iterator[tuple[ObjectStore, type[_Careless]]]:
    handler = type("Careless", (_Careless,), {"objects": {}, "breaks": 0})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Bucket(Endpoint(f"http://127.0.0.1:{server.server_port}"), "bucket").files(patience=2), handler
        server.shutdown()


def test_a_service_without_conditional_writes_is_refused(careless: tuple[ObjectStore, type[_Careless]]) -> None:
    files, _ = careless
    with pytest.raises(StoreError, match="overwrites an object that was to be created only when absent"):
        files.check()


def test_a_transfer_that_breaks_off_goes_on_where_it_stopped(careless: tuple[ObjectStore, type[_Careless]]) -> None:
    files, handler = careless
    data = os.urandom(3_000_000)
    files.replace("large", data)
    handler.breaks = 3
    assert files.read("large") == data
    assert handler.breaks == -1
    handler.breaks = 100
    with pytest.raises(StoreError):
        files.read("large")


def _impatient(endpoint: Endpoint) -> ObjectStore:
    return Bucket(endpoint, "bucket").files(patience=1, error_factory=error_factory)


def test_an_ailing_service_is_not_blamed_on_a_setting(
    answering: Callable[[int, str], Endpoint], tmp_path: Path
) -> None:
    files = _impatient(answering(500, "InternalError"))
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(65 << 20)
    for use in (lambda: files.create("a", b"x"), lambda: files.upload("a", path), lambda: list(files.list(""))):
        with pytest.raises(StoreError, match=r"InternalError.*HTTP 500"):
            use()


def test_an_unreachable_service_is_blamed_on_the_endpoint() -> None:
    with pytest.raises(ConfigurationError, match=r"storage.main.endpoint_url: .*cannot be reached"):
        _impatient(Endpoint("http://127.0.0.1:9")).check()


def test_wrong_credentials_are_blamed_on_them(s3_bucket: Bucket) -> None:
    stranger = s3_bucket.endpoint._replace(access_key_id="nobody", secret_access_key="not-to-be-shown")
    files = Bucket(stranger, s3_bucket.name).files(error_factory=error_factory)
    if s3.ceph_is_installed():
        with pytest.raises(ConfigurationError, match=r"access_key_id: .*InvalidAccessKeyId"):
            files.check()
    else:
        # moto's server lets everybody in.
        files.check()


def test_duckdb_never_shows_the_secret(s3_bucket: Bucket) -> None:
    files = s3_bucket.files()
    with connect(files) as connection:
        assert "testtest" not in str(connection.execute("FROM duckdb_secrets()").fetchall())
    assert "testtest" not in repr(files) + str(files)
