"""Each kind of step, sent to the simulated tenant: what comes back is what was there."""

from __future__ import annotations

import csv
import stat
from collections.abc import Callable
from typing import Any

from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.restore.objects.normalize import normalized
from tests.restore.applying.conftest import Damaged, bad, links, step

Start = Callable[..., Damaged]


def body(table: str, one: dict[str, Any]) -> dict[str, Any]:
    """What a plan sends of an object that is to be made: what Graph takes, and no property that it does not know."""
    wanted = normalized(CATALOGUE[table], one)
    unknown = {name for name in wanted if name.startswith("future")}
    return {name: value for name, value in wanted.items() if value not in (None, [], {}) and name not in unknown}


def shown(site: Damaged, path: str, identifier: str) -> dict[str, Any]:
    return site.first(path, id=identifier)


def test_a_user_comes_back_disabled_with_a_password_and_is_enabled_last(damaged: Start) -> None:
    site = damaged("users")
    user = site.first("users", userType="Member", onPremisesSyncEnabled=None, accountEnabled=True)
    site.control.purge(user["id"])
    sent = {**body("users", user), "accountEnabled": False}
    report = site.restore(
        step("create", "users", user["id"], body=sent),
        step("enable", "users", user["id"], stage="enable", live_id="", body={"accountEnabled": True}),
    )
    again = site.first("users", userPrincipalName=user["userPrincipalName"])
    assert again["id"] != user["id"]
    assert body("users", again) == body("users", user)
    assert {outcome.live_id for outcome in report.outcomes} == {again["id"]}
    assert report.passwords == 1
    assert stat.S_IMODE(site.passwords.stat().st_mode) == 0o600
    (row,) = csv.DictReader(site.passwords.read_text().splitlines())
    assert row["userPrincipalName"] == user["userPrincipalName"]
    password = row["password"].encode()
    assert all(password not in site.store.files.read(file.key) for file in site.store.files.list("_"))


def test_a_user_comes_back_from_the_recycle_bin_with_what_it_had(damaged: Start) -> None:
    site = damaged("users", "groups")
    group, user, _ = min(site.control.edges("groups", "members"))
    before = site.control.edges("groups", "members")
    site.control.delete(f"users/{user}")
    site.control.ledger(reset=True)
    site.restore(
        step("undelete", "users", user, body={"jobTitle": "Chef"}),
        links("link", "group_members", group, user, needs=(user,), returning=True),
    )
    assert shown(site, "users", user)["jobTitle"] == "Chef"
    assert site.control.edges("groups", "members") == before
    methods = [(method, path.rpartition("/")[2]) for method, path, _ in site.writes()]
    assert methods == [("POST", "restore"), ("PATCH", user)]


def test_what_was_given_between_the_recovery_point_and_the_deletion_is_taken_away_again(damaged: Start) -> None:
    site = damaged("users", "groups")
    taken, kept, *_ = [
        g["id"] for g in site.control.dump("groups") if not (g["groupTypes"] or g["onPremisesSyncEnabled"])
    ]
    user = next(u["id"] for u in site.control.dump("users") if not u["onPremisesSyncEnabled"])
    before = site.control.edges("groups", "members") - {(taken, user, "user"), (kept, user, "user")}
    site.control.remove_link(f"groups/{taken}/members", user)
    site.control.add_link(f"groups/{kept}/members", user)
    site.point = site.backup(full=True)
    site.control.add_link(f"groups/{taken}/members", user)
    site.control.delete(f"users/{user}")
    site.restore(step("undelete", "users", user))
    assert site.control.edges("groups", "members") == {*before, (kept, user, "user")}


