"""A fresh tenant takes everything that an application can create: what a restore drill restores into."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from entra_pipeline.simulator import Simulator
from entra_pipeline.simulator.schema import BY_NAME, SETS
from tests.simulator.conftest import Client
from tests.simulator.test_writing import group, made, reference, user

PARTNER = "0b0b0b0b-0000-4000-a000-000000000001"
QUERY = {"@odata.type": "#microsoft.graph.accessReviewQueryScope", "queryType": "MicrosoftGraph"}
LOGIC_APP = {
    "@odata.type": "#microsoft.graph.logicAppTriggerEndpointConfiguration",
    "subscriptionId": PARTNER,
    "resourceGroupName": "identity",
    "logicAppWorkflowName": "ticket",
    "url": "https://logic.example/ticket",
}
# By type, in an order that works; `{type}` stands for the id (or key) of the one that was made.
BODIES: dict[str, dict[str, Any]] = {
    "domain": {"id": "drill.example"},
    "attributeSet": {"id": "Engineering", "description": "x", "maxAttributesPerSet": 25},
    "customSecurityAttributeDefinition": {
        "attributeSet": "{attributeSet}",
        "name": "Clearance",
        "type": "String",
        "status": "Available",
        "isCollection": False,
        "isSearchable": True,
        "usePreDefinedValuesOnly": False,
    },
    "user": user("new@contoso.onmicrosoft.com", usageLocation="SE"),
    "invitation": {"invitedUserEmailAddress": "ann@fabrikam.example", "inviteRedirectUrl": "https://myapps.example"},
    "group": group(isAssignableToRole=True),
    "administrativeUnit": {"displayName": "U"},
    "application": {
        "displayName": "A",
        "appRoles": [
            {
                "id": "22222222-0000-4000-8000-000000000001",
                "allowedMemberTypes": ["User"],
                "description": "Reads",
                "displayName": "Reader",
                "isEnabled": True,
                "value": "read",
            }
        ],
    },
    "servicePrincipal": {"appId": "{appId}"},
    "oAuth2PermissionGrant": {
        "clientId": "{servicePrincipal}",
        "consentType": "AllPrincipals",
        "resourceId": "{graph}",
        "scope": "User.Read",
    },
    "unifiedRoleDefinition": {
        "displayName": "Custom",
        "isEnabled": True,
        "rolePermissions": [{"allowedResourceActions": ["microsoft.directory/groups/standard/read"]}],
    },
    "unifiedRoleAssignment": {
        "principalId": "{group}",
        "roleDefinitionId": "{unifiedRoleDefinition}",
        "directoryScopeId": "/administrativeUnits/{administrativeUnit}",
    },
    "directoryRole": {"roleTemplateId": "194ae4cb-b126-40b2-bd5b-6091b380977d"},
    **{
        f"unifiedRole{kind}ScheduleRequest": {
            "action": "adminAssign",
            "principalId": "{user}",
            "roleDefinitionId": "194ae4cb-b126-40b2-bd5b-6091b380977d",
            "directoryScopeId": "/",
            "scheduleInfo": {"expiration": {"type": "noExpiration"}},
        }
        for kind in ("Eligibility", "Assignment")
    },
    **{
        f"privilegedAccessGroup{kind}ScheduleRequest": {
            "action": "adminAssign",
            "accessId": access,
            "groupId": "{group}",
            "principalId": "{user}",
            "scheduleInfo": {"expiration": {"type": "noExpiration"}},
        }
        for kind, access in (("Eligibility", "owner"), ("Assignment", "member"))
    },
    "namedLocation": {
        "@odata.type": "#microsoft.graph.ipNamedLocation",
        "displayName": "L",
        "isTrusted": True,
        "ipRanges": [{"@odata.type": "#microsoft.graph.iPv4CidrRange", "cidrAddress": "192.0.2.0/24"}],
    },
    "authenticationStrengthPolicy": {"displayName": "S", "allowedCombinations": ["fido2"]},
    "authenticationContextClassReference": {"id": "c7", "displayName": "C", "isAvailable": True},
    "conditionalAccessPolicy": {
        "displayName": "P",
        "state": "enabledForReportingButNotEnforced",
        "conditions": {
            "users": {"includeUsers": ["All"], "excludeGroups": ["{group}"], "excludeUsers": ["{user}"]},
            "applications": {"includeApplications": ["{appId}"]},
            "locations": {"includeLocations": ["All"], "excludeLocations": ["{namedLocation}"]},
        },
        "grantControls": {"operator": "OR", "authenticationStrength": {"id": "{authenticationStrengthPolicy}"}},
    },
    "groupSetting": {"templateId": "{template}", "values": [{"name": "EnableMIPLabels", "value": "true"}]},
    "groupLifecyclePolicy": {"groupLifetimeInDays": 90, "managedGroupTypes": "All"},
    "crossTenantAccessPolicyConfigurationPartner": {"tenantId": PARTNER},
    "multiTenantOrganizationMember": {"tenantId": PARTNER},
    "certificateBasedAuthPki": {"displayName": "K"},
    "samlOrWsFedExternalDomainFederation": {
        "@odata.type": "#microsoft.graph.samlOrWsFedExternalDomainFederation",
        "displayName": "F",
        "issuerUri": "https://sts.fabrikam.example",
        "passiveSignInUri": "https://sts.fabrikam.example",
        "signingCertificate": "MIIC",
        "domains": [{"id": "fabrikam.example"}],
    },
    "authenticationEventsFlow": {
        "@odata.type": "#microsoft.graph.externalUsersSelfServiceSignUpEventsFlow",
        "displayName": "S",
    },
    "permissionGrantPolicy": {"id": "tier-2", "displayName": "Two"},
    **{
        name: {"displayName": "D", "definition": ["{}"], "isOrganizationDefault": False}
        for name in (
            "claimsMappingPolicy",
            "homeRealmDiscoveryPolicy",
            "tokenIssuancePolicy",
            "tokenLifetimePolicy",
            "activityBasedTimeoutPolicy",
        )
    },
    "appManagementPolicy": {"displayName": "D", "isEnabled": True},
    "accessPackageCatalog": {"displayName": "K"},
    "accessPackageResourceRequest": {
        "requestType": "adminAdd",
        "resource": {"originId": "{group}", "originSystem": "AadGroup"},
        "catalog": {"id": "{accessPackageCatalog}"},
    },
    "accessPackage": {"displayName": "P", "catalog": {"id": "{accessPackageCatalog}"}},
    "accessPackageAssignmentPolicy": {"displayName": "R", "accessPackage": {"id": "{accessPackage}"}},
    "accessPackageAssignmentRequest": {
        "requestType": "adminAdd",
        "assignment": {
            "targetId": "{user}",
            "assignmentPolicyId": "{accessPackageAssignmentPolicy}",
            "accessPackageId": "{accessPackage}",
        },
    },
    "connectedOrganization": {"displayName": "Fabrikam"},
    "entitlementRoleAssignment": {
        "principalId": "{user}",
        "roleDefinitionId": "ae79f266-94d4-4dab-b730-feca7e132178",
        "appScopeId": "/AccessPackageCatalog/{accessPackageCatalog}",
    },
    "accessReviewScheduleDefinition": {"displayName": "G", "scope": {**QUERY, "query": "/groups/{group}/members"}},
    "customTaskExtension": {"displayName": "T", "endpointConfiguration": LOGIC_APP},
    "workflow": {
        "category": "joiner",
        "displayName": "W",
        "executionConditions": {
            "@odata.type": "#microsoft.graph.identityGovernance.triggerAndScopeBasedConditions",
            "scope": {
                "@odata.type": "#microsoft.graph.identityGovernance.ruleBasedSubjectSet",
                "rule": "(department eq 'X')",
            },
        },
        "tasks": [{"taskDefinitionId": "d79d1fcc-16be-490c-a865-f4533b1639ee", "isEnabled": True, "arguments": []}],
    },
    "identityProviderBase": {
        "@odata.type": "#microsoft.graph.socialIdentityProvider",
        "displayName": "Google",
        "identityProviderType": "Google",
        "clientId": "x",
        "clientSecret": "y",
    },
    "b2xIdentityUserFlow": {"id": "Join", "userFlowType": "signUpOrSignIn", "userFlowTypeVersion": 1},
    "identityUserFlowAttribute": {"displayName": "Hobby", "dataType": "string"},
    "identityApiConnector": {
        "displayName": "C",
        "targetUrl": "https://api.example",
        "authenticationConfiguration": {
            "@odata.type": "#microsoft.graph.basicAuthentication",
            "username": "u",
            "password": "p",
        },
    },
    "authenticationEventListener": {"@odata.type": "#microsoft.graph.onTokenIssuanceStartListener"},
    "customAuthenticationExtension": {
        "@odata.type": "#microsoft.graph.onTokenIssuanceStartCustomExtension",
        "displayName": "E",
    },
}
# Parts, by type of their owner and segment.
PARTS: dict[tuple[str, str], dict[str, Any]] = {
    ("administrativeUnit", "scopedRoleMembers"): {"roleId": "{directoryRole}", "roleMemberInfo": {"id": "{user}"}},
    ("application", "federatedIdentityCredentials"): {
        "name": "ci",
        "issuer": "https://token.example",
        "subject": "s",
        "audiences": ["a"],
    },
    ("application", "extensionProperties"): {"name": "badge", "dataType": "String", "targetObjects": ["User"]},
    ("servicePrincipal", "appRoleAssignedTo"): {
        "principalId": "{user}",
        "resourceId": "{servicePrincipal}",
        "appRoleId": "22222222-0000-4000-8000-000000000001",
    },
    ("servicePrincipal", "delegatedPermissionClassifications"): {
        "permissionId": "e1fe6dd8-ba31-4d61-89e7-88639da4683d",
        "permissionName": "User.Read",
        "classification": "low",
    },
    ("servicePrincipal", "synchronization/jobs"): {"templateId": "scim"},
    ("domain", "federationConfiguration"): {
        "issuerUri": "https://sts.example",
        "passiveSignInUri": "https://sts.example",
        "signingCertificate": "MIIC",
    },
    ("organization", "branding/localizations"): {"id": "sv-SE", "signInPageText": "Hej"},
    ("group", "settings"): {"templateId": "{template}", "values": [{"name": "AllowToAddGuests", "value": "false"}]},
    ("user", "extensions"): {"extensionName": "com.fabrikam.badge", "colour": "blue"},
    ("servicePrincipal", "remoteDesktopSecurityConfiguration/approvedClientApps"): {
        "id": "{application}",
        "displayName": "C",
    },
    ("servicePrincipal", "remoteDesktopSecurityConfiguration/targetDeviceGroups"): {
        "id": "{group}",
        "displayName": "D",
    },
    ("certificateBasedAuthPki", "certificateAuthorities"): {
        "certificateAuthorityType": "root",
        "certificate": "MIIC",
        "displayName": "R",
    },
    ("organization", "certificateBasedAuthConfiguration"): {
        "certificateAuthorities": [{"isRootAuthority": True, "certificate": "MIIC"}]
    },
    ("b2xIdentityUserFlow", "userAttributeAssignments"): {"isOptional": True, "userInputType": "textBox"},
    ("accessPackageCatalog", "customWorkflowExtensions"): {
        "@odata.type": "#microsoft.graph.accessPackageAssignmentRequestWorkflowExtension",
        "displayName": "E",
    },
}


@pytest.fixture(scope="module")
def fresh() -> Iterator[tuple[Client, dict[str, str]]]:
    with Simulator(empty=True, seed=12) as simulator:
        simulator.control.knobs(throttle_conditional_access=False, throttle_lanes=False)
        client = Client(simulator, restore=True)
        (graph,) = (one for one in client.all("servicePrincipals") if one["appDisplayName"] == "Microsoft Graph")
        template = next(one for one in client.all("groupSettingTemplates") if one["displayName"] == "Group.Unified")
        organization = client.all("organization")[0]["id"]
        known = {"graph": graph["id"], "template": template["id"], "organization": organization}
        for name, body in BODIES.items():
            entry = BY_NAME[name]
            new = made(client, entry.path, filled(body, known))
            known[name] = new[entry.key]
            known.setdefault("appId", new.get("appId", "")) if name == "application" else None
        yield client, known
        client.http.close()


def filled(value: Any, known: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: filled(one, known) for name, one in value.items()}
    if isinstance(value, list):
        return [filled(one, known) for one in value]
    if isinstance(value, str):
        for name, identifier in known.items():
            value = value.replace("{" + name + "}", identifier)
    return value


def test_everything_that_can_be_created_was_created(fresh: tuple[Client, dict[str, str]]) -> None:
    creatable = {entry.name for entry in SETS if entry.create and entry.path and not entry.delegated}
    assert BODIES.keys() == creatable
    client, known = fresh
    counts = client.simulator.control.counts()
    assert all(counts[BY_NAME[name].path] for name in BODIES if name != "invitation")
    assert known["appId"]


@pytest.mark.parametrize("place", PARTS, ids="/".join)
def test_parts_are_created_below_them(place: tuple[str, str], fresh: tuple[Client, dict[str, str]]) -> None:
    client, known = fresh
    owner = {"organization": known["organization"]}.get(place[0], known.get(place[0], ""))
    if place[1] == "branding/localizations":
        assert client.send("PATCH", f"organization/{owner}/branding", {"signInPageText": "Hi"}).status_code == 204
    new = made(client, f"{BY_NAME[place[0]].path}/{owner}/{place[1]}", filled(PARTS[place], known))
    assert new["id"] in {one["id"] for one in client.all(f"{BY_NAME[place[0]].path}/{owner}/{place[1]}")}


def test_every_part_that_can_be_created_is_tried() -> None:
    creatable = {
        relation.part
        for entry in SETS
        for relation in entry.relations
        if relation.part
        and relation.many
        and BY_NAME[relation.part].create
        and relation.name != "oauth2PermissionGrants"
    }
    tried = {relation.part for kind, name in PARTS if (relation := BY_NAME[kind].relation(name))}
    # A language is put, under its own name.
    assert tried == creatable - {"userFlowLanguageConfiguration"}


def test_links_and_licences(fresh: tuple[Client, dict[str, str]]) -> None:
    client, known = fresh
    someone = known["user"]
    other = made(client, "users", user("other@contoso.onmicrosoft.com"))["id"]
    for path, target in (
        (f"groups/{known['group']}/members", other),
        (f"groups/{known['group']}/owners", other),
        (f"users/{someone}/sponsors", other),
        (f"directory/administrativeUnits/{known['administrativeUnit']}/members", someone),
        (f"applications/{known['application']}/owners", someone),
        (f"servicePrincipals/{known['servicePrincipal']}/owners", someone),
        (f"servicePrincipals/{known['servicePrincipal']}/claimsMappingPolicies", known["claimsMappingPolicy"]),
        (f"applications/{known['application']}/tokenLifetimePolicies", known["tokenLifetimePolicy"]),
        (
            f"identity/b2xUserFlows/{known['b2xIdentityUserFlow']}/userFlowIdentityProviders",
            known["identityProviderBase"],
        ),
    ):
        answer = client.send("POST", f"{path}/$ref", reference(target))
        assert answer.status_code == 204, answer.text
    assert client.send("PUT", f"users/{someone}/manager/$ref", reference(other)).status_code == 204
    sku = client.all("subscribedSkus")[0]["skuId"]
    add = {"addLicenses": [{"skuId": sku, "disabledPlans": []}], "removeLicenses": []}
    assert client.send("POST", f"users/{someone}/assignLicense", add).status_code == 200
    language = f"identity/b2xUserFlows/{known['b2xIdentityUserFlow']}/languages/sv"
    assert client.send("PUT", language, {"isEnabled": True}).status_code == 204
    partner = f"policies/crossTenantAccessPolicy/partners/{PARTNER}/identitySynchronization"
    assert client.send("PUT", partner, {"displayName": "F"}).status_code == 204
    assert client.send("PUT", partner, {"displayName": "F"}).status_code == 409
