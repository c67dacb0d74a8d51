"""`entra-pipeline logs`, as from a shell."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from entra_pipeline.simulator import Simulator
from tests.support.command import Place, write_project


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with Simulator(users=30, groups=4, seed=11) as simulator:
        simulator.control.knobs(throttle_lanes=False)
        yield Place(write_project(tmp_path_factory.mktemp("logs"), simulator), simulator)


def day(days_ago: int) -> str:
    return f"{datetime.now(UTC) - timedelta(days=days_ago):%Y-%m-%d}"


def test_what_is_due_is_read_and_listed(place: Place) -> None:
    assert place.call("logs", "all", "--list").out == "no day is stored yet\n"
    first = place.call("logs", "all", "--types", "sign_ins,provisioning", "--json")
    assert first.code == 0
    assert {one["log"] for one in first.json} == {"sign_ins", "provisioning"}
    assert len(first.json) == 62
    assert f"sign_ins {day(3)}: " in first.err
    [job] = place.store().jobs.all()
    assert (job.type, job.trigger, job.status) == ("logs", "command", "finished")
    assert job.members()["days"] == 31
    listed = place.call("logs", "all", "--list", "--json").json
    assert {(one["log"], one["day"], one["rows"]) for one in listed} == {
        (one["log"], one["day"], one["rows"]) for one in first.json
    }
    table = place.call("logs", "all", "--list", "--types", "sign_ins", "--from", day(4), "--to", day(3)).out
    assert (day(4) in table, day(3) in table, day(5) in table) == (True, True, False)
    assert "complete" in table
    again = place.call("logs", "all", "--types", "sign_ins", "--csv")
    assert again.code == 0
    assert again.out.splitlines()[0].startswith("log,day,rows,added,changed,complete,requests,bytes,gaps")
    assert len(again.out.splitlines()) <= 3


def test_days_that_are_asked_for_are_read_anew_and_gaps_end_with_3(place: Place) -> None:
    result = place.call("logs", "all", "--types", "directory_audits", "--from", day(33), "--to", day(28))
    assert result.code == 3
    assert f"directory_audits {day(33)}: entries from" in result.out
    assert result.out.count(day(28)) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["few"], "protects no logs"),
        (["all", "--types", "signins"], "did you mean"),
        (["all", "--from", "2026-02-30"], "2026-02-30"),
        (["all", "--from", day(1), "--to", day(2)], "comes after"),
        (["all", "--to", day(-2)], "in the future"),
        (["nobody"], "no scope"),
        (["all", "--list", "--json", "--csv"], "exclude each other"),
    ],
)
def test_what_cannot_be_asked(place: Place, arguments: list[str], said: str) -> None:
    result = place.call("logs", *arguments)
    assert result.code == 2
    assert said in result.err


def test_help_names_it(place: Place, tmp_path: Path) -> None:
    assert "logs" in place.call("--help").out
    assert "--from" in place.call("logs", "--help").out
