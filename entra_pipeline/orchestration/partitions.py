"""What a partition may be materialised for. Dagster would overwrite; a recovery point never changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg

from entra_pipeline.errors import RecoveryPointRefused, UsageError
from entra_pipeline.orchestration.keys import identifier
from entra_pipeline.project import Scope
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.points.keys import moment_of
from entra_pipeline.store.recovery_points import ScopeStore

EXISTED = "existed"
"""Metadata of a materialisation that shows a point which existed before the run."""
EXISTED_TEXT = "exists and never changes: it is shown as it is, and nothing was read or written."
_YOUNG = timedelta(hours=24)
_AHEAD = timedelta(minutes=5)


def is_present(point: str, now: datetime) -> bool:
    """Whether the moment of a key is near enough that a snapshot may be taken for it; UsageError for what is no key."""
    return -_AHEAD <= now - moment_of(point) <= _YOUNG


def require_capturable(store: ScopeStore, point: str, now: datetime | None = None) -> None:
    """Refuses a key that no snapshot can be taken for.

    Raises:
        UsageError: Not the key of a recovery point.
        RecoveryPointRefused: It exists, a newer one exists, or its moment is not the present.
    """
    present = is_present(point, now or datetime.now(UTC))
    store.require_open(point)
    if not present:
        raise RecoveryPointRefused(
            f"{point} is not the present: Graph shows the tenant as it is, and cannot be read for a past moment",
            remedy="Take a new recovery point: launch the backup job, or add a partition with the present time.",
        )


def committed(store: ScopeStore, point: str, context: dg.AssetExecutionContext) -> Manifest | None:
    """Returns the manifest of a point that exists already, and says so in the run's log; None when it does not exist.

    Such a point is shown again as it is, and nothing is read or written. A run that failed instead would mark the
    partition of a good point as failed in Dagster, and nothing could ever succeed in its place.

    Raises:
        UsageError: Not the key of a recovery point.
    """
    moment_of(point)
    if point not in store.points():
        return None
    context.log.warning(
        f"recovery point {point} of scope {store.scope!r} {EXISTED_TEXT} To back up now, use "
        f"backup_now_{identifier(store.scope)}."
    )
    return store.manifest(point)


def partition_of(context: dg.AssetExecutionContext, scope: Scope) -> str:
    """Returns the recovery point that a run is for; raises UsageError when it is for none, or for several."""
    if not context.has_partition_key:
        which = "several recovery points" if context.has_partition_key_range else "no recovery point"
        raise UsageError(
            f"the run is for {which}: it has to be for one",
            remedy=f"Choose a recovery point (a partition), or use backup_now_{identifier(scope.name)}, "
            "which needs none: it takes one now.",
        )
    return str(context.partition_key)
