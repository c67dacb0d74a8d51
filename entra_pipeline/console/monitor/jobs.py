"""What a run is called, and how it stands: one vocabulary for every page.

What belongs here: the words, and which record belongs to which run. What does not: how Dagster is asked
(`console.dagster.client`), and how records are made (`store.running_jobs`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Lock
from time import monotonic

from entra_pipeline.console.dagster.client import UNDER_WAY, Dagster, DagsterAbsent, DagsterUnavailable, Run
from entra_pipeline.errors import EntraPipelineError
from entra_pipeline.orchestration.keys import DRY_RUN_TAG
from entra_pipeline.store.job_records import JobRecord
from entra_pipeline.store.parallel import in_parallel
from entra_pipeline.store.recovery_points import ScopeStore

STATUSES = ("running", "queued", "finished", "finished with exception", "failed", "cancelled")
"""How a job stands. The last four are those of job records."""

# Dagster's words (DagsterRunStatus).
_OF_RUNS = {
    "queued": "queued",
    "not_started": "queued",
    "success": "finished",
    "failure": "failed",
    "canceled": "cancelled",
}
_DAGSTERS = {
    "running": ("STARTING", "STARTED", "CANCELING"),
    "queued": ("QUEUED", "NOT_STARTED"),
    "finished": ("SUCCESS",),
    "finished with exception": ("SUCCESS", "FAILURE"),
    "failed": ("FAILURE",),
    "cancelled": ("CANCELED",),
}
_KINDS = {
    "backup_": "Backup",
    "logs_": "Logs",
    "drill_": "Restore drill",
    "__ASSET_JOB": "Backup",
    "prune": "Retention",
    "reports": "Reports",
    "check_freshness_of_scopes": "Freshness check",
    "delete_old_runs": "Cleanup of old runs",
}
# Ended runs whose records are remembered; a record is there when its run has ended for so long, or never will be.
_REMEMBERED = 1_000
_SETTLED = timedelta(minutes=2)
# Seconds for which pages believe what Dagster has said of running backups.
_MOMENT = 1.0
_UNDER_WAY_AT_ONCE = 500


def dagsters_statuses(status: str) -> list[str]:
    """Returns the statuses that Dagster gives runs that stand so; those of all for an unknown one."""
    return list(_DAGSTERS.get(status, ()))


@dataclass(frozen=True, slots=True)
class MonitoredJob:
    """A run and the record that it left.

    Attributes:
        run: The run.
        record: Its job record; None while there is none, or where a run leaves none.
    """

    run: Run
    record: JobRecord | None = None

    @property
    def status(self) -> str:
        """How it stands: one of `STATUSES`."""
        status = _OF_RUNS.get(self.run.status, "running")
        # A run may fail to be noticed when a restore is finished with exception; what it was doing, its record tells.
        return self.record.status if self.record is not None and not self.run.under_way else status

    @property
    def stopping(self) -> bool:
        """Whether somebody has stopped it, and it is not at its end yet."""
        return self.run.status == "canceling"

    @property
    def planning(self) -> bool:
        """Whether it is a restore that only plans: it writes nothing."""
        return self.run.job == "restore" and self.run.tags.get(DRY_RUN_TAG) == "true"

    @property
    def kind(self) -> str:
        """What it is, as people call it."""
        if self.run.job == "restore":
            return "Restore plan" if self.planning else "Restore"
        return next((kind for start, kind in _KINDS.items() if self.run.job.startswith(start)), self.run.job)


class RunningBackups:
    """The backups and restores that are running or queued, by scope; asked of Dagster again after a moment.

    Args:
        dagster: Where jobs run.
    """

    def __init__(self, dagster: Dagster) -> None:
        self._dagster = dagster
        self._lock = Lock()
        self._asked = 0.0
        self._found: dict[tuple[str, str], MonitoredJob] = {}

    def of(self, scope: str, *, now: bool = False) -> MonitoredJob | None:
        """Returns the backup of a scope that is under way, the first one; None when there is none.

        Args:
            scope: Name of the scope.
            now: Ask Dagster, whatever it said a moment ago.

        Raises:
            DagsterUnavailable: It does not answer; only with `now`. Pages are shown without it.
        """
        return self._under_way(now=now).get((scope, "Backup"))

    def restore_of(self, scope: str) -> MonitoredJob | None:
        """Returns the restore from a scope's recovery points, or the planning of one, that is under way."""
        found = self._under_way()
        return found.get((scope, "Restore")) or found.get((scope, "Restore plan"))

    def _under_way(self, *, now: bool = False) -> dict[tuple[str, str], MonitoredJob]:
        with self._lock:
            if now or monotonic() - self._asked > _MOMENT:
                self._asked = monotonic()
                try:
                    self._found = self._look()
                except DagsterUnavailable as error:
                    self._found = {}
                    # Where nobody listens, nothing is under way: whatever is launched waits for Dagster to start.
                    if now and not isinstance(error, DagsterAbsent):
                        raise
            return self._found

    def forget(self) -> None:
        """Has Dagster asked again: a backup has just been launched."""
        with self._lock:
            self._asked = 0.0

    def _look(self) -> dict[tuple[str, str], MonitoredJob]:
        runs = self._dagster.runs(limit=_UNDER_WAY_AT_ONCE, filters={"statuses": list(UNDER_WAY)})
        jobs = [MonitoredJob(run) for run in runs]
        # Newest first: of several, the one that runs stands for all.
        return {(job.run.scope, job.kind): job for job in jobs if job.run.scope}


class JobOutcomes:
    """Finds the records of runs; those of ended runs stay as they are and are remembered."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: OrderedDict[str, JobRecord | None] = OrderedDict()

    def of(self, runs: Sequence[Run], open_store: Callable[[str], ScopeStore], now: datetime) -> list[MonitoredJob]:
        """Returns runs with their records, in the same order.

        Args:
            runs: The runs.
            open_store: Opens the store of a scope. A scope that is gone, or cannot be reached, has no records.
            now: The present moment.
        """
        with self._lock:
            found = {run.id: self._known[run.id] for run in runs if run.id in self._known}
        wanted: dict[str, list[Run]] = {}
        for run in runs:
            if run.id not in found and run.scope and not run.under_way:
                wanted.setdefault(run.scope, []).append(run)

        def look(scope: str) -> dict[str, JobRecord | None]:
            some = wanted[scope]
            first = datetime.fromtimestamp(min(run.created for run in some), UTC) - timedelta(minutes=1)
            try:
                records = open_store(scope).jobs.between(first, now + timedelta(days=1))
            except EntraPipelineError:
                return {}
            by_run = {record.run_id: record for record in records if record.run_id}
            return {run.id: by_run.get(run.id) for run in some}

        ended = {run.id: datetime.fromtimestamp(run.finished or run.created, UTC) for run in runs}
        for more in in_parallel(look, list(wanted)):
            found |= more
            with self._lock:
                self._known |= {one: kept for one, kept in more.items() if kept or now - ended[one] > _SETTLED}
                while len(self._known) > _REMEMBERED:
                    self._known.popitem(last=False)
        return [MonitoredJob(run, found.get(run.id)) for run in runs]
