"""The restore command: what it shows, asks and writes, what it refuses, and how it goes on."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from entra_pipeline.restore.records.journal import has_begun
from entra_pipeline.simulator import Simulator
from tests.support.command import Place, call, write_project

DOCS = Path(__file__).parents[2] / "docs"
_TYPES = '[scopes.people]\ntenant = "contoso"\nstorage = "disk"\nprotect = [{}]\n'
_PROTECT = (
    "users",
    "user_licenses",
    "groups",
    "conditional_access_policies",
    "named_locations",
)


class Damaged(NamedTuple):
    """A tenant of the test's own with a recovery point of the scope `people`."""

    place: Place
    point: str

    def restore(self, *arguments: object) -> Any:
        return self.place.call("restore", "people", *arguments)

    def differing(self) -> list[dict[str, Any]]:
        """What differs between the point and the tenant now."""
        found: list[dict[str, Any]] = self.place.call(
            "diff", "people", "--from", self.point, "--to", "live", "--json"
        ).json["changes"]
        return [one for one in found if one["change"] != "volatile" and not one["table"].startswith("deleted_")]

    @property
    def control(self) -> Any:
        return self.place.simulator.control

    def cloud_group(self) -> dict[str, Any]:
        """An assigned group with members that nothing else masters."""
        members = self.control.edges("groups", "members")
        return next(
            one
            for one in self.control.dump("groups")
            if not one.get("onPremisesSyncEnabled")
            and not one.get("membershipRule")
            and sum(source == one["id"] for source, _, _ in members) > 2
        )


@pytest.fixture
def damaged(tmp_path: Path) -> Iterator[Damaged]:
    with Simulator(users=30, groups=8, seed=5) as simulator:
        protect = ", ".join(f'"{name}"' for name in _PROTECT)
        place = Place(write_project(tmp_path, simulator, _TYPES.format(protect)), simulator)
        assert place.call("backup", "people").code == 0
        yield Damaged(place, place.call("points", "people", "--json").json[0]["recovery_point"])


def writes(simulator: Simulator) -> int:
    """Requests other than GET that the tenant has got."""
    entries = simulator.control.ledger(entries=True)["entries"]
    asking = ("getAvailableExtensionProperties", "getByIds")
    return sum(one["method"] != "GET" and not one["path"].endswith(asking) for one in entries)


def test_a_deleted_group_comes_back(damaged: Damaged) -> None:
    group = damaged.cloud_group()
    before = damaged.control.edges("groups", "members")
    damaged.control.delete(f"groups/{group['id']}")
    chosen = ("--at", damaged.point, "--types", "groups", "--ids", group["id"])

    damaged.control.ledger(reset=True)
    shown = damaged.restore(*chosen, "--dry-run")
    assert shown.code == 0, shown.err
    assert "undelete" in shown.out
    assert group["displayName"] in shown.out
    assert "nothing was written" in shown.out
    # Without a terminal, nobody can be asked.
    asked = damaged.restore(*chosen)
    assert asked.code == 2
    assert "--yes" in asked.err
    assert writes(damaged.place.simulator) == 0
    # The points that these took are not what anybody wants back, nor is that of a look at the damage.
    assert damaged.place.call("diff", "people", "--to", "live").code == 0
    latest = damaged.restore("--at", "latest", *chosen[2:], "--dry-run")
    assert f"latest is {damaged.point}; points taken by comparisons and restores are left out" in latest.err
    assert "undelete" in latest.out

    done = damaged.restore(*chosen, "--yes")
    assert done.code == 0, done.out + done.err
    assert "finished" in done.out
    assert damaged.control.edges("groups", "members") == before
    [job] = damaged.place.call("report", "jobs", "--type", "restore", "--format", "json").json["jobs"]
    told = damaged.place.call("report", "job", job["id"], "--format", "json").json
    written = [one for one in told["objects"] if one["type"] == "groups"]
    assert [(one["name"], one["action"], one["result"], one["verified"]) for one in written] == [
        (group["displayName"], "undelete", "restored", "yes")
    ]
    rows = damaged.place.call("report", "job", job["id"], "--format", "csv").out.splitlines()
    assert rows[0].startswith("type,name,id,action,what,result,verified") and len(rows) == 1 + len(told["objects"])
    taken = [row["taken_for"] for row in damaged.place.call("points", "people", "--json").json]
    # Read back twice: for what came out of the recycle bin besides, and for what was written.
    plans = ["restore plan"] * 2
    assert taken == ["by hand", *plans, "comparison", *plans, "undo point", *["read-back"] * 2]
    query = "SELECT taken_for FROM recovery_points ORDER BY recovery_point"
    named = damaged.place.call("sql", query, "--format", "json")
    assert named.code == 0, named.err
    assert [row["taken_for"] for row in named.json] == taken
    assert damaged.differing() == []
    again = damaged.restore(*chosen, "--yes")
    assert (again.code, "nothing differs" in again.out) == (0, True)

    jobs = [job for job in damaged.place.store("people").jobs.all() if job.type == "restore"]
    assert [(job.status, job.trigger, job.details["writes"]) for job in jobs] == [("finished", "command", 1)]
    # What it says undoes it, does.
    undo = next(line for line in done.out.splitlines() if line.startswith("to undo: ")).split()[3:]
    assert damaged.place.call(*undo, "--yes").code == 0
    assert [one["id"] for one in damaged.differing() if one["table"] == "groups"] == [group["id"]]


