"""Throttling as Graph's directory does it: token buckets of resource units and writes, and the conditional access lane.

Figures: Graph doc, throttling-limits.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import NamedTuple

from entra_pipeline.simulator.faults.settings import TenantSettings
from entra_pipeline.simulator.protocol.failures import Failure
from entra_pipeline.simulator.protocol.paths import ResourcePath
from entra_pipeline.simulator.schema import BY_NAME

_WINDOW = 10.0
# Services with limits of their own, which say when to come back: requests in seconds per app and tenant, per tenant.
_LANES = {"reports": (5.0, 10.0), "identity": (200.0, 60.0)}
_TENANT_LANES = {"identity": (300.0, 60.0)}
_WRITES = (3_000.0, 150.0)
_TENANT_WRITES = (18_000.0, 300.0)
# A client that sends exactly one request per second is let through despite the jitter of the network.
_LANE_TOLERANCE = 0.1
_WARN_FROM = 0.8


class Cost(NamedTuple):
    """What a request costs: resource units, and writes."""

    units: int
    writes: int


def cost(method: str, place: ResourcePath | None, options: dict[str, str]) -> Cost:
    """Returns the cost of a request. `place` is None for `$batch` itself, which costs nothing."""
    if place is None:
        return Cost(0, 0)
    if place.tail == "getByIds":
        return Cost(2 if "$select" in options else 5, 0)
    if method != "GET":
        return Cost(1, 1)
    if place.relation is not None:
        base = place.relation.units
    elif place.entry is not None:
        base = place.entry.units[1 if place.key else 0]
    else:
        base = 1
    top = options.get("$top", "")
    base += ("$expand" in options) - ("$select" in options) - (top.isdigit() and int(top) < 20)
    return Cost(max(1, base), 0)


@dataclass(slots=True)
class Bucket:
    """A token bucket: `capacity` tokens that refill in `window` seconds."""

    capacity: float
    window: float
    tokens: float = field(init=False)
    filled: float = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = self.capacity
        self.filled = time.monotonic()

    def take(self, wanted: float, *, tolerance: float = 0.0) -> float:
        """Takes tokens; returns the seconds to wait when there are not enough. A refused request costs as well."""
        now = time.monotonic()
        self.tokens = min(self.capacity, self.tokens + (now - self.filled) * self.capacity / self.window)
        self.filled = now
        if self.tokens + tolerance >= wanted:
            self.tokens -= wanted
            return 0.0
        missing = wanted - self.tokens
        self.tokens -= min(wanted, self.capacity) * 0.1
        return missing * self.window / self.capacity

    def used(self) -> float:
        """Returns the share of the capacity in use."""
        return 1.0 - self.tokens / self.capacity


class Throttle:
    """The buckets of one tenant."""

    def __init__(self, settings: TenantSettings) -> None:
        self.settings = settings
        self._units: dict[str, Bucket] = {}
        self._writes: dict[str, Bucket] = {}
        self._tenant_writes = Bucket(*_TENANT_WRITES)
        self._lane = Bucket(1.0, 1.0)
        self._lanes: dict[tuple[str, str], Bucket] = {}
        self._tenant_lanes = {name: Bucket(*limit) for name, limit in _TENANT_LANES.items()}
        self._certificates = Bucket(150.0, 60.0)

    def admit(
        self, client_id: str, tenant_id: str, place: ResourcePath, price: Cost, users: int, select: str
    ) -> dict[str, str]:
        """Returns headers about throttling for the response. Raises Failure (429)."""
        scope = f"Tenant_Application/ReadWrite/{client_id}/{tenant_id}"
        entry = BY_NAME[place.relation.part] if place.relation and place.relation.part else place.entry
        if entry is not None and entry.lane in _LANES and self.settings.throttle_lanes:
            own = self._lanes.setdefault((entry.lane, client_id), Bucket(*_LANES[entry.lane]))
            shared = self._tenant_lanes.get(entry.lane)
            if (wait := max(own.take(1.0), shared.take(1.0) if shared else 0.0)) > 0:
                raise throttled(wait)
            return {}
        if entry is not None and entry.lane == "conditional_access" and self.settings.throttle_conditional_access:
            if self._lane.take(1.0, tolerance=_LANE_TOLERANCE) > 0:
                # This service does not say when to come back (Graph doc: throttling-limits).
                raise throttled()
            return {}
        if not self.settings.throttle_units:
            return {}
        if "keyCredentials" in select.split(",") and (wait := self._certificates.take(1.0)) > 0:
            raise throttled(wait)
        capacity = 3_500.0 if users < 50 else 5_000.0 if users <= 500 else 8_000.0
        units = self._units.get(client_id)
        if units is None or units.capacity != capacity:
            units = self._units[client_id] = Bucket(capacity, _WINDOW)
        wait = units.take(price.units)
        reason = "ResourceUnitLimitExceeded"
        if not wait and price.writes and self.settings.throttle_writes:
            writes = self._writes.setdefault(client_id, Bucket(*_WRITES))
            wait = writes.take(price.writes)
            if not wait and (wait := self._tenant_writes.take(price.writes)):
                scope = f"Tenant/ReadWrite/{tenant_id}"
            reason = "WriteLimitExceeded"
        if wait:
            raise throttled(wait, scope=scope, reason=reason)
        share = units.used()
        return {"x-ms-throttle-limit-percentage": f"{share:.1f}"} if share > _WARN_FROM else {}


def throttled(wait: float | None = None, *, scope: str = "", reason: str = "") -> Failure:
    """Returns a 429; `wait` = seconds for Retry-After, None = without."""
    headers: dict[str, str] = {}
    if wait is not None:
        headers["Retry-After"] = str(max(1, math.ceil(wait)))
    if scope:
        headers["x-ms-throttle-scope"] = scope
        headers["x-ms-throttle-information"] = reason
    return Failure(429, "TooManyRequests", "Please retry again later.", headers=headers)