def test_what_cannot_be_taken_away_again_is_told(damaged: Start) -> None:
    site = damaged("users", "groups")
    group = next(g["id"] for g in site.control.dump("groups") if not (g["groupTypes"] or g["onPremisesSyncEnabled"]))
    user = next(u["id"] for u in site.control.dump("users") if not u["onPremisesSyncEnabled"])
    site.control.remove_link(
        f"groups/{group}/owners", *[t for s, t, _ in site.control.edges("groups", "owners") if s == group]
    )
    site.point = site.backup(full=True)
    site.control.add_link(f"groups/{group}/owners", user)
    site.control.delete(f"users/{user}")
    report = site.apply(site.plan(step("undelete", "users", user)))
    assert report.status == "finished with exception"
    assert report.outcomes[0].result == "restored with differences"
    assert "Entra restored it with group_owners" in report.outcomes[0].reason


def test_a_group_comes_back_with_its_members_and_owners(damaged: Start) -> None:
    site = damaged("users", "groups")
    group = next(g for g in site.control.dump("groups") if not g["groupTypes"] and not g["onPremisesSyncEnabled"])
    users = [user["id"] for user in site.control.dump("users")[:25]]
    site.control.purge(group["id"])
    site.control.ledger(reset=True)
    report = site.restore(
        step("create", "groups", group["id"], body=body("groups", group)),
        links("link", "group_members", group["id"], *users, live_id="", needs=(group["id"],)),
        links("link", "group_owners", group["id"], *users[:2], live_id="", needs=(group["id"],)),
    )
    made = report.outcomes[0].live_id
    assert body("groups", shown(site, "groups", made)) == body("groups", group)
    assert {t for source, t, _ in site.control.edges("groups", "members") if source == made} == set(users)
    assert {t for source, t, _ in site.control.edges("groups", "owners") if source == made} == set(users[:2])
    # One for the group, 25 members in two, owners one by one.
    assert len(site.writes()) == 5
    assert report.writes == 5


def test_links_that_are_there_are_no_failure_and_keep_no_other_away(damaged: Start) -> None:
    site = damaged("users", "groups")
    group = next(g["id"] for g in site.control.dump("groups") if not g["groupTypes"] and not g["onPremisesSyncEnabled"])
    site.control.remove_link(
        f"groups/{group}/members", *[t for s, t, _ in site.control.edges("groups", "members") if s == group]
    )
    users = [user["id"] for user in site.control.dump("users")[:6]]
    site.control.add_link(f"groups/{group}/members", *users[:2])
    site.restore(links("link", "group_members", group, *users))
    assert {t for s, t, _ in site.control.edges("groups", "members") if s == group} == set(users)
    site.control.remove_link(f"groups/{group}/members", users[0])
    site.restore(links("unlink", "group_members", group, *users[:3]), job="second")
    assert {t for s, t, _ in site.control.edges("groups", "members") if s == group} == set(users[3:])
    nobody = "6ea91a8d-e32e-41a1-b7bd-d2d185eed0e0"
    report = site.apply(site.plan(links("link", "group_members", group, users[0], nobody), job="third"))
    assert report.outcomes[0].result == "restored with differences"
    assert nobody in report.outcomes[0].reason
    assert report.status == "finished with exception"
    assert {t for s, t, _ in site.control.edges("groups", "members") if s == group} == {users[0], *users[3:]}


def test_a_manager_is_put_and_taken_away(damaged: Start) -> None:
    site = damaged("users")
    user, boss = [one["id"] for one in site.control.dump("users")[:2]]
    site.restore(links("link", "user_manager", user, boss))
    assert (user, boss, "user") in site.control.edges("users", "manager")
    site.restore(links("unlink", "user_manager", user, boss), job="second")
    assert user not in {source for source, _, _ in site.control.edges("users", "manager")}


