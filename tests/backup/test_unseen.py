"""What an answer leaves out without a sign on the wire is named by the proof, and healed where Graph still shows it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from entra_pipeline.backup.reconcile.context import ReconcilePolicy
from tests.support.protected import MAIN_TYPES, Protected, protect

Tenant = Callable[..., Protected]


PATIENCE = ReconcilePolicy(count_pauses=(0.0, 0.0))


def named(one: Protected, table: str) -> str:
    """Everything the next point says about a table; it has to end with exception when it has a gap."""
    manifest = one.backup(reconcile_policy=PATIENCE)
    entry = manifest.tables[table]
    assert (manifest.status == "finished") == (not any(other.gaps for other in manifest.tables.values()))
    return " ".join([*entry.notes, *(f"GAP {gap.what}: {gap.reason}" for gap in entry.gaps)])


def test_a_page_that_delta_dropped_is_healed(tenant: Tenant) -> None:
    one = tenant(protect(*MAIN_TYPES))
    lost = [user["id"] for user in one.control.dump("users")[10:20]]
    one.control.hide(objects=lost)
    manifest = one.backup(reconcile_policy=PATIENCE)
    one.assert_same(manifest)
    assert "healed: 10 objects" in " ".join(manifest.tables["users"].notes)


def test_a_page_that_every_list_drops_is_a_gap(tenant: Tenant) -> None:
    one = tenant(protect(*MAIN_TYPES))
    one.control.hide(objects=[user["id"] for user in one.control.dump("users")[10:20]], in_lists=True)
    assert "GAP objects: Graph counts 40 users and lists 30" in named(one, "users")


@pytest.mark.parametrize("in_lists", [False, True])
def test_a_member_that_was_dropped_is_named(tenant: Tenant, in_lists: bool) -> None:
    one = tenant(protect(*MAIN_TYPES))
    group, user, _ = min(edge for edge in one.control.edges("groups", "members") if edge[2] == "user")
    one.control.hide(links=[f"{group}/members/{user}"], in_lists=in_lists)
    said = named(one, "group_members")
    assert group in said
    assert said.startswith("GAP" if in_lists else "healed: 1 links")


def test_a_type_that_was_dropped_is_named(tenant: Tenant) -> None:
    one = tenant(protect(*MAIN_TYPES, "conditional_access_policies"))
    one.control.hide(types=["conditionalAccessPolicy"], in_lists=True)
    assert "GAP objects: Graph counts 6 conditional_access_policies and lists 0" in named(
        one, "conditional_access_policies"
    )
