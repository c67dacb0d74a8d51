"""Evaluates the check `fresh`: whether the last good recovery point of a scope is as new as its schedule promises."""

import dagster as dg

from entra_pipeline.clock import system_clock
from entra_pipeline.errors import EntraPipelineError
from entra_pipeline.orchestration.keys import FRESHNESS_CHECK, RECOVERY_POINT, asset_key
from entra_pipeline.project import Project
from entra_pipeline.reports.health import FRESH, LATE, health
from entra_pipeline.store.recovery_points import ScopeStore


def freshness_result(project: Project, name: str, store: ScopeStore | EntraPipelineError) -> dg.AssetCheckResult:
    """Evaluates the check of a scope; `store` is the scope's, or why it cannot be opened."""
    try:
        if isinstance(store, EntraPipelineError):
            raise store
        found = health(project.scope(name), store, system_clock())
    except EntraPipelineError as error:
        return _result(name, passed=False, severity=dg.AssetCheckSeverity.ERROR, text=str(error))
    age = f"{found.age.total_seconds() / 3600:,.1f} hours old" if found.age is not None else "there is none"
    return _result(
        name,
        passed=found.freshness == FRESH,
        severity=dg.AssetCheckSeverity.WARN if found.freshness == LATE else dg.AssetCheckSeverity.ERROR,
        text=f"{found.freshness}: last good point {found.good or '-'}, {age}",
    )


def _result(scope: str, *, passed: bool, severity: dg.AssetCheckSeverity, text: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=asset_key(scope, RECOVERY_POINT),
        check_name=FRESHNESS_CHECK,
        passed=passed,
        severity=severity,
        description=text,
    )
