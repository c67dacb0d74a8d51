"""Who may do what: three roles, each with all that the one before it may."""

from __future__ import annotations

from collections.abc import Collection
from enum import IntEnum

from entra_pipeline.project import Roles


class Role(IntEnum):
    """A role; the greater may all that the lesser may."""

    viewer = 1
    operator = 2
    administrator = 3


def role_of(claims: Collection[str], roles: Roles) -> Role | None:
    """The highest role that somebody's app roles and groups give; None when they give none."""
    given = (role for role in reversed(Role) if not set(getattr(roles, role.name)).isdisjoint(claims))
    return next(given, None)
