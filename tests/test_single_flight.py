"""Answers that are found once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from entra_pipeline.single_flight import SingleFlightCache

pytestmark = pytest.mark.pure


def test_it_is_found_once_and_those_asked_last_are_kept() -> None:
    once, looked = SingleFlightCache[str](2), list[str]()

    def ask(what: str) -> str:
        return once.get(what, lambda: looked.append(what) or what.upper())

    assert [ask(one) for one in ("a", "b", "a", "c", "a", "b")] == ["A", "B", "A", "C", "A", "B"]
    assert looked == ["a", "b", "c", "b"]
    once.clear()
    assert ask("a") == "A" and looked[-1] == "a"


def test_whoever_asks_at_the_same_time_waits() -> None:
    once, begun, go_on, looked = SingleFlightCache[int](2), Event(), Event(), list[int]()

    def find() -> int:
        begun.set()
        assert go_on.wait(20)
        looked.append(1)
        return len(looked)

    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(once.get, "x", find)
        assert begun.wait(20)
        others = [pool.submit(once.get, "x", find) for _ in range(7)]
        go_on.set()
        assert [one.result() for one in (first, *others)] == [1] * 8


def test_what_fails_is_asked_for_again() -> None:
    once = SingleFlightCache[int](2)
    with pytest.raises(ZeroDivisionError):
        once.get("x", lambda: 1 // 0)
    assert once.get("x", lambda: 1) == 1
