"""Plans of random changes to small tenants, carried out on a tenant that is only a picture."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.restore.objects.model import RestoreOptions, RestorePlan, RestoreStep
from entra_pipeline.restore.objects.normalize import differing, normalized
from entra_pipeline.restore.objects.references import ids_in, rewrite
from entra_pipeline.restore.plan.planner import LiveTenant, make_plan
from entra_pipeline.restore.plan.undo import RestoreWrites, writes_of
from entra_pipeline.restore.records.report import RestoreReport, outcome_of
from tests.restore.points import Body, Picture, Points

pytestmark = pytest.mark.pure

OBJECTS = ("users", "groups", "named_locations", "conditional_access_policies", "role_definitions", "role_assignments")
BINS = ("deleted_users", "deleted_groups", "deleted_named_locations", "deleted_conditional_access_policies")
RELATIONS = ("group_members", "group_owners", "user_manager")
TABLES = (*OBJECTS, *BINS, *RELATIONS)
ROLE = "62e90394-69f5-4237-9190-012177145e10"
CHANGEABLE = {
    "users": "department",
    "groups": "description",
    "named_locations": "displayName",
    "conditional_access_policies": "displayName",
}


def id_of(kind: int, number: int) -> str:
    return str(UUID(int=(kind << 96) + 0x4000_8000_0000_0000_0000 + number))


USERS = [id_of(1, n) for n in range(4)]
GROUPS = [id_of(2, n) for n in range(4)]
LOCATIONS = [id_of(3, n) for n in range(2)]
POLICIES = [id_of(4, n) for n in range(2)]
ASSIGNMENTS = [id_of(5, n) for n in range(2)]


def tenant() -> Picture:
    """Users with managers; nested, plain and dynamic groups; policies that name users, groups and locations; roles."""
    objects: dict[str, dict[str, Body]] = {table: {} for table in (*OBJECTS, *BINS)}
    for n, id_ in enumerate(USERS):
        objects["users"][id_] = {
            "id": id_,
            "displayName": f"User {n}",
            "userPrincipalName": f"user{n}@contoso.com",
            "mailNickname": f"user{n}",
            "accountEnabled": n != 3,
            "department": None if n else "Sales",
        }
    for n, id_ in enumerate(GROUPS):
        objects["groups"][id_] = {
            "id": id_,
            "displayName": f"Group {n}",
            "mailEnabled": False,
            "mailNickname": f"group{n}",
            "securityEnabled": True,
            "groupTypes": [],
        }
    objects["groups"][GROUPS[3]] |= {
        "groupTypes": ["DynamicMembership"],
        "membershipRule": f"user.memberof -any (group.objectId -in ['{GROUPS[0]}'])",
        "membershipRuleProcessingState": "On",
    }
    for n, id_ in enumerate(LOCATIONS):
        objects["named_locations"][id_] = {
            "@odata.type": "#microsoft.graph.countryNamedLocation",
            "id": id_,
            "displayName": f"Location {n}",
            "countriesAndRegions": ["SE"],
        }
    for n, id_ in enumerate(POLICIES):
        objects["conditional_access_policies"][id_] = {
            "id": id_,
            "displayName": f"Policy {n}",
            "state": "enabled",
            "conditions": {
                "users": {"includeUsers": ["All"], "excludeUsers": [USERS[n]], "excludeGroups": [GROUPS[n]]},
                "locations": {"includeLocations": ["All"], "excludeLocations": [LOCATIONS[n]]},
            },
        }
    objects["role_definitions"][ROLE] = {"id": ROLE, "templateId": ROLE, "displayName": "Admin", "isBuiltIn": True}
    for n, (id_, principal) in enumerate(zip(ASSIGNMENTS, (USERS[0], GROUPS[2]), strict=True)):
        scope = "/" if n else f"/{GROUPS[1]}"
        objects["role_assignments"][id_] = {
            "id": id_,
            "principalId": principal,
            "roleDefinitionId": ROLE,
            "directoryScopeId": scope,
        }
    links = {
        "group_members": {(GROUPS[0], one): "user" for one in USERS[:3]} | {(GROUPS[1], GROUPS[0]): "group"},
        "group_owners": {(one, USERS[0]): "user" for one in GROUPS},
        "user_manager": {(one, USERS[0]): "user" for one in USERS[1:]},
    }
    return Picture(objects, links)


@dataclass
class World:
    """A tenant that can be changed: what Graph does, as far as these tests need it.

    Attributes:
        picture: What a backup would show.
        hidden: Links and assignments of objects in the recycle bin, which come back with them.
        back: Those that have come back.
        made: Objects made so far.
    """

    picture: Picture
    hidden: dict[str, list[tuple[str, Any, Any]]] = field(default_factory=dict)
    back: list[tuple[str, Any, Any]] = field(default_factory=list)
    made: int = 0

    def table(self, name: str) -> dict[str, Body]:
        return self.picture.objects[name]

    def delete(self, table: str, id_: str, *, purge: bool) -> None:
        body = self.table(table).pop(id_)
        lost: list[tuple[str, Any, Any]] = []
        for relation, links in self.picture.links.items():
            gone = [key for key in links if id_ in key]
            lost += [(relation, key, links.pop(key)) for key in gone]
        for one, assignment in list(self.table("role_assignments").items()):
            if table != "role_assignments" and id_ in ids_in({**assignment, "id": ""}):
                lost.append(("role_assignments", one, self.table("role_assignments").pop(one)))
        if not purge and f"deleted_{table}" in BINS:
            if table == "users":
                body = {**body, "userPrincipalName": id_.replace("-", "") + body["userPrincipalName"]}
            self.table(f"deleted_{table}")[id_] = body
            self.hidden[id_] = lost

    def undelete(self, table: str, id_: str) -> None:
        body = self.table(f"deleted_{table}").pop(id_)
        if table == "users":
            body = {**body, "userPrincipalName": body["userPrincipalName"].removeprefix(id_.replace("-", ""))}
        self.table(table)[id_] = body
        for place, key, value in self.hidden.pop(id_):
            ends = set(key) if isinstance(key, tuple) else ids_in({**value, "id": ""}) - {ROLE}
            there = {one for name in OBJECTS for one in self.table(name)}
            if ends <= there:
                target = self.picture.links[place] if place in RELATIONS else self.table(place)
                target[key] = value
                self.back.append((place, key, value))

    def create(self, table: str, body: Body) -> str:
        self.made += 1
        id_ = id_of(9, self.made)
        self.table(table)[id_] = {**body, "id": id_}
        return id_

    def apply(self, plan: RestorePlan, point: Picture) -> dict[str, str]:
        """Does what the plan says, and takes away what came back besides; ids at the point → ids in the tenant."""
        moved = dict(plan.identity)
        self.back.clear()
        for step in plan.steps:
            self._step(step, moved)
        for place, key, value in self.back:
            if place in RELATIONS:
                if key not in {(rewrite(a, moved), rewrite(b, moved)) for a, b in point.links[place]}:
                    self.picture.links[place].pop(key, None)
            elif rewrite(_said(value), moved) not in [
                rewrite(_said(one), moved) for one in point.objects[place].values()
            ]:
                self.table(place).pop(key, None)
        return moved

    def _step(self, step: RestoreStep, moved: dict[str, str]) -> None:
        live = rewrite(step.live_id or step.id, moved)
        body = rewrite(step.body, moved)
        match step.action:
            case "undelete":
                self.undelete(step.table, live)
            case "create":
                alike = [one for one, there in self.table(step.table).items() if body.items() <= there.items()]
                if not (step.returning and alike):
                    moved[step.id] = self.create(step.table, body)
            case "update" | "enable":
                assert live in self.table(step.table)
                self.table(step.table)[live] |= body
            case "delete":
                self.delete(step.table, live, purge=False)
            case "link":
                for target, kind in zip(step.targets, step.target_types, strict=True):
                    links = self.picture.links[step.table]
                    if step.table == "user_manager":
                        for key in [key for key in links if key[0] == live]:
                            del links[key]
                    links[live, rewrite(target, moved)] = kind
            case "unlink":
                for target in step.targets:
                    self.picture.links[step.table].pop((live, rewrite(target, moved)), None)


def _said(assignment: Body) -> Body:
    return {**assignment, "id": ""}


def changes() -> st.SearchStrategy[list[tuple[Any, ...]]]:
    some = st.sampled_from
    object_ = st.one_of(
        *(
            st.tuples(st.just(table), some(ids))
            for table, ids in (
                ("users", USERS),
                ("groups", GROUPS),
                ("named_locations", LOCATIONS),
                ("conditional_access_policies", POLICIES),
            )
        )
    )
    change = st.tuples(st.just("change"), object_, some([None, "", "other"]))
    delete = st.tuples(st.just("delete"), object_, st.booleans())
    unassign = st.tuples(st.just("delete"), st.tuples(st.just("role_assignments"), some(ASSIGNMENTS)), st.just(True))
    add = st.tuples(st.just("add"), some(["users", "groups"]), st.integers(0, 1))
    assign = st.tuples(st.just("assign"), some(USERS), st.just(""))
    link = st.tuples(st.just("link"), some([("group_members", g, u) for g in GROUPS[:3] for u in USERS]), st.booleans())
    manager = st.tuples(
        st.just("link"), some([("user_manager", a, b) for a in USERS for b in USERS if a != b]), st.booleans()
    )
    return st.lists(
        st.one_of(change, delete, delete, delete, delete, unassign, add, assign, link, manager), min_size=3, max_size=12
    )


def changed(picture: Picture, changes: list[tuple[Any, ...]]) -> World:
    """The tenant after changes."""
    world = World(picture.copy())
    change(world, changes)
    return world


def change(world: World, changes: list[tuple[Any, ...]]) -> None:
    """Changes a tenant; a change that finds nothing to change is left out."""
    for kind, what, how in changes:
        if kind == "change" and what[1] in world.table(what[0]):
            name = CHANGEABLE[what[0]]
            # Graph lets nobody empty what it demands.
            if how or name not in CATALOGUE[what[0]].restore.required:
                world.table(what[0])[what[1]][name] = how
        elif kind == "delete" and what[1] in world.table(what[0]):
            world.delete(*what, purge=how)
        elif kind == "add":
            name = f"added{world.made}"
            more = {"userPrincipalName": f"{name}@contoso.com", "accountEnabled": True} if what == "users" else {}
            made = world.create(what, {"displayName": name, "mailNickname": name, **more})
            if what == "users" and GROUPS[how] in world.table("groups"):
                world.picture.links["group_members"][GROUPS[how], made] = "user"
        elif kind == "assign" and what in world.table("users"):
            body = {"principalId": what, "roleDefinitionId": ROLE, "directoryScopeId": "/administrativeUnits/x"}
            # Graph takes no second one (RoleAssignmentExists).
            if not any(body.items() <= there.items() for there in world.table("role_assignments").values()):
                world.create("role_assignments", body)
        elif kind == "link":
            relation, source, target = what
            links = world.picture.links[relation]
            present = any(source in world.table(t) for t in ("users", "groups")) and target in world.table("users")
            if relation == "user_manager" and present:
                for key in [key for key in links if key[0] == source]:
                    del links[key]
            if how and present:
                links[source, target] = "user"
            else:
                links.pop((source, target), None)


def planned(world: World, options: RestoreOptions) -> RestorePlan:
    with tempfile.TemporaryDirectory() as folder:
        points = Points(Path(folder), *TABLES)
        point, live = points.take(tenant()), points.take(world.picture)
        return make_plan("job", "2026-11-24T00:00:00Z", point, LiveTenant(live, "contoso"), options=options)


fast = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@fast
@example([("link", ("group_members", GROUPS[0], USERS[3]), True), ("delete", ("users", USERS[3]), False)], False)
@example([("assign", USERS[0], ""), ("delete", ("users", USERS[0]), False)], False)
@given(changes(), st.booleans())
def test_carrying_out_a_plan_brings_back_what_was(done: list[tuple[Any, ...]], delete_added: bool) -> None:
    world = changed(tenant(), done)
    plan = planned(world, RestoreOptions(enable_policies=True, delete_added=delete_added))
    assert {refusal.kind for refusal in plan.refusals} <= ({"skipped"} if not delete_added else set())
    moved = world.apply(plan, tenant())
    before = tenant()
    for table in OBJECTS:
        entry = CATALOGUE[table]
        for id_, body in before.objects[table].items():
            wanted = normalized(entry, rewrite(body, moved))
            found = world.table(table)[rewrite(id_, moved)]
            assert differing(entry, wanted, normalized(entry, found)) == {}
    objects = {rewrite(id_, moved) for table in OBJECTS for id_ in before.objects[table]}
    for relation, links in before.links.items():
        wanted_links = {(rewrite(a, moved), rewrite(b, moved)) for a, b in links}
        found_links = {key for key in world.picture.links[relation] if key[0] in objects}
        assert found_links == wanted_links
    assert len(world.table("role_assignments")) == len(before.objects["role_assignments"])
    if delete_added:
        assert {id_ for table in OBJECTS for id_ in world.table(table)} == objects


@fast
@given(changes(), st.sampled_from(["overwrite", "merge", "skip"]))
def test_what_a_step_needs_comes_before_it(done: list[tuple[Any, ...]], conflict: Any) -> None:
    plan = planned(changed(tenant(), done), RestoreOptions(conflict=conflict))
    there: set[str] = set()
    stages: list[str] = []
    for number, step in enumerate(plan.steps, 1):
        assert step.number == number
        assert set(step.needs) <= there
        stages += [step.stage] if not stages or stages[-1] != step.stage else []
        if step.action in {"create", "undelete"}:
            there.add(step.id)
    assert stages == list(plan.stages)


@fast
@given(changes())
def test_merge_removes_nothing_and_fills_only_what_is_empty(done: list[tuple[Any, ...]]) -> None:
    world = changed(tenant(), done)
    plan = planned(world, RestoreOptions(conflict="merge"))
    assert not {step.action for step in plan.steps} & {"delete", "unlink"}
    for step in plan.steps:
        if step.action == "update" and step.id not in step.needs:
            assert not any(step.before.get(name) for name in step.body)
            assert all(step.body.values())


@fast
@given(changes())
def test_skip_touches_nothing_that_is_there(done: list[tuple[Any, ...]]) -> None:
    plan = planned(changed(tenant(), done), RestoreOptions(conflict="skip"))
    back = {step.id for step in plan.steps if step.action in {"create", "undelete"}}
    for step in plan.steps:
        assert step.action not in {"delete", "unlink"}
        assert step.action == "link" or step.id in back
        if step.action == "link":
            assert step.id in back or set(step.targets) <= back


@pytest.mark.parametrize("conflict", ["overwrite", "merge", "skip"])
def test_a_tenant_that_is_as_it_was_needs_nothing(conflict: Any, tmp_path: Path) -> None:
    points = Points(tmp_path, *TABLES)
    point = points.take(tenant())
    for live in (point, points.take(tenant())):
        plan = make_plan(
            "job", "2026-11-23T05:00:00Z", point, LiveTenant(live, "contoso"), options=RestoreOptions(conflict=conflict)
        )
        assert (plan.steps, plan.refusals, plan.requests, plan.seconds) == ((), (), 0, 0)


@fast
@given(changes())
def test_the_same_gives_the_same_plan(done: list[tuple[Any, ...]]) -> None:
    world = changed(tenant(), done)
    one, other = (planned(world, RestoreOptions()) for _ in range(2))
    assert one == other


def restored(world: World, plan: RestorePlan, points: Points) -> tuple[RestoreWrites, dict[str, str]]:
    """Carries a plan out and reads back; what it has written, and ids at the point → ids in the tenant."""
    moved = world.apply(plan, tenant())
    made = {s.number: {s.id: rewrite(s.id, moved)} for s in plan.steps if s.action in {"create", "undelete"}}
    outcomes = tuple(outcome_of(s, "restored", live_id=s.live_id or rewrite(s.id, moved)) for s in plan.steps)
    report = RestoreReport(
        job=plan.id,
        scope=plan.scope,
        point=plan.point,
        tenant=plan.tenant,
        status="finished",
        started="",
        finished="",
        undo_point=plan.live_point,
        outcomes=outcomes,
    )
    after = points.take(world.picture).manifest.recovery_point
    return writes_of(plan, report, made, plan.scope, after), moved


def facts(picture: Picture) -> dict[tuple[str, Any], Any]:
    """What is so in a tenant: objects with what counts of them, assignments by what they say, links."""
    found: dict[tuple[str, Any], Any] = {}
    for table in OBJECTS:
        for id_, body in picture.objects[table].items():
            said = {
                name: value for name, value in normalized(CATALOGUE[table], body).items() if value not in (None, [])
            }
            found[table, tuple(sorted(said.items())) if table == "role_assignments" else id_] = said
    return found | {(relation, pair): True for relation, links in picture.links.items() for pair in links}


@fast
@example(
    [("assign", USERS[0], ""), ("delete", ("users", USERS[0]), False), ("add", "users", 0)],
    [("assign", USERS[0], ""), ("link", ("group_members", GROUPS[0], USERS[1]), True), ("add", "users", 0)],
    False,
)
# The restore wrote users only, and somebody made the one that came back a member of a group.
@example([("delete", ("users", USERS[3]), False)], [("link", ("group_members", GROUPS[0], USERS[3]), True)], False)
@given(changes(), st.one_of(st.just([]), changes()), st.booleans())
def test_an_undo_takes_back_what_the_restore_wrote_and_nothing_that_others_did(
    done: list[tuple[Any, ...]], since: list[tuple[Any, ...]], delete_added: bool
) -> None:
    world = changed(tenant(), done)
    with tempfile.TemporaryDirectory() as folder:
        points = Points(Path(folder), *TABLES)
        point, before = points.take(tenant()), points.take(world.picture)
        was, picture = facts(world.picture), world.picture.copy()
        options = RestoreOptions(enable_policies=True, delete_added=delete_added)
        plan = make_plan("job", "2026-11-23T05:00:00Z", point, LiveTenant(before, "contoso"), options=options)
        written, moved = restored(world, plan, points)
        then = facts(world.picture)
        change(world, since)
        now = facts(world.picture)
        undo = make_plan(
            "undo",
            "2026-11-23T05:00:00Z",
            before,
            LiveTenant(points.take(world.picture), "contoso"),
            options=RestoreOptions(enable_policies=True, delete_added=True),
            identity={old: new for old, new in moved.items() if old != new},
            undoing=written,
        )
        world.apply(undo, picture)
        again = facts(world.picture)
    assert undo.undoes == "job"
    others = {fact for fact in then.keys() | now.keys() if then.get(fact) != now.get(fact)}
    assert {fact: again.get(fact) for fact in others} == {fact: now.get(fact) for fact in others}
    if not others:
        # What named the dead before cannot name them again: Graph takes no such reference. They may also be of types
        # that are not protected.
        unexplained = [one for one in undo.refusals if "not in the tenant" not in one.reason]
        assert [one for one in unexplained if "nobody knows whether that is in the tenant" not in one.reason] == []
        assert again == was or undo.refusals


def test_two_assignments_that_say_the_same_by_now_are_one(tmp_path: Path) -> None:
    points = Points(tmp_path, *TABLES)
    then, now = tenant(), tenant()
    one, other = ASSIGNMENTS
    # As when a unit came back under another id, that one of them names, and the other the one from before.
    then.objects["role_assignments"][one] |= {"principalId": USERS[0], "directoryScopeId": "/"}
    then.objects["role_assignments"][other] |= {"principalId": USERS[0], "directoryScopeId": "/"}
    again = id_of(5, 9)
    now.objects["role_assignments"] = {again: {**then.objects["role_assignments"][other], "id": again}}
    point, live = points.take(then), points.take(now)
    plan = make_plan("job", "2026-11-24T00:00:00Z", point, LiveTenant(live, "contoso"), identity={one: again})
    assert (plan.steps, plan.refusals) == ((), ())
