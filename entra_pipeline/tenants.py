"""Opening a tenant: the real one behind its app registration, or the simulated one inside this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from entra_pipeline.graph import Graph
from entra_pipeline.project import Secret, Tenant


@asynccontextmanager
async def open_graph(tenant: Tenant) -> AsyncIterator[Graph]:
    """The tenant, ready to be read; a simulated one runs until the context ends.

    Raises:
        ConfigurationError: Entra refuses the credential, or cannot be reached.
    """
    if tenant.simulator is None:
        async with Graph(tenant) as graph:
            yield graph
        return
    from entra_pipeline.simulator import Simulator

    wanted = tenant.simulator
    simulator = await asyncio.to_thread(
        Simulator(
            users=wanted.users, groups=wanted.groups, seed=wanted.seed, state=wanted.folder, port=wanted.port
        ).__enter__
    )
    try:
        secret = wanted.folder / "client_secret"
        stand_in = tenant.model_copy(
            update={
                "tenant_id": simulator.tenant_id,
                "client_id": simulator.client_id,
                "client_secret": Secret(file=secret),
                "graph_url": simulator.graph_url,
                "authority": simulator.authority,
                "ca_bundle": simulator.ca_bundle,
            }
        )
        async with Graph(stand_in) as graph:
            yield graph
    finally:
        await asyncio.to_thread(simulator.__exit__, None, None, None)
