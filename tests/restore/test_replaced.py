"""Objects that cannot follow what they name to a new id: others take their places, with all that hangs from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.restore.objects.model import RestoreOptions, RestorePlan, RestoreSelection, RestoreStep
from entra_pipeline.restore.plan.planner import LiveTenant, make_plan
from tests.restore.points import Picture, Points

pytestmark = pytest.mark.pure

Body = dict[str, Any]


def guid(number: int) -> str:
    return f"{number:08d}-0000-4000-8000-000000000000"


CATALOG, PACKAGE, OTHER, POLICY, ASSIGNMENT, REVIEW, RESOURCE, WORKFLOW = map(guid, range(1, 9))
USER, GROUP, APP, APP_ID, PRINCIPAL, GRANT, ROLE, HELD, GIVEN, LABEL, LATE, NOBODY = map(guid, range(11, 23))
_FOREVER = {"expiration": {"type": "noExpiration"}}


def package(id_: str) -> Body:
    return {"id": id_, "displayName": f"Package {id_}", "catalog": {"id": CATALOG}}


def policy(id_: str, owner: str) -> Body:
    return {"id": id_, "displayName": f"Policy {id_}", "accessPackage": {"id": owner}}


def assignment(id_: str, **more: Any) -> Body:
    return {
        "id": id_,
        "accessPackage": {"id": PACKAGE},
        "assignmentPolicy": {"id": POLICY},
        "target": {"objectId": USER},
        "state": "delivered",
        "schedule": _FOREVER,
        **more,
    }


def review(id_: str, named: str) -> Body:
    return {
        "id": id_,
        "displayName": "Review",
        "scope": {"query": f"/things/{named}"},
        "reviewers": [],
        "settings": {"recurrence": None},
        "status": "InProgress",
    }


class World:
    """A recovery point, and the tenant as it became.

    Args:
        folder: Where the store is.
        objects: What the point has; the tenant at first, too.
        links: The same of links.
    """

    def __init__(
        self,
        folder: Path,
        objects: dict[str, dict[str, Body]],
        links: dict[str, dict[tuple[str, str], str]] | None = None,
    ) -> None:
        self.before = Picture(objects, links or {})
        self.now = self.before.copy()
        self._points = Points(folder, *objects, *(links or {}))

    def plan(self, types: tuple[str, ...] = (), **options: Any) -> RestorePlan:
        point, live = self._points.take(self.before), self._points.take(self.now)
        tenant = LiveTenant(live, "contoso")
        selection = RestoreSelection(types=types)
        return make_plan(
            "job", "2026-11-24T00:00:00Z", point, tenant, selection=selection, options=RestoreOptions(**options)
        )


def said(plan: RestorePlan) -> list[tuple[str, str, str]]:
    return [(step.action, step.table, step.id) for step in plan.steps]


def step(plan: RestorePlan, action: str, id_: str) -> RestoreStep:
    return next(one for one in plan.steps if (one.action, one.id) == (action, id_))


def governed(folder: Path) -> World:
    """A catalog with two packages, a policy, an assignment, a review and a workflow; the catalog is gone for good."""
    world = World(
        folder,
        {
            "users": {USER: {"id": USER, "displayName": "Ann", "accountEnabled": True}},
            "groups": {GROUP: {"id": GROUP, "displayName": "Group", "groupTypes": []}},
            "access_package_catalogs": {CATALOG: {"id": CATALOG, "displayName": "Catalog"}},
            "access_packages": {one: package(one) for one in (PACKAGE, OTHER)},
            "access_package_assignment_policies": {POLICY: policy(POLICY, PACKAGE)},
            "access_package_assignments": {ASSIGNMENT: assignment(ASSIGNMENT)},
            "access_review_definitions": {REVIEW: review(REVIEW, PACKAGE)},
            "lifecycle_workflows": {
                WORKFLOW: {
                    "id": WORKFLOW,
                    "category": "joiner",
                    "displayName": "Joiners",
                    "executionConditions": {},
                    "isSchedulingEnabled": False,
                    "tasks": [{"displayName": "Give", "arguments": [{"name": "accessPackageId", "value": PACKAGE}]}],
                }
            },
        },
        {
            "access_package_incompatible_access_packages": {(PACKAGE, OTHER): "accessPackage"},
            "access_package_incompatible_groups": {(PACKAGE, GROUP): "group"},
        },
    )
    del world.now.objects["access_package_catalogs"][CATALOG]
    return world


def test_what_hangs_from_a_replaced_object_is_replaced_in_the_same_plan(tmp_path: Path) -> None:
    plan = governed(tmp_path).plan()
    assert plan.refusals == ()
    assert sorted(said(plan)) == sorted(
        [
            ("create", "access_package_catalogs", CATALOG),
            *((action, "access_packages", one) for one in (PACKAGE, OTHER) for action in ("create", "delete")),
            *((action, "access_package_assignment_policies", POLICY) for action in ("create", "delete")),
            *((action, "access_package_assignments", ASSIGNMENT) for action in ("create", "delete")),
            *((action, "access_review_definitions", REVIEW) for action in ("create", "delete")),
            ("update", "lifecycle_workflows", WORKFLOW),
            ("link", "access_package_incompatible_access_packages", PACKAGE),
            ("link", "access_package_incompatible_groups", PACKAGE),
        ]
    )


def test_it_is_removed_after_all_that_hangs_from_it_and_when_all_of_that_stands_again(tmp_path: Path) -> None:
    plan = governed(tmp_path).plan()
    going = [step(plan, "delete", one) for one in (ASSIGNMENT, POLICY, PACKAGE)]
    assert [one.number for one in going] == sorted(one.number for one in going)
    assert {going[0].number, going[1].number} <= set(going[2].waits)
    assert {PACKAGE, POLICY, ASSIGNMENT} <= set(going[2].needs)


@pytest.mark.parametrize("conflict", ["merge", "skip"])
def test_nothing_is_replaced_where_what_is_there_is_kept(conflict: str, tmp_path: Path) -> None:
    plan = governed(tmp_path).plan(conflict=conflict)
    assert said(plan) == [("create", "access_package_catalogs", CATALOG)]
    assert {one.id for one in plan.refusals} >= {PACKAGE, OTHER}


def test_what_hangs_from_a_replaced_object_need_not_be_chosen(tmp_path: Path) -> None:
    plan = governed(tmp_path).plan(("access_package_catalogs", "access_packages"))
    actions = {(one.action, one.id) for one in plan.steps}
    hanging = {(action, one) for action in ("create", "delete") for one in (POLICY, ASSIGNMENT, REVIEW)}
    assert hanging <= actions
    assert ("update", WORKFLOW) not in actions
    assert [(one.id, one.kind) for one in plan.refusals] == [(WORKFLOW, "skipped")]


def test_what_was_not_chosen_itself_is_told_and_stays(tmp_path: Path) -> None:
    plan = governed(tmp_path).plan(("access_package_catalogs",))
    assert said(plan) == [("create", "access_package_catalogs", CATALOG)]
    assert {one.id for one in plan.refusals} == {PACKAGE, OTHER}


def test_an_assignment_that_was_added_since_goes_first(tmp_path: Path) -> None:
    world = governed(tmp_path)
    more = assignment(LATE, target={"objectId": NOBODY})
    world.now.objects["access_package_assignments"][LATE] = more
    plan = world.plan()
    assert step(plan, "delete", LATE).number in step(plan, "delete", PACKAGE).waits


def test_what_was_added_since_and_stays_keeps_what_it_hangs_from(tmp_path: Path) -> None:
    world = governed(tmp_path)
    world.now.objects["access_package_assignment_policies"][LATE] = policy(LATE, PACKAGE)
    plan = world.plan()
    assert ("delete", "access_packages", PACKAGE) not in said(plan)
    assert ("delete", "access_packages", OTHER) in said(plan)
    (told,) = [one for one in plan.refusals if one.id == PACKAGE]
    assert told.kind == "unresolved"
    assert f"access_package_assignment_policies {LATE}" in told.reason
    assert "--delete-added" in told.remedy
    assert (
        step(world.plan(delete_added=True), "delete", LATE).number
        in step(world.plan(delete_added=True), "delete", PACKAGE).waits
    )


def test_an_assignment_that_is_over_keeps_nothing(tmp_path: Path) -> None:
    world = governed(tmp_path)
    world.now.objects["access_package_assignments"][LATE] = assignment(LATE, state="expired")
    assert ("delete", "access_packages", PACKAGE) in said(world.plan())


def test_a_tie_that_cannot_be_made_anew_is_not_removed_either(tmp_path: Path) -> None:
    world = governed(tmp_path)
    del world.before.objects["users"][USER], world.now.objects["users"][USER]
    world.before.objects["users"][LATE] = {"id": LATE, "displayName": "Bea"}
    world.now.objects["users"][LATE] = {"id": LATE, "displayName": "Bea"}
    plan = world.plan()
    assert not {("delete", ASSIGNMENT), ("create", ASSIGNMENT)} & {(one.action, one.id) for one in plan.steps}
    assert ("delete", "access_packages", PACKAGE) not in said(plan)
    assert {ASSIGNMENT, PACKAGE} <= {one.id for one in plan.refusals if one.kind == "unresolved"}


def test_nothing_hangs_from_what_is_not_made_anew_after_all(tmp_path: Path) -> None:
    """A package with a role of a group that is gone, and was not chosen: neither it nor its policy is made twice."""
    world = governed(tmp_path)
    scope = {"role": {"originId": f"Member_{GROUP}"}, "scope": {"originId": GROUP, "originSystem": "AadGroup"}}
    for side in (world.before, world.now):
        side.objects["access_packages"][PACKAGE]["resourceRoleScopes"] = [scope]
    del world.now.objects["groups"][GROUP]
    governing = tuple(one for one in world.before.objects if one not in {"users", "groups"})
    plan = world.plan(governing)
    steps = {(one.action, one.table, one.id) for one in plan.steps}
    kept = {PACKAGE, POLICY, ASSIGNMENT, REVIEW}
    assert ("update", "lifecycle_workflows", WORKFLOW) not in steps
    assert not kept & {id_ for action, table, id_ in steps if table in CATALOGUE}
    assert ("link", "access_package_incompatible_groups", PACKAGE) not in steps
    told = {one.id: one.reason for one in plan.refusals}
    assert told.keys() >= kept
    assert told[POLICY] == f"it leads to access_packages {PACKAGE}, which stays as it is"


def test_an_enterprise_application_takes_its_assignments_grants_and_memberships_along(tmp_path: Path) -> None:
    world = World(
        tmp_path,
        {
            "users": {USER: {"id": USER, "displayName": "Ann", "accountEnabled": True}},
            "groups": {GROUP: {"id": GROUP, "displayName": "Group", "groupTypes": []}},
            "applications": {APP: {"id": APP, "appId": APP_ID, "displayName": "App"}},
            "service_principals": {PRINCIPAL: {"id": PRINCIPAL, "appId": APP_ID, "displayName": "App"}},
            "app_role_assignments": {
                HELD: {
                    "id": HELD,
                    "_parent": PRINCIPAL,
                    "resourceId": PRINCIPAL,
                    "principalId": USER,
                    "appRoleId": ROLE,
                }
            },
            "delegated_permission_classifications": {
                LABEL: {"id": LABEL, "_parent": PRINCIPAL, "permissionId": ROLE, "classification": "low"}
            },
            "oauth2_permission_grants": {
                GRANT: {"id": GRANT, "clientId": PRINCIPAL, "resourceId": PRINCIPAL, "consentType": "AllPrincipals"}
            },
            "role_definitions": {ROLE: {"id": ROLE, "displayName": "Role", "isBuiltIn": True}},
            "role_assignments": {
                GIVEN: {"id": GIVEN, "principalId": PRINCIPAL, "roleDefinitionId": ROLE, "directoryScopeId": "/"}
            },
        },
        {
            "group_members": {(GROUP, PRINCIPAL): "servicePrincipal"},
            "service_principal_owners": {(PRINCIPAL, USER): "user"},
        },
    )
    del world.now.objects["applications"][APP]
    plan = world.plan()
    assert plan.refusals == ()
    steps = {(one.action, one.table) for one in plan.steps}
    anew = ("service_principals", "oauth2_permission_grants", "role_assignments")
    assert {(action, table) for table in anew for action in ("create", "delete")} <= steps
    # What is below it goes with it.
    below = {"app_role_assignments", "delegated_permission_classifications"}
    assert {action for action, table in steps if table in below} == {"create"}
    assert below <= {table for _, table in steps}
    assert {("link", "group_members"), ("link", "service_principal_owners"), ("create", "applications")} <= steps
    assert step(plan, "delete", PRINCIPAL).number == max(one.number for one in plan.steps if one.action == "delete")


# Of each type that takes a reference only when it is made: what it names, and itself.
NAMING: dict[str, tuple[str, Body, Body]] = {
    "access_packages": ("access_package_catalogs", {"id": CATALOG, "displayName": "Catalog"}, package(PACKAGE)),
    "access_package_assignment_policies": (
        "access_packages",
        {**package(PACKAGE), "catalog": None},
        policy(POLICY, PACKAGE),
    ),
    "access_package_resources": (
        "groups",
        {"id": GROUP, "displayName": "Group", "groupTypes": []},
        {"id": RESOURCE, "_parent": CATALOG, "originId": GROUP, "originSystem": "AadGroup"},
    ),
    "access_review_definitions": (
        "groups",
        {"id": GROUP, "displayName": "Group", "groupTypes": []},
        review(REVIEW, GROUP),
    ),
    "service_principals": (
        "applications",
        {"id": APP, "appId": APP_ID, "displayName": "App"},
        {"id": PRINCIPAL, "appId": APP_ID, "displayName": "App"},
    ),
}


def test_every_type_is_tried_that_takes_a_reference_only_when_it_is_made() -> None:
    """Of an enterprise application it is the appId, by which others refer to its application."""
    taking = {
        name
        for name, entry in CATALOGUE.items()
        if entry.restore.create == "POST"
        and entry.restore.remove
        and not entry.restore.link
        and {path.partition(".")[0] for path in entry.restore.refers} & entry.restore.create_only
    }
    assert NAMING.keys() == taking | {"service_principals"}


@pytest.mark.parametrize("table", NAMING)
def test_every_type_that_names_others_when_it_is_made_is_replaced(table: str, tmp_path: Path) -> None:
    root, named, body = NAMING[table]
    world = World(tmp_path, {"access_package_catalogs": {}, root: {named["id"]: named}, table: {body["id"]: body}})
    if "_parent" in body:
        for side in (world.before, world.now):
            side.objects["access_package_catalogs"][CATALOG] = {"id": CATALOG, "displayName": "Catalog"}
    del world.now.objects[root][named["id"]]
    plan = world.plan()
    assert plan.refusals == ()
    assert {("create", body["id"]), ("delete", body["id"])} <= {(one.action, one.id) for one in plan.steps}
    assert body["id"] in step(plan, "delete", body["id"]).needs


def test_what_is_known_by_a_name_that_its_maker_chooses_has_no_new_one(tmp_path: Path) -> None:
    """The tenant of a partner, by which a connected organization names it."""
    source = {
        "@odata.type": "#microsoft.graph.azureActiveDirectoryTenant",
        "tenantId": NOBODY,
        "displayName": "Fabrikam",
    }
    world = World(
        tmp_path,
        {
            "cross_tenant_access_policy_partners": {NOBODY: {"tenantId": NOBODY}},
            "connected_organizations": {
                LATE: {"id": LATE, "displayName": "Fabrikam", "identitySources": [source], "state": "proposed"}
            },
        },
    )
    del world.now.objects["cross_tenant_access_policy_partners"][NOBODY]
    assert said(world.plan()) == [("create", "cross_tenant_access_policy_partners", NOBODY)]


def test_a_user_whose_agent_gets_another_id_stays_and_is_named(tmp_path: Path) -> None:
    """Graph takes no second user of a sign-in name, and a mailbox would go with the first."""
    agent = {"id": USER, "displayName": "Agent", "userPrincipalName": "agent@contoso.com", "accountEnabled": True}
    world = World(
        tmp_path,
        {
            "service_principals": {PRINCIPAL: {"id": PRINCIPAL, "appId": APP_ID, "displayName": "Agent"}},
            "users": {USER: {**agent, "identityParentId": PRINCIPAL}},
        },
    )
    del world.now.objects["service_principals"][PRINCIPAL]
    plan = world.plan()
    assert said(plan) == [("create", "service_principals", PRINCIPAL)]
    [refusal] = plan.refusals
    assert (refusal.table, refusal.id, refusal.kind) == ("users", USER, "unrestorable")
    assert refusal.reason == "identityParentId can only be set on creation"
