"""Another tenant gets what is selected of a recovery point, under its own domains, next to what it has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from entra_pipeline.errors import UsageError
from entra_pipeline.graph import Graph
from entra_pipeline.graph.factory import open_graph
from entra_pipeline.restore.execute.apply import RestoreTarget, apply
from entra_pipeline.restore.objects.model import RestoreOptions, RestorePlan, RestoreSelection
from entra_pipeline.restore.plan.diff import Side
from entra_pipeline.restore.plan.other_tenant import plan_across, scope_of
from entra_pipeline.restore.plan.planner import LiveTenant
from entra_pipeline.restore.records.passwords import Passwords, random_key
from entra_pipeline.restore.records.report import RestoreReport, exceptions
from entra_pipeline.store.manifest import Manifest
from tests.support.protected import Protected, protect, tenant

__all__ = ["tenant"]

TYPES = ("users", "groups", "administrative_units", "applications", "service_principals", "app_role_assignments")
MAPPED = {"contoso.com": "moved.tailwind.com"}
Start = Callable[..., Protected]


@pytest.fixture
def sites(tenant: Start) -> tuple[Protected, Manifest, Protected]:
    types = protect(*TYPES, "domains", "role_definitions", "directory_roles", "organization", "extension_properties")
    source = tenant(types, users=40, groups=8, seed=5)
    target = tenant(types, users=20, groups=4, seed=9, domain="tailwind.com")
    target.control.create("domains", {"id": "moved.tailwind.com", "isVerified": True})
    return source, source.backup(), target


def planned(source: Protected, point: Manifest, target: Protected, folder: Path, **more: Any) -> RestorePlan:
    live = target.backup()
    return plan_across(
        more.pop("job", "job"),
        "2026-11-24T05:00:00Z",
        Side(source.store, point),
        LiveTenant(Side(target.store, live), "other"),
        folder / live.recovery_point,
        **{"domains": MAPPED, **more},
    )


def applied(plan: RestorePlan, source: Protected, target: Protected, folder: Path) -> RestoreReport:
    async def run() -> RestoreReport:
        tenant = target.project.tenants["simulated"]
        async with Graph(tenant) as reading, open_graph(tenant, writing=True) as writing:
            sides = RestoreTarget(scope=target.scope, store=target.store, reading=reading, writing=writing)
            passwords = Passwords(source.store.files, plan, random_key)
            return await apply(plan, store=source.store, target=sides, passwords=passwords, patience=2.0)

    return asyncio.run(run())


def test_an_object_of_the_other_tenant_is_never_taken_for_one_that_crossed(
    sites: tuple[Protected, Manifest, Protected], tmp_path: Path
) -> None:
    source, point, target = sites
    before = {one["id"]: one for one in target.control.dump("groups")}
    names = {one["mailNickname"] for one in before.values()}
    held = {g["id"] for g in source.control.dump("groups") if g["mailNickname"] in names}
    plan = planned(source, point, target, tmp_path, selection=RestoreSelection(types=("groups",)))
    report = applied(plan, source, target, tmp_path)
    # Who has the nickname is told in the plan, and the group comes with another one.
    told = [one for one in plan.refusals if one.table == "groups" and "its mailNickname becomes" in one.reason]
    assert told and {one.id for one in told} <= held
    assert all("holds its mailNickname" in one.reason and "manually" in one.remedy for one in told)
    made = {one.live_id for one in report.outcomes if one.table == "groups" and one.id in {other.id for other in told}}
    assert made and not made & before.keys()
    after = {one["id"]: one for one in target.control.dump("groups")}
    kept = before.keys() - {*plan.identity.values()}
    assert kept and {id_: after[id_] for id_ in kept} == {id_: before[id_] for id_ in kept}


def test_what_is_selected_crosses_once(sites: tuple[Protected, Manifest, Protected], tmp_path: Path) -> None:
    source, point, target = sites
    for number, group in enumerate(target.control.dump("groups")):
        target.control.patch(f"groups/{group['id']}", {"mailNickname": f"own.{number}"})
    own = {path: {one["id"]: one for one in target.control.dump(path)} for path in ("users", "groups")}
    links = target.control.edges("groups", "members")
    selection = RestoreSelection(
        types=("users", "groups", "applications", "service_principals", "extension_properties")
    )
    plan = planned(source, point, target, tmp_path, selection=selection)
    assert plan.domains == {**MAPPED, "contoso.onmicrosoft.com": "tailwind.onmicrosoft.com"}
    assert not [step for step in plan.steps if step.action in {"delete", "unlink"}]
    report = applied(plan, source, target, tmp_path)
    told = [one for one in exceptions(report) if "futureSetting" not in str(one["reason"])]
    assert [(one["type"], one["reason"]) for one in told] == []

    # What the other tenant had is as it was, and has the links that it had.
    for path, before in own.items():
        after = {one["id"]: one for one in target.control.dump(path)}
        # Both have some guests, and a group with a `uniqueName`: those are the same.
        kept = before.keys() - {*plan.identity.values()}
        assert len(kept) > len(before) / 2
        assert {id_: after[id_] for id_ in kept} == {id_: before[id_] for id_ in kept}
    assert links <= target.control.edges("groups", "members")

    # Everybody has a name in the other tenant's domains, and the groups have their members.
    people = {one["displayName"]: one for one in target.control.dump("users") if one["id"] not in own["users"]}
    cloud = [one for one in source.control.dump("users") if not one["onPremisesSyncEnabled"]]
    created = {step.id for step in plan.steps if (step.table, step.action) == ("users", "create")}
    assert created and created <= {one["id"] for one in cloud}
    for one in cloud:
        if one["id"] in created:
            name = people[one["displayName"]]["userPrincipalName"]
            assert name.partition("@")[0] == one["userPrincipalName"].partition("@")[0]
            assert name.rpartition("@")[2] in {"moved.tailwind.com", "tailwind.onmicrosoft.com"}
    assert "@contoso" not in str([list(one.items()) for one in people.values() if one["userType"] == "Member"])

    # Said again, there is nothing left to do.
    again = planned(source, point, target, tmp_path, selection=selection, job="again")
    left = [(step.action, step.table, step.name, step.body) for step in again.steps]
    assert [one for one in left if "futureSetting" not in one[3]] == []


def test_what_cannot_cross_is_named(sites: tuple[Protected, Manifest, Protected], tmp_path: Path) -> None:
    source, _, target = sites
    guest = source.control.create(
        "users",
        {
            "userPrincipalName": "tove_tailwind.com#EXT#@contoso.onmicrosoft.com",
            "mail": "tove@tailwind.com",
            "userType": "Guest",
        },
    )
    away = source.control.create("users", {"userPrincipalName": "sam@corp.contoso.com", "accountEnabled": True})
    cloud = {g["id"] for g in source.control.dump("groups") if not g["groupTypes"] and not g["onPremisesSyncEnabled"]}
    mastered = {one["id"] for one in source.control.dump("users") if one["onPremisesSyncEnabled"]}
    members = {user for group, user, _ in source.control.edges("groups", "members") if group in cloud}
    synced = min(mastered & members)
    plan = planned(source, source.backup(), target, tmp_path, selection=RestoreSelection(types=("users", "groups")))
    refused = {one.id: one for one in plan.refusals if one.table == "users"}
    assert "a guest whose home tenant is the target tenant" in refused[guest].reason
    assert "--domain corp.contoso.com=" in refused[away].remedy
    assert "managed in another system" in refused[synced].reason
    assert not {guest, away, synced} & {step.id for step in plan.steps if step.table == "users"}
    # A group whose member cannot cross says so.
    lost = [one for one in plan.refusals if one.table == "group_members" and one.kind == "unresolved"]
    assert any(synced in one.reason for one in lost)


def test_domains_that_are_wrong_are_refused(sites: tuple[Protected, Manifest, Protected], tmp_path: Path) -> None:
    source, point, target = sites
    with pytest.raises(UsageError, match=r"wrong\.example: not a domain of the recovery point"):
        planned(source, point, target, tmp_path, domains={"wrong.example": "tailwind.com"})
    with pytest.raises(UsageError, match=r"wrong\.example: not verified in the other tenant"):
        planned(source, point, target, tmp_path, domains={"contoso.com": "wrong.example"})
    with pytest.raises(UsageError, match="are never deleted"):
        planned(source, point, target, tmp_path, options=RestoreOptions(delete_added=True))


OTHERS = """
[tenants.fabrikam]
tenant_id = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
client_id = "0e3c2f5a-1f0f-4d39-8a3e-5c1b0f6a9d21"
managed_identity = true
[scopes.people]
tenant = "fabrikam"
storage = "disk"
protect = ["users"]
"""
WHOLE = '[scopes.fabrikam]\ntenant = "fabrikam"\nstorage = "disk"\n'


def test_another_tenant_is_read_to_its_own_scope_or_to_one_made_for_it(tenant: Start) -> None:
    source = tenant(OTHERS)
    project, scope = source.project, source.scope
    assert scope_of(project, scope, "simulated") is scope
    made = scope_of(project, scope, "fabrikam")
    assert (made.name, made.protect, made.storage) == ("restore-fabrikam", "all", scope.storage)
    source.configure(OTHERS + WHOLE)
    assert scope_of(source.project, source.scope, "fabrikam").name == "fabrikam"
    # A plan goes on with the scope that it was made with.
    assert scope_of(source.project, source.scope, "fabrikam", made.name) == made
    assert scope_of(source.project, source.scope, "fabrikam", "people").protect == ["users"]
    with pytest.raises(UsageError, match="there is no tenant 'fabricam'"):
        scope_of(source.project, source.scope, "fabricam")
    with pytest.raises(UsageError, match="the scope 'contoso' covers tenant 'simulated'"):
        scope_of(source.project, source.scope, "fabrikam", "contoso")
