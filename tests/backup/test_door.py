"""Answers are checked at the door: what cannot be read costs at most itself, is named, and is kept for the report."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from entra_pipeline.backup.jobs import backup_job
from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.reports.job import job_report
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.points.unreadable import keep_unreadable, points_with_unreadable, read_unreadable
from entra_pipeline.store.retention.sweep import sweep
from tests.support.protected import Protected, protect

Tenant = Callable[..., Protected]


def named(manifest: Manifest, table: str) -> set[str]:
    """The objects that the gaps of a table name."""
    return {gap.object for gap in manifest.tables[table].gaps}


def state(one: Protected, manifest: Manifest, *tables: str) -> dict[str, Any]:
    """What is stored, by table; null is the same as absent, as Graph shows either."""

    def rows(table: str) -> Any:
        if manifest.tables[table].kind == "edges":
            return one.edges(manifest, table)
        found = one.objects(manifest, table)
        return {one: {k: v for k, v in body.items() if v is not None} for one, body in found.items()}

    return {table: rows(table) for table in tables}


ELEMENTS = {
    "null in value": ("element-null", {"path": "groups*"}, "groups"),
    "text in value": ("element-not-object", {"path": "groups*"}, "groups"),
    "number in value": ("element-not-object", {"path": "groups*", "value": 7}, "groups"),
    "array in value": ("element-not-object", {"path": "groups*", "value": [{"id": "x"}]}, "groups"),
    "object without id": ("element-without-id", {"path": "groups*"}, "groups"),
    "id null": ("element-without-id", {"path": "groups*", "null": True}, "groups"),
    "members null": ("wrong-kind", {"path": "groups/delta"}, "group_members"),
    "members an object": ("wrong-kind", {"path": "groups/delta", "value": {"id": "x"}}, "group_members"),
    "members a text": ("wrong-kind", {"path": "groups/delta", "value": "all"}, "group_members"),
    "null member": ("element-null", {"path": "groups/delta", "within": "members@delta"}, "group_members"),
    "member without id": ("element-without-id", {"path": "groups/delta", "within": "members@delta"}, "group_members"),
    "empty id": ("element-without-id", {"path": "groups*", "empty": True}, "groups"),
    "member with an empty id": (
        "element-without-id",
        {"path": "groups/delta", "within": "members@delta", "empty": True},
        "group_members",
    ),
    "id a number": ("wrong-kind", {"path": "groups/delta", "property": "id", "value": 7}, "groups"),
    "no UTF-8": ("not-utf8", {"path": "groups/delta"}, "groups"),
    "no JSON": ("not-json", {"path": "groups/delta"}, "groups"),
    "no JSON in a list": ("not-json", {"path": "groups*", "text": "\\x"}, "groups"),
    "null application": ("element-null", {"path": "applications*"}, "applications"),
    "null owner": ("element-null", {"path": "applications", "within": "owners"}, ""),
    "error instead of a page": ("error-body", {"path": "applications/*/owners"}, ""),
}


def test_an_unreadable_element_costs_at_most_itself(tenant: Tenant) -> None:
    one = tenant(protect("groups", "applications", "authorization_policy"), users=20, groups=6)
    tables = ("groups", "group_members", "group_owners", "applications", "application_owners", "authorization_policy")
    before = state(one, one.backup(), *tables)
    for case, (name, options, table) in ELEMENTS.items():
        one.control.misbehave(name, **options)
        manifest = one.backup(full=True)
        one.control.behave()
        assert state(one, manifest, *tables) == before, case
        if table:
            assert manifest.status == "finished with exception", case
            assert manifest.tables[table].gaps, case
            kept = read_unreadable(one.store.files, one.store.scope, manifest.recovery_point)
            assert any(element.table == table and element.size for element in kept), case
            assert all(len(element.data) < 4_000 for element in kept), case
        one.assert_same(one.backup())


def test_an_answer_that_names_no_type_takes_none_away(tenant: Tenant) -> None:
    one = tenant(protect("groups", "users", "applications", "service_principals"), users=20, groups=6)
    tables = ("group_members", "group_owners", "application_owners", "user_manager")
    one.control.misbehave("property-missing", "groups/delta", within="members@delta")
    one.control.misbehave("property-missing", "applications*", within="owners")
    one.control.misbehave("property-missing", "applications/*/owners")
    first = one.backup()
    one.assert_same(first)
    before = state(one, first, *tables)
    assert all(rows and all(kind for _, _, kind in rows) for rows in before.values())
    one.assert_same(one.backup(full=True))
    # Where the targets are not protected, the owner's list says it.
    one.configure(protect("groups"))
    one.assert_same(one.backup(full=True))


def test_links_that_nobody_names_a_type_for_are_kept_and_named(tenant: Tenant) -> None:
    one = tenant(protect("groups"), users=20, groups=6)
    one.control.misbehave("property-missing", "groups/*/members")
    one.control.misbehave("property-missing", "groups/delta", within="members@delta")
    manifest = one.backup()
    truth = {edge[:2] for edge in one.control.edges("groups", "members")}
    assert {edge[:2] for edge in one.edges(manifest, "group_members")} == truth
    assert [gap.what for gap in manifest.tables["group_members"].gaps] == ["types in group_members"]
    one.control.behave()
    one.assert_same(one.backup(full=True))


def test_a_change_behind_an_unreadable_element_is_not_lost(tenant: Tenant) -> None:
    one = tenant(protect("groups"), users=20, groups=6)
    group = min(one.objects(one.backup(), "groups"))
    for name, options in (
        ("element-null", {"path": "groups/delta", "objects": [group]}),
        ("not-utf8", {"path": "groups/delta", "objects": [group]}),
        ("wrong-kind", {"path": "groups/delta", "objects": [group]}),
    ):
        one.control.misbehave(name, **options)
        one.control.patch(f"groups/{group}", {"description": name})
        manifest = one.backup()
        one.control.behave()
        assert (
            manifest.status == "finished with exception"
            or one.objects(manifest, "groups")[group]["description"] == name
        )
        after = one.backup()
        one.assert_same(after)
        assert one.objects(after, "groups")[group]["description"] == name


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500])
def test_one_owner_that_fails_for_ever_costs_nobody_else(tenant: Tenant, status: int) -> None:
    one = tenant(protect("applications", "groups", "users"), users=20, groups=6)
    first = one.backup()
    before = one.edges(first, "application_owners")
    application = min(edge[0] for edge in before)
    one.control.misbehave("fails", "applications/*/owners", objects=[application], status=status)
    one.control.misbehave("fails", "applications", times=1, status=400)
    for full in (True, False):
        one.control.misbehave("expand-null", "applications/*/owners")
        manifest = one.backup(full=full)
        assert one.edges(manifest, "application_owners") == before
        assert manifest.status == "finished with exception"
        assert named(manifest, "application_owners") == {application}
    one.control.behave()
    one.assert_same(one.backup())


def test_an_answer_that_is_no_json_in_a_batch_costs_its_owner_only(tenant: Tenant) -> None:
    one = tenant(protect("applications", "groups", "users"), users=20, groups=6)
    before = one.edges(one.backup(), "application_owners")
    application = min(edge[0] for edge in before)
    one.control.misbehave("expand-null", "applications/*/owners")
    ordinary = one.backup(full=True).tables["application_owners"].requests
    for text in ('"', "\\x"):
        one.control.misbehave("not-json", f"applications/{application}/owners", property="id", text=text)
        manifest = one.backup(full=True)
        assert one.edges(manifest, "application_owners") == before
        assert named(manifest, "application_owners") == {application}
        # The owner by itself, and those whose answers were lost with its own.
        assert manifest.tables["application_owners"].requests <= ordinary + 2
        one.control.behave("not-json")


def test_a_page_that_comes_again_as_it_was_is_not_asked_for_a_third_time(tenant: Tenant) -> None:
    one = tenant(protect("domains", "groups"), users=20, groups=6)
    calm = one.backup(full=True)
    one.control.misbehave("not-json", "domains", property="authenticationType", text="\\x")
    one.control.misbehave("not-json", "groups/delta", text="\\x")
    manifest = one.backup(full=True)
    for table in ("domains", "groups"):
        assert one.objects(manifest, table).keys() == one.objects(calm, table).keys()
        # Once more, and the object beside others, and by itself; its members, its owners and their counts.
        assert manifest.tables[table].requests <= calm.tables[table].requests + 3
    one.control.behave()
    one.assert_same(one.backup())


def test_a_later_page_that_fails_costs_its_owner_only(tenant: Tenant) -> None:
    one = tenant(protect("service_principals", "groups"), users=30, groups=6)
    first = one.backup(full=True)
    groups = one.edges(first, "group_members")
    counts = {owner: sum(edge[0] == owner for edge in groups) for owner, _, _ in groups}
    largest = max(counts, key=lambda owner: counts[owner])
    for status in (404, 500):
        one.control.misbehave("next-page-fails", "groups/*/members", objects=[largest], status=status)
        one.control.misbehave("wrong-kind", "groups/delta", objects=[largest])
        manifest = one.backup(full=True)
        one.control.behave()
        assert one.edges(manifest, "group_members") == groups
        assert named(manifest, "group_members") == {largest}
        one.assert_same(one.backup())


def test_a_count_that_fails_leaves_only_its_type_unproven(tenant: Tenant) -> None:
    one = tenant(protect("applications", "groups", "users"), users=20, groups=6)
    one.control.misbehave("count-fails", "groups*", status=500)
    manifest = one.backup()
    assert [name for name in ("users", "groups", "applications") if manifest.tables[name].gaps] == ["groups"]


def test_a_single_object_is_only_stored_when_it_is_one(tenant: Tenant) -> None:
    singletons = sorted(entry.name for entry in CATALOGUE.values() if entry.singleton)
    one = tenant(protect(*singletons), users=20, groups=6)
    before = state(one, one.backup(), *singletons)
    for name, options in (
        ("error-body", {}),
        ("wrong-body", {"body": {"value": []}}),
        ("wrong-body", {"body": {}}),
        ("wrong-body", {"body": "text"}),
        ("wrong-body", {"body": None}),
        ("wrong-body", {"body": [1]}),
        ("wrong-kind", {"property": "id", "value": None}),
        ("fails", {"status": 404}),
    ):
        one.control.misbehave(name, **options)
        manifest = one.backup()
        one.control.behave()
        lost = {name for name in singletons if CATALOGUE[name].may_be_absent} if options.get("status") == 404 else set()
        found = state(one, manifest, *singletons)
        assert {name: rows for name, rows in found.items() if name not in lost} == {
            name: rows for name, rows in before.items() if name not in lost
        }, name
        if name != "wrong-kind":
            gapless = {one for one in singletons if before[one] and not manifest.tables[one].gaps}
            assert gapless <= lost, (name, options)
    one.assert_same(one.backup())


def test_a_single_object_gets_no_thinner_and_nobody_elses(tenant: Tenant) -> None:
    singletons = sorted(entry.name for entry in CATALOGUE.values() if entry.singleton)
    tables = (*singletons, "application_key_credentials")
    one = tenant(protect(*singletons, "applications", "application_key_credentials"), users=20, groups=6)
    before = state(one, one.backup(), *tables)
    one.control.misbehave("single-thin")
    for full in (False, True):
        manifest = one.backup(full=full)
        assert state(one, manifest, *tables) == before
        for table in tables:
            gaps = manifest.tables[table].gaps
            assert all(gap.remedy for gap in gaps)
            # Parts of applications that delta does not report are not read again.
            assert bool(gaps) == (bool(before[table]) and (full or table in singletons)), table
    one.control.behave()
    application = min(before["application_key_credentials"])
    for path in ("policies/*", "tenantRelationships/*", "identityGovernance/*", f"applications/{application}"):
        one.control.misbehave("wrong-kind", path, property="id", value="somebody-else")
    manifest = one.backup(full=True)
    lasting = [name for name in singletons if not CATALOGUE[name].may_be_absent]
    for table in (*lasting, "application_key_credentials"):
        known = {row for row in before[table] if row != table}
        assert state(one, manifest, table) == {table: before[table]}
        assert bool(manifest.tables[table].gaps) == bool(known), table
    one.control.behave()
    one.assert_same(one.backup())


def test_a_property_that_a_single_object_lacks_is_kept_and_named(tenant: Tenant) -> None:
    one = tenant(protect("authorization_policy", "groups"), users=20, groups=6)
    [(policy, before)] = one.objects(one.backup(), "authorization_policy").items()
    one.control.patch("policies/authorizationPolicy", {"displayName": "New"})
    one.control.misbehave("single-thin", without=["allowInvitesFrom", "defaultUserRolePermissions"])
    manifest = one.backup()
    assert one.objects(manifest, "authorization_policy") == {policy: {**before, "displayName": "New"}}
    [gap] = manifest.tables["authorization_policy"].gaps
    assert gap.object == policy
    assert "allowInvitesFrom, defaultUserRolePermissions" in gap.reason
    # Whoever asks for it by name takes it as it is now.
    manifest = one.backup(full=True, types=["authorization_policy"])
    assert not manifest.tables["authorization_policy"].gaps
    assert "allowInvitesFrom" not in one.objects(manifest, "authorization_policy")[policy]


def test_a_byte_order_mark_is_no_part_of_the_json(tenant: Tenant) -> None:
    one = tenant(protect("groups", "applications", "authorization_policy"), users=20, groups=6)
    one.control.misbehave("byte-order-mark")
    one.assert_same(one.backup())


def test_the_bytes_are_in_the_jobs_report_and_go_with_the_point(tenant: Tenant) -> None:
    one = tenant(protect("groups"), users=20, groups=6)
    one.control.misbehave("element-not-object", "groups/delta", value={"displayName": "x" * 5_000})
    with backup_job(one.store, trigger="command") as job:
        job.manifest = one.backup()
    record = one.store.jobs.find(job.id)
    assert record is not None
    [table] = [table for table in job_report(one.store, record, one.clock()).tables if table.key == "unreadable"]
    assert {row["table"] for row in table.rows} >= {"groups"}
    assert all(row["size"] > 5_000 and str(row["bytes"]).startswith('{"displayName":"xxx') for row in table.rows)
    point = job.manifest.recovery_point
    keep_unreadable(one.store.files, one.store.scope, "2001-01-01T00-00-00Z", [])
    one.advance(days=2)
    sweep(one.store, grace=timedelta(days=1))
    assert [kept for kept, _ in points_with_unreadable(one.store.files, one.store.scope)] == [point]
