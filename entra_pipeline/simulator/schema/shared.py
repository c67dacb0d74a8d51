"""Holds what sets of the directory have in common: permissions, properties that Graph makes, relations."""

from __future__ import annotations

from entra_pipeline.simulator.schema.model import Link, Relation

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
MEMBERSHIPS = (Link.GROUP_MEMBERS, Link.UNIT_MEMBERS, Link.ROLE_MEMBERS)
MEMBER_OF = Relation("memberOf", MEMBERSHIPS, inverse=True, units=2)
TRANSITIVE_MEMBER_OF = Relation("transitiveMemberOf", (Link.GROUP_MEMBERS,), inverse=True, transitive=True, units=2)
OWNED_OBJECTS = Relation(
    "ownedObjects", (Link.GROUP_OWNERS, Link.APPLICATION_OWNERS, Link.PRINCIPAL_OWNERS), inverse=True, units=2
)
MINTED = frozenset(["id", "createdDateTime", "deletedDateTime", "securityIdentifier"])
