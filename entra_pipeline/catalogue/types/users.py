"""Users, with their manager and sponsors, licences and registered authentication methods."""

from dataclasses import replace

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
    kept,
)
from entra_pipeline.catalogue.restoring import NO_NICKNAME, Evidence, TextRule, WriteStrategy
from entra_pipeline.catalogue.types.open_extensions import open_extensions

_ONE_BY_ONE = "held outside the directory, by SharePoint or Exchange: Graph shows it of one user at a time"
# A list that selects them is answered 501 (Graph doc: user-list).
_SINGLE_GET_ONLY = {
    "aboutMe",
    "birthday",
    "hireDate",
    "interests",
    "mailboxSettings",
    "mySite",
    "pastProjects",
    "preferredName",
    "responsibilities",
    "schools",
    "skills",
}
# Delta refuses to select the first, and does not track the others (Graph doc: resources/user).
_NOT_TRACKED = {
    "signInActivity": "delta refuses it; the sign-in logs have it",
    "deviceEnrollmentLimit": "delta does not track it; Intune's",
    "print": "delta does not track it; Universal Print's",
}

# The built-in kinds of authentication methods (Graph doc: resources/authenticationmethod).
_METHODS = (
    "email_authentication_method",
    "external_authentication_method",
    "fido2_authentication_method",
    "microsoft_authenticator_authentication_method",
    "password_authentication_method",
    "phone_authentication_method",
    "platform_credential_authentication_method",
    "resource_account_key_authentication_method",
    "software_oath_authentication_method",
    "temporary_access_pass_authentication_method",
    "windows_hello_for_business_authentication_method",
)
# Computed, or written by other means (Graph doc: resources/user): licences by assignLicense, addresses by Exchange, the
# sign-in identity of members with their userPrincipalName, that of guests by redeeming an invitation.
_COMPUTED = {
    "assignedLicenses",
    "assignedPlans",
    "createdDateTime",
    "creationType",
    "deletedDateTime",
    "externalUserState",
    "externalUserStateChangeDateTime",
    "identities",
    "imAddresses",
    "isManagementRestricted",
    "isResourceAccount",
    "lastPasswordChangeDateTime",
    "legalAgeGroupClassification",
    "licenseAssignmentStates",
    "onPremisesDistinguishedName",
    "onPremisesDomainName",
    "onPremisesLastSyncDateTime",
    "onPremisesProvisioningErrors",
    "onPremisesSamAccountName",
    "onPremisesSecurityIdentifier",
    "onPremisesSyncEnabled",
    "onPremisesUserPrincipalName",
    "passwordProfile",
    "provisionedPlans",
    "proxyAddresses",
    "securityIdentifier",
    "serviceProvisioningErrors",
    "showInAddressList",
    "signInSessionsValidFromDateTime",
}
_WRITE_USERS = ("User.ReadWrite.All", "Directory.ReadWrite.All")

