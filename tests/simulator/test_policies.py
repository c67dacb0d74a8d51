"""Policies, privileged access, settings, external identities and governance: singletons, parts, filters, schedules."""

from __future__ import annotations

from typing import Any

import pytest

from entra_pipeline.simulator import Simulator
from entra_pipeline.simulator.schema import BY_NAME, LICENSED, SETS
from tests.simulator.conftest import Client

# What the generator adds so that clients meet properties their SDK does not know.
UNKNOWN = {"futureSetting", "futureControls", "extensionAttributes", "directorySizeQuota"}
SINGLETONS = [entry for entry in SETS if entry.singleton and not entry.delegated]
LISTS = [
    entry
    for entry in SETS
    if entry.path and not entry.singleton and not entry.delegated and not entry.name.endswith(("Request", "invitation"))
]
FILTERS = {
    "unifiedRoleManagementPolicy": "?$filter=scopeId eq '/' and scopeType eq 'DirectoryRole'",
    "unifiedRoleManagementPolicyAssignment": "?$filter=scopeId eq '/' and scopeType eq 'DirectoryRole'",
}
CONDITION = {
    "permissionClassification": "low",
    "permissionType": "delegated",
    "permissions": ["all"],
    "resourceApplication": "any",
}


@pytest.fixture(autouse=True)
def _no_lanes(request: pytest.FixtureRequest) -> None:
    """Slow lanes are a matter of the tests of limits."""
    for name in ("shared", "simulator"):
        if name in request.fixturenames:
            request.getfixturevalue(name).control.knobs(throttle_conditional_access=False, throttle_lanes=False)


# --- reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [entry.name for entry in SETS if entry.name not in {"user", "group"} and not entry.open]
)
def test_contents_have_the_properties_that_graph_knows(name: str, shared: Simulator) -> None:
    known = BY_NAME[name].properties().keys() | UNKNOWN | {"@odata.type"}
    assert {member for item in shared.control.dump(name) for member in item} <= known


@pytest.mark.parametrize("path", [entry.path for entry in SINGLETONS])
def test_a_singleton_is_one_object_without_value(path: str, shared: Simulator, reader: Client) -> None:
    (truth,) = shared.control.dump(path)
    body = reader.get(path)
    assert {name: body[name] for name in truth} == truth
    assert "value" not in body
    assert reader.refused("POST", path, {})[0] in {403, 405}
    assert reader.send("GET", f"{path}/nothing").status_code == 400


def test_some_singletons_have_no_id(reader: Client) -> None:
    assert "id" not in reader.get("policies/adminConsentRequestPolicy")
    assert "id" not in reader.get("policies/crossTenantAccessPolicy/default")
    assert "partners" not in reader.get("policies/crossTenantAccessPolicy")


@pytest.mark.parametrize("name", [entry.name for entry in LISTS if entry.name not in {"userRegistrationDetails"}])
def test_a_list_and_its_objects_agree(name: str, shared: Simulator) -> None:
    client = Client(shared, restore=True)
    entry = BY_NAME[name]
    if name.startswith("privilegedAccessGroup"):
        group = shared.control.dump(name)[0]["groupId"]
        listed = client.all(f"{entry.path}?$filter=groupId eq '{group}'")
    else:
        listed = client.all(entry.path + FILTERS.get(name, ""))
    assert listed
    one = client.get(f"{entry.path}/{listed[0][entry.key]}")
    assert {member: one[member] for member in listed[0] if member != "keyCredentials"} == {
        member: value for member, value in listed[0].items() if member != "keyCredentials"
    }
    client.http.close()


def test_partners_are_known_by_their_tenant(reader: Client) -> None:
    partners = reader.all("policies/crossTenantAccessPolicy/partners")
    assert all("id" not in partner and "identitySynchronization" not in partner for partner in partners)
    path = f"policies/crossTenantAccessPolicy/partners/{partners[0]['tenantId']}"
    synchronization = reader.get(f"{path}/identitySynchronization")
    assert synchronization["tenantId"] == partners[0]["tenantId"]
    assert reader.get(f"{path}?$expand=identitySynchronization")["identitySynchronization"] == {
        name: value for name, value in synchronization.items() if name != "@odata.context"
    }
    assert (
        reader.send(
            "GET", f"policies/crossTenantAccessPolicy/partners/{partners[1]['tenantId']}/identitySynchronization"
        ).status_code
        == 404
    )