def test_what_a_point_did_not_read_is_restored_as_of_its_own_time_and_nothing_live_is_removed_for_it(
    damaged: Damaged,
) -> None:
    group = damaged.cloud_group()["id"]
    held = {target for source, target, _ in damaged.control.edges("groups", "members") if source == group}
    user = next(one["id"] for one in damaged.control.dump("users") if one["id"] not in held)
    damaged.control.add_link(f"groups/{group}/members", user)
    damaged.control.remove_link(f"groups/{group}/members", min(held))
    partial = damaged.place.call("backup", "people", "--types", "users").out.split()[0]
    row = damaged.place.call("points", "people", "--json").json[-1]
    assert (row["recovery_point"], row["status"], row["gaps"]) == (partial, "finished", [])
    then = row["older"]["group_members"]
    assert "users" not in row["older"]
    assert f"tables as of {then}" in " ".join(damaged.place.call("points", "people", "--csv").out.split())

    planned = damaged.restore("--at", partial, "--dry-run", "--json")
    assert planned.code == 3
    plan = planned.json["plan"]
    assert [(step["action"], step["id"], step["targets"]) for step in plan["steps"]] == [("link", group, [min(held)])]
    # On a slow machine, the tables of one read are of several seconds.
    assert plan["older"]["group_members"] == then
    (refused,) = [one for one in plan["refusals"] if one["kind"] == "unresolved"]
    assert (refused["table"], refused["id"]) == ("group_members", group)
    assert "1 link added after" in refused["reason"]
    shown = damaged.restore("--at", partial, "--dry-run")
    assert "restored from earlier data: " in shown.out
    assert f"group_members as of {then}" in shown.out
    # The remedy does what was not done.
    remedy = refused["remedy"].rstrip(".").partition(": ")[2].split()
    asked = damaged.restore(*remedy, "--dry-run", "--json")
    assert asked.code == 0, asked.err
    assert ("unlink", [user]) in [(step["action"], step["targets"]) for step in asked.json["plan"]["steps"]]


def test_a_part_that_was_changed_in_the_store_is_never_written_to_the_tenant(damaged: Damaged) -> None:
    group = damaged.cloud_group()
    damaged.control.patch(f"groups/{group['id']}", {"displayName": "Renamed"})
    store = damaged.place.store("people")
    part = store.manifest(damaged.point).tables["groups"].parts[0]
    file = damaged.place.file.parent / "backup" / part.key
    _change_keeping_size(file, group["displayName"], "X" * len(group["displayName"]))

    damaged.control.ledger(reset=True)
    chosen = ("--at", damaged.point, "--types", "groups", "--ids", group["id"])
    refused = damaged.restore(*chosen, "--yes")
    assert refused.code == 1, refused.out + refused.err
    assert f"{part.key} has other bytes than were written" in refused.err
    assert "verify shows what else differs" in refused.err
    assert writes(damaged.place.simulator) == 0


