"""Graph refuses a type: the rest is committed, the gap says what to do, and the next run takes up where it stopped."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.store.manifest import Manifest
from tests.support.changing import Life
from tests.support.protected import Protected, protect

Tenant = Callable[..., Protected]

REFUSED = {
    "users": ("users", {"users", "user_manager", "user_sponsors"}, "User.Read.All"),
    "groups": ("groups", {"groups", "group_members", "group_owners"}, "Group.Read.All"),
    "policies": ("identity/conditionalAccess/policies", {"conditional_access_policies"}, "Policy.Read.All"),
    "applications": (
        "applications",
        {"applications", "application_owners", "federated_identity_credentials"},
        "Application.Read.All",
    ),
}
TYPES = ("users", "groups", "administrative_units", "applications", "federated_identity_credentials")


def gaps(manifest: Manifest) -> set[str]:
    """The tables that lack something."""
    return {table for table, entry in manifest.tables.items() if entry.gaps}


@pytest.mark.parametrize("what", REFUSED)
def test_a_refused_type_is_a_gap_with_a_remedy_and_heals(what: str, tenant: Tenant) -> None:
    path, tables, permission = REFUSED[what]
    one = tenant(protect(*TYPES, "conditional_access_policies"))
    one.control.deny(path)
    first = one.backup()
    assert first.status == "finished with exception"
    assert gaps(first) == tables
    for table in tables:
        entry = first.tables[table]
        (gap,) = entry.gaps
        assert (entry.read, entry.live, entry.parts) == ("never", 0, ())
        assert permission in gap.remedy
        assert "403" in gap.reason
        assert gap.since == ""
    picture = one.picture()
    others = {table for table in first.tables if table not in tables}
    assert all(len(one.objects(first, table)) == len(picture.objects[table]) for table in others & CATALOGUE.keys())

    one.control.deny(path, 0)
    Life(one.control, seed=1).go_on(10)
    second = one.backup()
    one.assert_same(second)
    assert {second.tables[table].read for table in tables} == {"full"}


@pytest.mark.parametrize("what", ["users", "groups", "applications"])
def test_a_type_refused_for_a_while_keeps_what_it_had_and_misses_nothing(what: str, tenant: Tenant) -> None:
    path, tables, permission = REFUSED[what]
    one = tenant(protect(*TYPES))
    life = Life(one.control, seed=2)
    first = one.backup()
    then = one.picture()
    one.control.deny(path)
    for changes in (20, 0):
        life.go_on(changes)
        refused = one.backup()
        assert refused.status == "finished with exception"
        assert gaps(refused) == tables
        for table in tables:
            entry = refused.tables[table]
            (gap,) = entry.gaps
            assert gap.since == first.recovery_point
            assert permission in gap.remedy
            assert (entry.read, entry.live, entry.parts) == ("carried", entry.live, first.tables[table].parts)
            assert entry.delta_link == first.tables[table].delta_link
            if table in CATALOGUE:
                assert one.objects(refused, table).keys() == then.objects[table].keys()

    one.control.deny(path, 0)
    life.go_on(10)
    healed = one.backup()
    one.assert_same(healed)
    assert {healed.tables[table].read for table in tables} <= {"incremental", "unchanged"}
