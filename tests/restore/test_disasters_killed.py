"""`kill -9` at random moments of undoing disaster 2: started again, it goes on, and nothing is there twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable

import msgspec
import pytest

from entra_pipeline.restore.report import read_report
from tests.restore import disasters
from tests.restore.test_disasters_undone import Site, bad, site

__all__ = ["site"]
TYPES = ("users", "groups", "devices", "contacts", "administrative_units", "applications", "service_principals")


def test_a_killed_restore_doubles_nothing(site: Callable[..., Site], request: pytest.FixtureRequest) -> None:
    one = site(*TYPES, "app_role_assignments", "role_definitions", "role_assignments", "user_licenses")
    point = one.backup()
    disasters.delete_people(one.control, users=20, groups=6, for_good=True)
    plan = one.plan(point)
    assert [refusal for refusal in plan.refusals if refusal.kind == "unresolved"] == []
    file = one.project.file.with_name("plan.json")
    file.write_bytes(msgspec.json.encode(plan))
    one.control.knobs(latency=0.05)
    chance = random.Random(2)
    killed = 0
    while killed < int(request.config.getoption("--chaos-kills")):
        process = start(one, file)
        while process.poll() is None and not one.control.writes():
            time.sleep(0.02)
        try:
            process.wait(chance.uniform(0.0, 0.5))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            killed += 1
        _, said = process.communicate(timeout=60)
        assert process.returncode in {0, -signal.SIGKILL}, said
        if process.returncode == 0:
            break
    assert killed > 0
    process = start(one, file)
    _, said = process.communicate(timeout=180)
    one.control.knobs(latency=0.0)
    report = read_report(one.store, plan.id)
    assert report is not None
    assert bad(report) == []
    assert process.returncode == 0, said
    users = Counter(user["userPrincipalName"] for user in one.control.dump("users"))
    groups = Counter((group["displayName"], group["mailNickname"]) for group in one.control.dump("groups"))
    said_twice = Counter(
        (a["principalId"], a["resourceId"], a["appRoleId"]) for a in one.control.dump("appRoleAssignment")
    )
    assert {*users.values(), *groups.values(), *said_twice.values()} == {1}
    assert one.plan(point, "again").steps == ()


def start(one: Site, plan: object) -> subprocess.Popen[str]:
    one.control.ledger(reset=True)
    return subprocess.Popen(
        [sys.executable, "-m", "tests.restore.applying", str(one.project.file), str(plan)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
