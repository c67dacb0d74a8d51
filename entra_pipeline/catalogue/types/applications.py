"""App registrations, enterprise applications, and what is granted to them."""

from entra_pipeline.catalogue.model import (
    Category,
    Lane,
    LinkWrite,
    ObjectType,
    Parent,
    Personal,
    Read,
    Relation,
    Restore,
)
from entra_pipeline.catalogue.restoring import WriteStrategy

_READ_APPLICATIONS = ("Application.Read.All", "Directory.Read.All")
_WRITE_APPLICATIONS = ("Application.ReadWrite.All",)
_WRITE_PRINCIPALS = ("Application.ReadWrite.All", "Directory.ReadWrite.All")
_WRITE_SYNCHRONIZATION = ("Synchronization.ReadWrite.All",)

# Computed, or written by other means (Graph doc: resources/application): credentials by addKey and addPassword, which
# show a secret once, the verified publisher by setVerifiedPublisher.
_APPLICATION_COMPUTED = {
    "appId",
    "applicationTemplateId",
    "certification",
    "createdByAppId",
    "createdDateTime",
    "deletedDateTime",
    "disabledByMicrosoftStatus",
    "keyCredentials",
    "passwordCredentials",
    "publisherDomain",
    "tokenEncryptionKeyId",
    "verifiedPublisher",
}
# What comes from the application, and what the first kind is for applications (Graph doc: resources/servicePrincipal).
_PRINCIPAL_COMPUTED = {
    "appDescription",
    "appDisplayName",
    "appOwnerOrganizationId",
    "appRoles",
    "applicationTemplateId",
    "createdByAppId",
    "deletedDateTime",
    "disabledByMicrosoftStatus",
    "info",
    "keyCredentials",
    "oauth2PermissionScopes",
    "passwordCredentials",
    "preferredTokenSigningKeyThumbprint",
    "replyUrls",
    "resourceSpecificApplicationPermissions",
    "servicePrincipalNames",
    "servicePrincipalType",
    "signInAudience",
    "tokenEncryptionKeyId",
    "verifiedPublisher",
}
# Single sign-on to Windows takes effect on these two: Microsoft Remote Desktop and Windows Cloud Login (Azure Virtual
# Desktop doc: configure-single-sign-on). No other service principal has the configuration.
_REMOTE_DESKTOP = "raw->>'$.appId' IN ('a4a365df-50f1-4397-bc59-1a1564b8bb9c', '270efc09-cd0d-444b-a71f-39af4910ec45')"


def _certificates(owner: str, singular: str, category: Category) -> ObjectType:
    """Certificates with their public keys, which a list leaves out (Graph doc: application-list)."""
    return ObjectType(
        name=f"{singular}_key_credentials",
        category=category,
        title=f"Certificates of an {'app registration' if singular == 'application' else 'enterprise application'}",
        path="",
        model=singular,
        permissions=_READ_APPLICATIONS,
        restore=Restore(
            how=f"PATCH of keyCredentials of the {singular.replace('_', ' ')}; not: private keys",
            permissions=_WRITE_APPLICATIONS,
            create="PATCH",
            remove=False,
            item=f"{'servicePrincipals' if owner == 'service_principals' else owner}/{{parent}}",
            required=("keyCredentials",),
            # azure-powershell issue 6974: "Key credential end date is invalid".
            ends="keyCredentials",
            lost=("private keys",),
        ),
        projection=("id", "keyCredentials"),
        parent=Parent(
            owner,
            "keyCredentials",
            Read.EACH,
            many=False,
            path=f"{'servicePrincipals' if owner == 'service_principals' else owner}/{{id}}?$select=id,keyCredentials",
            where="json_array_length(raw->'$.keyCredentials') > 0",
            tracked=True,
        ),
        identity=("id",),
        lane=Lane.CERTIFICATES,
        shows=owner,
    )