def test_an_application_gets_a_new_app_id_and_everything_is_named_after_it(damaged: Start) -> None:
    site = damaged("applications", "extension_properties", "service_principals", "users")
    definition = site.control.dump("extensionProperty")[0]
    compact = definition["name"].split("_")[1]
    application = next(a for a in site.control.dump("applications") if a["appId"].replace("-", "") == compact)
    site.control.patch(f"applications/{application['id']}", {"identifierUris": [f"api://{application['appId']}"]})
    principal = next((p for p in site.control.dump("servicePrincipals") if p["appId"] == application["appId"]), None)
    site.point = site.backup()
    wanted = body("applications", {**application, "identifierUris": [f"api://{application['appId']}"]})
    site.control.purge(application["id"])
    steps = [
        step("create", "applications", application["id"], body=wanted),
        step(
            "create",
            "extension_properties",
            definition["id"],
            parent=application["id"],
            needs=(application["id"],),
            body=body("extension_properties", definition),
        ),
    ]
    if principal:
        site.control.purge(principal["id"])
        sent = body("service_principals", principal)
        steps.append(step("create", "service_principals", principal["id"], needs=(application["id"],), body=sent))
    site.restore(*steps)
    again = site.first("applications", displayName=application["displayName"])
    assert again["appId"] != application["appId"]
    assert again["identifierUris"] == [f"api://{again['appId']}"]
    assert definition["name"].replace(compact, again["appId"].replace("-", "")) in {
        one["name"] for one in site.control.dump("extensionProperty")
    }
    if principal:
        assert again["appId"] in {one["appId"] for one in site.control.dump("servicePrincipals")}


def test_a_scope_of_an_application_is_disabled_before_it_goes(damaged: Start) -> None:
    site = damaged("applications")
    application = next(a for a in site.control.dump("applications") if a.get("appRoles"))
    path = f"applications/{application['id']}"
    roles = application["appRoles"]
    extra = {**roles[0], "id": "0b5c3d1e-7a55-4a3c-8b5d-64d2d8a4c111", "value": "Extra", "isEnabled": True}
    site.control.patch(path, {"appRoles": [*roles, extra]})
    site.control.ledger(reset=True)
    site.restore(
        step(
            "update",
            "applications",
            application["id"],
            body={"appRoles": roles},
            before={"appRoles": [*roles, extra]},
        )
    )
    assert shown(site, "applications", application["id"])["appRoles"] == roles
    assert [method for method, _, _ in site.writes()] == ["PATCH", "PATCH"]


def test_roles_and_grants_are_made_once_and_removed(damaged: Start) -> None:
    site = damaged("users", "role_definitions", "role_assignments", "service_principals", "oauth2_permission_grants")
    user = site.control.dump("users")[3]["id"]
    role = site.control.dump("unifiedRoleDefinition")[7]["id"]
    sent = {"principalId": user, "roleDefinitionId": role, "directoryScopeId": "/"}
    report = site.restore(step("create", "role_assignments", "gone", body=sent))
    made = report.outcomes[0].live_id
    assert {name: site.first("unifiedRoleAssignment", id=made)[name] for name in sent} == sent
    # What is there already is what was asked for.
    again = site.restore(step("create", "role_assignments", "gone too", body=sent), job="second")
    assert again.outcomes[0].live_id == made
    site.restore(step("delete", "role_assignments", made), job="third")
    assert made not in {one["id"] for one in site.control.dump("unifiedRoleAssignment")}
    grant = site.first("oauth2PermissionGrants", consentType="AllPrincipals")
    site.restore(
        step("delete", "oauth2_permission_grants", grant["id"]),
        step(
            "create",
            "oauth2_permission_grants",
            grant["id"],
            body={**body("oauth2_permission_grants", grant), "scope": "User.Read"},
        ),
        stages=("oauth2_permission_grants",),
        job="fourth",
    )
    held = [g for g in site.control.dump("oauth2PermissionGrants") if g["clientId"] == grant["clientId"]]
    assert [g["scope"] for g in held if g["resourceId"] == grant["resourceId"] and not g["principalId"]] == [
        "User.Read"
    ]


def test_app_role_assignments_come_back_below_their_resource(damaged: Start) -> None:
    site = damaged("users", "service_principals", "app_role_assignments")
    assignment = site.first("appRoleAssignment", principalType="User")
    site.control.delete(f"servicePrincipals/{assignment['resourceId']}/appRoleAssignedTo/{assignment['id']}")
    sent = body("app_role_assignments", assignment)
    parent = assignment["resourceId"]
    report = site.restore(step("create", "app_role_assignments", assignment["id"], parent=parent, body=sent))
    made = site.first("appRoleAssignment", id=report.outcomes[0].live_id)
    assert body("app_role_assignments", made) == sent


