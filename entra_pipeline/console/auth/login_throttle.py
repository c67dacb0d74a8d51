"""How often somebody may fail to sign in: per origin, never for all together.

What belongs here: which failures count against whom. What does not: what a failure is (`console.pages.sign_in`).

An origin is a browser that has signed in before (its device cookie proves that), or else an address. One that fails
too often locks out nobody but itself: there is no common limit that an outsider could use up for others. Guessing from
many addresses finds nothing either, as the password of the local account has 80 random bits.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from threading import Condition
from time import monotonic

WINDOW = 300.0
"""Seconds for which a failed try counts."""
PER_ORIGIN = 10
"""Failed tries that an origin has in that time."""
AT_ONCE = 8
"""Tries that are checked at a time: each takes 32 MB and a thread."""

# Seconds that a try waits at the most for those before it to end.
_PATIENCE = 10.0
# Bits of an IPv6 address that its owner cannot choose (RFC 6177: a site has a /64 at the least).
_OWN_BITS = 64


class LoginThrottle:
    """Tries to sign in, lately: those that have failed, and those under way, which may fail.

    Many at once are as many as one after the other; but who comes while many sign in waits for them, and is no guesser.

    Args:
        clock: Seconds; only differences count.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._changed = Condition()
        self._failed: dict[str, deque[float]] = {}
        self._under_way: Counter[str] = Counter()

    def begin(self, origin: str) -> float:
        """Begins a try of an origin, which `end` ends; or the seconds until it may try, when it has had its tries."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._free(origin) or self._seconds(origin), _PATIENCE):
                return _PATIENCE
            if wait := self._seconds(origin):
                return wait
            self._under_way[origin] += 1
            return 0.0

    def end(self, origin: str, *, succeeded: bool) -> None:
        """Ends a try; from where somebody has signed in, the failed ones are forgotten."""
        with self._changed:
            self._under_way[origin] -= 1
            if not self._under_way[origin]:
                del self._under_way[origin]
            if succeeded:
                self._failed.pop(origin, None)
            else:
                self._failed.setdefault(origin, deque()).append(self._clock())
            self._changed.notify_all()

    def _count(self, origin: str) -> int:
        """How many have failed; forgets those of all origins that count no more."""
        over = self._clock() - WINDOW
        for one in list(self._failed):
            while self._failed[one] and self._failed[one][0] < over:
                self._failed[one].popleft()
            if not self._failed[one]:
                del self._failed[one]
        return len(self._failed.get(origin, ()))

    def _free(self, origin: str) -> bool:
        """Whether a try may begin, even if all that are under way fail."""
        return self._count(origin) + self._under_way[origin] < PER_ORIGIN

    def _seconds(self, origin: str) -> float:
        """Seconds until one of those that have failed counts no more; 0 when there are not too many."""
        if self._count(origin) < PER_ORIGIN:
            return 0.0
        # A moment later than the one at which it would still count.
        return WINDOW - (self._clock() - self._failed[origin][0]) + 1


def origin_of(address: str) -> str:
    """The origin that an address belongs to: itself, or of IPv6 its /64, in which one owner has all addresses."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address) or parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else parsed)
    return f"{IPv6Address(int(parsed) >> _OWN_BITS << _OWN_BITS)}/{_OWN_BITS}"
