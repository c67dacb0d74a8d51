"""What comes out of the recycle bin, and when reads show it: with it they show what comes back by itself.

What belongs here: waiting until they do. What does not: what is written because it did not come back (`requests`), and
what is removed because it should not have (`reinstated`).

Links, licences, grants, assignments and parts come back with the object that held them. Reads learn of it later than
writes (Graph doc: eventual consistency): whoever writes all that they do not show yet writes it a second time, and
whoever removes what should not have come back overlooks it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.catalogue.model import Lane
from entra_pipeline.graph import BatchRequest, Graph, RequestStats
from entra_pipeline.restore.execute.patience import patiently
from entra_pipeline.restore.objects import paths
from entra_pipeline.restore.objects.model import RestorePlan

_NOT_FOUND = 404


class Reappearing:
    """The objects that a plan takes out of the recycle bin.

    Args:
        plan: The plan.
        graph: The tenant.
        stats: Counts reads.
        patience: Seconds to wait for replication.
    """

    def __init__(self, plan: RestorePlan, graph: Graph, stats: RequestStats, patience: float) -> None:
        self._graph, self._stats, self._patience = graph, stats, patience
        self._places: dict[str, tuple[Lane, str]] = {}
        for step in plan.steps:
            if step.action == "undelete":
                entry, live = CATALOGUE[step.table], step.live_id or step.id
                self._places[live.lower()] = entry.lane, paths.item(entry, live, "", {})
        self._awaited: dict[str, asyncio.Task[bool]] = {}

    async def wait(self, ids: Iterable[str]) -> None:
        """Waits until reads show objects, or replication has had its time.

        Args:
            ids: Ids in the tenant, in small letters, of objects that are back; others than those of the plan are left
                out.
        """
        asked = {one for one in ids if one in self._places}
        if new := [one for one in asked if one not in self._awaited]:
            self._awaited |= dict.fromkeys(new, asyncio.create_task(self._poll(new)))
        if tasks := {self._awaited[one] for one in asked}:
            # Others wait for the same: who stops waiting does not stop them.
            await asyncio.wait(tasks)
            for task in tasks:
                task.result()

    def close(self) -> None:
        """Stops waiting."""
        for task in self._awaited.values():
            task.cancel()

    async def _poll(self, ids: Sequence[str]) -> bool:
        """Waits for objects; tells whether all of them are shown."""
        left: dict[Lane, dict[str, BatchRequest]] = {}
        for one in ids:
            lane, url = self._places[one]
            left.setdefault(lane, {})[one] = BatchRequest(url, one)

        async def look() -> bool:
            for lane, requests in left.items():
                async for answer in self._graph.batch([*requests.values()], stats=self._stats, lane=lane):
                    if answer.status != _NOT_FOUND:
                        del requests[answer.request.key]
            return not any(left.values())

        return await patiently(look, patience=self._patience, retry=self._graph.retry)
