"""Names in plans: who gives one up for whom, and what becomes of who does not get one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.restore.objects.model import RestoreOptions, RestorePlan, RestoreSelection
from entra_pipeline.restore.plan.planner import LiveTenant, make_plan
from entra_pipeline.restore.plan.rules.holders import NameHolders, name_properties
from tests.restore.points import Body, Picture, Points

pytestmark = pytest.mark.pure

TABLES = ("users", "deleted_users", "groups", "deleted_groups", "applications", "deleted_applications")
ADA, BOB, CAY, DAN, APP, OTHER, GROUP = (f"{n}0000000-0000-4000-8000-000000000000" for n in range(1, 8))


def user(id_: str, name: str, **more: Any) -> Body:
    return {
        "id": id_,
        "displayName": f"User {id_[0]}",
        "userPrincipalName": f"{name}@contoso.com",
        "mailNickname": name,
        "accountEnabled": True,
        "userType": "Member",
        **more,
    }


def group(id_: str, **more: Any) -> Body:
    named = {"displayName": "Group", "mailNickname": "group"}
    return {"id": id_, **named, "mailEnabled": False, "securityEnabled": True, **more}


def application(id_: str, *uris: str) -> Body:
    return {"id": id_, "appId": f"{id_[:-1]}9", "displayName": f"App {id_[0]}", "identifierUris": [*uris]}


class Tenant:
    """A tenant at a recovery point, and as it is now."""

    def __init__(self, folder: Path, then: dict[str, list[Body]], now: dict[str, list[Body]]) -> None:
        points = Points(folder, *TABLES)
        self.then, self.now = (points.take(_picture(objects)) for objects in (then, now))

    def plan(self, *ids: str, **options: Any) -> RestorePlan:
        return make_plan(
            "job",
            "2026-11-24T00:00:00Z",
            self.then,
            LiveTenant(self.now, "contoso"),
            selection=RestoreSelection(ids=ids),
            options=RestoreOptions(**options),
        )


def _picture(objects: dict[str, list[Body]]) -> Picture:
    return Picture({table: {one["id"]: one for one in objects.get(table, [])} for table in TABLES})


def told(plan: RestorePlan, id_: str) -> list[str]:
    return [one.reason for one in plan.refusals if one.id == id_ and one.kind == "unresolved"]


def bodies(plan: RestorePlan, id_: str) -> list[Body]:
    return [step.body for step in plan.steps if step.id == id_]


def gone(id_: str, name: str) -> Body:
    body = user(id_, name)
    return {**body, "userPrincipalName": id_.replace("-", "") + body["userPrincipalName"]}


def test_nobody_relies_on_a_name_that_its_holder_keeps(tmp_path: Path) -> None:
    """Ada is gone, Bob has her name, and Bob's own has somebody who was added since."""
    then = {"users": [user(ADA, "ada"), user(BOB, "bob", jobTitle="Clerk")]}
    now = {"users": [user(BOB, "ada"), user(CAY, "bob")], "deleted_users": [gone(ADA, "ada")]}
    plan = Tenant(tmp_path, then, now).plan()
    assert bodies(plan, BOB) == [{"jobTitle": "Clerk"} | {"mailNickname": "bob"}]
    assert [f"users User 3 ({CAY}) holds its" in reason for reason in told(plan, BOB)] == [True]
    [reason] = told(plan, ADA)
    assert f"users User 2 ({BOB}) holds its userPrincipalName" in reason
    assert bodies(plan, ADA) == []
    assert not any(step.waits or step.frees for step in plan.steps)


def test_nobody_relies_on_a_step_that_is_refused(tmp_path: Path) -> None:
    """Bob, who is to give the name back, cannot: what a property of his names does not come back."""
    then = {
        "users": [user(ADA, "ada"), user(BOB, "bob", employeeId=GROUP)],
        "groups": [
            {"id": GROUP, "displayName": "Gone", "mailEnabled": False, "mailNickname": "gone", "securityEnabled": True}
        ],
    }
    now = {"users": [user(BOB, "ada")], "deleted_users": [gone(ADA, "ada")]}
    tenant = Tenant(tmp_path, then, now)
    plan = tenant.plan(ADA, BOB)
    assert plan.steps == ()
    assert len(told(plan, BOB)) == len(told(plan, ADA)) == 1
    assert "holds its userPrincipalName" in told(plan, ADA)[0]
    # With the group he can.
    plan = tenant.plan(ADA, BOB, GROUP)
    assert not told(plan, ADA)
    assert [(step.id, step.action) for step in plan.steps if step.table == "users"] == [
        (BOB, "update"),
        (ADA, "undelete"),
    ]