def test_eligible_and_active_roles_are_asked_for(damaged: Start) -> None:
    site = damaged("users", "role_definitions", "role_eligibility_schedules", "role_assignment_schedules")
    user = site.control.dump("users")[1]["id"]
    role = site.control.dump("unifiedRoleDefinition")[8]["id"]
    who = {"principalId": user, "roleDefinitionId": role, "directoryScopeId": "/"}
    sent = {**who, "scheduleInfo": {"expiration": {"type": "noExpiration"}}}
    for kind in ("eligibility", "assignment"):
        table = f"role_{kind}_schedules"
        report = site.restore(step("create", table, "gone", body=sent), job=f"{kind} comes")
        made = report.outcomes[0].live_id
        path = f"unifiedRole{kind.capitalize()}Schedule"
        assert {name: site.first(path, id=made)[name] for name in who} == who
        site.restore(step("delete", table, made, before=who), job=f"{kind} goes")
        assert made not in {one["id"] for one in site.control.dump(path)}


def test_what_graph_says_exists_is_restored_only_where_it_is_what_was_to_be_made(damaged: Start) -> None:
    site = damaged(
        *("users", "groups", "role_definitions", "role_eligibility_schedules", "service_principals"),
        *("oauth2_permission_grants", "privileged_access_group_eligibility_schedules"),
    )
    user = site.control.dump("users")[1]["id"]
    role = site.control.dump("unifiedRoleDefinition")[8]["id"]
    group = site.first("privilegedAccessGroupEligibilitySchedule")
    grant = site.first("oauth2PermissionGrants", consentType="AllPrincipals")
    who = {"principalId": user, "roleDefinitionId": role, "directoryScopeId": "/"}
    limited = {"expiration": {"type": "afterDateTime", "endDateTime": "2027-06-01T00:00:00Z"}}
    given = {**who, "scheduleInfo": {"expiration": {"type": "noExpiration"}}}
    table, in_groups = "role_eligibility_schedules", "privileged_access_group_eligibility_schedules"
    site.restore(step("create", table, "first", body=given), job="first")
    in_group = {name: group[name] for name in ("accessId", "groupId", "principalId")}
    ended = {**in_group, "scheduleInfo": limited}
    grants = body("oauth2_permission_grants", grant)
    same = site.restore(
        step("create", table, "second", body=given),
        step("create", "oauth2_permission_grants", "second", body=grants),
        step("create", in_groups, "second", parent=group["groupId"], body=body(in_groups, group)),
        job="same",
    )
    assert [one.live_id for one in same.outcomes][1:] == [grant["id"], group["id"]]
    other = site.apply(
        site.plan(
            step("create", table, "third", body={**given, "scheduleInfo": limited}),
            step("create", "oauth2_permission_grants", "third", body={**grants, "scope": "User.ReadBasic.All"}),
            step("create", in_groups, "third", parent=group["groupId"], body=ended),
            job="other",
        )
    )
    kept = "one exists already, which differs in scheduleInfo: it was left as it is"
    assert [(name, result) for name, result, _ in bad(other)] == [
        (table, "restored with differences"),
        ("oauth2_permission_grants", "failed"),
        (in_groups, "restored with differences"),
    ]
    assert [reason for _, result, reason in bad(other) if result != "failed"] == [kept, kept]


def test_conditional_access_comes_back_without_force(damaged: Start) -> None:
    site = damaged("conditional_access_policies", "named_locations", "groups")
    path = "identity/conditionalAccess/policies"
    first, second = [one for one in site.control.dump(path) if one["state"] == "enabled"][:2]
    site.control.purge(first["id"])
    site.control.delete(f"{path}/{second['id']}")
    sent = {**body("conditional_access_policies", first), "state": "enabledForReportingButNotEnforced"}
    report = site.restore(
        step("create", "conditional_access_policies", first["id"], body=sent),
        step("undelete", "conditional_access_policies", second["id"]),
    )
    made = {one["id"]: one["state"] for one in site.control.dump(path)}
    assert made[report.outcomes[0].live_id] == made[second["id"]] == "enabledForReportingButNotEnforced"


