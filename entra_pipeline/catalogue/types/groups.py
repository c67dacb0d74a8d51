"""Groups and administrative units: the collections of a directory."""

from entra_pipeline.catalogue.model import Category, ObjectType, Parent, Read, Relation

# Held by Exchange or Teams: readable only one group at a time, or never (Graph doc: resources/group).
_NOT_IN_LISTS = {
    "accessType",
    "allowExternalSenders",
    "autoSubscribeNewMembers",
    "hasMembersWithLicenseErrors",
    "hideFromAddressLists",
    "hideFromOutlookClients",
    "isArchived",
    "isFavorite",
    "isSubscribedByMail",
    "unseenConversationsCount",
    "unseenCount",
    "unseenMessagesCount",
}

TYPES = (
    ObjectType(
        name="groups",
        category=Category.GROUPS,
        title="Group",
        path="groups",
        model="group",
        permissions=("Group.Read.All", "Directory.Read.All"),
        delta=True,
        select=True,
        not_listable=frozenset(_NOT_IN_LISTS),
        extensible="Group",
        page_size=999,
        count=True,
        identity=("displayName", "mailNickname"),
        relations=(
            Relation("group_members", "members", Read.DELTA, inverse="memberOf"),
            Relation("group_owners", "owners", Read.DELTA, inverse="ownedObjects"),
        ),
    ),
    ObjectType(
        name="administrative_units",
        category=Category.ADMINISTRATIVE_UNITS,
        title="Administrative unit",
        path="directory/administrativeUnits",
        model="administrative_unit",
        permissions=("AdministrativeUnit.Read.All", "Directory.Read.All"),
        delta=True,
        extensible="AdministrativeUnit",
        page_size=999,
        count=True,
        relations=(Relation("administrative_unit_members", "members", Read.DELTA, inverse="memberOf"),),
    ),
    ObjectType(
        name="scoped_role_members",
        category=Category.ADMINISTRATIVE_UNITS,
        title="Scoped role member",
        path="",
        model="scoped_role_membership",
        permissions=("RoleManagement.Read.Directory", "Directory.Read.All"),
        parent=Parent("administrative_units", "scopedRoleMembers", Read.EACH),
        identity=("id",),
    ),
)
