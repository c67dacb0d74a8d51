"""Who may do what: three roles, each with all that the one before it may."""

from __future__ import annotations

import re
from collections.abc import Collection
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
    """

    app_roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


def role_of(app_roles: Collection[str], groups: Collection[str], roles: Roles) -> Role | None:
    """The highest role that somebody's app roles and groups give; None when they give none.

    Who may make a group chooses its name, and the provider may be set to tell names: of groups only ids give a role,
    and none does where one of them is no id; an app role gives one by its value, which is no id.

    Args:
        app_roles: Values of the claim `roles`.
        groups: Values of the claim `groups`.
        roles: Which of them give which role.
    """
    given = {one for one in app_roles if not _is_id(one)}
    if all(map(_is_id, groups)):
        given |= {one.lower() for one in groups}
    found = (role for role in reversed(Role) if not given.isdisjoint(map(_comparable, getattr(roles, role.name))))
    return next(found, None)


def _is_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None


def _comparable(text: str) -> str:
    return text.lower() if _is_id(text) else text
