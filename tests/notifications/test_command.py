"""The command tells after its jobs, and what becomes of that changes nothing of the job's outcome."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from entra_pipeline.simulator import Simulator
from tests.support.command import Place, write_project
from tests.support.post_office import PASSWORD, PostOffice

PROFILE = '[notifications.ops]\nto = ["ops@example.com"]\nbackup = ["finished", "finished with exception", "failed"]\n'


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(users=5, groups=2, seed=3) as one:
        yield one


@pytest.fixture
def office(tmp_path: Path) -> Iterator[PostOffice]:
    one = PostOffice(tmp_path, implicit=False)
    yield one
    one.shut()


def test_backups_are_told_when_the_server_is_there(simulator: Simulator, office: PostOffice, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(PASSWORD)
    place = Place(write_project(tmp_path, simulator, office.table() + PROFILE), simulator)
    first = place.call("backup", "few")
    assert first.code == 0
    assert "not notified" in first.err
    assert "mail.host" in first.err
    [row] = place.call("notifications", "list", "--json").json
    assert (row["profile"], row["waiting"]) == ("ops", 1)
    office.open()
    simulator.control.deny("domains", 403)
    try:
        second = place.call("backup", "few")
    finally:
        simulator.control.deny("domains", 0)
    assert second.code == 3
    assert "not notified" not in second.err
    [mail] = office.mails
    assert mail["Subject"] == "Backup of few finished with exception"
    assert "Domain.Read.All" in mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert place.call("notifications", "test", "ops").out == "sent to ops@example.com\n"
    unknown = place.call("notifications", "test", "opps")
    assert (unknown.code, "ops" in unknown.err) == (2, True)
