"""Running a simulated tenant: in this process' background, or attached to when another process runs it already."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import httpx
import msgspec

from entra_pipeline.clock import system_clock
from entra_pipeline.simulator.generate.plan import DOMAIN, TenantPlan, identity
from entra_pipeline.simulator.graph.tenant import SimulatedGraph
from entra_pipeline.simulator.protocol.tokens import Signer
from entra_pipeline.simulator.server.certificates import make_certificates
from entra_pipeline.simulator.server.control.client import Control
from entra_pipeline.simulator.server.control.panel import ControlPanel
from entra_pipeline.simulator.server.listener import START_SECONDS, Listener, SimulatorError
from entra_pipeline.simulator.server.state import KeptTenant, kept_tenant, lock_folder, open_directory, write_secret
from entra_pipeline.simulator.server.web import build_app
from entra_pipeline.simulator.storage.directory import Directory

_SUCCESSION_SECONDS = 0.1


class Simulator:
    """A simulated Entra tenant that speaks Microsoft Graph v1.0. Use as a context manager.

    Args:
        users: How many users to make up; devices, applications and the rest follow from it.
        groups: How many groups.
        seed: The same seed gives the same tenant.
        https: Graph over TLS as well (tokens always are).
        port: Of Graph; the port after it serves TLS. 0 = any two free ones.
        state: Folder that keeps the tenant, its keys and its ports over restarts. A second simulator on the same folder
            attaches to the running one, stops nothing when it ends, and takes over when the running one ends first.
            None = a tenant as short-lived as this object.
        memberships: Group memberships in all; None = five per user.
        empty: Only what a fresh tenant has.
        domain: Its main domain. One that an empty tenant is given is verified there.
        clock: The time the tenant's own clock starts from.

    Attributes:
        graph_url: Root of Graph, with `/v1.0`.
        authority: Where tokens come from.
        ca_bundle: Certificate authority to trust for TLS.
        control: The control API.
        attached: Whether another process serves the tenant.
    """

    def __init__(
        self,
        users: int = 200,
        groups: int = 20,
        seed: int = 1,
        *,
        https: bool = False,
        port: int = 0,
        state: Path | str | None = None,
        memberships: int | None = None,
        empty: bool = False,
        domain: str = DOMAIN,
        clock: Callable[[], datetime] = system_clock,
    ) -> None:
        self.plan = TenantPlan(users, groups, memberships, seed, empty, domain)
        self.https = https
        self._wanted_port = port
        self._state = Path(state).absolute() if state is not None else None
        self._clock = clock
        self._identity = identity(seed, domain)
        self._port = self._tls_port = 0
        self._lock: IO[str] | None = None
        self._temporary: Path | None = None
        self._directory: Directory | None = None
        self._listener: Listener | None = None
        self._successor: threading.Thread | None = None
        self._ended = threading.Event()
        self.attached = False

    # --- who and where -----------------------------------------------------------------------------------------------

    @property
    def tenant_id(self) -> str:
        """The directory (tenant) id."""
        return self._identity.tenant_id

    @property
    def client_id(self) -> str:
        """The app registration that may read."""
        return self._identity.client_id

    @property
    def client_secret(self) -> str:
        """Secret of the app registration that may read."""
        return self._identity.client_secret

    @property
    def restore_client_id(self) -> str:
        """The app registration that may write."""
        return self._identity.restore_client_id

    @property
    def restore_client_secret(self) -> str:
        """Secret of the app registration that may write."""
        return self._identity.restore_client_secret

    @property
    def owner_client_id(self) -> str:
        """The app registration that owns the one that may write."""
        return self._identity.owner_client_id

    @property
    def owner_client_secret(self) -> str:
        """Secret of the app registration that owns the one that may write."""
        return self._identity.owner_client_secret

    @property
    def graph_url(self) -> str:
        """Root of Graph, with `/v1.0`."""
        return f"{self.authority if self.https else self._root}/v1.0"

    @property
    def authority(self) -> str:
        """Where tokens come from."""
        return f"https://127.0.0.1:{self._tls_port}"

    @property
    def ca_bundle(self) -> Path:
        """The certificate authority to trust for TLS."""
        return self._folder / "ca.pem"

    @property
    def _root(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def _folder(self) -> Path:
        folder = self._state or self._temporary
        if folder is None:
            raise SimulatorError("the simulator has not been started")
        return folder

    def tenant_table(self, name: str = "simulated") -> str:
        """Returns the table for dagster_project.toml; the secrets are in files beside the certificate authority."""
        return (
            f"[tenants.{name}]\n"
            f'tenant_id = "{self.tenant_id}"\n'
            f'client_id = "{self.client_id}"\n'
            f'client_secret = {{ file = "{self._folder / "client_secret"}" }}\n'
            f'graph_url = "{self.graph_url}"\n'
            f'authority = "{self.authority}"\n'
            f'ca_bundle = "{self.ca_bundle}"\n'
            f"[tenants.{name}.restore]\n"
            f'client_id = "{self.restore_client_id}"\n'
            f'client_secret = {{ file = "{self._folder / "restore_client_secret"}" }}\n'
        )

    # --- starting and stopping ---------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Makes the tenant when it is new, and serves it. Raises SimulatorError."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        if self._state is None:
            self._temporary = Path(tempfile.mkdtemp(prefix="entra-simulator-"))
        else:
            self._state.mkdir(parents=True, exist_ok=True)
            self._lock = lock_folder(self._state)
            if self._lock is None:
                self._attach()
                self._ended.clear()
                self._successor = threading.Thread(target=self._take_over, name="entra-simulator-heir", daemon=True)
                self._successor.start()
                return
        panel, listener = self._serve_tenant()
        self.control = Control(
            self._root, lambda name, order: listener.between_requests(lambda: panel.answer(name, order))
        )

    def _serve_tenant(self) -> tuple[ControlPanel, Listener]:
        """Serves the tenant of the folder that is this process' own; makes it when it is new."""
        folder = self._folder
        kept = kept_tenant(self._folder)
        if kept:
            self.plan = TenantPlan(
                kept.users, kept.groups, self.plan.memberships, kept.seed, self.plan.empty, kept.domain
            )
            self._identity = identity(kept.seed, kept.domain)
        make_certificates(folder)
        write_secret(folder / "client_secret", self.client_secret)
        write_secret(folder / "restore_client_secret", self.restore_client_secret)
        directory = self._directory = open_directory(folder, self.plan, self._clock, durable=self._state is not None)
        port = self._wanted_port
        wanted = (port, port + 1) if port else (kept.port, kept.tls_port) if kept else (0, 0)
        listener = self._listener = Listener(wanted)
        self._port, self._tls_port = listener.port, listener.tls_port
        key = kept.signing_key if kept else secrets.token_hex(32)
        if self._state is not None:
            plan = self.plan
            remembered = KeptTenant(plan.seed, plan.users, plan.groups, self._port, self._tls_port, key, plan.domain)
            write_secret(folder / "simulator.json", msgspec.json.encode(remembered).decode())
        tenant = SimulatedGraph(directory, self._identity, Signer(bytes.fromhex(key)), self.plan.seed)
        tenant.audiences |= {
            self._root,
            self.authority,
            f"http://localhost:{self._port}",
            f"https://localhost:{self._tls_port}",
        }
        panel = ControlPanel(tenant)
        listener.start(build_app(tenant, panel), folder)
        return panel, listener

    def _take_over(self) -> None:
        """Waits for the end of the process that serves, then serves in its place; runs in a thread of its own."""
        while not self._ended.wait(_SUCCESSION_SECONDS):
            self._lock = lock_folder(self._folder)
            if self._lock is not None:
                self._serve_tenant()
                self.attached = False
                return

    def stop(self) -> None:
        """Stops serving, unless another process does; a tenant without state is gone."""
        if self._successor is not None:
            self._ended.set()
            self._successor.join()
            self._successor = None
        if hasattr(self, "control"):
            self.control.close()
        if self._listener is not None:
            self._listener.stop()
            self._listener = None
        if self._directory is not None:
            self._directory.close()
            self._directory = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None

    def _attach(self) -> None:
        """Uses the simulator that serves the state folder."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            kept = kept_tenant(self._folder)
            if kept:
                self._identity = identity(kept.seed, kept.domain)
                self._port, self._tls_port = kept.port, kept.tls_port
                try:
                    found = httpx.get(f"{self._root}/_control/identity", timeout=10, trust_env=False).json()
                except (httpx.HTTPError, ValueError):
                    found = {}
                if found.get("tenant_id") == self.tenant_id:
                    self.control = Control(self._root)
                    self.attached = True
                    return
            time.sleep(0.1)
        raise SimulatorError(
            f"another process holds the simulated tenant in {self._folder}, but does not answer",
            remedy="Wait until it has started, or end it.",
        )


def serve(
    users: int = 200,
    groups: int = 20,
    seed: int = 1,
    port: int = 0,
    https: bool = False,
    state: Path | str | None = None,
    *,
    started: Callable[[Simulator], None] = lambda simulator: None,
) -> None:
    """Serves a simulated tenant until interrupted; `started` is called once it listens.

    Raises:
        SimulatorError: A port is taken, or the state folder is held by a process that does not answer.
    """
    with Simulator(users, groups, seed, port=port, https=https, state=state) as simulator:
        started(simulator)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return


__all__ = ["Simulator", "SimulatorError", "serve"]
