"""Job records of restores: how a restore ended, and what it comes to in numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

from entra_pipeline.clock import Clock, system_clock
from entra_pipeline.errors import StoreError
from entra_pipeline.graph.just_in_time import TemporaryPassword
from entra_pipeline.restore.objects.model import RestorePlan
from entra_pipeline.restore.records.journal import Journal, RestoreUnderWay, has_begun
from entra_pipeline.restore.records.report import RestoreReport, read_report, totals
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.running_jobs import recorded
from entra_pipeline.text import pluralize


@dataclass
class RestoreJob:
    """A restore under way.

    Attributes:
        id: Its id.
        report: Set when it was applied, and again when it was verified.
        credentials: Those that the app which writes was given for it, by their ids.
    """

    id: str
    report: RestoreReport | None = None
    credentials: dict[str, TemporaryPassword] = field(default_factory=dict)


@contextmanager
def restore_job(
    store: ScopeStore, plan: RestorePlan, *, trigger: str, run_id: str = "", clock: Clock = system_clock
) -> Iterator[RestoreJob]:
    """Keeps the record of a restore: written when the block ends, however it ends, unless another one is under way.

    Args:
        store: The store of the scope whose recovery point is restored.
        plan: What is carried out.
        trigger: What started it: `command`, `dagster: restore` …
        run_id: Id of the Dagster run that it is part of; empty outside of Dagster.
        clock: The one clock.
    """
    with recorded(store, "restore", trigger=trigger, job_id=plan.id, run_id=run_id, clock=clock) as record:
        job = RestoreJob(plan.id, credentials=_credentials_before(store, plan))
        try:
            yield job
        except RestoreUnderWay:
            # This one has not begun, and may be the same restore: what became of that is for the other to say.
            record.kept = False
            raise
        except BaseException as ended:
            if not isinstance(ended, Exception):
                record.stopped = what_was_done(store, plan)
            raise
        finally:
            record.status = job.report.status if job.report else "failed"
            record.details = {"recovery_point": plan.point, "tenant": plan.tenant}
            if job.report:
                # Verifying may be a job's second part, hours after the first: the restore began when applying did.
                record.details = {**totals(job.report), "started": job.report.started}
            if job.credentials:
                record.details["credentials"] = [asdict(one) for one in job.credentials.values()]


def _credentials_before(store: ScopeStore, plan: RestorePlan) -> dict[str, TemporaryPassword]:
    """Those of the job's earlier parts, whose record this one replaces."""
    record = store.jobs.find(plan.id)
    return {one["key_id"]: TemporaryPassword(**one) for one in record.details.get("credentials", ())} if record else {}


def what_was_done(store: ScopeStore, plan: RestorePlan) -> str:
    """Says what a restore had done when it was stopped, as its journal and report tell."""
    try:
        if read_report(store, plan.id) is not None:
            return "stopped while reading back what was written; applying the plan again goes on from there"
        if not has_begun(store.files, plan.id):
            return "stopped before anything was written"
        done = len(Journal(store.files, plan.id).done)
    except StoreError:
        return "stopped; its journal, which says what was written, cannot be read"
    return (
        f"stopped after {done:,} of {pluralize(len(plan.steps), 'step')}; what was written stays, and applying the "
        "plan again goes on from there"
    )


def is_recorded(store: ScopeStore, report: RestoreReport) -> bool:
    """Tells whether the record of a restore says how its report says that it ended."""
    record = store.jobs.find(report.job)
    return record is not None and record.status == report.status
