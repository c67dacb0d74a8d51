"""Security headers: the policy of the console's pages, of its files, and of Dagster's pages behind the proxy."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from entra_pipeline.console.dagster.client import PATH

STATIC = "/static"
_POLICY = "Content-Security-Policy"
HEADERS = {
    _POLICY: "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
# Files of the console change with its version only: a browser asks whether they have.
_HEADERS_OF_FILES = {**HEADERS, "Cache-Control": "no-cache"}
# Dagster's pages have a policy of their own; what else it answers (scripts, workers, data) must not be framed.
_HEADERS_OF_DAGSTER = {
    **{name: value for name, value in HEADERS.items() if name != "Cache-Control"},
    _POLICY: "object-src 'none'; frame-ancestors 'none'; base-uri 'none'",
}


class SecurityHeaders:
    """Sets the security headers of every response; a header that the response already has stays.

    Args:
        app: The application behind it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on and adds the headers to its response."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        headers = HEADERS
        if path.startswith(f"{STATIC}/"):
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
