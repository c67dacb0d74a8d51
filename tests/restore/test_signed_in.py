"""What Graph lets no application do is restored on behalf of a person who signs in, and named where nobody does."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from threading import Thread
from typing import Any

import httpx
import pytest

from entra_pipeline.errors import ConfigurationError, UsageError
from entra_pipeline.graph.retry import use_policy
from entra_pipeline.graph.users import SignInPrompt
from entra_pipeline.simulator import Simulator
from tests.restore.pictured import Pictured
from tests.support.patience import IMPATIENT

TYPES = ("users", "groups", "role_management_policies", "conditional_access_policies", "named_locations")
POLICIES = "identity/conditionalAccess/policies"
LOCATIONS = "identity/conditionalAccess/namedLocations"
ACCESS = ("conditional_access_policies", "named_locations")
ANNA = "anna@contoso.com"


class Person:
    """A person at the terminal, and what was said to them."""

    def __init__(self, control: Any) -> None:
        self.control = control
        self.told: list[str] = []
        self.names: list[str] = []

    def prompt(self, way: Any = "device") -> SignInPrompt:
        return SignInPrompt(way=way, tell=self.told.append, signed_in=self.names.append)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pictured]:
    with use_policy(IMPATIENT):
        site = Pictured(Simulator(users=20, groups=5, seed=3), tmp_path_factory.mktemp("signed-in"), *TYPES)
        yield site
        site.close()


@pytest.fixture
def person(one: Pictured) -> Iterator[Person]:
    one.control.knobs(user=ANNA, protected={})
    yield Person(one.control)
    one.control.knobs(user="", protected={}, public_clients=True)


def changed_rule(one: Pictured) -> tuple[str, list[dict[str, Any]]]:
    """Changes a rule of a role; the policy, and its rules as they were."""
    policy = next(each for each in one.control.dump("unifiedRoleManagementPolicy") if each["scopeType"] != "Group")
    rules = [{**policy["rules"][0], "maximumDuration": "P3650D"}, *policy["rules"][1:]]
    one.control.patch(f"policies/roleManagementPolicies/{policy['id']}", {"rules": rules})
    return policy["id"], policy["rules"]


def rules_of(one: Pictured, policy: str) -> Any:
    return next(each for each in one.control.dump("unifiedRoleManagementPolicy") if each["id"] == policy)["rules"]


def test_pim_rules_are_restored_by_a_person_only(one: Pictured, person: Person) -> None:
    point = one.backup()
    policy, before = changed_rule(one)

    # Without a person the plan names what it leaves out, and how to have it.
    plan = one.plan(point, "nobody")
    assert [step for step in plan.steps if step.table == "role_management_policies"] == []
    (left,) = [each for each in plan.refusals if each.table == "role_management_policies"]
    assert left.id == policy
    assert "RoleManagementPolicy.ReadWrite.Directory" in left.reason and "--sign-in" in left.remedy

    plan = one.plan(point, "somebody", sign_in=True)
    (step,) = [each for each in plan.steps if each.table == "role_management_policies"]
    assert step.delegated
    assert "on behalf of the signed-in user" in step.notes[-1]
    # Where nobody can sign in, nothing is written.
    one.control.ledger(reset=True)
    with pytest.raises(UsageError, match="1 step that only a signed-in user") as refused:
        one.apply(plan)
    assert "--sign-in" in refused.value.remedy
    assert one.control.writes() == []

    report = one.apply(plan, person.prompt())
    assert [each.result for each in report.outcomes if each.table == "role_management_policies"] == ["restored"]
    assert rules_of(one, policy) == before
    assert (report.signed_in, person.names) == (ANNA, [ANNA])
    assert re.search(r"open https://microsoft.com/devicelogin and enter the code [0-9A-F]{8}", person.told[0])
    # The one rule that differs, and no other request for it.
    sent = [write for write in one.control.writes() if "roleManagementPolicies" in write["path"]]
    assert [write["status"] for write in sent] == [204]


def test_a_protected_action_is_done_by_a_person_who_satisfies_it_or_named_with_the_remedy(
    one: Pictured, person: Person
) -> None:
    point = one.backup()
    policy = one.control.dump(POLICIES)[0]
    one.control.patch(f"{POLICIES}/{policy['id']}", {"displayName": "theirs"})
    one.control.knobs(protected={POLICIES: "c1"})

    report = one.apply(one.plan(point, "refused"))
    (outcome,) = report.outcomes
    assert outcome.result == "failed"
    assert "Authentication context" in outcome.reason and "--sign-in" in outcome.remedy
    # No new token is asked for in vain.
    assert [write["status"] for write in one.control.writes()[-1:]] == [401]

    one.control.ledger(reset=True)
    report = one.apply(one.plan(point, "stepped-up", sign_in=True), person.prompt())
    assert [each.result for each in report.outcomes] == ["restored"]
    assert (
        next(each for each in one.control.dump(POLICIES) if each["id"] == policy["id"])["displayName"]
        == policy["displayName"]
    )
    assert report.signed_in == ANNA
    assert [write["status"] for write in one.control.writes()] == [401, 204]


ACTIONS = "roleManagement/directory/resourceNamespaces/microsoft.directory/resourceActions"


@pytest.fixture
def updates_protected(one: Pictured) -> Iterator[str]:
    """The tenant protects changes of Conditional Access policies; the action's name."""
    action = "microsoft.directory/conditionalAccessPolicies/basic/update"
    path = f"{ACTIONS}/{action.replace('/', '-')}-patch"
    one.control.patch(path, {"authenticationContextId": "c1"})
    yield action
    one.control.patch(path, {"authenticationContextId": None})


