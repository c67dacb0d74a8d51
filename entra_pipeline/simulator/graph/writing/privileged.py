"""Who may change privileged users and groups: permissions that are not enough without a directory role.

Facts: Graph doc, resources/users ("Who can perform sensitive actions"), group.isAssignableToRole, administrativeUnit
.isMemberManagementRestricted. What belongs here: the refusals. What does not: permissions per path (`schema`).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from entra_pipeline.simulator.protocol.failures import denied
from entra_pipeline.simulator.protocol.paths import ResourcePath
from entra_pipeline.simulator.protocol.requests import GraphRequest
from entra_pipeline.simulator.protocol.tokens import Caller
from entra_pipeline.simulator.schema import LinkKind
from entra_pipeline.simulator.storage.database import State, StoredObject
from entra_pipeline.simulator.storage.directory import Directory

SENSITIVE = frozenset(
    [
        "accountEnabled",
        "businessPhones",
        "mobilePhone",
        "onPremisesImmutableId",
        "otherMails",
        "passwordProfile",
        "userPrincipalName",
    ]
)
"""Properties of a privileged user that take a directory role to change; so do deleting and restoring one."""
_OVER_ANYONE = frozenset(["Global Administrator", "Privileged Authentication Administrator"])
_OVER_PASSWORDS = _OVER_ANYONE | {"User Administrator"}
_GROUP_RIGHT = ("RoleManagement.ReadWrite.Directory",)
_PASSWORD_RIGHT = ("User-PasswordProfile.ReadWrite.All",)
_RIGHTS = {
    "customSecurityAttributes": ("CustomSecAttributeAssignment.ReadWrite.All",),
    "employeeLeaveDateTime": ("User-LifeCycleInfo.ReadWrite.All",),
}
_GROUP_LINKS = (LinkKind.GROUP_MEMBERS, LinkKind.GROUP_OWNERS)


def check(directory: Directory, request: GraphRequest, place: ResourcePath, caller: Caller) -> None:
    """Raises Failure (403) for a write that takes more than a permission on its path."""
    plain = place.relation is None and not place.deleted and not place.stream
    names = request.json().keys() if request.body and plain else ()
    if place.entry is None and not place.deleted:
        return
    kind = place.entry.name if place.entry else ""
    if not place.key:
        assignable = kind == "group" and bool(request.json().get("isAssignableToRole"))
        check_creation(caller, kind, names, assignable=assignable)
        return
    row = directory.find(place.key, kind, states=(State.DELETED,) if place.deleted else (State.LIVE,))
    if row is None:
        return
    if place.deleted or (request.method == "DELETE" and place.relation is None and not place.inline):
        check_removal(directory, caller, row)
    elif place.relation is None or row.type == "group":
        check_change(directory, caller, row, names)


def check_change(directory: Directory, caller: Caller, row: StoredObject, names: Iterable[str]) -> None:
    """Raises Failure (403) when the caller may not change these properties of the object."""
    given = set(names)
    for name, wanted in _RIGHTS.items():
        if name in given and not caller.may(wanted):
            raise denied()
    _check_restricted(directory, row)
    if row.type == "group" and assignable(row) and not caller.may(_GROUP_RIGHT):
        raise denied()
    if row.type != "user" or not given & SENSITIVE:
        return
    if caller.directory_roles & _OVER_ANYONE:
        return
    if privileged(directory, row):
        raise denied()
    if "passwordProfile" in given and not (caller.directory_roles & _OVER_PASSWORDS or caller.may(_PASSWORD_RIGHT)):
        raise denied()


def check_creation(caller: Caller, type_name: str, names: Iterable[str], *, assignable: bool) -> None:
    """Raises Failure (403) when the caller may not create such an object."""
    given = set(names)
    if any(name in given and not caller.may(wanted) for name, wanted in _RIGHTS.items()):
        raise denied()
    if type_name == "group" and assignable and not caller.may(_GROUP_RIGHT):
        raise denied()


def check_removal(directory: Directory, caller: Caller, row: StoredObject) -> None:
    """Raises Failure (403) when the caller may not delete, restore or purge the object."""
    _check_restricted(directory, row)
    if row.type == "group" and assignable(row) and not caller.may(_GROUP_RIGHT):
        raise denied()
    if row.type == "user" and privileged(directory, row) and not caller.directory_roles & _OVER_ANYONE:
        raise denied()


def assignable(group: StoredObject) -> bool:
    """Returns whether the group can hold directory roles."""
    return bool(msgspec.json.decode(group.body).get("isAssignableToRole"))


def privileged(directory: Directory, user: StoredObject) -> bool:
    """Returns whether the user, live or deleted, holds a directory role, or belongs to or owns a group that can."""
    if directory.leads_anywhere(LinkKind.ROLE_ASSIGNED, user.seq):
        return True
    return any(assignable(group) for group in directory.linked(_GROUP_LINKS, user.seq, inverse=True))


def _check_restricted(directory: Directory, row: StoredObject) -> None:
    """Members of a restricted unit are changed by roles over that unit only, which no application here holds."""
    for unit in directory.linked((LinkKind.UNIT_MEMBERS,), row.seq, inverse=True):
        if msgspec.json.decode(unit.body).get("isMemberManagementRestricted"):
            raise denied()
