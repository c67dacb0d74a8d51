"""The command, called as from a shell, on a simulated tenant and a local folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from entra_pipeline import demo as story
from entra_pipeline.simulator import Simulator
from tests.support.command import Place, write_project


@pytest.fixture(scope="session")
def simulator() -> Iterator[Simulator]:
    """A tenant that the tests may change, but whose apps, ports and knobs they leave as they were."""
    with Simulator(users=60, groups=8, seed=11) as running:
        yield running


@pytest.fixture(scope="session")
def backed_up(simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A project with a full and an incremental point of everything, which tests only read."""
    place = Place(write_project(tmp_path_factory.mktemp("backed-up"), simulator), simulator)
    story.prepare(simulator.control)
    assert place.call("backup", "all").code == 0
    list(story.live(simulator.control))
    assert place.call("backup", "all").code == 0
    return place


@pytest.fixture
def place(simulator: Simulator, tmp_path: Path) -> Place:
    """A project of the test's own, with nothing backed up."""
    return Place(write_project(tmp_path, simulator), simulator)
