"""What a restore meets: rules of writing per type, what the recycle bin brings back, requests instead of writes."""

from __future__ import annotations

from typing import Any

import pytest

from entra_pipeline.simulator import Simulator
from tests.simulator.conftest import Client
from tests.simulator.test_writing import GRAPH, group, made, reference, user

ENTITLEMENT = "identityGovernance/entitlementManagement"
NOBODY = "00000000-0000-4000-8000-00000000dead"


@pytest.fixture(autouse=True)
def _no_lanes(simulator: Simulator) -> None:
    simulator.control.knobs(throttle_conditional_access=False, throttle_lanes=False)


def scope(identifier: str, value: str, enabled: bool = True) -> dict[str, Any]:
    return {
        "id": identifier,
        "adminConsentDescription": "Reads",
        "adminConsentDisplayName": "Read",
        "isEnabled": enabled,
        "type": "User",
        "value": value,
    }


# --- applications ----------------------------------------------------------------------------------------------------


def test_scopes_are_disabled_before_they_go_and_known_before_anybody_is_authorized_for_them(writer: Client) -> None:
    one = "11111111-0000-4000-8000-000000000001"
    trusted = [{"appId": NOBODY, "delegatedPermissionIds": [one]}]
    api = {"oauth2PermissionScopes": [scope(one, "read")]}
    both = {**api, "preAuthorizedApplications": trusted}
    assert writer.refused("POST", "applications", {"displayName": "A", "api": both})[1] == "InvalidValue"
    path = f"applications/{made(writer, 'applications', {'displayName': 'A', 'api': api})['id']}"
    assert writer.send("PATCH", path, {"api": {"preAuthorizedApplications": trusted}}).status_code == 204
    assert writer.get(path)["api"]["oauth2PermissionScopes"] == api["oauth2PermissionScopes"], "it is kept"
    gone = {"api": {"oauth2PermissionScopes": [], "preAuthorizedApplications": []}}
    assert writer.refused("PATCH", path, gone)[1] == "CannotDeleteOrUpdateEnabledEntitlement"
    other = {"api": {"oauth2PermissionScopes": [scope(one, "write")]}}
    assert writer.refused("PATCH", path, other)[1] == "CannotDeleteOrUpdateEnabledEntitlement"
    disabled = {"api": {"oauth2PermissionScopes": [scope(one, "read", enabled=False)]}}
    assert writer.send("PATCH", path, disabled).status_code == 204
    assert writer.send("PATCH", path, gone).status_code == 204


def test_app_roles_are_disabled_before_they_go(writer: Client) -> None:
    role = {
        "id": "22222222-0000-4000-8000-000000000001",
        "allowedMemberTypes": ["User"],
        "description": "Reads",
        "displayName": "Reader",
        "isEnabled": True,
        "value": "read",
    }
    assert writer.send("POST", "applications", {"displayName": "A", "appRoles": [role, role]}).status_code == 400
    path = f"applications/{made(writer, 'applications', {'displayName': 'A', 'appRoles': [role]})['id']}"
    assert writer.refused("PATCH", path, {"appRoles": []})[1] == "CannotDeleteOrUpdateEnabledEntitlement"
    assert writer.send("PATCH", path, {"appRoles": [{**role, "displayName": "Readers"}]}).status_code == 204
    assert writer.send("PATCH", path, {"appRoles": [{**role, "isEnabled": False}]}).status_code == 204
    assert writer.send("PATCH", path, {"appRoles": []}).status_code == 204


def test_credentials_are_told_apart_by_issuer_and_subject(writer: Client) -> None:
    app = made(writer, "applications", {"displayName": "App"})["id"]
    path = f"applications/{app}/federatedIdentityCredentials"
    credential = {"name": "ci", "issuer": "https://token.example", "subject": "s", "audiences": ["a"]}
    made(writer, path, credential)
    assert writer.send("POST", path, {**credential, "name": "other"}).status_code == 409
    made(writer, path, {**credential, "name": "other", "subject": "t"})


