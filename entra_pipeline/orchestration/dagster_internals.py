"""What is used of Dagster that it does not export, in one place: nothing else imports from `dagster._core`.

Dagster may change these in any release, so `pyproject.toml` pins the minor version, and
`tests/dagster/test_internals.py` fails when one is no longer what is relied on here.
"""

import dagster as dg

# Which materialisation a check was about, for results that are reported outside of a step.
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluation,
    AssetCheckEvaluationTargetMaterializationData,
)

# The job of runs that are launched from the page of an asset, and of asset backfills.
from dagster._core.definitions.assets.job.asset_job import IMPLICIT_ASSET_JOB_NAME as ASSET_JOB
from dagster._core.definitions.run_request import InstigatorType

# The type of what `dg.define_asset_job` returns.
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

# Since when a schedule has been running, whether somebody has stopped it, and how ticks of sensors have ended.
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    ScheduleInstigatorData,
    TickStatus,
)

# Partitions that Dagster shows as failed.
from dagster._core.storage.partition_status_cache import AssetPartitionStatus

# What every run of a code location is stored with.
from dagster._core.storage.tags import REPOSITORY_LABEL_TAG as REPOSITORY_TAG

FAILURE_PREFIX = "dagster._core.definitions.events.Failure: "
"""What Dagster puts before the message of a `dg.Failure` when it keeps it as an error."""


def repository_label(run: dg.DagsterRun) -> str | None:
    """Returns the code location that a run belongs to, as in `REPOSITORY_TAG`; None when it belongs to none."""
    origin = run.remote_job_origin
    return origin.repository_origin.get_label() if origin else None


__all__ = [
    "ASSET_JOB",
    "FAILURE_PREFIX",
    "REPOSITORY_TAG",
    "AssetCheckEvaluation",
    "AssetCheckEvaluationTargetMaterializationData",
    "AssetPartitionStatus",
    "InstigatorState",
    "InstigatorStatus",
    "InstigatorType",
    "ScheduleInstigatorData",
    "TickStatus",
    "UnresolvedAssetJobDefinition",
    "repository_label",
]
