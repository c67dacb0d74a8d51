"""Graph's views of a tenant disagree: what one of them shows stays, and the disagreement is named."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from entra_pipeline.backup.reconcile.context import ReconcilePolicy
from entra_pipeline.store.manifest import Manifest
from tests.backup.conftest import MAIN_TYPES, Protected, protect

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
