"""Pacing: how fast to ask, so that Graph need not refuse.

One `Pacer` is shared by all concurrent reads of an app registration in a tenant. It holds a token bucket of resource
units, a lane per service with a limit of its own, and pauses everybody when Graph says `Retry-After`.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from enum import IntEnum
from itertools import count
from time import monotonic

from entra_pipeline.catalogue import Lane

# Limit for a large tenant (> 500 users) per app and tenant: 8,000 in 10 seconds; smaller tenants have less, and tell us
# by throttling (Graph doc: throttling-limits, identity and access). However Graph counts its ten seconds, what the
# bucket holds and what flows into it meanwhile stay below: 1,000 + 10 x 700 = 8,000.
RESOURCE_UNITS_PER_SECOND = 700.0
_BURST_UNITS = 1_000.0
_SLOWEST_SHARE = 0.05
CONCURRENT_REQUESTS = 32
"""Requests under way at once: as many batches of 20, at a unit each, as spend the budget where Graph takes 0.9 s."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How often a service with a limit of its own may be asked: `requests` in any `seconds` (Graph doc)."""

    requests: int
    seconds: float


# A little less than allowed: what counts is when Graph gets a request, not when it was sent.
LIMITS = {
    Lane.CONDITIONAL_ACCESS: Limit(1, 1.05),
    Lane.REPORTS: Limit(5, 10.5),
    Lane.CERTIFICATES: Limit(20, 8.4),
    Lane.IDENTITY: Limit(20, 6.3),
}

ONE_BY_ONE = frozenset(lane for lane, limit in LIMITS.items() if limit.requests < 20)
"""Lanes in which the requests of a batch would be refused but for the first few."""


TENANT_WIDE = frozenset({Lane.CONDITIONAL_ACCESS})
"""Lanes whose limit is the tenant's, over all apps (Graph doc: throttling-limits)."""


class Priority(IntEnum):
    """Who goes first when many wait: the longest chain of requests ends last, so it waits for no shorter one."""

    PAGE = 0
    """A page of many, which come one after the other."""
    SINGLE = 1
    """Stands alone, or is the first of few."""
    BATCH = 2
    """Is one of many that do not wait for each other."""


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
        self._slots = _Slots(CONCURRENT_REQUESTS)
        self._share = 1.0
        self._units = _BURST_UNITS
        self._refilled = now()
        self._promised = 0.0
        self._cost = 1.0
        self._resume: dict[Lane, float] = {}
        self._recent: dict[Lane, deque[float]] = {lane: deque(maxlen=limit.requests) for lane, limit in LIMITS.items()}
        self._order: dict[Lane, asyncio.Lock] = {lane: asyncio.Lock() for lane in Lane}

    def share(self, other: Pacer) -> None:
        """Counts what this one and another one of the tenant send together, where all apps have one limit."""
        for lane in TENANT_WIDE:
            self._recent[lane], self._order[lane] = other._recent[lane], other._order[lane]

    @asynccontextmanager
    async def turn(self, lane: Lane, weight: int = 1, priority: Priority = Priority.SINGLE) -> AsyncIterator[None]:
        """Waits until a request in this lane may be sent; the request is sent inside the context.

        Args:
            lane: The lane.
            weight: Requests that it stands for, in a `$batch`.
            priority: Who goes first when many wait.
        """
        recent = self._recent.get(lane)
        if recent is not None and recent.maxlen == 1:
            # One at a time, and the interval counts from the end of the request before.
            async with self._order[lane]:
                await self._until_free(lane)
                try:
                    yield
                finally:
                    recent.append(self._now())
            return
        async with AsyncExitStack() as slot:
            if recent is None:
                await slot.enter_async_context(self._slots.one(priority))
            async with self._order[lane]:
                await self._until_free(lane)
                if recent is not None:
                    # Who waits for a slow lane holds no slot meanwhile, and has waited enough when the lane is free.
                    await slot.enter_async_context(self._slots.one(Priority.PAGE))
                    recent.extend([self._now()] * weight)
                expected = weight * self._cost
                self._promised += expected
            try:
                yield
            finally:
                self._promised -= expected

    async def _until_free(self, lane: Lane) -> None:
        while (wait := self._wait(lane)) > 0:
            await self._sleep(wait)

    def spend(self, units: int, requests: int = 1) -> None:
        """Takes what requests cost, as Graph reported it, from the budget, and learns what to expect of the next."""
        self._refill()
        self._units -= units
        if requests:
            self._cost += 0.05 * (units / requests - self._cost)

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
        recent = self._recent.get(lane)
        if recent is not None and len(recent) == recent.maxlen:
            pause = recent[0] + LIMITS[lane].seconds - self._now()
            if pause > 0:
                return pause
        self._refill()
        # Requests under way have not said yet what they cost.
        left = self._units - self._promised
        return -left / (RESOURCE_UNITS_PER_SECOND * self._share) if left < 0 else 0.0

    def _refill(self) -> None:
        now = self._now()
        rate = RESOURCE_UNITS_PER_SECOND * self._share
        self._units = min(_BURST_UNITS, self._units + (now - self._refilled) * rate)
        self._refilled = now


