"""The tags by which Dagster's queue knows what a run is about, and the coordinator that gives them to every run.

Runs of our jobs carry the tags by definition. Runs from asset pages and of backfills belong to Dagster's own job for
all assets, which can carry none: the coordinator copies the tags of the assets when the run is submitted, so that
limits and retries are the same for them. It is named in dagster.yaml; the webserver and the daemon import this module,
so that it imports nothing but Dagster.
"""

from __future__ import annotations

from collections.abc import Mapping

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
PARTITION_TAG = "dagster/partition"
"""Dagster's own: the partition that a run is for."""

MAX_RETRIES = 2


def retry_tags() -> dict[str, str]:
    """A run that failed for passing reasons is tried again, and reads only the types that are missing."""
    return {"dagster/max_retries": str(MAX_RETRIES), "dagster/retry_strategy": "FROM_ASSET_FAILURE"}


def log_retry_tags() -> dict[str, str]:
    """A run that could not read logs for passing reasons is tried again."""
    return {"dagster/max_retries": str(MAX_RETRIES)}


class TaggingRunCoordinator(dg.QueuedRunCoordinator):
    """Dagster's queue, for runs that are tagged with what their assets belong to."""

    def submit_run(self, context: dg.SubmitRunContext) -> dg.DagsterRun:
        """Tags a run, then queues it; tags that somebody has set stay."""
        run = context.dagster_run
        if FLEET_TAG in run.tags and SCOPE_TAG not in run.tags and PARTITION_TAG in run.tags:
            self._instance.add_run_tags(run.run_id, {SCOPE_TAG: run.tags[PARTITION_TAG]})
            return super().submit_run(context)
        # Runs of our own jobs have theirs: nothing is looked up for them.
        if run.asset_selection and not run.tags.keys() & {SCOPE_TAG, LOGS_TAG}:
            graph = context.workspace.asset_graph
            found = [graph.get(key).tags for key in run.asset_selection if graph.has(key)]
            tags = common_tags(found)
            if FLEET_TAG in tags and PARTITION_TAG in run.tags:
                tags |= {SCOPE_TAG: run.tags[PARTITION_TAG], **retry_tags()}
            missing = {key: value for key, value in tags.items() if key not in run.tags}
            if missing:
                self._instance.add_run_tags(run.run_id, missing)
        return super().submit_run(context)


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
