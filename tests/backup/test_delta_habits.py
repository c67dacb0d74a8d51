"""Delta repeats, reorders, slices, tells half, and forgets: what is stored is the tenant all the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.changing import Life
from tests.support.protected import MAIN_TYPES, Protected, protect, totals

Tenant = Callable[..., Protected]

HABITS: dict[str, dict[str, Any]] = {
    "tells only what changed": {"partial": True},
    "replays old news, in disorder": {"replays": 5, "disorder": True},
    "empty pages, pages served twice, small slices": {
        "empty_pages": 0.4,
        "repeat_pages": 0.4,
        "delta_page_size": 7,
        "delta_slice_size": 2,
    },
    "all at once": {
        "partial": True,
        "replays": 3,
        "disorder": True,
        "empty_pages": 0.3,
        "repeat_pages": 0.3,
        "delta_page_size": 6,
        "delta_slice_size": 3,
    },
}


@pytest.mark.parametrize("habit", HABITS)
def test_the_points_of_a_changing_tenant_are_exact(habit: str, tenant: Tenant) -> None:
    one = tenant(protect(*MAIN_TYPES), users=40, groups=10, seed=len(habit))
    one.control.knobs(**HABITS[habit])
    life = Life(one.control, seed=len(habit))
    history = [(one.backup(), one.picture())]
    for _ in range(2):
        life.go_on(40)
        history.append((one.backup(), one.picture()))
    for manifest, picture in history:
        one.assert_same(manifest, picture)
    assert [manifest.kind for manifest, _ in history] == ["full", *["incremental"] * 2]


def test_a_large_group_in_forty_slices_and_applications_at_the_limit_of_expand(tenant: Tenant) -> None:
    one = tenant(protect("groups", "applications"), users=25_010, groups=3, memberships=10)
    control = one.control
    control.delta(slice_size=625, disorder=True)
    users = sorted(user["id"] for user in control.dump("users"))
    group = control.create("groups", {"displayName": "Everybody"})
    control.add_link(f"groups/{group}/members", *users[:25_000])
    applications = control.create_many("applications", [{"displayName": f"App {number}"} for number in range(3)])
    for application, owners in zip(applications, (19, 20, 21), strict=True):
        control.add_link(f"applications/{application}/owners", *users[:owners])
    control.ledger(reset=True)
    first = one.backup()
    one.assert_same(first)
    assert control.ledger()["sets"]["group"] >= 40
    assert first.tables["group_members"].live > 25_000

    control.remove_link(f"groups/{group}/members", *users[:3])
    control.add_link(f"groups/{group}/members", *users[25_000:25_005])
    control.remove_link(f"applications/{applications[2]}/owners", *users[:2])
    control.add_link(f"applications/{applications[0]}/owners", *users[19:21])
    second = one.backup()
    one.assert_same(second)
    assert totals(second)[1] == 3 + 5 + 2 + 2


def test_what_delta_never_tells_is_found_by_the_count(tenant: Tenant) -> None:
    one = tenant(protect("users", "groups"))
    first = one.backup()
    control = one.control
    known = sorted(user["id"] for user in control.dump("users"))
    group = sorted(group["id"] for group in control.dump("groups"))[0]
    hidden = control.create("users", {"displayName": "Delta does not know me"})
    control.delta(hole=[hidden, *known[:2]])
    control.delete(f"users/{known[0]}")
    control.add_link(f"groups/{group}/members", hidden)
    control.add_link(f"users/{hidden}/manager", known[5])
    second = one.backup()
    one.assert_same(second)
    assert (first.tables["users"].live, second.tables["users"].live) == (40, 40)


@pytest.mark.parametrize("change", ["created", "deleted", "both"])
def test_a_difference_in_the_count_is_healed_and_told(change: str, tenant: Tenant) -> None:
    one = tenant(protect("users", "groups", "applications"))
    one.backup()
    control = one.control
    leaver = min(user["id"] for user in control.dump("users"))
    made = control.create_many("users", [{}, {}]) if change != "deleted" else []
    if change != "created":
        control.delete(f"users/{leaver}")
    control.delta(hole=[leaver, *made])
    second = one.backup()
    one.assert_same(second)
    assert any("healed" in note for note in second.tables["users"].notes)
    assert second.tables["users"].reported == second.tables["users"].live == len(control.dump("users"))


def test_a_restored_object_has_lost_what_it_lost_before_it_was_deleted(tenant: Tenant) -> None:
    """Delta tells a restored object as a new one: the links it has, and none of those it has lost."""
    one = tenant(protect(*MAIN_TYPES))
    control = one.control
    first = one.backup()
    for path, relation in (("groups", "members"), ("users", "manager"), ("directory/administrativeUnits", "members")):
        source, target, _ = sorted(control.edges(path, relation))[0]
        control.remove_link(f"{path}/{source}/{relation}", target)
        control.delete(f"{path}/{source}")
        control.restore(source)
    second = one.backup()
    one.assert_same(second)
    for table in ("group_members", "user_manager", "administrative_unit_members"):
        (note,) = second.tables[table].notes
        assert note.startswith("healed: 1 links missing from the delta response (")
    assert totals(second)[0] < 2 * totals(first)[0]


def test_edges_that_were_carried_catch_up_with_the_objects(tenant: Tenant) -> None:
    one = tenant(protect("users", "groups"))
    control = one.control
    one.backup()
    group, user, _ = min(edge for edge in control.edges("groups", "members") if edge[2] == "user")
    control.delete(f"users/{user}")
    one.backup(types=["users"])
    control.delta(hole=[group])
    one.assert_same(one.backup())


@pytest.mark.parametrize("table", ["groups", "users"])
def test_known_objects_that_a_whole_round_leaves_out_keep_their_links(tenant: Tenant, table: str) -> None:
    one = tenant(protect(*MAIN_TYPES))
    one.backup()
    left_out = [row["id"] for row in one.control.dump(table)][:3]
    one.control.misbehave("objects-hidden", table, objects=left_out, views=["delta"])
    manifest = one.backup(full=True)
    assert "healed: 3 objects" in " ".join(manifest.tables[table].notes)
    one.assert_same(manifest)
