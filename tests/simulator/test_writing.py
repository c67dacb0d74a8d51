"""Writing: what Graph accepts, mints and adds, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from entra_pipeline.simulator import Simulator
from tests.simulator.conftest import Client

GRAPH = "https://graph.microsoft.com/v1.0"
DAY = 86400.0


def user(name: str = "new@contoso.com", **more: Any) -> dict[str, Any]:
    return {
        "accountEnabled": True,
        "displayName": "Nyå Användare",
        "mailNickname": "new",
        "userPrincipalName": name,
        "passwordProfile": {"password": "xWwvJ]6NMw+bWH-d"},
        **more,
    }


def group(nickname: str = "new", **more: Any) -> dict[str, Any]:
    return {
        "displayName": "Ny grupp",
        "mailEnabled": False,
        "mailNickname": nickname,
        "securityEnabled": True,
        **more,
    }


def made(writer: Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = writer.send("POST", path, body)
    assert answer.status_code == 201, answer.text
    result: dict[str, Any] = answer.json()
    return result


def reference(identifier: str) -> dict[str, str]:
    return {"@odata.id": f"{GRAPH}/directoryObjects/{identifier}"}


def test_a_user_is_created_changed_and_deleted(writer: Client) -> None:
    new = made(writer, "users", user(city="Kiruna"))
    assert "passwordProfile" not in new
    assert writer.send("PATCH", f"users/{new['id']}", {"city": None, "jobTitle": "Boss"}).status_code == 204
    found = writer.get(f"users/{new['id']}?$select=city,jobTitle,displayName,userType")
    assert {name: found[name] for name in ("city", "jobTitle", "userType")} == {
        "city": None,
        "jobTitle": "Boss",
        "userType": "Member",
    }
    assert writer.send("DELETE", f"users/{new['id']}").status_code == 204
    assert writer.send("DELETE", f"users/{new['id']}").status_code == 404


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (user(shoeSize=43), "shoeSize"),
        (user(createdDateTime="2024-01-01T00:00:00Z"), "read-only"),
        (user(proxyAddresses=["SMTP:a@contoso.com"]), "read-only"),
        ({k: v for k, v in user().items() if k != "passwordProfile"}, "passwordProfile"),
        ({k: v for k, v in user().items() if k != "displayName"}, "displayName"),
        (user(accountEnabled="yes"), "accountEnabled"),
        (user(businessPhones="1"), "businessPhones"),
        (user(passwordProfile={"secret": "x"}), "secret"),
        (user("new@nowhere.example"), "verified domain"),
        (user("user000000@contoso.com"), "userPrincipalName already exists"),
        (user(extension_0_nothing="x"), "extension_0_nothing"),
        (user(birthday="2000-01-01T00:00:00Z"), "birthday"),
    ],
)
def test_users_that_are_refused(body: dict[str, Any], words: str, simulator: Simulator, writer: Client) -> None:
    status, code, message = writer.refused("POST", "users", body)
    assert (status, code) == (400, "Request_BadRequest")
    assert words in message
    assert simulator.control.counts()["users"] == 60


def test_a_taken_name_is_a_conflict(writer: Client) -> None:
    error = writer.send("POST", "users", user("USER000000@contoso.com")).json()["error"]
    assert error["details"][0]["code"] == "ObjectConflict"
    assert error["details"][0]["target"] == "userPrincipalName"
    other = writer.get("users/user000002@contoso.com")["id"]
    assert writer.send("PATCH", f"users/{other}", {"userPrincipalName": "user000000@contoso.com"}).status_code == 400


def test_objects_mastered_on_premises_are_refused(simulator: Simulator, writer: Client) -> None:
    synced = next(u["id"] for u in simulator.control.dump("users") if u["onPremisesSyncEnabled"])
    assert "on-premises mastered" in writer.refused("PATCH", f"users/{synced}", {"displayName": "X"})[2]
    assert writer.send("PATCH", f"users/{synced}", {"usageLocation": "SE"}).status_code == 204


def test_extension_values_are_checked(simulator: Simulator, writer: Client) -> None:
    level = next(e["name"] for e in simulator.control.dump("extensionProperty") if e["name"].endswith("Level"))
    assert writer.send("POST", "users", user(**{level: "high"})).status_code == 400
    new = made(writer, "users", user(**{level: 3}))
    assert writer.get(f"users/{new['id']}?$select={level}")[level] == 3
    assert "not available" in writer.refused("POST", "groups", group(**{level: 3}))[2]


def test_extensions_go_into_the_recycle_bin_and_come_back_with_their_application(
    simulator: Simulator, writer: Client
) -> None:
    app = made(writer, "applications", {"displayName": "Badges"})
    definition = {"name": "badge", "dataType": "String", "targetObjects": ["Group"]}
    name = made(writer, f"applications/{app['id']}/extensionProperties", definition)["name"]
    assert made(writer, "groups", group("before", **{name: "blue"}))
    simulator.control.delete(f"applications/{app['id']}")
    assert "not available" in writer.refused("POST", "groups", group("meanwhile", **{name: "blue"}))[2]
    simulator.control.restore(app["id"])
    assert made(writer, "groups", group("after", **{name: "blue"}))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (group(mailEnabled=True), "Mail-enabled security groups"),
        (group(groupTypes=["Unified"]), "mailEnabled"),
        (group(groupTypes=["DynamicMembership"]), "membershipRule"),
        (group("has space"), "mailNickname"),
        (group(allowExternalSenders=True), "allowExternalSenders"),
        (group(mail="x@contoso.com"), "read-only"),
    ],
)
def test_groups_that_are_refused(body: dict[str, Any], words: str, writer: Client) -> None:
    status, _, message = writer.refused("POST", "groups", body)
    assert status == 400
    assert words in message


def test_a_group_with_members_bound_to_it(simulator: Simulator, writer: Client) -> None:
    users = [item["id"] for item in writer.all("users?$select=id")]
    bound = [f"{GRAPH}/directoryObjects/{item}" for item in users[:20]]
    # Twenty in one request, whatever they are bound as.
    both = {"members@odata.bind": bound, "owners@odata.bind": bound[:2]}
    assert "limit of 20" in writer.refused("POST", "groups", group(**both))[2]
    both["members@odata.bind"] = bound[:18]
    new = made(writer, "groups", group(**both))
    assert writer.send("PATCH", f"groups/{new['id']}", {"members@odata.bind": bound[18:]}).status_code == 204
    assert len(writer.all(f"groups/{new['id']}/members")) == 20
    many = [f"{GRAPH}/directoryObjects/{item}" for item in users[20:41]]
    path = f"groups/{new['id']}"
    assert "limit of 20" in writer.refused("PATCH", path, {"members@odata.bind": many})[2]
    # All or nothing: one that is a member already, and nobody is added.
    assert writer.send("PATCH", path, {"members@odata.bind": [*many[:5], bound[0]]}).status_code == 400
    assert len(writer.all(f"{path}/members")) == 20
    assert writer.send("PATCH", path, {"members@odata.bind": many[:20]}).status_code == 204
    assert len(writer.all(f"{path}/members")) == 40
    assert writer.send("PATCH", path, {"isAssignableToRole": True}).status_code == 400
    assert {edge for edge in simulator.control.edges("groups", "owners") if edge[0] == new["id"]} == {
        (new["id"], owner, "user") for owner in users[:2]
    }


def test_links_are_added_and_removed_once(writer: Client) -> None:
    someone = writer.all("users?$select=id")[0]["id"]
    new = made(writer, "groups", group())
    path = f"groups/{new['id']}/members"
    assert writer.send("POST", f"{path}/$ref", reference(someone)).status_code == 204
    assert writer.refused("POST", f"{path}/$ref", reference(someone)) == (
        400,
        "Request_BadRequest",
        "One or more added object references already exist for the following modified properties: 'members'.",
    )
    assert writer.send("DELETE", f"{path}/{someone}/$ref").status_code == 204
    assert "removed object references do not exist" in writer.refused("DELETE", f"{path}/{someone}/$ref")[2]
    assert writer.send("POST", f"{path}/$ref", reference("00000000-0000-0000-0000-00000000000a")).status_code == 404
    app = writer.all("applications?$select=id")[0]["id"]
    assert "not allowed" in writer.refused("POST", f"{path}/$ref", reference(app))[2]


def test_dynamic_and_synced_groups_refuse_members(simulator: Simulator, writer: Client) -> None:
    someone = writer.all("users?$select=id")[0]["id"]
    for wanted in ("DynamicMembership", "synced"):
        found = next(
            g
            for g in simulator.control.dump("groups")
            if wanted in g["groupTypes"] or (wanted == "synced" and g["onPremisesSyncEnabled"])
        )
        assert writer.send("POST", f"groups/{found['id']}/members/$ref", reference(someone)).status_code == 400


def test_the_last_owner_of_a_group_stays(simulator: Simulator, writer: Client) -> None:
    someone = writer.all("users?$select=id")[0]["id"]
    new = made(writer, "groups", group(**{"owners@odata.bind": [f"{GRAPH}/users/{someone}"]}))
    assert "at least one owner" in writer.refused("DELETE", f"groups/{new['id']}/owners/{someone}/$ref")[2]


def test_managers_are_put_and_deleted(writer: Client) -> None:
    one, other, third = (item["id"] for item in writer.all("users?$select=id")[:3])
    path = f"users/{one}/manager"
    assert writer.send("PUT", f"{path}/$ref", reference(other)).status_code == 204
    assert writer.send("PUT", f"{path}/$ref", reference(third)).status_code == 204
    assert writer.get(path)["id"] == third
    assert writer.send("DELETE", f"{path}/$ref").status_code == 204
    assert writer.send("GET", path).status_code == 404


def test_a_deleted_user_comes_back_with_everything(simulator: Simulator, writer: Client) -> None:
    before = writer.get("users/user000003@contoso.com")
    edges = {e for e in simulator.control.edges("groups", "members") if e[1] == before["id"]}
    assert edges
    writer.send("DELETE", f"users/{before['id']}")
    assert not {e for e in simulator.control.edges("groups", "members") if e[1] == before["id"]}
    made(writer, "users", user("user000003@contoso.com"))
    path = f"directory/deletedItems/{before['id']}"
    assert "already exists" in writer.refused("POST", f"{path}/restore", {})[2]
    answer = writer.send("POST", f"{path}/restore", {"newUserPrincipalName": "back@contoso.com"})
    assert answer.status_code == 200
    assert writer.get(f"users/{before['id']}") == {**before, "userPrincipalName": "back@contoso.com"} | {
        "@odata.context": writer.get(f"users/{before['id']}")["@odata.context"]
    }
    assert {e for e in simulator.control.edges("groups", "members") if e[1] == before["id"]} == edges


def test_purging_is_final_and_the_bin_empties_itself_after_30_days(simulator: Simulator, writer: Client) -> None:
    one, other = (item["id"] for item in writer.all("users?$select=id")[:2])
    writer.send("DELETE", f"users/{one}")
    writer.send("DELETE", f"users/{other}")
    assert writer.send("DELETE", f"directory/deletedItems/{one}").status_code == 204
    assert writer.send("POST", f"directory/deletedItems/{one}/restore", {}).status_code == 404
    simulator.control.clock(29 * DAY)
    assert len(writer.all("directory/deletedItems/microsoft.graph.user")) == 1
    simulator.control.clock(2 * DAY)
    assert writer.all("directory/deletedItems/microsoft.graph.user") == []
    assert writer.send("POST", f"directory/deletedItems/{other}/restore", {}).status_code == 404


def test_applications_and_their_service_principals(simulator: Simulator, writer: Client) -> None:
    app = made(writer, "applications", {"displayName": "App", "identifierUris": ["api://one"]})
    assert app["appId"] and app["appId"] != app["id"]
    assert (
        "identifierUris"
        in writer.refused("POST", "applications", {"displayName": "B", "identifierUris": ["api://one"]})[2]
    )
    assert writer.send("POST", "applications", {"displayName": "C", "appId": app["appId"]}).status_code == 400
    principal = made(writer, "servicePrincipals", {"appId": app["appId"]})
    assert principal["appDisplayName"] == "App"
    assert writer.refused("POST", "servicePrincipals", {"appId": app["appId"]})[:2] == (
        409,
        "Request_MultipleObjectsWithSameKeyValue",
    )
    assert (
        writer.send("POST", "servicePrincipals", {"appId": "00000000-0000-0000-0000-0000000000aa"}).status_code == 400
    )
    writer.send("DELETE", f"applications/{app['id']}")
    assert writer.send("GET", f"servicePrincipals/{principal['id']}").status_code == 404
    path = f"directory/deletedItems/{principal['id']}/restore"
    assert "restore it first" in writer.refused("POST", path)[2]
    assert writer.send("POST", f"directory/deletedItems/{app['id']}/restore", {}).status_code == 200
    assert writer.send("GET", f"servicePrincipals/{principal['id']}").status_code == 404, "it is restored on its own"
    assert writer.send("POST", path).status_code == 200


def test_parts_of_an_application(writer: Client) -> None:
    app = made(writer, "applications", {"displayName": "App"})
    path = f"applications/{app['id']}"
    credential = {
        "name": "ci",
        "issuer": "https://token.example",
        "subject": "s",
        "audiences": ["api://AzureADTokenExchange"],
    }
    new = made(writer, f"{path}/federatedIdentityCredentials", credential)
    assert writer.send("POST", f"{path}/federatedIdentityCredentials", credential).status_code == 409
    assert writer.send("PATCH", f"{path}/federatedIdentityCredentials/{new['id']}", {"name": "x"}).status_code == 400
    assert writer.send("PATCH", f"{path}/federatedIdentityCredentials/{new['id']}", {"subject": "t"}).status_code == 204
    assert writer.all(f"{path}/federatedIdentityCredentials")[0]["subject"] == "t"
    assert writer.send("DELETE", f"{path}/federatedIdentityCredentials/{new['id']}").status_code == 204
    extension = made(
        writer, f"{path}/extensionProperties", {"name": "badge", "dataType": "String", "targetObjects": ["Group"]}
    )
    assert extension["name"] == f"extension_{app['appId'].replace('-', '')}_badge"
    assert made(writer, "groups", group(**{extension["name"]: "blue"}))


def test_app_role_assignments(simulator: Simulator, writer: Client) -> None:
    resource = next(
        p for p in writer.all("servicePrincipals") if p["appRoles"] and p["appDisplayName"] != "Microsoft Graph"
    )
    someone = made(writer, "users", user())["id"]
    body = {"principalId": someone, "resourceId": resource["id"], "appRoleId": resource["appRoles"][0]["id"]}
    path = f"servicePrincipals/{resource['id']}/appRoleAssignedTo"
    new = made(writer, path, body)
    assert new["principalType"] == "User"
    assert "already exists" in writer.refused("POST", path, body)[2]
    assert "not found on application" in writer.refused("POST", path, {**body, "appRoleId": someone})[2]
    assert [item["id"] for item in writer.all(f"users/{someone}/appRoleAssignments")] == [new["id"]]
    assert writer.send("DELETE", f"{path}/{new['id']}").status_code == 204
    assert writer.all(f"users/{someone}/appRoleAssignments") == []


def test_delegated_grants(writer: Client) -> None:
    old = writer.all("oauth2PermissionGrants")[0]
    body = {name: old[name] for name in ("clientId", "consentType", "resourceId", "scope")}
    assert writer.send("POST", "oauth2PermissionGrants", body).status_code == 409
    assert writer.send("PATCH", f"oauth2PermissionGrants/{old['id']}", {"scope": "openid"}).status_code == 204
    assert writer.send("DELETE", f"oauth2PermissionGrants/{old['id']}").status_code == 204
    assert made(writer, "oauth2PermissionGrants", body)["id"] != old["id"]


def test_roles(simulator: Simulator, writer: Client) -> None:
    definitions = writer.all("roleManagement/directory/roleDefinitions")
    built_in = next(item for item in definitions if item["isBuiltIn"])
    path = "roleManagement/directory/roleDefinitions"
    assert writer.send("PATCH", f"{path}/{built_in['id']}", {"description": "x"}).status_code == 400
    assert writer.send("DELETE", f"{path}/{built_in['id']}").status_code == 400
    template = "12345678-0000-4000-8000-000000000001"
    permissions = [{"allowedResourceActions": ["microsoft.directory/groups/standard/read"]}]
    body = {"displayName": "Custom", "isEnabled": True, "rolePermissions": permissions, "templateId": template}
    assert made(writer, path, body)["id"] == template
    someone = made(writer, "users", user())["id"]
    assignment = {"principalId": someone, "roleDefinitionId": built_in["id"], "directoryScopeId": "/"}
    new = made(writer, "roleManagement/directory/roleAssignments", assignment)
    role = next(item for item in writer.all("directoryRoles") if item["roleTemplateId"] == built_in["id"])
    assert someone in {item["id"] for item in writer.all(f"directoryRoles/{role['id']}/members")}
    assert writer.send("POST", "roleManagement/directory/roleAssignments", assignment).status_code == 400
    assert writer.send("DELETE", f"roleManagement/directory/roleAssignments/{new['id']}").status_code == 204
    assert someone not in {item["id"] for item in writer.all(f"directoryRoles/{role['id']}/members")}
    assert writer.send("POST", f"directoryRoles/{role['id']}/members/$ref", reference(someone)).status_code == 204
    assert someone in {item["principalId"] for item in writer.all("roleManagement/directory/roleAssignments")}
    plain = made(writer, "groups", group())["id"]
    assert (
        "not assignable"
        in writer.refused("POST", "roleManagement/directory/roleAssignments", {**assignment, "principalId": plain})[2]
    )


def test_conditional_access(simulator: Simulator, writer: Client) -> None:
    simulator.control.knobs(throttle_conditional_access=False)
    base = "identity/conditionalAccess"
    policy = {
        "displayName": "P",
        "state": "enabled",
        "conditions": {
            "users": {"includeUsers": ["All"]},
            "applications": {"includeApplications": ["All"]},
            "clientAppTypes": ["all"],
        },
        "grantControls": {"operator": "OR", "authenticationStrength": {"id": "00000000-0000-0000-0000-000000000004"}},
    }
    new = made(writer, f"{base}/policies", policy)
    assert "colour" in writer.refused("POST", f"{base}/policies", {**policy, "conditions": {"colour": 1}})[2]
    assert writer.send("DELETE", f"{base}/policies/{new['id']}").status_code == 204
    assert [item["id"] for item in writer.all(f"{base}/deletedItems/policies")] == [new["id"]]
    restored = writer.send("POST", f"{base}/deletedItems/policies/{new['id']}/restore")
    assert restored.status_code == 200
    assert writer.get(f"{base}/policies/{new['id']}")["state"] == "enabled"
    location = {"@odata.type": "#microsoft.graph.ipNamedLocation", "displayName": "L", "isTrusted": True}
    assert writer.send("POST", f"{base}/namedLocations", location).status_code == 400
    ranges = [{"@odata.type": "#microsoft.graph.iPv4CidrRange", "cidrAddress": "192.0.2.0/24"}]
    place = made(writer, f"{base}/namedLocations", {**location, "ipRanges": ranges})
    assert place["@odata.type"] == "#microsoft.graph.ipNamedLocation"
    assert "trusted" in writer.refused("DELETE", f"{base}/namedLocations/{place['id']}")[2]
    body = {"@odata.type": "#microsoft.graph.ipNamedLocation", "isTrusted": False}
    assert writer.send("PATCH", f"{base}/namedLocations/{place['id']}", body).status_code == 204
    assert writer.send("DELETE", f"{base}/namedLocations/{place['id']}").status_code == 204


def test_strengths(writer: Client) -> None:
    path = "policies/authenticationStrengthPolicies"
    new = made(writer, path, {"displayName": "S", "allowedCombinations": ["fido2"]})
    assert new["policyType"] == "custom"
    assert writer.send("PATCH", f"{path}/{new['id']}", {"allowedCombinations": []}).status_code == 400
    action = f"{path}/{new['id']}/updateAllowedCombinations"
    assert writer.send("POST", action, {"allowedCombinations": ["windowsHelloForBusiness"]}).status_code == 200
    assert writer.get(f"{path}/{new['id']}")["allowedCombinations"] == ["windowsHelloForBusiness"]
    assert writer.send("DELETE", f"{path}/00000000-0000-0000-0000-000000000002").status_code == 400


def test_units_and_their_scoped_roles(writer: Client) -> None:
    unit = made(writer, "directory/administrativeUnits", {"displayName": "U"})
    someone = writer.all("users?$select=id")[0]["id"]
    role = writer.all("directoryRoles")[0]["id"]
    path = f"directory/administrativeUnits/{unit['id']}"
    assert writer.send("POST", f"{path}/members/$ref", reference(someone)).status_code == 204
    made(writer, f"{path}/scopedRoleMembers", {"roleId": role, "roleMemberInfo": {"id": someone}})
    found = writer.all(f"{path}/scopedRoleMembers")
    assert found[0]["roleMemberInfo"]["id"] == someone
    assert writer.send("DELETE", f"{path}/scopedRoleMembers/{found[0]['id']}").status_code == 204
    writer.send("DELETE", path)
    assert "permanently" in writer.refused("DELETE", f"directory/deletedItems/{unit['id']}")[2]


def test_licences(writer: Client) -> None:
    sku = writer.all("subscribedSkus")[0]["skuId"]
    new = made(writer, "users", user())["id"]
    add = {"addLicenses": [{"skuId": sku, "disabledPlans": []}], "removeLicenses": []}
    assert "usage location" in writer.refused("POST", f"users/{new}/assignLicense", add)[2]
    writer.send("PATCH", f"users/{new}", {"usageLocation": "SE"})
    assert writer.send("POST", f"users/{new}/assignLicense", add).status_code == 200
    held = writer.get(f"users/{new}?$select=assignedLicenses,licenseAssignmentStates")
    assert held["assignedLicenses"] == [{"disabledPlans": [], "skuId": sku}]
    assert held["licenseAssignmentStates"][0]["assignedByGroup"] is None
    assert writer.send("PATCH", f"users/{new}", {"assignedLicenses": []}).status_code == 400
    remove = {"addLicenses": [], "removeLicenses": [sku]}
    assert writer.send("POST", f"users/{new}/assignLicense", remove).status_code == 200
    assert "corresponding license" in writer.refused("POST", f"users/{new}/assignLicense", remove)[2]


def test_what_applications_cannot_do(writer: Client) -> None:
    assert writer.send("POST", "devices", {"displayName": "D"}).status_code == 403
    assert writer.send("POST", "subscribedSkus", {}).status_code in {403, 405}
    assert writer.send("DELETE", "directoryRoles/x").status_code in {404, 405}
    assert writer.send("PUT", "users").status_code == 405
    assert writer.http.post(f"{writer.simulator.graph_url}/groups", content=b"{}").status_code == 400


def test_new_objects_lag_and_writes_collide_when_asked_to(simulator: Simulator, writer: Client) -> None:
    simulator.control.knobs(lag=60.0)
    new = made(writer, "groups", group())["id"]
    assert writer.refused("GET", f"groups/{new}")[:2] == (404, "Request_ResourceNotFound")
    simulator.control.knobs(lag=0.0, conflicts=1.0)
    assert writer.get(f"groups/{new}")["id"] == new
    assert writer.refused("PATCH", f"groups/{new}", {"description": "x"})[:2] == (409, "Directory_ConcurrencyViolation")


def test_writes_show_up_in_delta(writer: Client) -> None:
    _, link = writer.round("groups/delta?$select=displayName,members")
    someone = writer.all("users?$select=id")[0]["id"]
    new = made(writer, "groups", group(**{"members@odata.bind": [f"{GRAPH}/users/{someone}"]}))
    items, _ = writer.round(link)
    assert items == [
        {
            "id": new["id"],
            "displayName": "Ny grupp",
            "members@delta": [{"@odata.type": "#microsoft.graph.user", "id": someone}],
        }
    ]
