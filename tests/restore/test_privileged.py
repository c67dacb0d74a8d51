"""Memberships and ownerships of groups that privileged identity management gives, lost and given since."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from entra_pipeline.store.manifest import Manifest
from tests.restore import disasters
from tests.restore.test_disasters_undone import Site, bad, site

__all__ = ["site"]

ACTIVE = "privileged_access_group_assignment_schedules"
ELIGIBLE = "privileged_access_group_eligibility_schedules"
_ROOT = "identityGovernance/privilegedAccess/group"
_REQUESTS = {ACTIVE: f"{_ROOT}/assignmentScheduleRequests", ELIGIBLE: f"{_ROOT}/eligibilityScheduleRequests"}
_KINDS = {ACTIVE: "privilegedAccessGroupAssignmentSchedule", ELIGIBLE: "privilegedAccessGroupEligibilitySchedule"}
_RELATIONS = {"member": "members", "owner": "owners"}


class Group:
    """A group, and a user whom it may be given to.

    Args:
        one: The site.
        access: `member` or `owner`.
    """

    def __init__(self, one: Site, access: str) -> None:
        self.control, self.access = one.control, access
        self.id = disasters.cloud_groups(one.control)[0]
        held = {target for source, target in self._links() if source == self.id}
        self.user = next(user for user in disasters.cloud_users(one.control) if user not in held)

    def give(self, table: str) -> None:
        """Gives an active or eligible assignment; an active one makes the user a member or an owner."""
        self._request("adminAssign", table, scheduleInfo={"expiration": {"type": "noExpiration"}})

    def take(self, table: str) -> None:
        """Takes an assignment, and with an active one what it gave."""
        self._request("adminRemove", table)

    def link(self) -> None:
        """Makes the user a member or an owner."""
        self.control.add_link(f"groups/{self.id}/{_RELATIONS[self.access]}", self.user)

    def unlink(self) -> None:
        """Takes that away."""
        self.control.remove_link(f"groups/{self.id}/{_RELATIONS[self.access]}", self.user)

    @property
    def linked(self) -> bool:
        """Whether the user is a member or an owner."""
        return (self.id, self.user) in self._links()

    def schedules(self, table: str) -> int:
        """How many such assignments the user has."""
        return sum(
            (one["groupId"], one["principalId"], one["accessId"]) == (self.id, self.user, self.access)
            for one in self.control.dump(_KINDS[table])
        )

    def _request(self, action: str, table: str, **more: object) -> None:
        who = {"accessId": self.access, "groupId": self.id, "principalId": self.user}
        self.control.create(_REQUESTS[table], {"action": action, "justification": "test", **who, **more})

    def _links(self) -> set[tuple[str, str]]:
        return {(source, target) for source, target, _ in self.control.edges("groups", _RELATIONS[self.access])}


def restored(one: Site, point: Manifest) -> None:
    """Restores without a refused write, after which nothing is left to plan."""
    plan = one.plan(point)
    assert [refusal for refusal in plan.refusals if refusal.kind == "unresolved"] == []
    one.control.ledger(reset=True)
    assert bad(one.apply(plan)) == []
    assert [write for write in one.control.writes() if write["status"] >= 400] == []
    assert one.plan(point, "again").steps == ()


@pytest.fixture
def privileged(site: Callable[..., Site]) -> Site:
    """A tenant with assignments of groups."""
    return site("users", "groups", ACTIVE, ELIGIBLE)


@pytest.mark.parametrize("access", ["member", "owner"])
def test_what_was_lost_comes_back(access: str, privileged: Site) -> None:
    group = Group(privileged, access)
    group.give(ACTIVE)
    group.give(ELIGIBLE)
    point = privileged.backup()
    group.take(ACTIVE)
    group.take(ELIGIBLE)
    assert not group.linked
    restored(privileged, point)
    assert (group.linked, group.schedules(ACTIVE), group.schedules(ELIGIBLE)) == (True, 1, 1)


@pytest.mark.parametrize("access", ["member", "owner"])
def test_what_was_given_since_goes(access: str, privileged: Site) -> None:
    group = Group(privileged, access)
    point = privileged.backup()
    group.give(ACTIVE)
    group.give(ELIGIBLE)
    assert group.linked
    restored(privileged, point)
    assert (group.linked, group.schedules(ACTIVE), group.schedules(ELIGIBLE)) == (False, 0, 0)


@pytest.mark.parametrize("access", ["member", "owner"])
def test_who_was_so_already_stays_so_when_an_assignment_given_since_goes(access: str, privileged: Site) -> None:
    group = Group(privileged, access)
    group.link()
    point = privileged.backup()
    group.give(ACTIVE)
    restored(privileged, point)
    assert (group.linked, group.schedules(ACTIVE)) == (True, 0)


@pytest.mark.parametrize("access", ["member", "owner"])
def test_a_group_that_is_gone_comes_back_with_its_assignments(access: str, privileged: Site) -> None:
    group = Group(privileged, access)
    group.give(ACTIVE)
    group.give(ELIGIBLE)
    point = privileged.backup()
    name = privileged.objects(point, "groups")[group.id]["displayName"]
    privileged.control.purge(group.id)
    restored(privileged, point)
    group.id = next(one["id"] for one in privileged.control.dump("groups") if one["displayName"] == name)
    assert (group.linked, group.schedules(ACTIVE), group.schedules(ELIGIBLE)) == (True, 1, 1)


@pytest.mark.parametrize("access", ["member", "owner"])
def test_an_assignment_gives_nobody_more_than_there_was(access: str, privileged: Site) -> None:
    group = Group(privileged, access)
    group.give(ACTIVE)
    group.unlink()
    point = privileged.backup()
    group.take(ACTIVE)
    plan = privileged.plan(point)
    assert plan.steps == ()
    (refusal,) = [one for one in plan.refusals if one.table == ACTIVE]
    assert f"would make {group.user}" in refusal.reason


def test_who_held_a_role_already_holds_it_when_an_assignment_given_since_goes(site: Callable[..., Site]) -> None:
    one = site("users", "role_definitions", "role_assignments", "role_assignment_schedules")
    role = next(each["id"] for each in one.control.dump("unifiedRoleDefinition") if each["isBuiltIn"])
    user = disasters.cloud_users(one.control)[-1]
    held = {"principalId": user, "roleDefinitionId": role, "directoryScopeId": "/"}
    one.control.create("roleManagement/directory/roleAssignments", held)
    point = one.backup()
    request = {
        "action": "adminAssign",
        "justification": "test",
        "scheduleInfo": {"expiration": {"type": "noExpiration"}},
    }
    one.control.create("roleManagement/directory/roleAssignmentScheduleRequests", {**request, **held})
    restored(one, point)
    found = [each for each in one.control.dump("unifiedRoleAssignment") if each["principalId"] == user]
    assert [{name: each[name] for name in held} for each in found] == [held]
    given = [each for each in one.control.dump("unifiedRoleAssignmentSchedule") if each["principalId"] == user]
    assert given == []
