"""The tags by which Dagster knows what a run is about and may take, and the coordinator that gives them to every run.

Runs of our jobs carry the tags by definition. Runs from asset pages and of backfills belong to Dagster's own job for
all assets, which can carry none: the coordinator copies the tags of the assets when the run is submitted, so that
limits and retries are the same for them. A backup is also given time and memory by what the last one of its scope held.
It is named in dagster.yaml; the webserver and the daemon import this module, so that it imports nothing but Dagster.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

import dagster as dg

SCOPE_TAG = "entra/scope"
"""One backup or prune of a scope at a time."""
TENANT_TAG = "entra/tenant"
"""Two backups of a tenant at a time."""
LOGS_TAG = "entra/logs"
"""The logs of a scope once at a time."""
FLEET_TAG = "entra/fleet"
"""On what belongs to the layout `fleet`, where the partition of a run is its scope: the name of the code location."""
SLOW_TAG = "entra/slow"
"""On runs of scopes whose last run failed: few at a time, of all tenants together."""
ROWS_TAG = "entra/rows"
"""On runs that have taken a recovery point: how many objects and links it holds."""
MAX_RUNTIME_TAG = "dagster/max_runtime"
"""Dagster's own: seconds after which monitoring ends a run."""
KUBERNETES_TAG, ECS_MEMORY_TAG = "dagster-k8s/config", "ecs/memory"
"""Tags of Dagster's launchers for Kubernetes and ECS."""
PARTITION_TAG = "dagster/partition"
"""Dagster's own: the partition that a run is for."""

MAX_RETRIES = 2

_HOUR = 3600
# Fargate takes no less beside one processor.
_LEAST_OF_ECS = 2048


class RunSize(NamedTuple):
    """What a backup may take.

    Attributes:
        seconds: After which it is ended.
        memory: Mebibytes that it is sure of.
        most: Mebibytes after which it is ended.
    """

    seconds: int
    memory: int
    most: int


# Rows up to which a size is enough: docs/benchmarks.md has what a full of so many takes, Dagster's own 250 MB apart.
_MEMORY = ((100_000, 512, 1024), (2_000_000, 1024, 2048), (10_000_000, 1536, 3072))
_LARGEST = (2048, 4096)


def run_size(rows: int) -> RunSize:
    """Returns what a backup of so many objects and links may take, also where Graph answers slowly or refuses."""
    memory, most = next(((memory, most) for up_to, memory, most in _MEMORY if rows <= up_to), _LARGEST)
    return RunSize(2 * _HOUR + rows * _HOUR // 1_000_000, memory, most)


def retry_tags() -> dict[str, str]:
    """A run that failed for passing reasons is tried again, and reads only the types that are missing."""
    return {"dagster/max_retries": str(MAX_RETRIES), "dagster/retry_strategy": "FROM_ASSET_FAILURE"}


def log_retry_tags() -> dict[str, str]:
    """A run that could not read logs for passing reasons is tried again."""
    return {"dagster/max_retries": str(MAX_RETRIES)}


class TaggingRunCoordinator(dg.QueuedRunCoordinator):
    """Dagster's queue, for runs that are tagged with what their assets belong to, and with what they may take."""

    def submit_run(self, context: dg.SubmitRunContext) -> dg.DagsterRun:
        """Tags a run, then queues it; tags that somebody has set stay."""
        run = context.dagster_run
        tags = self._asset_tags(context)
        if SCOPE_TAG in (known := {**tags, **run.tags}):
            tags |= self._size_tags(run.job_name, known[SCOPE_TAG])
        if missing := {key: value for key, value in tags.items() if key not in run.tags}:
            self._instance.add_run_tags(run.run_id, missing)
        return super().submit_run(context)

    def _asset_tags(self, context: dg.SubmitRunContext) -> dict[str, str]:
        run = context.dagster_run
        if FLEET_TAG in run.tags and SCOPE_TAG not in run.tags and PARTITION_TAG in run.tags:
            return {SCOPE_TAG: run.tags[PARTITION_TAG]}
        # Runs of our own jobs have theirs: nothing is looked up for them.
        if not run.asset_selection or run.tags.keys() & {SCOPE_TAG, LOGS_TAG}:
            return {}
        graph = context.workspace.asset_graph
        tags = common_tags([graph.get(key).tags for key in run.asset_selection if graph.has(key)])
        if FLEET_TAG in tags and PARTITION_TAG in run.tags:
            tags |= {SCOPE_TAG: run.tags[PARTITION_TAG], **retry_tags()}
        return tags

    def _size_tags(self, job: str, scope: str) -> dict[str, str]:
        """Returns what a run may take, by the last of the same job and scope that took a point; nothing without one."""
        last = dg.RunsFilter(job_name=job, tags={SCOPE_TAG: scope}, statuses=[dg.DagsterRunStatus.SUCCESS])
        rows = [run.tags[ROWS_TAG] for run in self._instance.get_runs(last, limit=1) if ROWS_TAG in run.tags]
        return size_tags(run_size(int(rows[0])), type(self._instance.run_launcher).__name__) if rows else {}


def size_tags(size: RunSize, launcher: str) -> dict[str, str]:
    """Returns the tags that give a run so much: time to every launcher, memory to those of containers.

    Args:
        size: What it may take.
        launcher: Name of the launcher's class.
    """
    tags = {MAX_RUNTIME_TAG: str(size.seconds)}
    if "K8s" in launcher:
        resources = {"requests": {"memory": f"{size.memory}Mi"}, "limits": {"memory": f"{size.most}Mi"}}
        tags[KUBERNETES_TAG] = json.dumps({"container_config": {"resources": resources}})
    elif launcher == "EcsRunLauncher":
        tags[ECS_MEMORY_TAG] = str(max(size.most, _LEAST_OF_ECS))
    return tags


def common_tags(assets: list[Mapping[str, str]]) -> dict[str, str]:
    """Returns the tags of a run by the tags of its assets.

    Where these differ, such as in a backfill of the logs of two scopes, the run is of neither.
    """
    tags: dict[str, str] = {}
    for key in (SCOPE_TAG, TENANT_TAG, LOGS_TAG, FLEET_TAG):
        values = {one[key] for one in assets if key in one}
        if len(values) == 1:
            tags[key] = values.pop()
    if any(SCOPE_TAG in one for one in assets):
        return tags | retry_tags()
    return tags | log_retry_tags() if any(LOGS_TAG in one for one in assets) else tags