def test_grants_are_of_one_kind_or_the_other(writer: Client) -> None:
    grant = next(one for one in writer.all("oauth2PermissionGrants") if one["consentType"] == "AllPrincipals")
    assert writer.send("DELETE", f"oauth2PermissionGrants/{grant['id']}").status_code == 204
    body = {name: grant[name] for name in ("clientId", "consentType", "resourceId", "scope")}
    someone = writer.all("users?$select=id")[0]["id"]
    for wrong in (
        {"consentType": "Everybody"},
        {"consentType": "Principal"},
        {"principalId": someone},
        {"clientId": someone},
        {"scope": "x" * 3851},
    ):
        assert writer.send("POST", "oauth2PermissionGrants", {**body, **wrong}).status_code in {400, 404}
    made(writer, "oauth2PermissionGrants", body)


# --- users and groups ------------------------------------------------------------------------------------------------


def test_groups_that_are_assignable_to_roles(simulator: Simulator, writer: Client) -> None:
    for wrong in (
        {"securityEnabled": False, "mailEnabled": True, "groupTypes": ["Unified"]},
        {"groupTypes": ["DynamicMembership"], "membershipRule": "(user.city -eq 'Kiruna')"},
        {"visibility": "Public"},
    ):
        assert writer.send("POST", "groups", group(**{"isAssignableToRole": True, **wrong})).status_code == 400
    new = made(writer, "groups", group(isAssignableToRole=True))["id"]
    plain = made(writer, "groups", group("plain"))["id"]
    members = f"groups/{new}/members/$ref"
    assert "assignable" in writer.refused("POST", members, reference(plain))[2]
    someone = writer.all("users?$select=id")[0]["id"]
    assert writer.send("POST", members, reference(someone)).status_code == 204
    roles = [
        r for r in simulator.control.roles(simulator.restore_client_id) if r != "RoleManagement.ReadWrite.Directory"
    ]
    simulator.control.roles(simulator.restore_client_id, roles)
    writer.sign_in()
    for method, path, body in (
        ("POST", "groups", group("third", isAssignableToRole=True)),
        ("PATCH", f"groups/{new}", {"description": "x"}),
        ("DELETE", f"groups/{new}/members/{someone}/$ref", None),
        ("DELETE", f"groups/{new}", None),
    ):
        assert writer.refused(method, path, body)[:2] == (403, "Authorization_RequestDenied")
    assert writer.send("PATCH", f"groups/{plain}", {"description": "x"}).status_code == 204


def test_names_of_groups(writer: Client) -> None:
    unified = {"groupTypes": ["Unified"], "mailEnabled": True, "securityEnabled": False}
    first = made(writer, "groups", group("sales", **unified))["id"]
    assert "mailNickname" in writer.refused("POST", "groups", group("SALES", **unified))[2]
    made(writer, "groups", group("sales"))
    made(writer, "groups", group("a", uniqueName="only"))
    assert "uniqueName" in writer.refused("POST", "groups", group("b", uniqueName="only"))[2]
    hidden = {"visibility": "HiddenMembership"}
    assert writer.send("POST", "groups", group("c", **hidden)).status_code == 400
    made(writer, "groups", group("d", **unified, **hidden))
    assert writer.send("PATCH", f"groups/{first}", hidden).status_code == 400
    assert writer.send("PATCH", f"groups/{first}", {"visibility": "Private"}).status_code == 204


def test_security_attributes_are_defined_first_merged_and_unassigned(writer: Client) -> None:
    kind = "#Microsoft.DirectoryServices.CustomSecurityAttributeValue"
    values = {"customSecurityAttributes": {"Engineering": {"@odata.type": kind, "Clearance": "Secret"}}}
    assert writer.send("POST", "users", user(**values)).status_code == 400
    path = f"users/{made(writer, 'users', user())['id']}"
    shown = f"{path}?$select=customSecurityAttributes"
    for wrong in ({"Clearance": "Nope"}, {"Shoe": "43"}, {"Clearance": ["Secret"]}):
        body = {"customSecurityAttributes": {"Engineering": {"@odata.type": kind, **wrong}}}
        assert writer.send("PATCH", path, body).status_code == 400
    assert writer.send("PATCH", path, values).status_code == 204
    assert writer.get(shown)["customSecurityAttributes"]["Engineering"]["Clearance"] == "Secret"
    none = {"customSecurityAttributes": {"Engineering": {"@odata.type": kind, "Clearance": None}}}
    assert writer.send("PATCH", path, none).status_code == 204
    assert writer.get(shown)["customSecurityAttributes"] is None


