"""What a service says of an object that has not reached it: it is asked again, whatever its words are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.restore.applying.conftest import Damaged, bad, links, step
from tests.restore.applying.test_makers import body

Start = Callable[..., Damaged]
_INVALID = "One or more property values specified are invalid."
_POLICIES = "identity/conditionalAccess/policies"


def refuse(site: Damaged, path: str, status: int, message: str, code: str = "BadRequest", times: int = 3) -> None:
    site.control.misbehave("write-fails", path, times=times, status=status, code=code, message=message)


def struck(site: Damaged) -> list[int]:
    return [rule["struck"] for rule in site.control.misbehaviours()]


def group_that_is_gone(site: Damaged) -> tuple[dict[str, Any], Any]:
    """A group that was deleted for good, and the step that makes it."""
    found = next(
        one for one in site.control.dump("groups") if not one["groupTypes"] and not one["onPremisesSyncEnabled"]
    )
    site.control.purge(found["id"])
    return found, step("create", "groups", found["id"], body=body("groups", found))


def policy_for(group: str) -> Any:
    """The step that makes a policy for a group."""
    users = {"includeGroups": [group]}
    new = {
        "displayName": "New",
        "state": "disabled",
        "conditions": {"users": users, "applications": {"includeApplications": ["All"]}, "clientAppTypes": ["all"]},
        "grantControls": {"operator": "OR", "builtInControls": ["mfa"]},
    }
    return step("create", "conditional_access_policies", "gone", stage="then", body=new, needs=(group,))


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (400, "BadRequest", "1054: Invalid group value: {}."),
        (400, "BadRequest", _INVALID),
        (403, "AccessDenied", "You cannot perform the requested operation."),
    ],
)
def test_a_policy_that_names_a_new_group(status: int, code: str, message: str, damaged: Start) -> None:
    site = damaged("groups", "conditional_access_policies", "named_locations")
    group, made = group_that_is_gone(site)
    # A write a second: that is the lane of conditional access.
    refuse(site, _POLICIES, status, message.format("that one"), code, times=1)
    later = policy_for(group["id"])
    assert bad(site.apply(site.plan(made, later), patience=10.0)) == []
    assert struck(site) == [1]


def test_roles_schedules_and_memberships_of_new_objects(damaged: Start) -> None:
    site = damaged("groups", "administrative_units", "role_assignments", "role_eligibility_schedules")
    group, made = group_that_is_gone(site)
    role = site.first("roleManagement/directory/roleDefinitions", isBuiltIn=True)["id"]
    given = {"principalId": group["id"], "roleDefinitionId": role, "directoryScopeId": "/"}
    unit = site.first("directory/administrativeUnits", membershipType=None)["id"]
    refuse(site, "roleManagement/directory/roleAssignments", 400, _INVALID, "Request_BadRequest")
    refuse(site, "roleManagement/directory/roleEligibilityScheduleRequests", 400, "The subject is not found.")
    refuse(site, "directory/administrativeUnits/*/members/*", 400, "Invalid object identifier.")
    needs = {"needs": (group["id"],), "stage": "then"}
    always = {"expiration": {"type": "noExpiration"}}
    site.restore(
        made,
        step("create", "role_assignments", "gone", body=given, **needs),
        step("create", "role_eligibility_schedules", "over", body={**given, "scheduleInfo": always}, **needs),
        links("link", "administrative_unit_members", unit, group["id"], kind="group", **needs),
    )
    assert struck(site) == [3, 3, 3]


def test_definitions_are_known_by_other_names_than_their_ids(damaged: Start) -> None:
    site = damaged("users", "applications", "extension_properties")
    app = site.control.dump("applications")[0]
    user = next(u for u in site.control.dump("users") if not u["onPremisesSyncEnabled"])
    name = f"extension_{app['appId'].replace('-', '')}_floor"
    refuse(site, "users/*", 400, f"The following extension properties are not available: {name}.", times=2)
    defined = {"name": name, "dataType": "String", "targetObjects": ["User"]}
    site.restore(
        step("create", "extension_properties", "gone", parent=app["id"], body=defined),
        step("update", "users", user["id"], stage="users", body={name: "3"}),
    )
    assert struck(site) == [2]


def test_a_name_that_has_just_been_given_up_may_be_taken_a_little_longer(damaged: Start) -> None:
    site = damaged("users")
    user, holder = [u for u in site.control.dump("users") if not u["onPremisesSyncEnabled"]][:2]
    site.control.delete(f"users/{user['id']}")
    message = "Another object with the same value for property userPrincipalName already exists."
    refuse(site, "directory/deletedItems/*/restore", 409, message, "ObjectConflict")
    first = step("update", "users", holder["id"], stage="users", body={"city": "Umeå"}, frees=(user["id"],))
    site.restore(first, step("undelete", "users", user["id"], stage="users", waits=(1,)))
    assert struck(site) == [3]


def test_a_value_that_graph_names_is_refused_at_once(damaged: Start) -> None:
    site = damaged("groups", "conditional_access_policies", "named_locations")
    group, made = group_that_is_gone(site)
    refuse(site, _POLICIES, 400, "Invalid value specified for property 'grantControls'.", times=0)
    site.control.ledger(reset=True)
    later = policy_for(group["id"])
    report = site.apply(site.plan(made, later))
    assert [one.result for one in report.outcomes] == ["restored", "failed"]
    assert len([one for one in site.writes() if one[1] == _POLICIES]) == 1
