"""When objects are over: read from every form in which Graph says it, and never later than it was."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.clock import iso
from entra_pipeline.restore.objects.expiry import end_of, ending_at, with_fixed_end
from entra_pipeline.restore.objects.normalize import normalized

pytestmark = pytest.mark.pure

START = "2026-01-31T08:00:00.1234567Z"


@pytest.mark.parametrize(
    ("value", "end"),
    [
        ("2026-02-01T00:00:00Z", "2026-02-01T00:00:00Z"),
        ("2026-02-01", "2026-02-02T00:00:00Z"),
        (None, None),
        ("never", None),
        ({"endDateTime": "2026-02-01T00:00:00Z"}, "2026-02-01T00:00:00Z"),
        ({"type": "afterDuration", "duration": "P30D"}, None),
        ({"startDateTime": START, "expiration": {"type": "noExpiration", "endDateTime": None}}, None),
        ({"startDateTime": START, "expiration": {"type": "afterDuration", "duration": "P1D"}}, "2026-02-01T08:00:00Z"),
        ({"startDateTime": START, "expiration": {"type": "afterDuration", "duration": "P1M"}}, "2026-02-28T08:00:00Z"),
        (
            {"startDateTime": START, "expiration": {"type": "afterDuration", "duration": "P1Y2M1W3DT4H5M6S"}},
            "2027-04-10T12:05:06Z",
        ),
        ({"startDateTime": START, "expiration": {"type": "afterDuration", "duration": "P9999Y"}}, None),
        ({"startDateTime": START, "expiration": {"type": "afterDuration", "duration": "soon"}}, None),
        (
            {"expiration": {"type": "afterDateTime", "endDateTime": "2026-02-01T00:00:00Z", "duration": None}},
            "2026-02-01T00:00:00Z",
        ),
        ({"pattern": {}, "range": {"type": "endDate", "endDate": "2026-02-01"}}, "2026-02-02T00:00:00Z"),
        ({"pattern": {}, "range": {"type": "noEnd", "endDate": "0001-01-01"}}, None),
    ],
)
def test_ends(value: Any, end: str | None) -> None:
    found = end_of(value)
    assert (iso(found) if found else None) == end


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001 - made aware below
    st.builds("P{}DT{}H".format, st.integers(0, 400), st.integers(0, 23)),
)
def test_a_duration_that_is_sent_again_ends_when_it_would_have(start: datetime, duration: str) -> None:
    schedule = {
        "startDateTime": iso(start.replace(tzinfo=UTC)),
        "expiration": {"type": "afterDuration", "duration": duration},
    }
    sent = with_fixed_end(schedule)
    assert end_of(sent) == end_of(schedule)
    # Whenever it is sent: it says no more how long it lasts.
    assert end_of({**sent, "startDateTime": iso(datetime.now(UTC) + timedelta(days=1))}) == end_of(schedule)
    assert with_fixed_end(sent) == sent
    later = "2031-01-31T00:00:00Z"
    assert iso(end_of(ending_at(sent, later)) or datetime.now(UTC)) == later


@pytest.mark.parametrize(
    "table", [name for name, entry in CATALOGUE.items() if entry.restore.link and entry.restore.ends]
)
def test_no_assignment_is_compared_or_sent_by_its_duration(table: str) -> None:
    entry = CATALOGUE[table]
    schedule = {"startDateTime": START, "expiration": {"type": "afterDuration", "duration": "P30D"}}
    assert normalized(entry, {entry.restore.ends: schedule})[entry.restore.ends] == {
        "expiration": {"type": "afterDateTime", "endDateTime": "2026-03-02T08:00:00Z"}
    }
