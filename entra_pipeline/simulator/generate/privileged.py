"""Writes privileged identity management: the rules of roles, and schedules of eligibility and assignment."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from entra_pipeline.simulator.generate import builtin
from entra_pipeline.simulator.generate.loader import Loader
from entra_pipeline.simulator.generate.plan import EPOCH, stamp
from entra_pipeline.simulator.schema import LinkKind

_MOST_ACTIVE = 5
_FOREVER = {"type": "noExpiration", "endDateTime": None, "duration": None}


def _rules(required: bool) -> list[dict[str, Any]]:
    """Returns the rules that differ between policies, of the seventeen that Graph has."""

    def rule(kind: str, name: str, caller: str, level: str, **more: object) -> dict[str, Any]:
        operations = {"caller": caller, "operations": ["All"], "level": level, "inheritableSettings": []}
        return {
            "@odata.type": f"#microsoft.graph.unifiedRoleManagementPolicy{kind}Rule",
            "id": f"{name}_{caller}_{level}",
            "target": {**operations, "enforcedSettings": []},
            **more,
        }

    return [
        rule(
            "Expiration",
            "Expiration",
            "Admin",
            "Eligibility",
            isExpirationRequired=required,
            maximumDuration="P365D",
        ),
        rule("Expiration", "Expiration", "EndUser", "Assignment", isExpirationRequired=True, maximumDuration="PT8H"),
        rule(
            "Enablement",
            "Enablement",
            "EndUser",
            "Assignment",
            enabledRules=["MultiFactorAuthentication", "Justification"] if required else ["Justification"],
        ),
        rule(
            "Notification",
            "Notification_Admin",
            "Admin",
            "Eligibility",
            notificationType="Email",
            recipientType="Admin",
            notificationLevel="All",
            isDefaultRecipientsEnabled=True,
            notificationRecipients=["säkerhet@contoso.com"] if required else [],
        ),
    ]


def role_rules(loader: Loader) -> None:
    """Writes a policy and its assignment for each role, and for members and owners of groups under PIM."""
    roles = [("/", "DirectoryRole", role[0]) for role in builtin.ROLES]
    if not loader.plan.empty:
        roles += [("/", "DirectoryRole", loader.ids("role", number)) for number in range(2)]
    for number in _privileged(loader):
        roles += [(loader.ids("group", number), "Group", access) for access in ("member", "owner")]
    pairs = [
        policy_and_assignment(
            f"{kind}_{loader.who.tenant_id if kind == 'DirectoryRole' else scope}_{loader.ids('rolePolicy', number)}",
            scope,
            kind,
            role,
            required=number % 3 == 0,
        )
        for number, (scope, kind, role) in enumerate(roles)
    ]
    owners = [loader.seq("group", number) for number in _privileged(loader) for _ in range(2)]
    first = len(pairs) - len(owners)
    for kind, bodies in (
        ("unifiedRoleManagementPolicy", [policy for policy, _ in pairs]),
        ("unifiedRoleManagementPolicyAssignment", [assignment for _, assignment in pairs]),
    ):
        loader.write(kind, bodies[:first])
        loader.write_parts(kind, list(zip(owners, bodies[first:], strict=True)), LinkKind.GROUP_RULES)


def policy_and_assignment(
    identifier: str, scope: str, kind: str, role: str, *, required: bool = False
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the rules of a role, or of members or owners of a group, and what assigns them.

    Args:
        identifier: Id of the policy.
        scope: Id of the group, or `/`.
        kind: `Group` or `DirectoryRole`.
        role: Id of the role; `member` or `owner` of a group.
        required: The rules are stricter than those that it begins with.
    """
    policy = {
        "id": identifier,
        "displayName": kind,
        "description": kind,
        "isOrganizationDefault": False,
        "scopeId": scope,
        "scopeType": kind,
        "lastModifiedDateTime": None,
        "lastModifiedBy": {"displayName": None, "id": None},
        "rules": _rules(required),
        "effectiveRules": _rules(required),
    }
    assignment = {
        "id": f"{identifier}_{role}",
        "policyId": identifier,
        "roleDefinitionId": role,
        "scopeId": scope,
        "scopeType": kind,
        "policy": {name: value for name, value in policy.items() if name != "effectiveRules"},
    }
    return policy, assignment


