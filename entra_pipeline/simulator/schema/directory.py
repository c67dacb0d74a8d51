"""The directory: users, groups, applications, roles, devices, and the tenant itself."""

from __future__ import annotations

from entra_pipeline.simulator.schema.model import EntitySet, Link, Relation

_USER_READ = ("User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All")
_USER_WRITE = ("User.ReadWrite.All", "Directory.ReadWrite.All")
_METHOD_READ = ("UserAuthenticationMethod.Read.All", "UserAuthenticationMethod.ReadWrite.All")
_GROUP_READ = ("Group.Read.All", "Group.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All")
_GROUP_WRITE = ("Group.ReadWrite.All", "Directory.ReadWrite.All")
_MEMBER_READ = ("GroupMember.Read.All", "GroupMember.ReadWrite.All", *_GROUP_READ)
_MEMBER_WRITE = ("GroupMember.ReadWrite.All", *_GROUP_WRITE)
_UNIT_READ = (
    "AdministrativeUnit.Read.All",
    "AdministrativeUnit.ReadWrite.All",
    "Directory.Read.All",
    "Directory.ReadWrite.All",
)
_UNIT_WRITE = ("AdministrativeUnit.ReadWrite.All", "Directory.ReadWrite.All")
_APPLICATION_READ = (
    "Application.Read.All",
    "Application.ReadWrite.All",
    "Application.ReadWrite.OwnedBy",
    "Directory.Read.All",
    "Directory.ReadWrite.All",
)
_APPLICATION_WRITE = ("Application.ReadWrite.All", "Application.ReadWrite.OwnedBy")
_REMOTE_DESKTOP_WRITE = ("Application-RemoteDesktopConfig.ReadWrite.All", "Application.ReadWrite.All")
_ASSIGNMENT_WRITE = ("AppRoleAssignment.ReadWrite.All",)
_GRANT_READ = ("Directory.Read.All", "Directory.ReadWrite.All", "DelegatedPermissionGrant.ReadWrite.All")
_ROLE_READ = (
    "RoleManagement.Read.Directory",
    "RoleManagement.ReadWrite.Directory",
    "RoleManagement.Read.All",
    "Directory.Read.All",
    "Directory.ReadWrite.All",
)
_ROLE_WRITE = ("RoleManagement.ReadWrite.Directory",)
_POLICY_READ = ("Policy.Read.All", "Policy.Read.ConditionalAccess")
_POLICY_WRITE = ("Policy.ReadWrite.ConditionalAccess",)
_STRENGTH_READ = ("Policy.Read.AuthenticationMethod", "Policy.ReadWrite.AuthenticationMethod", "Policy.Read.All")
_STRENGTH_WRITE = ("Policy.ReadWrite.ConditionalAccess", "Policy.ReadWrite.AuthenticationMethod")
_DEVICE_READ = ("Device.Read.All", "Device.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All")
_DEVICE_WRITE = ("Device.ReadWrite.All", "Directory.ReadWrite.All")
_DOMAIN_READ = ("Domain.Read.All", "Domain.ReadWrite.All", "Directory.Read.All")
_DOMAIN_WRITE = ("Domain.ReadWrite.All",)
_ORGANIZATION_READ = ("Organization.Read.All", "Organization.ReadWrite.All", "Directory.Read.All", "User.Read.All")
_BRANDING_READ = (
    "OrganizationalBranding.Read.All",
    "OrganizationalBranding.ReadWrite.All",
    "Organization.ReadWrite.All",
    "Organization.Read.All",
)
_ORGANIZATION_WRITE = ("Organization.ReadWrite.All",)
_SKU_READ = ("LicenseAssignment.Read.All", "Organization.Read.All", "Directory.Read.All")

