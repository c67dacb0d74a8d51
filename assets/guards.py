"""What a partition may be materialised for. Dagster would overwrite; a recovery point never changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import dagster as dg

from assets.names import RETRY_TAG, identifier
from entra_pipeline.errors import EntraPipelineError, RecoveryPointRefused, UsageError
from entra_pipeline.project import Scope
from entra_pipeline.store.recovery_points import ScopeStore, moment_of

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
            f"{point} is not the present: Graph shows the tenant as it is, and a past moment cannot be captured again",
            remedy="Take a new recovery point: launch the backup job, or add a partition with the present time.",
        )


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


@contextmanager
def explained(
    context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext | dg.OpExecutionContext,
) -> Iterator[None]:
    """Turns our errors into failures that say what to do, and that are not tried again when trying cannot help."""
    try:
        yield
    except EntraPipelineError as error:
        permanent = error.exit_code == 2 or isinstance(error, RecoveryPointRefused)
        if permanent:
            # The daemon that retries runs looks at tags only.
            context.instance.add_run_tags(context.run.run_id, {RETRY_TAG: "false"})
        raise dg.Failure(error.message, metadata={"remedy": error.remedy or "-"}) from None
