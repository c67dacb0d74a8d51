"""How often somebody may try to sign in."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from threading import Condition
from time import monotonic

WINDOW = 300.0
"""Seconds for which a failed try counts."""
PER_ADDRESS = 10
"""Failed tries that an address has in that time."""
ALTOGETHER = 100
"""Failed tries that all have together: guessing from many addresses is guessing, too."""


# Seconds that a try waits at the most for those before it to end.
_PATIENCE = 10.0


class LoginThrottle:
    """Tries to sign in, lately: those that have failed, and those under way, which may fail.

    Many at once are as many as one after the other; but who comes while many sign in waits for them, and is no guesser.

    Args:
        clock: Seconds; only differences count.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._changed = Condition()
        self._failed: deque[tuple[float, str]] = deque()
        self._under_way: Counter[str] = Counter()

    def begin(self, address: str) -> float:
        """Begins a try of an address, which `end` ends; or the seconds until it may try, when it has had its tries."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._free(address) or self._seconds(address), _PATIENCE):
                return _PATIENCE
            if wait := self._seconds(address):
                return wait
            self._under_way[address] += 1
            return 0.0

    def end(self, address: str, *, succeeded: bool) -> None:
        """Ends a try; from where somebody has signed in, the failed ones are forgotten."""
        with self._changed:
            self._under_way[address] -= 1
            if not self._under_way[address]:
                del self._under_way[address]
            if succeeded:
                self._failed = deque(one for one in self._failed if one[1] != address)
            else:
                self._failed.append((self._clock(), address))
            self._changed.notify_all()

    def _own(self, address: str) -> list[float]:
        while self._failed and self._clock() - self._failed[0][0] > WINDOW:
            self._failed.popleft()
        return [moment for moment, one in self._failed if one == address]

    def _free(self, address: str) -> bool:
        """Whether a try may begin, even if all that are under way fail."""
        failed = len(self._own(address))
        return (
            failed + self._under_way[address] < PER_ADDRESS and len(self._failed) + self._under_way.total() < ALTOGETHER
        )

    def _seconds(self, address: str) -> float:
        """Seconds until one of those that have failed counts no more; 0 when there are not too many."""
        own = self._own(address)
        if len(own) < PER_ADDRESS and len(self._failed) < ALTOGETHER:
            return 0.0
        oldest = own[0] if len(own) >= PER_ADDRESS else self._failed[0][0]
        # A moment later than the one at which it would still count.
        return WINDOW - (self._clock() - oldest) + 1
