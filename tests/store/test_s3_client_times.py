"""Times in answers of S3 services: read as botocore reads them, only sooner."""

from __future__ import annotations

import pytest
from botocore.utils import parse_timestamp

from entra_pipeline.store.backends.s3.client import timestamp

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-30T22:21:03.000Z",
        "2026-11-30T22:21:03.123456789Z",
        "2026-11-30T22:21:03Z",
        "2026-11-30T23:21:03+01:00",
        "20261130T222103Z",
        "Mon, 30 Nov 2026 22:21:03 GMT",
        "1796077263",
        1796077263,
    ],
)
def test_a_time_is_what_botocore_takes_it_for(value: str | int) -> None:
    found = timestamp(value)
    assert found.tzinfo is not None
    assert abs((found - parse_timestamp(value)).total_seconds()) < 1e-5


def test_what_is_no_time_is_an_error() -> None:
    with pytest.raises(ValueError, match="Invalid timestamp"):
        timestamp("yesterday")
