"""Recording the tokens that this installation takes, so that sign-ins of its app registrations can be told from others.

What belongs here: which place a token is recorded in, and what happens when it cannot be. What does not: the shape of
the records (`store.tokens`), and comparing them with Entra's log (`operations.sign_ins`).
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator

from entra_pipeline.clock import Clock, iso, system_clock
from entra_pipeline.errors import EntraPipelineError
from entra_pipeline.graph.credentials import AcquiredToken
from entra_pipeline.project import Project, Scope
from entra_pipeline.store.backends import ObjectStore
from entra_pipeline.store.tokens import TokenRecord, TokenRecords

_log = logging.getLogger(__name__)


class TokenJournal:
    """Records tokens as they are taken; what `Credential.note` takes.

    A record that cannot be written fails nothing: it is tried again with the next one, and the log says so.

    Args:
        open_files: Opens the place, when there is something to record.
        job: What takes the tokens.
        clock: The one clock.
    """

    def __init__(self, open_files: Callable[[], ObjectStore], job: str, clock: Clock = system_clock) -> None:
        self._open_files = open_files
        self._job = job
        self._clock = clock
        self._pending: list[TokenRecord] = []

    def __call__(self, token: AcquiredToken) -> None:
        """Records a token."""
        self._pending.append(
            TokenRecord(
                tenant_id=token.tenant_id,
                app=token.app_id,
                token=token.identifier,
                taken=iso(self._clock()),
                job=self._job,
                host=socket.gethostname(),
            )
        )
        try:
            files = self._open_files()
            while self._pending:
                TokenRecords(files, self._pending[0].tenant_id).add(self._pending[0])
                del self._pending[0]
        except EntraPipelineError as error:
            _log.warning(
                "a token for %s could not be recorded, so that its sign-in will be reported as unexplained: %s",
                token.app_id,
                error.message,
            )


def journal_of_scope(project: Project, scope: Scope, job: str) -> TokenJournal:
    """Returns what records the tokens of a job of a scope, in the scope's storage."""
    return TokenJournal(project.storage[scope.storage].open, job)


def journal_of_tenant(project: Project, tenant: str, job: str) -> TokenJournal | None:
    """Returns what records tokens for a tenant, in the storage of its first scope; None when no scope protects it."""
    first = next(scopes_of(project, tenant), None)
    return journal_of_scope(project, first, job) if first else None


def scopes_of(project: Project, tenant: str) -> Iterator[Scope]:
    """Yields the scopes that protect a tenant."""
    yield from (scope for scope in project.scopes.values() if scope.tenant == tenant)
