"""An S3 service of another make: a proxy before a real one that refuses, forgets or changes what reports tell of.

A habit looks at each request before it goes on, and may answer it; or at the answer, and may change it. The signature
covers what is signed, so habits that change requests stand before moto's server, which does not check it.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

from tests.support.s3 import Endpoint

_ERROR = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>made up</Message></Error>'
_HOP = {"content-length", "transfer-encoding", "connection", "date", "server"}


@dataclass
class Call:
    """A request on its way."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def deletes_many(self) -> bool:
        return self.method == "POST" and self.path.partition("?")[2].startswith("delete")

    @property
    def lists(self) -> bool:
        return self.method == "GET" and "list-type=2" in self.path


@dataclass
class Reply:
    """An answer on its way back. `status` 0: the connection is closed without one."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


Habit = Callable[[Call, "Gateway"], Reply | None]


@dataclass
class Gateway:
    """The proxy.

    Attributes:
        endpoint: Where it answers.
        habit: What it does to requests.
        after: What it does to answers.
        seen: How often something happened, by what the habits call it.
    """

    endpoint: Endpoint
    habit: Habit | None = None
    after: Callable[[Call, Reply], Reply] | None = None
    seen: Counter[str] = field(default_factory=Counter)
    since: float = field(default_factory=time.monotonic)


def refusal(status: int, code: str) -> Reply:
    return Reply(status, {"Content-Type": "application/xml"}, _ERROR.format(code=code).encode())


@contextmanager
def gateway(upstream: Endpoint) -> Iterator[Gateway]:
    """Runs a proxy before an S3 server."""
    client = httpx.Client(base_url=upstream.url, trust_env=False, timeout=60)
    turn = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            call = Call(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            with turn:
                reply = state.habit(call, state) if state.habit else None
            if reply is None:
                sent = client.request(call.method, call.path, content=call.body, headers=call.headers)
                reply = Reply(sent.status_code, dict(sent.headers.items()), sent.content)
                if state.after:
                    reply = state.after(call, reply)
            if reply.status == 0:
                self.close_connection = True
                return
            self.answer(reply)

        def answer(self, reply: Reply) -> None:
            self.send_response_only(reply.status)
            self.send_header("Date", reply.headers.get("x-date") or self.date_time_string())
            lengths = {name.lower(): value for name, value in reply.headers.items()}
            for name, value in reply.headers.items():
                if name.lower() not in _HOP:
                    self.send_header(name, value)
            if "x-without-length" in lengths:
                # The body ends with the connection.
                self.send_header("Connection", "close")
                self.close_connection = True
            else:
                length = lengths.get("content-length", "0") if self.command == "HEAD" else str(len(reply.body))
                self.send_header("Content-Length", length)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = pass_on

        def log_message(self, *arguments: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = Gateway(upstream._replace(url=f"http://127.0.0.1:{server.server_port}"))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        client.close()


# --- What services of other makes do ---------------------------------------------------------------------------------


def needs_md5(call: Call, state: Gateway) -> Reply | None:
    """Older MinIO, CubeFS: DeleteObjects needs Content-MD5, whatever other checksum there is."""
    if call.deletes_many and "content-md5" not in call.headers:
        return refusal(400, "MissingContentMD5")
    state.seen["deleted many"] += call.deletes_many
    return None


def no_delete_of_many(call: Call, state: Gateway) -> Reply | None:
    """No DeleteObjects at all."""
    return refusal(501, "NotImplemented") if call.deletes_many else None


def no_new_checksums(call: Call, state: Gateway) -> Reply | None:
    """`x-amz-checksum-*` headers, trailers and chunks are unknown."""
    new = [name for name in call.headers if name.startswith(("x-amz-checksum", "x-amz-sdk-checksum", "x-amz-trailer"))]
    return refusal(400, "InvalidRequest") if new or "aws-chunked" in call.headers.get("content-encoding", "") else None


def overloaded(call: Call, state: Gateway) -> Reply | None:
    """For two seconds from the first request: SlowDown, 503, 500, and connections that end without an answer."""
    state.seen["asked"] += 1
    if state.seen["asked"] == 1:
        state.since = time.monotonic()
    if time.monotonic() - state.since > 2:
        return None
    replies = (refusal(503, "SlowDown"), refusal(503, "ServiceUnavailable"), refusal(500, "InternalError"), Reply(0))
    return replies[state.seen["asked"] % 4]


def skewed_at_times(call: Call, state: Gateway) -> Reply | None:
    """One node of three has a wrong clock."""
    state.seen[call.method] += 1
    return refusal(403, "RequestTimeTooSkewed") if state.seen[call.method] % 3 == 0 else None


def only_old_listing(call: Call, state: Gateway) -> Reply | None:
    """ListObjectsV2 is unknown."""
    return refusal(501, "NotImplemented") if call.lists else None


def takes_new_listing_for_old(call: Call, state: Gateway) -> Reply | None:
    """ListObjectsV2 is answered as ListObjects."""
    call.path = re.sub(r"list-type=2&?", "", call.path)
    return None


def no_ranges(call: Call, state: Gateway) -> Reply | None:
    """Every object comes whole."""
    call.headers.pop("range", None)
    return None


def broken_promises(call: Call, state: Gateway) -> Reply | None:
    """A 200 whose body is an error, once each: to CompleteMultipartUpload, and to each key of DeleteObjects."""
    if call.method == "POST" and "uploadId=" in call.path and not state.seen["completed"]:
        state.seen["completed"] += 1
        return refusal(200, "InternalError")
    if call.deletes_many and not state.seen["deleted"]:
        state.seen["deleted"] += 1
        keys = re.findall(rb"<Key>(.*?)</Key>", call.body)
        errors = b"".join(b"<Error><Key>" + key + b"</Key><Code>InternalError</Code></Error>" for key in keys)
        return Reply(200, {"Content-Type": "application/xml"}, b"<DeleteResult>" + errors + b"</DeleteResult>")
    return None


def without_length(call: Call, reply: Reply) -> Reply:
    """Answers do not say how long they are."""
    if call.method in {"GET", "HEAD"}:
        reply.headers["x-without-length"] = "1"
    return reply


def other_etags(call: Call, reply: Reply) -> Reply:
    """ETags are no MD5."""
    if "partNumber=" in call.path:
        # The server behind has to know its own.
        return reply
    for name in [name for name in reply.headers if name.lower() == "etag"]:
        reply.headers[name] = '"opaque-' + reply.headers[name].strip('"')[:8] + '"'
    return reply


HABITS: dict[str, Habit] = {
    one.__name__: one
    for one in (
        needs_md5,
        no_delete_of_many,
        no_new_checksums,
        overloaded,
        skewed_at_times,
        only_old_listing,
        takes_new_listing_for_old,
        no_ranges,
        broken_promises,
    )
}
AFTER = {"without_length": without_length, "other_etags": other_etags}
