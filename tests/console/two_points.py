"""A console on a scope with two recovery points, between which a group got a hostile name; its fixtures to import."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import pytest
import uvicorn

from entra_pipeline.backup.run import backup
from entra_pipeline.console.app import build
from entra_pipeline.console.app_state import AppState
from entra_pipeline.console.auth import SignIn
from entra_pipeline.console.auth.local import LocalAccount
from entra_pipeline.console.auth.login_throttle import LoginThrottle
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.auth.sessions import User
from entra_pipeline.console.dagster.client import Dagster
from entra_pipeline.console.dagster.webserver import WebserverAddress
from entra_pipeline.console.rendering import templates
from entra_pipeline.graph.factory import open_graph
from entra_pipeline.project import Project, load_project
from entra_pipeline.project.stores import open_store
from entra_pipeline.simulator import Simulator
from tests.support.patience import FRESH

NOWHERE = WebserverAddress("http://127.0.0.1:9/dagster")
"""A Dagster that is not there."""
SETTINGS = """
# What stands here by hand stays.
[storage.disk]
kind = "local"
path = "backup"

[scopes.contoso]
description = "People and their groups"
tenant = "simulated"
storage = "disk"
protect = ["users", "groups"]
retention = "2 years"
"""
HOSTILE = '<script>alert("in")</script><img src=x onerror=alert(1)>'


@dataclass
class Served:
    """A console that is running, and ways to talk to it."""

    url: str
    site: AppState
    password: str

    def client(self, role: Role | None = None, name: str = "") -> httpx.Client:
        """A browser; of somebody with a role, called as it unless they have a name, or of nobody."""
        client = httpx.Client(base_url=self.url, trust_env=False, timeout=30, limits=FRESH)
        if role is not None:
            token, session = self.site.sessions.begin(
                User(f"{name or role.name}@contoso.com", role, f"The {role.name}")
            )
            client.cookies.set("entra-session", token)
            client.headers["X-CSRF-Token"] = session.csrf
        return client


@contextmanager
def serving(site: AppState, password: str = "") -> Iterator[Served]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen(128)
        server = uvicorn.Server(uvicorn.Config(build(site), log_level="warning", loop="asyncio", lifespan="on"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [one]}, daemon=True)
        thread.start()
        until(lambda: server.started, 10)
        yield Served(f"http://127.0.0.1:{one.getsockname()[1]}", site, password)
        server.should_exit = True
        thread.join(10)


def until(condition: Callable[[], object], seconds: float, why: Callable[[], str] = lambda: "") -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, why()
        time.sleep(0.1)


def csrf_of(page: httpx.Response) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(users=30, groups=4, seed=11) as one:
        yield one


@pytest.fixture(scope="module")
def backed_up(simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project; between its two recovery points somebody renamed a group."""
    file = tmp_path_factory.mktemp("console") / "dagster_project.toml"
    file.write_text(simulator.tenant_table() + SETTINGS)
    project = load_project(file)
    take(project)
    group = simulator.control.dump("groups")[0]["id"]
    simulator.control.patch(f"groups/{group}", {"displayName": HOSTILE, "description": "one \u2028 two"})
    take(project)
    return project


def take(project: Project) -> str:
    """Takes a recovery point."""
    scope = project.scope("contoso")

    async def work() -> str:
        async with open_graph(project.tenants[scope.tenant]) as graph:
            return (await backup(scope, open_store(project, scope), graph)).recovery_point

    return asyncio.run(work())


@pytest.fixture
def project(backed_up: Project) -> Iterator[Project]:
    text = backed_up.file.read_text()
    yield backed_up
    backed_up.file.chmod(0o644)
    backed_up.file.write_text(text)


@pytest.fixture(scope="module")
def _console(backed_up: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    account, password = LocalAccount.open(tmp_path_factory.mktemp("account") / "account.json")
    dagster = Dagster(NOWHERE, NOWHERE)
    site = AppState(backed_up.file, sign_in=SignIn(local=account), dagster=dagster, templates=templates())
    with serving(site, password) as one:
        yield one
    dagster.close()


@pytest.fixture
def served(project: Project, _console: Served) -> Served:
    """The console, signed in to by the local account; Dagster is not there."""
    _console.site.tries = LoginThrottle()
    return _console


@pytest.fixture
def points(project: Project) -> list[str]:
    return open_store(project, "contoso").points()
