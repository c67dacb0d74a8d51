"""Groups with their settings, and administrative units: the collections of a directory."""

from entra_pipeline.catalogue.model import (
    Category,
    LinkWrite,
    ObjectType,
    Parent,
    Personal,
    Read,
    Relation,
    Restore,
    kept,
)
from entra_pipeline.catalogue.restoring import NO_NICKNAME, TextRule, WriteStrategy
from entra_pipeline.catalogue.types.open_extensions import open_extensions

_READ_HIDDEN = "Member.Read.Hidden"
_EXCHANGE = (
    "held by Exchange: Graph shows it of one Microsoft 365 group at a time, and delta does not report its changes"
)
_SIGNED_IN = "held by Exchange: Graph shows it to a signed-in user only"
# Held by Exchange or Teams: readable only one group at a time, or never (Graph doc: resources/group, known-issues).
_NOT_IN_LISTS = {
    "accessType": _EXCHANGE,
    "allowExternalSenders": _SIGNED_IN,
    "autoSubscribeNewMembers": _SIGNED_IN,
    "hasMembersWithLicenseErrors": "a filter, never shown",
    "hideFromAddressLists": _EXCHANGE,
    "hideFromOutlookClients": _EXCHANGE,
    "isArchived": "held by Teams: shown of one group at a time",
    "isFavorite": _SIGNED_IN,
    "isSubscribedByMail": _SIGNED_IN,
    "unseenConversationsCount": _SIGNED_IN,
    "unseenCount": _SIGNED_IN,
    "unseenMessagesCount": _SIGNED_IN,
}
_MICROSOFT_365 = "coalesce(raw->>'$.groupTypes', '') LIKE '%Unified%'"
# Computed, or written by other means (Graph doc: resources/group): addresses by Exchange, labels by signed-in users.
_COMPUTED = {
    "assignedLabels",
    "createdDateTime",
    "deletedDateTime",
    "expirationDateTime",
    "infoCatalogs",
    "isManagementRestricted",
    "licenseProcessingState",
    "mail",
    "onPremisesDomainName",
    "onPremisesExtensionAttributes",
    "onPremisesLastSyncDateTime",
    "onPremisesNetBiosName",
    "onPremisesProvisioningErrors",
    "onPremisesSamAccountName",
    "onPremisesSecurityIdentifier",
    "onPremisesSyncEnabled",
    "organizationId",
    "proxyAddresses",
    "renewedDateTime",
    "securityIdentifier",
    "serviceProvisioningErrors",
}
# Active Directory's groups, and Exchange's: distribution lists and mail-enabled security groups.
_ELSEWHERE = (
    "raw->>'$.onPremisesSyncEnabled' = 'true' OR "
    "(raw->>'$.mailEnabled' = 'true' AND coalesce(raw->>'$.groupTypes', '') NOT LIKE '%Unified%')"
)
_DYNAMIC = "coalesce(raw->>'$.groupTypes', '') LIKE '%DynamicMembership%'"
_PAUSED = ("membershipRuleProcessingState", "Paused")
_WRITE_GROUPS = ("Group.ReadWrite.All", "Directory.ReadWrite.All")
_WRITE_UNITS = ("AdministrativeUnit.ReadWrite.All",)

