"""The runs of Dagster that somebody may see: all of them, or those of some scopes.

Dagster's API has no filter for several scopes at once. Of few scopes, each is asked for; of many, the newest runs are
looked through.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from entra_pipeline.console.dagster.client import SCOPE_TAGS, Dagster, Run
from entra_pipeline.store.parallel import in_parallel

FEW = 10
"""Scopes that are asked for one by one, at the most."""
# Runs that are looked through for those of many scopes.
_BATCH, _BATCHES = 200, 10


def runs_of(
    dagster: Dagster, scopes: Collection[str] | None, *, limit: int, filters: Mapping[str, Any] | None = None
) -> list[Run]:
    """Returns runs of some scopes, the newest first; of many scopes, those among the last 2,000 runs.

    Args:
        dagster: Where jobs run.
        scopes: Names of the scopes; None for all runs, also those that are about no scope.
        limit: Runs at the most.
        filters: As Dagster's `RunsFilter`, without `tags`.

    Raises:
        DagsterUnavailable: It does not answer.
    """
    given = dict(filters or {})
    if scopes is None:
        return dagster.runs(limit=limit, filters=given)
    if len(scopes) <= FEW:
        asked = [{**given, "tags": [{"key": tag, "value": name}]} for name in scopes for tag in SCOPE_TAGS]
        some = in_parallel(lambda one: dagster.runs(limit=limit, filters=one), asked) if asked else []
        found = {run.id: run for runs in some for run in runs if run.scope in scopes}
        return sorted(found.values(), key=lambda run: run.created, reverse=True)[:limit]
    own: list[Run] = []
    after = ""
    for _ in range(_BATCHES):
        batch = dagster.runs(limit=_BATCH, after=after, filters=given)
        own += [run for run in batch if run.scope in scopes]
        if len(own) >= limit or len(batch) < _BATCH:
            break
        after = batch[-1].id
    return own[:limit]
