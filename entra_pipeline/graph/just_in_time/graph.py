"""A tenant, as an app registration whose credential exists only while it is used."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from entra_pipeline.clock import Clock, system_clock
from entra_pipeline.errors import EntraPipelineError
from entra_pipeline.graph.client import Graph
from entra_pipeline.graph.credentials import NoteToken
from entra_pipeline.graph.just_in_time.credential import JustInTimeCredential
from entra_pipeline.graph.just_in_time.passwords import TemporaryPasswords
from entra_pipeline.graph.retry import RetryPolicy

if TYPE_CHECKING:
    from entra_pipeline.project import Tenant


class JustInTimeGraph(Graph):
    """Requests of the app registration that writes, with a secret that is made for the first of them.

    Args:
        tenant: The tenant and that app registration.
        passwords: Has secrets made.
        retry: As for `Graph`.
        clock: The one clock.
    """

    def __init__(
        self,
        tenant: Tenant,
        passwords: TemporaryPasswords,
        *,
        retry: RetryPolicy | None = None,
        clock: Clock = system_clock,
    ) -> None:
        super().__init__(tenant, retry=retry, sign_in=partial(JustInTimeCredential, passwords=passwords, clock=clock))
        self.passwords = passwords

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        tenant: Tenant,
        *,
        retry: RetryPolicy | None = None,
        clock: Clock = system_clock,
        note: NoteToken | None = None,
    ) -> AsyncIterator[JustInTimeGraph]:
        """Opens the tenant; at the end all secrets are removed that were made.

        Args:
            tenant: The tenant, whose `restore` is `just_in_time`.
            retry: As for `Graph`.
            clock: The one clock.
            note: As for `open_graph`: of both app registrations.

        One that cannot be removed expires by itself; `TemporaryPasswords.made` says which.

        Raises:
            ConfigurationError: The tenant has no owner of the app registration that writes.
        """
        writer = tenant.as_writer()
        async with Graph(tenant.as_owner(), retry=retry) as owner:
            owner.credential.note = note
            passwords = TemporaryPasswords(owner, writer.client_id or "", clock)
            try:
                async with cls(writer, passwords, retry=retry, clock=clock) as graph:
                    graph.credential.note = note
                    yield graph
            finally:
                if passwords.made:
                    with suppress(EntraPipelineError):
                        await passwords.remove_all()
