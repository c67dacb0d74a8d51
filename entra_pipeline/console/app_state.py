"""What all visits share: the configuration, the stores, sessions, Dagster, templates."""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from jinja2 import Environment

from entra_pipeline.clock import Clock, system_clock
from entra_pipeline.console.approving.erasures import PendingErasures
from entra_pipeline.console.auth.access import Access
from entra_pipeline.console.auth.login_throttle import AT_ONCE, LoginThrottle
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.auth.sessions import Sessions
from entra_pipeline.console.display.preferences import Preferences
from entra_pipeline.console.monitor.fleet import FleetWatch
from entra_pipeline.console.monitor.jobs import JobOutcomes, MonitoredJob, RunningBackups
from entra_pipeline.console.monitor.listing import JobList
from entra_pipeline.console.monitor.progress import RunningProgress
from entra_pipeline.console.reading import ReadingPool
from entra_pipeline.console.shared.records import ConsoleRecords
from entra_pipeline.console.shared.sealing import Sealer
from entra_pipeline.console.sql import QueryPool
from entra_pipeline.errors import ConfigurationError, UsageError
from entra_pipeline.project import Project
from entra_pipeline.project.folder import folder_of, read_folder
from entra_pipeline.project.secrets import scrubber
from entra_pipeline.project.stores import open_store
from entra_pipeline.project.watching import WatchedProject
from entra_pipeline.single_flight import SingleFlightCache
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.recovery_points import ScopeStore

if TYPE_CHECKING:
    from entra_pipeline.console.auth import SignIn
    from entra_pipeline.console.dagster.client import Dagster, Run

# Manifests never change; a calendar shows some hundred.
_MANIFESTS = 500
# Pages that take a while to find, and stay as they are: each is some hundred rows at the most.
_FINDINGS = 200
# Parts of the configuration that people with roles for some scopes see: one for each of their roles.
_PARTS = 200


