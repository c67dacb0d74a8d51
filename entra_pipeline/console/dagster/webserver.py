"""Dagster's webserver on a Unix socket: where the console finds it, and the process that serves it there.

Dagster's webserver asks nobody who they are: whoever reaches its port may do everything, and so may any page that a
browser on this machine shows (it checks neither Host nor Origin). Hence it has no port. Its socket is in a folder that
only the user of the console can enter, and no browser can reach a socket.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn

# The webserver ends an idle connection after 5 s, and what is sent at that very moment is lost.
_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=1.0)


@dataclass(frozen=True, slots=True)
class WebserverAddress:
    """Where a webserver answers.

    Attributes:
        url: Its address with its path prefix; of a socket the host in it is a name only.
        socket: Path of its Unix socket; empty for one that has a port.
    """

    url: str
    socket: str = ""

    def client(self, timeout: float) -> httpx.Client:
        """Makes a client; `timeout` in seconds."""
        transport = httpx.HTTPTransport(uds=self.socket or None, limits=_LIMITS)
        return httpx.Client(timeout=timeout, trust_env=False, transport=transport)

    def async_client(self, timeout: float) -> httpx.AsyncClient:
        """Makes a client; `timeout` in seconds. It follows no redirect."""
        transport = httpx.AsyncHTTPTransport(uds=self.socket or None, limits=_LIMITS)
        return httpx.AsyncClient(timeout=timeout, trust_env=False, follow_redirects=False, transport=transport)


def main() -> None:
    """Serves as `dagster-webserver` does, with its arguments, but on the socket that the first argument names."""
    from dagster_webserver.cli import cli

    socket, *arguments = sys.argv[1:]

    def serve(app: Any, **_: Any) -> None:
        # Of what Dagster gives, its address is the one thing that is not wanted; its log level is uvicorn's for errors.
        uvicorn.Server(uvicorn.Config(app, uds=socket, log_level="warning", server_header=False)).run()

    # Dagster's command has no option for a socket; it leaves serving to this function.
    uvicorn.run = serve
    cli(arguments, prog_name="dagster-webserver")


if __name__ == "__main__":
    main()