class _Slots:
    """A semaphore that lets the most urgent in first, and of those the first to come."""

    def __init__(self, number: int) -> None:
        self._free = number
        self._waiting: list[tuple[Priority, int, asyncio.Future[None]]] = []
        self._arrivals = count()

    @asynccontextmanager
    async def one(self, priority: Priority) -> AsyncIterator[None]:
        """Holds a slot."""
        await self._take(priority)
        try:
            yield
        finally:
            self._give_back()

    async def _take(self, priority: Priority) -> None:
        if self._free:
            self._free -= 1
            return
        mine = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (priority, next(self._arrivals), mine))
        try:
            await mine
        except asyncio.CancelledError:
            if not mine.cancelled():
                self._give_back()
            raise

    def _give_back(self) -> None:
        while self._waiting:
            *_, next_one = heapq.heappop(self._waiting)
            if not next_one.done():
                next_one.set_result(None)
                return
        self._free += 1


# Writes per app and tenant (Graph doc: throttling-limits, identity and access). A hundredth is left to what Graph
# counts otherwise than we do.
WRITES = Limit(2_970, 150.0)


class WriteBudget:
    """Admits writes, so that in no window of 150 seconds Graph gets more than its limit.

    A write counts from when it is sent until 150 seconds after its answer, because Graph counts it somewhere between.
    What the window has left may be spent at once: a small restore does not wait.

    Args:
        limit: The limit.
        sleep: Replaced in tests.
        now: Seconds on a clock that only goes forward.
    """

    def __init__(
        self,
        limit: Limit = WRITES,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self._limit = limit
        self._sleep = sleep
        self._now = now
        self._order = asyncio.Lock()
        self._counted: deque[tuple[float, int]] = deque()
        self._total = 0
        self._resume = 0.0
        self._steady_until = 0.0

    @asynccontextmanager
    async def turn(self, writes: int) -> AsyncIterator[None]:
        """Waits until so many writes may be sent; they are sent inside the context."""
        async with self._order:
            while (wait := self._wait(writes)) > 0:
                await self._sleep(wait)
            self._total += writes
            if self._now() < self._steady_until:
                self._resume = self._now() + writes * self._limit.seconds / self._limit.requests
        try:
            yield
        finally:
            self._counted.append((self._now(), writes))

    def exceeded(self, retry_after: float) -> None:
        """Graph counts more writes than were sent here: somebody else (or an earlier process) spends the same budget.

        Until the window has passed, writes go out as evenly as they are allowed.
        """
        self._resume = max(self._resume, self._now() + retry_after)
        self._steady_until = self._now() + self._limit.seconds

    def _wait(self, writes: int) -> float:
        now = self._now()
        while self._counted and self._counted[0][0] + self._limit.seconds <= now:
            self._total -= self._counted.popleft()[1]
        if now < self._resume:
            return self._resume - now
        excess = self._total + writes - self._limit.requests
        if excess <= 0:
            return 0.0
        for ended, number in self._counted:
            excess -= number
            if excess <= 0:
                return ended + self._limit.seconds - now
        return 0.1