def test_complex_values_keep_what_they_are_not_given(writer: Client) -> None:
    path = f"users/{made(writer, 'users', user())['id']}"
    for number in (1, 2):
        body = {"onPremisesExtensionAttributes": {f"extensionAttribute{number}": "x"}}
        assert writer.send("PATCH", path, body).status_code == 204
    held = writer.get(f"{path}?$select=onPremisesExtensionAttributes")["onPremisesExtensionAttributes"]
    assert held["extensionAttribute1"] == held["extensionAttribute2"] == "x"


def test_profiles_take_a_request_of_their_own(writer: Client) -> None:
    path = f"users/{made(writer, 'users', user())['id']}"
    assert writer.send("PATCH", path, {"aboutMe": "x", "city": "Kiruna"}).status_code == 400
    assert writer.send("PATCH", path, {"aboutMe": "x"}).status_code == 204


def test_guests_are_invited(simulator: Simulator, writer: Client) -> None:
    body = {"invitedUserEmailAddress": "ann@fabrikam.example", "inviteRedirectUrl": "https://myapps.example"}
    guest = made(writer, "invitations", body)["invitedUser"]["id"]
    found = writer.get(f"users/{guest}?$select=userType,userPrincipalName,externalUserState")
    assert found["userType"] == "Guest"
    assert found["userPrincipalName"] == "ann_fabrikam.example#EXT#@contoso.onmicrosoft.com"
    assert found["externalUserState"] == "PendingAcceptance"
    assert made(writer, "invitations", body)["invitedUser"]["id"] == guest
    assert writer.send("POST", "invitations", {"invitedUserEmailAddress": "x@fabrikam.example"}).status_code == 400


def test_licences_run_out(simulator: Simulator, writer: Client) -> None:
    sku = writer.all("subscribedSkus")[0]
    new = made(writer, "users", user(usageLocation="SE"))["id"]
    path = f"users/{new}/assignLicense"
    wrong = {"addLicenses": [{"skuId": sku["skuId"], "disabledPlans": [NOBODY]}], "removeLicenses": []}
    assert writer.send("POST", path, wrong).status_code == 400
    add = {"addLicenses": [{"skuId": sku["skuId"], "disabledPlans": []}], "removeLicenses": []}
    assert writer.send("POST", path, add).status_code == 200
    used = next(one for one in writer.all("subscribedSkus") if one["skuId"] == sku["skuId"])["consumedUnits"]
    assert used == sku["consumedUnits"] + 1
    units = {**sku["prepaidUnits"], "enabled": used}
    simulator.control.patch(f"subscribedSkus/{sku['id']}", {"prepaidUnits": units})
    other = made(writer, "users", user("second@contoso.com", usageLocation="SE"))["id"]
    assert "available licenses" in writer.refused("POST", f"users/{other}/assignLicense", add)[2]
    remove = {"addLicenses": [], "removeLicenses": [sku["skuId"]]}
    assert writer.send("POST", path, remove).status_code == 200
    assert writer.send("POST", f"users/{other}/assignLicense", add).status_code == 200
    held = made(writer, "groups", group())["id"]
    assert writer.send("POST", f"groups/{held}/assignLicense", add).status_code == 200
    # Who is deleted for good gives the seat back.
    assert "available licenses" in writer.refused("POST", path, add)[2]
    simulator.control.delete(f"users/{other}")
    simulator.control.purge(other)
    assert writer.send("POST", path, add).status_code == 200


# --- privileged users ------------------------------------------------------------------------------------------------