TYPES = (
    ObjectType(
        name="groups",
        category=Category.GROUPS,
        title="Group",
        path="groups",
        model="group",
        permissions=("Group.Read.All", "Directory.Read.All"),
        restore=Restore(
            how="from the recycle bin, else POST /groups, PATCH, members and owners by reference, assignLicense; "
            "not: distribution lists and mail-enabled security groups (Exchange), mailbox, site; synced groups in "
            "Active Directory",
            permissions=_WRITE_GROUPS,
            gated={
                "assignedLicenses": "LicenseAssignment.ReadWrite.All",
                "isAssignableToRole": "RoleManagement.ReadWrite.Directory",
            },
            bin="directory/deletedItems",
            volatile=frozenset(_COMPUTED),
            # Graph doc: group (proxyAddresses is read-only).
            elsewhere={"proxyAddresses": "an Exchange administrator (Set-UnifiedGroup -EmailAddresses)"},
            create_only=frozenset({"isAssignableToRole", "resourceBehaviorOptions", "uniqueName"}),
            change_only=frozenset({"welcomeMessageEnabled"}),
            unique=("uniqueName",),
            names={"mail": "address", "proxyAddresses": "address", "mailNickname": "alias"},
            reserved=frozenset({"uniqueName"}),
            guards=frozenset(
                {
                    *("groupTypes", "isAssignableToRole", "mailEnabled", "membershipRule"),
                    *("membershipRuleProcessingState", "securityEnabled", "visibility"),
                }
            ),
            # Graph doc: group.
            texts={
                "description": TextRule(longest=1024),
                "displayName": TextRule(longest=256),
                "mailNickname": TextRule(longest=64, refused=NO_NICKNAME, replaced=True),
            },
            required=("displayName", "mailEnabled", "mailNickname", "securityEnabled"),
            later=frozenset({"assignedLicenses"}),
            # Groups under a lifetime policy are deleted when it ends (Entra doc: groups-lifecycle).
            ends="expirationDateTime",
            lost=("mailbox and its settings", "conversations", "site and files", "team", "photo", "sensitivity labels"),
            mastered=_ELSEWHERE,
            guard=_PAUSED,
            strategy=WriteStrategy.GROUP,
            after=("extension_properties",),
        ),
        delta=True,
        select=True,
        not_listable=_NOT_IN_LISTS,
        extensible="Group",
        page_size=999,
        identity=("displayName", "mailNickname"),
        relations=(
            Relation(
                "group_members",
                "members",
                Read.DELTA,
                inverse="memberOf",
                hidden=_READ_HIDDEN,
                write=LinkWrite(
                    add="bind",
                    permissions=("GroupMember.ReadWrite.All", *_WRITE_GROUPS),
                    derived=_DYNAMIC,
                    mastered=_ELSEWHERE,
                ),
            ),
            Relation(
                "group_owners",
                "owners",
                Read.DELTA,
                inverse="ownedObjects",
                write=LinkWrite(permissions=_WRITE_GROUPS, mastered=_ELSEWHERE),
            ),
        ),
    ),
    ObjectType(
        name="administrative_units",
        category=Category.ADMINISTRATIVE_UNITS,
        title="Administrative unit",
        path="directory/administrativeUnits",
        model="administrative_unit",
        permissions=("AdministrativeUnit.Read.All", "Directory.Read.All"),
        restore=Restore(
            how="from the recycle bin, else POST /directory/administrativeUnits, PATCH, members by reference",
            permissions=_WRITE_UNITS,
            bin="directory/deletedItems",
            volatile=frozenset({"deletedDateTime"}),
            create_only=frozenset({"isMemberManagementRestricted"}),
            guards=frozenset(
                {
                    *("isMemberManagementRestricted", "membershipRule", "membershipRuleProcessingState"),
                    *("membershipType", "visibility"),
                }
            ),
            required=("displayName",),
            guard=_PAUSED,
            after=("extension_properties",),
        ),
        delta=True,
        extensible="AdministrativeUnit",
        page_size=999,
        relations=(
            Relation(
                "administrative_unit_members",
                "members",
                Read.DELTA,
                inverse="memberOf",
                hidden=_READ_HIDDEN,
                write=LinkWrite(permissions=_WRITE_UNITS, derived="lower(raw->>'$.membershipType') = 'dynamic'"),
            ),
        ),
    ),
    ObjectType(
        name="scoped_role_members",
        category=Category.ADMINISTRATIVE_UNITS,
        title="Scoped role member",
        path="",
        model="scoped_role_membership",
        permissions=("RoleManagement.Read.Directory", "Directory.Read.All"),
        restore=Restore(
            how="POST to scopedRoleMembers of the administrative unit",
            permissions=("RoleManagement.ReadWrite.Directory",),
            change="",
            volatile=frozenset({"administrativeUnitId"}),
            required=("roleId", "roleMemberInfo"),
            parts={"roleMemberInfo": ("id",)},
            after=("users", "groups", "service_principals"),
            refers=frozenset({"roleMemberInfo"}),
            link=True,
        ),
        parent=Parent("administrative_units", "scopedRoleMembers", Read.EACH),
        identity=("id",),
        personal=Personal("roleMemberInfo.id", frozenset({"roleMemberInfo"})),
    ),
    ObjectType(
        name="group_settings",
        category=Category.GROUPS,
        title="Group setting",
        path="groupSettings",
        model="group_setting",
        permissions=("GroupSettings.Read.All", "Directory.Read.All", "Group.Read.All"),
        restore=Restore(
            how="POST /groupSettings, PATCH",
            permissions=("GroupSettings.ReadWrite.All", "Directory.ReadWrite.All"),
            volatile=frozenset({"displayName"}),
            create_only=frozenset({"templateId"}),
            unique=("templateId",),
            required=("templateId", "values"),
            after=("groups",),
        ),
    ),
    ObjectType(
        name="group_specific_settings",
        category=Category.GROUPS,
        title="Setting of one group",
        irregular_plural="Settings of single groups",
        path="",
        model="group_setting",
        permissions=("GroupSettings.Read.All", "Directory.Read.All", "Group.Read.All"),
        restore=Restore(
            how="POST to settings of the group, PATCH",
            permissions=("GroupSettings.ReadWrite.All", "Directory.ReadWrite.All"),
            volatile=frozenset({"displayName"}),
            create_only=frozenset({"templateId"}),
            required=("templateId", "values"),
        ),
        parent=Parent("groups", "settings", Read.EACH, where=_MICROSOFT_365),
        shows="group_settings",
    ),
    open_extensions("groups", "group", Category.GROUPS, "Group.Read.All"),
    open_extensions(
        "administrative_units", "administrative_unit", Category.ADMINISTRATIVE_UNITS, "AdministrativeUnit.Read.All"
    ),
    ObjectType(
        name="group_setting_templates",
        category=Category.GROUPS,
        title="Group setting template",
        path="groupSettingTemplates",
        model="group_setting_template",
        permissions=("GroupSettings.Read.All", "Directory.Read.All"),
        restore=kept("Microsoft's, the same in every tenant"),
    ),
    ObjectType(
        name="group_lifecycle_policies",
        category=Category.GROUPS,
        title="Group lifecycle policy",
        path="groupLifecyclePolicies",
        model="group_lifecycle_policy",
        permissions=("Directory.Read.All",),
        restore=Restore(
            how="POST /groupLifecyclePolicies, PATCH",
            permissions=("Directory.ReadWrite.All",),
            required=("alternateNotificationEmails", "groupLifetimeInDays", "managedGroupTypes"),
            lost=("which groups a policy for selected groups applies to",),
        ),
        identity=("managedGroupTypes",),
    ),
)