def _change_keeping_size(file: Path, text: str, other: str) -> None:
    """Replaces a text in a Parquet file, whose size stays the same: bytes before the footer belong to no column."""
    size, table = file.stat().st_size, pq.read_table(file)
    for name in ("displayName", "_raw"):
        place = table.schema.get_field_index(name)
        column = pc.replace_substring(table.column(name), text, other)
        table = table.set_column(place, table.schema.field(name), column)
    pq.write_table(table, file, compression="brotli", write_statistics=False, store_schema=False)
    data = file.read_bytes()
    footer = int.from_bytes(data[-8:-4], "little") + 8
    file.write_bytes(data[:-footer] + bytes(size - len(data)) + data[-footer:])
    assert file.stat().st_size == size


def test_users_made_anew_get_passwords_that_only_the_operator_can_read(damaged: Damaged, tmp_path: Path) -> None:
    user = next(one for one in damaged.control.dump("users") if not one.get("onPremisesSyncEnabled"))
    damaged.control.delete(f"users/{user['id']}")
    damaged.control.purge(user["id"])
    file = tmp_path / "secret.csv"
    done = damaged.restore(
        "--at", damaged.point, "--types", "users,user_licenses", "--ids", user["id"], "--yes", "--passwords", file
    )
    assert done.code == 0, done.out + done.err
    assert str(file) in done.out
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    name, password = file.read_text(encoding="utf-8").splitlines()[1].split(",", 1)
    assert name == user["userPrincipalName"]
    kept = b"".join(one.read_bytes() for one in (tmp_path / "backup").rglob("*") if one.is_file())
    assert password.strip('"').encode() not in kept + done.out.encode() + done.err.encode()
    made = next(one for one in damaged.control.dump("users") if one["userPrincipalName"] == name)
    assert made["id"] != user["id"]
    assert made["accountEnabled"] == user["accountEnabled"]


def test_first_passwords_go_into_no_file_that_others_can_read(damaged: Damaged, tmp_path: Path) -> None:
    user = next(one for one in damaged.control.dump("users") if not one.get("onPremisesSyncEnabled"))
    damaged.control.delete(f"users/{user['id']}")
    damaged.control.purge(user["id"])
    link, shared, twice = (tmp_path / name for name in ("link.csv", "shared.csv", "twice.csv"))
    link.symlink_to(tmp_path / "public.csv")
    shared.touch(mode=0o644)
    twice.touch(mode=0o600)
    os.link(twice, tmp_path / "again.csv")
    damaged.control.ledger(reset=True)
    for file, problem in ((link, "is a link"), (shared, "can be read by others"), (twice, "is a link")):
        refused = damaged.restore("--at", damaged.point, "--ids", user["id"], "--yes", "--passwords", file)
        assert (refused.code, problem in refused.err) == (2, True), refused.err
    assert writes(damaged.place.simulator) == 0
    assert not (tmp_path / "public.csv").exists()


def test_first_passwords_go_to_the_folder_that_is_configured(damaged: Damaged, tmp_path: Path) -> None:
    text = damaged.place.file.read_text()
    damaged.place.file.write_text(
        text.replace("[tenants.contoso.restore]\n", '[tenants.contoso.restore]\npasswords_folder = "private"\n')
    )
    user = next(one for one in damaged.control.dump("users") if not one.get("onPremisesSyncEnabled"))
    damaged.control.delete(f"users/{user['id']}")
    damaged.control.purge(user["id"])
    done = damaged.restore("--at", damaged.point, "--types", "users", "--ids", user["id"], "--yes")
    (file,) = (tmp_path / "private").iterdir()
    assert str(file) in done.out
    assert file.read_text().splitlines()[1].startswith(user["userPrincipalName"])


