"""Opening a tenant: the real one behind its app registration, or the simulated one inside this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from entra_pipeline.errors import UsageError
from entra_pipeline.graph import Graph
from entra_pipeline.graph.retry import RetryPolicy
from entra_pipeline.project import Secret, Tenant

if TYPE_CHECKING:
    from entra_pipeline.simulator import Simulator


@asynccontextmanager
async def open_graph(
    tenant: Tenant, *, writing: bool = False, retry: RetryPolicy | None = None
) -> AsyncIterator[Graph]:
    """The tenant, ready to be read; a simulated one runs until the context ends.

    Args:
        tenant: The tenant.
        writing: As the app registration that may write, `restore` in the tenant's table.
        retry: How requests that failed are sent again; the process's default when None.

    Raises:
        ConfigurationError: Entra refuses the credential, or cannot be reached; the simulated tenant cannot be started;
            there is no app registration that may write.
    """
    if tenant.simulator is None:
        async with Graph(tenant.as_writer() if writing else tenant, retry=retry) as graph:
            yield graph
        return
    running = simulated(tenant)
    simulator = await asyncio.to_thread(running.__enter__)
    try:
        folder = tenant.simulator.folder
        stand_in = tenant.model_copy(
            update={
                "tenant_id": simulator.tenant_id,
                "client_id": simulator.restore_client_id if writing else simulator.client_id,
                "client_secret": Secret(file=folder / ("restore_client_secret" if writing else "client_secret")),
                "graph_url": simulator.graph_url,
                "authority": simulator.authority,
                "ca_bundle": simulator.ca_bundle,
            }
        )
        async with Graph(stand_in, retry=retry) as graph:
            yield graph
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
