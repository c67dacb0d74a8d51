"""The job that prunes a scope or all of them, and the schedule that does so daily, in one run.

What belongs here: Dagster's part of retention: partitions go after their points. What does not: what goes and why
(`entra_pipeline.store.retention.prune`).
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg
from pydantic import Field

from entra_pipeline.errors import EntraPipelineError, ScopeBusy
from entra_pipeline.operations.environment import JobOrigin
from entra_pipeline.operations.retention import prune_scope
from entra_pipeline.orchestration.errors import explained, in_scope
from entra_pipeline.orchestration.jobs.executor import EXECUTOR
from entra_pipeline.orchestration.keys import partitions_name
from entra_pipeline.orchestration.metadata.tables import metadata_table
from entra_pipeline.orchestration.runs import trigger
from entra_pipeline.project import Project, load_project
from entra_pipeline.project.secrets import needs_of_all_storages
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.retention.prune import PruneResult
from entra_pipeline.store.retention.prune_log import PruneRecords
from entra_pipeline.text import pluralize
from resources import StorageResource

OP = "prune_scope"
# How long the run waits for scopes that are being backed up, in seconds, and how often.
_PAUSE = 60
_TRIES = 30


class PruneConfig(dg.Config):
    """What to prune."""

    scope: str = Field(
        default="",
        description="The scope whose recovery points are pruned by its retention; empty: every scope that has not "
        "prune = false.",
    )
    dry_run: bool = Field(default=False, description="Show what would be deleted; change nothing.")


@dg.op(name=OP, out=dg.Out(dg.Nothing))
def prune_op(
    context: dg.OpExecutionContext, config: PruneConfig, storage: StorageResource
) -> Iterator[dg.Output[None]]:
    """Forgets recovery points that are past their time; their partitions leave Dagster, runs stay."""
    needs = in_scope(config.scope, tenant=False) if config.scope else needs_of_all_storages
    with explained(context, storage.project_file, needs):
        if config.scope:
            store = storage.open(config.scope)
            pruned, partitions = _prune(context, store, load_project(storage.project_file), config)
            metadata = _metadata(pruned, partitions, dry_run=config.dry_run)
        else:
            metadata = _prune_all(context, storage, config)
    yield dg.Output(None, metadata=metadata)


def _prune(
    context: dg.OpExecutionContext, store: ScopeStore, project: Project, config: PruneConfig
) -> tuple[PruneResult, list[str]]:
    """Prunes one scope; returns what went, and the partitions that left Dagster."""
    origin = JobOrigin(trigger(context.run, "dagster: prune"), context.run_id)
    scope = project.scope(store.scope)
    pruned = prune_scope(store, scope, by=origin.trigger, dry_run=config.dry_run, origin=origin)
    return pruned, [] if config.dry_run else forget_partitions(store, context.instance)


def _prune_all(context: dg.OpExecutionContext, storage: StorageResource, config: PruneConfig) -> dict[str, Any]:
    """Prunes every scope that wants it, those that are being backed up last; returns what Dagster shows.

    Raises:
        Failure: Scopes could not be pruned; all others have been.
    """
    project = load_project(storage.project_file)
    scopes = [scope.name for scope in project.scopes.values() if scope.prune]
    done: list[PruneResult] = []
    partitions = 0
    problems: dict[str, str] = {}
    busy: list[ScopeStore] = []

    def attempt(store: ScopeStore) -> None:
        nonlocal partitions
        try:
            pruned, removed = _prune(context, store, project, config)
        except EntraPipelineError as error:
            problems[store.scope] = error.message
            context.log.error(f"{store.scope}: {error}")
        else:
            done.append(pruned)
            partitions += len(removed)

    for name, store in storage.open_each(scopes):
        if isinstance(store, EntraPipelineError):
            problems[name] = store.message
            context.log.error(f"{name}: {store}")
        elif _is_busy(store):
            busy.append(store)
        else:
            attempt(store)
    for _ in range(_TRIES):
        if not busy:
            break
        context.log.info(f"waiting for {pluralize(len(busy), 'scope')} to be free")
        time.sleep(_PAUSE)
        free = [store for store in busy if not _is_busy(store)]
        busy = [store for store in busy if store not in free]
        for store in free:
            attempt(store)
    # Those that never were free: their job records say so.
    for store in busy:
        attempt(store)
    rows = [
        {
            "scope": one.scope,
            "forgotten": len(one.forgotten),
            "points": len(one.verdicts) - len(one.forgotten),
            "log_days": len(one.days_forgotten),
            "files": len(one.deleted.keys),
            "bytes": one.deleted.bytes,
        }
        for one in done
        if one.forgotten or one.days_forgotten or one.deleted.keys
    ]
    metadata: dict[str, Any] = {
        "dry_run": config.dry_run,
        "scopes": len(done),
        "forgotten": sum(len(one.forgotten) for one in done),
        "files_deleted": sum(len(one.deleted.keys) for one in done),
        "bytes_deleted": sum(one.deleted.bytes for one in done),
        "partitions_removed": partitions,
        **({"went": metadata_table(rows, {key: key for key in rows[0]}, words={"scope"})} if rows else {}),
    }
    if problems:
        raise dg.Failure(
            description=f"{pluralize(len(problems), 'scope')} could not be pruned; the others are: "
            + "; ".join(f"{name}: {message}" for name, message in problems.items()),
            metadata=metadata,
            allow_retries=False,
        )
    return metadata


def _is_busy(store: ScopeStore) -> bool:
    """Whether somebody else works on the scope."""
    try:
        with store.lock():
            return False
    except ScopeBusy:
        return True
    except EntraPipelineError:
        # Pruning finds the same, and records it.
        return False


def _metadata(pruned: PruneResult, partitions: Sequence[str], *, dry_run: bool) -> dict[str, Any]:
    """What Dagster shows of one scope."""
    kept = [f"- {one.recovery_point}: {one.kept}" for one in pruned.kept_beyond_their_time]
    return {
        "scope": pruned.scope,
        "retention": pruned.retention,
        "dry_run": dry_run,
        "forgotten": len(pruned.forgotten),
        "points": len(pruned.verdicts) - len(pruned.forgotten),
        "log_days_forgotten": len(pruned.days_forgotten),
        "files_deleted": len(pruned.deleted.keys),
        "bytes_deleted": pruned.deleted.bytes,
        "files_locked": len(pruned.deleted.locked),
        "partitions_removed": len(partitions),
        "went": dg.MetadataValue.md("\n".join(f"- {point}" for point in pruned.forgotten) or "nothing"),
        "kept_beyond_their_time": dg.MetadataValue.md("\n".join(kept) or "nothing"),
    }


@dg.job(
    name="prune",
    executor_def=EXECUTOR,
    description="Deletes the expired recovery points of a scope, or of all scopes, and the files that only they need.",
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


def prune_schedule(project: Project) -> dg.ScheduleDefinition | None:
    """The schedule that prunes scopes daily, all in one run; None when no scope wants it, and none may come."""
    if not project.dagster.fleet and not any(scope.prune for scope in project.scopes.values()):
        return None

    @dg.schedule(
        name="schedule_prune",
        cron_schedule="20 3 * * *",
        job=prune,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Prunes every scope by its retention, daily.",
    )
    def tick(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        config = dg.RunConfig(ops={OP: PruneConfig()})
        return dg.RunRequest(run_key=f"{context.scheduled_execution_time:%Y-%m-%d}", run_config=config)

    return tick
