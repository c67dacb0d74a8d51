"""Rehearsing a restore in an empty simulated tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entra_pipeline.operations.environment import Environment, JobOrigin
from entra_pipeline.project import Scope

if TYPE_CHECKING:
    from entra_pipeline.restore.check.drill import Drill
    from entra_pipeline.restore.execute.apply import RestoreProgress


async def run_drill(
    environment: Environment, scope: Scope, *, at: str = "latest", origin: JobOrigin, progress: RestoreProgress
) -> Drill:
    """Restores a recovery point into an empty simulated tenant and scores what came back.

    The result is kept in the scope's store. Nothing is written to the real tenant.

    Args:
        environment: Opens the scope's store.
        scope: The scope.
        at: Key of the recovery point, a time with its zone, or `latest`.
        origin: What started it.
        progress: Receives what happens.

    Raises:
        NotInStore: There is no such recovery point.
        StoreError: The store cannot be read.
    """
    # Imports the simulator, which no other operation needs.
    from entra_pipeline.restore.check.drill import drill

    store = environment.open_store(scope)
    return await drill(store, store.at(at), trigger=origin.trigger, run_id=origin.run_id, progress=progress)
