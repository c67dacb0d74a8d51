"""The job that prunes a scope, and the schedule that does so daily for every scope that wants it.

What belongs here: Dagster's part of retention: partitions go after their points. What does not: what goes and why
(`entra_pipeline.store.retention.prune`).
"""

from collections.abc import Iterator, Sequence

import dagster as dg
from pydantic import Field

from entra_pipeline.orchestration.errors import explained
from entra_pipeline.orchestration.jobs.executor import EXECUTOR
from entra_pipeline.orchestration.keys import partitions_name
from entra_pipeline.project import Scope, load_project
from entra_pipeline.run_queue import SCOPE_TAG
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.retention.prune import prune as prune_scope
from entra_pipeline.store.retention.prune import prune_job
from entra_pipeline.store.retention.prune_log import PruneRecords
from resources import StorageResource

OP = "prune_scope"


class PruneConfig(dg.Config):
    """What to prune."""

    scope: str = Field(description="The scope whose recovery points are pruned by its retention.")
    dry_run: bool = Field(default=False, description="Say what would go, and change nothing.")


@dg.op(name=OP, out=dg.Out(dg.Nothing))
def prune_op(
    context: dg.OpExecutionContext, config: PruneConfig, storage: StorageResource
) -> Iterator[dg.Output[None]]:
    """Forgets the recovery points of a scope that are past their time; their partitions leave Dagster, runs stay."""
    with explained(context):
        store = storage.open(config.scope)
        scope = load_project(storage.project_file).scope(config.scope)
        trigger = context.run.tags.get("dagster/schedule_name", "dagster: prune")
        if config.dry_run:
            pruned = prune_scope(store, scope.retention, by=trigger, dry_run=True)
        else:
            pruned = prune_job(store, scope.retention, by=trigger, trigger=trigger, run_id=context.run_id)
    partitions = [] if config.dry_run else forget_partitions(store, context.instance)
    kept = [f"- {one.recovery_point}: {one.kept}" for one in pruned.kept_beyond_their_time]
    yield dg.Output(
        None,
        metadata={
            "scope": pruned.scope,
            "retention": pruned.retention,
            "dry_run": config.dry_run,
            "forgotten": len(pruned.forgotten),
            "points": len(pruned.verdicts) - len(pruned.forgotten),
            "log_days_forgotten": len(pruned.days_forgotten),
            "files_deleted": len(pruned.deleted.keys),
            "bytes_deleted": pruned.deleted.bytes,
            "files_locked": len(pruned.deleted.locked),
            "partitions_removed": len(partitions),
            "went": dg.MetadataValue.md("\n".join(f"- {point}" for point in pruned.forgotten) or "nothing"),
            "kept_beyond_their_time": dg.MetadataValue.md("\n".join(kept) or "nothing"),
        },
    )


@dg.job(
    name="prune",
    executor_def=EXECUTOR,
    description="Forgets the recovery points of a scope that are past their time, and deletes what only they need.",
)
def prune() -> None:
    """The job."""
    prune_op()


def forget_partitions(store: ScopeStore, instance: dg.DagsterInstance) -> list[str]:
    """Removes the partitions of points that retention has taken, whoever pruned the scope; returns them.

    A partition that is neither a point nor in a prune record belongs to a run under way.
    """
    name = partitions_name(store.scope)
    there = set(instance.get_dynamic_partitions(name)) - set(store.points())
    gone = sorted(there & PruneRecords(store.files, store.scope).points().keys())
    for point in gone:
        instance.delete_dynamic_partition(name, point)
    return gone


def prune_schedule(scopes: Sequence[Scope]) -> dg.ScheduleDefinition | None:
    """The schedule that prunes scopes daily, each in a run of its own; None when no scope wants it."""
    wanted = [scope.name for scope in scopes if scope.prune]
    if not wanted:
        return None

    @dg.schedule(
        name="schedule_prune",
        cron_schedule="20 3 * * *",
        job=prune,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Prunes every scope by its retention, daily.",
    )
    def tick(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest]:
        return [prune_request(scope, f"{context.scheduled_execution_time:%Y-%m-%d}") for scope in wanted]

    return tick


def prune_request(scope: str, day: str) -> dg.RunRequest:
    """The run that prunes a scope on a day; the queue lets it wait for a backup of the scope (dagster.yaml)."""
    config = dg.RunConfig(ops={OP: PruneConfig(scope=scope)})
    return dg.RunRequest(run_key=f"{scope} {day}", run_config=config, tags={SCOPE_TAG: scope})