class AppState:
    """The console.

    Args:
        file: The configuration.
        sign_in: How people sign in.
        dagster: Where jobs run.
        templates: The pages' templates.
        clock: The one clock.
        records: What all processes of the console share; None = in the memory of this one.
    """

    def __init__(
        self,
        file: Path,
        *,
        sign_in: SignIn,
        dagster: Dagster,
        templates: Environment,
        clock: Clock = system_clock,
        records: ConsoleRecords | None = None,
    ) -> None:
        self.file = file
        self._watched = WatchedProject(file)
        self.scrub = scrubber(self._watched.load)
        """Takes the project's secrets out of a text."""
        self.sign_in = sign_in
        self.dagster = dagster
        self.templates = templates
        self.clock = clock
        self.sealer = Sealer(sign_in.key)
        """Seals what is handed out and comes back."""
        self.records = records or ConsoleRecords(self.sealer)
        """What all processes of the console share."""
        self.sessions = Sessions(sealer=self.sealer, records=self.records)
        self.preferences = Preferences(self.records)
        self.tries = LoginThrottle()
        """Passwords that were wrong."""
        self.refusals = LoginThrottle()
        """Sign-ins at the provider that came to nothing: how many of them are recorded one by one."""
        self.checking = asyncio.Semaphore(AT_ONCE)
        """Held while a password is checked."""
        self.questions = QueryPool()
        self.reading = ReadingPool()
        """Answers what pages ask about recovery points."""
        self.backups = RunningBackups(dagster)
        """Backups under way, for every page that shows a scope."""
        self.outcomes = JobOutcomes()
        """How jobs ended, for every page that lists them."""
        self.progress = RunningProgress(dagster, clock)
        """How far running jobs are, for every page that lists them."""
        self.fleet = FleetWatch(clock)
        """How all scopes stand."""
        self.job_list = JobList(dagster)
        """All jobs, whatever started them."""
        self.erasures = PendingErasures(self.records)
        """Erasures that wait for a second administrator."""
        # Held while the configuration is changed: two visitors never change it at once.
        self._editing = Lock()
        self.launching = Lock()
        """Held while a job is launched that may be under way already: two visitors never launch it at once."""
        self.findings = SingleFlightCache[Any](_FINDINGS)
        """What was found in recovery points, which never change, by what was asked."""
        self._lock = Lock()
        self._project: Project | None = None
        self._changes = 0
        self._parts: OrderedDict[tuple[Access, Role], Project] = OrderedDict()
        self._stores: dict[str, ScopeStore] = {}
        self._manifests: OrderedDict[tuple[str, str], Manifest] = OrderedDict()

    def project(self) -> Project:
        """The configuration; loaded again when it has changed.

        Raises:
            ConfigurationError: It cannot be read, or something in it is wrong.
        """
        project = self._watched.load()
        with self._lock:
            if self._project is not project or self._changes != self._watched.changes:
                self._project, self._changes = project, self._watched.changes
                self._parts.clear()
                self._stores.clear()
                self._manifests.clear()
                self.reading.clear()
                self.job_list.clear()
                self.findings.clear()
            return project

    def narrowed(self, access: Access, role: Role) -> Project:
        """The configuration with the scopes in which somebody has a role; raises like `project`."""
        whole = self.project()
        if access.everywhere(role):
            return whole
        with self._lock:
            part = self._parts.get((access, role))
            if part is None:
                part = self._parts[access, role] = access.narrowed(whole, role)
            self._parts.move_to_end((access, role))
            while len(self._parts) > _PARTS:
                self._parts.popitem(last=False)
            return part

    def forget_findings(self) -> None:
        """Forgets what was read of recovery points, and ends the processes that keep it."""
        with self._lock:
            self._stores.clear()
            self._manifests.clear()
        self.reading.clear()
        self.findings.clear()

    def version(self) -> str:
        """The SHA-256 of the configuration, by which a form knows that it was changed meanwhile."""
        hashed = sha256(self.file.read_bytes())
        for file, content in read_folder(self.file).items():
            hashed.update(f"{file.name}: {content!r}".encode())
        return hashed.hexdigest()

    def not_writable(self) -> str:
        """Why the configuration cannot be changed here; empty when it can."""
        if not os.access(self.file, os.W_OK):
            return f"{self.file.name} is read-only for the console"
        if not os.access(self.file.parent, os.W_OK):
            return f"the folder of {self.file.name} is read-only for the console"
        if (folder := folder_of(self.file)).is_dir() and not os.access(folder, os.W_OK):
            return f"the folder {folder.name} is read-only for the console"
        return ""

    def store(self, scope: str) -> ScopeStore:
        """The store of a scope; raises UsageError for an unknown one, ConfigurationError for a secret not found."""
        project = self.project()
        with self._lock:
            if scope not in self._stores:
                self._stores[scope] = open_store(project, scope, self.clock)
            return self._stores[scope]

    def jobs(self, runs: Sequence[Run]) -> list[MonitoredJob]:
        """Runs as pages show them, with the records that they left."""
        return self.outcomes.of(runs, self.store, self.clock())

    def manifest(self, store: ScopeStore, point: str) -> Manifest:
        """A recovery point; raises NotInStore, IntegrityError."""
        key = (store.scope, point)
        with self._lock:
            if key in self._manifests:
                self._manifests.move_to_end(key)
                return self._manifests[key]
        manifest = store.manifest(point)
        with self._lock:
            self._manifests[key] = manifest
            while len(self._manifests) > _MANIFESTS:
                self._manifests.popitem(last=False)
        return manifest

    @contextmanager
    def changing(self, version: str) -> Iterator[Path]:
        """The configuration file, to be changed in the block by this visitor alone.

        Args:
            version: Of the file that the visitor has seen.

        Raises:
            UsageError: The console may not write to it.
            ConfigurationError: It is another one by now.
        """
        with self._editing:
            if locked := self.not_writable():
                raise UsageError(locked, remedy="Edit the configuration file at its source.")
            if version != self.version():
                raise ConfigurationError(
                    "was changed by somebody else since you opened this page",
                    file=self.file.name,
                    remedy="Your entries are still below. Compare them with the settings as they are now, then save "
                    "again.",
                )
            try:
                yield self.file
            finally:
                self._watched.changed()
