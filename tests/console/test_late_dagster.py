"""A console that is there sooner than Dagster, which it has just started."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from entra_pipeline.console.app_state import AppState
from entra_pipeline.console.auth import SignIn
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.dagster.client import OPERATOR_TAG, Dagster
from entra_pipeline.console.dagster.webserver import WebserverAddress
from entra_pipeline.console.rendering import templates
from tests.console.two_points import Served, serving

LATE = 1.5
RUN = "0f4e8a32-9a57-4a0e-8d7b-2f5a0c1d9e11"


class Webserver:
    """Answers what a console asks of Dagster's webserver, some time after it was started.

    Attributes:
        url: Its address.
        launched: What was asked to be launched.
    """

    def __init__(self) -> None:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self._port = one.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}/dagster"
        self.launched: list[str] = []

    async def graphql(self, request: Request) -> Response:
        asked = await request.json()
        if "launchRun" not in asked["query"]:
            return JSONResponse({"data": {"runsOrError": {"__typename": "Runs", "results": []}}})
        self.launched.append(json.dumps(asked["variables"]))
        return JSONResponse({"data": {"launchRun": {"__typename": "LaunchRunSuccess", "run": {"runId": RUN}}}})

    async def page(self, _: Request) -> Response:
        return PlainTextResponse("Dagster's page")

    @contextmanager
    def starting(self) -> Iterator[None]:
        app = Starlette(
            routes=[Route("/dagster/graphql", self.graphql, methods=["POST"]), Route("/dagster/", self.page)]
        )
        server = uvicorn.Server(
            uvicorn.Config(app, host="127.0.0.1", port=self._port, loop="asyncio", log_level="warning")
        )

        def late() -> None:
            time.sleep(LATE)
            server.run()

        thread = threading.Thread(target=late, daemon=True)
        thread.start()
        yield
        server.should_exit = True
        thread.join(20)


@contextmanager
def console_of(file: Path, webserver: Webserver, seconds: float) -> Iterator[Served]:
    dagster = Dagster(*[WebserverAddress(webserver.url)] * 2, starting=seconds)
    with serving(AppState(file, sign_in=SignIn(), dagster=dagster, templates=templates())) as console:
        yield console
    dagster.close()


@contextmanager
def while_it_starts(file: Path, role: Role) -> Iterator[tuple[Webserver, httpx.Client]]:
    """Somebody at a console whose Dagster is starting."""
    webserver = Webserver()
    with webserver.starting(), console_of(file, webserver, 20) as console, console.client(role) as client:
        yield webserver, client


def test_what_is_begun_before_dagster_is_there_waits_for_it(project_file: Path) -> None:
    with while_it_starts(project_file, Role.operator) as (webserver, olga):
        page = olga.get("/").text
        assert "Dagster does not answer yet" in page and "waits for it" in page and 'role="alert"' not in page
        answer = olga.post("/scopes/contoso/backup")
        assert (answer.status_code, answer.headers["location"]) == (303, f"/jobs/{RUN}")
        [launched] = webserver.launched
        assert f'{{"key": "{OPERATOR_TAG}", "value": "operator@contoso.com"}}' in launched
        assert "does not answer" not in olga.get("/").text


def test_dagsters_pages_wait_for_it(project_file: Path) -> None:
    with while_it_starts(project_file, Role.viewer) as (_, client):
        assert client.get("/dagster/").text == "Dagster's page"


@pytest.mark.parametrize("path", ["/scopes/contoso/backup", "/dagster/report_asset_check/x"])
def test_nobody_waits_for_ever(path: str, project_file: Path) -> None:
    with console_of(project_file, Webserver(), 0.2) as console, console.client(Role.administrator) as client:
        answer = client.post(path)
    assert answer.status_code == 503
    assert "still be starting" in answer.text
