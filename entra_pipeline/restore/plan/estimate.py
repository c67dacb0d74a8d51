"""What a plan takes of Graph: requests, and the time they need at Graph's write limits.

Sources: Graph doc, throttling-limits (identity and access): 3,000 write requests per 150 seconds per app and tenant;
conditional access: 1 request per second per tenant; identity providers and user flows: 200 per minute; certificates:
150 per minute. A `$batch` is counted by the requests in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from entra_pipeline.catalogue import CATALOGUE, RELATIONS, Lane
from entra_pipeline.restore.objects.model import RestoreStep

PER_SECOND: Mapping[Lane, float] = {
    Lane.DIRECTORY: 3000 / 150,
    # Only reading certificates has a limit of its own.
    Lane.CERTIFICATES: 3000 / 150,
    Lane.CONDITIONAL_ACCESS: 1.0,
    Lane.REPORTS: 5 / 10,
    Lane.CERTIFICATES: 150 / 60,
    Lane.IDENTITY: 200 / 60,
}
TOGETHER = 20
"""Links that one `@odata.bind` takes (Graph doc: group-post-members)."""


def requests_for_links(relation: str, targets: int, *, added: bool) -> int:
    """Counts the requests that add or remove links of one owner."""
    write = RELATIONS[relation][1].write
    if added and write is not None and write.add == "bind":
        return -(-targets // TOGETHER)
    return targets


def seconds(steps: Iterable[RestoreStep]) -> float:
    """Estimates the time at Graph's limits: stages one after the other, lanes of a stage side by side."""
    taken: dict[str, dict[Lane, float]] = {}
    for step in steps:
        lane = _lane(step.table)
        lanes = taken.setdefault(step.stage, {})
        lanes[lane] = lanes.get(lane, 0.0) + step.requests / PER_SECOND[lane]
    return round(sum(max(lanes.values()) for lanes in taken.values()), 1)


def _lane(table: str) -> Lane:
    entry = RELATIONS[table][0] if table in RELATIONS else CATALOGUE[table]
    return entry.write_lane
