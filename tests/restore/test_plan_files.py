"""Plans as files, what is known of ids that have changed, and what writing takes."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from entra_pipeline.errors import AlreadyExists, IntegrityError, NotInStore, UsageError
from entra_pipeline.restore.objects.model import RestorePlan, RestoreSelection, RestoreStep
from entra_pipeline.restore.objects.selection import types_to_read
from entra_pipeline.restore.plan.estimate import seconds
from entra_pipeline.restore.plan.planner import LiveTenant, make_plan
from entra_pipeline.restore.records.id_map import lineage, remember
from entra_pipeline.restore.records.plans import load_plan, read_plan, save_plan, write_plan
from tests.restore.points import Picture, Points
from tests.restore.test_plan_properties import ASSIGNMENTS, GROUPS, POLICIES, TABLES, USERS, World, tenant
from tests.support.writing import TENANT

pytestmark = pytest.mark.pure

NEW = "ffffffff-1111-4111-8111-11111111111f"


def a_plan(points: Points) -> RestorePlan:
    live = tenant()
    live.objects["users"][USERS[0]]["department"] = "Changed"
    return make_plan("job", "2026-11-23T05:00:00Z", points.take(tenant()), LiveTenant(points.take(live), "contoso"))


def test_a_plan_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    points = Points(tmp_path / "points", *TABLES)
    plan = a_plan(points)
    save_plan(plan, tmp_path / "plan.json")
    assert load_plan(tmp_path / "plan.json") == plan
    assert write_plan(points.store, plan) == write_plan(points.store, plan) == "_restore/job/plan.json"
    assert read_plan(points.store, "job") == plan
    with pytest.raises(UsageError, match="exists already"):
        save_plan(plan, tmp_path / "plan.json")
    with pytest.raises(AlreadyExists):
        write_plan(points.store, msgspec.structs.replace(plan, created="later"))


def test_a_plan_that_was_changed_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    save_plan(a_plan(Points(tmp_path / "points", *TABLES)), file)
    file.write_bytes(file.read_bytes().replace(b'"Sales"', b'"Bribes"'))
    with pytest.raises(IntegrityError, match="was changed after it was written") as refused:
        load_plan(file)
    assert "Plan again" in refused.value.remedy
    file.write_text('{"format":"other","version":1,"seal":""}')
    with pytest.raises(IntegrityError, match="is not a restore plan"):
        load_plan(file)


@pytest.mark.parametrize("name", ["../../_heads/x", "/etc/passwd", "..", ".", "a/b", "a\0b", "a\nb", "", "x" * 5000])
def test_what_is_no_name_of_a_plan_is_no_fault_of_the_storage(tmp_path: Path, name: str) -> None:
    """It comes from a form that an operator fills in: a fault of the storage would be tried again, again and again."""
    store = Points(tmp_path / "points", *TABLES).store
    with pytest.raises(NotInStore) as refused:
        read_plan(store, name)
    assert not refused.value.transient and len(refused.value.message) < 200


def test_chains_of_ids_are_followed_to_their_end_for_each_tenant(tmp_path: Path) -> None:
    store = Points(tmp_path, *TABLES).store
    remember(store, "2026-01", TENANT, {"a": "b", "x": "y"})
    remember(store, "2026-01", TENANT, {"a": "b", "x": "y"})
    remember(store, "2026-02", TENANT, {"b": "c"})
    remember(store, "2026-03", "other tenant", {"a": "z"})
    remember(store, "2026-04", TENANT, {})
    assert lineage(store, TENANT) == {"a": "c", "b": "c", "x": "y"}
    assert lineage(store, "other tenant") == {"a": "z"}
    with pytest.raises(AlreadyExists):
        remember(store, "2026-02", TENANT, {"b": "d"})


def test_an_object_that_came_back_under_another_id_is_compared_with_that(tmp_path: Path) -> None:
    """What names it still has to learn the new id, whether it was written when the group came back or not."""
    points = Points(tmp_path, *TABLES)
    point = points.take(tenant())
    world = World(tenant())
    world.delete("groups", GROUPS[0], purge=True)
    known = {GROUPS[0]: NEW}
    made = tenant().objects["groups"][GROUPS[0]]
    world.picture.objects["groups"][NEW] = {**made, "id": NEW}
    for relation in ("group_members", "group_owners"):
        before = tenant().links[relation]
        moved = {(known.get(a, a), known.get(b, b)): kind for (a, b), kind in before.items()}
        world.picture.links[relation] = moved
    plan = make_plan(
        "job", "2026-11-23T05:00:00Z", point, LiveTenant(points.take(world.picture), "contoso"), identity=known
    )
    assert [(step.action, step.table, step.id) for step in plan.steps] == [
        ("update", "groups", GROUPS[3]),
        ("update", "conditional_access_policies", POLICIES[0]),
    ]
    assert plan.steps[1].body["conditions"]["users"]["excludeGroups"] == [GROUPS[0]]
    assert plan.identity == known


@pytest.mark.parametrize("lasting", [True, False])
def test_an_assignment_is_not_given_twice_where_another_one_names_the_new_id(lasting: bool, tmp_path: Path) -> None:
    """The point knows both: one names the group that is gone, the other one the group that took its place."""
    points = Points(tmp_path, *TABLES)
    before = tenant()
    before.objects["groups"][NEW] = {**before.objects["groups"][GROUPS[2]], "id": NEW}
    old, new = ASSIGNMENTS[1], "twin"
    before.objects["role_assignments"][new] = {
        **before.objects["role_assignments"][old],
        "id": new,
        "principalId": NEW,
    }
    now = before.copy()
    del now.objects["groups"][GROUPS[2]]
    if not lasting:
        del now.objects["role_assignments"][old]
    plan = make_plan(
        "job",
        "2026-11-23T05:00:00Z",
        points.take(before),
        LiveTenant(points.take(now), "contoso"),
        selection=RestoreSelection(types=("role_assignments",)),
        identity={GROUPS[2]: NEW},
    )
    removed = [("delete", "role_assignments", old, (f"{new} gives the same",))]
    assert [(step.action, step.table, step.id, step.notes) for step in plan.steps] == (removed if lasting else [])


def test_who_was_made_anew_by_others_is_known_by_the_sign_in_name(tmp_path: Path) -> None:
    points = Points(tmp_path, *TABLES)
    before = tenant()
    before.objects["users"][USERS[1]]["mail"] = "user1@contoso.com"
    world = World(before.copy())
    world.delete("users", USERS[1], purge=True)
    again = {**before.objects["users"][USERS[1]], "id": NEW, "department": "Other"}
    world.picture.objects["users"][NEW] = again
    plan = make_plan(
        "job", "2026-11-23T05:00:00Z", points.take(before), LiveTenant(points.take(world.picture), "contoso")
    )
    assert plan.identity == {USERS[1]: NEW}
    assert not {step.action for step in plan.steps} & {"create", "delete"}
    update = next(step for step in plan.steps if step.table == "users")
    assert (update.id, update.live_id, update.body) == (USERS[1], NEW, {"department": None})
    assert any("userPrincipalName and displayName and mail" in note for note in update.notes)
    manager = next(step for step in plan.steps if step.table == "user_manager")
    assert (manager.id, manager.live_id, manager.targets) == (USERS[1], NEW, (USERS[0],))


def test_what_the_restore_works_with_is_left_alone(tmp_path: Path) -> None:
    points = Points(tmp_path, *TABLES)
    live: Picture = tenant()
    live.objects["role_assignments"][NEW] = {"id": NEW, "principalId": USERS[2], "roleDefinitionId": "x"}
    sides = points.take(tenant()), points.take(live)
    (removed,) = make_plan("j", "2026-11-23T05:00:00Z", sides[0], LiveTenant(sides[1], "contoso")).steps
    assert removed.action == "delete"
    own = make_plan("j", "2026-11-23T05:00:00Z", sides[0], LiveTenant(sides[1], "contoso", frozenset({USERS[2]})))
    assert own.steps == ()
    assert [refusal.kind for refusal in own.refusals] == ["skipped"]


def test_time_is_that_of_the_slowest_lane_of_each_stage() -> None:
    def step(stage: str, table: str, requests: int) -> RestoreStep:
        return RestoreStep(number=1, stage=stage, action="update", table=table, id="x", requests=requests)

    assert seconds([step("a", "users", 200), step("a", "conditional_access_policies", 5)]) == 10
    assert seconds([step("a", "users", 200), step("b", "conditional_access_policies", 15)]) == 25


def test_what_is_read_of_the_tenant_for_a_selection() -> None:
    assert types_to_read(RestoreSelection()) is None
    read = types_to_read(RestoreSelection(types=("groups",)))
    assert read is not None
    assert {"groups", "deleted_groups", "users", "role_assignments", "conditional_access_policies"} <= set(read)
    assert "named_locations" not in read