def test_strengths_and_consent_policies_get_their_parts(damaged: Start) -> None:
    site = damaged("authentication_strength_policies", "permission_grant_policies")
    strength = site.first("policies/authenticationStrengthPolicies", policyType="custom")
    site.control.patch(
        f"policies/authenticationStrengthPolicies/{strength['id']}",
        {"allowedCombinations": ["fido2"], "displayName": "X"},
    )
    wanted = {name: strength[name] for name in ("allowedCombinations", "displayName")}
    grant = next(
        p for p in site.control.dump("policies/permissionGrantPolicies") if not p["id"].startswith("microsoft-")
    )
    site.control.delete(f"policies/permissionGrantPolicies/{grant['id']}")
    sent = body("permission_grant_policies", grant)
    assert sent["includes"]
    site.restore(
        step("update", "authentication_strength_policies", strength["id"], body=wanted),
        step("create", "permission_grant_policies", grant["id"], body=sent),
    )
    again = site.first("policies/authenticationStrengthPolicies", id=strength["id"])
    assert {name: again[name] for name in wanted} == wanted
    assert body("permission_grant_policies", site.first("policies/permissionGrantPolicies", id=grant["id"])) == sent


def test_licences_are_assigned_by_their_action(damaged: Start) -> None:
    site = damaged("users", "user_licenses", "subscribed_skus")
    user = next(u for u in site.control.dump("users") if u["assignedLicenses"] and u["usageLocation"])
    held = sorted(one["skuId"] for one in user["assignedLicenses"])
    site.control.patch(f"users/{user['id']}", {"assignedLicenses": [], "licenseAssignmentStates": []})
    wanted = [{"skuId": sku, "disabledPlans": []} for sku in held]
    site.control.ledger(reset=True)
    site.restore(step("update", "user_licenses", user["id"], body={"assignedLicenses": wanted}))
    assert sorted(one["skuId"] for one in shown(site, "users", user["id"])["assignedLicenses"]) == held
    assert len(site.writes()) == 1


def test_policies_that_are_put_are_put_whole(damaged: Start) -> None:
    site = damaged("admin_consent_request_policy")
    path = "policies/adminConsentRequestPolicy"
    before = site.control.dump(path)[0]
    site.restore(
        step(
            "update",
            "admin_consent_request_policy",
            "admin_consent_request_policy",
            body={"remindersEnabled": not before["remindersEnabled"]},
        )
    )
    after = site.control.dump(path)[0]
    assert after == {**before, "remindersEnabled": not before["remindersEnabled"]}


def test_policies_are_tied_to_applications_from_their_side(damaged: Start) -> None:
    site = damaged("claims_mapping_policies", "service_principals")
    policy = site.control.dump("claimsMappingPolicy")[1]["id"]
    tied = {
        target
        for source, target, _ in site.control.edges("policies/claimsMappingPolicies", "appliesTo")
        if source == policy
    }
    principal = next(p["id"] for p in site.control.dump("servicePrincipals") if p["id"] not in tied)
    site.restore(links("link", "claims_mapping_policy_applies_to", policy, principal, kind="servicePrincipal"))
    now = {
        target
        for source, target, _ in site.control.edges("policies/claimsMappingPolicies", "appliesTo")
        if source == policy
    }
    assert now == tied | {principal}
    site.restore(
        links("unlink", "claims_mapping_policy_applies_to", policy, principal, kind="servicePrincipal"), job="second"
    )
    now = {
        target
        for source, target, _ in site.control.edges("policies/claimsMappingPolicies", "appliesTo")
        if source == policy
    }
    assert now == tied


