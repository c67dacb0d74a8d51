"""References to types that the scope does not protect: nobody knows whether they lead anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from entra_pipeline.restore.objects.model import RestorePlan
from entra_pipeline.restore.plan.planner import LiveTenant, make_plan
from tests.restore.points import Body, Picture, Points

pytestmark = pytest.mark.pure

POLICIES, ROLES = "conditional_access_policies", "role_definitions"
ROLE = "62e90394-69f5-4237-9190-012177145e10"
POLICY: Body = {
    "id": "10000000-0000-4000-8000-000000000000",
    "displayName": "Administrators",
    "state": "enabled",
    "conditions": {"users": {"includeRoles": [ROLE]}},
}
_AFTER = (
    "users",
    "groups",
    "service_principals",
    "named_locations",
    "authentication_strength_policies",
    "authentication_context_class_references",
)


def plan_of_lost_policy(folder: Path, *tables: str, **objects: dict[str, Body]) -> RestorePlan:
    points = Points(folder, POLICIES, *_AFTER, *tables)
    then, now = points.take(Picture({POLICIES: {POLICY["id"]: POLICY}})), points.take(Picture(dict(objects)))
    return make_plan("job", "2026-11-24T00:00:00Z", then, LiveTenant(now, "contoso"))


def test_a_policy_names_a_role_that_the_scope_does_not_protect(tmp_path: Path) -> None:
    [refusal] = plan_of_lost_policy(tmp_path).refusals
    assert "nobody knows whether that is in the tenant" in refusal.reason
    assert refusal.remedy == f"Add {ROLES} to the scope's `protect`, and plan again."


def test_what_the_remedy_asks_for_is_enough(tmp_path: Path) -> None:
    role = {"id": ROLE, "displayName": "Global Administrator", "templateId": ROLE, "isBuiltIn": True}
    plan = plan_of_lost_policy(tmp_path, ROLES, **{ROLES: {ROLE: role}})
    assert [step.action for step in plan.steps] == ["create"]
    # It was not there at either, and is not in the tenant: nothing in the scope helps.
    [refusal] = plan_of_lost_policy(tmp_path / "gone", ROLES).refusals
    assert "did not exist at the recovery point either" in refusal.remedy