def test_privileged_users_take_a_directory_role(simulator: Simulator, writer: Client) -> None:
    assignment = simulator.control.dump("unifiedRoleAssignment")[0]
    holder = assignment["principalId"]
    assignable = next(one["id"] for one in simulator.control.dump("groups") if one["isAssignableToRole"])
    cloud = [one["id"] for one in simulator.control.dump("users") if not one["onPremisesSyncEnabled"]]
    member = next(
        end for source, end, _ in simulator.control.edges("groups", "members") if source == assignable and end in cloud
    )
    simulator.control.directory_roles(simulator.restore_client_id)
    for one in (holder, member):
        for change in ({"accountEnabled": False}, {"mobilePhone": "1"}, {"otherMails": ["a@b.example"]}):
            assert writer.refused("PATCH", f"users/{one}", change)[:2] == (403, "Authorization_RequestDenied")
        assert writer.send("PATCH", f"users/{one}", {"city": "Kiruna"}).status_code == 204
        assert writer.send("DELETE", f"users/{one}").status_code == 403
    plain = made(writer, "users", user())["id"]
    assert writer.send("PATCH", f"users/{plain}", {"accountEnabled": False}).status_code == 204
    password = {"passwordProfile": {"password": "xWwvJ]6NMw+bWH-d"}}
    assert writer.send("PATCH", f"users/{plain}", password).status_code == 403
    simulator.control.directory_roles(simulator.restore_client_id, "User Administrator")
    assert writer.send("PATCH", f"users/{plain}", password).status_code == 204
    assert writer.send("PATCH", f"users/{holder}", password).status_code == 403
    simulator.control.delete(f"users/{holder}")
    assert writer.send("POST", f"directory/deletedItems/{holder}/restore").status_code == 403
    simulator.control.directory_roles(simulator.restore_client_id, "Privileged Authentication Administrator")
    assert writer.send("POST", f"directory/deletedItems/{holder}/restore").status_code == 200
    assert writer.send("PATCH", f"users/{holder}", {"accountEnabled": False}).status_code == 204


def test_members_of_a_restricted_unit_are_left_alone(simulator: Simulator, writer: Client) -> None:
    unit = made(writer, "directory/administrativeUnits", {"displayName": "U", "isMemberManagementRestricted": True})
    new = made(writer, "users", user())["id"]
    path = f"directory/administrativeUnits/{unit['id']}"
    assert writer.send("POST", f"{path}/members/$ref", reference(new)).status_code == 204
    assert writer.send("PATCH", f"users/{new}", {"city": "Kiruna"}).status_code == 403
    assert writer.send("PATCH", path, {"isMemberManagementRestricted": False}).status_code == 400
    assert writer.send("DELETE", f"{path}/members/{new}/$ref").status_code == 204
    assert writer.send("PATCH", f"users/{new}", {"city": "Kiruna"}).status_code == 204
    dynamic = {"membershipType": "Dynamic", "membershipRule": "(user.city -eq 'X')"}
    assert writer.send("PATCH", path, dynamic).status_code == 204
    assert writer.send("POST", f"{path}/members/$ref", reference(new)).status_code == 400


# --- policies --------------------------------------------------------------------------------------------------------


