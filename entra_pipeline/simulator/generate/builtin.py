"""What every fresh Entra tenant has: built-in roles, authentication strengths, Microsoft Graph, the licences' plans.

Ids are Microsoft's published ones, the same in every tenant (Entra docs: permissions-reference, licensing reference).
"""

from __future__ import annotations

GRAPH_APP_ID = "00000003-0000-0000-c000-000000000000"
CLOUD_LOGIN_APP_ID = "270efc09-cd0d-444b-a71f-39af4910ec45"
"""Windows Cloud Login, which carries the settings of single sign-on to remote desktops."""
MICROSOFT_TENANT = "f8cdef31-a31e-4b4a-93e4-5f571e91255a"

ROLES: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    (
        "62e90394-69f5-4237-9190-012177145e10",
        "Global Administrator",
        "Can manage all aspects of Microsoft Entra ID and Microsoft services that use Microsoft Entra identities.",
        ("microsoft.directory/users/allProperties/allTasks", "microsoft.directory/groups/allProperties/allTasks"),
    ),
    (
        "f2ef992c-3afb-46b9-b7cf-a126ee74c451",
        "Global Reader",
        "Can read everything that a Global Administrator can, but not update anything.",
        ("microsoft.directory/users/standard/read", "microsoft.directory/groups/standard/read"),
    ),
    (
        "fe930be7-5e62-47db-91af-98c3a49a38b1",
        "User Administrator",
        "Can manage all aspects of users and groups, including resetting passwords for limited admins.",
        (
            "microsoft.directory/users/create",
            "microsoft.directory/users/delete",
            "microsoft.directory/users/basic/update",
        ),
    ),
    (
        "729827e3-9c14-49f7-bb1b-9608f156bbb8",
        "Helpdesk Administrator",
        "Can reset passwords for non-administrators and Helpdesk Administrators.",
        ("microsoft.directory/users/password/update",),
    ),
    (
        "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3",
        "Application Administrator",
        "Can create and manage all aspects of app registrations and enterprise apps.",
        ("microsoft.directory/applications/create", "microsoft.directory/servicePrincipals/create"),
    ),
    (
        "b1be1c3e-b65d-4f19-8427-f6fa0d97feb9",
        "Conditional Access Administrator",
        "Can manage Conditional Access capabilities.",
        ("microsoft.directory/conditionalAccessPolicies/create", "microsoft.directory/namedLocations/create"),
    ),
    (
        "88d8e3e3-8f55-4a1e-953a-9b9898b8876b",
        "Directory Readers",
        "Can read basic directory information.",
        ("microsoft.directory/users/standard/read",),
    ),
    (
        "fdd7a751-b60b-444a-984c-02652fe8fa1c",
        "Groups Administrator",
        "Members of this role can create and manage groups, and group settings.",
        ("microsoft.directory/groups/create", "microsoft.directory/groups/delete"),
    ),
    (
        "194ae4cb-b126-40b2-bd5b-6091b380977d",
        "Security Administrator",
        "Can read security information and reports, and manage configuration.",
        ("microsoft.directory/conditionalAccessPolicies/basic/update",),
    ),
    (
        "e8611ab8-c189-46e8-94e1-60213ab1f814",
        "Privileged Role Administrator",
        "Can manage role assignments in Microsoft Entra ID.",
        ("microsoft.directory/roleAssignments/allProperties/allTasks",),
    ),
)
"""templateId, name, description, allowed resource actions."""

ACTIVATED = 7
"""How many of the roles, from the first, are activated in a fresh tenant."""

STRENGTHS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    (
        "00000000-0000-0000-0000-000000000002",
        "Multifactor authentication",
        "Combinations of methods that satisfy strong authentication, such as a password + SMS",
        ("windowsHelloForBusiness", "fido2", "x509CertificateMultiFactor", "password,microsoftAuthenticatorPush"),
    ),
    (
        "00000000-0000-0000-0000-000000000003",
        "Passwordless MFA",
        "Passwordless methods that satisfy strong authentication, such as Passwordless sign-in with the Authenticator",
        ("windowsHelloForBusiness", "fido2", "x509CertificateMultiFactor", "deviceBasedPush"),
    ),
    (
        "00000000-0000-0000-0000-000000000004",
        "Phishing-resistant MFA",
        "Phishing-resistant, Passwordless methods for the strongest authentication, such as a FIDO2 security key",
        ("windowsHelloForBusiness", "fido2", "x509CertificateMultiFactor"),
    ),
)
"""id, name, description, combinations."""

