"""Lists the sets of the directory: users, groups, roles, devices, and the tenant itself."""

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
_ASSIGNMENTS = NavigationProperty(
    "appRoleAssignments",
    (LinkKind.ASSIGNMENTS,),
    part="appRoleAssignment",
    read=APPLICATION_READ,
    write=ASSIGNMENT_WRITE,
)
_EXTENSIONS = NavigationProperty("extensions", (LinkKind.OPEN_EXTENSIONS,), part="openTypeExtension")
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
            NavigationProperty(
                "manager", (LinkKind.USER_MANAGER,), many=False, delta="select", targets=("user", "orgContact")
            ),
            NavigationProperty("directReports", (LinkKind.USER_MANAGER,), inverse=True),
            NavigationProperty("sponsors", (LinkKind.USER_SPONSORS,), targets=("user", "group")),
            MEMBER_OF,
            TRANSITIVE_MEMBER_OF,
            OWNED_OBJECTS,
            NavigationProperty("registeredDevices", (LinkKind.DEVICE_USERS,), inverse=True),
            NavigationProperty("ownedDevices", (LinkKind.DEVICE_OWNERS,), inverse=True),
            _ASSIGNMENTS,
            NavigationProperty(
                "oauth2PermissionGrants", (LinkKind.GRANT_PRINCIPAL,), part="oAuth2PermissionGrant", read=GRANT_READ
            ),
            NavigationProperty(
                "authentication/methods",
                (LinkKind.AUTHENTICATION_METHODS,),
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
        read_only=SERVER_MADE
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
            NavigationProperty(
                "members",
                (LinkKind.GROUP_MEMBERS,),
                delta="default",
                targets=_ANYONE,
                units=3,
                read=_MEMBER_READ,
                write=_MEMBER_WRITE,
            ),
            NavigationProperty("owners", (LinkKind.GROUP_OWNERS,), delta="select", targets=OWNERS, read=_MEMBER_READ),
            MEMBER_OF,
            TRANSITIVE_MEMBER_OF,
            NavigationProperty(
                "transitiveMembers", (LinkKind.GROUP_MEMBERS,), transitive=True, units=5, read=_MEMBER_READ
            ),
            _ASSIGNMENTS,
            NavigationProperty(
                "settings",
                (LinkKind.GROUP_SETTINGS,),
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
        read_only=SERVER_MADE
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
            NavigationProperty(
                "members", (LinkKind.UNIT_MEMBERS,), delta="default", targets=("user", "group", "device")
            ),
            NavigationProperty(
                "scopedRoleMembers",
                (LinkKind.SCOPED_MEMBERS,),
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
        read_only=SERVER_MADE,
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
        "directoryRole",
        "directoryRoles",
        "directory_role",
        _ROLE_READ,
        _ROLE_WRITE,
        relations=(
            NavigationProperty(
                "members", (LinkKind.ROLE_MEMBERS,), delta="default", targets=("user", "group", "servicePrincipal")
            ),
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
            NavigationProperty("registeredOwners", (LinkKind.DEVICE_OWNERS,), targets=OWNERS),
            NavigationProperty("registeredUsers", (LinkKind.DEVICE_USERS,), targets=OWNERS),
            _EXTENSIONS,
            MEMBER_OF,
            TRANSITIVE_MEMBER_OF,
        ),
        delta=True,
        advanced=True,
        read_only=SERVER_MADE
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
            NavigationProperty(
                "federationConfiguration",
                (LinkKind.FEDERATION,),
                part="internalDomainFederation",
                read=("Domain-InternalFederation.Read.All", "Domain-InternalFederation.ReadWrite.All"),
                write=("Domain-InternalFederation.ReadWrite.All", "Domain.ReadWrite.All"),
            ),
            NavigationProperty(
                "serviceConfigurationRecords",
                (LinkKind.SERVICE_RECORDS,),
                part="serviceConfigurationRecord",
                read=_DOMAIN_READ[:2],
            ),
            NavigationProperty(
                "verificationDnsRecords",
                (LinkKind.VERIFICATION_RECORDS,),
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
            NavigationProperty(
                "branding",
                (LinkKind.BRANDING,),
                many=False,
                part="organizationalBranding",
                read=_BRANDING_READ,
                write=_BRANDING_READ[1:3],
            ),
            NavigationProperty(
                "branding/localizations",
                (LinkKind.BRANDING_LOCALIZATIONS,),
                part="organizationalBrandingLocalization",
                read=_BRANDING_READ,
                write=_BRANDING_READ[1:3],
            ),
            NavigationProperty(
                "certificateBasedAuthConfiguration",
                (LinkKind.CERTIFICATE_AUTHENTICATION,),
                part="certificateBasedAuthConfiguration",
                read=_ORGANIZATION_READ[:2],
            ),
            _EXTENSIONS,
        ),
        read_only=SERVER_MADE
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
