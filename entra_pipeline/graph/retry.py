"""Retries: how often, for how long and with which pauses a request that failed is sent again.

What belongs here: the policy, as values. What does not: which failures are transient (`client`, `writing`), and the
pauses that Graph itself asks for (`pacing`).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

# Of a pause, however long the polling: 2.0 to the power of 1024 is no number any more.
_MOST_DOUBLINGS = 60


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Limits and pauses of retries.

    Attributes:
        timeout: Seconds after which a request that keeps failing for transient reasons is given up.
        attempts: Attempts of one request; of a batch, attempts in a row that answered none of its parts.
        attempts_unanswered: Attempts of one request as long as Graph has not answered anything at all.
        first_pause: Seconds that double with each attempt.
        longest_pause: Upper bound of a pause, in seconds.
    """

    timeout: float = 900.0
    attempts: int = 8
    attempts_unanswered: int = 4
    first_pause: float = 0.5
    longest_pause: float = 30.0

    def pause(self, attempt: int) -> float:
        """Returns the seconds to wait after attempt number `attempt`, from 1: exponential backoff with full jitter.

        Counts only where Graph named no time itself (`Retry-After`).
        """
        doubled = self.first_pause * 2.0 ** min(attempt, _MOST_DOUBLINGS)
        return random.uniform(0.5, 1.0) * min(self.longest_pause, doubled)  # noqa: S311


_default = RetryPolicy()


def default_policy() -> RetryPolicy:
    """Returns the policy of a `Graph` that is given none."""
    return _default


@contextmanager
def use_policy(policy: RetryPolicy) -> Iterator[None]:
    """Gives a policy to every `Graph` of this process that is opened meanwhile without one of its own."""
    global _default
    before, _default = _default, policy
    try:
        yield
    finally:
        _default = before