def test_values_of_extensions_that_nobody_registers_any_more_are_left_out_and_named(damaged: Damaged) -> None:
    users = [one for one in damaged.control.dump("users") if not one.get("onPremisesSyncEnabled")]
    user, name = next((one, key) for one in users for key in one if key.startswith("extension_"))
    app = next(one for one in damaged.control.dump("applications") if one["appId"].replace("-", "") in name)
    for path, one in (("users", user), ("applications", app)):
        damaged.control.delete(f"{path}/{one['id']}")
        damaged.control.purge(one["id"])
    done = damaged.restore("--at", damaged.point, "--types", "users", "--ids", user["id"], "--yes")
    assert done.code == 3, done.out + done.err
    assert f"without {name}" in done.out
    assert f"the application with the appId {app['appId']}" in done.out
    assert "failed" not in done.out
    back = next(one for one in damaged.control.dump("users") if one["userPrincipalName"] == user["userPrincipalName"])
    assert name not in back
    assert (back["displayName"], back["accountEnabled"]) == (user["displayName"], user["accountEnabled"])


def test_a_plan_names_whom_it_takes_away_and_the_options_that_say_otherwise(damaged: Damaged) -> None:
    group = damaged.cloud_group()
    made = damaged.control.create("users", {"displayName": "Added Since"})
    damaged.control.add_link(f"groups/{group['id']}/members", made)
    shown = damaged.restore("--at", damaged.point, "--dry-run")
    assert "- Added Since" in shown.out
    assert made not in shown.out
    assert "To delete it: --delete-added." in shown.out
    assert "1 step with 1 request" in shown.out
    merged = damaged.restore("--at", damaged.point, "--conflict", "merge", "--dry-run")
    assert "1 link added since" in merged.out
    assert "--conflict overwrite" in merged.out


def test_a_policy_whose_excluded_group_is_gone_is_refused(damaged: Damaged) -> None:
    group = damaged.cloud_group()
    policy = damaged.control.dump("identity/conditionalAccess/policies")[0]
    place = f"identity/conditionalAccess/policies/{policy['id']}"
    users = {**policy["conditions"]["users"], "excludeGroups": [group["id"]]}
    damaged.control.patch(place, {"conditions": {**policy["conditions"], "users": users}})
    assert damaged.place.call("backup", "people").code == 0
    chosen = ("--at", "latest", "--types", "conditional_access_policies", "--ids", policy["id"])
    damaged.control.patch(place, {"conditions": policy["conditions"], "displayName": "scrambled"})
    damaged.control.delete(f"groups/{group['id']}")
    damaged.control.purge(group["id"])

    damaged.control.ledger(reset=True)
    refused = damaged.restore(*chosen, "--yes")
    assert refused.code == 3, refused.out + refused.err
    assert "refused" in refused.out
    assert f"--types groups --ids {group['id']}" in refused.out
    assert writes(damaged.place.simulator) == 0


def test_a_person_signs_in_for_a_protected_action_and_the_audit_log_says_who(damaged: Damaged, tmp_path: Path) -> None:
    policies = "identity/conditionalAccess/policies"
    policy = damaged.control.dump(policies)[0]
    damaged.control.patch(f"{policies}/{policy['id']}", {"displayName": "Theirs"})
    damaged.control.knobs(user="anna@contoso.com", protected={policies: "c1"})
    chosen = ("--at", damaged.point, "--types", "conditional_access_policies", "--ids", policy["id"], "--yes")
    alone = damaged.restore(*chosen)
    assert alone.code == 3
    assert "plan again with --sign-in" in alone.out

    done = damaged.restore(*chosen, "--sign-in")
    assert done.code == 0, done.out + done.err
    assert "https://microsoft.com/devicelogin" in done.err and "signed in as anna@contoso.com" in done.err
    assert damaged.control.dump(policies)[0]["displayName"] == policy["displayName"]
    acts = damaged.place.call("report", "audit", "--format", "json").json["events"]
    assert [one["details"].get("signed in") for one in acts if one["action"] == "restore"].count(
        "anna@contoso.com"
    ) == 1
    # A token is nowhere: JSON Web Tokens begin so.
    assert not [file for file in tmp_path.rglob("*.json*") if b"eyJ" in file.read_bytes()]


