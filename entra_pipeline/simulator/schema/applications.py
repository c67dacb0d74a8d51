"""Lists applications and enterprise applications, with their parts, assignments and grants."""

from __future__ import annotations

from entra_pipeline.simulator.schema.model import EntitySet, LinkKind, NavigationProperty
from entra_pipeline.simulator.schema.shared import (
    APPLICATION_READ,
    ASSIGNMENT_WRITE,
    GRANT_READ,
    MEMBER_OF,
    OWNED_OBJECTS,
    OWNERS,
    SERVER_MADE,
    TRANSITIVE_MEMBER_OF,
)

_APPLICATION_WRITE = ("Application.ReadWrite.All", "Application.ReadWrite.OwnedBy")
_REMOTE_DESKTOP_WRITE = ("Application-RemoteDesktopConfig.ReadWrite.All", "Application.ReadWrite.All")
_POLICY_REFERENCES = tuple(
    NavigationProperty(
        segment,
        (code,),
        targets=(target,),
        # Even reading takes a right to write, from this side.
        read=(
            "Policy.ReadWrite.ApplicationConfiguration",
            "Application.ReadWrite.All",
            "Application.ReadWrite.OwnedBy",
        ),
        write=("Policy.ReadWrite.ApplicationConfiguration",),
    )
    for segment, code, target in (
        ("claimsMappingPolicies", LinkKind.CLAIMS_MAPPING, "claimsMappingPolicy"),
        ("homeRealmDiscoveryPolicies", LinkKind.HOME_REALM, "homeRealmDiscoveryPolicy"),
        ("tokenIssuancePolicies", LinkKind.TOKEN_ISSUANCE, "tokenIssuancePolicy"),
        ("tokenLifetimePolicies", LinkKind.TOKEN_LIFETIME, "tokenLifetimePolicy"),
        ("appManagementPolicies", LinkKind.APP_MANAGEMENT, "appManagementPolicy"),
    )
)

