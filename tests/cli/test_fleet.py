"""Many scopes at once, by the command: how they stand, backups, verification, SQL; each exit code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from entra_pipeline.simulator import Simulator
from tests.support.command import Place, call

SCOPES = """
[scope_defaults]
storage = "disk"
protect = ["domains"]

[storage.disk]
kind = "local"
path = "backup"

[storage.gone]
kind = "local"
path = "dagster_project.toml/nowhere"
"""
FILES = {
    "north-1": 'tenant = "contoso"\nschedule = "* * * * *"\n',
    "north-2": 'tenant = "contoso"\nschedule = "0 0 1 1 *"\n',
    "south-1": 'tenant = "contoso"\n',
}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("fleet")
    with Simulator(users=5, groups=2) as simulator:
        file = folder / "dagster_project.toml"
        file.write_text(SCOPES + simulator.tenant_table("contoso"))
        (folder / "scopes.d").mkdir()
        for name, settings in FILES.items():
            write(file, name, settings)
        yield Place(file, simulator)


def write(file: Path, name: str, settings: str) -> Path:
    path = file.parent / "scopes.d" / f"{name}.toml"
    path.write_text(f"[scopes.{name}]\n{settings}")
    return path


def states(fleet: Place, *patterns: str) -> dict[str, str]:
    found = fleet.call("fleet", "status", *patterns, "--format", "json")
    assert found.code == 0
    return {row["scope"]: row["state"] for row in found.json}


def test_the_fleet_from_the_first_backup_to_a_broken_file(fleet: Place) -> None:
    # A journey: a backup takes a process, and the steps rest on each other.
    assert states(fleet) == dict.fromkeys(FILES, "never backed up")
    due = fleet.call("fleet", "backup", "--dry-run", "--format", "json")
    assert {row["scope"] for row in due.json} == {"north-1", "north-2"}

    done = fleet.call("fleet", "backup", "north-*", "--parallel", 2, "--format", "json")
    assert (done.code, {row["scope"]: row["result"] for row in done.json}) == (
        0,
        {"north-1": "finished", "north-2": "finished"},
    )
    assert done.json[0]["recovery_point"] == fleet.store(done.json[0]["scope"]).points()[-1]
    # Those of which nothing is due are left alone.
    due = fleet.call("fleet", "backup", "--dry-run", "--format", "json")
    assert {row["scope"] for row in due.json} <= {"north-1"}
    assert states(fleet) == {"south-1": "never backed up", "north-1": "fresh", "north-2": "fresh"}
    assert next(iter(states(fleet))) == "south-1"
    assert fleet.call("fleet", "status", "--check").code == 3
    assert fleet.call("fleet", "status", "--check", "north-*").code == 0
    text = fleet.call("fleet", "status", "--attention").out
    assert "south-1" in text
    assert "north-1" not in text
    assert "3 scopes: 1 needs attention" in text

    verified = fleet.call("fleet", "verify", "north-?", "--format", "json")
    assert (verified.code, [row["ok"] for row in verified.json]) == (0, [True, True])
    [part] = fleet.store("north-2").manifest(fleet.store("north-2").points()[-1]).tables["domains"].parts
    (fleet.file.parent / "backup" / part.key).write_bytes(b"changed")
    verified = fleet.call("fleet", "verify", "north-?", "--format", "json")
    assert (verified.code, {row["scope"]: row["ok"] for row in verified.json}) == (
        1,
        {"north-1": True, "north-2": False},
    )
    assert "domains" in verified.json[0]["problem"]

    query = "SELECT scope, count(*) AS points FROM recovery_points GROUP BY scope ORDER BY 1"
    asked = fleet.call("fleet", "sql", query, "--format", "json")
    assert asked.json == [{"scope": "north-1", "points": 1}, {"scope": "north-2", "points": 1}]

    fleet.simulator.control.deny("domains", 403)
    try:
        done = fleet.call("fleet", "backup", "south-1", "--format", "json")
    finally:
        fleet.simulator.control.deny("domains", 0)
    assert (done.code, done.json[0]["result"]) == (3, "finished with exception")

    path = write(fleet.file, "south-1", 'tenant = "contos"\n')
    write(fleet.file, "lost", 'tenant = "contoso"\nstorage = "gone"\nschedule = "* * * * *"\n')
    found = fleet.call("fleet", "status", "--format", "json")
    assert [(row["scope"], row["state"]) for row in found.json][:2] == [
        ("south-1", "configuration wrong"),
        ("lost", "storage unreadable"),
    ]
    assert f"{path}: scopes.south-1.tenant: there is no [tenants.contos]" in found.json[0]["problem"]
    assert found.err.count("warning: ") == 1
    assert "not used until then: south-1" in found.err
    done = fleet.call("fleet", "backup", "--format", "json")
    assert (done.code, {row["scope"]: row["result"] for row in done.json}["lost"]) == (1, "failed")
    refused = fleet.call("backup", "south-1")
    assert (refused.code, "there is no [tenants.contos]" in refused.err) == (2, True)


def test_a_pattern_that_matches_nothing_is_a_usage_error(fleet: Place) -> None:
    found = call("--project", fleet.file, "fleet", "status", "west-*")
    assert (found.code, "no scope or tenant matches 'west-*'" in found.err) == (2, True)