def test_a_policy_names_only_what_is_there(simulator: Simulator, writer: Client) -> None:
    base = "identity/conditionalAccess"
    gone = made(writer, "groups", group())["id"]
    policy: dict[str, Any] = {
        "displayName": "P",
        "state": "enabledForReportingButNotEnforced",
        "conditions": {
            "users": {"includeUsers": ["All"], "excludeGroups": [gone]},
            "applications": {"includeApplications": ["All"]},
            "clientAppTypes": ["all"],
        },
        "grantControls": {"operator": "OR", "authenticationStrength": {"id": "00000000-0000-0000-0000-000000000004"}},
    }
    new = made(writer, f"{base}/policies", policy)
    assert new["grantControls"]["authenticationStrength"]["displayName"] == "Phishing-resistant MFA"
    for where, name, value, words in (
        ("users", "excludeUsers", NOBODY, "1053"),
        ("users", "includeGroups", NOBODY, "1054"),
        ("users", "includeRoles", NOBODY, "1055"),
        ("applications", "excludeApplications", NOBODY, "1034"),
        ("applications", "includeAuthenticationContextClassReferences", "c99", "c99"),
        ("locations", "includeLocations", NOBODY, "1040"),
    ):
        conditions = {**policy["conditions"], where: {**policy["conditions"].get(where, {}), name: [value]}}
        status, code, message = writer.refused("POST", f"{base}/policies", {**policy, "conditions": conditions})
        assert (status, code) == (400, "BadRequest")
        assert words in message
    controls = {"grantControls": {"operator": "OR", "authenticationStrength": {"id": NOBODY}}}
    assert writer.send("POST", f"{base}/policies", {**policy, **controls}).status_code == 400
    # What it has named all along may have gone meanwhile.
    assert writer.send("DELETE", f"groups/{gone}").status_code == 204
    path = f"{base}/policies/{new['id']}"
    assert writer.send("PATCH", path, {"conditions": policy["conditions"]}).status_code == 204
    assert writer.send("POST", f"{base}/policies", policy).status_code == 400
    risks = {"conditions": {"signInRiskLevels": ["high"]}}
    assert writer.send("PATCH", path, risks).status_code == 204
    assert writer.get(path)["conditions"]["users"]["excludeGroups"] == [gone]


def test_strengths_and_locations_in_use(writer: Client) -> None:
    base = "identity/conditionalAccess"
    strength = made(
        writer, "policies/authenticationStrengthPolicies", {"displayName": "S", "allowedCombinations": ["fido2"]}
    )
    policy = {
        "displayName": "P",
        "state": "disabled",
        "conditions": {"users": {"includeUsers": ["All"]}, "applications": {"includeApplications": ["All"]}},
        "grantControls": {"operator": "OR", "authenticationStrength": {"id": strength["id"]}},
    }
    new = made(writer, f"{base}/policies", policy)
    path = f"policies/authenticationStrengthPolicies/{strength['id']}"
    assert "referenced" in writer.refused("DELETE", path)[2]
    assert writer.send("DELETE", f"{base}/policies/{new['id']}").status_code == 204
    assert writer.send("DELETE", path).status_code == 204
    country = {
        "@odata.type": "#microsoft.graph.countryNamedLocation",
        "displayName": "C",
        "countriesAndRegions": ["SE"],
    }
    assert writer.send("POST", f"{base}/namedLocations", {**country, "isTrusted": True}).status_code == 400
    made(writer, f"{base}/namedLocations", country)


def test_a_restored_location_is_trusted_no_longer(simulator: Simulator, writer: Client) -> None:
    base = "identity/conditionalAccess"
    place = next(one for one in simulator.control.dump(f"{base}/namedLocations") if one.get("isTrusted"))
    path = f"{base}/namedLocations/{place['id']}"
    untrusted = {"@odata.type": place["@odata.type"], "isTrusted": False}
    assert writer.send("PATCH", path, untrusted).status_code == 204
    assert writer.send("DELETE", path).status_code == 204
    assert writer.send("POST", f"{base}/deletedItems/namedLocations/{place['id']}/restore").status_code == 200
    assert writer.get(path)["isTrusted"] is False
    assert writer.send("PATCH", path, {**untrusted, "isTrusted": True}).status_code == 204


def test_role_assignments_have_a_scope_that_exists(simulator: Simulator, writer: Client) -> None:
    role = next(one["id"] for one in simulator.control.dump("unifiedRoleDefinition") if not one["isBuiltIn"])
    body = {"principalId": writer.all("users?$select=id")[1]["id"], "roleDefinitionId": role}
    path = "roleManagement/directory/roleAssignments"
    unit = simulator.control.dump("directory/administrativeUnits")[1]["id"]
    assert writer.send("POST", path, {**body, "directoryScopeId": f"/administrativeUnits/{NOBODY}"}).status_code == 404
    assert writer.send("POST", path, {**body, "directoryScopeId": f"/{NOBODY}"}).status_code == 404
    new = made(writer, path, {**body, "directoryScopeId": f"/administrativeUnits/{unit}"})
    assert writer.send("PATCH", f"{path}/{new['id']}", {"directoryScopeId": "/"}).status_code == 405


