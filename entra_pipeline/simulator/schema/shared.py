"""Holds what sets of the directory have in common: permissions, properties that Graph makes, relations."""

from __future__ import annotations

from entra_pipeline.simulator.schema.model import LinkKind, NavigationProperty

APPLICATION_READ = (
    "Application.Read.All",
    "Application.ReadWrite.All",
    "Application.ReadWrite.OwnedBy",
    "Directory.Read.All",
    "Directory.ReadWrite.All",
)
ASSIGNMENT_WRITE = ("AppRoleAssignment.ReadWrite.All",)
GRANT_READ = ("Directory.Read.All", "Directory.ReadWrite.All", "DelegatedPermissionGrant.ReadWrite.All")
OWNERS = ("user", "servicePrincipal")
MEMBERSHIPS = (LinkKind.GROUP_MEMBERS, LinkKind.UNIT_MEMBERS, LinkKind.ROLE_MEMBERS)
MEMBER_OF = NavigationProperty("memberOf", MEMBERSHIPS, inverse=True, units=2)
TRANSITIVE_MEMBER_OF = NavigationProperty(
    "transitiveMemberOf", (LinkKind.GROUP_MEMBERS,), inverse=True, transitive=True, units=2
)
OWNED_OBJECTS = NavigationProperty(
    "ownedObjects",
    (LinkKind.GROUP_OWNERS, LinkKind.APPLICATION_OWNERS, LinkKind.PRINCIPAL_OWNERS),
    inverse=True,
    units=2,
)
SERVER_MADE = frozenset(["id", "createdDateTime", "deletedDateTime", "securityIdentifier"])