GRAPH_APP_ROLES: tuple[tuple[str, str], ...] = (
    ("7ab1d382-f21e-4acd-a863-ba3e13f7da61", "Directory.Read.All"),
    ("df021288-bdef-4463-88db-98f22de89214", "User.Read.All"),
    ("741f803b-c850-494e-b5df-cde7c675a1ca", "User.ReadWrite.All"),
    ("5b567255-7703-4780-807c-7be8301ae99b", "Group.Read.All"),
    ("62a82d76-70ea-41e2-9197-370581804d09", "Group.ReadWrite.All"),
    ("9a5d68dd-52b0-4cc2-bd40-abcf44ac3a30", "Application.Read.All"),
    ("246dd0d5-5bd0-4def-940b-0421030a5b68", "Policy.Read.All"),
    ("b0afded3-3588-46d8-8b3d-9842eff778da", "AuditLog.Read.All"),
)
GRAPH_SCOPES: tuple[tuple[str, str], ...] = (
    ("e1fe6dd8-ba31-4d61-89e7-88639da4683d", "User.Read"),
    ("b340eb25-3456-403f-be2f-af7a0d370277", "User.ReadBasic.All"),
    ("37f7f235-527c-4136-accd-4a02d197296e", "openid"),
    ("14dad69e-099b-42c9-810b-d002981feec1", "profile"),
)

SKUS: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    (
        "06ebc4ee-1bb5-47dd-8120-11324bc54e06",
        "SPE_E5",
        (
            ("eec0eb4f-6444-4f95-aba0-50c24d67f998", "AAD_PREMIUM_P2"),
            ("efb87545-963c-4e0d-99df-69c6916d9eb0", "EXCHANGE_S_ENTERPRISE"),
            ("57ff2da0-773e-42df-b2af-ffb7a2317929", "TEAMS1"),
        ),
    ),
    (
        "05e9a617-0261-4cee-bb44-138d3ef5d965",
        "SPE_E3",
        (
            ("41781fb2-bc02-4b7c-bd55-b576c07bb09d", "AAD_PREMIUM"),
            ("efb87545-963c-4e0d-99df-69c6916d9eb0", "EXCHANGE_S_ENTERPRISE"),
        ),
    ),
    ("f30db892-07e9-47e9-837c-80727f46fd3d", "FLOW_FREE", (("50e68c76-46c6-4674-81f9-75456511b170", "FLOW_P2_VIRAL"),)),
)
"""skuId, part number, service plans as (id, name)."""

CONSENT: tuple[tuple[str, str, tuple[tuple[str, dict[str, object]], ...]], ...] = (
    ("microsoft-all-application-permissions", "All application permissions, for any client", (("application", {}),)),
    (
        "microsoft-company-admin",
        "Company Admin Policy",
        (("application", {}), ("delegated", {})),
    ),
    (
        "microsoft-user-default-low",
        "Default User Low Risk Policy",
        (
            (
                "delegated",
                {"permissionClassification": "low", "clientApplicationsFromVerifiedPublisherOnly": True},
            ),
        ),
    ),
    ("microsoft-user-default-legacy", "Default User Legacy Policy", (("delegated", {}),)),
)
"""Policies of consent: id, name, what is included as (type of permission, what differs from "anything")."""


_CROSS_TENANT = "microsoft.directory/crossTenantAccessPolicy"
PROTECTABLE_ACTIONS: dict[str, str] = {
    **{
        f"microsoft.directory/{resource}/{action}": verb
        for resource in ("conditionalAccessPolicies", "namedLocations")
        for action, verb in (("basic/update", "PATCH"), ("create", "POST"), ("delete", "DELETE"))
    },
    f"{_CROSS_TENANT}/allowedCloudEndpoints/update": "PATCH",
    f"{_CROSS_TENANT}/partners/create": "POST",
    f"{_CROSS_TENANT}/partners/delete": "DELETE",
    **{
        f"{_CROSS_TENANT}/{whose}/{part}/update": "PATCH"
        for whose in ("default", "partners")
        for part in ("b2bCollaboration", "b2bDirectConnect", "crossCloudMeetings", "tenantRestrictions")
    },
    "microsoft.directory/deletedItems/delete": "DELETE",
    "microsoft.directory/resourceNamespaces/resourceActions/authenticationContext/update": "PATCH",
}
"""Actions that a tenant can tie to an authentication context → their method (Entra doc: protected-actions-overview)."""


def action_id(action: str) -> str:
    """Returns the id of an action of the directory (Entra doc: protected-actions-add)."""
    return f"{action.replace('/', '-')}-{PROTECTABLE_ACTIONS[action].lower()}"
