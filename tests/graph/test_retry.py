"""Patience is time: no number of failures ends it, and no answer makes it hurry."""

from __future__ import annotations

from email.utils import formatdate
from time import time

import pytest

from entra_pipeline.graph.responses import retry_after, transient
from entra_pipeline.graph.retry import Attempts, FailureKind, RetryPolicy

pytestmark = pytest.mark.pure


def give_up(kind: FailureKind, asked: float, policy: RetryPolicy | None = None) -> tuple[int, float, list[float]]:
    """How many attempts fail, after how many seconds it is given up, and the pauses."""
    clock = 0.0
    attempts = Attempts(policy or RetryPolicy(), now=lambda: clock)
    pauses: list[float] = []
    while (pause := attempts.failed(kind, "throttled", asked=asked)) is not None:
        pauses.append(pause)
        clock += pause
    return attempts.count, clock, pauses


@pytest.mark.parametrize("asked", [0.0, 0.249, 1.0, 45.0])
def test_what_is_unavailable_is_waited_for_until_the_patience_is_over(asked: float) -> None:
    count, elapsed, pauses = give_up(FailureKind.UNAVAILABLE, asked)
    assert elapsed == pytest.approx(900.0)
    assert count > 15
    # Only the last pause may be shorter than asked: it ends with the patience.
    assert all(pause >= asked for pause in pauses[:-1])
    assert min(pauses[5:-1]) >= 15.0


def test_a_request_that_fails_alone_is_given_up_earlier_and_what_never_answered_earlier_still() -> None:
    assert give_up(FailureKind.BAD_RESPONSE, 0.0)[1] == pytest.approx(90.0)
    assert give_up(FailureKind.UNREACHABLE, 0.0)[1] == pytest.approx(10.0)


def test_a_huge_pause_is_cut_to_what_graph_ever_means() -> None:
    count, elapsed, pauses = give_up(FailureKind.UNAVAILABLE, 10.0**9)
    assert max(pauses) == 300.0
    assert (count, elapsed) == (4, 900.0)


def test_slow_attempts_are_not_given_up_after_the_first() -> None:
    clock = 0.0
    attempts = Attempts(RetryPolicy(), now=lambda: clock)
    for _ in range(2):
        assert attempts.failed(FailureKind.BAD_RESPONSE) is not None
        clock += 100.0
    assert attempts.failed(FailureKind.BAD_RESPONSE) is None
    assert "3 times in 200 s" in str(attempts)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        *((f"{number}", float(number)) for number in (0, 1, 86400)),
        *(("0.249", 0.249), (" 7 ", 7.0)),
        *((rubbish, 0.0) for rubbish in ("-5", "", "soon", "nan", "inf", "1e400", "Fri, 99 Foo 2026 99:99:99 GMT")),
    ],
)
def test_retry_after_in_all_its_forms(value: str, seconds: float) -> None:
    assert retry_after({"retry-after": value}) == seconds


def test_a_date_to_wait_for_counts_from_the_servers_clock() -> None:
    now = time()
    assert retry_after({"retry-after": formatdate(now + 30, usegmt=True)}) == pytest.approx(30, abs=2)
    assert retry_after({"retry-after": formatdate(now - 30, usegmt=True)}) == 0.0
    late = {"date": formatdate(now - 3600, usegmt=True), "retry-after": formatdate(now - 3590, usegmt=True)}
    assert retry_after(late) == 10.0


def test_which_statuses_pass() -> None:
    passing = {status for status in range(200, 600) if transient(status) is FailureKind.UNAVAILABLE}
    assert passing == {408, 429} | set(range(502, 600)) - {505}
    assert transient(500) is FailureKind.BAD_RESPONSE
