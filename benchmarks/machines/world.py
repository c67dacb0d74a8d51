"""What is there without us: simulated tenants, a mail server, a sign-in service, Postgres, and an S3 (Ceph)."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from oidc_provider_mock import User, run_server_in_thread

from benchmarks.post_office import PostOffice, post_office
from entra_pipeline.simulator import Simulator
from tests.support.s3 import Endpoint, ceph

SCOPES = {"alfa": "*/3 * * * *", "bravo": "1-59/4 * * * *"}
"""The scopes and their schedules."""
PLANNER, SECOND = "ada@example.com", "grace@example.com"
"""Two administrators."""
BUCKET, LOGS_BUCKET = "entra-backup", "entra-backup-logs"

_USERS, _GROUPS = 60, 12
_PATIENCE = 60


@dataclass
class World:
    """What is there.

    Attributes:
        tenants: Simulated tenants by scope.
        office: Where mails go.
        issuer: The sign-in service.
        s3: The S3.
        database_password: Of `dagster` in Postgres.
    """

    tenants: dict[str, Simulator]
    office: PostOffice
    issuer: str
    s3: Endpoint
    database_password: str


@contextmanager
def world(folder: Path, database_address: str) -> Iterator[World]:
    """Starts everything; ends it with the context.

    Args:
        folder: For its files.
        database_address: Address of this machine at which Postgres listens, port 5432.
    """
    with ExitStack() as stack:
        tenants = {
            name: stack.enter_context(Simulator(users=_USERS, groups=_GROUPS, seed=number, state=folder / name))
            for number, name in enumerate(SCOPES, 1)
        }
        office = stack.enter_context(post_office())
        people = [User(sub=who, claims={"roles": ["Backup.Administrator"]}) for who in (PLANNER, SECOND)]
        signing_in = stack.enter_context(run_server_in_thread(user_claims=people))
        endpoint = stack.enter_context(ceph(folder / "ceph"))
        client = endpoint.client()
        for bucket in (BUCKET, LOGS_BUCKET):
            client.create_bucket(Bucket=bucket)
        password = secrets.token_hex(16)
        stack.enter_context(_postgres(folder / "postgres", database_address, password))
        yield World(tenants, office, f"http://localhost:{signing_in.server_port}", endpoint, password)


@contextmanager
def _postgres(folder: Path, address: str, password: str) -> Iterator[None]:
    """Runs Postgres with the empty database `dagster`; its own user is the system's `postgres`."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        raise RuntimeError("PostgreSQL is not installed. Install the package postgresql.")
    bin_ = programs[-1]
    folder.mkdir()
    secret = folder / "password"
    secret.write_text(password)
    for one in (folder, secret):
        shutil.chown(one, "postgres", "postgres")
    environment = {**os.environ, "PGPASSWORD": password}

    def run(*arguments: str) -> None:
        subprocess.run(arguments, check=True, user="postgres", env=environment, cwd=folder, stdout=subprocess.DEVNULL)

    data = str(folder / "data")
    run(str(bin_ / "initdb"), "-D", data, "-U", "dagster", f"--pwfile={secret}", "-A", "scram-sha-256")
    options = ["-h", address, "-p", "5432", "-k", str(folder), "-c", "max_connections=300"]
    server = subprocess.Popen(
        [str(bin_ / "postgres"), "-D", data, *options],
        user="postgres",
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(_PATIENCE):
            try:
                run(str(bin_ / "createdb"), "-h", address, "-U", "dagster", "dagster")
                break
            except subprocess.CalledProcessError:
                time.sleep(1)
        yield
    finally:
        server.terminate()
        server.wait(_PATIENCE)
