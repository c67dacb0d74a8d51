"""Retries: for how long, and with which pauses, something that fails is tried again.

What belongs here: the policy, as values, and the time that one piece of work has spent. What does not: which failures
are transient (`responses`, `credentials`), and the pause of a whole lane that Graph asks for (`pacing`).

Patience is time. No number of failures ends it: Graph may throttle for minutes with pauses of fractions of a second.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from time import monotonic

from entra_pipeline.runtime import ProcessDefault

# Of a pause, however long the polling: 2.0 to the power of 1024 is no number any more.
_MOST_DOUBLINGS = 60


class FailureKind(Enum):
    """What fails, and so how long it is waited for."""

    UNAVAILABLE = "unavailable"
    """Graph throttles, is unavailable, or breaks a connection: it says that this passes."""
    BAD_RESPONSE = "bad response"
    """Graph answers with an internal error, or breaks the protocol (`GraphProtocolError`), perhaps for ever."""
    UNREACHABLE = "unreachable"
    """Nothing has answered since the process started: a setting is wrong, more likely than not."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The patience of a run, one for pages, batches, parts of batches, writes and sign-in.

    Attributes:
        timeout: Seconds for which work that Graph throttles, or is unavailable for, is tried again.
        bad_response_timeout: The same where Graph answers, and answers with an internal error or something unreadable.
        unreachable_timeout: The same as long as nothing has been answered at all.
        least_attempts: Attempts that are made even when each takes longer than these times.
        first_pause: Seconds that double with each attempt.
        longest_pause: Upper bound of a pause, in seconds, where Graph names no time.
        longest_wait: Upper bound of a pause that Graph asks for: its windows are no longer than minutes.
    """

    timeout: float = 900.0
    bad_response_timeout: float = 90.0
    unreachable_timeout: float = 10.0
    least_attempts: int = 3
    first_pause: float = 0.5
    longest_pause: float = 30.0
    longest_wait: float = 300.0

    def limit(self, kind: FailureKind) -> float:
        """Returns the seconds for which failures of a kind are borne."""
        limits = {
            FailureKind.UNAVAILABLE: self.timeout,
            FailureKind.BAD_RESPONSE: self.bad_response_timeout,
            FailureKind.UNREACHABLE: self.unreachable_timeout,
        }
        return min(self.timeout, limits[kind])

    def pause(self, attempt: int, asked: float = 0.0) -> float:
        """Returns the seconds to wait after attempt number `attempt`, from 1: exponential backoff with full jitter.

        Args:
            attempt: Number of the attempt.
            asked: Seconds that Graph asks for (`Retry-After`); the pause is never shorter than the backoff.
        """
        doubled = self.first_pause * 2.0 ** min(attempt, _MOST_DOUBLINGS)
        backoff = random.uniform(0.5, 1.0) * min(self.longest_pause, doubled)  # noqa: S311
        return max(backoff, min(asked, self.longest_wait))


@dataclass(slots=True)
class Attempts:
    """The attempts at one piece of work, none of which has succeeded.

    Attributes:
        policy: The patience.
        since: When the first attempt failed, by `now`; None before. Waiting for a turn is no failure.
        count: Attempts so far.
        last: Why the last one failed, for a person.
        now: Seconds on a clock that only goes forward.
    """

    policy: RetryPolicy
    since: float | None = None
    count: int = 0
    last: str = ""
    now: Callable[[], float] = monotonic

    @property
    def elapsed(self) -> float:
        """Seconds since the first attempt failed."""
        return 0.0 if self.since is None else self.now() - self.since

    def failed(self, kind: FailureKind, last: str = "", *, asked: float = 0.0) -> float | None:
        """Counts a failed attempt.

        Args:
            kind: What failed.
            last: Why, for a person.
            asked: Seconds that Graph asks to wait.

        Returns:
            Seconds to wait before the next attempt, the last of which falls on the end of the patience; None when the
            patience is over.
        """
        self.count += 1
        self.last = last or self.last
        self.since = self.now() if self.since is None else self.since
        left = self.policy.limit(kind) - self.elapsed
        enough = self.count >= self.policy.least_attempts
        if left <= 0 and enough:
            return None
        pause = self.policy.pause(self.count, asked)
        return min(pause, left) if enough else pause

    def __str__(self) -> str:
        return f"{self.count} times in {self.elapsed:.0f} s: {self.last}"


_default = ProcessDefault(RetryPolicy())


def default_policy() -> RetryPolicy:
    """Returns the policy of a `Graph` that is given none."""
    return _default.value


def use_policy(policy: RetryPolicy) -> AbstractContextManager[None]:
    """Gives a policy to every `Graph` of this process that is opened meanwhile without one of its own."""
    return _default.replaced(policy)
