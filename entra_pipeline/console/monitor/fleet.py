"""How all scopes stand, looked at once for everybody who asks within a moment.

What belongs here: for how long that is believed. What does not: how a scope stands (`reports.fleet`).
"""

from __future__ import annotations

from datetime import datetime
from threading import Lock, Thread
from time import monotonic
from typing import NamedTuple

import msgspec

from entra_pipeline.clock import Clock
from entra_pipeline.project import Project
from entra_pipeline.reports.fleet import FleetScope, fleet_status
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.recovery_points import ScopeStore

# Seconds for which what was seen is believed. What is older is shown as well, while it is looked at again.
_MOMENT = 20.0
# From so many on it is not: nobody has asked for a while.
_STALE = 300.0


class FleetLook(NamedTuple):
    """What was seen at one look.

    Attributes:
        found: All scopes, what needs attention most first.
        moment: When they were looked at.
    """

    found: list[FleetScope]
    moment: datetime


class FleetWatch:
    """Looks how all scopes stand. Of each point, what a look needs of its manifest is kept until the next look.

    Args:
        clock: Tells the present moment.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        # Held by the one that looks.
        self._looking = Lock()
        self._project: Project | None = None
        self._last: tuple[FleetLook, float] | None = None
        self._manifests: dict[tuple[str, str], Manifest] = {}

    def look(self, project: Project) -> FleetLook:
        """Returns how the scopes of a project stand; of one that was asked for a while ago, as it was seen last."""
        known, age = self._known(project)
        if known is None or age > _STALE:
            with self._looking:
                known, age = self._known(project)
                return known if known is not None and age <= _MOMENT else self._looked(project)
        if age > _MOMENT and self._looking.acquire(blocking=False):
            Thread(target=self._renew, args=(project,), daemon=True).start()
        return known

    def _known(self, project: Project) -> tuple[FleetLook | None, float]:
        with self._lock:
            if self._last is None or self._project is not project:
                return None, 0.0
            return self._last[0], monotonic() - self._last[1]

    def _renew(self, project: Project) -> None:
        try:
            self._looked(project)
        finally:
            self._looking.release()

    def _looked(self, project: Project) -> FleetLook:
        with self._lock:
            same = self._project is not None and self._project.storage == project.storage
            before = self._manifests if same else {}
        used: dict[tuple[str, str], Manifest] = {}

        def read(store: ScopeStore, point: str) -> Manifest:
            key = (store.scope, point)
            # Tables are most of a manifest, and how a scope stands takes none of them.
            used[key] = before.get(key) or msgspec.structs.replace(store.manifest(point), tables={})
            return used[key]

        now = self._clock()
        look = FleetLook(fleet_status(project, project.scopes, now, read), now)
        with self._lock:
            self._project, self._last, self._manifests = project, (look, monotonic()), used
        return look
