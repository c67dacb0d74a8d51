"""What comes back by itself with an object from the recycle bin is not written, however late reads show it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.restore import disasters
from tests.restore.disasters import truth
from tests.restore.test_disasters_undone import Site, bad, site

__all__ = ["site"]

TYPES = (
    *("users", "user_licenses", "user_extensions", "groups", "administrative_units", "scoped_role_members"),
    *("applications", "extension_properties", "federated_identity_credentials", "service_principals"),
    *("app_role_assignments", "oauth2_permission_grants", "delegated_permission_classifications"),
    *("role_definitions", "role_assignments", "role_eligibility_schedules"),
    *("privileged_access_group_eligibility_schedules", "deleted_users", "deleted_groups", "deleted_applications"),
    *("deleted_service_principals", "deleted_administrative_units"),
)
_LATE = 2.0
"""Seconds for which reads show nothing new: the steps of a small restore take less."""


def tie(one: Site) -> dict[str, str]:
    """Ties two users, a group, an application, its enterprise application and a unit together in every way there is.

    Returns:
        What is to be deleted: path by id.
    """
    control = one.control
    user, chief = disasters.cloud_users(control)[3:5]
    group, plain = disasters.cloud_groups(control)[:2]
    application = next(each for each in control.dump("applications") if each["appRoles"])
    (principal,) = (each for each in control.dump("servicePrincipals") if each["appId"] == application["appId"])
    unit = next(each["id"] for each in control.dump("directory/administrativeUnits") if not each["membershipType"])
    control.add_link(f"users/{user}/manager", chief)
    control.add_link(f"users/{user}/sponsors", chief)
    control.add_link(f"groups/{group}/owners", user)
    for member_of in (group, plain):
        control.add_link(f"groups/{member_of}/members", user)
    control.add_link(f"directory/administrativeUnits/{unit}/members", user, group)
    control.add_link(f"applications/{application['id']}/owners", user)
    control.add_link(f"servicePrincipals/{principal['id']}/owners", user)
    role = {"principalId": user, "resourceId": principal["id"], "appRoleId": application["appRoles"][0]["id"]}
    control.create(f"servicePrincipals/{principal['id']}/appRoleAssignedTo", role)
    definition = next(each["id"] for each in control.dump("unifiedRoleDefinition") if each["isBuiltIn"])
    over = {"principalId": user, "roleDefinitionId": definition, "directoryScopeId": f"/administrativeUnits/{unit}"}
    control.create("roleManagement/directory/roleAssignments", over)
    return {
        user: "users",
        chief: "users",
        group: "groups",
        application["id"]: "applications",
        unit: "directory/administrativeUnits",
    }


def test_nothing_that_comes_back_by_itself_is_written(site: Callable[..., Site]) -> None:
    one = site(*TYPES)
    gone = tie(one)
    before, point = truth(one.control), one.backup()
    for id_, path in gone.items():
        one.control.delete(f"{path}/{id_}")
    plan = one.plan(point)
    returning = {step.table for step in plan.steps if step.returning}
    assert returning >= {
        *("user_manager", "user_sponsors", "group_members", "group_owners", "administrative_unit_members"),
        *("application_owners", "service_principal_owners", "app_role_assignments", "role_assignments"),
        *("user_licenses", "extension_properties"),
    }
    writing = [step for step in plan.steps if not step.returning]
    one.control.ledger(reset=True)
    one.control.knobs(lag=_LATE, lag_writes=True)
    report = one.apply(plan)
    one.control.knobs(lag=0.0, lag_writes=False)
    assert bad(report) == []
    written: dict[str, Any] = one.control.ledger()["written"]
    assert sum(written.values()) == len(writing), written
    after = truth(one.control)
    assert after.links == before.links
    assert {kind: set(each) for kind, each in after.objects.items()} == {
        kind: set(each) for kind, each in before.objects.items()
    }


@pytest.mark.parametrize("lag", [0.0, _LATE], ids=["at once", "late"])
def test_what_did_not_come_back_is_written(lag: float, site: Callable[..., Site]) -> None:
    one = site("users", "groups", "deleted_users")
    user, chief = disasters.cloud_users(one.control)[3:5]
    group = disasters.cloud_groups(one.control)[0]
    one.control.add_link(f"users/{user}/manager", chief)
    one.control.add_link(f"groups/{group}/members", user)
    before, point = truth(one.control), one.backup()
    # Taken away between the recovery point and the deletion.
    one.control.remove_link(f"users/{user}/manager", chief)
    one.control.remove_link(f"groups/{group}/members", user)
    one.control.delete(f"users/{user}")
    plan = one.plan(point)
    one.control.ledger(reset=True)
    one.control.knobs(lag=lag, lag_writes=bool(lag))
    report = one.apply(plan)
    one.control.knobs(lag=0.0, lag_writes=False)
    assert bad(report) == []
    assert truth(one.control).links == before.links
    assert sum(one.control.ledger()["written"].values()) == 3


def test_what_was_given_before_the_deletion_goes_again_though_reads_show_it_late(site: Callable[..., Site]) -> None:
    one = site("users", "groups", "role_definitions", "role_assignments", "deleted_users")
    # Nothing that is known to come back makes the restore wait.
    user = one.control.create("users", {"displayName": "Ada", "userPrincipalName": "ada@contoso.com"})
    before, point = truth(one.control), one.backup()
    role = next(each["id"] for each in one.control.dump("unifiedRoleDefinition") if each["isBuiltIn"])
    given = {"principalId": user, "roleDefinitionId": role, "directoryScopeId": "/"}
    one.control.create("roleManagement/directory/roleAssignments", given)
    one.control.add_link(f"groups/{disasters.cloud_groups(one.control)[0]}/members", user)
    one.control.delete(f"users/{user}")
    plan = one.plan(point)
    one.control.knobs(lag=_LATE, lag_writes=True)
    report = one.apply(plan)
    one.control.knobs(lag=0.0, lag_writes=False)
    assert bad(report) == []
    after = truth(one.control)
    assert (after.links, set(after.objects["unifiedRoleAssignment"])) == (
        before.links,
        set(before.objects["unifiedRoleAssignment"]),
    )
