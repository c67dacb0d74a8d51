"""A scope with its logs on a simulated tenant, read over real HTTP, and held against what really happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from entra_pipeline.catalogue import Lane
from entra_pipeline.graph.pacing import LIMITS, Limit
from entra_pipeline.graph.retry import use_policy
from entra_pipeline.simulator import Simulator
from tests.support.logged import Logged
from tests.support.patience import IMPATIENT


@pytest.fixture(autouse=True)
def _impatience(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Neither retries nor the slow lane are what these tests are about."""
    monkeypatch.setitem(LIMITS, Lane.REPORTS, Limit(1000, 1.0))
    with use_policy(IMPATIENT):
        yield


@pytest.fixture
def tenant(tmp_path: Path) -> Iterator[Callable[..., Logged]]:
    """Starts a tenant with a scope on it: `tenant(settings, users=…, seed=…)`."""
    started: list[Simulator] = []

    def start(settings: str = 'protect = ["users"]\nlogs = true', *, users: int = 40, seed: int = 5) -> Logged:
        simulator = Simulator(users, 4, seed)
        simulator.start()
        started.append(simulator)
        folder = tmp_path / f"tenant{len(started)}"
        folder.mkdir()
        return Logged(simulator, folder, settings)

    yield start
    for simulator in started:
        simulator.stop()
