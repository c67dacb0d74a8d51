"""Plans of what really happened to a simulated tenant: backed up, changed, backed up again, compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from entra_pipeline.errors import NotAtPoint, NotInStore, UsageError
from entra_pipeline.restore.objects.model import RestoreOptions, RestorePlan, RestoreSelection, RestoreStep
from entra_pipeline.restore.plan.diff import Side
from entra_pipeline.restore.plan.planner import LiveTenant, make_plan
from entra_pipeline.store.manifest import Manifest
from tests.support.protected import Protected, protect

TYPES = (
    "users",
    "groups",
    "named_locations",
    "conditional_access_policies",
    "role_definitions",
    "role_assignments",
    "user_licenses",
    "deleted_users",
    "deleted_groups",
    "deleted_conditional_access_policies",
)
POLICIES = "identity/conditionalAccess/policies"


class Restored:
    """A tenant of which a recovery point was taken, and that is then changed.

    Attributes:
        it: The tenant with its scope.
        control: Changes it.
        point: The recovery point.
    """

    def __init__(self, it: Protected) -> None:
        self.it = it
        self.control = it.control
        self.point = it.backup()

    def plan(self, **asked: Any) -> RestorePlan:
        """The plan that brings the tenant back to the point: `types`, `ids` … select, the rest are options."""
        selection = RestoreSelection(
            **{name: asked.pop(name) for name in ("types", "ids", "where", "search") if name in asked}
        )
        self.it.advance(minutes=5)
        live = self.it.backup()
        return make_plan(
            "job",
            "2026-11-24T00:00:00Z",
            self._side(self.point),
            LiveTenant(self._side(live), "simulated"),
            selection=selection,
            options=RestoreOptions(**asked),
        )

    def _side(self, manifest: Manifest) -> Side:
        return Side(self.it.store, manifest)

    def lose(self, path: str) -> None:
        """Deletes an object for good."""
        self.control.delete(path)
        identifier = path.rpartition("/")[2]
        if any(one["id"] == identifier for one in self.control.dump(path.rpartition("/")[0], deleted=True)):
            self.control.purge(identifier)


@pytest.fixture
def start(tenant: Callable[..., Protected]) -> Callable[..., Restored]:
    """Backs up a tenant that a function has prepared."""

    def prepared(prepare: Callable[[Any], None] = lambda control: None, *types: str) -> Restored:
        it = tenant(protect(*(types or TYPES)), users=30, groups=6)
        prepare(it.control)
        return Restored(it)

    return prepared


def steps(plan: RestorePlan, **members: Any) -> list[RestoreStep]:
    """The steps of which the members are so."""
    return [step for step in plan.steps if all(getattr(step, name) == value for name, value in members.items())]


def made(control: Any) -> dict[str, str]:
    """A user, groups of every kind, and a policy that leaves one of them out."""
    user = control.create("users", {"displayName": "Ada", "accountEnabled": True, "department": "Sales"})
    inner = control.create("groups", {"displayName": "Inner"})
    outer = control.create("groups", {"displayName": "Outer", "isAssignableToRole": True, "securityEnabled": True})
    dynamic = control.create(
        "groups",
        {
            "displayName": "Dynamic",
            "groupTypes": ["DynamicMembership"],
            "membershipRule": f"user.memberof -any (group.objectId -in ['{inner}'])",
            "membershipRuleProcessingState": "On",
        },
    )
    control.add_link(f"groups/{inner}/members", user)
    control.add_link(f"groups/{outer}/members", inner)
    control.add_link(f"groups/{inner}/owners", user)
    policy = control.create(
        POLICIES,
        {
            "displayName": "MFA",
            "state": "enabled",
            "conditions": {
                "users": {"includeUsers": ["All"], "excludeGroups": [outer]},
                "applications": {"includeApplications": ["All"]},
                "clientAppTypes": ["all"],
            },
            "grantControls": {"operator": "OR", "builtInControls": ["mfa"]},
        },
    )
    return {"user": user, "inner": inner, "outer": outer, "dynamic": dynamic, "policy": policy}


def test_every_kind_of_step(start: Callable[..., Restored]) -> None:
    known: dict[str, str] = {}
    it = start(lambda control: known.update(made(control)))
    plan = it.plan()
    assert (plan.steps, plan.refusals) == ((), ())
    user, inner, outer, dynamic, policy = known.values()

    it.control.patch(f"users/{user}", {"department": "Changed", "jobTitle": "New"})
    it.control.remove_link(f"groups/{inner}/members", user)
    stranger = it.control.create("users", {"displayName": "Stranger"})
    it.control.add_link(f"groups/{inner}/members", stranger)
    it.control.delete(f"groups/{outer}")
    it.lose(f"groups/{dynamic}")
    it.control.delete(f"{POLICIES}/{policy}")
    plan = it.plan(delete_added=True)

    (update,) = steps(plan, action="update", table="users")
    assert (update.id, update.body, update.before["department"]) == (
        user,
        {"department": "Sales", "jobTitle": None},
        "Changed",
    )
    (link,) = steps(plan, action="link", table="group_members", id=inner)
    assert (link.targets, link.target_types, link.live_id) == ((user,), ("user",), inner)
    # Who is deleted leaves the group by that.
    assert steps(plan, action="unlink") == []
    assert [(step.table, step.live_id) for step in steps(plan, action="delete")] == [("users", stranger)]
    assert [step.id for step in steps(plan, action="undelete", table="groups")] == [outer]
    back = steps(plan, table="group_members", id=outer)
    assert [(step.targets, step.returning, step.requests) for step in back] == [((inner,), True, 0)]

    (group,) = steps(plan, action="create", table="groups")
    assert group.body["membershipRuleProcessingState"] == "Paused"
    assert inner in group.body["membershipRule"]
    assert steps(plan, table="group_members", id=dynamic) == []
    (enable,) = steps(plan, action="enable")
    assert (enable.table, enable.id, enable.body) == ("groups", dynamic, {"membershipRuleProcessingState": "On"})
    assert enable.stage == plan.stages[-1]

    (undelete,) = steps(plan, action="undelete", table="conditional_access_policies")
    assert undelete.needs == (outer,)
    (report_only,) = steps(plan, action="update", table="conditional_access_policies")
    assert report_only.body == {"state": "enabledForReportingButNotEnforced"}
    assert steps(it.plan(enable_policies=True), action="update", table="conditional_access_policies") == []


def test_of_what_was_added_since_only_the_selected_is_deleted(start: Callable[..., Restored]) -> None:
    it = start(made)
    user = next(one for one in it.control.dump("users") if not one.get("onPremisesSyncEnabled"))
    it.control.patch(f"users/{user['id']}", {"department": "Changed"})
    one, other = (it.control.create("groups", {"displayName": name}) for name in ("One", "Other"))
    plan = it.plan(delete_added=True, ids=(one,))
    assert [(step.action, step.live_id) for step in plan.steps] == [("delete", one)]
    assert other not in str(plan.steps)
    # Restoring is another plan, and an id that nobody has is told.
    for options in ({"ids": (one,)}, {"ids": ("0" * 36,), "delete_added": True}):
        with pytest.raises(NotAtPoint, match="has no object"):
            it.plan(**options)


@pytest.mark.parametrize("shared", ["userPrincipalName", "proxyAddresses"])
def test_who_holds_the_name_of_what_comes_back_goes_first_only_where_graph_would_refuse_that(
    shared: str, start: Callable[..., Restored]
) -> None:
    known: dict[str, str] = {}
    it = start(lambda control: known.update(made(control)))
    user = next(one for one in it.control.dump("users") if one["id"] == known["user"])
    it.control.delete(f"users/{user['id']}")
    taken = user["userPrincipalName"]
    body = {"userPrincipalName": taken.upper()} if shared == "userPrincipalName" else {shared: [f"SMTP:{taken}"]}
    holder = it.control.create("users", {"displayName": "Holder", **body})
    stranger = it.control.create("users", {"displayName": "Stranger"})
    plan = it.plan(delete_added=True)
    needs = {step.live_id: step.needs for step in steps(plan, action="delete", table="users")}
    first = shared == "userPrincipalName"
    assert needs == {holder: () if first else (user["id"],), stranger: ()}
    frees = {step.live_id: step.frees for step in steps(plan, action="delete", table="users")}
    assert frees == {holder: (user["id"],) if first else (), stranger: ()}
    numbers = [(step.action, step.number) for step in steps(plan, table="users") if step.action != "update"]
    order = [action for action, _ in sorted(numbers, key=lambda one: one[1])]
    assert order == (["delete", "undelete", "delete"] if first else ["undelete", "delete", "delete"])


def test_objects_that_are_gone_are_made_in_order_disabled_with_their_links(start: Callable[..., Restored]) -> None:
    known: dict[str, str] = {}
    it = start(lambda control: known.update(made(control)))
    user, inner, outer, dynamic, policy = known.values()
    for path in (f"users/{user}", f"groups/{inner}", f"groups/{outer}", f"groups/{dynamic}", f"{POLICIES}/{policy}"):
        it.lose(path)
    plan = it.plan()
    order = {(step.action, step.id): step.number for step in plan.steps}
    assert order["create", user] < order["create", inner] < order["link", inner]
    assert order["create", inner] < order["create", dynamic]
    assert order["create", outer] < order["create", policy]
    (made_again,) = steps(plan, action="create", id=user)
    assert made_again.body["accountEnabled"] is False
    assert "passwordProfile" not in made_again.body
    assert any("password" in note for note in made_again.notes)
    (assignable,) = steps(plan, action="create", id=outer)
    assert assignable.body["isAssignableToRole"] is True
    (nested,) = steps(plan, action="link", table="group_members", id=outer)
    assert (nested.targets, nested.target_types, nested.needs) == ((inner,), ("group",), tuple(sorted((inner, outer))))
    (created,) = steps(plan, action="create", table="conditional_access_policies")
    assert created.body["state"] == "enabledForReportingButNotEnforced"
    assert created.body["conditions"]["users"]["excludeGroups"] == [outer]
    assert {step.id for step in steps(plan, action="enable")} == {user, dynamic}
    assert [step.body for step in steps(it.plan(enable_policies=True), action="enable", id=policy)] == [
        {"state": "enabled"}
    ]


def test_a_policy_whose_excluded_group_is_gone_is_refused_unless_that_comes_back(
    start: Callable[..., Restored],
) -> None:
    known: dict[str, str] = {}
    it = start(lambda control: known.update(made(control)))
    outer, policy = known["outer"], known["policy"]
    it.lose(f"groups/{outer}")
    it.lose(f"{POLICIES}/{policy}")
    plan = it.plan(types=("conditional_access_policies",))
    assert steps(plan, table="conditional_access_policies") == []
    (refusal,) = [one for one in plan.refusals if one.id == policy]
    assert refusal.kind == "unresolved"
    assert outer in refusal.reason
    assert f"--types groups --ids {outer}" in refusal.remedy
    both = it.plan(types=("conditional_access_policies", "groups"), ids=(policy, outer))
    assert [(step.action, step.id) for step in both.steps if step.action == "create"] == [
        ("create", outer),
        ("create", policy),
    ]
    assert [one for one in both.refusals if one.kind == "unresolved"] == []


def test_a_policy_that_was_left_alone_learns_the_new_id_of_its_group(start: Callable[..., Restored]) -> None:
    known: dict[str, str] = {}
    it = start(lambda control: known.update(made(control)))
    outer, policy = known["outer"], known["policy"]
    it.lose(f"groups/{outer}")
    (update,) = steps(it.plan(), action="update", id=policy)
    assert update.body["conditions"]["users"]["excludeGroups"] == [outer]
    assert update.needs == (outer,)
    alone = it.plan(types=("groups",), ids=(outer,))
    assert steps(alone, id=policy) == []
    (told,) = [one for one in alone.refusals if one.id == policy]
    assert (told.kind, told.remedy) == (
        "skipped",
        f"Add it to the selection: --types conditional_access_policies --ids {policy}.",
    )


def test_a_user_made_by_hand_is_taken_for_the_lost_one_only_where_more_than_the_name_agrees(
    start: Callable[..., Restored],
) -> None:
    known: dict[str, str] = {}
    it = start(
        lambda control: known.update(user=control.create("users", {"displayName": "Ada", "employeeId": "E-7"})),
        "users",
        "deleted_users",
    )
    lost = next(one for one in it.control.dump("users") if one["id"] == known["user"])
    it.lose(f"users/{lost['id']}")
    name = lost["userPrincipalName"]
    now = it.control.create("users", {"userPrincipalName": name.upper(), "displayName": "Made by hand"})
    chosen = {"types": ("users",), "ids": (lost["id"],)}

    # A stranger has been given the name: nothing is written, and the plan says who is in the way.
    for options in ({}, {"delete_added": True}, {"types": ("users",), "ids": ()}):
        plan = it.plan(**{**chosen, **options})
        assert steps(plan, table="users", live_id=now) == []
        (finding,) = [one for one in plan.refusals if one.id == lost["id"]]
        assert finding.reason.endswith(f"holds its userPrincipalName {name}; nothing else shows that they are the same")
        assert now in finding.reason
        assert "--taken match" in finding.remedy and "--taken rename" in finding.remedy

    # Whoever made the user again says so.
    (step,) = steps(it.plan(**chosen, taken="match"), table="users", id=lost["id"])
    assert (step.action, step.live_id, step.before["displayName"]) == ("update", now, "Made by hand")

    # The employee's number says it, or speaks against it whatever is asked for.
    it.control.patch(f"users/{now}", {"employeeId": "e-7"})
    plan = it.plan(**chosen)
    assert steps(plan, action="create") == []
    (step,) = steps(plan, table="users", id=lost["id"])
    assert (step.action, step.live_id) == ("update", now)
    assert any("the same userPrincipalName and employeeId" in note for note in step.notes)
    it.control.patch(f"users/{now}", {"employeeId": "E-8", "displayName": "Ada", "mail": lost["mail"]})
    plan = it.plan(**chosen, taken="match")
    assert steps(plan, table="users") == []
    (finding,) = [one for one in plan.refusals if one.id == lost["id"]]
    assert finding.reason.endswith("its employeeId differs")
    assert "--taken match" not in finding.remedy


def test_conflict_modes(start: Callable[..., Restored]) -> None:
    known: dict[str, str] = {}
    it = start(lambda control: known.update(made(control)), "users", "groups", "deleted_users", "deleted_groups")
    user, inner = known["user"], known["inner"]
    it.control.patch(f"users/{user}", {"department": None, "displayName": "Other", "city": "Added"})
    stranger = it.control.create("users", {"displayName": "Stranger"})
    it.control.remove_link(f"groups/{inner}/members", user)
    it.control.add_link(f"groups/{inner}/members", stranger)
    told = {
        mode: [(step.action, step.table, set(step.body), step.targets) for step in it.plan(conflict=mode).steps]
        for mode in ("overwrite", "merge", "skip")
    }
    link = ("link", "group_members", set(), (user,))
    assert told["overwrite"] == [
        ("update", "users", {"department", "displayName", "city"}, ()),
        link,
        ("unlink", "group_members", set(), (stranger,)),
    ]
    assert told["merge"] == [("update", "users", {"department"}, ()), link]
    assert told["skip"] == []
    skipped = {refusal.id for refusal in it.plan(conflict="skip").refusals if refusal.kind == "skipped"}
    assert {user, inner, stranger} <= skipped


def test_what_nobody_can_restore_is_named_only_where_it_differs(start: Callable[..., Restored]) -> None:
    def synced(control: Any) -> None:
        control.create("users", {"displayName": "Synced", "onPremisesSyncEnabled": True, "department": "Sales"})

    it = start(synced, "users", "deleted_users")
    (user,) = [one["id"] for one in it.control.dump("users") if one["displayName"] == "Synced"]
    assert it.plan().refusals == ()
    it.control.patch(f"users/{user}", {"department": "Changed"})
    plan = it.plan()
    assert plan.steps == ()
    (refusal,) = plan.refusals
    assert (refusal.id, refusal.kind) == (user, "unrestorable")
    assert "managed in another system" in refusal.reason


def test_a_selection_brings_what_belongs_to_it_and_nothing_else(start: Callable[..., Restored]) -> None:
    known: dict[str, str] = {}
    it = start(lambda control: known.update(made(control)), "users", "groups", "deleted_users", "deleted_groups")
    user, inner = known["user"], known["inner"]
    other = next(one["id"] for one in it.control.dump("users") if one["id"] != user)
    it.control.patch(f"users/{other}", {"displayName": "Changed"})
    it.lose(f"users/{user}")
    plan = it.plan(types=("users",), where="displayName = 'Ada'")
    assert {(step.action, step.table, step.id) for step in plan.steps} == {
        ("create", "users", user),
        ("link", "group_members", inner),
        ("link", "group_owners", inner),
        ("enable", "users", user),
    }
    assert it.plan(search="Ada", types=("users",)).steps == plan.steps
    for wrong, error in (
        ({"types": ("user",)}, UsageError),
        ({"types": ("deleted_users",)}, UsageError),
        ({"where": "true"}, UsageError),
        ({"ids": ("nobody",)}, NotInStore),
        ({"search": "nobody is called so"}, NotInStore),
    ):
        with pytest.raises(error):
            it.plan(**wrong)


@pytest.mark.parametrize(("taken_out", "refused"), [(False, 0), (True, 1)])
def test_an_active_assignment_gives_no_membership_that_nobody_had(
    start: Callable[..., Restored], taken_out: bool, refused: int
) -> None:
    schedules = "privileged_access_group_assignment_schedules"
    made: dict[str, str] = {}

    def prepare(control: Any) -> None:
        made["user"] = control.create("users", {"displayName": "Ada", "accountEnabled": True})
        made["group"] = control.create(
            "groups", {"displayName": "Guarded", "securityEnabled": True, "isAssignableToRole": True}
        )
        control.create(
            "identityGovernance/privilegedAccess/group/assignmentScheduleRequests",
            {
                "action": "adminAssign",
                "accessId": "member",
                "groupId": made["group"],
                "principalId": made["user"],
                "scheduleInfo": {"expiration": {"type": "noExpiration"}},
            },
        )
        if taken_out:
            control.remove_link(f"groups/{made['group']}/members", made["user"])

    restored = start(prepare, *TYPES, schedules)
    restored.lose(f"groups/{made['group']}")
    plan = restored.plan(types=["groups", schedules])
    assert len(steps(plan, table=schedules, action="create")) == 1 - refused
    told = [one for one in plan.refusals if one.table == schedules]
    assert [one.reason for one in told] == [
        f"it would make {made['user']} a member of the group, which was not the case at the recovery point"
    ] * refused


def test_constants_that_no_list_shows_are_no_missing_references(start: Callable[..., Restored]) -> None:
    conditions = {
        "users": {"includeUsers": ["All"], "excludeUsers": ["GuestsOrExternalUsers"]},
        "applications": {"includeApplications": ["Office365", "MicrosoftAdminPortals"]},
        "locations": {
            "includeLocations": ["All"],
            "excludeLocations": [
                "AllTrusted",
                "00000000-0000-0000-0000-000000000000",
                "3d46dbda-8382-466a-856d-eb00cbc6b910",
            ],
        },
    }
    known: list[str] = []

    def prepared(control: Any) -> None:
        known.append(
            control.create(
                POLICIES,
                {
                    "displayName": "From trusted networks",
                    "state": "disabled",
                    "conditions": conditions,
                    "grantControls": {
                        "operator": "OR",
                        "authenticationStrength": {"id": "00000000-0000-0000-0000-000000000004"},
                    },
                },
            )
        )

    it = start(prepared)
    it.lose(f"{POLICIES}/{known[0]}")
    plan = it.plan(types=("conditional_access_policies",))
    assert [refusal for refusal in plan.refusals if refusal.kind == "unresolved"] == []
    (create,) = steps(plan, action="create")
    assert create.body["conditions"]["locations"] == conditions["locations"]


def test_a_context_that_is_gone_is_known_by_its_name(start: Callable[..., Restored]) -> None:
    contexts = "identity/conditionalAccess/authenticationContextClassReferences"
    applications = {"includeAuthenticationContextClassReferences": ["c44"]}
    policy = {
        "displayName": "Step up",
        "state": "disabled",
        "conditions": {"users": {"includeUsers": ["All"]}, "applications": applications},
        "grantControls": {"operator": "OR", "builtInControls": ["mfa"]},
    }
    known: list[str] = []

    def prepared(control: Any) -> None:
        control.create(contexts, {"id": "c44", "displayName": "Step up", "isAvailable": True})
        known.append(control.create(POLICIES, policy))

    types = ("conditional_access_policies", "authentication_context_class_references")
    it = start(prepared, *types, "deleted_conditional_access_policies")
    it.lose(f"{POLICIES}/{known[0]}")
    it.lose(f"{contexts}/c44")
    (refusal,) = [one for one in it.plan(types=("conditional_access_policies",)).refusals if one.id == known[0]]
    assert refusal.kind == "unresolved" and "authentication_context_class_references c44" in refusal.reason
    create = next(step for step in it.plan(types=types).steps if step.id == known[0])
    assert create.needs == ("c44",)


def test_what_was_added_inside_a_value_is_cleared(start: Callable[..., Restored]) -> None:
    conditions = {"users": {"includeUsers": ["All"]}, "applications": {"includeApplications": ["All"]}}
    kind = {"@odata.type": "#microsoft.graph.customSecurityAttributeValue"}
    known: dict[str, str] = {}

    def prepared(control: Any) -> None:
        known["policy"] = control.create(
            POLICIES,
            {
                "displayName": "All",
                "state": "disabled",
                "conditions": conditions,
                "grantControls": {"operator": "OR", "builtInControls": ["mfa"]},
            },
        )
        for name, held in (("some", {"Engineering": {**kind, "Project": "Baker"}}), ("none", None)):
            known[name] = control.create("users", {"displayName": name, "customSecurityAttributes": held})

    it = start(prepared)
    added = {**conditions, "locations": {"includeLocations": ["All"], "excludeLocations": ["AllTrusted"]}}
    it.control.patch(f"{POLICIES}/{known['policy']}", {"conditions": added})
    more = {"Engineering": {**kind, "Project": "Baker", "Sites": ["Oslo"], "Level": 4}, "Sales": {**kind, "Area": "N"}}
    for name in ("some", "none"):
        it.control.patch(f"users/{known[name]}", {"customSecurityAttributes": more})
    bodies = {step.id: step.body for step in steps(it.plan(), action="update")}
    assert bodies[known["policy"]]["conditions"] == {**conditions, "locations": None}
    assert bodies[known["some"]]["customSecurityAttributes"] == {
        "Engineering": {**kind, "Project": "Baker", "Sites": [], "Level": None},
        "Sales": {**kind, "Area": None},
    }
    assert bodies[known["none"]]["customSecurityAttributes"] == {
        "Engineering": {**kind, "Project": None, "Sites": [], "Level": None},
        "Sales": {**kind, "Area": None},
    }
    filled = {step.id: step.body for step in steps(it.plan(conflict="merge"), action="update")}
    assert known["policy"] not in filled
    assert known["some"] not in filled


def test_identities_of_local_accounts_come_back(start: Callable[..., Restored]) -> None:
    name = "ada@contoso.example"
    local = [
        {"signInType": "emailAddress", "issuer": "contoso.onmicrosoft.com", "issuerAssignedId": "ada@home.example"},
        {"signInType": "federated", "issuer": "facebook.com", "issuerAssignedId": "4711"},
    ]
    own = {"signInType": "userPrincipalName", "issuer": "contoso.onmicrosoft.com", "issuerAssignedId": name}
    known: list[str] = []
    it = start(
        lambda control: known.append(control.create("users", {"userPrincipalName": name, "identities": [*local, own]}))
    )
    it.lose(f"users/{known[0]}")
    (create,) = steps(it.plan(), action="create", table="users")
    assert create.body["identities"] == local