def test_a_plan_is_saved_looked_at_and_applied(damaged: Damaged, tmp_path: Path) -> None:
    user = next(one for one in damaged.control.dump("users") if not one.get("onPremisesSyncEnabled"))
    other = next(one for one in damaged.control.dump("users") if not one.get("onPremisesSyncEnabled") and one != user)
    for one in (user, other):
        damaged.control.patch(f"users/{one['id']}", {"jobTitle": "Wizard"})
    file = tmp_path / "plan.json"
    planned = damaged.restore("--at", damaged.point, "--types", "users", "--dry-run", "--plan", file)
    assert planned.code == 0
    assert f"--apply {file}" in planned.out
    assert "Wizard → " in planned.out
    plan = json.loads(file.read_bytes())
    assert {step["id"] for step in plan["steps"]} == {user["id"], other["id"]}
    for arguments, words in (
        (("--at", damaged.point, "--dry-run", "--plan", file), "exists already"),
        (("--resume", plan["id"]), "has not been applied yet"),
    ):
        wrong = damaged.restore(*arguments)
        assert wrong.code == 2
        assert words in wrong.err

    # What a second administrator has to approve is carried out without one for a reason only, which stays.
    assert damaged.place.call("scope", "edit", "people", "--approval").code == 0
    refused = damaged.restore("--apply", file, "--yes")
    assert refused.code == 2
    assert "needs the approval of a second administrator" in refused.err and "--break-glass REASON" in refused.err

    # One changes meanwhile: nothing is written; then only that one is left alone.
    damaged.control.patch(f"users/{other['id']}", {"jobTitle": "Sorcerer"})
    changed = damaged.restore("--apply", file, "--yes", "--break-glass", "nobody else is there")
    assert changed.code == 1
    assert "--continue" in changed.err
    assert damaged.place.call("scope", "edit", "people", "--no-approval").code == 0
    acts = damaged.place.call("report", "audit", "--format", "json").json["events"]
    assert "nobody else is there" in [one["details"].get("break-glass") for one in acts if one["action"] == "restore"]
    assert {one["id"] for one in damaged.differing()} == {user["id"], other["id"]}
    done = damaged.restore("--apply", plan["id"], "--yes", "--continue", "--json")
    assert done.code == 3
    results = {one["id"]: one["result"] for one in done.json["report"]["outcomes"]}
    assert results == {user["id"]: "restored", other["id"]: "refused"}
    assert {one["id"] for one in damaged.differing()} == {other["id"]}

    file.write_bytes(file.read_bytes().replace(b"Wizard", b"Lizard"))
    forged = damaged.restore("--apply", file, "--yes")
    assert forged.code == 1
    assert "Plan again" in forged.err


def test_an_interrupted_restore_goes_on(damaged: Damaged, tmp_path: Path) -> None:
    users = [one["id"] for one in damaged.control.dump("users") if not one.get("onPremisesSyncEnabled")][:12]
    for one in users:
        damaged.control.delete(f"users/{one}")
    planned = damaged.restore("--at", damaged.point, "--types", "users", "--dry-run", "--json")
    job = planned.json["plan"]["id"]
    store = damaged.place.store("people")
    damaged.control.latency(0.4)
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from entra_pipeline.cli import run; sys.exit(run(sys.argv[1:]))",
            *("--project", str(damaged.place.file), "restore", "people", "--apply", job, "--yes"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        while not has_begun(store.files, job):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1].decode()
    finally:
        process.kill()
        process.wait()
    damaged.control.latency(0.0)
    assert process.returncode == 130, said
    assert f"toml restore people --resume {job}" in said
    stopped = store.jobs.find(job)
    assert stopped is not None and stopped.status == "cancelled"
    assert re.match(r"stopped after \d+ of \d+ steps; what was written stays", stopped.error)

    done = damaged.restore("--resume", job)
    assert done.code == 0, done.out + done.err
    assert damaged.differing() == []
    # Once more: it has come to its end, and says so again.
    damaged.control.ledger(reset=True)
    assert damaged.restore("--resume", job).code == 0
    assert writes(damaged.place.simulator) == 0