@pytest.mark.parametrize(
    ("path", "partly", "whole"),
    [
        (
            "policies/roleManagementPolicies",
            "scopeId eq '/'",
            "scopeId eq '/' and scopeType eq 'DirectoryRole'",
        ),
        (
            "policies/roleManagementPolicyAssignments",
            "roleDefinitionId eq 'x'",
            "scopeId eq '/' and scopeType eq 'DirectoryRole'",
        ),
    ],
)
def test_rules_of_roles_take_a_filter_by_scope(path: str, partly: str, whole: str, reader: Client) -> None:
    assert reader.send("GET", path).status_code == 400
    assert reader.send("GET", f"{path}?$filter={partly}").status_code == 400
    assert len(reader.all(f"{path}?$filter={whole}")) == 12


@pytest.mark.parametrize("kind", ["eligibility", "assignment"])
def test_schedules_of_groups_take_a_filter_by_group_or_principal(kind: str, shared: Simulator, reader: Client) -> None:
    path = f"identityGovernance/privilegedAccess/group/{kind}Schedules"
    truth = shared.control.dump(path)
    assert reader.send("GET", path).status_code == 400
    for end in ("groupId", "principalId"):
        mine = [one["id"] for one in truth if one[end] == truth[0][end]]
        assert [one["id"] for one in reader.all(f"{path}?$filter={end} eq '{truth[0][end]}'")] == mine


def test_rules_come_when_they_are_expanded(reader: Client) -> None:
    path = "policies/roleManagementPolicies?$filter=scopeId eq '/' and scopeType eq 'DirectoryRole'"
    assert "rules" not in reader.all(path)[0]
    expanded = reader.all(f"{path}&$expand=rules")
    assert all(len(one["rules"]) == 4 for one in expanded)
    assert reader.all(f"policies/roleManagementPolicies/{expanded[0]['id']}/rules") == expanded[0]["rules"]
    definitions = reader.all("directory/customSecurityAttributeDefinitions?$expand=allowedValues")
    assert [len(one["allowedValues"]) for one in definitions] == [3, 0, 0]
    assert "allowedValues" not in reader.all("directory/customSecurityAttributeDefinitions")[0]


@pytest.mark.parametrize(
    ("owners", "segment", "part"),
    [
        (entry.path, relation.name, relation.part)
        for entry in SETS
        for relation in entry.relations
        if relation.part and relation.many and entry.path
    ],
)
def test_parts_are_listed_below_their_owner(owners: str, segment: str, part: str, shared: Simulator) -> None:
    client = Client(shared, restore=True)
    edges = shared.control.edges(owners, segment)
    assert edges
    for owner in sorted({source for source, _, _ in edges})[:3]:
        listed = client.all(f"{owners}/{owner}/{segment}")
        assert {one["id"] for one in listed} == {target for source, target, _ in edges if source == owner}
        assert client.get(f"{owners}/{owner}/{segment}/{listed[0]['id']}")["id"] == listed[0]["id"]
    client.http.close()


def test_a_part_of_which_there_is_one_is_an_object_or_absent(simulator: Simulator, client: Client) -> None:
    organization = simulator.control.dump("organization")[0]["id"]
    assert client.get(f"organization/{organization}/branding")["signInPageText"] == "Contoso"
    simulator.control.delete(f"organization/{organization}/branding/0")
    assert client.refused("GET", f"organization/{organization}/branding")[:2] == (404, "Request_ResourceNotFound")
    principal, job, _ = min(simulator.control.edges("servicePrincipals", "synchronization/jobs"))
    schema = client.get(f"servicePrincipals/{principal}/synchronization/jobs/{job}/schema")
    assert schema["synchronizationRules"][0]["objectMappings"]


