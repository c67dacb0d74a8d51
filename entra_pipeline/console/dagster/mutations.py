"""Which role each mutation of Dagster's GraphQL API takes.

What is not listed is refused to everybody: a new release of Dagster adds nothing to what a role may do until somebody
has decided it here. That this lists every mutation there is, `tests/console/test_proxy.py` holds.
"""

from __future__ import annotations

from entra_pipeline.console.auth.roles import Role

NO_ACTS = frozenset({"logTelemetry", "setNuxSeen"})
"""Mutations that Dagster's pages send by themselves, and that change nothing."""

_OPERATOR = {
    # Runs: begun, tried again, stopped.
    *("launchRun", "launchPipelineExecution", "launchRunReexecution", "launchPipelineReexecution"),
    *("launchMultipleRuns", "launchPartitionBackfill", "reexecutePartitionBackfill", "resumePartitionBackfill"),
    *("cancelPartitionBackfill", "terminateRun", "terminatePipelineExecution", "terminateRuns"),
    # Definitions are loaded again; a partition is named for a backup that is about to run.
    *("reloadWorkspace", "reloadRepositoryLocation", "addDynamicPartition", "scheduleDryRun"),
}
_ADMINISTRATOR = {
    # Whether backups and their supervision run at all. A dry run of a sensor does what the sensor does.
    *("startSchedule", "stopRunningSchedule", "resetSchedule", "startSensor", "stopSensor", "resetSensor"),
    *("setSensorCursor", "sensorDryRun", "setAutoMaterializePaused", "shutdownRepositoryLocation"),
    *("setConcurrencyLimit", "deleteConcurrencyLimit", "freeConcurrencySlots", "freeConcurrencySlotsForRun"),
    # What Dagster knows of the past.
    *("deleteRun", "deletePipelineRun", "wipeAssets", "deleteDynamicPartitions"),
    *("reportRunlessAssetEvents", "reportAssetCheckEvaluations"),
    *("report_asset_materialization", "report_asset_check", "report_asset_observation"),
}
REFUSED = frozenset({"setAppManagedComponent", "deleteAppManagedComponent", "refreshComponentState"})
"""Mutations that change definitions: those of this project come from its configuration file alone."""
ROLES = {
    **dict.fromkeys(_ADMINISTRATOR, Role.administrator),
    **dict.fromkeys(_OPERATOR, Role.operator),
    **dict.fromkeys(NO_ACTS, Role.viewer),
}
"""Mutation → the least role that may ask for it."""


def may(role: Role, mutation: str) -> bool:
    """Whether a role may ask for a mutation. Of viewers, the read-only webserver refuses most a second time."""
    least = ROLES.get(mutation)
    return least is not None and role >= least
