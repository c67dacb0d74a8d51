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
    """Tries to sign in, lately: each counts until it has succeeded, so that many at once are as many.

    Args:
        clock: Seconds; only differences count.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._failed: deque[tuple[float, str]] = deque()

    def take(self, address: str) -> float:
        """Counts a try of an address; or the seconds until it may try again, when it has had its tries."""
        now = self._clock()
        with self._lock:
            while self._failed and now - self._failed[0][0] > WINDOW:
                self._failed.popleft()
            own = [moment for moment, one in self._failed if one == address]
            if len(own) < PER_ADDRESS and len(self._failed) < ALTOGETHER:
                self._failed.append((now, address))
                return 0.0
            oldest = own[0] if len(own) >= PER_ADDRESS else self._failed[0][0]
            # A moment later than the one at which it would still count.
            return WINDOW - (now - oldest) + 1

    def succeeded(self, address: str) -> None:
        """Forgets the tries of an address from which somebody has signed in."""
        with self._lock:
            self._failed = deque(one for one in self._failed if one[1] != address)
