"""Erasing a person through the command: their values are gone from every byte, everybody else's are as they were."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import msgspec
import pytest

from entra_pipeline.analysis.sql import Relations, SqlSession, write_catalog
from entra_pipeline.analysis.sql.bounded import BoundedSession
from entra_pipeline.audit import AuditEvent, AuditLog
from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.project import load_project
from entra_pipeline.simulator import Simulator
from entra_pipeline.store.backends.encryption.names import key_name_in
from entra_pipeline.store.backends.encryption.vault import reading_option, statement
from entra_pipeline.store.state import connect
from tests.support.command import Place

_PROJECT = """
[storage.disk]
kind = "local"
path = "backup"
{encryption}
{tenant}
[scopes.all]
tenant = "contoso"
storage = "disk"
retention = "1 years"
max_incrementals = 2
{settings}
"""
_ENCRYPTION = 'encryption = { passphrase = { file = "storage.key" } }'
_BY_PERSON = 'erasure = "per-person"\nlogs = false'
_FEW = f'{_BY_PERSON}\nprotect = ["users", "groups"]'
_OWN = "onPremisesSyncEnabled IS NOT TRUE AND userType = 'Member'"
_TABLES = [
    *(name for name, entry in CATALOGUE.items() if entry.personal and not entry.on_demand),
    *("groups", "applications", "role_assignments", "group_members", "user_manager", "user_sponsors"),
]
_REASON = "asked to be forgotten"


def _project(folder: Path, tenant: Simulator, settings: str = _BY_PERSON, encryption: str = _ENCRYPTION) -> Place:
    (folder / "storage.key").write_text("the passphrase is long enough\n")
    file = folder / "dagster_project.toml"
    table = tenant.tenant_table("contoso")
    file.write_text(_PROJECT.format(tenant=table, settings=settings, encryption=encryption))
    return Place(file, tenant)


def _begun(folder: Path, tenant: Simulator, settings: str = _BY_PERSON) -> Place:
    place = _project(folder, tenant, settings)
    assert place.call("storage", "encrypt", "disk", "--key-is-kept-elsewhere").code == 0
    assert place.call("backup", "all").code == 0
    return place


def _points(place: Place) -> list[str]:
    return [one["recovery_point"] for one in place.call("points", "all", "--json").json]


def _erase(place: Place, name: str, confirm: str, *more: str) -> Any:
    return place.call("erase", "all", name, "--reason", _REASON, "--confirm", confirm, "--json", *more)


def _tables(place: Place, points: list[str]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """The rows of tables at all points, and of their histories, through SQL."""
    found = {}
    with SqlSession.of(load_project(place.file)) as session:
        for table in _TABLES:
            until = f"FROM {table}_history WHERE recovery_point <= '{points[-1]}' ORDER BY ALL"
            queries = {point: f"FROM {table}_at('all', '{point}') ORDER BY ALL" for point in points}
            for name, query in (queries | {"history": until}).items():
                answer = session.ask(query)
                names = [column[0] for column in answer.description or ()]
                found[table, name] = [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
    return found


def _differences(place: Place, points: list[str]) -> list[Any]:
    return [
        place.call("diff", "all", "--from", before, "--to", after, "--json").json
        for before, after in itertools.pairwise(points)
    ]


def _events(place: Place) -> list[AuditEvent]:
    today = datetime.now(UTC).date()
    return AuditLog(place.store().files).events(today - timedelta(days=1), today)


class Life(NamedTuple):
    """A scope before and after somebody was erased.

    Attributes:
        place: The project.
        person: The user who was erased, as Graph showed them first.
        other: A user who was not.
        points: The recovery points before the erasure.
        before: What tables had at every point.
        differences: What changed from each point to the next.
        plan: What a restore of the first point would have done.
        erased: What the command said.
    """

    place: Place
    person: dict[str, Any]
    other: dict[str, Any]
    points: list[str]
    before: dict[tuple[str, str], list[dict[str, Any]]]
    differences: list[Any]
    plan: Any
    erased: Any


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    with Simulator(users=24, groups=4, seed=5) as tenant:
        place = _begun(tmp_path_factory.mktemp("erased"), tenant)
        person, other, gone = place.call("objects", "all", "users", "--where", _OWN, "--json").json[:3]
        tenant.control.patch("/users/" + person["id"], {"department": "Department of Vanishing"})
        tenant.control.patch("/users/" + other["id"], {"department": "Department of Staying"})
        assert place.call("backup", "all").code == 0
        tenant.control.delete("/users/" + gone["id"])
        for number in range(3):
            tenant.control.patch("/users/" + other["id"], {"jobTitle": f"Keeper {number}"})
            assert place.call("backup", "all", "--types", "users").code == 0
        tenant.control.delete("/users/" + person["id"])
        assert place.call("backup", "all").code == 0
        points = _points(place)
        # Whoever is still in the recycle bin would be backed up anew.
        tenant.control.purge(person["id"])
        plan = place.call("restore", "all", "--at", points[0], "--dry-run", "--json").json["plan"]
        before, differences = _tables(place, points), _differences(place, points)
        erased = _erase(place, person["userPrincipalName"].upper(), person["id"], "--records")
        assert erased.code == 0, erased.out + erased.err
        again = _erase(place, person["id"], person["id"])
        assert again.code == 1 and "nobody called" in again.err
        yield Life(place, person, other, points, before, differences, plan, erased.json)


def test_every_other_value_is_what_it_was_in_sql_at_every_point(life: Life) -> None:
    after = _tables(life.place, life.points)
    for key, rows in life.before.items():
        own = {str(row.get("id")) for row in rows if life.person["id"] in str(row)}
        others = [row for row in rows if str(row.get("id")) not in own]
        assert [row for row in after[key] if str(row.get("id")) not in own] == others, key
        # Versions of the person that differed in values only are one now.
        assert key[1] == "history" or len(after[key]) == len(rows)
    assert sum(life.person["id"] in str(row) for rows in life.before.values() for row in rows) > len(life.points)


def test_of_the_person_there_is_an_id_and_nothing_else(life: Life) -> None:
    for (table, _), rows in _tables(life.place, life.points[:2]).items():
        for row in rows:
            personal = CATALOGUE[table].personal if table in CATALOGUE else None
            if personal and not personal.members and row["id"] == life.person["id"]:
                ours = {"scope", "id", "_raw", "valid_from", "valid_to", "_change", "recovery_point"}
                assert {name for name, value in row.items() if value is not None} <= ours
                values = msgspec.json.decode(row["_raw"])
                assert {name for name, value in values.items() if value is not None} == {"_erased", "id"}


def test_no_byte_names_the_person_with_every_key_that_is_left(life: Life) -> None:
    files = life.place.store().files
    told = [life.person[name] for name in ("displayName", "userPrincipalName", "mailNickname", "securityIdentifier")]
    texts: dict[str, str] = {}
    with connect(files) as connection:
        for file in files.list(""):
            if (name := key_name_in(file.key)) and file.key.endswith(".parquet"):
                rows = connection.execute(
                    f"FROM read_parquet('{files.url(file.key)}', hive_partitioning = false{reading_option(name)})"
                ).fetchall()
                texts[file.key] = str(rows)
                stored = files.read(file.key)
                assert not any(one.encode() in stored for one in told), file.key
            elif not file.key.startswith("_audit/head"):
                texts[file.key] = files.read(file.key).decode(errors="replace")
    texts["audit"] = str(_events(life.place))
    texts["manifests"] = str([life.place.store().manifest(point) for point in _points(life.place)])
    assert {key for key, text in texts.items() for one in told if one in text} == set()
    # Nor are values of anybody else readable without their keys, in whatever type.
    users = life.before["users", life.points[0]]
    names = {user[name] for user in users for name in ("displayName", "userPrincipalName") if user[name]}
    parts = {key: text for key, text in texts.items() if key.endswith(".parquet")}
    assert {key for key, text in parts.items() for one in names if one in text} == set()
    assert any(life.other["id"] in text for text in parts.values())


def test_the_documentation_has_every_type_with_values_of_persons() -> None:
    page = (Path(__file__).parents[2] / "docs" / "erasure.md").read_text(encoding="utf-8")
    table = page[page.index("| object type | whose |") : page.index("An erased object has")]
    assert set(re.findall(r"`([a-z]+s|[a-z_]+_[a-z_]+)`", table)) == {
        name for name, entry in CATALOGUE.items() if entry.personal
    }


def test_comparisons_say_the_same_of_everybody_else(life: Life) -> None:
    def others(differences: list[Any]) -> list[Any]:
        return [one for each in differences for one in each["changes"] if life.person["id"] not in str(one)]

    after = _differences(life.place, life.points)
    assert others(after) == others(life.differences)
    assert others(after)
    assert life.person["displayName"] not in str(after)


def test_a_restore_refuses_the_person_and_plans_the_same_for_everybody_else(life: Life) -> None:
    plan = life.place.call("restore", "all", "--at", life.points[0], "--dry-run", "--json").json["plan"]
    refused = [one for one in plan["refusals"] if one["table"] == "users" and one["id"] == life.person["id"]]
    assert [one["kind"] for one in refused] == ["unrestorable"]
    assert "were erased from all recovery points" in refused[0]["reason"]

    def others(steps: list[Any]) -> list[str]:
        kept = ("action", "table", "id", "body", "before", "targets")
        return sorted(str([one[name] for name in kept]) for one in steps if life.person["id"] not in str(one))

    assert others(life.plan["steps"]) == others(plan["steps"])
    assert [one for one in life.plan["steps"] if one["id"] == life.person["id"]]
    # Nor is anything written that would need the person.
    assert not [one for one in plan["steps"] if life.person["id"] in str([one["id"], one["body"], one["targets"]])]


def test_verify_finds_nothing_wrong(life: Life) -> None:
    verified = life.place.call("verify", "all", "--all", "--json")
    assert (verified.code, [one for one in verified.json if one.get("problem")]) == (0, [])


def test_what_was_done_is_recorded_without_a_name(life: Life) -> None:
    assert life.erased["erased"] is True and life.erased["recovery_points"] >= len(life.points)
    assert life.erased["rows"]["users"] >= 2 and life.erased["rows"]["deleted_users"] == 1
    [record] = life.place.call("erasures", "all", "--json").json
    assert (record["person"], record["reason"], record["outcome"]) == (life.person["id"], _REASON, "erased")
    acts = [one for one in _events(life.place) if one.action == "erase"]
    assert [one.result for one in acts] == ["started", "finished", "started", "failed"]
    assert acts[1].subject == life.person["id"]
    assert life.person["userPrincipalName"].lower() not in str(acts).lower()


def test_stock_duckdb_reads_everything_but_values_of_persons(life: Life, tmp_path: Path) -> None:
    project = load_project(life.place.file)
    write_catalog(Relations.of(project), tmp_path / "catalog.duckdb", ["users", "groups"])
    settings = project.storage["disk"]
    assert settings.encryption is not None
    with duckdb.connect(tmp_path / "catalog.duckdb", read_only=True) as stock:
        for key in settings.encryption.keys(settings.place()).all.values():
            stock.execute(statement(key))
        [row] = stock.execute("SELECT count(*), count(displayName), count(DISTINCT id) FROM users").fetchall()
        assert row[0] == row[2] > 0 and row[1] == 0
        [row] = stock.execute("SELECT count(*) = count(displayName), count(*) > 0 FROM groups").fetchall()
        assert row == (True, True)


def test_the_bounded_session_of_the_console_reads_everybody_else(life: Life) -> None:
    with BoundedSession(load_project(life.place.file), "512MB") as session:
        query = "SELECT count(displayName), count(*) FROM users WHERE department IS NOT NULL"
        [(named, every)] = session.ask(query).fetchall()
    assert named == every > 0


# --- Others ----------------------------------------------------------------------------------------------------------


def test_who_is_still_in_the_tenant_is_backed_up_anew_and_stays_erased_before(
    simulator: Simulator, tmp_path: Path
) -> None:
    place = _begun(tmp_path, simulator, _FEW)
    user = place.call("objects", "all", "users", "--where", _OWN, "--json").json[0]
    [first] = _points(place)
    # Delta tells of this change only: it must not be taken for the whole user.
    assert place.call("backup", "all").code == 0
    assert _erase(place, user["userPrincipalName"], user["id"]).code == 0
    simulator.control.patch("/users/" + user["id"], {"department": "Department of Return"})
    assert place.call("backup", "all").code == 0
    last = _points(place)[-1]

    def at(point: str) -> dict[str, Any]:
        where = f"id = '{user['id']}'"
        [one] = place.call("objects", "all", "users", "--at", point, "--where", where, "--json").json
        return {name: value for name, value in one.items() if value}

    assert at(first) == {"id": user["id"], "_erased": True}
    now = at(last)
    assert now.pop("department") == "Department of Return"
    assert {**now, "department": user["department"]} == {name: value for name, value in user.items() if value}
    assert place.store().manifest(last).tables["users"].read == "full"
    [change] = [
        one
        for one in place.call("diff", "all", "--types", "users", "--json").json["changes"]
        if one["id"] == user["id"]
    ]
    assert change["change"] == "modified"
    assert place.call("verify", "all", "--all").code == 0
    # The next one is incremental again, and the person can be erased again.
    assert place.call("backup", "all").code == 0
    assert place.store().manifest(_points(place)[-1]).tables["users"].read in ("unchanged", "incremental")
    assert _erase(place, user["id"], user["id"]).code == 0
    assert at(last) == {"id": user["id"], "_erased": True}


def test_an_erasure_is_asked_for_twice_and_not_while_a_hold_covers_it(simulator: Simulator, tmp_path: Path) -> None:
    place = _begun(tmp_path, simulator, _FEW)
    user, other = place.call("objects", "all", "users", "--where", _OWN, "--json").json[:2]
    checked = {one["check"]: one["outcome"] for one in place.call("storage", "check", "disk", "--json").json}
    assert checked["remove for good"] == "passed"
    [point] = _points(place)
    name, before = user["userPrincipalName"], {file.key for file in place.store().files.list("_people/")}
    dry = place.call("erase", "all", name, "--dry-run")
    assert dry.code == 0 and name in dry.out and "rows that become unreadable" in dry.out
    assert place.call("erase", "all", name, "--confirm", user["id"]).code == 2
    for wrong in ((), ("--confirm", other["id"]), ("--confirm", name)):
        refused = place.call("erase", "all", name, "--reason", _REASON, *wrong)
        assert refused.code == 2 and "was not confirmed" in refused.err
    place.call("hold", "all", "--at", point, "--reason", "the lawsuit")
    held = _erase(place, name, user["id"])
    assert held.code == 2 and f"recovery point {point} is held (the lawsuit)" in held.err
    assert {file.key for file in place.store().files.list("_people/")} == before
    place.call("hold", "all", "--at", point, "--release")
    unknown = _erase(place, "nobody@contoso.com", user["id"])
    assert unknown.code == 1 and "nobody called" in unknown.err
    assert _erase(place, name, user["id"]).code == 0


def test_it_is_begun_with_a_scope_and_never_left(simulator: Simulator, tmp_path: Path) -> None:
    plain = _project(tmp_path, simulator, encryption="")
    refused = plain.call("backup", "all")
    assert refused.code == 2 and "scopes.all.erasure: needs encryption" in refused.err
    logs = _project(tmp_path, simulator, 'erasure = "per-person"').call("backup", "all")
    assert logs.code == 2 and "protects logs" in logs.err and "logs = false" in logs.err
    without = _begun(tmp_path, simulator, 'protect = ["users"]')
    assert "nobody can be erased" in without.call("erase", "all", "x", "--dry-run").err
    late = _project(tmp_path, simulator, _FEW).call("backup", "all")
    assert late.code == 2 and "has recovery points from before" in late.err
    (tmp_path / "other").mkdir()
    place = _begun(tmp_path / "other", simulator, _FEW)
    _project(tmp_path / "other", simulator, 'protect = ["users", "groups"]')
    left = place.call("backup", "all")
    assert left.code == 2 and "encrypted by person" in left.err
    assert len(_points(place)) == 1


def test_keys_that_are_lost_are_found_and_not_taken_for_an_erasure(simulator: Simulator, tmp_path: Path) -> None:
    place = _begun(tmp_path, simulator, _FEW)
    files = place.store().files
    for file in list(files.list("_people/")):
        if files.size(file.key) > 1000:
            files.delete([file.key])
    verified = place.call("verify", "all", "--all")
    assert verified.code != 0 and "rows with values that no key opens" in verified.out
    asked = place.call("sql", "SELECT displayName FROM users")
    assert asked.code == 1 and "a key of a person is missing" in asked.err
    shown = place.call("objects", "all", "users", "--json")
    assert shown.code == 1 and "a key of a person is missing" in shown.err
    assert place.call("backup", "all").code == 1


def test_records_that_name_the_person_are_told_and_removed_when_asked(simulator: Simulator, tmp_path: Path) -> None:
    place = _begun(tmp_path, simulator, _FEW)
    user = place.call("objects", "all", "users", "--where", _OWN, "--json").json[0]
    [point] = _points(place)
    simulator.control.delete("/users/" + user["id"])
    assert place.call("restore", "all", "--at", point, "--ids", user["id"], "--yes").code == 0
    told = place.call("erase", "all", user["id"], "--dry-run", "--json").json["records"]
    assert told and all(key.startswith("_restore/") for key in told), told
    assert _erase(place, user["id"], user["id"], "--records").json["records"] == []
    assert not list(place.store().files.list("_restore/20"))


def test_a_session_that_was_open_before_reads_what_is_backed_up_by_person_beside_it(
    simulator: Simulator, tmp_path: Path
) -> None:
    settings = (
        'protect = ["users"]\n[scopes.other]\ntenant = "contoso"\nstorage = "disk"\nprotect = ["users"]\n'
        'erasure = "per-person"\n'
    )
    place = _begun(tmp_path, simulator, settings)
    counted = "SELECT scope, count(displayName) = count(*) AND count(*) > 0 FROM users GROUP BY scope ORDER BY scope"
    with SqlSession.of(load_project(place.file)) as session:
        for _ in range(2):
            assert session.ask(counted).fetchall() == [("all", True)]
        assert place.call("backup", "other").code == 0
        for _ in range(2):
            assert session.ask(counted).fetchall() == [("all", True), ("other", True)]
