"""Writes the links between people, groups, units, devices and roles."""

from __future__ import annotations

from typing import Any

from entra_pipeline.simulator.generate import builtin
from entra_pipeline.simulator.generate.directory.people import is_dynamic, owner_pairs, user_name
from entra_pipeline.simulator.generate.loader import Loader
from entra_pipeline.simulator.schema import LinkKind

_BATCH = 10_000


def user_links(loader: Loader) -> None:
    """Writes managers, as a tree, and sponsors of guests."""
    first = loader.first["user"]
    # A tree: every user but the first reports to one with a lower number.
    managers = ((first + n, first + (n - 1) // 8) for n in range(1, loader.users) if n % 11)
    loader.directory.load_links(LinkKind.USER_MANAGER, managers)
    sponsors = ((first + n, first + n * 7 % loader.users) for n in range(5, loader.users, 17))
    loader.directory.load_links(LinkKind.USER_SPONSORS, sponsors)


def group_links(loader: Loader) -> None:
    """Writes members and owners of groups."""
    if not loader.groups or not loader.users:
        return
    total = 5 * loader.users if loader.plan.memberships is None else loader.plan.memberships
    weights = [(number + 1) ** -0.6 for number in range(loader.groups)]
    # Which group is large is a matter of chance, not of its number, so that every kind of group has large ones.
    loader.random("sizes").shuffle(weights)
    scale = total / sum(weights)
    users, groups = loader.first["user"], loader.first["group"]
    pending: list[tuple[int, int]] = []
    for number, weight in enumerate(weights):
        size = min(loader.users, max(1, round(weight * scale)))
        rng = loader.random("members", number)
        pending += [(groups + number, users + user) for user in sorted(rng.sample(range(loader.users), size))]
        nested = number + 1 + number % 7
        # Groups that are assignable to roles (every tenth, from the fifth) have no groups as members.
        if number % 9 == 8 and nested < loader.groups and not is_dynamic(number) and number % 10 != 4:
            pending.append((groups + number, groups + nested))
        if len(pending) > _BATCH * 10:
            loader.directory.load_links(LinkKind.GROUP_MEMBERS, pending)
            pending = []
    loader.directory.load_links(LinkKind.GROUP_MEMBERS, pending)
    loader.directory.load_links(LinkKind.GROUP_OWNERS, owner_pairs(loader, groups, loader.groups, "groupOwner"))


def unit_links(loader: Loader) -> None:
    """Writes members of administrative units, and roles over every second unit."""
    users, units = loader.first["user"], loader.first["administrativeUnit"]
    members = sorted((units + n % loader.units, users + n) for n in range(0, loader.users, 5))
    loader.directory.load_links(LinkKind.UNIT_MEMBERS, members)
    if loader.groups:
        groups = [(units + n, loader.first["group"] + n % loader.groups) for n in range(loader.units)]
        loader.directory.load_links(LinkKind.UNIT_MEMBERS, groups)
    if not loader.users:
        return
    bodies: list[dict[str, Any]] = []
    owner_links, user_links = [], []
    base = loader.next
    for number in range(0, loader.units, 2):
        user = number * 3 % loader.users
        owner_links.append((units + number, base + len(bodies)))
        user_links.append((users + user, base + len(bodies)))
        bodies.append(
            {
                "id": loader.ids("scopedRole", number).replace("-", "") + "-U",
                "roleId": loader.ids("directoryRole", 3),
                "administrativeUnitId": loader.ids("administrativeUnit", number),
                "roleMemberInfo": {"id": loader.ids("user", user), "displayName": user_name(user)},
            }
        )
    loader.write("scopedRoleMembership", iter(bodies))
    loader.directory.load_links(LinkKind.SCOPED_MEMBERS, owner_links)
    loader.directory.load_links(LinkKind.SCOPED_MEMBER_USER, user_links)


def device_links(loader: Loader) -> None:
    """Writes owners and users of devices."""
    if not loader.users:
        return
    users, devices = loader.first["user"], loader.first["device"]
    owners = [(devices + n, users + n * 2 % loader.users) for n in range(loader.devices)]
    loader.directory.load_links(LinkKind.DEVICE_OWNERS, owners)
    loader.directory.load_links(LinkKind.DEVICE_USERS, owners)
    second = [(devices + n, users + (n * 2 + 1) % loader.users) for n in range(0, loader.devices, 10)]
    loader.directory.load_links(LinkKind.DEVICE_USERS, second)


def role_assignments(loader: Loader) -> None:
    """Writes role assignments over the whole directory, and the same as members of the activated roles."""
    if not loader.users:
        return
    users, roles = loader.first["user"], loader.first["directoryRole"]
    bodies: list[dict[str, Any]] = []
    pairs: list[tuple[int, int]] = []
    members: list[tuple[int, int]] = []
    base = loader.next

    def assign(seq: int, principal: str, definition: str, scope: str) -> None:
        pairs.append((seq, base + len(bodies)))
        bodies.append(
            {
                "id": loader.ids("roleAssignment", len(bodies)).replace("-", "")[:29] + "-1",
                "principalId": principal,
                "directoryScopeId": scope,
                "roleDefinitionId": definition,
            }
        )

    for role in range(builtin.ACTIVATED):
        for number in sorted({(role * 5 + i * 3) % loader.users for i in range(1 + role % 3)}):
            assign(users + number, loader.ids("user", number), builtin.ROLES[role][0], "/")
            loader.role_holders.append((number, builtin.ROLES[role][0]))
            members.append((roles + role, users + number))
    for number in range(4, loader.groups, 10):
        if number > 40:
            break
        assign(loader.first["group"] + number, loader.ids("group", number), builtin.ROLES[1][0], "/")
        members.append((roles + 1, loader.first["group"] + number))
    unit = f"/administrativeUnits/{loader.ids('administrativeUnit', 0)}"
    assign(users, loader.ids("user", 0), loader.ids("role", 0), unit)
    loader.write("unifiedRoleAssignment", iter(bodies))
    loader.directory.load_links(LinkKind.ROLE_ASSIGNED, sorted(pairs))
    loader.directory.load_links(LinkKind.ROLE_MEMBERS, sorted(members))
