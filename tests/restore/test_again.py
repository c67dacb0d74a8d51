"""After a restore nothing is left to plan: what Graph shows otherwise than it was written, and what it takes not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.restore.objects.normalize import differing
from entra_pipeline.restore.records.id_map import lineage
from entra_pipeline.restore.records.plans import write_plan
from tests.restore import disasters
from tests.restore.test_disasters_undone import ACCESS, Site, bad, site

__all__ = ["site"]

_POLICIES = "identity/conditionalAccess/policies"
_SET = {"@odata.type": "#microsoft.graph.customSecurityAttributeValue"}


@pytest.mark.parametrize(
    ("wanted", "found", "same"),
    [
        ({"Engineering": {**_SET, "Clearance": None}}, None, True),
        ({"Engineering": {**_SET, "Clearance": None, "Projects": []}}, {}, True),
        ({"Engineering": {**_SET, "Clearance": None}}, {"Engineering": {**_SET}}, True),
        ({"Engineering": {**_SET, "Clearance": None}, "Sales": {**_SET, "Region": "EU"}}, None, False),
        ({"Engineering": {**_SET, "Clearance": None}}, {"Engineering": {**_SET, "Clearance": "Secret"}}, False),
        # An object without members says something, and so does its type.
        ({}, None, False),
        ({**_SET}, None, False),
        ({"@odata.type": "#one", "level": None}, {"@odata.type": "#other", "level": None}, False),
        ([{"@odata.type": "#one", "level": None}], [], False),
        (False, None, False),
    ],
)
def test_a_value_in_which_all_is_null_is_no_value(wanted: Any, found: Any, same: bool) -> None:
    users = CATALOGUE["users"]
    for one, other in ((wanted, found), (found, wanted)):
        assert (differing(users, {"value": one}, {"value": other}) == {}) is same
        inside = differing(users, {"value": {"a": 1, "b": one}}, {"value": {"a": 1, "b": other}})
        assert (inside == {}) is same


def test_an_attribute_that_was_set_since_is_taken_away_and_an_undo_sets_it_again(site: Callable[..., Site]) -> None:
    one = site("users")
    held = {"customSecurityAttributes": {"Engineering": {**_SET, "Clearance": "Secret"}}}
    user, *_ = (each for each in disasters.cloud_users(one.control) if not _attributes(one, each))
    point = one.backup()
    one.control.patch(f"users/{user}", held)
    plan = one.plan(point)
    write_plan(one.store, plan)
    assert [step.id for step in plan.steps] == [user]
    report = one.apply(plan)
    assert bad(report) == []
    assert not _attributes(one, user)
    assert one.plan(point, "again").steps == ()
    undo = one.plan_undo(report.job)
    assert undo.refusals == ()
    assert bad(one.apply(undo)) == []
    assert _attributes(one, user) == held["customSecurityAttributes"]


def test_what_graph_shows_and_does_not_take_is_named_by_the_next_plan_and_sent_only_when_asked_for(
    site: Callable[..., Site],
) -> None:
    one = site("applications", "conditional_access_policies", "named_locations", "users", "groups")
    policy = next(each for each in one.control.dump(_POLICIES) if "futureControls" in each)["id"]
    app = next(each for each in one.control.dump("applications") if "futureSetting" in each)["id"]
    point = one.backup()
    one.control.patch(f"{_POLICIES}/{policy}", {"displayName": "theirs", "futureControls": {"labels": ["theirs"]}})
    one.control.purge(app)
    report = one.apply(one.plan_from_end_to_end(point))
    told = {outcome.id: outcome.reason for outcome in report.outcomes if outcome.result != "restored"}
    assert told.keys() == {policy, app}

    again = one.plan_from_end_to_end(point)
    assert again.steps == ()
    named = {refusal.id: refusal for refusal in again.refusals if "Graph did not accept" in refusal.reason}
    assert named.keys() == {policy, app}
    assert "futureControls" in named[policy].reason and "futureSetting" in named[app].reason
    assert {refusal.kind for refusal in named.values()} == {"unrestorable"}

    # Another value than the one that was refused is sent, with whatever else differs; the same one only when asked.
    assert f"--types applications --ids {app}" in named[app].remedy
    (asked,) = one.plan(point, "asked", types=("applications",), ids=(app,)).steps
    assert set(asked.body) == {"futureSetting"}
    one.control.patch(f"{_POLICIES}/{policy}", {"displayName": "theirs"})
    (step,) = one.plan_from_end_to_end(point).steps
    assert set(step.body) == {"displayName"}


def _attributes(one: Site, user: str) -> Any:
    return next(each for each in one.control.dump("users") if each["id"] == user).get("customSecurityAttributes")


def test_what_was_made_anew_twice_is_found_by_whoever_still_names_the_first(site: Callable[..., Site]) -> None:
    one = site(*ACCESS)
    policy = one.control.dump(_POLICIES)[0]
    application = one.control.dump("applications")[1]["id"]
    before = one.backup()
    disasters.delete_application(one.control, application, for_good=True)
    assert bad(one.apply(one.plan(before, "first", types=("applications", "service_principals")))) == []
    first = lineage(one.store, before.tenant_id)[application]
    then = {each["id"]: each["appId"] for each in one.control.dump("applications")}
    (old,) = (once for once, now in lineage(one.store, before.tenant_id).items() if now == then[first])
    conditions = {**policy["conditions"], "applications": {**policy["conditions"]["applications"]}}
    conditions["applications"] |= {"includeApplications": [old], "excludeApplications": []}
    one.control.patch(f"{_POLICIES}/{policy['id']}", {"conditions": conditions})
    point = one.backup()

    # Its enterprise application stays in the recycle bin, with the appId.
    one.control.delete(f"applications/{first}")
    one.control.purge(first)
    plan = one.plan(point, "second")
    (update,) = [step for step in plan.steps if step.id == policy["id"]]
    assert update.needs == (first,)
    assert bad(one.apply(plan)) == []
    now = {each["id"]: each["appId"] for each in one.control.dump("applications")}
    (back,) = [each for each in one.control.dump(_POLICIES) if each["id"] == policy["id"]]
    assert back["conditions"]["applications"]["includeApplications"] == [
        now[lineage(one.store, point.tenant_id)[first]]
    ]
    assert one.plan(point, "again").steps == ()
