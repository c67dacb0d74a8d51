"""PIM rules of groups come back with their groups, and in groups that are there, without anybody signing in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from entra_pipeline.graph.retry import use_policy
from entra_pipeline.restore.objects.model import RestorePlan, RestoreStep
from entra_pipeline.simulator import Simulator
from tests.restore.pictured import Pictured
from tests.support.patience import IMPATIENT

RULES = "group_role_management_policy_assignments"
TYPES = ("users", "groups", "authentication_context_class_references", RULES)
POLICIES = "policies/roleManagementPolicies"
CONTEXTS = "identity/conditionalAccess/authenticationContextClassReferences"
CHANGES: dict[str, dict[str, Any]] = {
    "Expiration_EndUser_Assignment": {"maximumDuration": "PT2H"},
    "Enablement_EndUser_Assignment": {"enabledRules": ["MultiFactorAuthentication", "Ticketing"]},
}


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pictured]:
    with use_policy(IMPATIENT):
        site = Pictured(Simulator(users=12, groups=8, seed=3), tmp_path_factory.mktemp("rules"), *TYPES)
        yield site
        site.close()


def policies(one: Pictured) -> dict[str, dict[str, Any]]:
    """The policies of the group that has some, by whom they are for."""
    assigned = one.control.dump("unifiedRoleManagementPolicyAssignment")
    held = {each["roleDefinitionId"]: each["policyId"] for each in assigned if each["scopeType"] == "Group"}
    kept = {each["id"]: each for each in one.control.dump("unifiedRoleManagementPolicy")}
    return {access: kept[policy] for access, policy in held.items()}


def rules(policy: dict[str, Any]) -> dict[str, Any]:
    return {each["id"]: each for each in policy["rules"]}


def change(one: Pictured, policy: dict[str, Any], changes: dict[str, dict[str, Any]]) -> None:
    changed = [{**each, **changes.get(each["id"], {})} for each in policy["rules"]]
    one.control.patch(f"{POLICIES}/{policy['id']}", {"rules": changed})


def set_for_members(one: Pictured) -> tuple[str, dict[str, Any]]:
    """Changes rules for members of the group; its id, and their rules then."""
    policy = policies(one)["member"]
    change(one, policy, CHANGES)
    return policy["scopeId"], rules(policies(one)["member"])


def steps(plan: RestorePlan) -> list[RestoreStep]:
    return [each for each in plan.steps if each.table == RULES]


def sent(one: Pictured) -> list[tuple[str, int]]:
    found = [each for each in one.control.writes() if POLICIES in each["path"]]
    return [(each["path"].rpartition("/")[2], each["status"]) for each in found]


def test_rules_of_a_group_that_is_there_are_set_back_in_one_request(one: Pictured) -> None:
    policy = policies(one)["member"]
    point = one.backup()
    change(one, policy, CHANGES)
    plan = one.plan(point, "changed")
    (step,) = steps(plan)
    assert (step.action, step.delegated, plan.refusals) == ("update", False, ())
    one.control.ledger(reset=True)
    report = one.apply(plan)
    assert [each.result for each in report.outcomes] == ["restored"]
    assert sent(one) == [(policy["id"], 204)]
    assert policies(one)["member"]["rules"] == policy["rules"]
    assert one.plan(point, "again").steps == ()


@pytest.mark.parametrize("purged", [False, True], ids=["from the recycle bin", "made anew"])
def test_rules_come_back_with_their_group(one: Pictured, purged: bool) -> None:
    group, before = set_for_members(one)
    point = one.backup()
    change(one, policies(one)["member"], {"Expiration_EndUser_Assignment": {"maximumDuration": "PT9H"}})
    one.control.delete(f"groups/{group}")
    if purged:
        one.control.purge(group)
    plan = one.plan(point, f"gone-{purged}")
    assert [each for each in plan.refusals if each.table == RULES] == []
    report = one.apply(plan)
    assert [(each.table, each.reason) for each in report.outcomes if each.result != "restored"] == []
    now = policies(one)["member"]
    assert (now["scopeId"] == group) is not purged
    assert rules(now) == before
    again = one.plan(point, f"again-{purged}")
    assert (steps(again), [each for each in again.refusals if each.table == RULES]) == ([], [])


def test_one_rule_that_graph_refuses_keeps_no_other_away(one: Pictured) -> None:
    _, before = set_for_members(one)
    point = one.backup()
    policy = policies(one)["member"]
    refused, other = CHANGES
    change(one, policy, {refused: {"maximumDuration": "PT9H"}, other: {"enabledRules": []}})
    one.control.misbehave("write-fails", f"{POLICIES}/{policy['id']}", status=400)
    one.control.misbehave("write-fails", f"{POLICIES}/*/rules/{refused}", status=400, message="Not this one.")
    report = one.apply(one.plan(point, "refused"))
    one.control.behave()
    (outcome,) = report.outcomes
    assert outcome.result == "restored with differences"
    assert f"without rules {refused}: " in outcome.reason and "Not this one." in outcome.reason
    now = rules(policies(one)["member"])
    assert {name for name in before if now[name] != before[name]} == {refused}
    assert [each.result for each in one.apply(one.plan(point, "taken")).outcomes] == ["restored"]


def test_rules_that_name_a_context_which_is_gone_wait_for_it(one: Pictured) -> None:
    policy = policies(one)["owner"]
    kind = "#microsoft.graph.unifiedRoleManagementPolicyAuthenticationContextRule"
    asked = {"@odata.type": kind, "id": "AuthenticationContext_EndUser_Assignment", "isEnabled": True}
    context = one.control.dump(CONTEXTS)[0]
    told = {**asked, "claimValue": context["id"], "target": policy["rules"][0]["target"]}
    one.control.patch(f"{POLICIES}/{policy['id']}", {"rules": [*policy["rules"], told]})
    point = one.backup()
    one.control.patch(f"{POLICIES}/{policy['id']}", {"rules": [*policy["rules"], {**told, "isEnabled": False}]})
    one.control.purge(context["id"])

    alone = one.plan(point, "alone", types=(RULES,))
    assert steps(alone) == []
    (left,) = [each for each in alone.refusals if each.table == RULES]
    assert (left.kind, f"--ids {context['id']}" in left.remedy) == ("unresolved", True)
    plan = one.plan(point, "both")
    assert [each.table for each in plan.steps] == ["authentication_context_class_references", RULES]
    assert [each.result for each in one.apply(plan).outcomes] == ["restored", "restored"]