TYPES = (
    ObjectType(
        name="users",
        category=Category.USERS,
        title="User",
        path="users",
        model="user",
        permissions=("User.Read.All", "Directory.Read.All"),
        restore=Restore(
            how="from the recycle bin, else POST /users (disabled, random password, invitation for guests), PATCH; "
            "not: password, passkeys, MFA secrets, mailbox; synced users in Active Directory",
            permissions=_WRITE_USERS,
            gated={
                "customSecurityAttributes": "CustomSecAttributeAssignment.ReadWrite.All",
                "employeeLeaveDateTime": "User-LifeCycleInfo.ReadWrite.All",
            },
            bin="directory/deletedItems",
            volatile=frozenset(_COMPUTED),
            # Graph doc: user (proxyAddresses is read-only); user-update (identities take a permission of their own).
            elsewhere={
                "proxyAddresses": "an Exchange administrator (Set-Mailbox -EmailAddresses, or the Microsoft 365 admin "
                "center)",
                "identities": "whoever has the permission User.ManageIdentities.All",
            },
            # Graph docs: agentuser-post; agentuser-update does not take it.
            create_only=frozenset({"identityParentId"}),
            change_only=frozenset({"customSecurityAttributes", "employeeLeaveDateTime"}),
            unique=("userPrincipalName",),
            # A sign-in name is given to the next person of that name. The source anchor and the employee's number are
            # one person's (Entra doc: how objects are matched; Graph doc: user).
            evidence=Evidence(alone=("onPremisesImmutableId", "employeeId"), together=("displayName", "mail")),
            # Graph doc: user; Entra doc: duplicate attributes (an address, a sign-in name is one object's alone).
            names={
                "userPrincipalName": "address",
                "mail": "address",
                "proxyAddresses": "address",
                "identities.issuerAssignedId": "sign-in name",
            },
            domains=frozenset({"userPrincipalName"}),
            guards=frozenset(
                {
                    *("accountEnabled", "ageGroup", "consentProvidedForMinor", "employeeLeaveDateTime"),
                    *("passwordPolicies", "userType"),
                }
            ),
            # Graph doc: user.
            texts={
                "displayName": TextRule(longest=256),
                "mailNickname": TextRule(longest=64, refused=NO_NICKNAME, replaced=True),
            },
            required=("accountEnabled", "displayName", "mailNickname", "userPrincipalName"),
            lost=(
                "password",
                "passkeys and other methods",
                "MFA secrets",
                "photo",
                "profile in SharePoint",
                "mailbox and files",
            ),
            mastered="raw->>'$.onPremisesSyncEnabled' = 'true'",
            # Entra doc: users of hybrid tenants.
            cloud_owned=frozenset(
                {"customSecurityAttributes", "passwordPolicies", "preferredDataLocation", "usageLocation"}
            ),
            guard=("accountEnabled", False),
            strategy=WriteStrategy.USER,
            after=("custom_security_attribute_definitions", "extension_properties"),
        ),
        delta=True,
        select=True,
        not_listable={**dict.fromkeys(_SINGLE_GET_ONLY, _ONE_BY_ONE), **_NOT_TRACKED},
        gated={
            "customSecurityAttributes": "CustomSecAttributeAssignment.Read.All",
            "employeeLeaveDateTime": "User-LifeCycleInfo.Read.All",
        },
        extensible="User",
        page_size=999,
        identity=("userPrincipalName", "displayName"),
        relations=(
            Relation(
                "user_manager",
                "manager",
                Read.DELTA,
                many=False,
                inverse="directReports",
                write=LinkWrite(
                    add="put",
                    permissions=_WRITE_USERS,
                    mastered="raw->>'$.onPremisesSyncEnabled' = 'true'",
                ),
            ),
            Relation("user_sponsors", "sponsors", Read.EXPAND, write=LinkWrite(permissions=_WRITE_USERS)),
        ),
        personal=Personal("id"),
    ),
    ObjectType(
        name="user_licenses",
        category=Category.USERS,
        title="Licences of a user",
        irregular_plural="Licences of users",
        path="users",
        model="user",
        permissions=("LicenseAssignment.Read.All", "User.Read.All", "Directory.Read.All"),
        restore=Restore(
            how="POST /users/{id}/assignLicense for licences assigned directly; the others come with groups",
            permissions=("LicenseAssignment.ReadWrite.All", *_WRITE_USERS),
            create="",
            change="POST",
            remove=False,
            volatile=frozenset({"licenseAssignmentStates", "userPrincipalName"}),
            strategy=WriteStrategy.LICENSES,
            after=("users", "groups"),
        ),
        projection=("id", "userPrincipalName", "assignedLicenses", "licenseAssignmentStates"),
        page_size=999,
        daily=True,
        identity=("userPrincipalName",),
        belongs_to="id",
        shows="users",
        personal=Personal("id"),
    ),
    ObjectType(
        name="user_registration_details",
        category=Category.USERS,
        title="Registered authentication methods of a user",
        irregular_plural="Registered authentication methods of users",
        path="reports/authenticationMethods/userRegistrationDetails",
        model="user_registration_details",
        permissions=("AuditLog.Read.All",),
        restore=kept("a report; methods are registered by their user"),
        page_size=999,
        daily=True,
        identity=("userPrincipalName",),
        belongs_to="id",
        lane=Lane.REPORTS,
        licence="Microsoft Entra ID P1",
        shows="users",
        personal=Personal("id"),
    ),
    ObjectType(
        name="user_authentication_methods",
        category=Category.USERS,
        title="Authentication method of a privileged user",
        irregular_plural="Authentication methods of privileged users",
        path="",
        model="authentication_method",
        subtypes=_METHODS,
        permissions=("UserAuthenticationMethod.Read.All",),
        restore=kept("evidence of how privileged users sign in; methods are registered by their user"),
        not_listable={
            "password": "never shown (Graph doc: passwordauthenticationmethod)",
            "secretKey": "never shown (Graph doc: softwareoathauthenticationmethod)",
            "temporaryAccessPass": "shown once, to who creates it (Graph doc: temporaryaccesspassauthenticationmethod)",
        },
        parent=Parent(
            "users",
            "authentication/methods",
            Read.EACH,
            among=("role_assignments", "role_eligibility_schedules"),
        ),
        identity=("id",),
        # Ids tell methods of one user apart: everybody's password has the same one.
        local_ids=True,
        lane=Lane.REPORTS,
        on_demand=True,
        personal=Personal("_parent_id"),
    ),
    replace(
        open_extensions("users", "user", Category.USERS, "User.Read.All"),
        personal=Personal("_parent_id"),
    ),
)
