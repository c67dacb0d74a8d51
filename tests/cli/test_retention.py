"""`prune` and `hold` as a shell sees them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from entra_pipeline.simulator import Simulator
from entra_pipeline.store.retention.prune_log import PruneRecords
from tests.support.aging import Life, lived
from tests.support.command import Place, write_project


@pytest.fixture
def place(simulator: Simulator, tmp_path: Path) -> Place:
    """A project with a scope `aged`, whose points are of the past; it keeps them for a week."""
    extra = '[scopes.aged]\ntenant = "contoso"\nstorage = "disk"\nprotect = ["users"]\nretention = "1 weeks"\n'
    place = Place(write_project(tmp_path, simulator, extra), simulator)
    begins = datetime.now(UTC).replace(microsecond=0) - timedelta(days=20)
    life = Life(tmp_path, name="aged", begins=begins, place="backup", max_incrementals=1)
    lived(life, days=15)
    return place


def test_prune_tells_what_goes_and_why_the_rest_stays(place: Place) -> None:
    points = place.store("aged").points()
    held = place.call("hold", "aged", "--at", points[0], "--reason", "the audit", "--json")
    assert (held.code, [one["recovery_point"] for one in held.json]) == (0, points[:1])
    [dry] = place.call("prune", "aged", "--dry-run", "--json").json
    assert place.store("aged").points() == points
    [done] = place.call("prune", "aged", "--json").json
    assert {**dry, "dry_run": False} == done
    gone = [one["recovery_point"] for one in done["points"] if one["forgotten"]]
    assert len(gone) == done["forgotten"] == 13
    assert place.store("aged").points() == [points[0], points[14]]
    assert done["points"][0]["kept"] == "held: the audit"
    assert done["bytes_deleted"] > 0
    [job] = place.store("aged").jobs.all()
    assert (job.type, job.status, job.trigger) == ("prune", "finished", "command")
    assert (job.details["forgotten"], job.details["bytes_deleted"]) == (gone, done["bytes_deleted"])
    assert place.call("verify", "aged").code == 0
    [record] = PruneRecords(place.store("aged").files, "aged")
    assert record.by


def test_prune_prints_a_table_and_what_is_freed(place: Place) -> None:
    points = place.store("aged").points()
    dry = place.call("prune", "--dry-run")
    assert dry.code == 0
    assert "14 recovery points would be forgotten, 1 kept" in dry.out
    assert f"{points[0]}" in dry.out
    assert "scope few, retention forever: 0 recovery points would be forgotten, 0 kept" in dry.out
    done = place.call("prune")
    assert "14 recovery points forgotten, 1 kept" in done.out
    assert place.call("prune", "aged").out.count("\n") == 1


def test_a_scope_that_is_busy_does_not_stop_the_others(place: Place) -> None:
    with place.store("few").lock():
        result = place.call("prune", "--json")
        assert place.call("prune", "few").code == 1
    assert result.code == 1
    assert {one["scope"]: one["error"] for one in result.json if one["error"]}.keys() == {"few"}
    assert "scope 'few' is held by process" in result.err
    assert len(place.store("aged").points()) == 1


def test_holds_are_set_shown_and_released(place: Place) -> None:
    assert place.call("hold", "aged").out == "nothing of scope aged is held\n"
    assert place.call("hold", "aged", "--reason", "litigation").code == 0
    shown = place.call("hold", "aged")
    assert "the whole scope" in shown.out
    assert "litigation" in shown.out
    assert place.call("prune", "aged", "--json").json[0]["forgotten"] == 0
    assert place.call("hold", "aged", "--release", "--json").json == []
    again = place.call("hold", "aged", "--release")
    assert (again.code, "is not held" in again.err) == (1, True)
    for wrong in (["--release", "--reason", "x"], ["--at", "latest"], ["--reason", " "]):
        assert place.call("hold", "aged", *wrong).code == 2
    assert place.call("hold", "aged", "--at", "2020-01-01T00-00-00Z", "--reason", "x").code == 2
