"""The job that deletes old runs of this project from Dagster, and the schedule that does so daily.

Dagster keeps every run with its events for ever, and deleting a run deletes the materialisations that it made. So a
run stays as long as it shows something that exists: the newest materialisation of a recovery point, of a day of a log,
or of a report. The newest run of each job stays as well, since sensors ask what became of it. Runs of other code
locations, and jobs of others in this one, are never deleted.

What belongs here: which runs go. What does not: which recovery points go (`entra_pipeline.store.retention`).
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.clock import Clock, system_clock
from entra_pipeline.orchestration.dagster_internals import REPOSITORY_TAG, repository_label
from entra_pipeline.orchestration.errors import explained
from entra_pipeline.orchestration.jobs.drill import DRILL_TAG
from entra_pipeline.orchestration.jobs.executor import EXECUTOR
from entra_pipeline.orchestration.jobs.overview import FRESHNESS_JOB, REPORTS_JOB
from entra_pipeline.orchestration.jobs.restore import restore
from entra_pipeline.orchestration.jobs.retention import prune
from entra_pipeline.orchestration.keys import RECOVERY_POINT, asset_key, partitions_name
from entra_pipeline.project import Project, load_project
from entra_pipeline.project.secrets import Needs
from entra_pipeline.run_queue import FLEET_TAG, LOGS_TAG, SCOPE_TAG
from entra_pipeline.settings.periods import Period
from resources import StorageResource

DELETE_OLD_RUNS = "delete_old_runs"
MOST = 5_000
"""Runs that one run of the job deletes at most; the next one goes on."""
_PAGE = 200
_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
# Jobs whose runs carry no tag of ours, as they are about no scope, or about any.
_UNTAGGED = frozenset({restore.name, prune.name, REPORTS_JOB, FRESHNESS_JOB, DELETE_OLD_RUNS})


@dg.op(name="delete_runs", out=dg.Out(dg.Nothing))
def delete_runs_op(context: dg.OpExecutionContext, storage: StorageResource) -> Iterator[dg.Output[None]]:
    """Deletes runs that ended longer ago than `keep_runs` and show nothing that exists."""
    with explained(context, storage.project_file, lambda _: Needs()):
        keep = load_project(storage.project_file).dagster.keep_runs
    deleted, kept = delete_old_runs_of(context.instance, context.run, keep)
    yield dg.Output(None, metadata={"keep_runs": str(keep), "deleted": deleted, "kept_for_what_they_show": kept})


@dg.job(
    name=DELETE_OLD_RUNS,
    executor_def=EXECUTOR,
    description="Deletes runs of this project that are older than keep_runs, with their events; those that show "
    "recovery points, days of logs and reports that exist stay.",
)
def delete_old_runs() -> None:
    """The job."""
    delete_runs_op()


def old_runs_schedule(project: Project) -> dg.ScheduleDefinition | None:
    """The schedule that deletes old runs daily; None when runs are kept forever."""
    if project.dagster.keep_runs.forever:
        return None

    @dg.schedule(
        name=f"schedule_{DELETE_OLD_RUNS}",
        cron_schedule="50 3 * * *",
        job=delete_old_runs,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Deletes runs that are older than {project.dagster.keep_runs}, daily.",
    )
    def tick(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        return dg.RunRequest(run_key=f"{context.scheduled_execution_time:%Y-%m-%d}")

    return tick


def delete_old_runs_of(
    instance: dg.DagsterInstance, asking: dg.DagsterRun, keep: Period, clock: Clock = system_clock
) -> tuple[int, int]:
    """Deletes old runs of the code location of a run, the oldest first, `MOST` at most.

    Args:
        instance: The instance.
        asking: A run of the code location whose runs are deleted.
        keep: How long runs are kept.
        clock: The one clock.

    Returns:
        How many runs were deleted, and how many older ones stay for what they show.
    """
    if keep.forever:
        return 0, 0
    old = _OldRuns(instance, repository_label(asking))
    deleted = kept = 0
    for page in old.pages(clock(), keep):
        for record in page:
            if old.is_needed(record):
                kept += 1
                continue
            instance.delete_run(record.dagster_run.run_id)
            deleted += 1
            if deleted == MOST:
                return deleted, kept
    return deleted, kept


class _OldRuns:
    """The ended runs of a code location, and what each is needed for.

    Args:
        instance: The instance.
        label: The code location; None stands for runs that belong to none, such as those in a Python process.
    """

    def __init__(self, instance: dg.DagsterInstance, label: str | None) -> None:
        self._instance = instance
        self._label = label
        self._tags: dict[str, str] = {REPOSITORY_TAG: label} if label else {}
        self._points: dict[str, frozenset[str]] = {}
        self._newest: dict[tuple[str, str | None], str | None] = {}

    def pages(self, now: datetime, keep: Period) -> Iterator[Sequence[dg.RunRecord]]:
        """Yields our runs that ended longer ago than `keep`, the oldest first; those of a page at a time."""
        filters = dg.RunsFilter(statuses=_ENDED, tags=self._tags)

        def page(cursor: str | None) -> Sequence[dg.RunRecord]:
            return self._instance.get_run_records(filters, limit=_PAGE, cursor=cursor, ascending=True)

        records = page(None)
        while records:
            # Asked for before the page is worked on: a run that was deleted is no cursor.
            following = page(records[-1].dagster_run.run_id)
            old = [one for one in records if keep.after(_ended(one)) < now]
            yield [one for one in old if self._is_ours(one.dagster_run)]
            if not old:
                return
            records = following

    def is_needed(self, record: dg.RunRecord) -> bool:
        """Whether a run shows something that exists, or is the newest of its job."""
        run = record.dagster_run
        if self._newest_of(run) == run.run_id:
            return True
        # A backup that succeeded: no event has to be read.
        point, scope = run.tags.get("dagster/partition"), run.tags.get(SCOPE_TAG)
        if run.is_success and point and scope and point in self._points_of(scope):
            return True
        events = self._instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
        told = (event.event_log_entry.asset_materialization for event in events.records)
        return any(self._is_shown_by(one, run.run_id) for one in told if one is not None)

    def _is_ours(self, run: dg.DagsterRun) -> bool:
        if repository_label(run) != self._label:
            return False
        return run.job_name in _UNTAGGED or not run.tags.keys().isdisjoint({SCOPE_TAG, LOGS_TAG, DRILL_TAG, FLEET_TAG})

    def _is_shown_by(self, told: dg.AssetMaterialization, run_id: str) -> bool:
        """Whether what a run materialised exists, and nothing has materialised it since."""
        scope, table = told.asset_key.path[0], told.asset_key.path[-1]
        of_point = table == RECOVERY_POINT or table in CATALOGUE
        if of_point and told.partition not in self._points_of(scope):
            return False
        only: Any = dg.AssetRecordsFilter(
            asset_key=told.asset_key, asset_partitions=[told.partition] if told.partition else None
        )
        newest = self._instance.fetch_materializations(only, limit=1).records
        return bool(newest) and newest[0].run_id == run_id

    def _points_of(self, scope: str) -> frozenset[str]:
        """The recovery points of a scope that Dagster shows."""
        if scope not in self._points:
            there = self._instance.get_dynamic_partitions(partitions_name(scope))
            told = self._instance.get_materialized_partitions(asset_key(scope, RECOVERY_POINT))
            self._points[scope] = frozenset(told).intersection(there)
        return self._points[scope]

    def _newest_of(self, run: dg.DagsterRun) -> str | None:
        """The newest run of a job; of Dagster's job for all assets, that of a scope."""
        of = (run.job_name, run.tags.get(SCOPE_TAG))
        if of not in self._newest:
            tags = self._tags | ({SCOPE_TAG: of[1]} if of[1] else {})
            found = self._instance.get_run_records(dg.RunsFilter(job_name=of[0], tags=tags), limit=1)
            self._newest[of] = found[0].dagster_run.run_id if found else None
        return self._newest[of]


def _ended(record: dg.RunRecord) -> datetime:
    if record.end_time:
        return datetime.fromtimestamp(record.end_time, UTC)
    return record.create_timestamp.replace(tzinfo=UTC)
