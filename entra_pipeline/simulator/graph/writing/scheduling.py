"""Privileged identity management: schedules that come and go by requests (Graph doc: PIM for roles, for groups).

What belongs here: what a request does to schedules, and what an active one does to the directory. What does not: who
approves; a request of an application is provisioned at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from entra_pipeline.simulator.protocol.failures import Failure, bad_request, not_found
from entra_pipeline.simulator.schema import LinkKind
from entra_pipeline.simulator.storage.database import Entity, StoredObject
from entra_pipeline.simulator.storage.directory import Directory

_ADDING = {"adminAssign", "adminUpdate", "adminExtend", "adminRenew"}


class _Kind(NamedTuple):
    """A kind of schedule: its type, the properties that identify one, and those whose object has to exist."""

    schedule: str
    identity: tuple[str, ...]
    ends: tuple[str, ...]
    link: LinkKind
    active: bool


_ROLE = (("principalId", "roleDefinitionId", "directoryScopeId", "appScopeId"), ("principalId", "roleDefinitionId"))
_GROUP = (("principalId", "groupId", "accessId"), ("principalId", "groupId"))
_KINDS = {
    "unifiedRoleEligibilityScheduleRequest": _Kind(
        "unifiedRoleEligibilitySchedule", *_ROLE, LinkKind.ROLE_SCHEDULED, active=False
    ),
    "unifiedRoleAssignmentScheduleRequest": _Kind(
        "unifiedRoleAssignmentSchedule", *_ROLE, LinkKind.ROLE_SCHEDULED, active=True
    ),
    "privilegedAccessGroupEligibilityScheduleRequest": _Kind(
        "privilegedAccessGroupEligibilitySchedule", *_GROUP, LinkKind.GROUP_ELIGIBILITY, active=False
    ),
    "privilegedAccessGroupAssignmentScheduleRequest": _Kind(
        "privilegedAccessGroupAssignmentSchedule", *_GROUP, LinkKind.GROUP_ASSIGNMENT, active=True
    ),
}
REQUESTS = tuple(_KINDS)
"""Types of requests."""


def preset(directory: Directory, type_name: str, body: Entity, issued: str) -> Entity:
    """Returns a request as it is stored. Raises Failure for what Graph refuses."""
    kind = _KINDS[type_name]
    if type_name.startswith("unifiedRole") and not body.get("directoryScopeId") and not body.get("appScopeId"):
        raise bad_request("A value is required for property 'directoryScopeId' or 'appScopeId'.")
    for name in kind.ends:
        if directory.find(str(body.get(name))) is None:
            raise not_found(str(body.get(name)))
    held = _held(directory, kind, body)
    if body["action"] == "adminAssign" and held:
        raise Failure(400, "RoleAssignmentExists", "The Role assignment already exists.")
    if body["action"] == "adminRemove" and not held:
        raise Failure(404, "RoleAssignmentDoesNotExist", "The Role assignment does not exist.")
    if body["action"] not in {"adminRemove", *_ADDING}:
        raise bad_request(f"The action '{body['action']}' is not supported for applications.")
    if body["action"] in _ADDING and not body.get("scheduleInfo"):
        raise bad_request("A value is required for property 'scheduleInfo'.")
    if body["action"] in _ADDING:
        check_end(directory, body["scheduleInfo"])
    if "groupId" in kind.identity:
        # Graph doc: privilegedaccessgroup-post-assignmentschedulerequests.
        issued = f"{body['groupId']}_{body['accessId']}_{issued}"
    now = directory.stamp()
    return {
        "isValidationOnly": False,
        **body,
        "targetScheduleId": held[0].id if held else issued,
        "status": "Provisioned" if body["action"] in _ADDING else "Revoked",
        "createdDateTime": now,
        "completedDateTime": now,
    }


def check_end(directory: Directory, schedule: Entity) -> None:
    """Raises Failure (400) for a schedule whose end is past (azurerm issue 22766 has the words)."""
    end = (schedule.get("expiration") or {}).get("endDateTime")
    if end and str(end)[:19] <= directory.stamp()[:19]:
        raise Failure(
            400,
            "RoleAssignmentRequestPolicyValidationFailed",
            'The following policy rules failed: ["ExpirationRule"]',
        )


def fulfill(
    directory: Directory,
    request: StoredObject,
    assign: Callable[[Entity], None],
    revoke: Callable[[Entity], None],
) -> None:
    """Fulfills a stored request.

    Args:
        directory: Where.
        request: The stored request.
        assign: Gives a directory role at once, as an active schedule of a role does.
        revoke: Takes it away.
    """
    kind = _KINDS[request.type]
    body = msgspec.json.decode(request.body)
    if body["isValidationOnly"]:
        return
    group = directory.find(body["groupId"], "group") if "groupId" in kind.identity else None
    principal = directory.find(body["principalId"])
    if principal is None:
        raise not_found(body["principalId"])
    if body["action"] == "adminRemove":
        for row in _held(directory, kind, body):
            directory.purge(row.seq)
        change = directory.unlink
    else:
        _provision(directory, kind, request, body, principal, group)
        change = directory.link
    if not kind.active:
        return
    if group is None:
        (revoke if body["action"] == "adminRemove" else assign)({n: body.get(n) for n in kind.identity})
        return
    change(LinkKind.GROUP_OWNERS if body["accessId"] == "owner" else LinkKind.GROUP_MEMBERS, group.seq, principal.seq)


def _provision(
    directory: Directory,
    kind: _Kind,
    request: StoredObject,
    body: Entity,
    principal: StoredObject,
    group: StoredObject | None,
) -> None:
    info = {"recurrence": None, "startDateTime": directory.stamp(), **body["scheduleInfo"]}
    held = _held(directory, kind, body)
    if held:
        directory.update(held[0].seq, {"scheduleInfo": info, "modifiedDateTime": directory.stamp()})
        return
    schedule = {
        **{name: body.get(name) for name in kind.identity},
        "createdUsing": request.id,
        "createdDateTime": body["createdDateTime"],
        "modifiedDateTime": None,
        "status": "Provisioned",
        "memberType": "Direct",
        "scheduleInfo": info,
        **({"assignmentType": "Assigned"} if kind.active else {}),
    }
    row = directory.insert(kind.schedule, body["targetScheduleId"], schedule)
    for owner in (principal, group):
        if owner is not None:
            directory.link(kind.link, owner.seq, row.seq)


def _held(directory: Directory, kind: _Kind, body: Entity) -> list[StoredObject]:
    """Returns the schedules that a request is about."""
    wanted = {name: body.get(name) for name in kind.identity}
    return directory.matching(kind.link, str(body["principalId"]), kind.schedule, wanted)