def test_a_user_is_made_with_the_identities_that_only_creation_takes(damaged: Start) -> None:
    site = damaged("users")
    user = next(u for u in site.control.dump("users") if not u["onPremisesSyncEnabled"] and u["userType"] == "Member")
    site.control.purge(user["id"])
    issuer = user["userPrincipalName"].partition("@")[2]
    local = [{"signInType": "emailAddress", "issuer": issuer, "issuerAssignedId": "ada@home.example"}]
    sent = {name: value for name, value in body("users", user).items() if not name.startswith("extension_")}
    site.restore(step("create", "users", user["id"], body={**sent, "accountEnabled": False, "identities": local}))
    made = site.first("users", userPrincipalName=user["userPrincipalName"])
    assert made["identities"][0] == local[0]


def test_what_keeps_objects_from_being_deleted_is_switched_off_first(damaged: Start) -> None:
    site = damaged("groups", "named_locations", "authentication_context_class_references", "subscribed_skus")
    conditional = "identity/conditionalAccess"
    sku = site.control.dump("subscribedSkus")[0]["skuId"]
    licence = {"skuId": sku, "disabledPlans": []}
    group = site.control.create("groups", {"displayName": "Licensed", "assignedLicenses": [licence]})
    place = site.control.create(
        f"{conditional}/namedLocations",
        {
            "@odata.type": "#microsoft.graph.ipNamedLocation",
            "displayName": "Office",
            "isTrusted": True,
            "ipRanges": [{"@odata.type": "#microsoft.graph.iPv4CidrRange", "cidrAddress": "192.0.2.0/24"}],
        },
    )
    context = site.control.create(
        f"{conditional}/authenticationContextClassReferences",
        {"id": "c77", "displayName": "Published", "isAvailable": True},
    )
    site.restore(
        step("delete", "groups", group, stage="removals"),
        step("delete", "named_locations", place, stage="removals"),
        step("delete", "authentication_context_class_references", context, stage="removals"),
    )
    left = {one["id"] for path in ("groups", f"{conditional}/namedLocations") for one in site.control.dump(path)}
    left |= {one["id"] for one in site.control.dump(f"{conditional}/authenticationContextClassReferences")}
    assert left.isdisjoint({group, place, context})


def test_an_application_comes_back_without_what_graph_refuses_and_so_does_what_needs_it(damaged: Start) -> None:
    site = damaged("applications", "service_principals", "users")
    app = site.control.dump("applications")[1]
    principal = site.first("servicePrincipals", appId=app["appId"])
    owner = site.control.dump("users")[0]["id"]
    site.control.purge(principal["id"])
    site.control.purge(app["id"])
    uris = {"identifierUris": ["https://shop.gone.example"], "tags": ["kept"]}
    report = site.apply(
        site.plan(
            step("create", "applications", app["id"], body={"displayName": "Shop", **uris}),
            links("link", "application_owners", app["id"], owner, live_id="", needs=(app["id"],)),
            step(
                "create",
                "service_principals",
                principal["id"],
                body={"appId": app["appId"], "tags": ["kept"]},
                needs=(app["id"],),
            ),
        )
    )
    assert [one.result for one in report.outcomes] == ["restored with differences", "restored", "restored"]
    assert "without identifierUris" in report.outcomes[0].reason
    assert "HostNameNotOnVerifiedDomain" in report.outcomes[0].reason
    again = site.first("applications", displayName="Shop")
    assert (again["tags"], again["identifierUris"]) == (["kept"], [])
    assert site.first("servicePrincipals", appId=again["appId"])["tags"] == ["kept"]


def test_a_group_whose_nickname_graph_takes_no_more_gets_a_valid_one(damaged: Start) -> None:
    site = damaged("groups", "users")
    group = next(g for g in site.control.dump("groups") if not g["groupTypes"] and not g["onPremisesSyncEnabled"])
    member = site.control.dump("users")[0]["id"]
    site.control.purge(group["id"])
    report = site.apply(
        site.plan(
            step("create", "groups", group["id"], body={**body("groups", group), "mailNickname": "Sales (EMEA) @ 1"}),
            links("link", "group_members", group["id"], member, live_id="", needs=(group["id"],)),
        )
    )
    assert [one.result for one in report.outcomes] == ["restored with differences", "restored"]
    assert "mailNickname is 'SalesEMEA1' instead of 'Sales (EMEA) @ 1'" in report.outcomes[0].reason
    assert site.first("groups", displayName=group["displayName"])["mailNickname"] == "SalesEMEA1"


