"""What somebody may, and where: a role for everything, roles for some scopes only, or both.

What belongs here: what a role covers, and what is left of the configuration for whoever sees a part of it. What does
not: what a page is about (`console.routing.Area`), and the decision about a request (`console.access_control`).
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from entra_pipeline.console.auth.roles import Grants, Role, role_of
from entra_pipeline.project import Console, Project, Scope


class ScopedRole(NamedTuple):
    """A role for some scopes.

    Attributes:
        role: The role.
        scopes: Names of scopes, with `*` and `?` for any characters.
        tenants: Names of tenants, of which all scopes count; with `*` and `?` as well.
    """

    role: Role
    scopes: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()

    def covers(self, scope: Scope) -> bool:
        """Whether a scope is one of them."""
        return _matches(scope.name, self.scopes) or _matches(scope.tenant, self.tenants)


class Access(NamedTuple):
    """What somebody may.

    Attributes:
        role: Their role for everything; None when they have none.
        scoped: Their roles for some scopes.
    """

    role: Role | None = None
    scoped: tuple[ScopedRole, ...] = ()

    @property
    def highest(self) -> Role | None:
        """Their highest role, wherever they have it; None for nobody."""
        return max((one for one in (self.role, *(one.role for one in self.scoped)) if one), default=None)

    @property
    def described(self) -> str:
        """Their roles in words, such as `viewer, operator in some scopes`."""
        told = [self.role.name] if self.role else []
        highest = self.highest
        if highest and highest is not self.role:
            told.append(f"{highest.name} in some scopes")
        return ", ".join(told)

    def everywhere(self, role: Role) -> bool:
        """Whether they have a role, or a greater one, for everything."""
        return self.role is not None and self.role >= role

    def somewhere(self, role: Role) -> bool:
        """Whether they have a role, or a greater one, for everything or for some scopes."""
        return self.highest is not None and self.highest >= role

    def in_scope(self, scope: Scope) -> Role | None:
        """Their role in a scope; None when they may not know that there is one."""
        some = (one.role for one in self.scoped if one.covers(scope))
        return max((one for one in (self.role, *some) if one), default=None)

    def narrowed(self, project: Project, role: Role) -> Project:
        """Returns what somebody sees of the configuration: the scopes in which they have a role, or a greater one."""
        if self.everywhere(role):
            return project
        own = {name: self.in_scope(scope) for name, scope in project.scopes.items()}
        return project.narrowed({name for name, found in own.items() if found is not None and found >= role})


def access_of(grants: Grants, console: Console) -> Access:
    """What grants give by the configuration.

    Args:
        grants: What the provider says of somebody.
        console: The console's part of the configuration.
    """
    scoped = (
        ScopedRole(Role[one.role], tuple(one.scopes), tuple(one.tenants))
        for one in console.role_assignments.values()
        if grants.among(one.members)
    )
    return Access(role_of(grants, console.roles), tuple(scoped))


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
