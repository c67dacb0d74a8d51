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

from entra_pipeline.restore.execute.executor import LiveChanged
from entra_pipeline.restore.objects.model import Plan
from entra_pipeline.restore.records.journal import RestoreUnfinished
from entra_pipeline.restore.records.report import read_report
from tests.restore import disasters
from tests.restore.test_disasters_undone import Site, bad, site

__all__ = ["site"]
TYPES = ("users", "groups", "devices", "contacts", "administrative_units", "applications", "service_principals")


def test_a_killed_restore_doubles_nothing(site: Callable[..., Site], request: pytest.FixtureRequest) -> None:
    one = site(*TYPES, "app_role_assignments", "role_definitions", "role_assignments", "user_licenses")
    # Seats for the people of every disaster: those who are gone for good keep theirs here.
    for sku in one.control.dump("subscribedSkus"):
        one.control.patch(f"subscribedSkus/{sku['id']}", {"prepaidUnits": {**sku["prepaidUnits"], "enabled": 100_000}})
    wanted, killed, chance = int(request.config.getoption("--chaos-kills")), 0, random.Random(2)
    # A restore ends at some time, however often it is killed: then the disaster happens again.
    for disaster in range(wanted):
        if killed == wanted:
            break
        point = one.backup()
        disasters.delete_people(one.control, users=20, groups=6, for_good=True)
        plan = one.plan(point, f"disaster-{disaster}")
        assert [refusal for refusal in plan.refusals if refusal.kind == "unresolved"] == []
        killed += _restore_killed(one, plan, wanted - killed, chance)
        users = Counter(user["userPrincipalName"] for user in one.control.dump("users"))
        groups = Counter((group["displayName"], group["mailNickname"]) for group in one.control.dump("groups"))
        said_twice = Counter(
            (a["principalId"], a["resourceId"], a["appRoleId"]) for a in one.control.dump("appRoleAssignment")
        )
        assert {*users.values(), *groups.values(), *said_twice.values()} == {1}
        assert one.plan(point, f"again-{disaster}").steps == ()
    assert killed == wanted


def _restore_killed(one: Site, plan: Plan, most: int, chance: random.Random) -> int:
    """Applies a plan in processes that are killed at random moments after their first write; how many were."""
    file = one.project.file.with_name("plan.json")
    file.write_bytes(msgspec.json.encode(plan))
    one.control.knobs(latency=0.05)
    killed = 0
    while True:
        process = start(one, file)
        if killed < most:
            while process.poll() is None and not one.control.writes():
                time.sleep(0.02)
            try:
                process.wait(chance.uniform(0.0, 0.5))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                killed += 1
        _, said = process.communicate(timeout=180)
        if process.returncode != -signal.SIGKILL:
            report = read_report(one.store, plan.id)
            assert report is not None, said
            assert (process.returncode, bad(report)) == (0, []), said
            one.control.knobs(latency=0.0)
            return killed


def test_after_a_kill_nothing_else_is_planned_or_applied_until_it_has_come_to_its_end(
    site: Callable[..., Site],
) -> None:
    one = site("users", "groups")
    point = one.backup()
    disasters.delete_people(one.control, users=4, groups=4, for_good=True)
    plan, stale = one.plan(point, "killed"), one.plan(point, "stale")
    file = one.project.file.with_name("plan.json")
    file.write_bytes(msgspec.json.encode(plan))
    one.control.knobs(latency=0.1)
    process = start(one, file)
    while process.poll() is None and not [w for w in one.control.writes() if w["path"] == "groups"]:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    one.control.knobs(latency=0.0)
    one.control.ledger(reset=True)
    with pytest.raises(RestoreUnfinished, match=r"restore killed to this tenant .*\n.* --resume killed"):
        one.plan_from_end_to_end(point)
    with pytest.raises(RestoreUnfinished, match="restore killed to this tenant"):
        one.apply(stale)
    assert one.control.writes() == []

    assert bad(one.apply(plan)) == []
    # What was planned before does not know what has come back under new ids: nothing is made a second time.
    with pytest.raises(LiveChanged):
        one.apply(stale)
    report = one.apply(stale, go_on=True)
    made = {step.number for step in stale.steps if (step.table, step.action) == ("groups", "create")}
    assert {outcome.result for outcome in report.outcomes if outcome.number in made} == {"refused"}
    groups = Counter((group["displayName"], group["mailNickname"]) for group in one.control.dump("groups"))
    assert {*groups.values()} == {1}
    assert one.plan_from_end_to_end(point).steps == ()


def start(one: Site, plan: object) -> subprocess.Popen[str]:
    one.control.ledger(reset=True)
    return subprocess.Popen(
        [sys.executable, "-m", "tests.restore.applying", str(one.project.file), str(plan)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