def test_a_circle_that_is_broken_somewhere_costs_names_only(tmp_path: Path) -> None:
    """Ada has Bob's name, Bob has Cay's, and Cay's sits with Dan, who was added since."""
    then = {"users": [user(ADA, "ada"), user(BOB, "bob"), user(CAY, "cay")]}
    now = {
        "users": [
            user(ADA, "bob", jobTitle="x"),
            user(BOB, "cay", jobTitle="x"),
            user(CAY, "other", jobTitle="x"),
            user(DAN, "ada"),
        ]
    }
    plan = Tenant(tmp_path, then, now).plan()
    assert [
        ("userPrincipalName" in body, body["jobTitle"]) for one in (ADA, BOB, CAY) for body in bodies(plan, one)
    ] == [(False, None)] * 3
    assert [len(told(plan, one)) for one in (ADA, BOB, CAY)] == [1, 1, 1]
    # When Dan goes, everybody gets the own name.
    plan = Tenant(tmp_path / "again", then, now).plan(delete_added=True)
    assert not any(told(plan, one) for one in (ADA, BOB, CAY))
    named = [(step.id, step.action) for step in plan.steps]
    assert named == [(DAN, "delete"), (ADA, "update"), (BOB, "update"), (CAY, "update")]
    assert [step.waits for step in plan.steps] == [(), (1,), (2,), (3,)]


def test_exchanged_names_take_a_passing_one_that_nobody_has(tmp_path: Path) -> None:
    then = {"users": [user(ADA, "ada"), user(BOB, "bob")]}
    now = {"users": [user(ADA, "bob"), user(BOB, "ada"), user(CAY, "bob.passing")]}
    plan = Tenant(tmp_path, then, now).plan()
    assert [one for one in plan.refusals if one.kind == "unresolved"] == []
    first, second, last = (step for step in plan.steps)
    assert first.body == {"userPrincipalName": "bob.passing2@contoso.com"}
    assert (first.passing, first.before, second.waits, last.waits) == (
        True,
        {"userPrincipalName": "bob@contoso.com"},
        (1,),
        (1, 2),
    )
    assert (second.id, last.id, last.body["userPrincipalName"]) == (BOB, ADA, "ada@contoso.com")
    assert "mailNickname" in last.body


def test_a_list_gives_up_an_item_and_keeps_the_others(tmp_path: Path) -> None:
    then = {"applications": [application(APP, "api://kept", "api://one"), application(OTHER, "api://two")]}
    now = {"applications": [application(APP, "api://kept", "api://two"), application(OTHER, "api://one")]}
    plan = Tenant(tmp_path, then, now).plan()
    assert [step.body["identifierUris"] for step in plan.steps] == [
        ["api://kept"],
        ["api://two"],
        ["api://kept", "api://one"],
    ]


def test_another_name_is_offered_only_to_who_can_have_one(tmp_path: Path) -> None:
    then = {"users": [user(ADA, "ada"), user(BOB, "bob"), user(DAN, "dan_x.com#EXT#", userType="Guest")]}
    now = {
        "users": [user(BOB, "else"), user(CAY, "bob", proxyAddresses=[])],
        "deleted_users": [gone(ADA, "ada"), gone(DAN, "dan_x.com#EXT#")],
    }
    now["users"] += [user(OTHER, "ada"), user(GROUP, "dan_x.com#EXT#")]
    for taken in ("skip", "rename"):
        plan = Tenant(tmp_path / taken, then, now).plan(taken=taken)
        remedies = {one.id: one.remedy for one in plan.refusals if one.kind == "unresolved"}
        # A live user has a name, a guest's follows from the address.
        assert "--taken" not in remedies[BOB] + remedies[DAN]
        assert ("--taken rename" in remedies[ADA]) is (taken == "skip")


