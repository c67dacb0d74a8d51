"""The ASGI application: middleware, Dagster's proxy, and the pages behind access control."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from entra_pipeline.console.access_control import AccessControl
from entra_pipeline.console.app_state import AppState
from entra_pipeline.console.dagster.client import PATH
from entra_pipeline.console.dagster.proxy import Proxy
from entra_pipeline.console.headers import STATIC, SecurityHeaders
from entra_pipeline.console.monitor.exposition import HEALTH, METRICS, HostCheck, MetricsEndpoint, healthy
from entra_pipeline.console.navigation import Navigation
from entra_pipeline.console.pages import NAVIGATION, PAGES
from entra_pipeline.console.workers import expect_work

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")


def build(state: AppState) -> Starlette:
    """Builds the application.

    Raises:
        ConfigurationError: The configuration cannot be read.
    """
    public = urlsplit(state.project().console.public_url or "").hostname
    access = AccessControl(state, secure=state.sign_in.secure)
    proxy = Proxy(state, access)
    state.templates.globals["navigation"] = Navigation(NAVIGATION)
    static = files("entra_pipeline.console") / "static"
    routes: list[BaseRoute] = [
        # Files only: what a page says beside its tokens is never compressed, which would betray them (BREACH).
        Mount(STATIC, GZipMiddleware(StaticFiles(directory=str(static)))),
        Route(HEALTH, healthy),
        Route(METRICS, MetricsEndpoint(state).answer),
        Route(PATH, proxy.front),
        Route(PATH + "/{path:path}", proxy.http, methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
        WebSocketRoute(PATH + "/{path:path}", proxy.websocket),
        *(Route(page.path, access.endpoint(page), methods=list(page.methods)) for page in PAGES),
    ]

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await run_in_threadpool(expect_work)
        yield
        await proxy.close()
        await run_in_threadpool(state.reading.clear)

    hosts = [*_LOOPBACK, *([public] if public else [])]
    return Starlette(
        routes=routes,
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(HostCheck, allowed_hosts=hosts, www_redirect=False),
        ],
        exception_handlers={404: access.not_found, 405: access.not_found, 500: access.broken},
        lifespan=lifespan,
    )
