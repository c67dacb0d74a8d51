"""The configuration for whoever asks for it all the time, such as each request of the console.

What belongs here: how often files are looked at. What does not: reading them (`loading`).
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from time import monotonic
from typing import NamedTuple

from entra_pipeline.project.folder import folder_of
from entra_pipeline.project.loading import load_project
from entra_pipeline.project.models import Project

LOOK = 1.0
"""Seconds for which it is believed that no file of `scopes.d` has been written over."""


class _Seen(NamedTuple):
    """What tells whether something has changed, with one look each: the main file, and the folder as a folder."""

    file: tuple[int, int, int]
    folder: tuple[int, int] | None


class WatchedProject:
    """A configuration file, loaded again when it has changed.

    The main file and the folder `scopes.d` itself are looked at each time: so files that come, go or take the place of
    others count at once. Each file in the folder is looked at once a second: one that is written over counts by then.

    Attributes:
        changes: How often something was seen to have changed: also when the same is written again, as somebody does who
            has changed a secret.

    Args:
        file: The configuration file.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._folder = folder_of(file)
        self._lock = Lock()
        self._seen: _Seen | None = None
        self._looked = 0.0
        self._project: Project | None = None
        self.changes = 0

    def load(self) -> Project:
        """Returns the configuration; the same object as before while nothing has changed. Raises as `load_project`."""
        with self._lock:
            seen, now = self._look(), monotonic()
            if self._project is None or seen is None or seen != self._seen or now - self._looked > LOOK:
                before, self._project = self._project, None
                # What changes meanwhile is seen the next time.
                project = load_project(self._file)
                if project is not before or seen != self._seen:
                    self.changes += 1
                self._project, self._seen, self._looked = project, seen, now
            return self._project

    def changed(self) -> None:
        """Has every file looked at the next time: somebody has changed one."""
        with self._lock:
            self._seen = None

    def _look(self) -> _Seen | None:
        try:
            file = self._file.stat()
        except OSError:
            return None
        try:
            folder = self._folder.stat()
        except OSError:
            return _Seen((file.st_mtime_ns, file.st_size, file.st_ino), None)
        return _Seen((file.st_mtime_ns, file.st_size, file.st_ino), (folder.st_mtime_ns, folder.st_ino))
