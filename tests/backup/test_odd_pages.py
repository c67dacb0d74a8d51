"""Pages that end nowhere, are nested too deeply, or show something else: they cost no more than they must."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from entra_pipeline.store.manifest import Manifest
from tests.support.protected import Protected, protect, totals

Tenant = Callable[..., Protected]


def values(one: Protected, manifest: Manifest, table: str) -> dict[str, dict[str, Any]]:
    """The stored objects without nulls: a single object shows more of them than a delta round."""
    stored = one.objects(manifest, table)
    return {id_: {name: value for name, value in found.items() if value is not None} for id_, found in stored.items()}


def named(manifest: Manifest, table: str) -> set[str]:
    return {gap.object for gap in manifest.tables[table].gaps}


@pytest.mark.parametrize("levels", [60, 450, 2_000])
def test_a_deeply_nested_value_costs_its_object_at_most(tenant: Tenant, levels: int) -> None:
    types = ("groups", "domains", "federated_identity_credentials", "applications")
    one = tenant(protect(*types), users=20, groups=6)
    before = {table: values(one, manifest := one.backup(), table) for table in types}
    assert manifest.status == "finished"
    application = next(iter(one.rows(manifest, "federated_identity_credentials", "_parent_id")))[0]
    one.control.misbehave("nested-deep", "groups*", levels=levels)
    one.control.misbehave("nested-deep", "domains", levels=levels, property="supportedServices")
    path = f"applications/{application}/federatedIdentityCredentials"
    one.control.misbehave("nested-deep", path, levels=levels, property="audiences")
    one.control.misbehave("expand-null", "applications/*/federatedIdentityCredentials")
    for full in (True, False):
        manifest = one.backup(full=full)
        assert {table: values(one, manifest, table) for table in types} == before
        assert named(manifest, "domains") and all(named(manifest, "domains"))
        assert named(manifest, "federated_identity_credentials") == {application}
    one.control.behave()
    one.assert_same(one.backup())


def test_objects_of_several_types_that_cannot_be_read_are_requested_together(tenant: Tenant) -> None:
    types = {
        "domains": "domains",
        "subscribed_skus": "subscribedSkus",
        "group_setting_templates": "groupSettingTemplates",
    }
    one = tenant(protect(*types), users=20, groups=6)
    before = one.backup()
    for path in types.values():
        one.control.misbehave("nested-deep", path)
    manifest = one.backup(full=True)
    for table in types:
        assert values(one, manifest, table) == values(one, before, table)
    assert totals(manifest)[0] == totals(before)[0] + 1


@pytest.mark.parametrize(
    ("table", "path", "to"),
    [
        ("users", "users*", "groups"),
        ("groups", "groups*", "applications"),
        ("named_locations", "identity/conditionalAccess/namedLocations", "identity/conditionalAccess/policies"),
        ("domains", "domains", "users"),
    ],
)
def test_objects_of_another_set_are_not_taken_for_those_of_this_one(
    tenant: Tenant, table: str, path: str, to: str
) -> None:
    one = tenant(protect(table), users=20, groups=6)
    before = values(one, one.backup(), table)
    one.control.misbehave("other-objects", path, to=to)
    for full in (True, False):
        manifest = one.backup(full=full)
        assert values(one, manifest, table) == before
        # An incremental delta round shows no objects here.
        assert manifest.status == "finished with exception" or (not full and table in {"users", "groups"})
    one.control.behave()
    one.assert_same(one.backup())


def test_pages_that_show_far_more_than_is_counted_have_an_end(tenant: Tenant) -> None:
    one = tenant(protect("domains"), users=20, groups=6)
    before = one.objects(one.backup(), "domains")
    one.control.misbehave("endless-pages", "domains", invented=True)
    manifest = one.backup()
    assert one.objects(manifest, "domains") == before
    assert "no end" in manifest.tables["domains"].gaps[0].reason
    assert manifest.tables["domains"].requests < 1_500


def test_a_list_that_is_read_for_its_count_has_an_end_by_that_count(tenant: Tenant) -> None:
    one = tenant(protect("oauth2_permission_grants"), users=20, groups=6)
    before = one.objects(one.backup(), "oauth2_permission_grants")
    one.control.misbehave("count-wrong", "oauth2PermissionGrants")
    one.control.misbehave("endless-pages", "oauth2PermissionGrants", invented=True)
    manifest = one.backup(full=True)
    assert one.objects(manifest, "oauth2_permission_grants") == before
    [gap] = manifest.tables["oauth2_permission_grants"].gaps
    assert (gap.what, "no end" in gap.reason) == ("proof", True)
    # Twice as many as are counted, and a thousand.
    assert manifest.tables["oauth2_permission_grants"].requests < 1_500


def test_a_long_list_without_a_count_has_an_end_by_a_count_that_is_asked_for(tenant: Tenant) -> None:
    one = tenant(protect("users", "user_licenses"), users=20, groups=6)
    before = one.objects(one.backup(), "user_licenses")
    one.control.misbehave("endless-pages", "users", invented=True)
    manifest = one.backup(full=True)
    assert before.keys() <= one.objects(manifest, "user_licenses").keys()
    assert "no end" in manifest.tables["user_licenses"].gaps[0].reason
    assert manifest.tables["user_licenses"].requests < 3_000


@pytest.mark.parametrize(("table", "path"), [("users", "users/delta"), ("domains", "domains")])
def test_a_page_that_breaks_off_for_ever_costs_what_would_have_followed(tenant: Tenant, table: str, path: str) -> None:
    one = tenant(protect(table), users=40, groups=6)
    one.control.delta(page_size=10)
    one.control.misbehave("page-cut", path)
    first = one.backup()
    came = values(one, first, table)
    assert came
    assert "not read to its end" in {gap.what for gap in first.tables[table].gaps}
    one.control.behave()
    one.assert_same(manifest := one.backup())
    before = values(one, manifest, table)
    assert came.keys() < before.keys()
    one.control.misbehave("page-cut", path)
    listed = [object_["id"] for object_ in one.control.dump(table)]
    changed, gone = listed[0], listed[-1]
    one.control.patch(
        f"{table}/{changed}", {"users": {"displayName": "New"}, "domains": {"passwordValidityPeriodInDays": 55}}[table]
    )
    one.control.delete(f"{table}/{gone}")
    manifest = one.backup(full=True)
    after = values(one, manifest, table)
    assert after.keys() == before.keys()
    assert after[changed] != before[changed]
    assert "not read to its end" in {gap.what for gap in manifest.tables[table].gaps}
    one.control.behave()
    one.assert_same(one.backup())
    one.assert_same(one.backup(full=True))


def test_a_list_whose_later_pages_fail_for_ever_keeps_the_first(tenant: Tenant) -> None:
    one = tenant(protect("users", "groups"), users=40, groups=6)
    one.control.delta(page_size=10)
    one.control.misbehave("next-page-fails", "users/delta", status=500)
    first = one.backup()
    assert len(one.objects(first, "users")) == 10
    assert [gap.what for gap in first.tables["users"].gaps] == ["not read to its end"]
    one.control.behave()
    one.assert_same(one.backup())
