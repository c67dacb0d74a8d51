"""A scope with its logs on a simulated tenant, read over real HTTP, and held against what really happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from entra_pipeline.catalogue import Lane
from entra_pipeline.graph.pacing import LIMITS, Limit
from entra_pipeline.graph.retry import use_policy
from tests.support.logged import Logged
from tests.support.patience import IMPATIENT
from tests.support.protected import starting


@pytest.fixture(autouse=True)
def _impatience(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Neither retries nor the slow lane are what these tests are about."""
    monkeypatch.setitem(LIMITS, Lane.REPORTS, Limit(1000, 1.0))
    with use_policy(IMPATIENT):
        yield


@pytest.fixture
def tenant(tmp_path: Path) -> Iterator[Callable[..., Logged]]:
    """Starts a tenant with a scope on it: `tenant(settings, users=…, seed=…)`."""
    with starting(tmp_path, Logged) as start:

        def logged(settings: str = 'protect = ["users"]\nlogs = true', **options: Any) -> Logged:
            return start(settings, groups=4, **options)

        yield logged
