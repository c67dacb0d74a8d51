"""The ASGI application, and the rules that hold for every page.

In the order in which a request meets them: headers of the answer; known host; session; sign-in and role, from the
route's own entry; origin and CSRF token of whatever is not only looking. Errors become pages that say what to do.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from hmac import compare_digest
from http import HTTPStatus
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from entra_pipeline.console.dagster.client import PATH
from entra_pipeline.console.dagster.proxy import Proxy
from entra_pipeline.console.pages import PAGES
from entra_pipeline.console.routing import Page, Visit, address, inside
from entra_pipeline.console.sessions import Session
from entra_pipeline.console.site import Site
from entra_pipeline.errors import ConfigurationError, EntraPipelineError, NotInStore, UsageError

MOST_SENT = 2_000_000
"""Bytes of a form at the most: ids of many thousand objects."""

_STATIC = "/static"
_POLICY = "Content-Security-Policy"
_HEADERS = {
    _POLICY: "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
# Files of the console change with its version only: a browser asks whether they have.
_HEADERS_OF_FILES = {**_HEADERS, "Cache-Control": "no-cache"}
# Dagster's pages have a policy of their own; what else it answers (scripts, workers, data) must not be framed.
_HEADERS_OF_DAGSTER = {
    **{name: value for name, value in _HEADERS.items() if name != "Cache-Control"},
    _POLICY: "object-src 'none'; frame-ancestors 'none'; base-uri 'none'",
}
_log = logging.getLogger(__name__)
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")


def build(site: Site) -> Starlette:
    """The application.

    Raises:
        ConfigurationError: The configuration cannot be read.
    """
    public = urlsplit(site.project().console.public_url or "").hostname
    door = Door(site, secure=site.sign_in.secure)
    proxy = Proxy(site, door)
    static = files("entra_pipeline.console") / "static"
    routes: list[BaseRoute] = [
        Mount(_STATIC, StaticFiles(directory=str(static))),
        Route(PATH, proxy.front),
        Route(PATH + "/{path:path}", proxy.http, methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
        WebSocketRoute(PATH + "/{path:path}", proxy.websocket),
        *(Route(page.path, door.endpoint(page), methods=list(page.methods)) for page in PAGES),
    ]

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await proxy.close()

    hosts = [*_LOOPBACK, *([public] if public else [])]
    return Starlette(
        routes=routes,
        middleware=[Middleware(Headers), Middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)],
        exception_handlers={404: door.not_found, 405: door.not_found, 500: door.broken},
        lifespan=lifespan,
    )


class Headers:
    """Gives every answer the headers that keep browsers from being used against their owners.

    Args:
        app: What answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on; what an answer says of itself stands."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        headers = _HEADERS
        if path.startswith(f"{_STATIC}/"):
            headers = _HEADERS_OF_FILES
        elif path == PATH or path.startswith(f"{PATH}/"):
            headers = _HEADERS_OF_DAGSTER

        async def send_with(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = MutableHeaders(scope=message)
                for name, value in headers.items():
                    given.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with)