def test_policies_know_the_applications_they_apply_to(shared: Simulator, reader: Client) -> None:
    able = Client(shared, restore=True)
    policy = next(one["id"] for one in reader.all("policies/tokenIssuancePolicies"))
    applies = reader.all(f"policies/tokenIssuancePolicies/{policy}/appliesTo")
    assert {one["@odata.type"] for one in applies} == {
        "#microsoft.graph.application",
        "#microsoft.graph.servicePrincipal",
    }
    application = next(one["id"] for one in applies if one["@odata.type"].endswith("application"))
    assert [one["id"] for one in able.all(f"applications/{application}/tokenIssuancePolicies")] == [policy]
    assert reader.send("GET", f"applications/{application}/tokenIssuancePolicies").status_code == 403
    able.http.close()
    edges = shared.control.edges("tokenIssuancePolicy", "appliesTo")
    assert {(end, kind) for source, end, kind in edges if source == policy} == {
        (one["id"], one["@odata.type"].removeprefix("#microsoft.graph.")) for one in applies
    }


def test_every_collection_but_one_counts(reader: Client) -> None:
    reader.simulator.control.roles(reader.simulator.client_id)
    for entry in LISTS:
        answer = reader.send("GET", f"{entry.path}/$count", ConsistencyLevel="eventual")
        assert answer.status_code in {200, 403} if entry.countable else 400, entry.path
        if answer.status_code == 200:
            assert int(answer.text) == reader.simulator.control.counts()[entry.path]


@pytest.mark.parametrize("path", [entry.path for entry in SETS if entry.delegated])
def test_what_only_people_may_see_is_refused_to_every_application(path: str, shared: Simulator) -> None:
    for restore in (False, True):
        client = Client(shared, restore=restore)
        assert client.refused("GET", path)[:2] == (403, "Authorization_RequestDenied")
        client.http.close()


def test_without_a_licence(simulator: Simulator, client: Client) -> None:
    simulator.control.unlicensed(*LICENSED)
    for path in ("roleManagement/directory/roleEligibilitySchedules", "identityGovernance/accessReviews/definitions"):
        status, code, message = client.refused("GET", path)
        assert (status, code) == (403, "AadPremiumLicenseRequired")
        assert "license" in message
    assert client.get("users")
    simulator.control.unlicensed()
    assert client.all("roleManagement/directory/roleEligibilitySchedules")


def test_secrets_come_singly_by_name_and_permission(simulator: Simulator) -> None:
    path = "informationProtection/bitlocker/recoveryKeys"
    client = Client(simulator)
    listed = client.all(path)
    assert listed
    assert not any("key" in one for one in listed)
    one = f"{path}/{listed[0]['id']}"
    assert "key" not in client.get(one)
    assert client.send("GET", f"{one}?$select=key").status_code == 403
    simulator.control.roles(
        simulator.client_id, [*simulator.control.roles(simulator.client_id), "BitlockerKey.Read.All"]
    )
    client.sign_in()
    assert len(client.get(f"{one}?$select=key")["key"]) == 55
    assert client.send("GET", f"{path}?$select=key").status_code == 501
    client.http.close()


def test_security_attributes_of_people_and_applications(reader: Client) -> None:
    for path in ("users", "servicePrincipals"):
        assert not any("customSecurityAttributes" in one for one in reader.all(path))
        values = [one["customSecurityAttributes"] for one in reader.all(f"{path}?$select=id,customSecurityAttributes")]
        assert any(value and value["Engineering"]["Clearance"] == "Secret" for value in values)


def test_contacts_are_directory_objects(simulator: Simulator, client: Client) -> None:
    contacts = client.all("contacts")
    _, link = client.round("contacts/delta")
    simulator.control.patch(f"contacts/{contacts[0]['id']}", {"jobTitle": "Ekonom"})
    ((changed),) = client.round(link)[0]
    assert (changed["id"], changed["jobTitle"]) == (contacts[0]["id"], "Ekonom")
    members = {kind for _, _, kind in simulator.control.edges("groups", "members")}
    assert "orgContact" in members
    assert client.get(f"contacts/{contacts[0]['id']}/manager")["@odata.type"] == "#microsoft.graph.user"
    assert client.refused("PATCH", f"contacts/{contacts[0]['id']}", {"jobTitle": "x"})[0] in {403, 405}


