"""Pacing: how fast to ask, so that Graph need not refuse.

One `Pacer` is shared by all concurrent reads of an app registration in a tenant. It holds a token bucket of resource
units, a lane per service with a limit of its own, and pauses everybody when Graph says `Retry-After`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic

from entra_pipeline.catalogue import Lane

# Limit for a large tenant (> 500 users) per app and tenant; smaller tenants have less, and tell us by throttling
# (Graph doc: throttling-limits, identity and access).
RESOURCE_UNITS_PER_SECOND = 8_000 / 10
_BURST_SECONDS = 10.0
# Conditional access and named locations: one request per second per tenant, over all apps.
_LANE_INTERVALS = {Lane.CONDITIONAL_ACCESS: 1.05}
_CONCURRENT_REQUESTS = 8
_SLOWEST_SHARE = 0.05


class Pacer:
    """Admits requests at the speed the tenant allows.

    Args:
        sleep: Replaced in tests.
        now: Seconds on a clock that only goes forward.
    """

    def __init__(
        self,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self._sleep = sleep
        self._now = now
        self._slots = asyncio.Semaphore(_CONCURRENT_REQUESTS)
        self._share = 1.0
        self._units = RESOURCE_UNITS_PER_SECOND * _BURST_SECONDS
        self._refilled = now()
        self._resume: dict[Lane, float] = {}
        self._order: dict[Lane, asyncio.Lock] = {lane: asyncio.Lock() for lane in Lane}

    @asynccontextmanager
    async def turn(self, lane: Lane) -> AsyncIterator[None]:
        """Waits until a request in this lane may be sent; the request is sent inside the context."""
        interval = _LANE_INTERVALS.get(lane)
        if interval is None:
            async with self._order[lane]:
                await self._until_free(lane)
            async with self._slots:
                yield
            return
        # One at a time, and the interval counts from the end: what counts is when Graph gets it, not when it was sent.
        async with self._order[lane]:
            await self._until_free(lane)
            try:
                yield
            finally:
                self._resume[lane] = max(self._resume.get(lane, 0.0), self._now() + interval)

    async def _until_free(self, lane: Lane) -> None:
        while (wait := self._wait(lane)) > 0:
            await self._sleep(wait)

    def spend(self, units: int) -> None:
        """Takes what a request cost, as Graph reported it, from the budget."""
        self._refill()
        self._units -= units

    def heed(self, lane: Lane, retry_after: float, limit_percentage: float) -> None:
        """Adjusts to what a response said.

        Args:
            lane: The lane of the request.
            retry_after: Seconds Graph asked to wait, 0 when it did not ask.
            limit_percentage: `x-ms-throttle-limit-percentage`: 0.8 and more means close to the limit, above 1 that
                requests are being refused; 0 when absent.
        """
        if retry_after > 0:
            # A little later than asked, and not everybody at once.
            until = self._now() + retry_after * random.uniform(1.0, 1.1)  # noqa: S311
            self._resume[lane] = max(self._resume.get(lane, 0.0), until)
        if limit_percentage >= 0.8:
            self._share = max(_SLOWEST_SHARE, self._share * 0.8)
        else:
            self._share = min(1.0, self._share * 1.02)

    def _wait(self, lane: Lane) -> float:
        pause = self._resume.get(lane, 0.0) - self._now()
        if pause > 0:
            return pause
        self._refill()
        return -self._units / (RESOURCE_UNITS_PER_SECOND * self._share) if self._units < 0 else 0.0

    def _refill(self) -> None:
        now = self._now()
        rate = RESOURCE_UNITS_PER_SECOND * self._share
        self._units = min(rate * _BURST_SECONDS, self._units + (now - self._refilled) * rate)
        self._refilled = now


def backoff(attempt: int) -> float:
    """Seconds to wait before try number `attempt` (from 1) where Graph named no time: exponential with full jitter."""
    return random.uniform(0.5, 1.0) * min(30.0, 0.5 * 2.0**attempt)  # noqa: S311
