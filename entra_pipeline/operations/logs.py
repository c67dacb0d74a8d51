"""Reading the logs of a scope: sign-ins, directory audits, provisioning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date

from entra_pipeline.backup.logs import LogReadProgress, read_logs
from entra_pipeline.operations.environment import Environment, JobOrigin
from entra_pipeline.project import Scope
from entra_pipeline.store.logs import LogDay
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.running_jobs import recorded

LOGS_JOB = "logs"
"""Type of these jobs in job records."""


async def run_log_read(
    environment: Environment,
    scope: Scope,
    *,
    types: Sequence[str],
    days: Sequence[date] | None = None,
    whole: bool = False,
    retried: bool = False,
    origin: JobOrigin,
    progress: LogReadProgress | None = None,
) -> list[LogDay]:
    """Reads what is due of the logs of a scope and keeps the record of the job.

    Args:
        environment: Opens the scope's store and tenant.
        scope: The scope.
        types: Names of logs.
        days: Days in UTC; None = all that are due.
        whole: Read these days again, whatever is stored of them.
        retried: Whoever started it tries again after a failure, and records the last one: a failure leaves no record.
        origin: What started it.
        progress: Receives what happens.

    Returns:
        The days that were read, by log and day, as they are stored now.

    Raises:
        What `backup.logs.read_logs` raises.
    """
    store = environment.open_store(scope)

    async def read() -> list[LogDay]:
        async with environment.open_tenant(scope) as graph:
            return await read_logs(scope, store.logs, graph, types=types, days=days, whole=whole, progress=progress)

    before = await read() if retried else None
    with _recorded(store, origin) as found:
        found += await read() if before is None else before
    return found


@contextmanager
def _recorded(store: ScopeStore, origin: JobOrigin) -> Iterator[list[LogDay]]:
    """Keeps the record of a read; the block fills the list with the days that were read."""
    found: list[LogDay] = []
    with recorded(store, LOGS_JOB, trigger=origin.trigger, run_id=origin.run_id, started=origin.started) as job:
        yield found
        gaps = sum(len(day.gaps) for day in found)
        job.status = "finished with exception" if gaps else "finished"
        job.details = {
            "days": len({day.day for day in found}),
            "added": sum(day.reads[-1].added for day in found if day.reads),
            "requests": sum(day.reads[-1].requests for day in found if day.reads),
            "gaps": gaps,
        }
