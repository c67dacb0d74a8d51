"""An answer that is missing, cut or no object is never taken for "has none"."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from entra_pipeline.store.manifest import Manifest
from tests.support.protected import Protected, protect

Tenant = Callable[..., Protected]


def gaps(manifest: Manifest, table: str) -> str:
    return " ".join(f"{gap.what}: {gap.reason}" for gap in manifest.tables[table].gaps)


@pytest.mark.parametrize("full", [True, False])
def test_owners_answered_by_404_though_the_object_exists_are_kept_and_named(tenant: Tenant, full: bool) -> None:
    one = tenant(protect("applications", "users"))
    before = one.edges(one.backup(), "application_owners")
    application = min(edge[0] for edge in before)
    one.control.misbehave("owner-not-found", "applications/*/owners", objects=[application])
    one.control.misbehave("expand-null", "applications/*/owners", objects=[application])
    manifest = one.backup(full=full)
    assert one.edges(manifest, "application_owners") == before
    assert manifest.status == "finished with exception"
    assert application in gaps(manifest, "application_owners")


@pytest.mark.parametrize("name", ["expand-cut", "expand-null"])
def test_an_expanded_relation_that_is_cut_or_null_is_read_singly(tenant: Tenant, name: str) -> None:
    one = tenant(protect("applications", "users"))
    one.control.misbehave(name, "applications/*/owners")
    for full in (True, False, True):
        one.assert_same(one.backup(full=full))


def test_an_error_body_with_status_200_does_not_replace_a_policy(tenant: Tenant) -> None:
    one = tenant(protect("authorization_policy"))
    before = one.objects(one.backup(), "authorization_policy")
    one.control.misbehave("error-body", "policies/authorizationPolicy")
    manifest = one.backup()
    assert one.objects(manifest, "authorization_policy") == before
    assert "status of success" in gaps(manifest, "authorization_policy")


@pytest.mark.parametrize("name", ["element-null", "element-not-object", "wrong-kind"])
def test_an_unreadable_element_does_not_end_the_run(tenant: Tenant, name: str) -> None:
    one = tenant(protect("groups", "authorization_policy"))
    first = one.backup()
    before = one.objects(first, "groups")
    one.control.misbehave(name, "groups*")
    manifest = one.backup(full=True)
    assert one.objects(manifest, "groups") == before
    assert manifest.status == "finished with exception"
    assert manifest.tables["authorization_policy"].gaps == ()


def test_a_branding_is_not_gone_because_its_owner_is_said_to_be(tenant: Tenant) -> None:
    one = tenant(protect("organization", "organizational_brandings"))
    before = one.objects(one.backup(), "organizational_brandings")
    assert before
    one.control.misbehave("owner-not-found", "organization/*/branding")
    for full in (True, False):
        manifest = one.backup(full=full)
        assert one.objects(manifest, "organizational_brandings") == before
        assert "shows it" in gaps(manifest, "organizational_brandings")
    one.control.behave()
    one.assert_same(one.backup())


def test_a_policy_that_every_tenant_has_is_not_taken_for_absent_at_the_first_backup(tenant: Tenant) -> None:
    one = tenant(protect("authorization_policy", "multi_tenant_organization"))
    one.control.misbehave("fails", "policies/authorizationPolicy", status=404)
    manifest = one.backup()
    assert "not read" in gaps(manifest, "authorization_policy")
    assert manifest.tables["multi_tenant_organization"].gaps == ()
    one.control.behave()
    assert one.backup().status == "finished"


def test_a_schema_is_not_gone_because_what_its_job_belongs_to_is_said_to_be(tenant: Tenant) -> None:
    one = tenant(protect("service_principals", "synchronization_jobs", "synchronization_schemas"), users=20, groups=6)
    first = one.backup()
    before = one.objects(first, "synchronization_schemas")
    assert before
    one.control.misbehave("owner-not-found", "servicePrincipals/*/synchronization*")
    manifest = one.backup()
    assert one.objects(manifest, "synchronization_schemas") == before
    assert "shows it" in gaps(manifest, "synchronization_schemas")
    one.control.behave()
    [(_, principal)] = one.rows(first, "synchronization_jobs", "id, _parent_id")[:1]
    message = f"Resource '{principal}' does not exist."
    one.control.misbehave("fails", "servicePrincipals/*/synchronization/jobs/*/schema", status=404, message=message)
    manifest = one.backup()
    assert principal in {parent for _, parent in one.rows(manifest, "synchronization_jobs", "id, _parent_id")}
    assert one.objects(manifest, "synchronization_schemas").keys() == before.keys()
