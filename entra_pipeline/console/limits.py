"""How often somebody may try to sign in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Lock
from time import monotonic

WINDOW = 300.0
"""Seconds for which a failed try counts."""
PER_ADDRESS = 10
"""Failed tries that an address has in that time."""
ALTOGETHER = 100
"""Failed tries that all have together: guessing from many addresses is guessing, too."""


class Tries:
    """Failed tries to sign in, lately.

    Args:
        clock: Seconds; only differences count.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._failed: deque[tuple[float, str]] = deque()

    def wait(self, address: str) -> float:
        """Seconds until an address may try again; 0 when it may now."""
        now = self._clock()
        with self._lock:
            while self._failed and now - self._failed[0][0] > WINDOW:
                self._failed.popleft()
            own = [moment for moment, one in self._failed if one == address]
            if len(own) < PER_ADDRESS and len(self._failed) < ALTOGETHER:
                return 0.0
            oldest = own[0] if len(own) >= PER_ADDRESS else self._failed[0][0]
            return WINDOW - (now - oldest)

    def failed(self, address: str) -> None:
        """Counts a failed try."""
        with self._lock:
            self._failed.append((self._clock(), address))
