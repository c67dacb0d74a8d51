"""What machines ask of the console: whether it lives, and its metrics. Both answer under any host name."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from datetime import datetime, timedelta
from hmac import compare_digest
from http import HTTPStatus
from threading import Lock
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from entra_pipeline.console.dagster.client import UNDER_WAY, DagsterUnavailable
from entra_pipeline.errors import ConfigurationError
from entra_pipeline.operations.metrics import CONTENT_TYPE, exposition
from entra_pipeline.project import Project

if TYPE_CHECKING:
    from entra_pipeline.console.app_state import AppState

HEALTH = "/healthz"
"""Where a probe asks whether the console answers."""
METRICS = "/metrics"
"""Where Prometheus asks, with the token of `[console] metrics_token`."""

# Several scrapers, and one that is impatient, read the store once.
_KEPT = timedelta(seconds=15)
_MOST_RUNS = 1_000


class HostCheck(TrustedHostMiddleware):
    """Refuses requests for names that are not the console's, but those of probes and scrapers, which ask by address."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers, or refuses to."""
        if scope["type"] == "http" and scope["path"] in {HEALTH, METRICS}:
            await self.app(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def healthy(_: Request) -> Response:
    """Says that the console answers: it reads nothing, so that a storage that is away restarts nobody."""
    return PlainTextResponse("ok\n")


class MetricsEndpoint:
    """Answers scrapers that show the token; without a token in the configuration there is nothing here.

    Args:
        state: The console's shared state.
    """

    def __init__(self, state: AppState) -> None:
        self._state = state
        self._lock = Lock()
        self._made: tuple[datetime, bytes] | None = None

    async def answer(self, request: Request) -> Response:
        """Answers a scrape: 404 where metrics are not configured, 401 without the token."""
        return await run_in_threadpool(self._answered, request.headers.get("authorization", ""))

    def _answered(self, shown: str) -> Response:
        try:
            project = self._state.project()
            token = project.console.metrics_token
            expected = f"Bearer {token.reveal()}" if token else ""
        except ConfigurationError:
            return PlainTextResponse("the configuration cannot be read\n", HTTPStatus.SERVICE_UNAVAILABLE)
        if not expected:
            return PlainTextResponse("no metrics_token is configured\n", HTTPStatus.NOT_FOUND)
        if not compare_digest(shown.encode(), expected.encode()):
            headers = {"www-authenticate": "Bearer"}
            return PlainTextResponse("the token is missing or wrong\n", HTTPStatus.UNAUTHORIZED, headers)
        return Response(self._metrics(project), headers={"content-type": CONTENT_TYPE})

    def _metrics(self, project: Project) -> bytes:
        with self._lock:
            now = self._state.clock()
            if self._made is None or now - self._made[0] > _KEPT:
                self._made = now, exposition(project, now, self._runs())
            return self._made[1]

    def _runs(self) -> dict[str, int] | None:
        with suppress(DagsterUnavailable):
            under_way = self._state.dagster.runs(limit=_MOST_RUNS, filters={"statuses": list(UNDER_WAY)})
            found = Counter("queued" if run.status.upper() == "QUEUED" else "running" for run in under_way)
            return {"queued": found["queued"], "running": found["running"]}
        return None
