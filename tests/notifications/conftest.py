"""A mail server with TLS and authentication, a server for webhooks, and a project that uses them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from entra_pipeline.project import Project, load_project
from entra_pipeline.project.stores import open_store
from entra_pipeline.store.recovery_points import ScopeStore
from tests.support.post_office import PASSWORD, PostOffice
from tests.support.writing import Time


@pytest.fixture(params=["starttls", "implicit"])
def post_office(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PostOffice]:
    office = PostOffice(tmp_path, implicit=request.param == "implicit")
    office.open()
    yield office
    office.shut()


class Hook:
    """An address that takes messages for a channel."""

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []
        self.status = 200
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                hook.posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(hook.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/services/T000/secret-path"
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> Hook:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as one:
        yield one


BASE = """\
[storage.disk]
kind = "local"
path = "backup"

[tenants.contoso]
simulator = {{ users = 5 }}

[scopes.contoso]
tenant = "contoso"
storage = "disk"

[scopes.fabrikam]
tenant = "contoso"
storage = "disk"

{mail}
{profiles}
"""

MakeProject = Callable[..., Project]


@pytest.fixture
def make_project(tmp_path: Path) -> MakeProject:
    """Makes a project of the tables of profiles and mail."""

    def make(profiles: str, mail: str) -> Project:
        (tmp_path / "password").write_text(PASSWORD)
        file = tmp_path / "dagster_project.toml"
        file.write_text(BASE.format(mail=mail, profiles=profiles))
        return load_project(file)

    return make


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def stores(time: Time) -> Callable[[Project, str], ScopeStore]:
    return lambda project, scope="contoso": open_store(project, scope, time)
