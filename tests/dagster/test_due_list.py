"""Which scopes are due, looked at without Dagster: many tenants, some of which fail."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from entra_pipeline.operations.due_list import (
    OF_A_TENANT,
    OF_THE_SLOW,
    PAUSES,
    DueList,
    DueRun,
    DueState,
    EndedRun,
    Failing,
    Why,
    offset,
)
from entra_pipeline.project import Scope

pytestmark = pytest.mark.pure

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def scope(name: str, tenant: str = "", schedule: str | None = "0 */6 * * *", zone: str = "UTC") -> Scope:
    return Scope(name=name, tenant=tenant or name, storage="disk", schedule=schedule, timezone=zone)


class Watch:
    """Looks one after the other; what is asked for is under way until it is said to have ended."""

    def __init__(self, *scopes: Scope, spread: timedelta = timedelta(), most: int = 1_000) -> None:
        self.list = DueList({one.name: one for one in scopes}, spread, most)
        self.state: DueState | None = None
        self.known = {one.name for one in scopes}
        self.under_way: list[str] = []
        self.overdue = 0

    def look(self, now: datetime, *ended: EndedRun) -> list[DueRun]:
        for one in ended:
            if one.scope in self.under_way:
                self.under_way.remove(one.scope)
        found = self.list.look(self.state, now, known=self.known, under_way=self.under_way, ended=ended)
        # As the cursor keeps it.
        self.state = msgspec.json.decode(msgspec.json.encode(found.state), type=DueState)
        self.under_way += [run.scope.name for run in found.runs]
        self.overdue = found.overdue
        return found.runs

    def names(self, now: datetime, *ended: EndedRun) -> list[str]:
        return [run.scope.name for run in self.look(now, *ended)]


def failed(name: str, at: datetime, run: str = "run") -> EndedRun:
    return EndedRun(run, name, at, Why.REPAIR)


def test_a_scope_is_due_once_at_each_tick() -> None:
    watch = Watch(scope("a"), scope("b", schedule="30 12 * * *"), scope("c", schedule=None))
    assert watch.look(NOON - MINUTE) == []
    [run] = watch.look(NOON + timedelta(seconds=10))
    assert (run.scope.name, run.due.since, run.due.why, run.slow) == ("a", NOON, Why.SCHEDULE, False)
    assert run.key == "a schedule 2026-11-23T12:00:00Z"
    assert watch.names(NOON + MINUTE, EndedRun("1", "a", NOON + MINUTE)) == []
    assert watch.names(NOON + 31 * MINUTE) == ["b"]


def test_of_ticks_that_were_missed_the_last_one_counts() -> None:
    watch = Watch(scope("a", schedule="0 * * * *"))
    watch.look(NOON)
    [run] = watch.look(NOON + timedelta(days=3, minutes=5))
    assert run.due.since == NOON + timedelta(days=3)


def test_schedules_are_those_of_their_time_zones() -> None:
    watch = Watch(scope("a", schedule="0 13 * * *", zone="Europe/Stockholm"), scope("b", schedule="0 13 * * *"))
    watch.look(NOON - MINUTE)
    assert watch.names(NOON) == ["a"]
    assert watch.names(NOON + HOUR) == ["b"]


def test_a_scope_that_is_new_is_due_at_once() -> None:
    watch = Watch(scope("a"), scope("b", schedule=None))
    watch.known = set()
    [run] = watch.look(NOON + MINUTE)
    assert (run.scope.name, run.due.why) == ("a", Why.NEW)


def test_tenants_are_spread_over_the_time_that_is_set_and_half_the_pause_at_most() -> None:
    names = [f"t{number}" for number in range(400)]
    assert {offset(name, HOUR) for name in names} == {offset(name, HOUR) for name in names}
    minutes = Counter(offset(name, HOUR) // MINUTE for name in names)
    assert min(minutes) == 0
    assert max(minutes) == 59
    assert max(minutes.values()) < 20
    watch = Watch(*(scope(name, schedule="0 * * * *") for name in names), spread=24 * HOUR)
    watch.look(NOON - timedelta(seconds=1))
    begun = [watch.look(NOON + number * MINUTE) for number in range(1, 32)]
    assert sum(map(len, begun)) == len(names)
    assert sum(map(bool, begun)) > 25


def test_a_tenant_with_many_scopes_stands_behind_one_with_few() -> None:
    many = [scope(f"many-{number}", "many", "0 12 * * *") for number in range(50)]
    watch = Watch(*many, scope("one", schedule="5 12 * * *"), most=3)
    watch.look(NOON - MINUTE)
    # All of them have been due for longer.
    found = watch.names(NOON + 6 * MINUTE)
    assert found.count("one") == 1
    assert len(found) == 1 + OF_A_TENANT
    assert watch.overdue == 50 - OF_A_TENANT
    assert len(watch.names(NOON + 7 * MINUTE, EndedRun("1", "many-0", NOON), EndedRun("2", "one", NOON))) == 1


def test_no_more_runs_are_asked_for_than_the_queue_is_to_hold() -> None:
    watch = Watch(*(scope(f"t{number}") for number in range(100)), most=7)
    watch.look(NOON - MINUTE)
    assert len(watch.look(NOON)) == 7
    assert watch.look(NOON + MINUTE) == []
    assert len(watch.look(NOON + 2 * MINUTE, *(EndedRun("1", one, NOON) for one in watch.under_way[:3]))) == 3


def test_a_failure_is_made_up_for_with_growing_pauses_and_then_waits_for_the_schedule() -> None:
    watch = Watch(scope("a", schedule="0 12 * * *"))
    watch.look(NOON - MINUTE)
    assert watch.names(NOON) == ["a"]
    now = NOON + MINUTE
    for number, pause in enumerate(PAUSES):
        ended = failed("a", now, str(number))
        assert watch.names(now, ended) == []
        # Dagster tells of it twice.
        assert watch.names(now + pause - timedelta(seconds=1), ended) == []
        [run] = watch.look(now + pause)
        assert (run.due.why, run.due.of, run.slow) == (Why.REPAIR, str(number), True)
        now += pause + MINUTE
    assert watch.names(now, failed("a", now, "last")) == []
    assert watch.names(NOON + 23 * HOUR) == []
    [run] = watch.look(NOON + 24 * HOUR)
    assert (run.due.why, run.slow) == (Why.SCHEDULE, True)
    watch.look(NOON + 25 * HOUR, EndedRun("good", "a", NOON + 25 * HOUR))
    assert watch.state is not None
    assert watch.state.failing == {}


def test_gaps_are_read_again_alone_and_logs_too() -> None:
    watch = Watch(scope("a"), scope("b"))
    watch.look(NOON)
    watch.look(
        NOON + MINUTE,
        EndedRun("1", "a", NOON, Why.REPAIR, ("users",)),
        EndedRun("2", "b", NOON, Why.REPAIR, logs=True),
    )
    found = {run.scope.name: run.due for run in watch.look(NOON + 10 * MINUTE)}
    assert (found["a"].types, found["a"].logs) == (("users",), False)
    assert (found["b"].types, found["b"].logs) == ((), True)


def test_an_unusual_change_is_looked_at_once_more() -> None:
    watch = Watch(scope("a"))
    watch.look(NOON)
    [run] = watch.look(NOON + MINUTE, EndedRun("1", "a", NOON, Why.UNUSUAL))
    again = watch.look(NOON + 2 * MINUTE, EndedRun("1", "a", NOON, Why.UNUSUAL), EndedRun("2", "a", NOON))
    # Dagster launches one run for a key, however often it is asked for.
    assert {one.key for one in again} <= {run.key}
    assert not run.slow


def test_scopes_that_fail_have_few_places_together() -> None:
    bad = [scope(f"bad-{number}", schedule="0 * * * *") for number in range(30)]
    good = [scope(f"good-{number}", schedule="0 * * * *") for number in range(30)]
    watch = Watch(*bad, *good, most=8)
    watch.look(NOON - MINUTE)
    watch.state = DueState(NOON - MINUTE, failing={one.name: Failing("r", 9) for one in bad})
    found = watch.look(NOON)
    assert sum(run.slow for run in found) <= OF_THE_SLOW
    assert len(found) == 8
    # Those two never end; nobody else waits for them.
    for minute in range(1, 7):
        watch.look(
            NOON + minute * MINUTE,
            *(EndedRun("x", one, NOON) for one in list(watch.under_way) if one.startswith("good")),
        )
    assert watch.state is not None
    assert not [name for name in watch.state.waiting if name.startswith("good")]


def test_what_is_kept_does_not_grow_with_the_scopes() -> None:
    watch = Watch(*(scope(f"tenant-{number}") for number in range(2_000)), spread=HOUR, most=2_000)
    watch.look(NOON - MINUTE)
    watch.look(NOON + HOUR)
    assert len(watch.under_way) == 2_000
    assert len(msgspec.json.encode(watch.state)) < 100


def test_a_scope_that_is_gone_is_forgotten() -> None:
    watch = Watch(scope("a"), scope("b"), most=1)
    watch.look(NOON - MINUTE)
    [first] = watch.names(NOON)
    watch.list = DueList({first: watch.list.scopes[first]}, timedelta(), 1)
    watch.look(NOON + MINUTE, failed(first, NOON), failed("unknown", NOON))
    assert watch.state is not None
    assert watch.state.waiting.keys() | watch.state.failing.keys() == {first}
