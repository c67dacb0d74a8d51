"""Events that notifications may be about: how a job ended, an unusual change.

What belongs here: storing an event. What does not: who is notified, and how (`notifications`). An event is a
small object that waits in the store until it is dispatched, so that it survives the process that caused it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from entra_pipeline.store.manifest import canonical
from entra_pipeline.store.recovery_points import ScopeStore

EVENTS = "_notifications/events/"


def announce(store: ScopeStore, event: Mapping[str, Any]) -> None:
    """Stores an event of a scope; a later one of the same id replaces it until it has been dispatched.

    Args:
        store: The scope's store.
        event: A job record; or what has the same members `id`, `type`, `scope`, `status`, `finished`.
    """
    store.files.replace(f"{EVENTS}{store.scope}/{event['id']}.json", canonical(dict(event)))
