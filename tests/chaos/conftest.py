"""Whole backups as processes of their own, to be killed, starved and set against each other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from entra_pipeline import demo as story
from entra_pipeline.project import load_project
from entra_pipeline.project.stores import open_store
from entra_pipeline.simulator import Simulator
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.verify import verify
from tests.support.s3 import Bucket

SCOPE = "contoso"
PROTECTED = ["users", "groups", "applications", "federated_identity_credentials", "service_principals", "devices"]


@dataclass
class Site:
    """A project whose backups run in processes of their own."""

    file: Path
    simulator: Simulator
    environment: dict[str, str] = field(default_factory=dict)

    def store(self) -> ScopeStore:
        return open_store(load_project(self.file), SCOPE)

    def start(self, **options: object) -> subprocess.Popen[str]:
        """Starts a backup."""
        return subprocess.Popen(
            [Path(sys.executable).with_name("entra-pipeline"), "--project", self.file, "backup", SCOPE],
            env=os.environ | self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **options,  # type: ignore[call-overload]
        )

    def backup(self, **options: object) -> tuple[int, str]:
        """Backs up; the exit code and what was said on standard error."""
        process = self.start(**options)
        _, said = process.communicate(timeout=120)
        return process.returncode, said

    def problems(self) -> list[str]:
        """What `verify` finds."""
        return [f"{one.point} {one.table}: {one.problem}" for one in verify(self.store()) if not one.ok]

    def differences(self) -> list[str]:
        """Where the newest point is not the tenant as it is now."""
        store = self.store()
        manifest = store.latest()
        assert manifest is not None
        return story.compare(store, manifest, story.look(self.simulator.control, PROTECTED)).differing


def kill(process: subprocess.Popen[str]) -> None:
    """`kill -9` to a process and its children."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=10)


@pytest.fixture(scope="session")
def simulator() -> Iterator[Simulator]:
    with Simulator(users=60, groups=8, seed=23) as one:
        story.prepare(one.control)
        yield one


def site_on(storage: str, folder: Path, simulator: Simulator, environment: dict[str, str]) -> Site:
    file = folder / "dagster_project.toml"
    file.write_text(
        f"[storage.here]\n{storage}\n{simulator.tenant_table('contoso')}\n"
        f'[scopes.{SCOPE}]\ntenant = "contoso"\nstorage = "here"\nprotect = {json.dumps(PROTECTED)}\n'
    )
    return Site(file, simulator, environment)


def s3_profile(bucket: Bucket, endpoint_url: str) -> str:
    """The storage profile of a bucket behind an endpoint."""
    return (
        f'kind = "s3"\nbucket = "{bucket.name}"\nendpoint_url = "{endpoint_url}"\n'
        'access_key_id = { env = "CHAOS_S3_KEY" }\nsecret_access_key = { env = "CHAOS_S3_SECRET" }'
    )


def s3_keys(bucket: Bucket) -> dict[str, str]:
    """The variables that the profile names."""
    return {"CHAOS_S3_KEY": bucket.endpoint.access_key_id, "CHAOS_S3_SECRET": bucket.endpoint.secret_access_key}


@pytest.fixture
def local_site(tmp_path: Path, simulator: Simulator) -> Site:
    return site_on('kind = "local"\npath = "backup"', tmp_path, simulator, {})


@pytest.fixture
def s3_site(tmp_path: Path, simulator: Simulator, s3_bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Site:
    keys = s3_keys(s3_bucket)
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    return site_on(s3_profile(s3_bucket, s3_bucket.endpoint.url), tmp_path, simulator, keys)
