"""Listens on two ports of this machine, plain HTTP and TLS, and serves one application on both in a thread."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

import uvicorn
from starlette.applications import Starlette

from entra_pipeline.errors import EntraPipelineError
from entra_pipeline.runtime import run_async

_T = TypeVar("_T")

START_SECONDS = 120.0
ORDER_SECONDS = 300.0
KEPT = 5
"""Seconds after which an idle connection is ended."""


class SimulatorError(EntraPipelineError):
    """The simulated tenant cannot be started."""


class Listener:
    """Serves on two ports of 127.0.0.1.

    Args:
        wanted: The ports of HTTP and TLS; 0 = any free one.

    Raises:
        SimulatorError: A port is taken.

    Attributes:
        port: Of HTTP.
        tls_port: Of TLS.
    """

    def __init__(self, wanted: tuple[int, int]) -> None:
        self._sockets: list[socket.socket] = []
        for number in wanted:
            self._sockets.append(self._bind(number))
        self.port, self.tls_port = (int(bound.getsockname()[1]) for bound in self._sockets)
        self._servers: list[uvicorn.Server] = []
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def _bind(self, number: int) -> socket.socket:
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", number))
        except OSError as error:
            for unused in (*self._sockets, listening):
                unused.close()
            raise SimulatorError(
                f"port {number} of 127.0.0.1 is taken: the simulated tenant cannot listen there ({error.strerror})",
                remedy="Choose another port, or end the program that uses it.",
            ) from None
        return listening

    def start(self, app: Starlette, certificates: Path) -> None:
        """Serves the application, with the certificate in the folder. Raises SimulatorError when it does not start."""
        # Broken connections are this server's trade: uvicorn would log a stack trace for each.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        options = {
            "log_config": None,
            "access_log": False,
            "lifespan": "off",
            "timeout_graceful_shutdown": 2,
            "timeout_keep_alive": KEPT,
        }
        plain = uvicorn.Config(app, **options)  # type: ignore[arg-type]
        secure = uvicorn.Config(
            app,
            ssl_certfile=str(certificates / "server.pem"),
            ssl_keyfile=str(certificates / "server.key"),
            **options,  # type: ignore[arg-type]
        )
        self._servers = [uvicorn.Server(plain), uvicorn.Server(secure)]
        self._thread = threading.Thread(target=self._run, name="entra-simulator", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not all(server.started for server in self._servers):
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise SimulatorError("the simulated tenant did not start")
            time.sleep(0.01)

    def between_requests(self, work: Callable[[], _T]) -> _T:
        """Has a function called in the thread that serves, while it answers nobody; returns its result.

        Raises:
            RuntimeError: It has been stopped.
            TimeoutError: It is stopping.
            And what the function raises.
        """
        if self._loop is None:
            raise RuntimeError("the simulated tenant is not served")
        result: Future[_T] = Future()

        def call() -> None:
            try:
                result.set_result(work())
            except Exception as error:
                result.set_exception(error)

        self._loop.call_soon_threadsafe(call)
        return result.result(ORDER_SECONDS)

    def stop(self) -> None:
        """Ends the servers and their thread, and frees the ports."""
        if self._thread is not None:
            if self._loop is not None and self._loop.is_running():
                self._loop.call_soon_threadsafe(_end, self._servers)
            self._thread.join()
        for bound in self._sockets:
            bound.close()
        self._servers, self._thread = [], None

    def _run(self) -> None:
        """Serves on both ports until told to end; runs in a thread of its own."""

        async def both() -> None:
            self._loop = asyncio.get_running_loop()
            await asyncio.gather(self._servers[0].serve([self._sockets[0]]), self._servers[1].serve([self._sockets[1]]))

        run_async(both())


def _end(servers: list[uvicorn.Server]) -> None:
    """Ends the servers at once: clients that keep a connection open are not waited for."""
    for server in servers:
        server.should_exit = server.force_exit = True
        for connection in list(server.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()
