"""Access control: decides per request who is signed in, which role the page takes, and whether a form may be sent.

In this order: session of the cookie; sign-in and role, from the page's own entry, in the scope that the path names;
origin and CSRF token of every request that changes something; scopes that the query and the form name. Errors become
pages with a remedy.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Mapping
from hmac import compare_digest
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from entra_pipeline.console.app_state import AppState
from entra_pipeline.console.auth.access import access_of
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.auth.sessions import Session
from entra_pipeline.console.headers import HEADERS
from entra_pipeline.console.routing import Area, Page, RequestContext, address, inside, status_of
from entra_pipeline.errors import ConfigurationError, EntraPipelineError, NotInStore, UsageError

MOST_SENT = 2_000_000
"""Bytes of a form at the most: ids of many thousand objects."""
# What the cookie of a notice is sealed for; bytes of one; seconds that a browser has to show it.
_NOTICE, _LONGEST_NOTICE, _NOTICE_SECONDS = "notice", 2_000, 60
# The parameter and the field by which requests name a scope.
_SCOPE = "scope"

_log = logging.getLogger(__name__)


class AccessControl:
    """Checks session, role, origin and CSRF token of each request.

    Args:
        state: The console's shared state.
        secure: Whether browsers reach the console by https only; the cookie is then bound to https.
    """

    def __init__(self, state: AppState, *, secure: bool) -> None:
        self.state = state
        self.secure = secure
        prefix = "__Host-" if secure else ""
        self.cookie, self.notice = f"{prefix}entra-session", f"{prefix}entra-notice"

    # --- Who it is ---------------------------------------------------------------------------------------------------

    def session(self, connection: HTTPConnection, *, used: bool = True) -> Session | None:
        """Finds the session of a request's cookie; `used` is False for what a page sends by itself (polling).

        Its role is what the configuration gives by now; a session ends when that gives none.
        """
        token = connection.cookies.get(self.cookie, "")
        session = self.state.sessions.find(token, used=used) if token else None
        if session is None or session.user is None or session.user.grants is None:
            return session
        try:
            access = access_of(session.user.grants, self.state.project().console)
        except ConfigurationError:
            # What cannot be read changes nothing: pages say what is wrong with it.
            return session
        return session if access == session.user.access else self.state.sessions.take_access(token, access)

    def hand_out(self, response: Response, token: str) -> None:
        """Sets the session cookie."""
        response.set_cookie(self.cookie, token, httponly=True, samesite="lax", secure=self.secure, path="/")

    def _told(self, request: Request) -> str:
        """What the page before has left to be said, for a page as a whole."""
        if request.headers.get("hx-request") or not (left := request.cookies.get(self.notice)):
            return ""
        return (self.state.sealer.open(_NOTICE, left) or b"").decode()

    def _tell(self, response: Response, context: RequestContext) -> None:
        """Leaves what the next page is to say in a cookie, or takes away what was said."""
        if context.notice:
            # A cookie has 4,096 bytes (RFC 6265), and this is sealed.
            left = context.notice.encode()[:_LONGEST_NOTICE].decode(errors="ignore")
            sealed = self.state.sealer.seal(_NOTICE, left.encode())
            flags: dict[str, Any] = {"httponly": True, "samesite": "lax", "secure": self.secure, "path": "/"}
            response.set_cookie(self.notice, sealed, max_age=_NOTICE_SECONDS, **flags)
        elif context.said:
            response.delete_cookie(self.notice, path="/", secure=self.secure, httponly=True, samesite="lax")

    def same_origin(self, connection: HTTPConnection) -> bool:
        """Whether a request comes from a page of the console, by Origin or Sec-Fetch-Site."""
        origin = connection.headers.get("origin")
        if origin is None:
            return connection.headers.get("sec-fetch-site", "same-origin") in {"same-origin", "none"}
        parts = urlsplit(origin)
        return parts.netloc == connection.headers.get("host") and (parts.scheme == "https" or not self.secure)

    # --- Pages -------------------------------------------------------------------------------------------------------

    def endpoint(self, page: Page) -> Any:
        """Builds the Starlette endpoint of a page."""

        async def answer(request: Request) -> Response:
            session = await run_in_threadpool(self.session, request, used=not page.polled)
            if session is None:
                if page.role is not None:
                    return self._to_sign_in(request)
                session = self.state.sessions.visitor()
            context = RequestContext(request, self.state, session, page, told=self._told(request))
            response = await self._answered(page, context)
            token = context.token or (self.state.sessions.cookie_of(session) if session.user is None else "")
            if token:
                self.hand_out(response, token)
            self._tell(response, context)
            return response

        return answer

    async def _answered(self, page: Page, context: RequestContext) -> Response:
        if page.role is not None and context.session.user is None:
            return self._to_sign_in(context.request)
        try:
            if page.role is not None and (refused := _refused(page, page.role, context)):
                return _failure(context, HTTPStatus.FORBIDDEN, *refused)
            if context.request.method not in {"GET", "HEAD"}:
                context.form = await _form(context.request)
                sent = context.field("csrf_token") or context.request.headers.get("x-csrf-token", "")
                if not self.same_origin(context.request) or not compare_digest(
                    sent.encode(), context.session.csrf.encode()
                ):
                    return _failure(
                        context,
                        HTTPStatus.FORBIDDEN,
                        "This form has expired or was not sent by the console",
                        "Go back, reload the page and submit it again. Nothing was changed.",
                    )
            _require_named_scopes(context)
            if inspect.iscoroutinefunction(page.answer):
                return await page.answer(context)  # type: ignore[no-any-return]
            watch = asyncio.create_task(_watched(context))
            try:
                response: Response = await run_in_threadpool(page.answer, context)  # type: ignore[arg-type]
            finally:
                watch.cancel()
        except EntraPipelineError as error:
            return await run_in_threadpool(_failure, context, status_of(error), error.message, error.remedy)
        return response

    def _to_sign_in(self, request: Request) -> Response:
        """Redirects to the sign-in page, and from there back to the requested page if it was a GET."""
        if request.headers.get("hx-request"):
            # htmx requests a fragment: the whole page is to be shown again after signing in.
            target = address("sign-in", next=_wanted(request.headers.get("hx-current-url", "")))
            return Response(status_code=HTTPStatus.UNAUTHORIZED, headers={"HX-Redirect": target})
        target = address("sign-in", next=_wanted(str(request.url)) if request.method == "GET" else "")
        return RedirectResponse(target, 303)

    async def not_found(self, request: Request, _error: Exception) -> Response:
        """Answers 404, to signed-in users only: others do not learn which pages exist."""
        session = await run_in_threadpool(self.session, request)
        if session is None or session.user is None:
            return self._to_sign_in(request)
        context = RequestContext(request, self.state, session)
        return _failure(context, HTTPStatus.NOT_FOUND, "Page not found", "Choose a page from the menu.")

    async def broken(self, _request: Request, error: Exception) -> Response:
        """Answers 500 without details; the console's log has them."""
        _log.error("%s", error)
        return PlainTextResponse(
            "Internal error. See the console's log for details.",
            HTTPStatus.INTERNAL_SERVER_ERROR,
            headers=HEADERS,
        )


