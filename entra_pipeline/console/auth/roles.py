"""Who may do what: three roles, each with all that the one before it may; and what gives somebody one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

from entra_pipeline.project import Roles

_ID = re.compile("[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


class Role(IntEnum):
    """A role; the greater may all that the lesser may."""

    viewer = 1
    operator = 2
    administrator = 3


class Grants(NamedTuple):
    """What a provider says of somebody that can give a role.

    Attributes:
        app_roles: Values of the claim `roles`.
        groups: Values of the claim `groups`.
        user: Id of the user in Entra (claim `oid`), which nobody chooses; empty with another provider.
    """

    app_roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    user: str = ""

    def among(self, members: Iterable[str]) -> bool:
        """Whether one of some app roles, or ids of groups or users, is somebody's.

        Who may make a group chooses its name, and the provider may be set to tell names: of groups only ids count, and
        none does where one of them is no id; an app role counts by its value, which is no id.
        """
        own = {one for one in self.app_roles if not _is_id(one)}
        if all(map(_is_id, self.groups)):
            own |= {one.lower() for one in self.groups}
        if _is_id(self.user):
            own.add(self.user.lower())
        return not own.isdisjoint(map(_comparable, members))


def role_of(grants: Grants, roles: Roles) -> Role | None:
    """The highest role for everything that grants give; None when they give none.

    Args:
        grants: What the provider says.
        roles: What gives which role.
    """
    return next((role for role in reversed(Role) if grants.among(getattr(roles, role.name))), None)


def _is_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None


def _comparable(text: str) -> str:
    return text.lower() if _is_id(text) else text
