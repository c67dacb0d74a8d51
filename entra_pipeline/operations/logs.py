"""Reading the logs of a scope: sign-ins, directory audits, provisioning."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import NamedTuple

from entra_pipeline.backup.logs import LogReadProgress, read_logs
from entra_pipeline.operations.environment import Environment, JobOrigin, origin_of
from entra_pipeline.operations.sign_ins import SignInVerdict, app_ids, judge_sign_ins
from entra_pipeline.project import Scope
from entra_pipeline.store.logs import LogDay
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.running_jobs import recorded

LOGS_JOB = "logs"
"""Type of these jobs in job records."""


class LogReadOutcome(NamedTuple):
    """What a read of logs came to.

    Attributes:
        days: The days that were read.
        sign_ins: What was found of the sign-ins of our app registrations; None where they were not read.
    """

    days: list[LogDay]
    sign_ins: SignInVerdict | None


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
) -> LogReadOutcome:
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
        The days that were read, by log and day, as they are stored now; and what was found of the sign-ins of our app
        registrations among them.

    Raises:
        What `backup.logs.read_logs` raises.
    """
    store, project = environment.open_store(scope), environment.project

    async def read() -> LogReadOutcome:
        async with environment.open_tenant(scope, job=LOGS_JOB) as graph:
            await graph.sign_in()
            apps = await asyncio.to_thread(app_ids, project, scope, store.files, graph.tenant.tenant_id or "")
            found = await read_logs(
                scope, store.logs, graph, types=types, days=days, whole=whole, apps=apps, progress=progress
            )
        verdict = await asyncio.to_thread(judge_sign_ins, project, scope, store, found, origin_of(origin))
        return LogReadOutcome(found, verdict)

    before = await read() if retried else None
    with _recorded(store, origin) as ended:
        outcome = before or await read()
        ended.append(outcome)
    return outcome


@contextmanager
def _recorded(store: ScopeStore, origin: JobOrigin) -> Iterator[list[LogReadOutcome]]:
    """Keeps the record of a read; the block puts its outcome into the list."""
    ended: list[LogReadOutcome] = []
    with recorded(store, LOGS_JOB, trigger=origin.trigger, run_id=origin.run_id, started=origin.started) as job:
        yield ended
        found, verdict = ended[0]
        gaps = sum(len(day.gaps) for day in found)
        foreign = len(verdict.unexplained) if verdict else 0
        job.status = "finished with exception" if gaps or foreign else "finished"
        job.details = {
            "days": len({day.day for day in found}),
            "added": sum(day.reads[-1].added for day in found if day.reads),
            "requests": sum(day.reads[-1].requests for day in found if day.reads),
            "gaps": gaps,
            **({"unexplained_sign_ins": foreign} if foreign else {}),
        }
