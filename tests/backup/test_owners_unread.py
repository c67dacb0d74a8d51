"""What belongs to owners that could not be read is named with them, and what is known of them is kept and asked for."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.protected import Protected, protect

Tenant = Callable[..., Protected]
UNITS = "directory/administrativeUnits"


def test_links_that_are_put_back_because_of_a_null_are_asked_for_in_the_same_backup(tenant: Tenant) -> None:
    one = tenant(protect("administrative_units"), users=20, groups=6)
    unit, member, _ = min(one.edges(one.backup(), "administrative_unit_members"))
    one.control.remove_link(f"{UNITS}/{unit}/members", member)
    one.control.misbehave("element-null", UNITS)
    manifest = one.backup(full=True)
    one.control.behave()
    assert (unit, member) not in {edge[:2] for edge in one.edges(manifest, "administrative_unit_members")}
    one.assert_same(one.backup())


def test_children_of_owners_that_were_refused_are_named(tenant: Tenant) -> None:
    one = tenant(protect("administrative_units", "scoped_role_members"), users=20, groups=6)
    one.control.misbehave("fails", f"{UNITS}*", status=403)
    [gap] = one.backup().tables["scoped_role_members"].gaps
    assert gap.what == "owners"
    assert gap.reason.startswith("administrative_units are incomplete (not read: ")
    one.control.behave()
    one.assert_same(one.backup())


def test_children_of_a_new_owner_that_cannot_be_read_are_named(tenant: Tenant) -> None:
    one = tenant(protect("administrative_units", "scoped_role_members"), users=20, groups=6)
    role = min(one.objects(one.backup(), "scoped_role_members").values(), key=str)
    unit = one.control.create(UNITS, {"displayName": "New"})
    one.control.create(f"{UNITS}/{unit}/scopedRoleMembers", {**role, "id": "new", "administrativeUnitId": unit})
    one.control.misbehave("not-utf8", f"{UNITS}/delta", objects=[unit])
    one.control.misbehave("fails", f"{UNITS}/{unit}", status=500)
    manifest = one.backup()
    assert unit not in one.objects(manifest, "administrative_units")
    assert unit in {gap.object for gap in manifest.tables["scoped_role_members"].gaps}
    one.control.behave()
    one.assert_same(one.backup())


def test_what_belongs_to_the_children_of_an_object_that_came_by_another_way_is_read_with_them(tenant: Tenant) -> None:
    one = tenant(protect("service_principals", "synchronization_jobs", "synchronization_schemas"), users=20, groups=6)
    one.control.hide(objects=[principal["id"] for principal in one.control.dump("servicePrincipals")])
    manifest = one.backup()
    assert manifest.status == "finished"
    assert manifest.tables["synchronization_jobs"].live == manifest.tables["synchronization_schemas"].live == 1


def test_a_link_that_one_view_hides_stays_though_its_owners_could_not_be_read(tenant: Tenant) -> None:
    one = tenant(protect("applications", "users"), users=20, groups=4)
    before = one.edges(one.backup(), "application_owners")
    owners = sorted({edge[0] for edge in before})
    one.control.misbehave("fails", "applications/delta", status=500)
    one.control.misbehave("objects-hidden", "applications", views=["list", "count"], objects=owners[:1])
    one.control.misbehave("expand-null", "applications/*/owners", objects=owners[1:2])
    manifest = one.backup()
    assert [gap.what for gap in manifest.tables["applications"].gaps] == ["not read"]
    assert one.edges(manifest, "application_owners") == before
