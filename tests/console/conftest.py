"""A console that is served over HTTP, for a project full of secrets and of names that are HTML."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import httpx
import pytest
import uvicorn

from entra_pipeline.backup.run import backup
from entra_pipeline.console.app import build
from entra_pipeline.console.app_state import AppState
from entra_pipeline.console.auth import SignIn
from entra_pipeline.console.auth.local import LocalAccount
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.auth.sessions import Session, User
from entra_pipeline.console.dagster.client import Dagster
from entra_pipeline.console.dagster.webserver import WebserverAddress
from entra_pipeline.console.rendering import templates
from entra_pipeline.graph.factory import open_graph
from entra_pipeline.project import load_project
from entra_pipeline.project.stores import open_store
from entra_pipeline.simulator import Simulator
from tests.support.patience import FRESH

NOWHERE = WebserverAddress("http://127.0.0.1:9/dagster")
"""A Dagster that is not there."""
HTML = '<img src=x onerror="alert(1)"></td><script>alert(2)</script>'
"""A name that somebody gave to a user, a group and a scope."""

SECRETS = {
    "oidc": "oidc-secret-5eVJ",
    "s3": "s3-secret-9aQk",
    "mail": "mail-secret-2bXw",
}
"""What must never be sent to a browser, besides the secrets of the tenant."""

PROJECT = """\
[storage.disk]
kind = "local"
path = "backup"

[storage.bucket]
kind = "s3"
bucket = "entra-backup"
endpoint_url = "http://127.0.0.1:9"
access_key_id = {{ env = "CONSOLE_TEST_S3_ID" }}
secret_access_key = {{ env = "CONSOLE_TEST_S3" }}

{tenant}
[scopes.contoso]
description = '{html}'
tenant = "contoso"
storage = "disk"
protect = ["users", "groups", "domains"]
schedule = "0 5 * * *"

[notifications.operations]
to = ["entra-admins@example.com"]
backup = ["failed"]

[mail]
host = "127.0.0.1"
from = "entra-pipeline@example.com"
username = "console"
password = {{ env = "CONSOLE_TEST_MAIL" }}
port = 9
"""

PASSWORD_FILE = "account.json"


class Served(NamedTuple):
    """A console that answers at an address."""

    url: str
    site: AppState
    password: str
    clients: ExitStack

    def browser(self, role: Role | None = None, name: str = "") -> Browser:
        """A browser, signed in with a role if any."""
        browser = Browser(self)
        if role is not None:
            token, session = self.site.sessions.begin(User(name or f"{role.name}@contoso.com", role))
            browser.keep(token)
            browser.session = session
        return browser


class Browser:
    """What somebody sends with, cookies and all; the session is None before signing in."""

    def __init__(self, console: Served) -> None:
        self.console = console
        self.client = console.clients.enter_context(
            httpx.Client(base_url=console.url, trust_env=False, timeout=30, limits=FRESH)
        )
        self.session: Session | None = None

    def keep(self, token: str) -> None:
        """Has it keep the cookie of a session."""
        self.client.cookies.set("entra-session", token, domain="127.0.0.1", path="/")

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.client.get(path, **more)

    def post(self, path: str, fields: dict[str, str] | None = None, **more: Any) -> httpx.Response:
        """Sends a form as the console's own pages do, unless `fields` has another token."""
        token = {"csrf_token": self.session.csrf} if self.session else {}
        return self.client.post(path, data=token | (fields or {}), **more)

    def token_of(self, page: httpx.Response) -> str:
        """The CSRF token in a page."""
        return page.text.split('name="csrf_token" value="')[1].split('"')[0]

    def sign_in(self, password: str, name: str = "admin", **fields: str) -> httpx.Response:
        page = self.get("/sign-in")
        token = self.token_of(page)
        return self.client.post("/sign-in", data={"csrf_token": token, "name": name, "password": password} | fields)


@contextmanager
def listening(app: Any) -> Iterator[str]:
    """Serves an ASGI application as `entra-pipeline serve` does; its address."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", server_header=False, lifespan="off")
    socket = config.bind_socket()
    server = uvicorn.Server(config)
    thread = Thread(target=server.run, kwargs={"sockets": [socket]}, daemon=True)
    thread.start()
    while thread.is_alive() and not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        socket.close()


@contextmanager
def served(file: Path, *, sign_in: SignIn, dagster: Dagster, password: str = "") -> Iterator[Served]:
    site = AppState(file, sign_in=sign_in, dagster=dagster, templates=templates())
    with listening(build(site)) as url, ExitStack() as clients:
        yield Served(url, site, password, clients)


@pytest.fixture(scope="session")
def simulator() -> Iterator[Simulator]:
    with Simulator(users=20, groups=3, seed=5) as running:
        user = running.control.dump("users")[0]
        running.control.patch(f"users/{user['id']}", {"displayName": HTML})
        group = running.control.dump("groups")[0]
        running.control.patch(f"groups/{group['id']}", {"displayName": HTML})
        yield running


@pytest.fixture(scope="session")
def secrets(simulator: Simulator) -> list[str]:
    """Every secret of the project."""
    return [*SECRETS.values(), simulator.client_secret]


@pytest.fixture(scope="session")
def project_file(simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project with one scope and one recovery point, which tests do not change."""
    file = tmp_path_factory.mktemp("console") / "dagster_project.toml"
    file.write_text(PROJECT.format(tenant=simulator.tenant_table("contoso"), html=HTML))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONSOLE_TEST_S3_ID", "AKIAEXAMPLE")
        patch.setenv("CONSOLE_TEST_S3", SECRETS["s3"])
        patch.setenv("CONSOLE_TEST_MAIL", SECRETS["mail"])
        project = load_project(file)

        async def back_up() -> None:
            async with open_graph(project.tenants["contoso"]) as graph:
                await backup(project.scope("contoso"), open_store(project, "contoso"), graph)

        asyncio.run(back_up())
        yield file


@pytest.fixture
def console(project_file: Path, tmp_path: Path) -> Iterator[Served]:
    """The console of the embedded default; Dagster is not there."""
    account, password = LocalAccount.open(tmp_path / PASSWORD_FILE)
    nowhere = Dagster(NOWHERE, NOWHERE)
    with served(project_file, sign_in=SignIn(local=account), dagster=nowhere, password=password) as one:
        yield one
    nowhere.close()
