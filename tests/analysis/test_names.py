"""Values in a few words."""

from __future__ import annotations

import pytest

from entra_pipeline.analysis.names import short_pair

pytestmark = pytest.mark.pure


def test_long_values_are_shown_from_where_they_differ() -> None:
    same = [{"name": f"Setting{number}", "value": "false"} for number in range(5)]
    before, after = ([*same, {"name": "Allowed", "value": value}] for value in ("one", "other"))
    assert short_pair(before, after) == ('…"Allowed","value":"one"}]', '…"Allowed","value":"other"}]')


def test_short_values_and_those_that_differ_at_once_are_shown_from_their_beginning() -> None:
    assert short_pair("Sales", None) == ("Sales", "nothing")
    assert short_pair("a" * 100, "b" * 100) == ("a" * 59 + "…", "b" * 59 + "…")
