"""What an object is linked with is what the tenant says, from both ends, by name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from entra_pipeline.analysis.browse import states, type_rows
from entra_pipeline.analysis.linking.related import related
from entra_pipeline.analysis.objects import find
from entra_pipeline.errors import NotInStore, UsageError
from entra_pipeline.simulator import Simulator
from entra_pipeline.store.manifest import Manifest
from tests.support.protected import Protected, protect

Tenant = Callable[..., Protected]
_TYPES = (
    "users",
    "user_licenses",
    "groups",
    "administrative_units",
    "applications",
    "federated_identity_credentials",
    "service_principals",
    "app_role_assignments",
    "oauth2_permission_grants",
    "role_definitions",
    "role_assignments",
    "conditional_access_policies",
    "subscribed_skus",
)


class Browsed:
    """A recovery point of a small tenant, and the tenant."""

    def __init__(self, tenant: Protected) -> None:
        self.tenant = tenant
        self.control = tenant.control
        self.manifest: Manifest = tenant.backup()

    def related(self, table: str, identifier: str) -> set[tuple[str, str, str, str]]:
        found = related(self.tenant.store, self.manifest, table, identifier)
        assert found.total == len(found.rows)
        assert all(row["name"] for row in found.rows)
        return {(row["relation"], row["direction"], row["type"], row["id"]) for row in found.rows}

    def names(self, table: str, identifier: str) -> dict[str, str]:
        found = related(self.tenant.store, self.manifest, table, identifier)
        return {row["id"]: row["name"] for row in found.rows}


@pytest.fixture(scope="module")
def browsed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browsed]:
    with Simulator(40, 8, 5) as simulator:
        yield Browsed(Protected(simulator, tmp_path_factory.mktemp("browsed"), protect(*_TYPES)))


def test_types_are_counted_by_category(browsed: Browsed) -> None:
    rows = {row["type"]: row for row in type_rows(browsed.manifest)}
    assert rows["users"]["rows"] == len(browsed.control.dump("users"))
    assert rows["group_members"]["category"] == rows["groups"]["category"] == "Groups"
    assert rows["group_members"]["kind"] == "edges"


def test_an_object_at_several_points(tmp_path: Path) -> None:
    """Added, changed, deleted and restored, over a base and its changes: at each point what `find` finds there."""
    with Simulator(12, 3, 5) as simulator:
        tenant = Protected(simulator, tmp_path, protect("users"))
        manifests = [tenant.backup()]
        created = simulator.control.create("users", {"displayName": "New"})
        manifests.append(tenant.backup())
        simulator.control.patch(f"users/{created}", {"displayName": "Newer"})
        manifests.append(tenant.backup())
        simulator.control.delete(f"users/{created}")
        manifests.append(tenant.backup())
        manifests.append(tenant.backup(full=True))
        store = tenant.store
    told = [next(find(store, manifest, "users", where=f"id = '{created}'"), None) for manifest in manifests]
    assert [raw is not None for raw in told] == [False, True, True, False, False]
    assert states(store, manifests, "users", created) == told
    assert states(store, manifests, "groups", created) == [None] * 5


def test_links_are_shown_from_both_ends(browsed: Browsed) -> None:
    members = browsed.control.edges("groups", "members")
    group = max(
        {source for source, _, _ in members}, key=lambda one: sum(1 for source, _, _ in members if source == one)
    )
    found = browsed.related("groups", group)
    users = {target for source, target, kind in members if source == group and kind == "user"}
    assert {one[3] for one in found if one[:3] == ("members", "to", "users")} == users
    owners = {target for source, target, _ in browsed.control.edges("groups", "owners") if source == group}
    assert {one[3] for one in found if one[:2] == ("owners", "to")} == owners

    user = min(users)
    seen = browsed.related("users", user)
    mine = {source for source, target, _ in members if target == user}
    assert {one[3] for one in seen if one[:3] == ("memberOf", "from", "groups")} == mine
    manager = {target for source, target, _ in browsed.control.edges("users", "manager") if source == user}
    assert {one[3] for one in seen if one[:3] == ("manager", "to", "users")} == manager
    called = {one["id"]: one["displayName"] for one in browsed.control.dump("groups")}
    assert browsed.names("users", user)[group] == called[group]


def test_assignments_are_called_after_what_they_tie(browsed: Browsed) -> None:
    definitions = {
        one["id"]: one["displayName"] for one in browsed.control.dump("roleManagement/directory/roleDefinitions")
    }
    users = {one["id"] for one in browsed.control.dump("users")}
    for role in browsed.control.dump("roleManagement/directory/roleAssignments"):
        if role["principalId"] in users:
            assert ("principalId", "from", "role_assignments", role["id"]) in browsed.related(
                "users", role["principalId"]
            )
            assert definitions[role["roleDefinitionId"]] in browsed.names("users", role["principalId"])[role["id"]]
            break
    else:
        pytest.fail("no user has a role")
    assignment = next(one for one in browsed.control.dump("appRoleAssignment") if one["principalType"] == "User")
    named = browsed.names("users", assignment["principalId"])
    assert named[assignment["id"]] == assignment["resourceDisplayName"]
    resource = browsed.related("service_principals", assignment["resourceId"])
    assert [one for one in resource if one[3] == assignment["id"]] == [
        ("appRoleAssignedTo", "to", "app_role_assignments", assignment["id"])
    ]


def test_licences_and_policies_are_found_by_what_they_name(browsed: Browsed) -> None:
    skus = {one["skuId"]: one["id"] for one in browsed.control.dump("subscribedSkus")}
    user = next(one for one in browsed.control.dump("users") if one.get("assignedLicenses"))
    wanted = {skus[licence["skuId"]] for licence in user["assignedLicenses"]}
    assert {one[3] for one in browsed.related("users", user["id"]) if one[2] == "subscribed_skus"} == wanted

    for policy in browsed.control.dump("identity/conditionalAccess/policies"):
        for excluded in policy["conditions"]["users"].get("excludeUsers") or []:
            path = ("conditions.users.excludeUsers", "conditional_access_policies", policy["id"])
            seen = browsed.related("users", excluded)
            assert (path[0], "from", path[1], path[2]) in seen
            assert (path[0], "to", "users", excluded) in browsed.related(path[1], path[2])
            return
    pytest.fail("no policy excludes a user")


def test_what_belongs_to_an_object_leads_back_to_it(browsed: Browsed) -> None:
    application = browsed.control.dump("applications")[0]
    principal = next(one for one in browsed.control.dump("servicePrincipals") if one["appId"] == application["appId"])
    found = browsed.related("applications", application["id"])
    assert ("appId", "to", "service_principals", principal["id"]) in found
    assert ("appId", "to", "applications", application["id"]) in browsed.related("service_principals", principal["id"])
    credential = json.loads(next(find(browsed.tenant.store, browsed.manifest, "federated_identity_credentials")))["id"]
    (owner,) = browsed.related("federated_identity_credentials", credential)
    assert owner[:3] == ("federatedIdentityCredentials", "from", "applications")
    assert ("federatedIdentityCredentials", "to", "federated_identity_credentials", credential) in browsed.related(
        "applications", owner[3]
    )


def test_a_page_of_links_says_how_many_there_are(browsed: Browsed) -> None:
    group = next(iter(browsed.control.edges("groups", "members")))[0]
    store, manifest = browsed.tenant.store, browsed.manifest
    every = related(store, manifest, "groups", group)
    some = related(store, manifest, "groups", group, limit=1, offset=1)
    assert some.rows == every.rows[1:2]
    assert some.counts == every.counts


def test_what_is_not_there_is_explained(browsed: Browsed) -> None:
    store, manifest = browsed.tenant.store, browsed.manifest
    with pytest.raises(NotInStore, match="no object nobody"):
        related(store, manifest, "users", "nobody")
    with pytest.raises(UsageError, match="holds links"):
        related(store, manifest, "group_members", "nobody")
    with pytest.raises(NotInStore, match="did not protect it"):
        related(store, manifest, "devices", "nobody")