def test_registrations_follow_the_users(simulator: Simulator, client: Client) -> None:
    path = "reports/authenticationMethods/userRegistrationDetails"
    assert [one["id"] for one in client.all(path)] == [one["id"] for one in simulator.control.dump("users")]
    created = simulator.control.create("users", {"displayName": "Ny"})
    assert client.get(f"{path}/{created}")["userDisplayName"] == "Ny"
    simulator.control.delete(f"users/{created}")
    assert created not in {one["id"] for one in client.all(path)}
    assert client.send("PATCH", f"{path}/x", {}).status_code in {403, 405}


def test_workflows_show_their_tasks_singly(reader: Client) -> None:
    path = "identityGovernance/lifecycleWorkflows/workflows"
    listed = reader.all(path)
    assert not any({"tasks", "executionConditions"} & one.keys() for one in listed)
    assert len(reader.get(f"{path}/{listed[0]['id']}")["tasks"]) == 2


@pytest.mark.parametrize("path", ["reports/authenticationMethods/userRegistrationDetails", "identity/b2xUserFlows"])
def test_reports_and_identity_have_lanes_of_their_own(path: str, simulator: Simulator, client: Client) -> None:
    simulator.control.knobs(throttle_lanes=True)
    answers = (client.send("GET", path) for _ in range(2_000))
    refused = next(answer for answer in answers if answer.status_code != 200)
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) >= 1


# --- writing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("policies/authorizationPolicy", {"allowInvitesFrom": "none"}),
        ("policies/identitySecurityDefaultsEnforcementPolicy", {"isEnabled": True}),
        ("policies/crossTenantAccessPolicy/default", {"inboundTrust": {"isMfaAccepted": False}}),
        ("policies/deviceRegistrationPolicy", {"userDeviceQuota": 3}),
        ("identityGovernance/lifecycleWorkflows/settings", {"workflowScheduleIntervalInHours": 5}),
    ],
)
def test_singletons_are_changed_by_patch(path: str, change: dict[str, Any], writer: Client) -> None:
    assert writer.send("PATCH", path, change).status_code == 204
    body = writer.get(path)
    for name, value in change.items():
        # What a complex value is not given, it keeps.
        assert {**body[name], **value} == body[name] if isinstance(value, dict) else body[name] == value
    assert writer.send("PATCH", path, {"noSuchThing": 1}).status_code == 400
    assert writer.send("DELETE", path).status_code == 405


@pytest.mark.parametrize(
    ("path", "body", "change"),
    [
        (
            "policies/claimsMappingPolicies",
            {"displayName": "Ny", "definition": ["{}"], "isOrganizationDefault": False},
            {"displayName": "Nyare"},
        ),
        ("policies/permissionGrantPolicies", {"id": "tier-2", "displayName": "Två"}, {"displayName": "2"}),
        (
            "policies/crossTenantAccessPolicy/partners",
            {"tenantId": "0b0b0b0b-0000-4000-a000-000000000001", "inboundTrust": {"isMfaAccepted": True}},
            {"isServiceProvider": True},
        ),
        (
            "groupLifecyclePolicies",
            {"groupLifetimeInDays": 90, "managedGroupTypes": "All", "alternateNotificationEmails": "a@contoso.com"},
            {"groupLifetimeInDays": 91},
        ),
        (
            "identity/identityProviders",
            {
                "@odata.type": "#microsoft.graph.socialIdentityProvider",
                "displayName": "Google",
                "identityProviderType": "Google",
                "clientId": "x",
                "clientSecret": "y",
            },
            {"clientId": "z"},
        ),
        (
            "identityGovernance/entitlementManagement/catalogs",
            {"displayName": "Katalog", "isExternallyVisible": False},
            {"description": "Ny"},
        ),
        (
            "identityGovernance/accessReviews/definitions",
            {"displayName": "Review", "scope": {"query": "/groups", "queryType": "MicrosoftGraph"}},
            {"displayName": "Granskning"},
        ),
    ],
)
def test_policies_come_change_and_go(path: str, body: dict[str, Any], change: dict[str, Any], writer: Client) -> None:
    entry = next(entry for entry in SETS if entry.path == path)
    for name in entry.required:
        assert writer.send("POST", path, {k: v for k, v in body.items() if k != name}).status_code == 400
    created = writer.send("POST", path, body)
    assert created.status_code == 201, created.text
    one = f"{path}/{created.json()[entry.key]}"
    methods = {method: writer.send(method, one, change).status_code for method in ("PATCH", "PUT")}
    assert methods == {method: 204 if method in entry.changes else 405 for method in methods}
    found = writer.get(one)
    assert {name: found[name] for name in {**body, **change}} == {**body, **change}
    if entry.key in body:
        assert writer.refused("POST", path, body)[:2] == (409, "Request_MultipleObjectsWithSameKeyValue")
    assert writer.send("DELETE", one).status_code == 204
    assert writer.send("GET", one).status_code == 404


