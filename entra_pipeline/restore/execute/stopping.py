"""Stopping a restore: a step that is writing comes to its end, one that has not begun does not begin.

What belongs here: which steps are waited for, and how long. What does not: what stops a restore (`runtime.run_async`),
and how it is resumed (`restore.records.journal`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

# Seconds that steps have to come to their end. Graph answers a write in a few; a step that waits for replication, or
# was throttled, is left to the journal, which knows what was sent.
_PATIENCE = 30.0


class WritingSteps:
    """The steps of a restore that are writing to the tenant."""

    def __init__(self) -> None:
        self._begun: set[int] = set()
        self._failed = False

    def begin(self, number: int) -> None:
        """Notes that a step begins to write."""
        self._begun.add(number)

    async def carry_out(self, number: int, work: Coroutine[Any, Any, None]) -> None:
        """Awaits a step; when it is cancelled while it writes, until its outcome is known.

        Where another step has ended the restore by an error, nothing is waited for: the tenant may be out of reach.

        Raises:
            What the step raises.
        """
        task = asyncio.ensure_future(work)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if number in self._begun and not self._failed:
                await asyncio.wait([task], timeout=_PATIENCE)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise
        except BaseException:
            self._failed = True
            raise