_ANYONE = ("user", "group", "device", "servicePrincipal", "orgContact")
_OWNERS = ("user", "servicePrincipal")
_MEMBERSHIPS = (Link.GROUP_MEMBERS, Link.UNIT_MEMBERS, Link.ROLE_MEMBERS)
_POLICY_REFERENCES = tuple(
    Relation(
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
        ("claimsMappingPolicies", Link.CLAIMS_MAPPING, "claimsMappingPolicy"),
        ("homeRealmDiscoveryPolicies", Link.HOME_REALM, "homeRealmDiscoveryPolicy"),
        ("tokenIssuancePolicies", Link.TOKEN_ISSUANCE, "tokenIssuancePolicy"),
        ("tokenLifetimePolicies", Link.TOKEN_LIFETIME, "tokenLifetimePolicy"),
        ("appManagementPolicies", Link.APP_MANAGEMENT, "appManagementPolicy"),
    )
)
_MEMBER_OF = Relation("memberOf", _MEMBERSHIPS, inverse=True, units=2)
_TRANSITIVE_MEMBER_OF = Relation("transitiveMemberOf", (Link.GROUP_MEMBERS,), inverse=True, transitive=True, units=2)
_ASSIGNMENTS = Relation(
    "appRoleAssignments",
    (Link.ASSIGNMENTS,),
    part="appRoleAssignment",
    read=_APPLICATION_READ,
    write=_ASSIGNMENT_WRITE,
)
_EXTENSIONS = Relation("extensions", (Link.OPEN_EXTENSIONS,), part="openTypeExtension")
_OWNED_OBJECTS = Relation(
    "ownedObjects", (Link.GROUP_OWNERS, Link.APPLICATION_OWNERS, Link.PRINCIPAL_OWNERS), inverse=True, units=2
)

USER_DEFAULT = (
    "businessPhones",
    "displayName",
    "givenName",
    "jobTitle",
    "mail",
    "mobilePhone",
    "officeLocation",
    "preferredLanguage",
    "surname",
    "userPrincipalName",
    "id",
)
_USER_SINGLE = frozenset(
    [
        "aboutMe",
        "birthday",
        "hireDate",
        "interests",
        "mySite",
        "pastProjects",
        "preferredName",
        "responsibilities",
        "schools",
        "skills",
        "mailboxSettings",
    ]
)
_GROUP_SINGLE = frozenset(
    [
        "accessType",
        "allowExternalSenders",
        "autoSubscribeNewMembers",
        "hideFromAddressLists",
        "hideFromOutlookClients",
        "isFavorite",
        "isSubscribedByMail",
        "unseenConversationsCount",
        "unseenCount",
        "unseenMessagesCount",
    ]
)
_SYNCED = frozenset(
    [
        "onPremisesDistinguishedName",
        "onPremisesDomainName",
        "onPremisesLastSyncDateTime",
        "onPremisesNetBiosName",
        "onPremisesProvisioningErrors",
        "onPremisesSamAccountName",
        "onPremisesSecurityIdentifier",
        "onPremisesSyncEnabled",
        "onPremisesUserPrincipalName",
    ]
)
_MINTED = frozenset(["id", "createdDateTime", "deletedDateTime", "securityIdentifier"])

