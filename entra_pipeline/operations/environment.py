"""What an operation works on and who started it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from entra_pipeline.audit import Origin
from entra_pipeline.errors import GraphUnavailable
from entra_pipeline.graph import Graph
from entra_pipeline.graph.factory import open_graph
from entra_pipeline.operations.token_journal import journal_of_scope, journal_of_tenant
from entra_pipeline.project import Project, Scope
from entra_pipeline.project.stores import open_store
from entra_pipeline.runtime import run_async
from entra_pipeline.store.recovery_points import ScopeStore

_Answer = TypeVar("_Answer")
# Seconds that a tenant has to answer somebody who waits.
_PATIENCE = 20.0


class Environment(Protocol):
    """Opens the stores and tenants of a project."""

    @property
    def project(self) -> Project:
        """The project, as it is configured now."""

    def open_store(self, scope: Scope | str) -> ScopeStore:
        """Opens and checks the store of a scope.

        Raises:
            UsageError: There is no such scope.
            ConfigurationError, StoreError: The place cannot be used.
        """

    def open_tenant(self, scope: Scope, *, writing: bool = False, job: str) -> AbstractAsyncContextManager[Graph]:
        """Opens the tenant of a scope as the app registration that reads, or as the one that writes.

        Args:
            scope: The scope.
            writing: As the one that writes.
            job: What takes the tokens, for their records.

        Raises:
            ConfigurationError: There is no app registration that writes, or a secret cannot be found.
        """


@dataclass(frozen=True, slots=True)
class ProjectEnvironment:
    """Opens stores and tenants as the configuration says, for one process.

    Attributes:
        project: The project.
    """

    project: Project

    def open_store(self, scope: Scope | str) -> ScopeStore:
        """As `Environment.open_store`."""
        store = open_store(self.project, scope)
        store.files.check()
        store.files.check_key()
        return store

    def open_tenant(self, scope: Scope, *, writing: bool = False, job: str) -> AbstractAsyncContextManager[Graph]:
        """As `Environment.open_tenant`."""
        note = journal_of_scope(self.project, scope, job)
        return open_graph(self.project.tenants[scope.tenant], writing=writing, note=note)


def ask_tenant(project: Project, tenant: str, job: str, question: Callable[[Graph], Awaitable[_Answer]]) -> _Answer:
    """Asks a tenant outside of a scope's job, as the app registration that reads; its tokens are recorded.

    Args:
        project: The project.
        tenant: Name of the tenant.
        job: What takes the tokens, for their records.
        question: What is asked; somebody waits for it, so it has 20 seconds.

    Raises:
        ConfigurationError: A secret cannot be found.
        GraphUnavailable: The tenant does not answer in time.
        GraphError: As the question.
    """

    async def ask() -> _Answer:
        note = journal_of_tenant(project, tenant, job)
        async with asyncio.timeout(_PATIENCE), open_graph(project.tenants[tenant], note=note) as graph:
            return await question(graph)

    try:
        return run_async(ask())
    except TimeoutError:
        raise GraphUnavailable("the tenant does not answer in time", remedy="Try again in a minute.") from None


@dataclass(frozen=True, slots=True)
class JobOrigin:
    """What started a job, for its record.

    Attributes:
        trigger: `command`, the name of a schedule …
        run_id: Id of the Dagster run; empty outside of Dagster.
        started: When the job began (UTC), where that was before the operation; None = with the operation.
    """

    trigger: str
    run_id: str = ""
    started: datetime | None = None


def origin_of(job: JobOrigin) -> Origin:
    """Returns whom the audit log names for what a job does by itself."""
    return Origin(actor=job.trigger, channel="dagster" if job.run_id else "cli", host=socket.gethostname())


COMMAND = JobOrigin("command")
"""Jobs that the command line starts."""
