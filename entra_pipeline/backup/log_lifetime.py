"""How long Entra keeps a tenant's logs: by its licences, as far as it shows them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import msgspec

from entra_pipeline.errors import GraphError
from entra_pipeline.graph import Graph, RequestStats
from entra_pipeline.graph.pages import decoding

KEPT_WITH_LICENCE = timedelta(days=30)
KEPT_WITHOUT_LICENCE = timedelta(days=7)
"""How long Entra keeps logs (Entra doc: reference-reports-data-retention)."""
_PREMIUM = ("AAD_PREMIUM", "AAD_PREMIUM_P2")


@dataclass(frozen=True, slots=True)
class LogLifetime:
    """How long Entra keeps logs: it is asked for days as old as `asked`, and surely has those as old as `sure`."""

    asked: timedelta
    sure: timedelta


class _ServicePlan(msgspec.Struct):
    name: str = msgspec.field(default="", name="servicePlanName")


class _Subscription(msgspec.Struct):
    status: str = msgspec.field(default="", name="capabilityStatus")
    plans: list[_ServicePlan] = msgspec.field(default_factory=list, name="servicePlans")


class _Subscriptions(msgspec.Struct):
    value: list[_Subscription]


_decode_subscriptions = decoding(msgspec.json.Decoder(_Subscriptions).decode)


async def surely_kept(graph: Graph) -> timedelta:
    """How long Entra keeps the tenant's logs by its subscriptions; the shorter time when it does not show them."""
    try:
        found = await graph.fetch("subscribedSkus", _decode_subscriptions, stats=RequestStats())
    except GraphError:
        return KEPT_WITHOUT_LICENCE
    premium = any(
        plan.name in _PREMIUM for one in found.value if one.status in {"Enabled", "Warning"} for plan in one.plans
    )
    return KEPT_WITH_LICENCE if premium else KEPT_WITHOUT_LICENCE
