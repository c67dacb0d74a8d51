"""The restore command where objects have exchanged names: a dry run without findings is an apply that succeeds."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.test_restore_refused import Site, cloud_users, site

__all__ = ["site"]

Body = dict[str, Any]


def exchange(site: Site, path: str, name: str, objects: list[Body], **more: Any) -> None:
    """Gives each object what the next one has, as only somebody could who is not checked."""
    for one, other in zip(objects, [*objects[1:], objects[0]], strict=True):
        site.control.patch(f"{path}/{one['id']}", {name: other[name], **more})


def unified(site: Site, *names: str) -> list[Body]:
    """New Microsoft 365 groups."""
    made = [
        site.control.create("groups", {"displayName": one, "mailNickname": one, "groupTypes": ["Unified"]})
        for one in names
    ]
    return [site.one("groups", id=id_) for id_ in made]


def applications(site: Site, *names: str) -> list[Body]:
    """New applications with a URI each that they keep, and one of their own."""
    made = [
        site.control.create(
            "applications", {"displayName": one, "identifierUris": [f"api://kept-{one}", f"api://{one}"]}
        )
        for one in names
    ]
    return [site.one("applications", id=id_) for id_ in made]


@pytest.mark.parametrize("many", [2, 3])
def test_users_who_exchanged_their_sign_in_names_get_them_back(site: Site, many: int) -> None:
    users = cloud_users(site)[:many]
    point = site.point()
    exchange(site, "users", "userPrincipalName", users, jobTitle="Exchanged")
    chosen = ("--types", "users", "--ids", ",".join(one["id"] for one in users))
    code, plan = site.plan(point, *chosen)
    assert code == 0
    [passing] = [step for step in plan["steps"] if step["passing"]]
    assert ".passing@" in passing["body"]["userPrincipalName"]
    site.control.ledger(reset=True)
    site.restore(point, *chosen)
    assert [one["status"] for one in site.control.writes() if one["status"] >= 400] == []
    for user in users:
        back = site.one("users", id=user["id"])
        assert (back["userPrincipalName"], back["jobTitle"]) == (user["userPrincipalName"], user["jobTitle"])
    assert site.plan(point, *chosen)[1]["steps"] == []


def test_groups_and_applications_that_exchanged_names_get_them_back(site: Site) -> None:
    groups, apps = unified(site, "north", "south"), applications(site, "one", "two", "three")
    point = site.point()
    exchange(site, "groups", "mailNickname", groups)
    uris = [one["identifierUris"] for one in apps]
    for n, app in enumerate(apps):
        changed = [uris[n][0], uris[(n + 1) % 3][1]]
        site.control.patch(f"applications/{app['id']}", {"identifierUris": changed})
    chosen = ("--types", "groups,applications", "--ids", ",".join(one["id"] for one in (*groups, *apps)))
    code, plan = site.plan(point, *chosen)
    assert code == 0
    first = {step["table"]: step["body"] for step in plan["steps"] if step["passing"]}
    # A list needs no other name: it does without the one.
    assert first["applications"]["identifierUris"] in [[one[0]] for one in uris]
    assert first["groups"]["mailNickname"] not in {"north", "south"}
    site.control.ledger(reset=True)
    site.restore(point, *chosen)
    assert [one["status"] for one in site.control.writes() if one["status"] >= 400] == []
    assert [site.one("groups", id=one["id"])["mailNickname"] for one in groups] == ["north", "south"]
    assert [sorted(site.one("applications", id=one["id"])["identifierUris"]) for one in apps] == [*map(sorted, uris)]


def test_nobody_gives_up_a_name_for_somebody_who_is_left_alone(site: Site) -> None:
    users = cloud_users(site)[:2]
    point = site.point()
    exchange(site, "users", "userPrincipalName", users)
    chosen = ("--types", "users", "--ids", ",".join(one["id"] for one in users))
    _, plan = site.plan(point, *chosen)
    first = next(step["id"] for step in plan["steps"] if step["passing"])
    [other] = [one for one in users if one["id"] != first]
    site.control.patch(f"users/{other['id']}", {"department": "Changed since"})
    site.control.ledger(reset=True)
    done = site.place.call("restore", "people", "--apply", plan["id"], "--continue", "--yes", "--json")
    assert done.code == 3
    assert site.one("users", id=first)["userPrincipalName"] == other["userPrincipalName"]
    assert ".passing@" not in str(site.control.writes())
    site.restore(point, *chosen)


def licensed(site: Site, many: int) -> tuple[list[Body], list[str]]:
    """Users with a licence each, all of other subscriptions, of which no seat is free."""
    users = [one for one in cloud_users(site) if one["usageLocation"]][:many]
    skus = [one["skuId"] for one in site.control.dump("subscribedSkus")][:many]
    for user, sku in zip(users, skus, strict=True):
        hold(site, user, sku)
    for sku in site.control.dump("subscribedSkus"):
        units = {**sku["prepaidUnits"], "enabled": sku["consumedUnits"]}
        site.control.patch(f"subscribedSkus/{sku['id']}", {"prepaidUnits": units})
    return users, skus


def hold(site: Site, user: Body, *skus: str) -> None:
    """Gives a user some licences, and takes all others."""
    states = [
        {"skuId": sku, "disabledPlans": [], "assignedByGroup": None, "state": "Active", "error": "None"} for sku in skus
    ]
    licenses = [{"skuId": sku, "disabledPlans": []} for sku in skus]
    site.control.patch(f"users/{user['id']}", {"assignedLicenses": licenses, "licenseAssignmentStates": states})


def held(site: Site, user: Body) -> list[str]:
    return [one["skuId"] for one in site.one("users", id=user["id"])["assignedLicenses"]]


def test_a_seat_that_a_step_frees_is_there_for_the_one_that_takes_it(site: Site) -> None:
    users, skus = licensed(site, 2)
    point = site.point()
    hold(site, users[0], skus[1])
    hold(site, users[1], skus[0])
    chosen = ("--types", "user_licenses", "--ids", ",".join(one["id"] for one in users))
    code, plan = site.plan(point, *chosen)
    assert code == 0
    assert next((step["passing"], step["body"]) for step in plan["steps"]) == (True, {"assignedLicenses": []})
    site.control.ledger(reset=True)
    site.restore(point, *chosen)
    assert [one["status"] for one in site.control.writes() if one["status"] >= 400] == []
    assert [held(site, one) for one in users] == [[skus[0]], [skus[1]]]

    # One who was added since has it.
    hold(site, users[0])
    added = site.control.create("users", {"displayName": "Added", "usageLocation": "SE"})
    hold(site, {"id": added}, skus[0])
    code, plan = site.plan(point, *chosen)
    assert code == 3
    assert "no free seat" in plan["refusals"][0]["reason"]
    code, plan = site.plan(point, "--types", "users,user_licenses", "--delete-added")
    assert code == 0
    site.restore(point, "--types", "users,user_licenses", "--delete-added")
    assert held(site, users[0]) == [skus[0]]


def test_one_identity_that_is_taken_costs_no_other(site: Site) -> None:
    users = cloud_users(site)[:2]
    domain = users[0]["userPrincipalName"].partition("@")[2]
    local = {"signInType": "userName", "issuer": domain, "issuerAssignedId": "ada"}
    mail = {"signInType": "emailAddress", "issuer": domain, "issuerAssignedId": "ada@home.example"}
    social = {"signInType": "federated", "issuer": "google.com", "issuerAssignedId": "123"}
    site.control.patch(f"users/{users[0]['id']}", {"identities": [*users[0]["identities"], local, mail, social]})
    point = site.point()
    site.control.purge(users[0]["id"])
    elsewhere = {**social, "issuer": "facebook.com"}
    site.control.patch(f"users/{users[1]['id']}", {"identities": [*users[1]["identities"], mail, elsewhere]})
    chosen = ("--types", "users", "--ids", users[0]["id"])
    code, plan = site.plan(point, *chosen)
    assert code == 3
    [reason] = [one["reason"] for one in plan["refusals"] if one["kind"] == "unresolved"]
    assert reason.startswith(f"without identities ada@home.example: users {users[1]['displayName']}")
    site.restore(point, *chosen, code=3)
    back = site.one("users", userPrincipalName=users[0]["userPrincipalName"])
    assert [one for one in back["identities"] if one["signInType"] != "userPrincipalName"] == [local, social]


def test_a_licensed_group_is_deleted_without_a_refused_request_and_keeps_its_licences_when_it_stays(site: Site) -> None:
    sku = site.control.dump("subscribedSkus")[0]["skuId"]
    licence = {"skuId": sku, "disabledPlans": []}
    point = site.point()
    group = site.control.create("groups", {"displayName": "Licensed", "assignedLicenses": [licence]})
    chosen = ("--types", "groups", "--delete-added")
    _, plan = site.plan(point, *chosen)
    [step] = [one for one in plan["steps"] if one["action"] == "delete" and one["id"] == group]
    assert (step["requests"], step["notes"]) == (2, ["first without its assignedLicenses"])
    site.control.misbehave("write-fails", f"groups/{group}", status=400)
    site.restore(point, *chosen, code=3)
    assert site.one("groups", id=group)["assignedLicenses"] == [licence]
    site.control.behave("write-fails")
    site.control.ledger(reset=True)
    site.restore(point, *chosen)
    assert [one["status"] for one in site.control.writes() if one["status"] >= 400] == []
    assert group not in {one["id"] for one in site.control.dump("groups")}
