"""The ticks that are told of are those that Dagster makes, in the nights of clock changes too."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from itertools import takewhile

import pytest
from dagster._utils.schedules import is_valid_cron_string, schedule_execution_time_iterator
from hypothesis import given, settings
from hypothesis import strategies as st

from entra_pipeline.project.models import Scope
from entra_pipeline.project.schedules import last_run, longest_pause, next_runs
from entra_pipeline.ticks import problem

pytestmark = pytest.mark.pure

ZONES = [
    "Europe/Stockholm",
    "America/New_York",
    "America/St_Johns",
    "America/Santiago",
    "Africa/Cairo",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "UTC",
]
MINUTES = ["0", "30", "15", "59", "0,30", "*/15", "7"]
HOURS = ["*", "0", "1", "2", "3", "*/6", "*/2", "1-3", "2,14", "23"]
DAYS = ["*", "*", "*", "1", "15", "29", "31", "L"]
MONTHS = ["*", "*", "*", "3", "10", "apr-nov"]
WEEKDAYS = ["*", "*", "*", "0", "1-5", "sun", "0#1"]
FIRST, YEARS = datetime(2026, 1, 1, tzinfo=UTC), timedelta(days=730)


def scope(schedule: str, zone: str) -> Scope:
    return Scope(name="contoso", tenant="contoso", storage="here", retention="1 year", schedule=schedule, timezone=zone)


def as_the_daemon(schedule: str, zone: str) -> list[datetime]:
    """Two years of ticks, one after the other as Dagster's daemon finds them."""
    ticks = schedule_execution_time_iterator((FIRST - timedelta(days=1)).timestamp(), schedule, zone)
    moments = (datetime.fromtimestamp(tick.timestamp(), UTC) for tick in ticks)
    return list(takewhile(lambda one: one < FIRST + YEARS, moments))


# Dagster's documentation: a time that comes twice ticks the second time, one that is left out ticks when it is over.
@pytest.mark.parametrize(
    ("schedule", "zone", "after", "expected"),
    [
        ("30 2 * * *", "Europe/Stockholm", "2026-10-24T12:00Z", ["2026-10-25T02:30+01:00", "2026-10-26T02:30+01:00"]),
        ("30 2 * * *", "Europe/Stockholm", "2026-03-28T12:00Z", ["2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"]),
        ("0 2 * * *", "America/New_York", "2026-10-31T12:00Z", ["2026-11-01T02:00-05:00", "2026-11-02T02:00-05:00"]),
        ("0 * * * *", "Europe/Stockholm", "2026-10-24T23:30Z", ["2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00"]),
        ("30 2 * * *", "Asia/Kolkata", "2026-10-24T12:00Z", ["2026-10-25T02:30+05:30", "2026-10-26T02:30+05:30"]),
        ("0 * * * *", "Asia/Kolkata", "2026-10-24T12:00Z", ["2026-10-24T18:00+05:30", "2026-10-24T19:00+05:30"]),
    ],
)
def test_a_tick_in_the_night_of_a_clock_change_is_dagsters(
    schedule: str, zone: str, after: str, expected: list[str]
) -> None:
    found = next_runs(scope(schedule, zone), datetime.fromisoformat(after), 2)
    assert [one.isoformat(timespec="minutes") for one in found] == expected
    one = scope(schedule, zone)
    for tick in (datetime.fromisoformat(text).astimezone(UTC) for text in expected):
        assert last_run(one, tick) == tick
        assert last_run(one, tick + timedelta(seconds=59)) == tick


@settings(max_examples=80, deadline=None)
@given(
    fields=st.tuples(*map(st.sampled_from, (MINUTES, HOURS, DAYS, MONTHS, WEEKDAYS))),
    zone=st.sampled_from(ZONES),
    places=st.lists(st.floats(0.01, 0.99), min_size=4, max_size=4),
)
def test_next_and_last_run_are_ticks_of_dagsters_daemon(
    fields: tuple[str, ...], zone: str, places: list[float]
) -> None:
    schedule = " ".join(fields)
    if problem(schedule):
        # The 31st of months that have none.
        assert not is_valid_cron_string(schedule) or "no year has" in problem(schedule)
        return
    one, ticks = scope(schedule, zone), as_the_daemon(schedule, zone)
    assert ticks == sorted(set(ticks))
    # Any moment, and those beside the clock changes of autumn and spring and beside a tick.
    moments = [FIRST + place * YEARS for place in places]
    moments += [datetime(2026, month, day, 0, 45, tzinfo=UTC) for month in (3, 4, 10, 11) for day in (1, 5, 25, 29)]
    moments += [ticks[len(ticks) // 2], ticks[len(ticks) // 3] - timedelta(seconds=1)]
    for now in moments:
        place = bisect_right(ticks, now)
        if place > 0:
            assert last_run(one, now) == ticks[place - 1]
        if place + 2 < len(ticks):
            assert [due.astimezone(UTC) for due in next_runs(one, now, 2)] == ticks[place : place + 2]


def test_a_pause_across_the_night_in_which_clocks_are_put_back_is_longer() -> None:
    assert longest_pause("0 */6 * * *", "Europe/Stockholm") == timedelta(hours=7)
    assert longest_pause("0 */6 * * *", "Asia/Kolkata") == timedelta(hours=6)
    assert longest_pause("0 1 * * *", "Australia/Lord_Howe") == timedelta(hours=24, minutes=30)
    # It goes on through the hour that comes twice.
    assert longest_pause("0 * * * *", "Europe/Stockholm") == timedelta(hours=1)


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ("0 0 15W * *", "letter"),
        ("R R * * *", "letter"),
        ("0 0 30 2 *", "no year has"),
        ("0 0 31 4,6 *", "no year has"),
        ("@reboot", "not a cron expression"),
        ("60 * * * *", "not a cron expression"),
        ("0 0 * * * 30", "not a cron expression"),
    ],
)
def test_a_schedule_that_dagster_does_not_run_is_refused_in_the_configuration(schedule: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        scope(schedule, "UTC")


@pytest.mark.parametrize(
    "schedule", ["@daily", "@HOURLY", "0 0 * mar thu", "0 0 * * wed,fri", "5 4 * * sun#1", "0 0 L * *", "0 0 29 2 *"]
)
def test_a_schedule_that_is_taken_is_one_that_dagster_takes(schedule: str) -> None:
    assert scope(schedule, "UTC").schedule == schedule
    assert is_valid_cron_string(schedule)