SETS: tuple[EntitySet, ...] = (
    EntitySet(
        "user",
        "users",
        "user",
        _USER_READ,
        _USER_WRITE,
        default=USER_DEFAULT,
        single_only=_USER_SINGLE,
        untracked=_USER_SINGLE | {"signInActivity", "cloudLicensing", "deviceEnrollmentLimit", "print"},
        relations=(
            Relation("manager", (Link.USER_MANAGER,), many=False, delta="select", targets=("user", "orgContact")),
            Relation("directReports", (Link.USER_MANAGER,), inverse=True),
            Relation("sponsors", (Link.USER_SPONSORS,), targets=("user", "group")),
            _MEMBER_OF,
            _TRANSITIVE_MEMBER_OF,
            _OWNED_OBJECTS,
            Relation("registeredDevices", (Link.DEVICE_USERS,), inverse=True),
            Relation("ownedDevices", (Link.DEVICE_OWNERS,), inverse=True),
            _ASSIGNMENTS,
            Relation("oauth2PermissionGrants", (Link.GRANT_PRINCIPAL,), part="oAuth2PermissionGrant", read=_GRANT_READ),
            Relation(
                "authentication/methods",
                (Link.AUTHENTICATION_METHODS,),
                part="authenticationMethod",
                read=_METHOD_READ,
            ),
            _EXTENSIONS,
        ),
        delta=True,
        bin="directory/deletedItems",
        units=(2, 1),
        advanced=True,
        alternate="userPrincipalName",
        required=("accountEnabled", "displayName", "mailNickname", "userPrincipalName", "passwordProfile"),
        read_only=_MINTED
        | _SYNCED
        | frozenset(
            [
                "proxyAddresses",
                "imAddresses",
                "assignedPlans",
                "provisionedPlans",
                "licenseAssignmentStates",
                "creationType",
                "lastPasswordChangeDateTime",
                "signInActivity",
                "signInSessionsValidFromDateTime",
                "refreshTokensValidFromDateTime",
                "serviceProvisioningErrors",
                "isManagementRestricted",
                "isResourceAccount",
                "externalUserStateChangeDateTime",
                "assignedLicenses",
                "legalAgeGroupClassification",
            ]
        ),
        gated=(
            ("customSecurityAttributes", "CustomSecAttributeAssignment.Read.All"),
            ("employeeLeaveDateTime", "User-LifeCycleInfo.Read.All"),
            ("signInActivity", "AuditLog.Read.All"),
        ),
    ),
    EntitySet(
        "authenticationMethod",
        "",
        "authentication_method",
        _METHOD_READ,
        subtypes=(
            "fido2_authentication_method",
            "microsoft_authenticator_authentication_method",
            "password_authentication_method",
            "phone_authentication_method",
        ),
        lane="reports",
        create=False,
        update=False,
        delete=False,
    ),
    EntitySet(
        "invitation",
        "invitations",
        "invitation",
        ("User.Invite.All", *_USER_WRITE),
        ("User.Invite.All", *_USER_WRITE),
        required=("invitedUserEmailAddress", "inviteRedirectUrl"),
        read_only=frozenset(["id", "inviteRedeemUrl", "status"]),
        countable=False,
        update=False,
        delete=False,
    ),
    EntitySet(
        "group",
        "groups",
        "group",
        _GROUP_READ,
        _GROUP_WRITE,
        on_select=frozenset(
            [
                "assignedLicenses",
                "assignedLabels",
                "licenseProcessingState",
                "isManagementRestricted",
                "onPremisesExtensionAttributes",
                "uniqueName",
                "hasMembersWithLicenseErrors",
                "isArchived",
            ]
        ),
        single_only=_GROUP_SINGLE,
        untracked=_GROUP_SINGLE,
        relations=(
            Relation(
                "members",
                (Link.GROUP_MEMBERS,),
                delta="default",
                targets=_ANYONE,
                units=3,
                read=_MEMBER_READ,
                write=_MEMBER_WRITE,
            ),
            Relation("owners", (Link.GROUP_OWNERS,), delta="select", targets=_OWNERS, read=_MEMBER_READ),
            _MEMBER_OF,
            _TRANSITIVE_MEMBER_OF,
            Relation("transitiveMembers", (Link.GROUP_MEMBERS,), transitive=True, units=5, read=_MEMBER_READ),
            _ASSIGNMENTS,
            Relation(
                "settings",
                (Link.GROUP_SETTINGS,),
                part="settingOfGroup",
                read=("GroupSettings.Read.All", "GroupSettings.ReadWrite.All", *_GROUP_READ),
                write=("GroupSettings.ReadWrite.All", "Directory.ReadWrite.All"),
            ),
            _EXTENSIONS,
        ),
        delta=True,
        bin="directory/deletedItems",
        advanced=True,
        required=("displayName", "mailEnabled", "mailNickname", "securityEnabled"),
        read_only=_MINTED
        | _SYNCED
        | frozenset(
            [
                "mail",
                "proxyAddresses",
                "renewedDateTime",
                "expirationDateTime",
                "assignedLicenses",
                "licenseProcessingState",
                "serviceProvisioningErrors",
                "isManagementRestricted",
                "hasMembersWithLicenseErrors",
                "assignedLabels",
                "isArchived",
            ]
        ),
        immutable=frozenset(("isAssignableToRole", "uniqueName", "resourceBehaviorOptions")),
    ),
    EntitySet(
        "administrativeUnit",
        "directory/administrativeUnits",
        "administrative_unit",
        _UNIT_READ,
        _UNIT_WRITE,
        relations=(
            Relation("members", (Link.UNIT_MEMBERS,), delta="default", targets=("user", "group", "device")),
            Relation(
                "scopedRoleMembers",
                (Link.SCOPED_MEMBERS,),
                part="scopedRoleMembership",
                read=_ROLE_READ,
                write=_ROLE_WRITE,
            ),
            _EXTENSIONS,
        ),
        delta=True,
        bin="directory/deletedItems",
        advanced=True,
        required=("displayName",),
        read_only=_MINTED,
        immutable=frozenset(("isMemberManagementRestricted",)),
    ),
    EntitySet(
        "scopedRoleMembership",
        "",
        "scoped_role_membership",
        _ROLE_READ,
        _ROLE_WRITE,
        required=("roleId", "roleMemberInfo"),
        read_only=frozenset(("id", "administrativeUnitId")),
        update=False,
    ),
    EntitySet(
        "application",
        "applications",
        "application",
        _APPLICATION_READ,
        _APPLICATION_WRITE,
        on_select=frozenset(("authenticationBehaviors", "managerApplications")),
        streams=frozenset(("logo",)),
        relations=(
            Relation("owners", (Link.APPLICATION_OWNERS,), targets=_OWNERS),
            Relation("federatedIdentityCredentials", (Link.CREDENTIALS,), part="federatedIdentityCredential"),
            Relation("extensionProperties", (Link.EXTENSIONS,), part="extensionProperty", units=2),
            *_POLICY_REFERENCES[2:],
        ),
        delta=True,
        bin="directory/deletedItems",
        units=(2, 2),
        advanced=True,
        alternate="appId",
        required=("displayName",),
        read_only=_MINTED
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
        _APPLICATION_READ,
        _APPLICATION_WRITE,
        required=("name", "issuer", "subject", "audiences"),
        read_only=frozenset(("id",)),
        immutable=frozenset(("name",)),
    ),
    EntitySet(
        "extensionProperty",
        "",
        "extension_property",
        _APPLICATION_READ,
        _APPLICATION_WRITE,
        required=("name", "dataType", "targetObjects"),
        read_only=frozenset(("id", "deletedDateTime", "appDisplayName", "isSyncedFromOnPremises")),
        update=False,
    ),
    EntitySet(
        "servicePrincipal",
        "servicePrincipals",
        "service_principal",
        _APPLICATION_READ,
        _APPLICATION_WRITE,
        on_select=frozenset(("customSecurityAttributes",)),
        relations=(
            Relation("owners", (Link.PRINCIPAL_OWNERS,), targets=_OWNERS),
            Relation("appRoleAssignedTo", (Link.ASSIGNED_TO,), part="appRoleAssignment", write=_ASSIGNMENT_WRITE),
            Relation(
                "appRoleAssignments", (Link.ASSIGNMENTS,), part="appRoleAssignment", units=2, write=_ASSIGNMENT_WRITE
            ),
            Relation("oauth2PermissionGrants", (Link.GRANT_CLIENT,), part="oAuth2PermissionGrant", read=_GRANT_READ),
            Relation(
                "delegatedPermissionClassifications",
                (Link.CLASSIFICATIONS,),
                part="delegatedPermissionClassification",
                read=("Application.Read.All", "Policy.Read.PermissionGrant", "Directory.Read.All"),
                write=("Policy.ReadWrite.PermissionGrant",),
            ),
            Relation(
                "synchronization/jobs",
                (Link.SYNC_JOBS,),
                part="synchronizationJob",
                read=("Synchronization.Read.All", "Synchronization.ReadWrite.All"),
                write=("Synchronization.ReadWrite.All",),
            ),
            Relation(
                "remoteDesktopSecurityConfiguration",
                (Link.REMOTE_DESKTOP,),
                many=False,
                part="remoteDesktopSecurityConfiguration",
                write=_REMOTE_DESKTOP_WRITE,
            ),
            Relation(
                "remoteDesktopSecurityConfiguration/approvedClientApps",
                (Link.APPROVED_CLIENTS,),
                part="approvedClientApp",
                write=_REMOTE_DESKTOP_WRITE,
            ),
            Relation(
                "remoteDesktopSecurityConfiguration/targetDeviceGroups",
                (Link.DEVICE_GROUPS,),
                part="targetDeviceGroup",
                write=_REMOTE_DESKTOP_WRITE,
            ),
            *_POLICY_REFERENCES,
            _MEMBER_OF,
            _TRANSITIVE_MEMBER_OF,
            _OWNED_OBJECTS,
        ),
        delta=True,
        bin="directory/deletedItems",
        advanced=True,
        alternate="appId",
        required=("appId",),
        read_only=_MINTED
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
        _APPLICATION_READ,
        _REMOTE_DESKTOP_WRITE,
        upsert=("PATCH",),
        read_only=frozenset(("id",)),
    ),
    EntitySet(
        "approvedClientApp",
        "",
        "approved_client_app",
        _APPLICATION_READ,
        _REMOTE_DESKTOP_WRITE,
        required=("id",),
        update=False,
    ),
    EntitySet(
        "targetDeviceGroup",
        "",
        "target_device_group",
        _APPLICATION_READ,
        _REMOTE_DESKTOP_WRITE,
        required=("id",),
        immutable=frozenset(("id",)),
    ),
    EntitySet(
        "appRoleAssignment",
        "",
        "app_role_assignment",
        _APPLICATION_READ,
        _ASSIGNMENT_WRITE,
        required=("principalId", "resourceId", "appRoleId"),
        read_only=_MINTED | {"principalDisplayName", "principalType", "resourceDisplayName"},
        update=False,
    ),
    EntitySet(
        "oAuth2PermissionGrant",
        "oauth2PermissionGrants",
        "o_auth2_permission_grant",
        _GRANT_READ,
        ("DelegatedPermissionGrant.ReadWrite.All", "Directory.ReadWrite.All"),
        delta=True,
        units=(2, 2),
        required=("clientId", "consentType", "resourceId", "scope"),
        read_only=frozenset(("id",)),
        immutable=frozenset(("clientId", "consentType", "resourceId", "principalId")),
    ),
    EntitySet(
        "directoryRole",
        "directoryRoles",
        "directory_role",
        _ROLE_READ,
        _ROLE_WRITE,
        relations=(
            Relation("members", (Link.ROLE_MEMBERS,), delta="default", targets=("user", "group", "servicePrincipal")),
        ),
        page=0,
        delta=True,
        alternate="roleTemplateId",
        required=("roleTemplateId",),
        read_only=frozenset(("id", "deletedDateTime", "displayName", "description")),
        update=False,
        delete=False,
    ),
    EntitySet(
        "unifiedRoleDefinition",
        "roleManagement/directory/roleDefinitions",
        "unified_role_definition",
        _ROLE_READ,
        _ROLE_WRITE,
        required=("displayName", "isEnabled", "rolePermissions"),
        read_only=frozenset(("id", "isBuiltIn")),
        immutable=frozenset(("templateId",)),
    ),
    EntitySet(
        "unifiedRoleAssignment",
        "roleManagement/directory/roleAssignments",
        "unified_role_assignment",
        _ROLE_READ,
        _ROLE_WRITE,
        required=("principalId", "roleDefinitionId"),
        read_only=frozenset(("id",)),
        update=False,
    ),
    EntitySet(
        "conditionalAccessPolicy",
        "identity/conditionalAccess/policies",
        "conditional_access_policy",
        _POLICY_READ,
        _POLICY_WRITE,
        bin="identity/conditionalAccess/deletedItems/policies",
        lane="conditional_access",
        required=("displayName", "state", "conditions"),
        read_only=frozenset(["id", "createdDateTime", "modifiedDateTime", "deletedDateTime", "templateId"]),
    ),
    EntitySet(
        "namedLocation",
        "identity/conditionalAccess/namedLocations",
        "named_location",
        _POLICY_READ,
        _POLICY_WRITE,
        bin="identity/conditionalAccess/deletedItems/namedLocations",
        lane="conditional_access",
        subtypes=("ip_named_location", "country_named_location"),
        required=("@odata.type", "displayName"),
        read_only=frozenset(["id", "createdDateTime", "modifiedDateTime", "deletedDateTime"]),
    ),
    EntitySet(
        "authenticationStrengthPolicy",
        "policies/authenticationStrengthPolicies",
        "authentication_strength_policy",
        _STRENGTH_READ,
        _STRENGTH_WRITE,
        inline=(("combinationConfigurations", "authentication_combination_configuration"),),
        required=("displayName", "allowedCombinations"),
        read_only=frozenset(["id", "createdDateTime", "modifiedDateTime", "policyType", "requirementsSatisfied"]),
        immutable=frozenset(("allowedCombinations",)),
    ),
    EntitySet(
        "device",
        "devices",
        "device",
        _DEVICE_READ,
        _DEVICE_WRITE,
        on_select=frozenset(("isManagementRestricted",)),
        relations=(
            Relation("registeredOwners", (Link.DEVICE_OWNERS,), targets=_OWNERS),
            Relation("registeredUsers", (Link.DEVICE_USERS,), targets=_OWNERS),
            _EXTENSIONS,
            _MEMBER_OF,
            _TRANSITIVE_MEMBER_OF,
        ),
        delta=True,
        advanced=True,
        read_only=_MINTED
        | frozenset(
            [
                "approximateLastSignInDateTime",
                "deviceId",
                "isManagementRestricted",
                "registrationDateTime",
                "onPremisesLastSyncDateTime",
                "onPremisesSyncEnabled",
                "trustType",
            ]
        ),
        create=False,
    ),
    EntitySet(
        "domain",
        "domains",
        "domain",
        _DOMAIN_READ,
        _DOMAIN_WRITE,
        relations=(
            Relation(
                "federationConfiguration",
                (Link.FEDERATION,),
                part="internalDomainFederation",
                read=("Domain-InternalFederation.Read.All", "Domain-InternalFederation.ReadWrite.All"),
                write=("Domain-InternalFederation.ReadWrite.All", "Domain.ReadWrite.All"),
            ),
            Relation(
                "serviceConfigurationRecords",
                (Link.SERVICE_RECORDS,),
                part="serviceConfigurationRecord",
                read=_DOMAIN_READ[:2],
            ),
            Relation(
                "verificationDnsRecords",
                (Link.VERIFICATION_RECORDS,),
                part="verificationDnsRecord",
                read=_DOMAIN_READ[:2],
            ),
        ),
        required=("id",),
        read_only=frozenset(
            ["authenticationType", "availabilityStatus", "isAdminManaged", "isInitial", "isRoot", "isVerified", "state"]
        ),
        immutable=frozenset(("id",)),
    ),
    EntitySet(
        "organization",
        "organization",
        "organization",
        _ORGANIZATION_READ,
        _ORGANIZATION_WRITE,
        relations=(
            Relation(
                "branding",
                (Link.BRANDING,),
                many=False,
                part="organizationalBranding",
                read=_BRANDING_READ,
                write=_BRANDING_READ[1:3],
            ),
            Relation(
                "branding/localizations",
                (Link.BRANDING_LOCALIZATIONS,),
                part="organizationalBrandingLocalization",
                read=_BRANDING_READ,
                write=_BRANDING_READ[1:3],
            ),
            Relation(
                "certificateBasedAuthConfiguration",
                (Link.CERTIFICATE_AUTHENTICATION,),
                part="certificateBasedAuthConfiguration",
                read=_ORGANIZATION_READ[:2],
            ),
            _EXTENSIONS,
        ),
        read_only=_MINTED
        | frozenset(["assignedPlans", "provisionedPlans", "verifiedDomains", "tenantType", "displayName"]),
        create=False,
        delete=False,
    ),
    EntitySet(
        "subscribedSku",
        "subscribedSkus",
        "subscribed_sku",
        _SKU_READ,
        page=0,
        units=(3, 3),
        countable=False,
        create=False,
        update=False,
        delete=False,
    ),
)
