"""Serving the console: what it takes to start, and what is refused."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import ExitStack, suppress
from ipaddress import ip_address
from pathlib import Path

import uvicorn

from entra_pipeline.console.app import build
from entra_pipeline.console.app_state import AppState
from entra_pipeline.console.auth import SignIn
from entra_pipeline.console.auth.local import NAME, PASSWORD, LocalAccount
from entra_pipeline.console.auth.openid import OpenId
from entra_pipeline.console.dagster.client import PATH, Dagster
from entra_pipeline.console.dagster.processes import DagsterProcesses
from entra_pipeline.console.dagster.webserver import WebserverAddress
from entra_pipeline.console.rendering import templates
from entra_pipeline.console.shared.records import ConsoleRecords
from entra_pipeline.console.shared.sealing import Sealer, key_of
from entra_pipeline.errors import UsageError
from entra_pipeline.project import Project
from entra_pipeline.project.secrets import scrubber
from entra_pipeline.project.watching import WatchedProject
from entra_pipeline.store.backends.local import LocalObjectStore

ACCOUNT = "console-account.json"
"""The file in DAGSTER_HOME that keeps the local account."""
RECORDS = "console-records"
"""The folder in DAGSTER_HOME with what processes of the console share, unless `[console] storage` names a place."""

_DRAIN = 5
# Seconds that a connection stays open for the next request: longer than reverse proxies keep theirs (most a minute), so
# that none sends on one that is just being closed.
_KEEP_ALIVE = 75


def dagster_home(project: Project) -> Path:
    """Where Dagster keeps its things: DAGSTER_HOME, or .dagster at the configuration."""
    return Path(os.environ.get("DAGSTER_HOME") or project.file.parent / ".dagster")


def sign_in(project: Project, host: str) -> tuple[SignIn, str]:
    """How people sign in, and the password of the local account if it was made just now.

    Raises:
        UsageError: The console would be reached from other machines, and nobody could sign in but by the local account.
        ConfigurationError: A secret cannot be found.
    """
    settings = project.console
    secure = bool(settings.public_url and settings.public_url.startswith("https://"))
    if settings.oidc is not None:
        key = key_of(settings.oidc.client_secret.reveal().encode())
        return SignIn(openid=OpenId(settings), secure=secure, key=key), ""
    if not _is_loopback(host):
        raise UsageError(
            f"{host} can be reached from other machines, but no sign-in is configured",
            remedy="Configure [console.oidc] (docs/console.md), or omit --host to serve this machine only.",
        )
    account, password = LocalAccount.open(dagster_home(project) / ACCOUNT)
    return SignIn(local=account, secure=secure, key=key_of(account.secret)), password


def records(project: Project, way: SignIn) -> ConsoleRecords:
    """What all processes of the console share: in the storage profile of `[console] storage`, else a folder here.

    Raises:
        ConfigurationError: A secret of the storage cannot be found.
    """
    name = project.console.storage
    files = project.storage[name].open() if name else LocalObjectStore(dagster_home(project) / RECORDS)
    return ConsoleRecords(Sealer(way.key), files)


def serve(project: Project, *, host: str, port: int, told: Callable[[str], None]) -> None:
    """Serves the console until interrupted.

    Args:
        project: The configuration.
        host: The address to listen on.
        port: The port to listen on.
        told: Called with what the person who starts it has to know.

    Raises:
        UsageError: It is refused, or the port is taken.
        ConfigurationError: A secret cannot be found.
    """
    way, password = sign_in(project, host)
    with ExitStack() as stack:
        there = project.console.dagster
        if there is not None:
            addresses = (WebserverAddress(f"{one}{PATH}") for one in (there.url, there.read_only_url))
            dagster = Dagster(*addresses, scrub=scrubber(WatchedProject(project.file).load))
            stack.callback(dagster.close)
        else:
            dagster = stack.enter_context(DagsterProcesses(dagster_home(project), project.file))
        state = AppState(
            project.file,
            sign_in=way,
            dagster=dagster,
            templates=templates(),
            records=records(project, way),
        )
        config = uvicorn.Config(
            build(state),
            host=host,
            port=port,
            log_level="warning",
            timeout_graceful_shutdown=_DRAIN,
            timeout_keep_alive=_KEEP_ALIVE,
            server_header=False,
        )
        try:
            socket = config.bind_socket()
        except SystemExit:
            raise UsageError(
                f"port {port} of {host} cannot be used", remedy="Choose another port with --port."
            ) from None
        # Whoever follows the address while the pages are made ready waits for them, instead of being refused.
        socket.listen()
        shown = f"[{host}]" if ":" in host else host
        told(f"the console is at {project.console.public_url or f'http://{shown}:{socket.getsockname()[1]}'}")
        if password:
            given = dagster_home(project) / PASSWORD
            told(f"sign in as {NAME}; the password is in {given}. Delete the file when you have kept the password.")
        # uvicorn ends in order, and then gives the signal back: here it must not end the process before Dagster's have.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[socket])
        told("stopping. Running jobs continue without the console; it finds them when it starts again.")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