SETS: tuple[EntitySet, ...] = (
    EntitySet(
        "application",
        "applications",
        "application",
        APPLICATION_READ,
        _APPLICATION_WRITE,
        on_select=frozenset(("authenticationBehaviors", "managerApplications")),
        streams=frozenset(("logo",)),
        relations=(
            NavigationProperty("owners", (LinkKind.APPLICATION_OWNERS,), targets=OWNERS),
            NavigationProperty(
                "federatedIdentityCredentials", (LinkKind.CREDENTIALS,), part="federatedIdentityCredential"
            ),
            NavigationProperty("extensionProperties", (LinkKind.EXTENSIONS,), part="extensionProperty", units=2),
            *_POLICY_REFERENCES[2:],
        ),
        delta=True,
        bin="directory/deletedItems",
        units=(2, 2),
        advanced=True,
        alternate="appId",
        required=("displayName",),
        read_only=SERVER_MADE
        | frozenset(
            [
                "appId",
                "publisherDomain",
                "verifiedPublisher",
                "certification",
                "applicationTemplateId",
                "disabledByMicrosoftStatus",
                "passwordCredentials",
                "createdByAppId",
            ]
        ),
        immutable=frozenset(("uniqueName",)),
    ),
    EntitySet(
        "federatedIdentityCredential",
        "",
        "federated_identity_credential",
        APPLICATION_READ,
        _APPLICATION_WRITE,
        required=("name", "issuer", "subject", "audiences"),
        read_only=frozenset(("id",)),
        immutable=frozenset(("name",)),
    ),
    EntitySet(
        "extensionProperty",
        "",
        "extension_property",
        APPLICATION_READ,
        _APPLICATION_WRITE,
        required=("name", "dataType", "targetObjects"),
        read_only=frozenset(("id", "deletedDateTime", "appDisplayName", "isSyncedFromOnPremises")),
        update=False,
    ),
    EntitySet(
        "servicePrincipal",
        "servicePrincipals",
        "service_principal",
        APPLICATION_READ,
        _APPLICATION_WRITE,
        on_select=frozenset(("customSecurityAttributes",)),
        relations=(
            NavigationProperty("owners", (LinkKind.PRINCIPAL_OWNERS,), targets=OWNERS),
            NavigationProperty(
                "appRoleAssignedTo", (LinkKind.ASSIGNED_TO,), part="appRoleAssignment", write=ASSIGNMENT_WRITE
            ),
            NavigationProperty(
                "appRoleAssignments", (LinkKind.ASSIGNMENTS,), part="appRoleAssignment", units=2, write=ASSIGNMENT_WRITE
            ),
            NavigationProperty(
                "oauth2PermissionGrants", (LinkKind.GRANT_CLIENT,), part="oAuth2PermissionGrant", read=GRANT_READ
            ),
            NavigationProperty(
                "delegatedPermissionClassifications",
                (LinkKind.CLASSIFICATIONS,),
                part="delegatedPermissionClassification",
                read=("Application.Read.All", "Policy.Read.PermissionGrant", "Directory.Read.All"),
                write=("Policy.ReadWrite.PermissionGrant",),
            ),
            NavigationProperty(
                "synchronization/jobs",
                (LinkKind.SYNC_JOBS,),
                part="synchronizationJob",
                read=("Synchronization.Read.All", "Synchronization.ReadWrite.All"),
                write=("Synchronization.ReadWrite.All",),
            ),
            NavigationProperty(
                "remoteDesktopSecurityConfiguration",
                (LinkKind.REMOTE_DESKTOP,),
                many=False,
                part="remoteDesktopSecurityConfiguration",
                write=_REMOTE_DESKTOP_WRITE,
            ),
            NavigationProperty(
                "remoteDesktopSecurityConfiguration/approvedClientApps",
                (LinkKind.APPROVED_CLIENTS,),
                part="approvedClientApp",
                write=_REMOTE_DESKTOP_WRITE,
            ),
            NavigationProperty(
                "remoteDesktopSecurityConfiguration/targetDeviceGroups",
                (LinkKind.DEVICE_GROUPS,),
                part="targetDeviceGroup",
                write=_REMOTE_DESKTOP_WRITE,
            ),
            *_POLICY_REFERENCES,
            MEMBER_OF,
            TRANSITIVE_MEMBER_OF,
            OWNED_OBJECTS,
        ),
        delta=True,
        bin="directory/deletedItems",
        advanced=True,
        alternate="appId",
        required=("appId",),
        read_only=SERVER_MADE
        | frozenset(
            [
                "appDisplayName",
                "appOwnerOrganizationId",
                "verifiedPublisher",
                "applicationTemplateId",
                "disabledByMicrosoftStatus",
                "passwordCredentials",
                "oauth2PermissionScopes",
                "resourceSpecificApplicationPermissions",
                "servicePrincipalType",
                "signInAudience",
                "createdByAppId",
            ]
        ),
        immutable=frozenset(("appId",)),
        gated=(("customSecurityAttributes", "CustomSecAttributeAssignment.Read.All"),),
    ),
    EntitySet(
        "remoteDesktopSecurityConfiguration",
        "",
        "remote_desktop_security_configuration",
        APPLICATION_READ,
        _REMOTE_DESKTOP_WRITE,
        upsert=("PATCH",),
        read_only=frozenset(("id",)),
    ),
    EntitySet(
        "approvedClientApp",
        "",
        "approved_client_app",
        APPLICATION_READ,
        _REMOTE_DESKTOP_WRITE,
        required=("id",),
        update=False,
    ),
    EntitySet(
        "targetDeviceGroup",
        "",
        "target_device_group",
        APPLICATION_READ,
        _REMOTE_DESKTOP_WRITE,
        required=("id",),
        immutable=frozenset(("id",)),
    ),
    EntitySet(
        "appRoleAssignment",
        "",
        "app_role_assignment",
        APPLICATION_READ,
        ASSIGNMENT_WRITE,
        required=("principalId", "resourceId", "appRoleId"),
        read_only=SERVER_MADE | {"principalDisplayName", "principalType", "resourceDisplayName"},
        update=False,
    ),
    EntitySet(
        "oAuth2PermissionGrant",
        "oauth2PermissionGrants",
        "o_auth2_permission_grant",
        GRANT_READ,
        ("DelegatedPermissionGrant.ReadWrite.All", "Directory.ReadWrite.All"),
        delta=True,
        units=(2, 2),
        required=("clientId", "consentType", "resourceId", "scope"),
        read_only=frozenset(("id",)),
        immutable=frozenset(("clientId", "consentType", "resourceId", "principalId")),
    ),
)
