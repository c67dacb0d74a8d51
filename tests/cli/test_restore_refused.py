"""The restore command where Graph would refuse a part: it is told when it is planned, and the rest comes back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest

from entra_pipeline.clock import iso
from entra_pipeline.simulator import Simulator
from tests.support.command import Place, write_project

_SCOPE = '[scopes.people]\ntenant = "contoso"\nstorage = "disk"\nprotect = [{}]\n'
_PROTECT = (
    "users",
    "devices",
    "contacts",
    "administrative_units",
    "user_licenses",
    "groups",
    "applications",
    "service_principals",
    "app_role_assignments",
    "oauth2_permission_grants",
    "application_key_credentials",
    "role_definitions",
    "role_eligibility_schedules",
    "conditional_access_policies",
    "domains",
    "subscribed_skus",
)


class Site(NamedTuple):
    """A tenant of the module, and a project that protects what can be refused."""

    place: Place

    @property
    def control(self) -> Any:
        return self.place.simulator.control

    def point(self) -> str:
        """Takes a recovery point of the tenant as it is."""
        assert self.place.call("backup", "people").code == 0
        return str(self.place.call("points", "people", "--json").json[-1]["recovery_point"])

    def plan(self, point: str, *arguments: object) -> tuple[int, dict[str, Any]]:
        """Plans; returns exit code and plan."""
        planned = self.place.call("restore", "people", "--at", point, *arguments, "--dry-run", "--json")
        assert planned.code in {0, 3}, planned.err
        return planned.code, planned.json["plan"]

    def restore(self, point: str, *arguments: object, code: int = 0) -> dict[str, Any]:
        """Restores, which has to end with a code; returns the report."""
        done = self.place.call("restore", "people", "--at", point, *arguments, "--yes", "--json")
        # Where nothing is to be written, there is a plan only.
        report: dict[str, Any] = done.json["report"] or {"outcomes": [], "refusals": done.json["plan"]["refusals"]}
        told = [one for one in (*report["outcomes"], *report["refusals"]) if one.get("result") != "restored"]
        assert done.code == code, told
        return report

    def one(self, path: str, **wanted: Any) -> dict[str, Any]:
        """The first object of a set with these properties."""
        found: list[dict[str, Any]] = self.control.dump(path)
        return next(one for one in found if all(one.get(name) == value for name, value in wanted.items()))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Simulator(users=20, groups=6, seed=5) as simulator:
        protect = ", ".join(f'"{name}"' for name in _PROTECT)
        yield Site(
            Place(write_project(tmp_path_factory.mktemp("refused"), simulator, _SCOPE.format(protect)), simulator)
        )


def test_a_role_and_a_scope_of_one_id_are_disabled_and_set_back_together(site: Site) -> None:
    role = {
        "id": "0b5c3d1e-7a55-4a3c-8b5d-64d2d8a4c111",
        "allowedMemberTypes": ["Application"],
        "value": "Orders.Read",
        "isEnabled": True,
        "displayName": "Read orders",
        "description": "Read all orders",
    }
    scope = {
        "id": role["id"],
        "type": "Admin",
        "value": role["value"],
        "isEnabled": True,
        "adminConsentDisplayName": role["displayName"],
        "adminConsentDescription": role["description"],
    }
    apps = [one["id"] for one in site.control.dump("applications")[:2]]
    for app in apps:
        site.control.patch(f"applications/{app}", {"appRoles": [role], "api": {"oauth2PermissionScopes": [scope]}})
    point = site.point()
    off = {"isEnabled": False}
    site.control.patch(
        f"applications/{apps[0]}",
        {"appRoles": [{**role, **off}], "api": {"oauth2PermissionScopes": [{**scope, **off}]}},
    )
    # Only the scope is there at the point to come: the role was made of it since.
    site.control.patch(f"applications/{apps[1]}", {"appRoles": []})
    later = site.point()
    site.control.patch(f"applications/{apps[1]}", {"appRoles": [role]})
    chosen = ("--types", "applications", "--ids", ",".join(apps))
    site.restore(later, *chosen)
    kept = site.one("applications", id=apps[1])
    assert (kept["appRoles"], kept["api"]["oauth2PermissionScopes"]) == ([], [scope])
    site.restore(point, *chosen)
    for app in apps:
        back = site.one("applications", id=app)
        assert (back["appRoles"], back["api"]["oauth2PermissionScopes"]) == ([role], [scope])


def test_what_is_over_stays_over_and_what_is_nearly_over_does_not_begin_anew(site: Site) -> None:
    now = datetime.now(UTC)
    schedules = [one["id"] for one in site.control.dump("unifiedRoleEligibilitySchedule")[:3]]
    path = "roleManagement/directory/roleEligibilitySchedules"
    expirations = (
        {"type": "afterDateTime", "endDateTime": iso(now - timedelta(days=1)), "duration": None},
        {"type": "afterDuration", "endDateTime": None, "duration": "P30D"},
        {"type": "noExpiration", "endDateTime": None, "duration": None},
    )
    start = iso(now - timedelta(days=29))
    for schedule, expiration in zip(schedules, expirations, strict=True):
        info = {"startDateTime": start, "recurrence": None, "expiration": expiration}
        site.control.patch(f"{path}/{schedule}", {"scheduleInfo": info})
    group = next(one for one in site.control.dump("groups") if not one["onPremisesSyncEnabled"])
    site.control.patch(f"groups/{group['id']}", {"expirationDateTime": iso(now - timedelta(days=1))})
    app = next(one for one in site.control.dump("applications") if one["keyCredentials"])
    [valid] = app["keyCredentials"]
    ended = {**valid, "keyId": "11111111-1111-4111-8111-111111111111", "endDateTime": iso(now - timedelta(days=1))}
    site.control.patch(f"applications/{app['id']}", {"keyCredentials": [valid, ended]})
    point = site.point()
    before = {one["id"]: one for one in site.control.dump("unifiedRoleEligibilitySchedule")}
    for schedule in schedules:
        site.control.purge(schedule)
    site.control.delete(f"groups/{group['id']}")
    site.control.patch(f"applications/{app['id']}", {"keyCredentials": []})

    chosen = ("--ids", ",".join([*schedules, group["id"], app["id"]]))
    code, plan = site.plan(point, *chosen)
    told = {one["id"]: one["reason"] for one in plan["refusals"]}
    assert code == 0
    assert {schedules[0], group["id"], app["id"]} <= told.keys()
    assert told[schedules[0]] == f"it expired at {iso(now - timedelta(days=1))}"
    assert "without 1 certificate (expired)" in told[app["id"]]
    site.restore(point, *chosen)

    def ends(schedule: str) -> Any:
        who = {name: before[schedule][name] for name in ("principalId", "roleDefinitionId", "directoryScopeId")}
        return site.one("unifiedRoleEligibilitySchedule", **who)["scheduleInfo"]["expiration"].get("endDateTime")

    assert [ends(one) for one in schedules[1:]] == [iso(now + timedelta(days=1)), None]
    assert site.one("applications", id=app["id"])["keyCredentials"] == [valid]
    # Nothing is left to do: the same end is no difference, however it is written.
    assert site.plan(point, *chosen)[1]["steps"] == []

    refused = site.place.call("restore", "people", "--at", point, *chosen, "--ended-until", iso(now), "--dry-run")
    assert refused.code == 2
    assert "is not in the future" in refused.err
    until = iso(now + timedelta(days=7))
    site.restore(point, *chosen, "--ended-until", until)
    assert ends(schedules[0]) == until
    assert site.one("groups", id=group["id"])


def cloud_users(site: Site) -> list[dict[str, Any]]:
    """Members that nothing else masters, and who hold no role."""
    held = {one["principalId"] for one in site.control.dump("unifiedRoleAssignment")}
    held |= {owner for _, owner, _ in site.control.edges("groups", "owners")}
    found: list[dict[str, Any]] = site.control.dump("users")
    return [
        one
        for one in found
        if one["userType"] == "Member" and not one["onPremisesSyncEnabled"] and one["id"] not in held
    ]


def taken(site: Site, user: dict[str, Any], **more: Any) -> str:
    """Deletes a user, and gives the sign-in name to somebody new."""
    site.control.delete(f"users/{user['id']}")
    body = {"userPrincipalName": user["userPrincipalName"], "displayName": "Impostor", "accountEnabled": True, **more}
    return str(site.control.create("users", body))


def test_a_name_that_is_taken_is_told_with_who_has_it_and_the_choices(site: Site) -> None:
    point = site.point()
    first, second = cloud_users(site)[:2]
    holder = taken(site, first)
    other = site.one("users", id=second["id"])
    site.control.patch(f"users/{other['id']}", {"department": "Changed"})
    chosen = ("--types", "users")

    code, plan = site.plan(point, *chosen)
    assert code == 3
    [refusal] = [one for one in plan["refusals"] if one["kind"] == "unresolved" and one["table"] == "users"]
    assert refusal["id"] == first["id"]
    assert f"users Impostor ({holder}) holds its userPrincipalName {first['userPrincipalName']}" in refusal["reason"]
    for choice in ("--taken rename", "--delete-added deletes Impostor first", "rename or delete it manually"):
        assert choice in refusal["remedy"]
    # Everything else goes on, and the holder is left alone.
    report = site.restore(point, *chosen, code=3)
    assert {one["result"] for one in report["outcomes"]} == {"restored"}
    assert site.one("users", id=second["id"])["department"] == second["department"]
    assert site.one("users", id=holder)

    site.restore(point, *chosen, "--taken", "rename", code=3)
    back = site.one("users", id=first["id"])
    local, _, domain = first["userPrincipalName"].partition("@")
    assert back["userPrincipalName"] == f"{local}.restored@{domain}"
    # Then the name is free again.
    site.control.delete(f"users/{holder}")
    site.restore(point, *chosen)
    assert site.one("users", id=first["id"])["userPrincipalName"] == first["userPrincipalName"]


def test_who_holds_a_name_goes_first_when_that_is_asked_for_and_comes_back_when_the_need_fails(site: Site) -> None:
    point = site.point()
    user = cloud_users(site)[0]
    holder = taken(site, user)
    chosen = ("--ids", user["id"], "--types", "users")
    both = ("--types", "users", "--delete-added")
    assert site.plan(point, *chosen)[0] == 3
    code, plan = site.plan(point, *both)
    assert code == 0
    actions = [(step["action"], step["id"]) for step in plan["steps"] if step["id"] in {user["id"], holder}]
    assert actions[:2] == [("delete", holder), ("undelete", user["id"])]

    site.control.misbehave("write-fails", f"directory/deletedItems/{user['id']}/restore", status=400, times=1)
    report = site.restore(point, *both, code=3)
    failed = {one["id"]: one["reason"] for one in report["outcomes"] if one["result"] == "failed"}
    assert {user["id"], holder} <= failed.keys()
    assert "restored from the recycle bin again" in failed[holder]
    assert site.one("users", id=holder)["userPrincipalName"] == user["userPrincipalName"]
    site.control.behave("write-fails")

    site.restore(point, *both)
    assert site.one("users", id=user["id"])["userPrincipalName"] == user["userPrincipalName"]
    assert holder not in {one["id"] for one in site.control.dump("users")}


def test_an_address_that_is_taken_stays_with_who_has_it(site: Site) -> None:
    user, other = cloud_users(site)[:2]
    addresses = [*user["proxyAddresses"], "smtp:sales@contoso.com"]
    site.control.patch(f"users/{user['id']}", {"proxyAddresses": addresses})
    point = site.point()
    site.control.delete(f"users/{user['id']}")
    address = addresses[-1]
    site.control.patch(f"users/{other['id']}", {"proxyAddresses": [*other["proxyAddresses"], address]})
    chosen = ("--ids", user["id"], "--types", "users")
    code, plan = site.plan(point, *chosen)
    assert code == 3
    [refusal] = [one for one in plan["refusals"] if one["kind"] == "unresolved"]
    assert f"without the address {address}: users {other['displayName']} ({other['id']}) holds" in refusal["reason"]
    report = site.restore(point, *chosen, code=3)
    assert {one["result"] for one in report["outcomes"]} == {"restored"}
    assert address not in site.one("users", id=user["id"])["proxyAddresses"]
    site.control.patch(f"users/{other['id']}", {"proxyAddresses": other["proxyAddresses"]})


def test_what_graph_will_refuse_of_an_application_and_a_group_is_planned_and_the_rest_comes_back(site: Site) -> None:
    app, other = site.control.dump("applications")[2:4]
    principal = site.one("servicePrincipals", appId=app["appId"])
    uris = ["https://shop.gone.example", f"api://{app['appId']}", "api://taken"]
    site.control.patch(f"applications/{app['id']}", {"identifierUris": uris})
    group = next(g for g in site.control.dump("groups") if not g["groupTypes"] and not g["onPremisesSyncEnabled"])
    site.control.patch(f"groups/{group['id']}", {"mailNickname": "Sales (EMEA)"})
    members = {target for source, target, _ in site.control.edges("groups", "members") if source == group["id"]}
    point = site.point()
    for one in (principal, app, group):
        site.control.purge(one["id"])
    site.control.patch(f"applications/{other['id']}", {"identifierUris": ["api://taken"]})

    chosen = ("--ids", ",".join([app["id"], principal["id"], group["id"]]))
    code, plan = site.plan(point, *chosen)
    assert code == 3
    told = [one["reason"] for one in plan["refusals"] if one["kind"] == "unresolved"]
    assert [reason.partition(":")[0] + ":" for reason in sorted(told)] == [
        "its mailNickname becomes SalesEMEA:",
        "without identifierUris api:",
        "without identifierUris https:",
    ]
    report = site.restore(point, *chosen, code=3)
    # What is planned is what Graph takes.
    assert {one["result"] for one in report["outcomes"]} == {"restored"}
    back = site.one("applications", displayName=app["displayName"])
    assert back["identifierUris"] == [f"api://{back['appId']}"]
    assert site.one("servicePrincipals", appId=back["appId"])
    made = site.one("groups", mailNickname="SalesEMEA")
    assert {target for source, target, _ in site.control.edges("groups", "members") if source == made["id"]} == members