def test_a_property_that_graph_does_not_name_is_found_and_the_others_are_set(damaged: Start) -> None:
    site = damaged("users")
    made, changed = [
        u for u in site.control.dump("users") if u["userType"] == "Member" and not u["onPremisesSyncEnabled"]
    ][:2]
    site.control.purge(made["id"])
    for name in ("jobTitle", "city"):
        site.control.misbehave("property-refused", "users*", property=name, named=False)
    sent = {**body("users", made), "accountEnabled": False, "jobTitle": "Chef", "city": "Oslo", "department": "Food"}
    site.control.ledger(reset=True)
    report = site.apply(
        site.plan(
            step("create", "users", made["id"], body=sent),
            step("update", "users", changed["id"], body={"jobTitle": "Chef", "city": "Oslo", "department": "Food"}),
        )
    )
    for outcome in report.outcomes:
        assert outcome.result == "restored with differences"
        assert "without city, jobTitle: Graph answered 400" in outcome.reason
    assert len(site.writes()) < 25
    for user in (site.first("users", userPrincipalName=made["userPrincipalName"]), shown(site, "users", changed["id"])):
        assert user["department"] == "Food"
        assert "Chef" not in (user["jobTitle"], user.get("city"))


def test_nothing_is_made_without_what_narrows_access(damaged: Start) -> None:
    site = damaged("conditional_access_policies", "groups", "users")
    path = "identity/conditionalAccess/policies"
    policy = site.control.dump(path)[0]
    group = next(g for g in site.control.dump("groups") if not g["groupTypes"] and not g["onPremisesSyncEnabled"])
    for identifier in (policy["id"], group["id"]):
        site.control.purge(identifier)
    for where, name in ((f"{path}*", "conditions"), ("groups*", "visibility")):
        for named in (True, False):
            site.control.misbehave("property-refused", where, property=name, named=named)
    report = site.apply(
        site.plan(
            step(
                "create", "conditional_access_policies", policy["id"], body=body("conditional_access_policies", policy)
            ),
            step("create", "groups", group["id"], body={**body("groups", group), "visibility": "Private"}),
        )
    )
    assert [one.result for one in report.outcomes] == ["failed", "failed"]
    assert policy["displayName"] not in {one["displayName"] for one in site.control.dump(path)}
    assert group["displayName"] not in {one["displayName"] for one in site.control.dump("groups")}


def test_a_licence_that_cannot_be_keeps_no_other_away(damaged: Start) -> None:
    site = damaged("users", "groups", "user_licenses", "subscribed_skus")
    user = next(u for u in site.control.dump("users") if not u["assignedLicenses"] and u["usageLocation"])
    good = site.control.dump("subscribedSkus")[0]["skuId"]
    bad_one = "6ea91a8d-e32e-41a1-b7bd-d2d185eed0e0"
    wanted = [{"skuId": sku, "disabledPlans": []} for sku in (good, bad_one)]
    report = site.apply(site.plan(step("update", "user_licenses", user["id"], body={"assignedLicenses": wanted})))
    assert report.outcomes[0].result == "restored with differences"
    assert f"without the change of licences {bad_one}" in report.outcomes[0].reason
    assert [one["skuId"] for one in shown(site, "users", user["id"])["assignedLicenses"]] == [good]


def test_attributes_with_several_values_are_sent_with_their_types(damaged: Start) -> None:
    site = damaged("users")
    user = next(u for u in site.control.dump("users") if not u["onPremisesSyncEnabled"] and not u["assignedLicenses"])
    site.control.patch(f"users/{user['id']}", {"customSecurityAttributes": None})
    kind = {"@odata.type": "#microsoft.graph.customSecurityAttributeValue"}
    held = {"Engineering": {**kind, "Clearance": "Secret", "Project": ["Baker", "Cascade"]}}
    site.restore(step("update", "users", user["id"], body={"customSecurityAttributes": held}))
    again = site.first("users", id=user["id"])["customSecurityAttributes"]["Engineering"]
    assert again == {**held["Engineering"], "Project@odata.type": "#Collection(String)"}


