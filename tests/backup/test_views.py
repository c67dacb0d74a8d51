"""Graph's views of a tenant disagree: what one of them shows stays, and the disagreement is named."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from random import Random

import pytest

from entra_pipeline.backup.reconcile.context import ReconcilePolicy
from entra_pipeline.store.manifest import Manifest
from tests.support.protected import MAIN_TYPES, Protected, protect

Tenant = Callable[..., Protected]
AT_ONCE = ReconcilePolicy(count_pauses=(0.0, 0.0))


def gaps(manifest: Manifest, table: str) -> str:
    return " ".join(f"{gap.what}: {gap.reason} {gap.permission}" for gap in manifest.tables[table].gaps)


def a_group_of(one: Protected, kind: str) -> str:
    return min(edge[0] for edge in one.control.edges("groups", "members") if edge[2] == kind)


@pytest.mark.parametrize("full", [True, False])
def test_members_that_list_and_count_hide_are_kept_and_named(tenant: Tenant, full: bool) -> None:
    one = tenant(protect(*MAIN_TYPES))
    before = one.edges(one.backup(), "group_members")
    group = a_group_of(one, "user")
    one.control.misbehave(
        "members-hidden", "groups/*/members", types=["user"], objects=[group], views=["list", "count"]
    )
    one.control.patch(f"groups/{group}", {"description": "changed"})
    manifest = one.backup(full=full, reconcile_policy=AT_ONCE)
    assert one.edges(manifest, "group_members") == before
    assert manifest.status == "finished with exception"
    assert group in gaps(manifest, "group_members")


@pytest.mark.parametrize("full", [True, False])
def test_members_that_neither_list_count_nor_expand_show_are_kept_and_named(tenant: Tenant, full: bool) -> None:
    one = tenant(protect(*MAIN_TYPES))
    before = one.edges(one.backup(), "group_members")
    group = a_group_of(one, "user")
    one.control.misbehave(
        "members-hidden", "groups/*/members", objects=[group], views=["list", "count", "expand"], types=["user"]
    )
    one.control.patch(f"groups/{group}", {"description": "changed"})
    manifest = one.backup(full=full, reconcile_policy=AT_ONCE)
    assert one.edges(manifest, "group_members") == before
    assert group in gaps(manifest, "group_members")


@pytest.mark.parametrize("full", [True, False])
def test_known_members_stay_when_membership_becomes_hidden(tenant: Tenant, full: bool) -> None:
    one = tenant(protect(*MAIN_TYPES))
    before = one.edges(one.backup(), "group_members")
    group = a_group_of(one, "user")
    one.control.misbehave("hidden-membership")
    one.control.patch(f"groups/{group}", {"visibility": "HiddenMembership"})
    for _ in range(2):
        manifest = one.backup(full=full, reconcile_policy=AT_ONCE)
        assert one.edges(manifest, "group_members") == before
        assert manifest.status == "finished with exception"
        assert "Member.Read.Hidden" in gaps(manifest, "group_members")


def test_a_member_with_another_type_in_the_list_is_one_link(tenant: Tenant) -> None:
    one = tenant(protect(*MAIN_TYPES))
    group = a_group_of(one, "user")
    principal = one.control.dump("servicePrincipals")[0]["id"]
    one.control.add_link(f"groups/{group}/members", principal)
    one.backup()
    one.control.misbehave("another-type", "groups/*/members")
    user = min(edge[1] for edge in one.control.edges("groups", "members") if edge[0] == group and edge[2] == "user")
    one.control.remove_link(f"groups/{group}/members", user)
    one.control.hide(links=[f"groups/{group}/members/{user}"])
    manifest = one.backup(full=True, reconcile_policy=AT_ONCE)
    links = [edge for edge in one.edges(manifest, "group_members") if edge[:2] == (group, principal)]
    assert len(links) == 1


def test_a_member_that_was_removed_is_gone_and_nothing_is_named(tenant: Tenant) -> None:
    one = tenant(protect(*MAIN_TYPES))
    one.backup()
    group, user, _ = min(edge for edge in one.control.edges("groups", "members") if edge[2] == "user")
    one.control.remove_link(f"groups/{group}/members", user)
    manifest = one.backup(reconcile_policy=AT_ONCE)
    one.assert_same(manifest)


@pytest.mark.parametrize("views", [["expand"], ["list", "count", "expand"]], ids=" ".join)
def test_owners_that_no_delta_tells_of_stay_as_long_as_another_view_shows_them(
    tenant: Tenant, views: list[str]
) -> None:
    one = tenant(protect("applications", "users", "service_principals"), users=20)
    before = one.edges(one.backup(), "application_owners")
    application, owner, kind = min(edge for edge in before if edge[2] == "user")
    one.control.misbehave("members-hidden", "applications/*/owners", objects=[application], types=["user"], views=views)
    for full in (True, False):
        manifest = one.backup(full=full, reconcile_policy=AT_ONCE)
        assert one.edges(manifest, "application_owners") == before
        assert (manifest.status == "finished") == (views == ["expand"])
    if views != ["expand"]:
        assert application in gaps(manifest, "application_owners")
    one.control.behave()
    one.control.remove_link(f"applications/{application}/owners", owner)
    manifest = one.backup(reconcile_policy=AT_ONCE)
    assert one.edges(manifest, "application_owners") == before - {(application, owner, kind)}
    one.assert_same(manifest)


def test_a_sample_of_views_that_tell_hide_or_fail_loses_no_member_silently(tenant: Tenant) -> None:
    one = tenant(protect("users", "groups"), users=20, groups=4)
    before = one.edges(one.backup(), "group_members")
    group = a_group_of(one, "user")
    views = ("delta", "list", "expand", "count")
    ways = list(product(("tells", "hides", "fails"), repeat=len(views)))
    for behaviours in Random(7).sample(ways, 7):
        said = dict(zip(views, behaviours, strict=True))
        hiding = [view for view in views if said[view] == "hides"]
        one.control.misbehave("members-hidden", "groups/*/members", objects=[group], types=["user"], views=hiding)
        if said["list"] == "fails":
            one.control.misbehave("fails", "groups/*/members", objects=[group], status=400)
        if said["count"] == "fails":
            one.control.misbehave("count-fails", "groups/*/members", objects=[group], status=400)
        if said["expand"] == "fails":
            one.control.misbehave("expand-null", "groups/*/members", objects=[group])
        if said["delta"] == "fails":
            one.control.misbehave("fails", "groups/delta", status=403)
        manifest = one.backup(full=True, reconcile_policy=AT_ONCE)
        assert one.edges(manifest, "group_members") == before, said
        if said["delta"] == "fails":
            assert "403" in gaps(manifest, "group_members")
        one.control.behave()


@pytest.mark.parametrize("known", [True, False], ids=["a known group", "a new group"])
def test_members_that_a_later_round_hides_of_a_group_without_any_are_found(tenant: Tenant, known: bool) -> None:
    one = tenant(protect("users", "groups"), users=20, groups=4)
    body = {"displayName": "Rescue", "mailEnabled": False, "mailNickname": "rescue", "securityEnabled": True}
    group = one.control.create("groups", body) if known else ""
    one.backup()
    group = group or one.control.create("groups", body)
    one.control.add_link(f"groups/{group}/members", min(user["id"] for user in one.control.dump("users")))
    one.control.misbehave("wrong-kind", "groups/delta*", property="members@delta", value=[])
    one.assert_same(one.backup(reconcile_policy=AT_ONCE))


def test_members_that_a_later_round_hides_of_a_group_that_it_tells_owners_of_are_found(tenant: Tenant) -> None:
    one = tenant(protect("users", "groups"), users=20, groups=4)
    one.backup()
    one.control.delta(partial=True)
    group = a_group_of(one, "user")
    members = {edge[1] for edge in one.control.edges("groups", "members") if edge[0] == group}
    owners = {edge[1] for edge in one.control.edges("groups", "owners") if edge[0] == group}
    users = [user["id"] for user in one.control.dump("users")]
    one.control.add_link(f"groups/{group}/members", min(set(users) - members))
    one.control.add_link(f"groups/{group}/owners", min(set(users) - owners))
    one.control.misbehave("wrong-kind", "groups/delta*", property="members@delta", value=[])
    one.assert_same(one.backup(reconcile_policy=AT_ONCE))


def test_a_point_says_of_how_many_reported_owners_the_links_were_compared(tenant: Tenant) -> None:
    one = tenant(protect("users", "groups"), users=20, groups=4)
    one.backup()
    groups = [group["id"] for group in one.control.dump("groups")]
    for group in groups:
        member = one.control.create("users", {"displayName": "New", "userPrincipalName": f"{group}@contoso.example"})
        one.control.add_link(f"groups/{group}/members", member)
    manifest = one.backup(reconcile_policy=ReconcilePolicy(ordinary_counted=1))
    table = manifest.tables["group_members"]
    told = f"links of 1 of the {len(groups)} reported owners were compared with another view"
    assert (table.compared, table.notes) == (1, (told,))
    one.assert_same(manifest)


def test_a_link_that_graph_refused_to_be_asked_about_is_asked_about_again(tenant: Tenant) -> None:
    one = tenant(protect("administrative_units"))
    one.backup()
    links = one.control.edges("directory/administrativeUnits", "members")
    unit, group, _ = min(link for link in links if link[2] == "group")
    one.control.delete(f"groups/{group}")
    one.control.deny("groups")
    refused = one.backup(full=True).tables["administrative_unit_members"]
    assert {gap.object for gap in refused.gaps} == {source for source, target, _ in links if target == group}
    assert any(gap.object == unit and group in gap.reason for gap in refused.gaps)
    one.control.deny("groups", 0)
    one.assert_same(one.backup())


ASSIGNED = ("claims_mapping_policies", "applications", "service_principals", "groups", "access_packages")
PACKAGES = "identityGovernance/entitlementManagement/accessPackages"
LISTED_ONLY = {
    "claims_mapping_policy_applies_to": "policies/claimsMappingPolicies/*/appliesTo",
    "access_package_incompatible_groups": f"{PACKAGES}/*/incompatibleGroups",
}


@pytest.mark.parametrize("full", [True, False])
def test_links_that_only_a_list_shows_do_not_go_because_it_is_empty(tenant: Tenant, full: bool) -> None:
    one = tenant(protect(*ASSIGNED), users=20, groups=6)
    first = one.backup()
    for path in LISTED_ONLY.values():
        one.control.misbehave("members-hidden", path, views=["list", "expand"])
    manifest = one.backup(full=full, reconcile_policy=AT_ONCE)
    for table in LISTED_ONLY:
        before = one.edges(first, table)
        assert before
        assert one.edges(manifest, table) == before, table
        assert {gap.object for gap in manifest.tables[table].gaps} == {edge[0] for edge in before}
    one.control.behave()
    one.assert_same(one.backup())


def test_links_that_only_a_list_shows_go_when_they_are_removed(tenant: Tenant) -> None:
    one = tenant(protect(*ASSIGNED), users=20, groups=6)
    first = one.backup()
    policy, principal, _ = min(one.edges(first, "claims_mapping_policy_applies_to"))
    one.control.remove_link(f"servicePrincipals/{principal}/claimsMappingPolicies", policy)
    package, group, _ = min(one.edges(first, "access_package_incompatible_groups"))
    one.control.remove_link(f"{PACKAGES}/{package}/incompatibleGroups", group)
    manifest = one.backup(reconcile_policy=AT_ONCE)
    one.assert_same(manifest)


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("absent", [True, False])
def test_one_manager_that_an_expansion_leaves_out_is_asked_for(tenant: Tenant, full: bool, absent: bool) -> None:
    one = tenant(protect("contacts", "users"), users=20, groups=4)
    contact = min(object_["id"] for object_ in one.control.dump("contacts"))
    if not any(edge[0] == contact for edge in one.control.edges("contacts", "manager")):
        one.control.add_link(f"contacts/{contact}/manager", min(user["id"] for user in one.control.dump("users")))
    assert one.edges(one.backup(), "contact_manager")
    one.control.misbehave("expand-null", "contacts/*/manager", absent=absent)
    one.assert_same(one.backup(full=full))
    for source, target, _ in one.control.edges("contacts", "manager"):
        one.control.remove_link(f"contacts/{source}/manager", target)
    one.assert_same(one.backup(full=full))
