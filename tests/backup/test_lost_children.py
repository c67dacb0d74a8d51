"""What belongs to owners does not go because one view leaves it out: it is looked for, and kept and named in doubt."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from entra_pipeline.store.manifest import Manifest
from tests.support.protected import Protected, protect

Tenant = Callable[..., Protected]
UNITS = "directory/administrativeUnits"
TYPES = (
    "applications",
    "federated_identity_credentials",
    "service_principals",
    "app_role_assignments",
    "administrative_units",
    "scoped_role_members",
)
CHILDREN = {
    "federated_identity_credentials": "applications/*/federatedIdentityCredentials",
    "app_role_assignments": "servicePrincipals/*/appRoleAssignedTo",
    "scoped_role_members": f"{UNITS}/*/scopedRoleMembers",
}


def owners(one: Protected, manifest: Manifest, table: str) -> dict[str, str]:
    """The owner of each child."""
    return dict(one.rows(manifest, table, "id, _parent_id"))


def named(manifest: Manifest, table: str) -> set[str]:
    return {gap.object for gap in manifest.tables[table].gaps}


@pytest.mark.parametrize("full", [True, False])
def test_children_that_one_view_leaves_out_are_found_in_another(tenant: Tenant, full: bool) -> None:
    one = tenant(protect(*TYPES), users=20, groups=4)
    before = {table: owners(one, one.backup(), table) for table in CHILDREN}
    assert all(before.values())
    for path in CHILDREN.values():
        one.control.misbehave("members-hidden", path, views=["expand"])
    one.control.misbehave(
        "objects-hidden",
        "applications",
        views=["list"],
        objects=list(before["federated_identity_credentials"].values()),
    )
    manifest = one.backup(full=full)
    one.assert_same(manifest)
    assert {table: owners(one, manifest, table) for table in CHILDREN} == before


def test_an_owner_that_the_probe_leaves_out_is_asked_at_the_first_backup(tenant: Tenant) -> None:
    one = tenant(protect(*TYPES), users=20, groups=4)
    applications = [application["id"] for application in one.control.dump("applications")]
    one.control.misbehave("objects-hidden", "applications", views=["list"], objects=applications)
    one.assert_same(one.backup())


@pytest.mark.parametrize("full", [True, False])
def test_children_that_no_list_shows_are_kept_and_named(tenant: Tenant, full: bool) -> None:
    one = tenant(protect(*TYPES), users=20, groups=4)
    first = one.backup()
    for path in CHILDREN.values():
        one.control.misbehave("members-hidden", path, views=["expand", "list", "count"])
    manifest = one.backup(full=full)
    assert manifest.status == "finished with exception"
    for table in CHILDREN:
        assert one.objects(manifest, table) == one.objects(first, table)
        assert named(manifest, table) == set(owners(one, first, table).values())
    assert manifest.tables.keys() == first.tables.keys()
    one.control.behave()
    one.assert_same(one.backup())


def test_children_that_graph_does_not_show_by_themselves_are_kept_unless_they_are_not_found(tenant: Tenant) -> None:
    one = tenant(protect("administrative_units", "scoped_role_members"), users=20, groups=4)
    first = one.backup()
    held = owners(one, first, "scoped_role_members")
    one.control.misbehave("members-hidden", CHILDREN["scoped_role_members"], views=["list"])
    one.control.misbehave("fails", f"{UNITS}/*/scopedRoleMembers/*", status=405, message="no such method")
    manifest = one.backup()
    assert owners(one, manifest, "scoped_role_members") == held
    assert named(manifest, "scoped_role_members") == set(held.values())
    one.control.behave()
    one.assert_same(one.backup())


def test_children_that_are_deleted_are_gone_and_nothing_is_named(tenant: Tenant) -> None:
    one = tenant(protect(*TYPES), users=20, groups=4)
    first = one.backup()
    gone = {}
    for table, path in CHILDREN.items():
        child, owner = min(owners(one, first, table).items())
        one.control.delete(f"{path.replace('*', owner)}/{child.removeprefix(f'{owner}/')}")
        gone[table] = child
    manifest = one.backup()
    one.assert_same(manifest)
    for table, child in gone.items():
        assert child not in one.objects(manifest, table)