@pytest.mark.parametrize("taken", ["", "married", "ada"])
def test_a_user_renamed_before_it_was_deleted_comes_back_under_its_own_name(taken: str, tmp_path: Path) -> None:
    then = {"users": [user(ADA, "ada")]}
    now = {"users": [user(BOB, taken)] if taken else [], "deleted_users": [gone(ADA, "married")]}
    plan = Tenant(tmp_path, then, now).plan(taken="rename")
    back = next(step for step in plan.steps if step.action == "undelete")
    name = "ada.restored@contoso.com" if taken == "ada" else "ada@contoso.com"
    assert back.parameters == {"newUserPrincipalName": name}
    assert back.body == ({} if taken == "ada" else {"userPrincipalName": name})
    assert len(told(plan, ADA)) == (taken == "ada")


def test_addresses_and_identities_that_others_write_are_named_with_who_can_change_them(tmp_path: Path) -> None:
    identity = {"signInType": "userName", "issuer": "contoso.com", "issuerAssignedId": "ada"}
    own = {"signInType": "userPrincipalName", "issuer": "contoso.com", "issuerAssignedId": "ada@contoso.com"}
    addresses = ["SMTP:ada@contoso.com", "smtp:a@contoso.com"]
    then = {
        "users": [
            user(ADA, "ada", proxyAddresses=addresses, identities=[own, identity]),
            user(BOB, "bob", jobTitle="x"),
        ],
        "groups": [group(GROUP, proxyAddresses=["SMTP:team@contoso.com"])],
    }
    moved = {"proxyAddresses": [*addresses[::-1]], "identities": [identity, own]}
    now = {"users": [user(ADA, "ada", **moved), user(BOB, "bob", jobTitle="x")], "groups": [*then["groups"]]}
    # Lists have no order.
    plan = Tenant(tmp_path / "same", then, now).plan()
    assert (plan.steps, plan.refusals) == ((), ())

    now["users"] = [
        user(ADA, "ada", proxyAddresses=["SMTP:ada@contoso.com", "smtp:new@contoso.com"], identities=[own]),
        user(BOB, "bob", proxyAddresses=["smtp:a@contoso.com"]),
    ]
    now["groups"] = [group(GROUP, proxyAddresses=[])]
    plan = Tenant(tmp_path / "changed", then, now).plan()
    assert [(step.id, step.body) for step in plan.steps] == [(BOB, {"jobTitle": "x"})]
    named = {(one.id, one.reason.split()[1]): (one.kind, one.reason, one.remedy) for one in plan.refusals}
    assert {key: kind for key, (kind, _, _) in named.items()} == dict.fromkeys(
        [(ADA, "proxyAddresses"), (ADA, "identities"), (BOB, "proxyAddresses"), (GROUP, "proxyAddresses")],
        "unrestorable",
    )
    _, reason, remedy = named[ADA, "proxyAddresses"]
    assert "without smtp:a@contoso.com and with smtp:new@contoso.com" in reason
    assert "Exchange administrator" in remedy
    assert "without ada" in named[ADA, "identities"][1]


def test_a_user_made_anew_is_told_to_be_without_addresses(tmp_path: Path) -> None:
    addresses = ["SMTP:ada@contoso.com", "smtp:a@contoso.com"]
    then = {"users": [user(ADA, "ada", mail="ada@contoso.com", proxyAddresses=addresses)]}
    plan = Tenant(tmp_path, then, {}).plan()
    [made] = [step for step in plan.steps if step.action == "create"]
    assert any("without the addresses smtp:a@contoso.com, which can be given back by" in note for note in made.notes)


def test_what_is_in_the_recycle_bin_with_a_domain_that_is_gone_is_named(tmp_path: Path) -> None:
    """Graph brings back an application as it is in the recycle bin, or not at all."""
    points = Points(tmp_path, "applications", "deleted_applications", "domains")
    app = application(APP, "https://gone.example/a")
    domains = {"contoso.com": {"id": "contoso.com", "isVerified": True, "isInitial": True}}
    then = Picture({"applications": {APP: app}, "domains": domains})
    now = Picture({"deleted_applications": {APP: app}, "domains": domains})
    plan = make_plan("job", "2026-11-24T00:00:00Z", points.take(then), LiveTenant(points.take(now), "contoso"))
    assert plan.steps == ()
    (finding,) = plan.refusals
    assert "belongs to gone.example" in finding.reason and "Verify gone.example again" in finding.remedy


