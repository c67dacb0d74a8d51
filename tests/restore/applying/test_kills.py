"""`kill -9` at any moment of an apply: started again, it goes on, and nothing is there twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from entra_pipeline.restore.records.report import read_report
from tests.restore.applying.conftest import Damaged, bad
from tests.restore.applying.test_faults import assert_back_once, many


def test_a_killed_apply_goes_on(
    damaged: Callable[..., Damaged], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    site = damaged("users", "groups", "applications")
    steps, before = many(site)
    plan = tmp_path / "plan.json"
    plan.write_bytes(msgspec.json.encode(site.plan(*steps)))
    # Answers that take their time, so that a kill comes between a request and its answer.
    site.control.knobs(latency=0.05)
    chance = random.Random(11)
    kills = int(request.config.getoption("--chaos-kills"))
    killed = 0
    while killed < kills:
        process = start(site, plan)
        try:
            # What comes before the first write takes longer than the writes.
            wait_for_writes(site, process)
            process.wait(chance.uniform(0.0, 0.4))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            killed += 1
        _, said = process.communicate(timeout=60)
        assert process.returncode in {0, -signal.SIGKILL}, said
        if process.returncode == 0:
            break
    process = start(site, plan)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert killed > 0
    report = read_report(site.store, "job")
    assert report is not None
    assert bad(report) == []
    assert_back_once(site, before)


def start(site: Damaged, plan: Path) -> subprocess.Popen[str]:
    file = site.project.file
    site.control.ledger(reset=True)
    return subprocess.Popen(
        [sys.executable, "-m", "tests.restore.applying", file, plan],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_writes(site: Damaged, process: subprocess.Popen[str]) -> None:
    """Waits until the process has written something, or has ended."""
    while process.poll() is None and not site.writes():
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
