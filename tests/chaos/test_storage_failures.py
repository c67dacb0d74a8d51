"""Storage that fails: a clear error, nothing visible, and the next backup succeeds."""

from __future__ import annotations

import resource
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from entra_pipeline.simulator import Simulator
from tests.chaos.conftest import Site, s3_keys, s3_profile, site_on
from tests.support.s3 import Bucket

ERROR = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>made up</Message></Error>'


@dataclass
class Gateway:
    """Stands before an S3 server and refuses some of what comes by.

    Attributes:
        url: Its address.
        refuse: Writes of keys that hold this text are refused; empty: nothing is.
        status, code: How.
    """

    url: str = ""
    refuse: str = ""
    status: int = 500
    code: str = "InternalError"
    refused: list[str] = field(default_factory=list)


@pytest.fixture
def gateway(s3_bucket: Bucket) -> Iterator[Gateway]:
    state = Gateway()
    upstream = httpx.Client(base_url=s3_bucket.endpoint.url, trust_env=False, timeout=60)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if state.refuse and self.command == "PUT" and state.refuse in self.path:
                state.refused.append(self.path)
                self.answer(state.status, {}, ERROR.format(code=state.code).encode())
                return
            # The signature covers the host that the client thinks it speaks to, so the header is passed on as it is.
            answer = upstream.request(self.command, self.path, content=body, headers=dict(self.headers.items()))
            self.answer(answer.status_code, dict(answer.headers.items()), answer.content)

        def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            length = str(len(body))
            if self.command == "HEAD":
                length = headers.get("content-length", "0")
            for name, value in headers.items():
                if name.lower() not in {"content-length", "transfer-encoding", "connection", "date", "server"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", length)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = pass_on

        def log_message(self, *arguments: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
    thread.join()
    upstream.close()


@pytest.fixture
def gated_site(
    tmp_path: Path, simulator: Simulator, s3_bucket: Bucket, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> Site:
    keys = s3_keys(s3_bucket)
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    return site_on(f"{s3_profile(s3_bucket, gateway.url)}\npatience = 3", tmp_path, simulator, keys)


@pytest.mark.parametrize(
    ("what", "status", "code"), [("users/", 500, "InternalError"), ("_recovery_points/", 403, "AccessDenied")]
)
def test_an_s3_that_refuses_writes(gated_site: Site, gateway: Gateway, what: str, status: int, code: str) -> None:
    assert gated_site.backup()[0] == 0
    before = gated_site.store().points()
    gated_site.simulator.control.create("users", {"displayName": "Somebody New"})
    gateway.refuse, gateway.status, gateway.code = what, status, code
    exit_code, said = gated_site.backup()
    assert gateway.refused
    assert exit_code in {1, 2}
    assert code in said
    assert "→" in said
    assert "Traceback" not in said
    gateway.refuse = ""
    assert gated_site.store().points() == before
    assert gated_site.problems() == []
    assert gated_site.backup()[0] == 0
    assert gated_site.differences() == []


def test_a_disk_that_is_full(local_site: Site) -> None:
    assert local_site.backup()[0] == 0
    before = local_site.store().points()
    local_site.simulator.control.create_many("users", [{"displayName": f"Newcomer {n}"} for n in range(200)])

    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    exit_code, said = local_site.backup(preexec_fn=no_room)
    assert exit_code == 1
    assert "→" in said
    assert "Traceback" not in said
    assert "unexpected" not in said
    assert local_site.store().points() == before
    assert local_site.problems() == []
    assert local_site.backup()[0] == 0
    assert local_site.differences() == []