def test_attributes_become_freer_only(writer: Client) -> None:
    path = "directory/customSecurityAttributeDefinitions/Engineering_Clearance"
    assert writer.send("DELETE", f"{path}/allowedValues/Open").status_code == 405
    assert writer.send("PATCH", f"{path}/allowedValues/Open", {"isActive": False}).status_code == 204
    assert writer.send("PATCH", path, {"usePreDefinedValuesOnly": False}).status_code == 204
    assert writer.send("PATCH", path, {"usePreDefinedValuesOnly": True}).status_code == 400


# --- governance ------------------------------------------------------------------------------------------------------


def test_workflows_change_their_tasks_by_a_new_version(simulator: Simulator, writer: Client) -> None:
    root = "identityGovernance/lifecycleWorkflows/workflows"
    path = f"{root}/{simulator.control.dump('workflow')[0]['id']}"
    before = writer.get(path)
    assert writer.send("PATCH", path, {"tasks": []}).status_code == 400
    assert writer.send("PATCH", path, {"displayName": "Ny"}).status_code == 204
    names = ("category", "displayName", "executionConditions", "tasks")
    version = {**{name: before[name] for name in names}, "tasks": before["tasks"][:1]}
    action = f"{path}/microsoft.graph.identityGovernance.createNewVersion"
    assert writer.send("POST", action, {"workflow": version}).status_code == 201
    after = writer.get(path)
    assert (after["version"], len(after["tasks"]), after["id"]) == (before["version"] + 1, 1, before["id"])
    assert writer.send("POST", action, {"workflow": {**version, "category": "mover"}}).status_code == 400
    assert made(writer, root, version)["version"] == 1


def test_access_packages_from_the_catalog_to_the_assignment(simulator: Simulator, writer: Client) -> None:
    catalog = made(writer, f"{ENTITLEMENT}/catalogs", {"displayName": "K"})["id"]
    owned = made(writer, "groups", group())["id"]
    resource = {"originId": owned, "originSystem": "AadGroup"}
    assert writer.send("POST", f"{ENTITLEMENT}/catalogs/{catalog}/resources", resource).status_code == 405
    wanted = {"requestType": "adminAdd", "resource": resource, "catalog": {"id": catalog}}
    unknown = {**wanted, "resource": {**resource, "originId": NOBODY}}
    assert writer.send("POST", f"{ENTITLEMENT}/resourceRequests", unknown).status_code == 404
    made(writer, f"{ENTITLEMENT}/resourceRequests", wanted)
    assert writer.send("POST", f"{ENTITLEMENT}/resourceRequests", wanted).status_code == 400
    listed = writer.all(f"{ENTITLEMENT}/catalogs/{catalog}/resources?$expand=roles,scopes")
    assert [one["originId"] for one in listed] == [owned]
    package = made(writer, f"{ENTITLEMENT}/accessPackages", {"displayName": "P", "catalog": {"id": catalog}})["id"]
    scopes = f"{ENTITLEMENT}/accessPackages/{package}/resourceRoleScopes"
    item = {
        "role": {"originId": f"Member_{owned}", "originSystem": "AadGroup"},
        "scope": {"originId": owned, "originSystem": "AadGroup"},
    }
    assert writer.send("POST", scopes, {**item, "scope": {"originId": NOBODY}}).status_code == 400
    made(writer, scopes, item)
    policy = made(writer, f"{ENTITLEMENT}/assignmentPolicies", {"displayName": "R", "accessPackage": {"id": package}})
    someone = writer.all("users?$select=id")[0]["id"]
    assignment = {"targetId": someone, "assignmentPolicyId": policy["id"], "accessPackageId": package}
    asked = {"requestType": "adminAdd", "assignment": assignment}
    made(writer, f"{ENTITLEMENT}/assignmentRequests", asked)
    assert writer.send("POST", f"{ENTITLEMENT}/assignmentRequests", asked).status_code == 400
    held = [one for one in simulator.control.dump("accessPackageAssignment") if one["accessPackage"]["id"] == package]
    assert [one["target"]["objectId"] for one in held] == [someone]
    assert writer.send("DELETE", f"{ENTITLEMENT}/accessPackages/{package}").status_code == 400
    assert writer.send("DELETE", f"{ENTITLEMENT}/catalogs/{catalog}").status_code == 400
    removed = {"requestType": "adminRemove", "assignment": {"id": held[0]["id"]}}
    made(writer, f"{ENTITLEMENT}/assignmentRequests", removed)
    for path in (f"accessPackages/{package}", f"assignmentPolicies/{policy['id']}", f"catalogs/{catalog}"):
        assert writer.send("DELETE", f"{ENTITLEMENT}/{path}").status_code == 204


