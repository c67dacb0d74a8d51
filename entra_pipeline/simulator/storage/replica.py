"""A replica that lags: what reads see while the knob `lag` is set (Graph doc: designing for eventual consistency).

What belongs here: an older state of the same tenant, kept as an open read transaction of SQLite. What does not: when it
is used (`graph.tenant`).
"""

from __future__ import annotations

import sqlite3
import threading
import time
from datetime import datetime

from entra_pipeline.simulator.storage.database import FIRST_CHANGE
from entra_pipeline.simulator.storage.directory import Directory
from entra_pipeline.simulator.storage.links import DirectoryReader


class Replica(DirectoryReader):
    """The directory as it was when it was last caught up; only for reading.

    Args:
        primary: The directory that writes go to; it is switched to a write-ahead log, so no transaction may be open.
    """

    def __init__(self, primary: Directory) -> None:
        primary.allow_readers()
        self.primary = primary
        self.lock = threading.RLock()
        self._db = sqlite3.connect(primary.path, isolation_level=None, check_same_thread=False)
        self._caught_up = 0.0
        self.catch_up()

    def catch_up(self) -> None:
        """Sees everything that has been written up to now."""
        if self._db.in_transaction:
            self._db.execute("COMMIT")
        self._db.execute("BEGIN")
        # The first read is what the state is frozen by.
        self._change = int(self.meta("change") or FIRST_CHANGE)
        self._extensions = None
        self._drop_kept()
        self._caught_up = time.monotonic()

    def follow(self, lag: float) -> None:
        """Catches up when that is longer ago than the lag."""
        if time.monotonic() - self._caught_up >= lag:
            self.catch_up()

    def now(self) -> datetime:
        """Returns the tenant's time; clocks do not lag."""
        return self.primary.now()