def _remote_desktop(name: str, title: str, segment: str, model: str) -> ObjectType:
    return ObjectType(
        name=name,
        category=Category.ENTERPRISE_APPLICATIONS,
        title=title,
        path="",
        model=model,
        permissions=_READ_APPLICATIONS,
        restore=Restore(
            how=f"{'POST' if '/' in segment else 'PATCH'} {segment} of the service principal",
            permissions=("Application-RemoteDesktopConfig.ReadWrite.All", *_WRITE_PRINCIPALS),
            create="POST" if "/" in segment else "PATCH",
            change="" if "/" in segment else "PATCH",
            volatile=frozenset({"displayName"} if "/" in segment else ()),
            required=("id",) if "/" in segment else ("isRemoteDesktopProtocolEnabled",),
            after=("groups", "applications", *(["remote_desktop_security_configurations"] if "/" in segment else [])),
            refers=frozenset({"id"} if "/" in segment else ()),
        ),
        parent=Parent("service_principals", segment, Read.EACH, many="/" in segment, where=_REMOTE_DESKTOP),
        identity=("displayName",) if "/" in segment else ("id",),
        # Both service principals may name the same group or application.
        local_ids=True,
    )


TYPES = (
    ObjectType(
        name="applications",
        category=Category.APPLICATIONS,
        title="App registration",
        path="applications",
        model="application",
        permissions=_READ_APPLICATIONS,
        restore=Restore(
            how="from the recycle bin, else POST /applications, PATCH (with a new appId); not: secrets and private "
            "keys",
            permissions=_WRITE_APPLICATIONS,
            bin="directory/deletedItems",
            volatile=frozenset(_APPLICATION_COMPUTED),
            create_only=frozenset({"uniqueName"}),
            # Identifier URIs are made of the appId, which only the answer to POST shows.
            change_only=frozenset({"identifierUris", "isDisabled", "samlMetadataUrl"}),
            unique=("uniqueName",),
            names={"identifierUris": "identifier URI"},
            reserved=frozenset({"identifierUris", "uniqueName"}),
            domains=frozenset({"identifierUris"}),
            guards=frozenset(
                {
                    *("isDisabled", "parentalControlSettings", "requestSignatureVerification"),
                    *("servicePrincipalLockConfiguration", "signInAudience"),
                }
            ),
            required=("displayName",),
            parts={"info": ("marketingUrl", "privacyStatementUrl", "supportUrl", "termsOfServiceUrl")},
            later=frozenset(
                {
                    "api.knownClientApplications",
                    "api.preAuthorizedApplications",
                    "extension_*",
                    "requiredResourceAccess",
                }
            ),
            lost=("client secrets", "private keys", "token encryption key", "logo", "verified publisher"),
            strategy=WriteStrategy.APPLICATION,
        ),
        delta=True,
        not_listable={
            "authenticationBehaviors": "shown only when asked for by name: in application_authentication_behaviors",
            "managerApplications": "shown only when asked for by name: in application_authentication_behaviors",
            "logo": "a stream that applications may write, not read; info.logoUrl leads to it",
        },
        extensible="Application",
        page_size=999,
        identity=("displayName", "appId"),
        aliases=("appId",),
        relations=(
            Relation(
                "application_owners",
                "owners",
                Read.EXPAND,
                inverse="ownedObjects",
                write=LinkWrite(permissions=_WRITE_APPLICATIONS, besides=("Directory.Read.All",)),
            ),
        ),
    ),
    ObjectType(
        name="application_authentication_behaviors",
        category=Category.APPLICATIONS,
        title="Authentication behaviors of an app registration",
        path="applications",
        model="application",
        permissions=_READ_APPLICATIONS,
        restore=Restore(
            how="PATCH of authenticationBehaviors of the application",
            permissions=_WRITE_APPLICATIONS,
            create="PATCH",
            remove=False,
            volatile=frozenset({"displayName", "managerApplications"}),
            required=("authenticationBehaviors",),
            after=("applications",),
        ),
        projection=("id", "displayName", "authenticationBehaviors", "managerApplications"),
        page_size=999,
        shows="applications",
    ),
    _certificates("applications", "application", Category.APPLICATIONS),
    ObjectType(
        name="federated_identity_credentials",
        category=Category.APPLICATIONS,
        title="Federated identity credential",
        path="",
        model="federated_identity_credential",
        permissions=("Application.Read.All",),
        restore=Restore(
            how="POST to federatedIdentityCredentials of the application, PATCH",
            permissions=_WRITE_APPLICATIONS,
            create_only=frozenset({"name"}),
            unique=("name",),
            required=("audiences", "issuer", "name", "subject"),
        ),
        parent=Parent("applications", "federatedIdentityCredentials", Read.EXPAND),
        identity=("name",),
    ),
    ObjectType(
        name="extension_properties",
        category=Category.APPLICATIONS,
        title="Directory extension definition",
        path="",
        model="extension_property",
        permissions=("Application.Read.All", "Directory.Read.All"),
        restore=Restore(
            how="POST to extensionProperties of the application; the name carries its appId",
            permissions=_WRITE_PRINCIPALS,
            change="",
            volatile=frozenset({"appDisplayName", "deletedDateTime", "isSyncedFromOnPremises"}),
            unique=("name",),
            required=("dataType", "name", "targetObjects"),
            mastered="raw->>'$.isSyncedFromOnPremises' = 'true'",
            prefixed={"name": "extension_[0-9a-fA-F]{32}_"},
        ),
        parent=Parent("applications", "extensionProperties", Read.EXPAND),
        identity=("name",),
    ),
    ObjectType(
        name="service_principals",
        category=Category.ENTERPRISE_APPLICATIONS,
        title="Enterprise application",
        path="servicePrincipals",
        model="service_principal",
        permissions=_READ_APPLICATIONS,
        restore=Restore(
            how="from the recycle bin after its application, else POST /servicePrincipals, PATCH; not: SAML signing "
            "key, provisioning secrets, managed identities",
            permissions=_WRITE_PRINCIPALS,
            gated={"customSecurityAttributes": "CustomSecAttributeAssignment.ReadWrite.All"},
            bin="directory/deletedItems",
            volatile=frozenset(_PRINCIPAL_COMPUTED),
            create_only=frozenset({"appId"}),
            change_only=frozenset({"customSecurityAttributes", "isDisabled"}),
            unique=("appId",),
            names={"servicePrincipalNames": "service principal name"},
            guards=frozenset({"accountEnabled", "appRoleAssignmentRequired", "isDisabled"}),
            required=("appId",),
            lost=(
                "SAML signing certificate",
                "client secrets",
                "token encryption key",
                "password single sign-on credentials",
            ),
            mastered="raw->>'$.servicePrincipalType' = 'ManagedIdentity'",
            after=("applications", "custom_security_attribute_definitions"),
        ),
        delta=True,
        on_request=frozenset({"customSecurityAttributes"}),
        gated={"customSecurityAttributes": "CustomSecAttributeAssignment.Read.All"},
        page_size=999,
        identity=("displayName", "appId"),
        aliases=("appId",),
        relations=(
            Relation(
                "service_principal_owners",
                "owners",
                Read.EXPAND,
                inverse="ownedObjects",
                write=LinkWrite(
                    permissions=_WRITE_PRINCIPALS,
                    besides=("Directory.Read.All",),
                    mastered="raw->>'$.servicePrincipalType' = 'ManagedIdentity'",
                ),
            ),
        ),
    ),
    _certificates("service_principals", "service_principal", Category.ENTERPRISE_APPLICATIONS),
    ObjectType(
        name="app_role_assignments",
        category=Category.ENTERPRISE_APPLICATIONS,
        title="App role assignment",
        path="",
        model="app_role_assignment",
        permissions=_READ_APPLICATIONS,
        restore=Restore(
            how="POST to appRoleAssignedTo of the resource's service principal",
            permissions=("AppRoleAssignment.ReadWrite.All",),
            besides=("Application.Read.All",),
            change="",
            volatile=frozenset(
                {"createdDateTime", "deletedDateTime", "principalDisplayName", "principalType", "resourceDisplayName"}
            ),
            required=("appRoleId", "principalId", "resourceId"),
            after=("users", "groups", "service_principals"),
            refers=frozenset({"principalId", "resourceId"}),
            link=True,
        ),
        page_size=999,
        parent=Parent("service_principals", "appRoleAssignedTo", Read.EXPAND),
        identity=("principalDisplayName", "resourceDisplayName"),
        belongs_to="principalId",
        personal=Personal("principalId", frozenset({"principalDisplayName"}), where=("principalType", "User")),
    ),
    ObjectType(
        name="oauth2_permission_grants",
        category=Category.ENTERPRISE_APPLICATIONS,
        title="Delegated permission grant",
        path="oauth2PermissionGrants",
        model="o_auth2_permission_grant",
        permissions=("Directory.Read.All",),
        restore=Restore(
            how="POST /oauth2PermissionGrants, PATCH of scope",
            permissions=("DelegatedPermissionGrant.ReadWrite.All", "Directory.ReadWrite.All"),
            create_only=frozenset({"clientId", "consentType", "principalId", "resourceId"}),
            required=("clientId", "consentType", "resourceId", "scope"),
            after=("users", "service_principals"),
            refers=frozenset({"clientId", "principalId", "resourceId"}),
            link=True,
        ),
        delta=True,
        page_size=999,
        identity=("scope",),
        belongs_to="principalId",
    ),
    ObjectType(
        name="delegated_permission_classifications",
        category=Category.ENTERPRISE_APPLICATIONS,
        title="Delegated permission classification",
        path="",
        model="delegated_permission_classification",
        permissions=("Application.Read.All", "Policy.Read.PermissionGrant", "Directory.Read.All"),
        restore=Restore(
            how="POST to delegatedPermissionClassifications of the service principal",
            permissions=("Policy.ReadWrite.PermissionGrant",),
            change="",
            required=("classification", "permissionId", "permissionName"),
            link=True,
        ),
        parent=Parent("service_principals", "delegatedPermissionClassifications", Read.EACH),
        identity=("permissionName",),
    ),
    ObjectType(
        name="synchronization_jobs",
        category=Category.ENTERPRISE_APPLICATIONS,
        title="Provisioning job",
        path="",
        model="synchronization_job",
        permissions=("Synchronization.Read.All",),
        restore=Restore(
            how="POST to synchronization/jobs of the service principal, from its template; not: credentials; it is not "
            "started",
            permissions=_WRITE_SYNCHRONIZATION,
            volatile=frozenset({"schedule", "status"}),
            create_only=frozenset({"templateId"}),
            change_only=frozenset({"synchronizationJobSettings"}),
            unique=("templateId",),
            required=("templateId",),
            lost=("credentials of the target system", "progress"),
        ),
        parent=Parent(
            "service_principals",
            "synchronization/jobs",
            Read.EACH,
            where="raw->>'$.servicePrincipalType' IS DISTINCT FROM 'ManagedIdentity'",
        ),
        identity=("templateId",),
    ),
    ObjectType(
        name="synchronization_schemas",
        category=Category.ENTERPRISE_APPLICATIONS,
        title="Attribute mapping of a provisioning job",
        path="",
        model="synchronization_schema",
        permissions=("Synchronization.Read.All",),
        restore=Restore(
            how="PUT schema of the provisioning job",
            permissions=_WRITE_SYNCHRONIZATION,
            create="PUT",
            change="PUT",
            remove=False,
            volatile=frozenset({"version"}),
            required=("directories", "synchronizationRules"),
        ),
        inline=("directories",),
        parent=Parent("synchronization_jobs", "schema", Read.EACH, many=False),
        identity=("id",),
    ),
    _remote_desktop(
        "remote_desktop_security_configurations",
        "Single sign-on to remote desktops",
        "remoteDesktopSecurityConfiguration",
        "remote_desktop_security_configuration",
    ),
    _remote_desktop(
        "approved_client_apps",
        "Client application approved for remote desktops",
        "remoteDesktopSecurityConfiguration/approvedClientApps",
        "approved_client_app",
    ),
    _remote_desktop(
        "target_device_groups",
        "Device group trusted for remote desktops",
        "remoteDesktopSecurityConfiguration/targetDeviceGroups",
        "target_device_group",
    ),
)
