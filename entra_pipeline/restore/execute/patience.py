"""Looking again until replication has had its time.

What belongs here: how long, and with which pauses. What does not: what is looked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

from entra_pipeline.graph.retry import RetryPolicy

_T = TypeVar("_T")

PATIENCE = 60.0
"""Seconds in which what was written shows everywhere in the tenant (Graph doc: eventual consistency)."""
SLOWEST_POLL = 5.0
"""Seconds between two looks at the most."""


async def patiently(look: Callable[[], Awaitable[_T]], *, patience: float, retry: RetryPolicy) -> _T:
    """Repeats a lookup until it finds something or replication has had its time.

    Args:
        look: Returns what it finds; anything false is nothing.
        patience: Seconds to look for.
        retry: Gives the pauses.
    """
    deadline = monotonic() + patience
    attempt = 0
    while True:
        found = await look()
        if found or monotonic() >= deadline:
            return found
        attempt += 1
        await asyncio.sleep(min(retry.pause(attempt), SLOWEST_POLL, max(0.05, deadline - monotonic())))
