"""What saving an edit of a scope takes and brings: two administrators stay two, and Dagster loads its definitions."""

from __future__ import annotations

from entra_pipeline.console.app_state import AppState
from entra_pipeline.console.dagster.client import DagsterUnavailable
from entra_pipeline.errors import UsageError
from entra_pipeline.project import Scope


def require_approval_kept(scope: Scope, *, approval: bool, tenant: str) -> None:
    """Checks that an edit lets no administrator alone restore what takes two.

    Raises:
        UsageError: It does.
    """
    if not approval or tenant != scope.tenant:
        raise UsageError(
            "restores of this scope require approval by a second administrator; "
            "approval and tenant cannot be changed in the console",
            remedy=f"Edit approval or tenant in {scope.setting('approval')[0].name}, on the console's machine.",
        )


def reloaded(state: AppState) -> str:
    """Has Dagster load its definitions again; returns what to say when it cannot, empty when it has."""
    try:
        state.dagster.reload()
    except DagsterUnavailable as error:
        return f" Dagster does not know yet: {error.message}."
    return ""