def _refused(page: Page, role: Role, context: RequestContext) -> tuple[str, str] | None:
    """Says why somebody may not come, and what to do; None when they may.

    Raises:
        NotInStore: The page is about a scope that they may not know of: as about one that there is not.
    """
    access = context.access
    # A scope that there is not is the page's own affair for who has the role for everything.
    if access.everywhere(role):
        return None
    where = ""
    if page.area is Area.SCOPE:
        name = context.path("scope")
        scope = context.state.project().scopes.get(name)
        own = access.in_scope(scope) if scope else None
        if own is None:
            raise NotInStore(f"there is no scope {name[:100]!r}", remedy="See Scopes for the existing ones.")
        if own >= role:
            return None
        where = f" in {name}"
    elif page.takes(access):
        return None
    elif access.somewhere(role):
        where = " for everything"
    return (
        f"This page requires the role {role.name}{where}",
        f"Your role is {access.described}. Ask an administrator of the console for the role.",
    )


def _require_named_scopes(context: RequestContext) -> None:
    """Checks the scopes that the query and the form of a request name, for who may see some scopes only.

    Raises:
        NotInStore: One is none of theirs.
    """
    if context.session.user is None or context.only is None:
        return
    for name in (*context.request.query_params.getlist(_SCOPE), *context.form.get(_SCOPE, ())):
        if name:
            context.named_scope(name)


async def _watched(context: RequestContext) -> None:
    """Tells the visit when its connection is closed; what was sent has been read by then."""
    while (await context.request.receive())["type"] != "http.disconnect":
        pass
    context.gone.set()


def _wanted(url: str) -> str:
    """Gives the path to return to after signing in; empty for the dashboard."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    wanted = inside(parts.path + (f"?{parts.query}" if parts.query else ""))
    return "" if wanted == "/" else wanted


async def _form(request: Request) -> Mapping[str, list[str]]:
    """Reads the fields of a form.

    Raises:
        UsageError: It is larger than `MOST_SENT`, or no form.
    """
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MOST_SENT:
            raise UsageError("the form is too large", remedy="Select objects by a search instead of one by one.")
    if data and not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise UsageError("the request is not a form", remedy="Use the console's own pages.")
    try:
        return parse_qs(data.decode(), max_num_fields=50_000)
    except ValueError:
        raise UsageError("the form cannot be read", remedy="Use the console's own pages.") from None


def _failure(context: RequestContext, status: HTTPStatus, message: str, remedy: str) -> Response:
    """Renders the error page: what happened and what to do."""
    return context.page("failure.html", status=status, message=message, remedy=remedy)
