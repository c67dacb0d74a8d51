"""Whether each scope's last good recovery point is as fresh as its schedule promises, as an asset check.

The freshness policy of a recovery point knows any point, and looks at Dagster's events; this check knows which points
are finished without exception, and looks at the store. One op evaluates the checks of all scopes.
"""

from collections.abc import Iterator, Sequence

import dagster as dg

from entra_pipeline.orchestration.checks.freshness import freshness_result
from entra_pipeline.orchestration.errors import explained
from entra_pipeline.orchestration.keys import FRESHNESS_CHECK, RECOVERY_POINT, asset_key, freshness_key
from entra_pipeline.project import Scope, load_project
from entra_pipeline.project.secrets import needs_of_all_storages
from resources import StorageResource


def freshness_checks(scopes: Sequence[Scope]) -> list[dg.AssetChecksDefinition]:
    """The checks of the scopes that have a schedule; none when no scope has one."""
    names = [scope.name for scope in scopes if scope.schedule is not None]
    if not names:
        return []

    @dg.multi_asset_check(
        name="check_freshness",
        specs=[
            dg.AssetCheckSpec(
                FRESHNESS_CHECK,
                asset=asset_key(name, RECOVERY_POINT),
                description="The last recovery point that is finished without exception is no older than 1.1 times "
                "(warning) or 1.5 times (error) the longest pause of the schedule.",
            )
            for name in names
        ],
        # Whoever materialises the recovery point of one scope checks that one.
        can_subset=True,
    )
    def check_freshness(
        context: dg.AssetCheckExecutionContext, storage: StorageResource
    ) -> Iterator[dg.AssetCheckResult]:
        with explained(context, storage.project_file, needs_of_all_storages):
            project = load_project(storage.project_file)
            wanted = [name for name in names if freshness_key(name) in context.selected_asset_check_keys]
            for name, store in storage.open_each(wanted):
                yield freshness_result(project, name, store)

    return [check_freshness]
