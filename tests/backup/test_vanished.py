"""A property that had a value and is absent from an answer, rather than null, is not gone: no answer is never none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from entra_pipeline.backup.rows.set_aside import MOST_OBJECTS
from entra_pipeline.store.manifest import Manifest
from tests.support.protected import Protected, protect

Tenant = Callable[..., Protected]


def values(one: Protected, manifest: Manifest, table: str) -> dict[str, dict[str, Any]]:
    """The stored objects without nulls: a single object shows more of them than a delta round."""
    stored = one.objects(manifest, table)
    return {id_: {name: value for name, value in found.items() if value is not None} for id_, found in stored.items()}


def named(manifest: Manifest, table: str) -> list[tuple[str, bool]]:
    return [(gap.object, "which it had" in gap.reason) for gap in manifest.tables[table].gaps]


@pytest.mark.parametrize(
    ("table", "property_"), [("domains", "supportedServices"), ("groups", "displayName"), ("users", "mailNickname")]
)
def test_a_property_that_only_the_list_leaves_out_is_asked_for(tenant: Tenant, table: str, property_: str) -> None:
    one = tenant(protect(table), users=20, groups=6)
    bad = min(values(one, one.backup(), table))
    for path in (table, f"{table}/delta"):
        one.control.misbehave("property-missing", path, objects=[bad], properties=[property_])
    for full in (True, False):
        one.assert_same(one.backup(full=full))


@pytest.mark.parametrize(("table", "property_"), [("domains", "supportedServices"), ("groups", "displayName")])
def test_a_property_that_no_answer_has_is_kept_and_named_until_it_is_null(
    tenant: Tenant, table: str, property_: str
) -> None:
    one = tenant(protect(table), users=20, groups=6)
    before = values(one, one.backup(), table)
    bad = min(before)
    one.control.misbehave("property-missing", f"{table}*", objects=[bad], properties=[property_])
    one.control.misbehave("single-thin", f"{table}/{bad}", without=[property_])
    manifest = one.backup(full=True)
    assert values(one, manifest, table) == before
    assert named(manifest, table) == [(bad, True)]
    manifest = one.backup()
    assert values(one, manifest, table) == before
    assert named(manifest, table) == [(bad, True)]
    one.control.behave()
    one.control.patch(f"{table}/{bad}", {property_: None})
    one.assert_same(one.backup())
    one.assert_same(one.backup(full=True))


def test_a_type_that_records_lose_is_kept(tenant: Tenant) -> None:
    one = tenant(protect("domains", "domain_verification_dns_records"), users=20, groups=6)
    before = values(one, one.backup(), "domain_verification_dns_records")
    one.control.misbehave("property-missing", "domains/*/verificationDnsRecords")
    for full in (False, True):
        manifest = one.backup(full=full)
        assert values(one, manifest, "domain_verification_dns_records") == before
        assert all(lost for _, lost in named(manifest, "domain_verification_dns_records"))
        assert manifest.status == "finished with exception"
    one.control.behave()
    one.assert_same(one.backup())


def test_an_expanded_list_that_is_null_is_kept(tenant: Tenant) -> None:
    one = tenant(protect("role_management_policies"), users=20, groups=6)
    before = values(one, one.backup(), "role_management_policies")
    one.control.misbehave("wrong-kind", "policies/roleManagementPolicies*", property="rules", value=None)
    manifest = one.backup()
    assert values(one, manifest, "role_management_policies") == before
    assert {identifier for identifier, lost in named(manifest, "role_management_policies") if lost} == before.keys()


def test_whoever_asks_for_a_type_in_full_takes_it_as_graph_shows_it(tenant: Tenant) -> None:
    one = tenant(protect("domains"), users=20, groups=6)
    bad = min(values(one, one.backup(), "domains"))
    one.control.misbehave("property-missing", "domains*", objects=[bad], properties=["supportedServices"])
    one.control.misbehave("single-thin", f"domains/{bad}", without=["supportedServices"])
    assert named(one.backup(), "domains") == [(bad, True)]
    manifest = one.backup(full=True, types=["domains"])
    assert manifest.status == "finished"
    assert "supportedServices" not in values(one, manifest, "domains")[bad]


def test_of_more_objects_than_can_be_named_the_table_is_and_the_next_backup_reads_all_of_it(tenant: Tenant) -> None:
    one = tenant(protect("users"), users=MOST_OBJECTS + 20, groups=2, memberships=0)
    before = values(one, one.backup(), "users")
    one.control.misbehave("property-missing", "users/delta", probability=0.999_999, properties=["displayName"])
    renamed = min(before)
    one.control.patch(f"users/{renamed}", {"displayName": "Renamed", "department": "New"})
    manifest = one.backup(full=True)
    after = values(one, manifest, "users")
    assert after[renamed] == {**before[renamed], "department": "New"}
    assert {id_: found for id_, found in after.items() if id_ != renamed} == {
        id_: found for id_, found in before.items() if id_ != renamed
    }
    assert [(gap.what, gap.object, "displayName" in gap.reason) for gap in manifest.tables["users"].gaps] == [
        ("properties", "", True)
    ]
    assert manifest.tables["users"].requests < 20
    one.control.behave()
    one.assert_same(one.backup())
