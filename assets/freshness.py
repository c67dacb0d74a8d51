"""Whether each scope's last good recovery point is as fresh as its schedule promises, as an asset check.

The freshness policy of a recovery point knows any point, and looks at Dagster's events; this check knows which points
are finished without exception, and looks at the store. One op evaluates the checks of all scopes.
"""

from collections.abc import Iterator, Sequence

import dagster as dg

from entra_pipeline.orchestration.keys import RECOVERY_POINT, asset_key
from entra_pipeline.clock import system_clock
from entra_pipeline.errors import EntraPipelineError
from entra_pipeline.project import Project, Scope, load_project
from entra_pipeline.reports.health import FRESH, LATE, health
from entra_pipeline.store.recovery_points import ScopeStore
from resources import StorageResource

CHECK = "fresh"


def freshness_key(scope: str) -> dg.AssetCheckKey:
    """The check of a scope."""
    return dg.AssetCheckKey(asset_key(scope, RECOVERY_POINT), CHECK)


def freshness_checks(scopes: Sequence[Scope]) -> list[dg.AssetChecksDefinition]:
    """The checks of the scopes that have a schedule; none when no scope has one."""
    names = [scope.name for scope in scopes if scope.schedule is not None]
    if not names:
        return []

    @dg.multi_asset_check(
        name="check_freshness",
        specs=[
            dg.AssetCheckSpec(
                CHECK,
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
        project = load_project(storage.project_file)
        wanted = [name for name in names if freshness_key(name) in context.selected_asset_check_keys]
        for name, store in storage.open_each(wanted):
            yield freshness_result(project, name, store)

    return [check_freshness]


def freshness_result(project: Project, name: str, store: ScopeStore | EntraPipelineError) -> dg.AssetCheckResult:
    """Evaluates the check of a scope; `store` is the scope's, or why it cannot be opened."""
    try:
        if isinstance(store, EntraPipelineError):
            raise store
        found = health(project.scope(name), store, system_clock())
    except EntraPipelineError as error:
        return _told(name, passed=False, severity=dg.AssetCheckSeverity.ERROR, text=str(error))
    age = f"{found.age.total_seconds() / 3600:,.1f} hours old" if found.age is not None else "there is none"
    return _told(
        name,
        passed=found.freshness == FRESH,
        severity=dg.AssetCheckSeverity.WARN if found.freshness == LATE else dg.AssetCheckSeverity.ERROR,
        text=f"{found.freshness}: last good point {found.good or '-'}, {age}",
    )


def _told(scope: str, *, passed: bool, severity: dg.AssetCheckSeverity, text: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=asset_key(scope, RECOVERY_POINT),
        check_name=CHECK,
        passed=passed,
        severity=severity,
        description=text,
    )
