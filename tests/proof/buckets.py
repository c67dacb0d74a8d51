"""A bucket of S3 in this process: the real backend and the real client, moto behind it, and faults in between.

DuckDB cannot reach a bucket that is in no server, so it reads copies of its objects.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import duckdb
from botocore.awsrequest import AWSResponse
from moto import mock_aws
from moto.core.botocore_stubber import MockRawResponse
from moto.core.models import botocore_stubber
from moto.s3 import models as moto_s3

from entra_pipeline.store.backends import leases
from entra_pipeline.store.backends.s3.client import client_config
from entra_pipeline.store.backends.s3.objects import S3ObjectStore
from tests.proof.places import Killed
from tests.proof.virtual import Universe, current

NAME = "proof"
_ERROR = b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>InternalError</Code><Message>made up</Message></Error>'
_RENEWAL = 20.0


class Wire:
    """Strikes what travels between the client and the bucket.

    Attributes:
        rate: The share of requests that are struck; 0 = none.
        kinds: How, out of `program.WIRE_KINDS`.
        told: Called with each kind that strikes.
        count: Requests so far.
        dies_at: After this request, by its number from 0, the process that sent it is dead; -1 = never.
        dead: Whether it is.
    """

    def __init__(self, told: Callable[[str], None]) -> None:
        self.count = 0
        self.dies_at = -1
        self.dead = False
        self.rate = 0.0
        self.kinds: tuple[str, ...] = ()
        self.told = told
        self._lists: dict[str, bytes] = {}

    def __call__(self, request: Any, **options: Any) -> AWSResponse | None:
        if self.dead:
            raise Killed
        number, self.count = self.count, self.count + 1
        if number == self.dies_at:
            botocore_stubber.process_request(request)
            self.dead = True
            raise Killed
        chance = current().random
        kind = chance.choice(self.kinds) if self.kinds and chance.random() < self.rate else ""
        if kind in {"500", "503"}:
            return self._struck(kind, request, int(kind), _ERROR)
        answer = botocore_stubber.process_request(request)
        if answer is None:
            raise AssertionError(f"a request left for somewhere else: {request.url}")
        status, headers, body = answer
        data = body.encode() if isinstance(body, str) else body
        listing = request.method == "GET" and "list-type=2" in request.url
        if kind == "500 after" and request.method in {"PUT", "POST", "DELETE"}:
            return self._struck(kind, request, 500, _ERROR)
        if kind == "cut" and request.method == "GET" and not listing and len(data) > 1:
            return self._struck(kind, request, status, data[: chance.randrange(len(data))], headers)
        if kind == "stale" and listing and request.url in self._lists:
            return self._struck(kind, request, status, self._lists[request.url], headers)
        if listing:
            self._lists[request.url] = data
        return AWSResponse(request.url, status, headers, MockRawResponse(data))

    def _struck(self, kind: str, request: Any, status: int, data: bytes, headers: Any = None) -> AWSResponse:
        self.told(f"S3: {kind}")
        given = headers or {"Content-Type": "application/xml", "Content-Length": str(len(data))}
        return AWSResponse(request.url, status, given, MockRawResponse(b"" if request.method == "HEAD" else data))


class MirroredBucket(S3ObjectStore):
    """A bucket whose objects DuckDB reads as copies in a folder."""

    def __init__(self, client: Any, mirror: Path) -> None:
        super().__init__(client, NAME)
        self._mirror = mirror

    def url(self, key: str) -> str:
        path = self._mirror / key
        stored = _objects().get(key)
        if stored is not None:
            data = stored.value
            if not path.exists() or path.read_bytes() != data:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        else:
            path.unlink(missing_ok=True)
        return str(path)

    def prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Does nothing: DuckDB reads local files by itself."""


def new_bucket(mirror: Path, told: Callable[[str], None]) -> tuple[MirroredBucket, Wire]:
    """Makes the bucket anew, empty."""
    client = _client()
    wire = Wire(told)
    client.meta.events.unregister("before-send.s3", unique_id="proof")
    client.meta.events.register_first("before-send.s3", wire, unique_id="proof")
    _backend().reset()
    client.create_bucket(Bucket=NAME)
    return MirroredBucket(client, mirror), wire


def all_objects() -> dict[str, bytes]:
    """Returns everything in the bucket."""
    return {key: one.value for key, one in _objects().items()}


def put(key: str, data: bytes) -> None:
    """Writes an object past all faults."""
    _backend().put_object(NAME, key, data)


def drop(key: str) -> None:
    """Removes an object past all faults."""
    _backend().delete_object(NAME, key)


def _objects() -> dict[str, Any]:
    return dict(_backend().buckets[NAME].keys.items())


def _backend() -> Any:
    return moto_s3.s3_backends["123456789012"]["aws"]


_made: Any = None


def _client() -> Any:
    global _made
    if _made is None:
        mock_aws().start()
        # botocore asks all who listen; `Wire` asks it.
        botocore_stubber.enabled = False
        _made = boto3.client(
            "s3",
            region_name="us-east-1",
            aws_access_key_id="proof",
            aws_secret_access_key="proof",
            config=client_config(),
        )
        moto_s3.utcnow = lambda: current().tenant_clock().replace(tzinfo=None)
        leases.threading = _Threading()  # type: ignore[assignment]
    return _made


# --- The thread that renews a lease ----------------------------------------------------------------------------------


class _Event:
    """Lets the thread that waits for it go round once whenever its time has come."""

    def __init__(self) -> None:
        self.turns = 0
        self.ended = False

    def set(self) -> None:
        self.ended = True

    def wait(self, seconds: float) -> bool:
        if self.turns and not self.ended:
            self.turns -= 1
            return False
        return True


class _Renewal:
    """A thread that renews a lease: it runs when the universe's time passes."""

    def __init__(self, target: Callable[[], None], **options: Any) -> None:
        self._target = target
        self._event = next(
            cell.cell_contents for cell in target.__closure__ or () if isinstance(cell.cell_contents, _Event)
        )
        self._due = 0.0
        self._universe: Universe = current()

    def start(self) -> None:
        self._due = self._universe.elapsed + _RENEWAL
        self._universe.on_time.append(self._look)

    def _look(self) -> None:
        if self._event.ended:
            self.join()
        elif self._universe.elapsed >= self._due:
            self._due = self._universe.elapsed + _RENEWAL
            self._event.turns = 1
            # It is not renewed while it is being renewed.
            self._universe.on_time.remove(self._look)
            try:
                self._target()
            except BaseException:
                self._event.set()
                raise
            self._universe.on_time.append(self._look)

    def join(self) -> None:
        if self._look in self._universe.on_time:
            self._universe.on_time.remove(self._look)


class _Lock:
    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...


class _Threading:
    Thread = _Renewal
    Event = _Event
    Lock = _Lock


__all__ = ["MirroredBucket", "Wire", "all_objects", "drop", "new_bucket", "put"]
