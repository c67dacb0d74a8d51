"""`kill -9` in the middle of a backup: nothing half-done is ever visible, and the next backup goes on at once."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable

import pytest

from entra_pipeline import demo as story
from tests.chaos.conftest import Site, kill


@pytest.fixture(params=["local_site", "s3_site"])
def site(request: pytest.FixtureRequest) -> Site:
    found: Site = request.getfixturevalue(request.param)
    return found


def duration(work: Callable[[], object]) -> float:
    start = time.monotonic()
    work()
    return time.monotonic() - start


def test_a_killed_backup_leaves_nothing_half_done(site: Site, request: pytest.FixtureRequest) -> None:
    kills = int(request.config.getoption("--chaos-kills"))
    chance = random.Random(kills)
    code, said = 0, ""

    def first() -> None:
        nonlocal code, said
        code, said = site.backup()

    length = duration(first)
    assert code == 0, said
    killed = 0
    while killed < kills:
        list(story.live(site.simulator.control))
        before = site.store().points()
        start = time.monotonic()
        process = site.start()
        try:
            # From the imports to after the commit: every moment of a backup is as likely as any other.
            process.wait(chance.uniform(0, length * 1.1))
            # How long a backup takes changes with what else the machine does: one that got away tells it anew.
            length = time.monotonic() - start
            process.communicate()
        except subprocess.TimeoutExpired:
            killed += 1
            kill(process)
        after = site.store().points()
        assert after[: len(before)] == before
        assert len(after) - len(before) in {0, 1}, f"kill {killed}"
        assert site.problems() == []
        code, said = site.backup()
        assert code == 0, f"after kill {killed}: {said}"
        assert len(site.store().points()) == len(after) + 1
    assert site.problems() == []
    assert site.differences() == []


def test_two_backups_at_once_never_interleave(site: Site) -> None:
    one, other = site.start(), site.start()
    results = [(process.communicate(timeout=120)[1], process.returncode) for process in (one, other)]
    codes = sorted(code for _, code in results)
    points = site.store().points()
    assert codes in ([0, 0], [0, 1])
    assert len(points) == codes.count(0)
    refused = [said for said, code in results if code == 1]
    assert all("is being backed up" in said or "busy" in said or "held" in said for said in refused), refused
    assert all("→" in said and "Traceback" not in said for said in refused)
    assert site.problems() == []
    assert site.differences() == []