def test_the_documented_losses_are_those_of_the_catalogue() -> None:
    text = (DOCS / "restore.md").read_text(encoding="utf-8")
    table = re.search(r"<!-- lost: entra-pipeline (.*?) -->\n(.*?)\n<!-- /lost -->", text, re.S)
    assert table is not None
    assert table[2] == call(*table[1].split()).out.rstrip("\n")
    assert "| `users` | password, " in table[2]


WRONG = [
    ("restore few", 2, "--at is missing", "toml points lists them"),
    ("restore few --at latest --apply plan.json", 2, "exclude each other", "Choose one"),
    ("restore few --resume job --types users", 2, "--resume and --types exclude each other", "--at"),
    ("restore few --undo job --types users", 2, "--undo and --types exclude each other", "--at"),
    ("restore few --undo job", 2, "has no restore 'job'", "report jobs"),
    ("restore few --apply job --delete-added", 2, "--apply and --delete-added", "--at"),
    ("restore few --at latest --dry-run --yes", 2, "exclude each other", "Choose one"),
    ("restore few --at 2001-01-01T00:00:00Z", 2, "no recovery point at that time", "later"),
    ("restore few --at latest --types user", 2, "there is no object type 'user'", "did you mean 'users'?"),
    ("restore few --at latest --types devices", 2, "does not have devices", "toml objects few --at"),
    ("restore few --at latest --types deleted_users", 2, "recycle bin", "Choose users"),
    ("restore few --at latest --where true", 2, "a condition needs one object type", "--types TYPE"),
    ("restore few --at latest --types users --where nonsense", 2, "nonsense", "columns"),
    ("restore few --at latest --ids nobody", 2, "has no object nobody", "toml objects few TYPE --search"),
    ("restore few --at latest --conflict maybe", 2, "Invalid value for '--conflict'", "--help"),
    ("restore few --apply 2026-11-23T05-00-00Z-000000", 2, "no plan '2026-11-23T05-00-00Z-000000'", "--dry-run"),
]


@pytest.fixture(scope="module")
def few(simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A project with a point of the scope `few`, whose tenant has nobody who may write."""
    folder = tmp_path_factory.mktemp("few")
    place = Place(write_project(folder, simulator), simulator)
    text = place.file.read_text(encoding="utf-8")
    start = text.index("[tenants.contoso.restore]")
    place.file.write_text(text[:start] + text[text.index("[scopes.all]") :], encoding="utf-8")
    assert place.call("backup", "few").code == 0
    return place


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong[0])
def test_a_wrong_argument_is_explained(few: Place, wrong: tuple[str, int, str, str]) -> None:
    arguments, code, says, advises = wrong
    result = few.call(*arguments.split(), *(["--dry-run"] if "--at" in arguments and "--yes" not in arguments else []))
    assert result.code == code, result.out + result.err
    assert says in result.err
    assert advises in result.err
    assert "Traceback" not in result.err


def test_a_refused_credential_is_blamed_on_the_app_registration_that_writes(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(write_project(tmp_path, simulator), simulator)
    assert place.call("backup", "few").code == 0
    reading, mark, writing = place.file.read_text(encoding="utf-8").partition("[tenants.contoso.restore]")
    writing = re.sub(r"client_secret = .*", 'client_secret = { env = "WRONG_SECRET" }', writing, count=1)
    place.file.write_text(reading + mark + writing, encoding="utf-8")
    monkeypatch.setenv("WRONG_SECRET", "wrong")
    result = place.call("restore", "few", "--at", "latest", "--types", "users", "--yes")
    assert result.code == 2, result.out + result.err
    assert "tenants.contoso.restore.client_secret" in result.err


def test_nobody_who_may_write_is_told_before_anything_is_read(few: Place) -> None:
    points = few.store("few").points()
    result = few.call("restore", "few", "--at", "latest", "--types", "users", "--yes")
    assert result.code == 2
    assert "tenants.contoso.restore" in result.err
    assert "catalogue --permissions --restore" in result.err
    assert few.store("few").points() == points
    # Looking takes no more than reading.
    planned = few.call("restore", "few", "--at", "latest", "--types", "users", "--dry-run")
    assert (planned.code, "nothing differs" in planned.out) == (0, True)