def test_consent_requests_are_put(writer: Client) -> None:
    path = "policies/adminConsentRequestPolicy"
    assert writer.send("PATCH", path, {"requestDurationInDays": 7}).status_code == 405
    assert writer.send("PUT", path, {"requestDurationInDays": 7}).status_code == 204
    assert writer.get(path)["requestDurationInDays"] == 7


def test_conditions_of_a_consent_policy(writer: Client) -> None:
    path = "policies/permissionGrantPolicies"
    added = writer.send("POST", f"{path}/tier-1/includes", CONDITION)
    assert added.status_code == 201
    condition = added.json()["id"]
    assert condition in {one["id"] for one in writer.get(f"{path}/tier-1")["includes"]}
    assert writer.get(f"{path}/tier-1/includes/{condition}")["permissionType"] == "delegated"
    assert writer.send("DELETE", f"{path}/tier-1/includes/{condition}").status_code == 204
    assert condition not in {one["id"] for one in writer.all(f"{path}/tier-1/includes")}
    assert writer.send("POST", f"{path}/tier-1/includes", {"noSuchThing": 1}).status_code == 400
    assert writer.send("POST", f"{path}/microsoft-company-admin/includes", CONDITION).status_code == 400
    assert writer.send("PATCH", f"{path}/tier-1", {"includes": []}).status_code == 400
    assert writer.send("DELETE", f"{path}/microsoft-company-admin").status_code == 400


def test_authentication_methods_are_changed_one_by_one(writer: Client) -> None:
    path = "policies/authenticationMethodsPolicy"
    change = {"@odata.type": "#microsoft.graph.smsAuthenticationMethodConfiguration", "state": "enabled"}
    assert writer.send("PATCH", f"{path}/authenticationMethodConfigurations/sms", change).status_code == 204
    states = {one["id"]: one["state"] for one in writer.get(path)["authenticationMethodConfigurations"]}
    assert states["Sms"] == "enabled"
    assert writer.send("PATCH", path, {"authenticationMethodConfigurations": []}).status_code == 400


def test_contexts_are_made_by_patch(writer: Client) -> None:
    path = "identity/conditionalAccess/authenticationContextClassReferences"
    body = {"displayName": "Ny", "description": "", "isAvailable": True}
    assert writer.send("PATCH", f"{path}/c42", body).status_code == 204
    assert writer.get(f"{path}/c42")["displayName"] == "Ny"
    assert writer.send("PATCH", f"{path}/c100", body).status_code == 400
    assert writer.send("DELETE", f"{path}/c42").status_code == 400, "it is published"
    assert writer.send("PATCH", f"{path}/c42", {"isAvailable": False}).status_code == 204
    assert writer.send("DELETE", f"{path}/c42").status_code == 204


def test_security_attributes_are_never_deleted(writer: Client) -> None:
    body = {
        "attributeSet": "Engineering",
        "name": "Site",
        "type": "String",
        "status": "Available",
        "isCollection": False,
        "isSearchable": True,
        "usePreDefinedValuesOnly": True,
        "allowedValues": [{"id": "Malmö", "isActive": True}],
    }
    path = "directory/customSecurityAttributeDefinitions"
    created = writer.send("POST", path, body).json()["id"]
    assert created == "Engineering_Site"
    assert writer.send("POST", f"{path}/{created}/allowedValues", {"id": "Lund", "isActive": True}).status_code == 201
    assert [one["id"] for one in writer.all(f"{path}/{created}/allowedValues")] == ["Malmö", "Lund"]
    assert writer.send("PATCH", f"{path}/{created}", {"type": "Integer"}).status_code == 400
    assert writer.send("PATCH", f"{path}/{created}", {"status": "Deprecated"}).status_code == 204
    assert writer.send("DELETE", f"{path}/{created}").status_code == 405
    assert writer.send("POST", path, {**body, "attributeSet": "Nowhere"}).status_code == 404


