"""Opening a tenant: the real one behind its app registration, or the simulated one inside this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from entra_pipeline.errors import UsageError
from entra_pipeline.graph import Graph
from entra_pipeline.graph.credentials import NoteToken
from entra_pipeline.graph.just_in_time import JustInTimeGraph, TemporaryPasswords
from entra_pipeline.graph.retry import RetryPolicy
from entra_pipeline.graph.users import SignInPrompt, UserGraph
from entra_pipeline.project import Secret, Tenant

if TYPE_CHECKING:
    from entra_pipeline.simulator import Simulator


@asynccontextmanager
async def open_graph(
    tenant: Tenant, *, writing: bool = False, retry: RetryPolicy | None = None, note: NoteToken | None = None
) -> AsyncIterator[Graph]:
    """The tenant, ready to be read; a simulated one runs until the context ends.

    Args:
        tenant: The tenant.
        writing: As the app registration that may write, `restore` in the tenant's table.
        retry: How requests that failed are sent again; the process's default when None.
        note: Is told of each token that is taken, so that its sign-in can be explained (`operations.token_journal`).

    Raises:
        ConfigurationError: Entra refuses the credential, or cannot be reached; the simulated tenant cannot be started;
            there is no app registration that may write.
    """
    if writing and is_just_in_time(tenant):
        async with JustInTimeGraph.opened(tenant, retry=retry, note=note) as graph:
            yield graph
        return
    async with _served(tenant, writing=writing) as served, Graph(served, retry=retry) as graph:
        graph.credential.note = note
        yield graph


@asynccontextmanager
async def open_user_graph(tenant: Tenant, prompt: SignInPrompt) -> AsyncIterator[UserGraph]:
    """The tenant as a person sees it, for whom the app registration acts that may write.

    Args:
        tenant: The tenant.
        prompt: Asks the person, when the first request is sent.

    Raises:
        ConfigurationError: As for `open_graph`.
    """
    async with _served(tenant, writing=True) as served, UserGraph(served, prompt) as graph:
        yield graph


@asynccontextmanager
async def open_beta(graph: Graph) -> AsyncIterator[Graph]:
    """The same tenant through Graph's beta, with the same token and pacing, for what v1.0 does not have.

    Beta may change without notice (Graph doc: versioning-and-support).
    """
    tenant = graph.tenant.model_copy(update={"graph_url": f"{graph.root.rpartition('/')[0]}/beta"})
    async with Graph(tenant, retry=graph.retry, sign_in=lambda *_: graph.credential) as beta:
        beta.pacer = graph.pacer
        yield beta


def is_just_in_time(tenant: Tenant) -> bool:
    """Tells whether the app registration that writes has a credential only while it is used."""
    return tenant.restore is not None and tenant.restore.just_in_time


@asynccontextmanager
async def open_owner(
    tenant: Tenant, *, retry: RetryPolicy | None = None, note: NoteToken | None = None
) -> AsyncIterator[TemporaryPasswords]:
    """The credentials of the app registration that writes, as the one that owns it sees them.

    Args:
        tenant: The tenant, whose `restore` is `just_in_time`.
        retry: As for `open_graph`.
        note: As for `open_graph`.

    Raises:
        ConfigurationError: As for `open_graph`.
    """
    async with Graph(tenant.as_owner(), retry=retry) as owner:
        owner.credential.note = note
        yield TemporaryPasswords(owner, tenant.as_writer().client_id or "")


@asynccontextmanager
async def _served(tenant: Tenant, *, writing: bool) -> AsyncIterator[Tenant]:
    """The tenant with the app registration to use; a simulated one runs until the context ends."""
    if tenant.simulator is None:
        yield tenant.as_writer() if writing else tenant
        return
    running = simulated(tenant)
    simulator = await asyncio.to_thread(running.__enter__)
    try:
        folder = tenant.simulator.folder
        yield tenant.model_copy(
            update={
                "tenant_id": simulator.tenant_id,
                "client_id": simulator.restore_client_id if writing else simulator.client_id,
                "client_secret": Secret(file=folder / ("restore_client_secret" if writing else "client_secret")),
                "graph_url": simulator.graph_url,
                "authority": simulator.authority,
                "ca_bundle": simulator.ca_bundle,
            }
        )
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


@contextmanager
def simulated(tenant: Tenant) -> Iterator[Simulator]:
    """The simulated tenant of the configuration, serving; one that another process serves is shared.

    Raises:
        UsageError: The tenant is a real one.
        ConfigurationError: It cannot be started: a port is taken, or its folder is held by a process that hangs.
    """
    from entra_pipeline.simulator import Simulator, SimulatorError

    wanted = tenant.simulator
    if wanted is None:
        raise UsageError(f"tenant {tenant.name!r} is not simulated")
    simulator = Simulator(
        users=wanted.users, groups=wanted.groups, seed=wanted.seed, state=wanted.folder, port=wanted.port
    )
    try:
        simulator.start()
    except SimulatorError as error:
        raise tenant.error("simulator", error.message, remedy=error.remedy) from None
    try:
        yield simulator
    finally:
        simulator.stop()
