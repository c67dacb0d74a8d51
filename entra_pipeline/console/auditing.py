"""What the console writes into the audit log: who signed in, who did not, and every act."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING, Any

from starlette.requests import HTTPConnection

from entra_pipeline.audit import Act, AuditLog, Origin
from entra_pipeline.console.auth.sessions import User
from entra_pipeline.errors import EntraPipelineError

if TYPE_CHECKING:
    from entra_pipeline.console.app_state import AppState

_log = logging.getLogger(__name__)


def record(
    state: AppState,
    user: User | str,
    connection: HTTPConnection,
    *,
    action: str,
    result: str = "finished",
    scope: str = "",
    subject: str = "",
    **details: Any,
) -> None:
    """Writes an event: into the log of the scope's storage, or of all storages for what concerns no scope.

    That it cannot be written is said in the console's own log, and changes nothing else.

    Args:
        state: The console.
        user: Who it is; the name that was given by whoever could not sign in.
        connection: Where it comes from.
        action: What was done.
        result: How it ended.
        scope: The scope that it concerns.
        subject: What it was done to, or what came of it.
        details: What else there is to know. Never secrets.
    """
    origin = Origin(
        actor=user.name if isinstance(user, User) else user[:200],
        channel="console",
        host=socket.gethostname(),
        address=connection.client.host if connection.client else "",
    )
    act = Act(action=action, scope=scope, subject=subject, result=result, details=details)
    try:
        project = state.project()
        names = {one.storage for one in project.scopes.values() if scope in ("", one.name)}
        for name in sorted(names):
            AuditLog(project.storage[name].open()).write(act, origin)
    except EntraPipelineError as error:
        _log.warning("%s by %s is not in the audit log: %s", action, origin.actor, error)