def test_parts_of_which_there_is_one_are_put(simulator: Simulator, writer: Client) -> None:
    partner = simulator.control.dump("crossTenantAccessPolicyConfigurationPartner")[1]["tenantId"]
    path = f"policies/crossTenantAccessPolicy/partners/{partner}/identitySynchronization"
    body = {"displayName": "Fabrikam", "userSyncInbound": {"isSyncAllowed": True}}
    assert writer.send("PATCH", path, body).status_code == 404
    assert writer.send("PUT", path, body).status_code == 204
    assert writer.get(path)["tenantId"] == partner
    assert writer.send("PATCH", path, {"displayName": "Ny"}).status_code == 204
    assert writer.send("DELETE", path).status_code == 204
    assert writer.send("GET", path).status_code == 404
    organization = simulator.control.dump("organization")[0]["id"]
    simulator.control.delete(f"organization/{organization}/branding/0")
    branding = f"organization/{organization}/branding"
    assert writer.send("PATCH", branding, {"signInPageText": "Hej"}).status_code == 204
    assert writer.get(branding)["id"] == "0"
    localizations = f"{branding}/localizations"
    assert writer.send("POST", localizations, {"id": "fi-FI", "signInPageText": "Hei"}).status_code == 201
    assert writer.get(f"{localizations}/fi-FI")["signInPageText"] == "Hei"


def test_policies_are_tied_to_applications_by_reference(simulator: Simulator, writer: Client) -> None:
    policy = simulator.control.dump("claimsMappingPolicy")[1]["id"]
    principal = simulator.control.dump("servicePrincipals")[4]["id"]
    reference = {"@odata.id": f"{simulator.graph_url}/policies/claimsMappingPolicies/{policy}"}
    path = f"servicePrincipals/{principal}/claimsMappingPolicies"
    assert writer.send("POST", f"{path}/$ref", reference).status_code == 204
    assert writer.send("POST", f"{path}/$ref", reference).status_code == 400
    applies = writer.all(f"policies/claimsMappingPolicies/{policy}/appliesTo")
    assert [one["id"] for one in applies] == [principal]
    assert writer.send("DELETE", f"{path}/{policy}/$ref").status_code == 204
    assert writer.all(path) == []


def test_roles_are_scheduled_by_requests(simulator: Simulator, writer: Client) -> None:
    user = simulator.control.dump("users")[1]["id"]
    role = simulator.control.dump("unifiedRoleDefinition")[8]["id"]
    body = {
        "action": "adminAssign",
        "justification": "Jour",
        "principalId": user,
        "roleDefinitionId": role,
        "directoryScopeId": "/",
        "scheduleInfo": {"expiration": {"type": "noExpiration"}},
    }
    root = "roleManagement/directory"
    for kind in ("Eligibility", "Assignment"):
        requests = f"{root}/role{kind}ScheduleRequests"
        created = writer.send("POST", requests, body)
        assert created.status_code == 201, created.text
        schedule = writer.get(f"{root}/role{kind}Schedules/{created.json()['targetScheduleId']}")
        assert (schedule["principalId"], schedule["roleDefinitionId"], schedule["status"]) == (
            user,
            role,
            "Provisioned",
        )
        assert writer.refused("POST", requests, body)[1] == "RoleAssignmentExists"
        assert writer.send("DELETE", f"{root}/role{kind}Schedules/{schedule['id']}").status_code in {403, 405}
    held = f"{root}/roleAssignments?$filter=principalId eq '{user}' and roleDefinitionId eq '{role}'"
    assert len(writer.all(held)) == 1
    for kind in ("Eligibility", "Assignment"):
        assert writer.send("POST", f"{root}/role{kind}ScheduleRequests", {**body, "action": "adminRemove"}).is_success
        schedules = writer.all(f"{root}/role{kind}Schedules")
        assert (user, role) not in {(one["principalId"], one["roleDefinitionId"]) for one in schedules}
    assert writer.all(held) == []
    missing = {**body, "action": "adminRemove"}
    assert writer.send("POST", f"{root}/roleEligibilityScheduleRequests", missing).status_code == 404
    unknown = {**body, "principalId": "6ea91a8d-e32e-41a1-b7bd-d2d185eed0e0"}
    assert writer.send("POST", f"{root}/roleEligibilityScheduleRequests", unknown).status_code == 404


