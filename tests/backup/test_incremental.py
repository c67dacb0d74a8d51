"""An incremental backup holds the tenant as it is now, the full one as it was then, and the work fits the changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from entra_pipeline.demo import Picture
from entra_pipeline.simulator import Control, Simulator
from entra_pipeline.store.manifest import Manifest
from tests.support.protected import Protected, parts_of, totals

POLICIES = "identity/conditionalAccess/policies"
ASSIGNMENTS = "roleManagement/directory/roleAssignments"


def ids(control: Control, path: str, *, number: int = 1, start: int = 0) -> list[str]:
    """Ids of a few objects, in a fixed order."""
    return sorted(one["id"] for one in control.dump(path))[start : start + number]


def change_everything(control: Control) -> int:
    """Changes of every kind an administrator makes; returns how many."""
    users = ids(control, "users", number=60)
    cloud_groups = sorted(
        one["id"] for one in control.dump("groups") if not one["membershipRule"] and not one["onPremisesSyncEnabled"]
    )
    units = ids(control, "directory/administrativeUnits", number=2)
    apps = ids(control, "applications", number=4)
    principals = ids(control, "servicePrincipals", number=4)
    members = sorted(control.edges("groups", "members"))
    owners = sorted(control.edges("groups", "owners"))
    count = 0

    def do(order: Callable[..., Any], *values: Any) -> Any:
        nonlocal count
        count += 1
        return order(*values)

    hired = do(control.create, "users", {"displayName": "Åsa Öberg", "mail": "asa@contoso.com"})
    do(control.add_link, f"users/{hired}/manager", users[0])
    do(control.add_link, f"users/{hired}/sponsors", users[1], users[2])
    do(control.patch, f"users/{users[3]}", {"displayName": "Renamed", "jobTitle": "Head of 東京"})
    do(control.patch, f"users/{users[4]}", {"department": None, "mobilePhone": None, "businessPhones": []})
    do(control.patch, f"users/{users[5]}", {"accountEnabled": False})
    do(control.delete, f"users/{users[6]}")
    do(control.delete, f"users/{users[7]}")
    do(control.purge, users[7])
    do(control.purge, users[8])
    for returning in [one["id"] for one in control.dump("users", deleted=True)]:
        if returning != users[6]:
            do(control.restore, returning)
    do(control.delete, f"users/{users[9]}")
    do(control.restore, users[9])
    do(control.add_link, f"users/{users[10]}/manager", users[11])
    for source, target, _ in sorted(control.edges("users", "manager"))[20:23]:
        do(control.remove_link, f"users/{source}/manager", target)
    for source, target, _ in sorted(control.edges("users", "sponsors"))[:1]:
        do(control.remove_link, f"users/{source}/sponsors", target)

    team = do(control.create, "groups", {"displayName": "Lag ☂", "mailNickname": "lag"})
    do(control.add_link, f"groups/{team}/members", *users[10:20], cloud_groups[0])
    do(control.add_link, f"groups/{team}/owners", users[10])
    do(control.patch, f"groups/{cloud_groups[1]}", {"description": "changed", "visibility": "Private"})
    do(control.add_link, f"groups/{cloud_groups[1]}/members", *users[20:24])
    for source, target, _ in [one for one in members if one[1] not in users[6:10]][:4]:
        do(control.remove_link, f"groups/{source}/members", target)
    for source, target, _ in [one for one in owners if one[1] not in users[6:10]][:2]:
        do(control.remove_link, f"groups/{source}/owners", target)
    do(control.add_link, f"groups/{cloud_groups[2]}/owners", users[24])
    do(control.delete, f"groups/{cloud_groups[3]}")
    do(control.delete, f"groups/{cloud_groups[4]}")
    do(control.restore, cloud_groups[4])
    do(control.purge, cloud_groups[5])

    do(control.add_link, f"directory/administrativeUnits/{units[0]}/members", users[25], cloud_groups[0])
    for source, target, _ in sorted(control.edges("directory/administrativeUnits", "members"))[:2]:
        do(control.remove_link, f"directory/administrativeUnits/{source}/members", target)
    role = ids(control, "directoryRoles")[0]
    do(control.create, f"directory/administrativeUnits/{units[1]}/scopedRoleMembers", _scoped(role, users[26]))
    do(control.create, "directory/administrativeUnits", {"displayName": "New unit"})
    definition = control.dump("roleManagement/directory/roleDefinitions")[0]["id"]
    do(control.create, ASSIGNMENTS, _assignment(users[27], definition))
    do(control.delete, f"{ASSIGNMENTS}/{ids(control, ASSIGNMENTS)[0]}")

    do(control.patch, f"{POLICIES}/{ids(control, POLICIES)[0]}", {"state": "disabled"})
    do(control.delete, f"{POLICIES}/{ids(control, POLICIES)[-1]}")
    do(control.create, "identity/conditionalAccess/namedLocations", _location("Office"))

    do(control.patch, f"applications/{apps[0]}", {"displayName": "App, renamed", "notes": None})
    do(control.create, f"applications/{apps[1]}/federatedIdentityCredentials", _credential("deploy"))
    credential = sorted(control.edges("applications", "federatedIdentityCredentials"))[0]
    do(control.delete, f"applications/{credential[0]}/federatedIdentityCredentials/{credential[1]}")
    do(control.add_link, f"applications/{apps[2]}/owners", users[28])
    do(control.delete, f"applications/{apps[3]}")
    do(control.patch, f"servicePrincipals/{principals[0]}", {"tags": ["HideApp"], "accountEnabled": False})
    do(control.add_link, f"servicePrincipals/{principals[1]}/owners", users[29])
    grant = control.dump("oauth2PermissionGrants")
    do(control.patch, f"oauth2PermissionGrants/{grant[0]['id']}", {"scope": "User.Read Mail.Read"})
    do(control.delete, f"oauth2PermissionGrants/{grant[1]['id']}")
    resource, assignment = _offering(control)
    do(control.create, f"servicePrincipals/{resource}/appRoleAssignedTo", {**assignment, "principalId": users[30]})
    given = control.dump("appRoleAssignment")[0]
    do(control.delete, f"servicePrincipals/{given['resourceId']}/appRoleAssignedTo/{given['id']}")
    device = ids(control, "devices", number=2)
    do(control.patch, f"devices/{device[0]}", {"displayName": "LAPTOP-Ö"})
    do(control.delete, f"devices/{device[1]}")
    return count


def _scoped(role: str, user: str) -> dict[str, Any]:
    return {"roleId": role, "roleMemberInfo": {"id": user}}


def _assignment(user: str, definition: str) -> dict[str, Any]:
    return {"principalId": user, "roleDefinitionId": definition, "directoryScopeId": "/"}


def _location(name: str) -> dict[str, Any]:
    network = {"@odata.type": "#microsoft.graph.iPv4CidrRange", "cidrAddress": "192.0.2.0/24"}
    return {"@odata.type": "#microsoft.graph.ipNamedLocation", "displayName": name, "ipRanges": [network]}


def _credential(name: str) -> dict[str, Any]:
    issuer = "https://token.actions.githubusercontent.com"
    return {"name": name, "issuer": issuer, "subject": "repo:contoso/x", "audiences": ["api://AzureADTokenExchange"]}


def _offering(control: Control) -> tuple[str, dict[str, Any]]:
    """A service principal that can be assigned, and the assignment but for whom."""
    given = control.dump("appRoleAssignment")[0]
    return given["resourceId"], {"resourceId": given["resourceId"], "appRoleId": given["appRoleId"]}


class Story(NamedTuple):
    """A tenant backed up, changed, and backed up again."""

    protected: Protected
    full: Manifest
    then: Picture
    changes: int
    incremental: Manifest
    now: Picture


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with Simulator(users=400, groups=60, seed=3) as simulator:
        protected = Protected(simulator, tmp_path_factory.mktemp("story"))
        for user in ids(protected.control, "users", number=2, start=100):
            protected.control.delete(f"users/{user}")
        then = protected.picture()
        full = protected.backup()
        changes = change_everything(protected.control)
        now = protected.picture()
        yield Story(protected, full, then, changes, protected.backup(), now)


def test_both_points_hold_the_tenant_of_their_moment(story: Story) -> None:
    assert story.changes >= 50
    assert (story.full.kind, story.incremental.kind) == ("full", "incremental")
    story.protected.assert_same(story.full, story.then)
    story.protected.assert_same(story.incremental, story.now)


def test_what_is_stored_is_exactly_what_differs(story: Story) -> None:
    for table, entry in story.incremental.tables.items():
        if entry.read == "never":
            continue
        if entry.kind == "objects":
            then, now = story.then.objects[table], story.now.objects[table]
            both = then.keys() & now.keys()
            differing = sum(then[identifier] != now[identifier] for identifier in both)
            expected = len(now.keys() - then.keys()), differing, len(then.keys() - now.keys())
        else:
            before, after = story.then.links[table], story.now.links[table]
            expected = len(after - before), 0, len(before - after)
        assert (table, entry.added, entry.changed, entry.deleted) == (table, *expected)
        assert (table, sum(part.rows for part in parts_of(story.incremental, entry))) == (table, sum(expected))
        assert entry.read == ("incremental" if any(expected) else "unchanged")


def test_the_work_is_in_proportion_to_the_changes(story: Story) -> None:
    requests, rows = totals(story.incremental)
    assert rows < 5 * story.changes
    # A handful for every table, whatever its size: none of them reads the tenant page by page.
    assert requests < 2 * len(story.incremental.tables)


def test_an_edge_that_went_with_its_end_is_told_from_one_that_was_removed(story: Story) -> None:
    gone = {
        identifier
        for table, then in story.then.objects.items()
        for identifier in then.keys() - story.now.objects[table].keys()
    }
    seen = set()
    for table in story.then.links:
        for row in story.protected.written(story.incremental, table):
            reason = None
            if row["_change"] == "delete":
                reason = "source deleted" if row["source_id"] in gone else "removed"
                reason = "target deleted" if row["target_id"] in gone and row["source_id"] not in gone else reason
            assert row["_reason"] == reason
            seen.add(reason)
    assert seen == {None, "removed", "source deleted", "target deleted"}


def test_without_changes_nothing_is_written(story: Story) -> None:
    again = story.protected.backup()
    assert totals(again)[1] == 0
    # What Graph does not offer to applications is never read.
    assert {entry.read for entry in again.tables.values()} == {"unchanged", "never"}
    assert [entry.parts for entry in again.tables.values()] == [e.parts for e in story.incremental.tables.values()]
    story.protected.assert_same(again, story.now)