def test_what_was_added_inside_a_part_is_taken_away(damaged: Start) -> None:
    site = damaged("authentication_methods_policy")
    path = "policies/authenticationMethodsPolicy"
    (policy,) = site.control.dump(path)
    methods = {one["id"]: one for one in policy["authenticationMethodConfigurations"]}
    wanted = {name: value for name, value in methods["Fido2"].items() if name != "keyRestrictions"}
    rules = {"isEnforced": True, "enforcementType": "allow", "aaGuids": ["de1e552d-db1d-4423-a619-566b625cdc84"]}
    now = [*(one for name, one in methods.items() if name != "Fido2"), {**wanted, "keyRestrictions": rules}]
    site.control.patch(path, {"authenticationMethodConfigurations": now})
    parts = [*(one for name, one in methods.items() if name != "Fido2"), wanted]
    site.restore(
        step(
            "update", "authentication_methods_policy", policy["id"], body={"authenticationMethodConfigurations": parts}
        )
    )
    (after,) = site.control.dump(path)
    fido = next(one for one in after["authenticationMethodConfigurations"] if one["id"] == "Fido2")
    assert not fido.get("keyRestrictions")


def test_what_leads_to_others_is_deleted_before_them(damaged: Start) -> None:
    site = damaged("access_packages", "access_package_catalogs", "cross_tenant_access_policy_partners", "organization")
    root = "identityGovernance/entitlementManagement"
    catalog = site.control.create(f"{root}/catalogs", {"displayName": "Added"})
    package = site.control.create(f"{root}/accessPackages", {"displayName": "Added", "catalog": {"id": catalog}})
    partners = "policies/crossTenantAccessPolicy/partners"
    partner = "11111111-2222-4333-8444-555555555555"
    site.control.create(partners, {"tenantId": partner})
    site.control.create(f"{partners}/{partner}/identitySynchronization", {"userSyncInbound": {"isSyncAllowed": True}})
    site.control.ledger(reset=True)
    site.restore(
        step("delete", "access_packages", package, stage="removals"),
        step("delete", "cross_tenant_identity_sync_policies", partner, stage="removals", parent=partner),
        step("delete", "access_package_catalogs", catalog, stage="removals"),
        step("delete", "cross_tenant_access_policy_partners", partner, stage="removals"),
    )
    # Each waits for those that lead to it, and none is sent in vain.
    assert {status for _, _, status in site.writes()} == {204}
    left = {one["id"] for one in (*site.control.dump(f"{root}/catalogs"), *site.control.dump(f"{root}/accessPackages"))}
    assert left.isdisjoint({catalog, package})
    assert partner not in {one["tenantId"] for one in site.control.dump(partners)}


def test_a_branding_is_deleted_without_its_images_and_an_image_that_was_added_is_removed(damaged: Start) -> None:
    site = damaged("organizational_brandings", "organizational_branding_localizations")
    ours = site.simulator.tenant_id
    brandings = site.control.dump("organizationalBrandingLocalization")
    image = {"bannerLogo": "iVBORw0=", "bannerLogoRelativeUrl": "x/bannerlogo"}
    for one in brandings:
        site.control.patch(f"organization/{ours}/branding/localizations/{one['id']}", image)
    kept, gone = brandings[:2]
    site.restore(
        step(
            *("update", "organizational_branding_localizations", kept["id"]),
            parent=ours,
            body={"bannerLogo": None},
        ),
        step("delete", "organizational_branding_localizations", gone["id"], stage="removals", parent=ours),
    )
    after = {one["id"]: one for one in site.control.dump("organizationalBrandingLocalization")}
    assert gone["id"] not in after
    assert after[kept["id"]]["bannerLogo"] is None
