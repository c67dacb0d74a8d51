"""What the story's tenant holds for the views of who may do what: a fact of each kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from entra_pipeline.simulator.server.control.client import Control

USER_ADMINISTRATOR = "fe930be7-5e62-47db-91af-98c3a49a38b1"
GLOBAL_READER = "f2ef992c-3afb-46b9-b7cf-a126ee74c451"
APPLICATION_ADMINISTRATOR = "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3"
POWERFUL = "Group.ReadWrite.All"
GRAPH = "00000003-0000-0000-c000-000000000000"
ROLES = "roleManagement/directory"
UNBOUNDED = {
    "clientAppTypes": ["all"],
    "signInRiskLevels": [],
    "userRiskLevels": [],
    **dict.fromkeys(("insiderRiskLevels", "platforms", "locations", "devices", "authenticationFlows")),
}
"""Conditions that every sign-in meets."""
PIM = "identityGovernance/privilegedAccess/group"
READY = {"status": "Provisioned", "memberType": "Direct"}


def period(begin: str, end: str = "") -> dict[str, Any]:
    """The times of a schedule of PIM."""
    kind = "afterDateTime" if end else "noExpiration"
    return {"startDateTime": begin, "recurrence": None, "expiration": {"type": kind, "endDateTime": end or None}}


def plant_roles(control: Control, person: Callable[[str], str], group: dict[str, Any], tier: str) -> None:
    """Holders of roles: in an administrative unit, on an application, activated, by PIM of groups, by a custom role.

    Args:
        control: The tenant.
        person: Creates a user of a name; returns the id.
        group: The properties of a group, but for its names.
        tier: A group that holds Global Administrator.
    """

    def make_group(name: str) -> str:
        nickname = name.lower().replace(" ", "-")
        return control.create(
            "groups", {**group, "displayName": name, "mailNickname": nickname, "isAssignableToRole": True}
        )

    def assign(role: str, principal: str, place: str = "/") -> None:
        body = {"roleDefinitionId": role, "principalId": principal, "directoryScopeId": place}
        control.create(f"{ROLES}/roleAssignments", body)

    unit = control.create("directory/administrativeUnits", {"displayName": "Sweden"})
    assign(USER_ADMINISTRATOR, person("Ulla Unit"), f"/administrativeUnits/{unit}")
    application = min(control.dump("applications"), key=lambda one: str(one["displayName"]))["id"]
    assign(APPLICATION_ADMINISTRATOR, person("Aron App"), f"/{application}")
    activated = person("Akke Activated")
    assign(USER_ADMINISTRATOR, activated)
    schedule = {"principalId": activated, "roleDefinitionId": USER_ADMINISTRATOR, "directoryScopeId": "/"}
    times = period("2026-11-30T06:00:00Z", "2036-11-30T14:00:00Z")
    control.create(
        f"{ROLES}/roleAssignmentSchedules", {**READY, **schedule, "assignmentType": "Activated", "scheduleInfo": times}
    )
    granted = person("Greta Granted")
    control.add_link(f"groups/{tier}/members", granted)
    control.create(
        f"{PIM}/assignmentSchedules",
        {
            **READY,
            "groupId": tier,
            "principalId": granted,
            "accessId": "member",
            "assignmentType": "activated",
            "scheduleInfo": times,
        },
    )
    operators = make_group("Operators")
    control.add_link(f"groups/{operators}/members", person("Olle Operator"))
    eligible = {"principalId": operators, "roleDefinitionId": GLOBAL_READER, "directoryScopeId": "/"}
    control.create(
        f"{ROLES}/roleEligibilitySchedules", {**READY, **eligible, "scheduleInfo": period("2026-02-01T00:00:00Z")}
    )
    circle = make_group("Inner circle")
    control.add_link(f"groups/{circle}/members", person("Ines Inner"))
    # In a circle: each is in the other.
    control.add_link(f"groups/{circle}/members", operators)
    control.add_link(f"groups/{operators}/members", circle)
    control.create(
        f"{PIM}/eligibilitySchedules",
        {
            **READY,
            "groupId": tier,
            "principalId": circle,
            "accessId": "member",
            "scheduleInfo": period("2026-03-01T00:00:00Z", "2036-03-01T00:00:00Z"),
        },
    )
    keepers = control.create(
        f"{ROLES}/roleDefinitions",
        {
            "displayName": "Credential keepers",
            "isBuiltIn": False,
            "isEnabled": True,
            "rolePermissions": [
                {"allowedResourceActions": ["microsoft.directory/applications/credentials/update"], "condition": None}
            ],
        },
    )
    assign(keepers, person("Kim Keeper"))
    assign(GLOBAL_READER, min(control.dump("servicePrincipals"), key=lambda one: str(one["displayName"]))["id"])


def plant_applications(control: Control, person: Callable[[str], str]) -> None:
    """An application that may take over the tenant, with an owner, an expired secret, a certificate, a federation."""
    graph = next(one for one in control.dump("servicePrincipals") if one["appId"] == GRAPH)
    app_role = next(one for one in graph["appRoles"] if one["value"] == POWERFUL)
    applications = sorted(control.dump("applications"), key=lambda one: str(one["displayName"]))
    by_app_id = {one["appId"]: one for one in control.dump("servicePrincipals")}
    application = next(one for one in applications[1:] if one["appId"] in by_app_id)
    principal = by_app_id[application["appId"]]
    control.patch(f"applications/{application['id']}", {"displayName": "Payroll"})
    control.patch(f"servicePrincipals/{principal['id']}", {"displayName": "Payroll"})
    control.create(
        f"servicePrincipals/{principal['id']}/appRoleAssignments",
        {
            "principalId": principal["id"],
            "resourceId": graph["id"],
            "appRoleId": app_role["id"],
            "createdDateTime": "2026-01-05T00:00:00Z",
        },
    )
    control.add_link(f"applications/{application['id']}/owners", person("Petra Power"))
    secret = {
        "customKeyIdentifier": None,
        "displayName": "forgotten",
        "endDateTime": "2026-02-01T00:00:00Z",
        "hint": "pay",
        "keyId": "5b3c2b6e-1df0-4f5c-9a55-0f1f6e0a0d02",
        "secretText": None,
        "startDateTime": "2025-02-01T00:00:00Z",
    }
    control.patch(f"applications/{application['id']}", {"passwordCredentials": [secret]})
    control.create(
        f"applications/{application['id']}/federatedIdentityCredentials",
        {"name": "pipeline", "issuer": "https://ci.example.net", "subject": "repo:payroll", "audiences": ["api://x"]},
    )
    user = person("Conny Consent")
    for kind, whom in (("AllPrincipals", None), ("Principal", user)):
        control.create(
            "oauth2PermissionGrants",
            {
                "clientId": principal["id"],
                "consentType": kind,
                "principalId": whom,
                "resourceId": graph["id"],
                "scope": " User.Read Mail.Read" if whom else "Directory.ReadWrite.All",
            },
        )


def plant_policies(control: Control, person: Callable[..., str], group: str) -> None:
    """A policy for guests, one that excludes a role and a group, and one that blocks.

    Args:
        control: The tenant.
        person: Creates a user of a name, with properties; returns the id.
        group: A group whose members, and those of groups in it, are excluded from multifactor authentication.
    """
    old = {"userType": "Guest", "createdDateTime": "2026-01-01T00:00:00Z"}
    [default] = [one["id"] for one in control.dump("domains") if one["isDefault"]]
    person("Extra External", **old, userPrincipalName=f"extra_example.org#EXT#@{default}")
    person("Ingo Internal", **old)
    everything = {"includeApplications": ["All"], "excludeApplications": [], "applicationFilter": None}
    mfa = {"operator": "OR", "builtInControls": ["mfa"], "termsOfUse": [], "customAuthenticationFactors": []}
    guests = {"guestOrExternalUserTypes": "b2bCollaborationGuest,b2bCollaborationMember"}
    for name, users, applications, grant in (
        (
            "MFA for all",
            {"includeUsers": ["All"], "excludeGroups": [group], "excludeRoles": [USER_ADMINISTRATOR]},
            everything,
            mfa,
        ),
        (
            "MFA for external users",
            {
                "includeUsers": [],
                "includeGuestsOrExternalUsers": {
                    "@odata.type": "#microsoft.graph.conditionalAccessGuestsOrExternalUsers",
                    **guests,
                    "externalTenants": {
                        "@odata.type": "#microsoft.graph.conditionalAccessAllExternalTenants",
                        "membershipKind": "all",
                    },
                },
            },
            everything,
            {**mfa, "builtInControls": ["mfa", "compliantDevice"]},
        ),
        (
            "Block guests",
            {"includeUsers": ["GuestsOrExternalUsers", person("Bengt Blocked")]},
            everything,
            {**mfa, "builtInControls": ["block"]},
        ),
    ):
        body = {
            "displayName": name,
            "state": "enabled",
            "conditions": {**UNBOUNDED, "users": users, "applications": applications},
            "grantControls": grant,
        }
        control.create("identity/conditionalAccess/policies", body)
