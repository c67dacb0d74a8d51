"""`restore --to`: what is selected crosses to another tenant of the configuration, goes on, and is undone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from entra_pipeline.simulator import Simulator
from tests.support.command import Place, write_project


class Two:
    """The tenant of the scope `all`, backed up, and another tenant that no scope protects."""

    def __init__(self, folder: Path, source: Simulator, other: Simulator) -> None:
        other.control.knobs(throttle_conditional_access=False)
        scope = '[scopes.people]\ntenant = "contoso"\nstorage = "disk"\nprotect = ["users", "groups", "domains"]\n'
        self.place = Place(write_project(folder, source, other.tenant_table("tailwind") + scope), source)
        self.other = other.control
        assert self.place.call("backup", "people").code == 0

    def restore(self, *arguments: object) -> Any:
        return self.place.call("restore", "people", *arguments)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    with Simulator(12, 3, 5) as source, Simulator(5, 2, 9, domain="tailwind.com") as other:
        yield Two(tmp_path_factory.mktemp("two"), source, other)


def test_a_group_and_its_members_cross_and_go_again(two: Two) -> None:
    source = two.place.simulator.control
    links = source.edges("groups", "members")
    staff = [one for one in source.dump("users") if one["userType"] == "Member" and "extension_" not in str(one)]
    cloud = {one["id"] for one in staff if not one["onPremisesSyncEnabled"]}
    for one in two.other.dump("groups"):
        two.other.patch(f"groups/{one['id']}", {"mailNickname": f"own.{one['id']}"})
    own = {g["id"]: g for g in source.dump("groups") if not g["onPremisesSyncEnabled"] and not g["membershipRule"]}
    group = own[next(owner for owner, target, _ in sorted(links) if owner in own and target in cloud)]
    members = sorted({target for owner, target, _ in links if owner == group["id"]} & cloud)
    chosen = ("--types", "users,groups", "--ids", ",".join([group["id"], *members]))
    to = ("--at", "latest", "--to", "tailwind", "--domain", "contoso.com=tailwind.com")
    before = {path: {one["id"] for one in two.other.dump(path)} for path in ("users", "groups")}

    two.other.ledger(reset=True)
    planned = two.restore(*to, *chosen, "--dry-run", "--json")
    assert planned.code in {0, 3}, planned.err
    plan = planned.json["plan"]
    assert (plan["tenant"], plan["live_scope"]) == ("tailwind", "restore-tailwind")
    assert plan["domains"]["contoso.com"] == "tailwind.com"
    assert two.other.writes() == []

    done = two.restore("--apply", plan["id"], "--yes")
    assert done.code == planned.code, done.out + done.err
    assert "→ tenant tailwind" in done.out
    made = {one["id"]: one for one in two.other.dump("users") if one["id"] not in before["users"]}
    # Who has the same name there is the same.
    there = {plan["identity"][one] for one in members if one in plan["identity"]}
    assert there <= before["users"]
    assert len(made) + len(there) == len(members)
    assert made
    assert {one["userPrincipalName"].partition("@")[2] for one in made.values()} <= {
        "tailwind.com",
        "tailwind.onmicrosoft.com",
    }
    (new,) = [one for one in two.other.dump("groups") if one["id"] not in before["groups"]]
    assert new["displayName"] == group["displayName"]
    assert {target for owner, target, _ in two.other.edges("groups", "members") if owner == new["id"]} >= {
        *made,
        *there,
    }
    # Its own tenant was only read.
    assert source.edges("groups", "members") == links

    # What it says undoes it, does: with a scope for the other tenant first.
    said = [line for line in done.out.splitlines() if "undo" in line]
    for line in said:
        command = line.partition("entra-pipeline ")[2].split()
        undone = two.place.call(*command, *(["--yes"] if "restore" in command else []))
        assert undone.code == 0, undone.out + undone.err
    assert {path: {one["id"] for one in two.other.dump(path)} for path in before} == before


@pytest.mark.parametrize(
    ("arguments", "says", "advises"),
    [
        ("--at latest --to tailwin", "there is no tenant 'tailwin'", "did you mean 'tailwind'?"),
        ("--at latest --to tailwind --delete-added", "are never deleted", "Leave out --delete-added"),
        ("--at latest --to tailwind --domain contoso.com", "is not a domain mapping", "--domain contoso.com="),
        ("--at latest --to tailwind --domain a.example=tailwind.com", "a.example: not a domain of", "Its domains are"),
        ("--at latest --domain contoso.com=tailwind.com", "--domain applies to another tenant only", "--to TENANT"),
        ("--apply job --to tailwind", "--apply and --to exclude each other", "Plan again"),
        ("--apply job --domain a=b", "--apply and --domain exclude each other", "Plan again"),
    ],
)
def test_what_cannot_be_meant_is_explained(two: Two, arguments: str, says: str, advises: str) -> None:
    result = two.restore(*arguments.split(), *(["--dry-run"] if "--at" in arguments else []))
    assert result.code == 2, result.out + result.err
    assert says in result.err
    assert advises in result.err