class Door:
    """Lets visitors in, or does not.

    Args:
        site: The console.
        secure: Browsers reach it by https only: the cookie is bound to that.
    """

    def __init__(self, site: Site, *, secure: bool) -> None:
        self.site = site
        self.secure = secure
        self.cookie = "__Host-entra-session" if secure else "entra-session"

    # --- Who it is ---------------------------------------------------------------------------------------------------

    def session(self, connection: HTTPConnection, *, used: bool = True) -> Session | None:
        """The session that a request's cookie names; `used` when somebody asked, not a page by itself."""
        token = connection.cookies.get(self.cookie, "")
        return self.site.sessions.find(token, used=used) if token else None

    def hand_out(self, response: Response, token: str) -> None:
        """Gives the browser the cookie of a session."""
        response.set_cookie(self.cookie, token, httponly=True, samesite="lax", secure=self.secure, path="/")

    def same_origin(self, connection: HTTPConnection) -> bool:
        """Whether a request comes from a page of the console: browsers say where it comes from."""
        origin = connection.headers.get("origin")
        if origin is None:
            return connection.headers.get("sec-fetch-site", "same-origin") in {"same-origin", "none"}
        parts = urlsplit(origin)
        return parts.netloc == connection.headers.get("host") and (parts.scheme == "https" or not self.secure)

    # --- Pages -------------------------------------------------------------------------------------------------------

    def endpoint(self, page: Page) -> Any:
        """What Starlette calls for a page."""

        async def answer(request: Request) -> Response:
            token = ""
            session = self.session(request, used=not page.polled)
            if session is None:
                if page.role is not None:
                    return self._to_sign_in(request)
                token, session = self.site.sessions.begin()
            visit = Visit(request, self.site, session, token=token)
            response = await self._answered(page, visit)
            if visit.token:
                self.hand_out(response, visit.token)
            return response

        return answer

    async def _answered(self, page: Page, visit: Visit) -> Response:
        if page.role is not None:
            if visit.session.user is None:
                return self._to_sign_in(visit.request)
            if visit.session.user.role < page.role:
                return _failure(
                    visit,
                    HTTPStatus.FORBIDDEN,
                    f"This takes the role {page.role.name}",
                    f"You are {visit.session.user.role.name}. Ask an administrator of the console for the role.",
                )
        try:
            if visit.request.method not in {"GET", "HEAD"}:
                visit.form = await _form(visit.request)
                sent = visit.field("csrf_token") or visit.request.headers.get("x-csrf-token", "")
                if not self.same_origin(visit.request) or not compare_digest(
                    sent.encode(), visit.session.csrf.encode()
                ):
                    return _failure(
                        visit,
                        HTTPStatus.FORBIDDEN,
                        "This form is not from here, or too old",
                        "Go back, load the page again, and send it once more. Nothing was done.",
                    )
            if inspect.iscoroutinefunction(page.answer):
                return await page.answer(visit)  # type: ignore[no-any-return]
            response: Response = await run_in_threadpool(page.answer, visit)  # type: ignore[arg-type]
        except EntraPipelineError as error:
            return await run_in_threadpool(_failure, visit, _status(error), error.message, error.remedy)
        return response

    def _to_sign_in(self, request: Request) -> Response:
        """Leads to the sign-in, and from there back to what was asked for, if that was only looking."""
        if request.headers.get("hx-request"):
            # A part of a page asks: what is to be seen again is the page.
            target = address("sign-in", next=_wanted(request.headers.get("hx-current-url", "")))
            return Response(status_code=HTTPStatus.UNAUTHORIZED, headers={"HX-Redirect": target})
        target = address("sign-in", next=_wanted(str(request.url)) if request.method == "GET" else "")
        return RedirectResponse(target, 303)

    async def not_found(self, request: Request, _error: Exception) -> Response:
        """Says that there is no such page, to whoever has signed in."""
        session = self.session(request)
        if session is None or session.user is None:
            return self._to_sign_in(request)
        visit = Visit(request, self.site, session)
        return _failure(visit, HTTPStatus.NOT_FOUND, "There is no such page", "The menu leads to those there are.")

    async def broken(self, _request: Request, error: Exception) -> Response:
        """Says that it is the console's fault, and no more; the console's own log has the rest."""
        _log.error("%s", error)
        return PlainTextResponse(
            "That did not work, and it is the console's fault: its log tells more.",
            HTTPStatus.INTERNAL_SERVER_ERROR,
            headers=_HEADERS,
        )


def _wanted(url: str) -> str:
    """Where a visitor was, or wanted to go, to come back to; empty for the first page."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    wanted = inside(parts.path + (f"?{parts.query}" if parts.query else ""))
    return "" if wanted == "/" else wanted


async def _form(request: Request) -> Mapping[str, list[str]]:
    """The fields of a form.

    Raises:
        UsageError: It is too long, or no form.
    """
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MOST_SENT:
            raise UsageError("the form is too long", remedy="Choose by a search instead of one by one.")
    if data and not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise UsageError("what was sent is no form", remedy="Use the console's own pages.")
    try:
        return parse_qs(data.decode(), max_num_fields=50_000)
    except ValueError:
        raise UsageError("the form cannot be read", remedy="Use the console's own pages.") from None


def _status(error: EntraPipelineError) -> HTTPStatus:
    if isinstance(error, NotInStore):
        return HTTPStatus.NOT_FOUND
    if isinstance(error, UsageError):
        return HTTPStatus.BAD_REQUEST
    if isinstance(error, ConfigurationError):
        return HTTPStatus.CONFLICT
    return HTTPStatus.SERVICE_UNAVAILABLE


def _failure(visit: Visit, status: HTTPStatus, message: str, remedy: str) -> Response:
    """A page that says what happened and what to do."""
    return visit.page("failure.html", status=status, message=message, remedy=remedy)
