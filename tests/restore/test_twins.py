"""Ties that become equal when the ids that they name are those of now: Graph takes one only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.restore.objects.model import RestoreOptions, RestorePlan, RestoreSelection
from entra_pipeline.restore.plan.planner import LiveTenant, make_plan
from tests.restore.points import Picture, Points

pytestmark = pytest.mark.pure

Body = dict[str, Any]

OLD, NOW, OTHER, GROUP, ROLE, PACKAGE, POLICY, CATALOG = (
    f"0000000{n}-0000-4000-8000-000000000000" for n in range(1, 9)
)
_FOREVER = {"expiration": {"type": "noExpiration"}}
_LIMITED = {"expiration": {"type": "afterDateTime", "endDateTime": "2027-06-01T00:00:00Z"}}
_ROLE = {"roleDefinitionId": ROLE, "directoryScopeId": "/"}
_IN_GROUP = {"_parent": GROUP, "groupId": GROUP, "accessId": "member", "memberType": "direct"}
# What ties a principal to something, by type, but for the principal.
TIES: dict[str, Body] = {
    "role_assignments": _ROLE,
    "role_eligibility_schedules": {**_ROLE, "memberType": "Direct", "scheduleInfo": _FOREVER},
    "role_assignment_schedules": {**_ROLE, "memberType": "Direct", "scheduleInfo": _FOREVER},
    "privileged_access_group_eligibility_schedules": {**_IN_GROUP, "scheduleInfo": _FOREVER},
    "privileged_access_group_assignment_schedules": {**_IN_GROUP, "scheduleInfo": _FOREVER},
    "app_role_assignments": {"_parent": OTHER, "resourceId": OTHER, "appRoleId": ROLE},
    "oauth2_permission_grants": {
        "clientId": OTHER,
        "resourceId": OTHER,
        "consentType": "Principal",
        "scope": "User.Read",
    },
    "entitlement_role_assignments": {"roleDefinitionId": ROLE, "appScopeId": "/"},
    "scoped_role_members": {"_parent": OTHER, "roleId": ROLE},
    "access_package_assignments": {
        "accessPackage": {"id": PACKAGE},
        "assignmentPolicy": {"id": POLICY},
        "state": "delivered",
        "schedule": _FOREVER,
    },
}
_PRINCIPALS = {"scoped_role_members": "roleMemberInfo", "access_package_assignments": "target"}


def tie(table: str, id_: str, principal: str, **more: Any) -> Body:
    name = _PRINCIPALS.get(table, "principalId")
    value = {"roleMemberInfo": {"id": principal}, "target": {"objectId": principal}}.get(name, principal)
    return {**TIES[table], "id": id_, name: value, **more}


class World:
    """A point whose ties name a user who has another id in the tenant, and perhaps the id of now besides."""

    def __init__(self, folder: Path, table: str) -> None:
        self.table = table
        before = Picture(
            {
                "users": {NOW: {"id": NOW, "displayName": "Ann"}},
                "groups": {GROUP: {"id": GROUP, "displayName": "Group", "groupTypes": []}},
                "service_principals": {OTHER: {"id": OTHER, "displayName": "App", "appId": OTHER}},
                "administrative_units": {OTHER: {"id": OTHER, "displayName": "Unit"}},
                "role_definitions": {ROLE: {"id": ROLE, "displayName": "Role"}},
                "access_packages": {PACKAGE: {"id": PACKAGE, "displayName": "Package", "catalog": {"id": CATALOG}}},
                "access_package_assignment_policies": {
                    POLICY: {"id": POLICY, "displayName": "Policy", "accessPackage": {"id": PACKAGE}}
                },
                "access_package_catalogs": {CATALOG: {"id": CATALOG, "displayName": "Catalog"}},
                table: {},
            }
        )
        # One id is that of a unit or that of an application, never of both.
        del before.objects["service_principals" if table == "scoped_role_members" else "administrative_units"]
        self._points = Points(folder, *before.objects)
        self.before, self.now = before, before.copy()

    def plan(self, **options: Any) -> RestorePlan:
        return make_plan(
            "job",
            "2026-11-23T05:00:00Z",
            self._points.take(self.before),
            LiveTenant(self._points.take(self.now), "contoso"),
            selection=RestoreSelection(types=(self.table,)),
            options=RestoreOptions(**options),
            identity={OLD: NOW},
        )

    def told(self, **options: Any) -> list[tuple[str, str, tuple[str, ...]]]:
        """The steps: what each does, to which object, and what it says of twins."""
        return [
            (step.action, step.id, tuple(one for one in step.notes if "gives the same" in one))
            for step in self.plan(**options).steps
        ]


def test_every_type_of_tie_is_tried_that_names_another_object() -> None:
    """Classifications of permissions name nothing but the application that they are below."""
    every = {name for name, entry in CATALOGUE.items() if entry.restore.link and entry.restore.possible}
    assert TIES.keys() == every - {"delegated_permission_classifications"}


@pytest.mark.parametrize("table", TIES)
def test_two_that_are_missing_are_made_once(table: str, tmp_path: Path) -> None:
    world = World(tmp_path, table)
    world.before.objects[table] = {"a": tie(table, "a", OLD), "b": tie(table, "b", NOW)}
    assert world.told() == [("create", "b", ())]
    assert world.plan().identity["a"] == "b"
    assert world.plan().refusals == ()


@pytest.mark.parametrize("table", TIES)
def test_one_that_is_there_under_the_old_id_goes_for_the_one_that_is_missing(table: str, tmp_path: Path) -> None:
    world = World(tmp_path, table)
    world.before.objects[table] = {"a": tie(table, "a", OLD), "b": tie(table, "b", NOW)}
    world.now.objects[table] = {"a": tie(table, "a", OLD)}
    assert world.told() == [("delete", "a", ("b gives the same",)), ("create", "b", ())]


@pytest.mark.parametrize("table", TIES)
def test_two_that_are_there_under_the_old_id_are_replaced_by_one(table: str, tmp_path: Path) -> None:
    world = World(tmp_path, table)
    world.before.objects[table] = {one: tie(table, one, OLD) for one in ("a", "b")}
    world.now = world.before.copy()
    assert sorted(world.told()) == [("create", "a", ()), ("delete", "a", ()), ("delete", "b", ("a gives the same",))]


def test_of_two_that_end_apart_the_one_that_named_the_id_of_now_comes_back(tmp_path: Path) -> None:
    table = "role_eligibility_schedules"
    world = World(tmp_path, table)
    world.before.objects[table] = {"a": tie(table, "a", OLD), "b": tie(table, "b", NOW, scheduleInfo=_LIMITED)}
    assert world.told() == [("create", "b", ())]
    (refusal,) = world.plan().refusals
    assert (refusal.id, refusal.kind) == ("a", "skipped")
    assert refusal.reason.startswith("b ties the same together") and "scheduleInfo" in refusal.reason


def test_one_that_ends_by_itself_takes_the_place_of_none(tmp_path: Path) -> None:
    table = "role_assignment_schedules"
    world = World(tmp_path, table)
    world.before.objects[table] = {"a": tie(table, "a", OLD)}
    world.now.objects[table] = {"b": tie(table, "b", NOW, assignmentType="Activated", scheduleInfo=_LIMITED)}
    assert world.told() == [("create", "a", ())]


# Of ties that can end, or that Graph knows by less than all that they say: what else another one may say.
ELSE: dict[str, Body] = {
    **{name: {"scheduleInfo": _LIMITED} for name in TIES if name.endswith("schedules")},
    "access_package_assignments": {"schedule": _LIMITED, "assignmentPolicy": {"id": OTHER}},
}


def test_every_tie_that_another_one_can_keep_out_is_tried() -> None:
    assert ELSE.keys() == {name for name in TIES if CATALOGUE[name].restore.ends or CATALOGUE[name].restore.once}


@pytest.mark.parametrize("table", ELSE)
def test_a_missing_one_takes_the_place_of_one_that_was_added_since(table: str, tmp_path: Path) -> None:
    world = World(tmp_path, table)
    world.before.objects[table] = {"a": tie(table, "a", NOW)}
    world.now.objects[table] = {"b": tie(table, "b", NOW, **ELSE[table])}
    plan = world.plan()
    assert [(one.action, one.id, one.live_id) for one in plan.steps] == [("delete", "a", "b"), ("create", "a", "")]
    assert plan.refusals == ()


@pytest.mark.parametrize("conflict", ["merge", "skip"])
@pytest.mark.parametrize("table", ELSE)
def test_where_nothing_is_removed_the_one_in_the_way_is_named_with_the_choice(
    table: str, conflict: str, tmp_path: Path
) -> None:
    world = World(tmp_path, table)
    world.before.objects[table] = {"a": tie(table, "a", NOW)}
    world.now.objects[table] = {"b": tie(table, "b", NOW, **ELSE[table])}
    assert world.told(conflict=conflict) == []
    (told,) = world.plan(conflict=conflict).refusals
    assert (told.id, told.kind) == ("a", "skipped")
    assert told.reason == f"b takes its place and differs in {', '.join(sorted(ELSE[table]))}"
    assert told.remedy == "To restore it anyway: --conflict overwrite."


@pytest.mark.parametrize("table", ELSE)
def test_one_that_is_over_in_the_tenant_is_no_hindrance(table: str, tmp_path: Path) -> None:
    over: dict[str, Body] = {
        "access_package_assignments": {"state": "expired"},
        **{name: {"memberType": "Inherited"} for name in ELSE if name.endswith("schedules")},
    }
    world = World(tmp_path, table)
    world.before.objects[table] = {"a": tie(table, "a", NOW)}
    world.now.objects[table] = {"b": tie(table, "b", NOW, **ELSE[table], **over[table])}
    assert world.told(conflict="merge") == [("create", "a", ())]