def actions(loader: Loader) -> None:
    """Writes the actions of the directory that can be protected; none of them is."""
    loader.write(
        "unifiedRbacResourceAction",
        [
            {
                "id": builtin.action_id(action),
                "actionVerb": verb,
                "description": action.rpartition("/")[2].capitalize(),
                "name": action,
                "resourceScopeId": None,
                "authenticationContextId": None,
                "isAuthenticationContextSettable": True,
            }
            for action, verb in builtin.PROTECTABLE_ACTIONS.items()
        ],
    )


def _privileged(loader: Loader) -> range:
    """Numbers of the groups under privileged identity management: the first ten that roles can be assigned to."""
    return range(4, min(loader.groups, 104), 10)


def _schedule(loader: Loader, kind: str, number: int, principal: str) -> dict[str, Any]:
    moment = EPOCH + timedelta(days=200, hours=number)
    ending = {"type": "afterDateTime", "endDateTime": stamp(moment + timedelta(days=7300)), "duration": None}
    return {
        "principalId": principal,
        "createdUsing": loader.ids(f"{kind}Request", number),
        "createdDateTime": stamp(moment, "287"),
        "modifiedDateTime": None,
        "status": "Provisioned",
        "memberType": "Direct",
        "scheduleInfo": {
            "startDateTime": stamp(moment, "287"),
            "recurrence": None,
            "expiration": ending if number % 2 else _FOREVER,
        },
    }


def schedules(loader: Loader) -> None:
    """Writes them; users, groups and roles have to be there already."""
    if not loader.users:
        return
    active = {"assignmentType": "Assigned"}
    for kind, more in (("Eligibility", {}), ("Assignment", active)):
        eligible = enumerate(range(2, min(loader.users, 40), 3))
        holders = (
            loader.role_holders[:_MOST_ACTIVE]
            if more
            else [(user, builtin.ROLES[number % len(builtin.ROLES)][0]) for number, user in eligible]
        )
        loader.write_parts(
            f"unifiedRole{kind}Schedule",
            [
                (
                    loader.seq("user", user),
                    {
                        "id": loader.ids(f"role{kind}", number),
                        **_schedule(loader, f"role{kind}", number, loader.ids("user", user)),
                        "roleDefinitionId": role,
                        "directoryScopeId": "/" if more or number % 4 else _unit(loader),
                        "appScopeId": None,
                        **more,
                    },
                )
                for number, (user, role) in enumerate(holders)
            ],
            LinkKind.ROLE_SCHEDULED,
        )
    for kind, code, more in (
        ("Eligibility", LinkKind.GROUP_ELIGIBILITY, {}),
        ("Assignment", LinkKind.GROUP_ASSIGNMENT, active),
    ):
        parts, also = [], []
        given: dict[LinkKind, list[tuple[int, int]]] = {LinkKind.GROUP_MEMBERS: [], LinkKind.GROUP_OWNERS: []}
        for number, group in enumerate(_privileged(loader)):
            user = number * 7 % loader.users
            access = "owner" if number % 3 == 2 else "member"
            name = f"{loader.ids('group', group)}_{access}_{loader.ids(f'group{kind}', number)}"
            body = {
                "id": name,
                **_schedule(loader, f"group{kind}", number, loader.ids("user", user)),
                "groupId": loader.ids("group", group),
                "accessId": access,
                **more,
            }
            parts.append((loader.seq("group", group), body))
            also.append(loader.seq("user", user))
            if more:
                kept = given[LinkKind.GROUP_OWNERS if access == "owner" else LinkKind.GROUP_MEMBERS]
                kept.append((loader.seq("group", group), loader.seq("user", user)))
        first = loader.write_parts(f"privilegedAccessGroup{kind}Schedule", parts, code)
        loader.directory.load_links(code, [(user, first + number) for number, user in enumerate(also)])
        for access_code, pairs in given.items():
            loader.directory.load_links(access_code, pairs)


def _unit(loader: Loader) -> str:
    return f"/administrativeUnits/{loader.ids('administrativeUnit', 0)}"