def test_what_graph_demands_and_the_point_lacks_is_made_up_once(tmp_path: Path) -> None:
    """A user that had no alias gets one, and the next plan does not take it away."""
    then = {"users": [user(ADA, "ada", mailNickname=None)], "groups": [group(GROUP, mailNickname="")]}
    plan = Tenant(tmp_path / "gone", then, {}).plan()
    made = {step.id: step.body["mailNickname"] for step in plan.steps if step.action == "create"}
    assert made == {ADA: "ada", GROUP: "Group"}
    now = {"users": [user(ADA, "ada")], "groups": [group(GROUP)]}
    assert Tenant(tmp_path / "there", then, now).plan().steps == ()


def test_other_names_are_looked_up_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look reads all users: how often does not depend on how many names are taken."""
    looks: list[str] = []
    read = NameHolders._read
    monkeypatch.setattr(
        NameHolders, "_read", lambda self, table, *a, **b: looks.append(table) or read(self, table, *a, **b)
    )
    told = []
    for many in (2, 20):
        ids = [f"{n:08d}-0000-4000-8000-000000000000" for n in range(2 * many)]
        then = {"users": [user(ids[n], f"u{n}") for n in range(many)]}
        now = {"users": [user(ids[many + n], f"u{n}") for n in range(many)]}
        looks.clear()
        plan = Tenant(tmp_path / str(many), then, now).plan(taken="rename")
        assert sum(step.action == "create" for step in plan.steps) == many
        told.append(len(looks))
    assert told[0] == told[1]


def test_an_enterprise_application_comes_back_for_the_app_id_that_its_application_gets(tmp_path: Path) -> None:
    """The application is gone for good; what is in the recycle bin would come back for an appId that nobody has."""
    tables = ("applications", "deleted_applications", "service_principals", "deleted_service_principals")
    points = Points(tmp_path, *tables)
    app = application(APP)
    principal = {"id": OTHER, "appId": app["appId"], "displayName": "App", "accountEnabled": True}
    then = Picture({"applications": {APP: app}, "service_principals": {OTHER: principal}})
    now = Picture({"deleted_service_principals": {OTHER: principal}})
    plan = make_plan("job", "2026-11-24T00:00:00Z", points.take(then), LiveTenant(points.take(now), "contoso"))
    assert [(step.action, step.table) for step in plan.steps if step.action != "update"] == [
        ("create", "applications"),
        ("create", "service_principals"),
    ]


def test_who_keeps_a_name_in_the_recycle_bin_is_not_deleted_for_it(tmp_path: Path) -> None:
    """An application in the recycle bin keeps its identifier URIs: to delete their holder frees none."""
    tables = ("applications", "deleted_applications")
    points = Points(tmp_path, *tables)
    app, holder = application(APP, "api://contoso/shop"), application(OTHER, "api://contoso/shop")
    then = Picture({"applications": {APP: app}})
    now = Picture({"applications": {OTHER: holder}, "deleted_applications": {APP: app}})
    plan = make_plan(
        "job",
        "2026-11-24T00:00:00Z",
        points.take(then),
        LiveTenant(points.take(now), "contoso"),
        options=RestoreOptions(delete_added=True),
    )
    assert [(step.action, step.id) for step in plan.steps] == [("delete", OTHER)]
    [refusal] = [one for one in plan.refusals if one.id == APP]
    assert "holds its identifierUris api://contoso/shop" in refusal.reason
    assert "--delete-added" not in refusal.remedy and "delete and purge it" in refusal.remedy


@pytest.mark.parametrize("table", [name for name in CATALOGUE if name_properties(name)])
def test_what_gives_up_a_name_is_changed_by_property(table: str) -> None:
    rule = CATALOGUE[table].restore
    assert not rule.possible or rule.change == "PATCH"