def test_a_plan_names_the_steps_that_take_a_protected_action(
    one: Pictured, person: Person, updates_protected: str
) -> None:
    point = one.backup()
    policy, other = one.control.dump(POLICIES)[0], one.control.dump(LOCATIONS)[0]
    for path, each in ((POLICIES, policy), (LOCATIONS, other)):
        one.control.patch(f"{path}/{each['id']}", {"displayName": "theirs"})

    # Nobody signs in: what Graph may refuse is told, and tried, as the tenant's Graph may let an application do it.
    plan = one.plan(point, "protected-nobody", types=ACCESS)
    (told,) = [each for each in plan.refusals if each.kind == "unresolved"]
    assert (told.id, "--sign-in" in told.remedy) == (policy["id"], True)
    assert f"the tenant protects {updates_protected} with the authentication context c1" in told.reason
    results = {each.id: each.result for each in one.apply(plan).outcomes}
    assert results == {policy["id"]: "failed", other["id"]: "restored"}

    plan = one.plan(point, "protected-somebody", types=ACCESS, sign_in=True)
    assert [each for each in plan.refusals if each.kind == "unresolved"] == []
    (step,) = plan.steps
    assert step.delegated
    assert step.notes[-1].startswith("sent on behalf of the signed-in user: the tenant protects")
    with pytest.raises(UsageError, match="1 step that only a signed-in user"):
        one.apply(plan)
    one.control.ledger(reset=True)
    report = one.apply(plan, person.prompt())
    assert ([each.result for each in report.outcomes], report.signed_in) == (["restored"], ANNA)
    assert [write["status"] for write in one.control.writes()] == [401, 204]


def test_what_graph_does_not_tell_of_protected_actions_marks_nothing(one: Pictured, updates_protected: str) -> None:
    assert one.protected() == {updates_protected.lower(): "c1"}
    one.control.deny(ACTIONS)
    assert one.protected() == {}
    one.control.deny(ACTIONS, 0)


def test_a_browser_signs_in_with_proof_of_who_began(
    one: Pictured, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = one.backup()
    policy, before = changed_rule(one)

    def opened(where: str) -> bool:
        """What a browser does: it gets the page, and sends its form to the machine that asked."""
        page = httpx.get(where, verify=ssl.create_default_context(cafile=str(one.simulator.ca_bundle))).text
        action = re.search(r'action="([^"]+)"', page)
        assert action is not None and "code_challenge=" in where
        fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page))
        Thread(target=httpx.post, args=(action[1],), kwargs={"data": fields}).start()
        return True

    monkeypatch.setattr("azure.identity._credentials.browser._open_browser", opened)
    report = one.apply(one.plan(point, "browser", sign_in=True), person.prompt("browser"))
    assert [each.result for each in report.outcomes] == ["restored"]
    assert rules_of(one, policy) == before
    assert report.signed_in == ANNA


def test_a_person_without_the_permission_is_told_which(one: Pictured, person: Person) -> None:
    point = one.backup()
    policy, before = changed_rule(one)
    rule = f"policies/roleManagementPolicies/{policy}/rules/{before[0]['id']}"
    one.control.deny(rule)
    try:
        report = one.apply(one.plan(point, "denied", sign_in=True), person.prompt())
    finally:
        one.control.deny(rule, 0)
    (outcome,) = report.outcomes
    assert outcome.result == "failed"
    assert "delegated permission RoleManagementPolicy.ReadWrite.Directory" in outcome.remedy
    one.control.patch(f"policies/roleManagementPolicies/{policy}", {"rules": before})


def test_a_registration_that_signs_nobody_in_is_named_before_anything_is_written(one: Pictured, person: Person) -> None:
    one.control.knobs(public_clients=False)
    point = one.backup()
    policy, before = changed_rule(one)
    plan = one.plan(point, "no-client", sign_in=True)
    one.control.ledger(reset=True)
    with pytest.raises(ConfigurationError, match="AADSTS7000218") as refused:
        one.apply(plan, person.prompt())
    assert "Allow public client flows" in refused.value.remedy
    assert one.control.writes() == []
    one.control.patch(f"policies/roleManagementPolicies/{policy}", {"rules": before})
