"""An S3 server for the session: a real Ceph RADOS Gateway where one is installed, else moto's server.

`s3_endpoint` is the server, `s3_bucket` a fresh bucket for each test. What a report is worth depends on the server, so
its header says which one it was.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from botocore.credentials import Credentials

from entra_pipeline.store.backends.object_store import ErrorFactory, store_error
from entra_pipeline.store.backends.s3.client import make_client
from entra_pipeline.store.backends.s3.credentials import RenewedCredentials
from entra_pipeline.store.backends.s3.objects import S3ObjectStore

CEPH = Path(__file__).with_name("ceph.sh")
_NEEDED = ("radosgw", "ceph-mon", "ceph-osd", "ceph", "uuidgen", "curl")


class Endpoint(NamedTuple):
    """An S3 server and the credentials of a user who may do anything there."""

    url: str
    access_key_id: str = "test"
    secret_access_key: str = "testtest"
    region: str = "us-east-1"

    def client(self, *, patience: float = 20) -> Any:
        """boto3's client, made as the product's; it repeats a request for so many seconds."""
        keys = Credentials(self.access_key_id, self.secret_access_key)
        return make_client(
            RenewedCredentials(lambda: keys), region=self.region, endpoint_url=self.url, patience=patience
        )


class Bucket(NamedTuple):
    """A bucket of its own."""

    endpoint: Endpoint
    name: str

    def files(
        self,
        prefix: str = "",
        *,
        client: Any = None,
        object_lock: str = "",
        patience: float = 20,
        error_factory: ErrorFactory = store_error,
    ) -> S3ObjectStore:
        """The bucket (or a prefix of it) as the store sees it."""
        return S3ObjectStore(
            client or self.endpoint.client(patience=patience),
            self.name,
            prefix,
            object_lock=object_lock,
            patience=patience,
            error_factory=error_factory,
        )


def ceph_is_installed() -> bool:
    """Whether the tests have a real S3 server."""
    return all(shutil.which(program) for program in _NEEDED)


def describe() -> str:
    """The line for the report's header."""
    return "S3: Ceph RADOS Gateway" if ceph_is_installed() else "S3: moto's server (Ceph is not installed)"


@contextmanager
def ceph(folder: Path) -> Iterator[Endpoint]:
    """Runs a Ceph in a folder; it ends with this process, however that ends, because it waits for the end of a pipe."""
    port = free_ports(3)
    # A session of its own: what kills the group of this process leaves it to end its daemons.
    with subprocess.Popen(
        [CEPH, "serve", folder, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as server:
        assert server.stdout is not None
        if not server.stdout.readline():
            raise RuntimeError(f"Ceph does not start; see {folder}/log")
        yield Endpoint(f"http://127.0.0.1:{port}")


@pytest.fixture(scope="session")
def s3_endpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """The S3 server, started once."""
    if ceph_is_installed():
        folder = tmp_path_factory.mktemp("ceph")
        try:
            with ceph(folder) as endpoint:
                yield endpoint
        finally:
            # The OSD keeps a little on disk even in memory; what pytest retains need not hold it.
            shutil.rmtree(folder, ignore_errors=True)
    else:
        yield request.getfixturevalue("moto_endpoint")


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[Endpoint]:
    """moto's server, started once."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield Endpoint(f"http://{host}:{port}")
    finally:
        server.stop()


def new_bucket(endpoint: Endpoint, *, locking: bool = False) -> Bucket:
    """Makes a bucket, with Object Lock where it is asked for."""
    name = f"{'lock' if locking else 'test'}-{uuid4().hex[:12]}"
    endpoint.client().create_bucket(Bucket=name, **({"ObjectLockEnabledForBucket": True} if locking else {}))
    return Bucket(endpoint, name)


@pytest.fixture
def s3_bucket(s3_endpoint: Endpoint) -> Bucket:
    """A fresh bucket."""
    return new_bucket(s3_endpoint)


@pytest.fixture
def locking_bucket(s3_endpoint: Endpoint) -> Bucket:
    """A fresh bucket made with Object Lock."""
    return new_bucket(s3_endpoint, locking=True)


def free_ports(count: int) -> int:
    """The first of some neighbouring ports that nobody listens on."""
    for first in range(20_000 + (uuid4().int % 10_000), 32_000, count):
        sockets = [socket.socket() for _ in range(count)]
        try:
            for offset, each in enumerate(sockets):
                each.bind(("127.0.0.1", first + offset))
        except OSError:
            continue
        else:
            return first
        finally:
            for each in sockets:
                each.close()
    raise RuntimeError("no free ports")
