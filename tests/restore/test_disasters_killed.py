"""`kill -9` at random moments of undoing disaster 2: started again, it goes on, and nothing is there twice."""

from __future__ import annotations

import csv
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from entra_pipeline.restore.execute.apply import LiveChanged
from entra_pipeline.restore.objects.model import RestorePlan
from entra_pipeline.restore.records.journal import RestoreUnfinished
from entra_pipeline.restore.records.plans import write_plan
from entra_pipeline.restore.records.report import read_report
from tests.restore import disasters
from tests.restore.test_disasters_undone import Site, bad, site

__all__ = ["site"]
TYPES = ("users", "groups", "devices", "contacts", "administrative_units", "applications", "service_principals")


@pytest.mark.parametrize("hostile", [False, True], ids=["as planned", "names taken, properties refused, replication"])
def test_a_killed_restore_doubles_nothing(
    hostile: bool, site: Callable[..., Site], request: pytest.FixtureRequest
) -> None:
    more = ("app_role_assignments", "role_definitions", "role_assignments", "user_licenses")
    one = site(*TYPES, *more, *(("deleted_users", "deleted_groups") if hostile else ()))
    # Seats for the people of every disaster: those who are gone for good keep theirs here.
    for sku in one.control.dump("subscribedSkus"):
        one.control.patch(f"subscribedSkus/{sku['id']}", {"prepaidUnits": {**sku["prepaidUnits"], "enabled": 100_000}})
    wanted, killed, chance = int(request.config.getoption("--chaos-kills")), 0, random.Random(2)
    # A restore ends at some time, however often it is killed: then the disaster happens again.
    for disaster in range(wanted):
        if killed == wanted:
            break
        point = one.backup()
        names = {user["id"]: user["userPrincipalName"] for user in one.control.dump("users")}
        disasters.delete_people(one.control, users=14 if hostile else 20, groups=6, for_good=True)
        binned = disasters.delete_people(one.control, users=6, groups=0) if hostile else []
        taken = disasters.take_names(one.control, [names[user] for user in binned]) if hostile else []
        plan = one.plan(point, f"disaster-{disaster}", taken="rename")
        unresolved = {refusal.id for refusal in plan.refusals if refusal.kind == "unresolved"}
        assert unresolved == {user for user in binned if names[user] in taken}
        if hostile:
            disasters.refuse_properties(one.control)
            one.control.knobs(lag=0.3, lag_writes=True)
        killed += _restore_killed(one, plan, wanted - killed, chance)
        one.control.knobs(lag=0.0, lag_writes=False)
        one.control.behave()
        users = Counter(user["userPrincipalName"] for user in one.control.dump("users"))
        groups = Counter((group["displayName"], group["mailNickname"]) for group in one.control.dump("groups"))
        said_twice = Counter(
            (a["principalId"], a["resourceId"], a["appRoleId"]) for a in one.control.dump("appRoleAssignment")
        )
        assert {*users.values(), *groups.values(), *said_twice.values()} == {1}
        again = one.plan(point, f"again-{disaster}")
        assert {name for step in again.steps for name in step.body} <= (
            set(disasters.REFUSED.values()) if hostile else set()
        )
        assert {step.action for step in again.steps} <= {"update"}
        # What was refused is set when Graph takes it; who has another name keeps it.
        assert bad(one.apply(again)) == []
        last = one.plan(point, f"last-{disaster}")
        assert last.steps == ()
        assert {refusal.id for refusal in last.refusals if refusal.kind == "unresolved"} == unresolved
    assert killed == wanted


def _restore_killed(one: Site, plan: RestorePlan, most: int, chance: random.Random) -> int:
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
            told = [one for one in bad(report) if one[1] != "restored with differences" or not _is_refused(one[2])]
            assert (process.returncode in {0, 3}, told) == (True, []), said
            one.control.knobs(latency=0.0)
            return killed


def _is_refused(reason: str) -> bool:
    return any(f"without {name}: Graph answered 400" in reason for name in disasters.REFUSED.values())


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
    # A batch that was on its way is still carried out.
    written = -1
    while written != (written := len(one.control.writes())):
        time.sleep(0.5)
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


KEY = "a key that is the same on every machine"


def test_a_restore_killed_on_one_machine_hands_over_all_first_passwords_on_another(
    site: Callable[..., Site], tmp_path: Path
) -> None:
    one = site("users")
    point = one.backup()
    disasters.delete_people(one.control, users=12, groups=0, for_good=True)
    plan = one.plan(point, "killed")
    write_plan(one.store, plan)
    made = [step for step in plan.steps if (step.table, step.action) == ("users", "create")]
    first, second = (machine(one, tmp_path / name) for name in ("first", "second"))
    one.control.ledger(reset=True)
    one.control.knobs(latency=0.1)
    process = restore(first, KEY, plan.scope, "--apply", plan.id, "--yes")
    while process.poll() is None and len([w for w in one.control.writes() if w["status"] == 201]) < 3:
        time.sleep(0.02)
    assert process.poll() is None, process.communicate()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    one.control.knobs(latency=0.0)
    assert process.returncode == -signal.SIGKILL

    # Another key hands over nothing, and says what to do.
    wrong = restore(second, "some other key, which is as long", plan.scope, "--resume", plan.id)
    _, said = wrong.communicate(timeout=120)
    assert wrong.returncode != 0
    assert "passwords_key" in said
    [record] = one.store.jobs.all()
    assert record.status == "failed"

    done = restore(second, KEY, plan.scope, "--resume", plan.id)
    out, said = done.communicate(timeout=180)
    assert done.returncode == 0, out + said
    file = second.parent / "restore-killed-passwords.csv"
    assert not (first.parent / file.name).exists()
    with file.open(newline="") as source:
        rows = list(csv.DictReader(source))
    assert {row["userPrincipalName"] for row in rows} == {step.body["userPrincipalName"] for step in made}
    assert len(rows) == len(made) >= 10
    assert [row for row in rows if not one.control.has_password(*row.values())] == []
    [record] = one.store.jobs.all()
    assert (record.status, record.details["passwords"]) == ("finished", len(made))
    assert str(file) in str(record.details["passwords_to"])
    report = read_report(one.store, plan.id)
    assert report is not None
    assert (report.passwords, bool(report.passwords_at)) == (len(made), True)
    # What was handed over is in the store no more, and the values never were.
    kept = {kept.key: one.store.files.read(kept.key) for kept in one.store.files.list("_")}
    assert not [key for key in kept if "passwords" in key]
    assert not [key for key, data in kept.items() for row in rows if row["password"].encode() in data]


def machine(one: Site, folder: Path) -> Path:
    """The configuration of another machine, which has nothing but the store in common."""
    folder.mkdir()
    file = folder / "dagster_project.toml"
    text = one.project.file.read_text().replace('"backup"', f'"{one.project.file.parent / "backup"}"')
    table = "[tenants.simulated.restore]\n"
    file.write_text(text.replace(table, f'{table}passwords_key = {{ env = "RESTORE_KEY" }}\n'))
    return file


def restore(file: Path, key: str, *arguments: str) -> subprocess.Popen[str]:
    """Calls the command as from a shell."""
    command = "from entra_pipeline.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", command, "--project", str(file), "restore", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "RESTORE_KEY": key},
    )


def start(one: Site, plan: object) -> subprocess.Popen[str]:
    one.control.ledger(reset=True)
    return subprocess.Popen(
        [sys.executable, "-m", "tests.restore.applying", str(one.project.file), str(plan)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
