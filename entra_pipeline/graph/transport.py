"""How pages travel: GET requests over aiohttp, whose parser is compiled: a page takes a third of httpx's time.

What belongs here: one transport under msgraph-sdk's httpx client. What does not: requests that change something. Those
stay with httpx's own transport, which tells a request that never left from one whose answer was lost.
"""

from __future__ import annotations

import ssl
from urllib.request import getproxies

import aiohttp
import httpx
from yarl import URL

# A page fits, so that reading never pauses for whoever works on the one before.
_BUFFER = 2**20
# httpx takes header lines of any length; Graph's are short, those of a proxy before it may not be.
_LONGEST_HEADER = 2**16
_ERRORS: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
    (aiohttp.ServerTimeoutError, httpx.ReadTimeout),
    (aiohttp.ClientConnectorError, httpx.ConnectError),
    (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError),
    (aiohttp.ClientConnectionError, httpx.ReadError),
    (aiohttp.ClientPayloadError, httpx.RemoteProtocolError),
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError),
    (aiohttp.ClientError, httpx.NetworkError),
    (TimeoutError, httpx.ReadTimeout),
    (OSError, httpx.ReadError),
)
"""What aiohttp raises, the special before the general, and what httpx calls it."""


class GetTransport(httpx.AsyncBaseTransport):
    """Sends GET requests over aiohttp and hands everything else on.

    Args:
        context: Whom to trust.
        connections: Connections at the most.
        others: Sends what is not a GET.
    """

    def __init__(self, context: ssl.SSLContext, connections: int, others: httpx.AsyncBaseTransport) -> None:
        self._context = context
        self._connections = connections
        self._others = others
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The response, with its whole body.

        Raises:
            httpx.TransportError: There is no response, or not all of it.
        """
        if request.method != "GET":
            return await self._others.handle_async_request(request)
        timeout = request.extensions["timeout"]
        try:
            async with self._opened().get(
                URL(str(request.url), encoded=True),
                headers=request.headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    connect=timeout["pool"], sock_connect=timeout["connect"], sock_read=timeout["read"]
                ),
            ) as response:
                body = await response.read()
        except (aiohttp.ClientError, OSError) as error:
            meant = next(meant for kind, meant in _ERRORS if isinstance(error, kind))
            raise meant(str(error) or type(error).__name__, request=request) from error
        return httpx.Response(response.status, headers=response.raw_headers, content=body, request=request)

    def _opened(self) -> aiohttp.ClientSession:
        # It belongs to the loop that runs when it is made.
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._context, limit=self._connections),
                cookie_jar=aiohttp.DummyCookieJar(),
                # httpx unpacks bodies, because it is httpx that has asked for them packed.
                auto_decompress=False,
                read_bufsize=_BUFFER,
                max_field_size=_LONGEST_HEADER,
            )
        return self._session

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._others.aclose()
        if self._session is not None:
            await self._session.close()


def mounts(context: ssl.SSLContext, limits: httpx.Limits) -> dict[str, httpx.AsyncBaseTransport]:
    """The transports of an httpx client for Graph: none of our own where the environment names a proxy."""
    if getproxies().keys() - {"no"}:
        return {}
    others = httpx.AsyncHTTPTransport(verify=context, limits=limits)
    return {"all://": GetTransport(context, limits.max_connections or 0, others)}