def test_group_membership_is_scheduled_by_requests(simulator: Simulator, writer: Client) -> None:
    group = next(one["id"] for one in simulator.control.dump("groups") if one["isAssignableToRole"])
    members = {target for source, target, _ in simulator.control.edges("groups", "members") if source == group}
    user = next(one["id"] for one in simulator.control.dump("users") if one["id"] not in members)
    root = "identityGovernance/privilegedAccess/group"
    body = {
        "action": "adminAssign",
        "accessId": "member",
        "groupId": group,
        "principalId": user,
        "scheduleInfo": {"expiration": {"type": "afterDuration", "duration": "P5D"}},
    }
    assert writer.send("POST", f"{root}/assignmentScheduleRequests", body).status_code == 201
    schedules = f"{root}/assignmentSchedules?$filter=groupId eq '{group}'"
    assert user in {one["principalId"] for one in writer.all(schedules)}
    assert user in {one["id"] for one in writer.all(f"groups/{group}/members")}
    simulator.control.delete(f"groups/{group}")
    assert writer.all(schedules) == []
    simulator.control.restore(group)
    assert user in {one["principalId"] for one in writer.all(schedules)}


def test_the_rules_of_roles_cannot_be_changed_by_applications(simulator: Simulator, writer: Client) -> None:
    policy = simulator.control.dump("unifiedRoleManagementPolicy")[0]
    path = f"policies/roleManagementPolicies/{policy['id']}/rules/{policy['rules'][0]['id']}"
    assert writer.send("GET", path).status_code == 200
    assert writer.send("PATCH", path, {"isExpirationRequired": False}).status_code in {403, 405}


def test_a_deleted_workflow_comes_back(simulator: Simulator, writer: Client) -> None:
    workflow = simulator.control.dump("workflow")[0]["id"]
    root = "identityGovernance/lifecycleWorkflows"
    assert writer.send("DELETE", f"{root}/workflows/{workflow}").status_code == 204
    assert [one["id"] for one in writer.all(f"{root}/deletedItems/workflows")] == [workflow]
    assert [one["id"] for one in simulator.control.dump(f"{root}/deletedItems/workflows")] == [workflow]
    assert writer.send("POST", f"{root}/deletedItems/workflows/{workflow}/restore").status_code == 200
    assert writer.get(f"{root}/workflows/{workflow}")["id"] == workflow


# --- streams ---------------------------------------------------------------------------------------------------------


def test_an_image_is_put_and_read_as_bytes_and_never_in_json(simulator: Simulator) -> None:
    client = Client(simulator, restore=True)
    (organization,) = client.all("organization")
    branding = f"organization/{organization['id']}/branding"
    place = f"{branding}/localizations/sv-SE/squareLogo"
    assert client.send("GET", place).status_code == 404
    image = b"\x89PNG\r\n\x1a\n\x00\xff"
    put = client.http.put(
        f"{simulator.graph_url}/{place}",
        content=image,
        headers={"Content-Type": "image/png"},
    )
    assert put.status_code == 204
    read = client.send("GET", place)
    assert (read.content, read.headers["Content-Type"]) == (image, "image/png")
    shown = client.get(f"{branding}/localizations/sv-SE")
    assert shown["squareLogoRelativeUrl"]
    assert "squareLogo" not in shown
    # The default branding is localization 0.
    assert client.send("GET", f"{branding}/localizations/0/bannerLogo").content.startswith(b"\x89PNG")
    client.http.close()