# --- the recycle bin -------------------------------------------------------------------------------------------------


def belongings(simulator: Simulator, identifier: str) -> set[tuple[str, str, str]]:
    """Everything that is tied to the object, either way."""
    control = simulator.control
    found = set()
    for path, relation in (
        ("groups", "members"),
        ("groups", "owners"),
        ("directory/administrativeUnits", "members"),
        ("users", "manager"),
        ("users", "sponsors"),
        ("applications", "owners"),
        ("servicePrincipals", "owners"),
        ("directoryRoles", "members"),
    ):
        edges = control.edges(path, relation)
        found |= {(relation, source, target) for source, target, _ in edges if identifier in (source, target)}
    for kind in (
        "appRoleAssignment",
        "oAuth2PermissionGrant",
        "unifiedRoleAssignment",
        "scopedRoleMembership",
        "unifiedRoleEligibilitySchedule",
    ):
        found |= {(kind, one["id"], "") for one in control.dump(kind) if f"'{identifier}'" in str(one)}
    return found


@pytest.mark.parametrize("path", ["users", "groups", "directory/administrativeUnits", "servicePrincipals"])
def test_an_undelete_brings_back_what_is_tied_to_the_object(path: str, simulator: Simulator, writer: Client) -> None:
    known = [one for one in simulator.control.dump(path) if one.get("displayName") != "Microsoft Graph"]
    identifier = max((one["id"] for one in known[:8]), key=lambda one: len(belongings(simulator, one)))
    before = belongings(simulator, identifier)
    assert len(before) > 2
    assert writer.send("DELETE", f"{path}/{identifier}").status_code == 204
    assert belongings(simulator, identifier) == set()
    assert writer.send("POST", f"directory/deletedItems/{identifier}/restore").status_code == 200
    assert belongings(simulator, identifier) == before
    # What is gone for good takes everything along.
    simulator.control.purge(identifier)
    assert belongings(simulator, identifier) == set()


def test_licences_and_attributes_come_back_with_a_user(simulator: Simulator, writer: Client) -> None:
    before = next(
        one for one in simulator.control.dump("users") if one["assignedLicenses"] and not one["onPremisesSyncEnabled"]
    )
    writer.send("DELETE", f"users/{before['id']}")
    writer.send("POST", f"directory/deletedItems/{before['id']}/restore")
    assert next(one for one in simulator.control.dump("users") if one["id"] == before["id"]) == before


# --- a tenant to restore into ----------------------------------------------------------------------------------------


def test_a_fresh_tenant_of_another_name() -> None:
    with Simulator(empty=True, seed=11, domain="wingtip.com") as fresh:
        domains = {one["id"]: one["isVerified"] for one in fresh.control.dump("domains")}
        assert domains == {"wingtip.onmicrosoft.com": True, "wingtip.com": True}
        client = Client(fresh, restore=True)
        made(client, "users", user("new@wingtip.com"))
        assert "verified domain" in client.refused("POST", "users", user("new@contoso.com"))[2]
        assert made(client, "groups", group("x", **{"owners@odata.bind": [f"{GRAPH}/users/new@wingtip.com"]}))
        client.http.close()
