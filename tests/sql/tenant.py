"""What a simulated tenant was at a moment, and what follows from it, by plain Python over what it says itself.

Nothing here reads a recovery point or runs SQL: the views are held against it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from entra_pipeline.simulator.server.control.client import Control

SETS = {
    "users": "users",
    "groups": "groups",
    "devices": "devices",
    "principals": "servicePrincipals",
    "applications": "applications",
    "units": "directory/administrativeUnits",
    "roles": "roleManagement/directory/roleDefinitions",
    "assignments": "roleManagement/directory/roleAssignments",
    "assignment_schedules": "roleManagement/directory/roleAssignmentSchedules",
    "eligibilities": "roleManagement/directory/roleEligibilitySchedules",
    "group_eligibilities": "identityGovernance/privilegedAccess/group/eligibilitySchedules",
    "group_assignments": "identityGovernance/privilegedAccess/group/assignmentSchedules",
    "app_roles": "appRoleAssignment",
    "grants": "oauth2PermissionGrants",
    "policies": "identity/conditionalAccess/policies",
}
MEMBERS = ("groups", "members")
OWNERS = (("groups", "owners"), ("applications", "owners"), ("servicePrincipals", "owners"))
STRENGTH = ("active", "activated", "eligible")


class Holder(NamedTuple):
    """Who holds a role, by which way."""

    principal: str
    kind: str
    role: str
    state: str
    how: str
    place: str
    since: datetime | None
    until: datetime | None
    principal_id: str = ""
    role_id: str = ""


class Tenant:
    """A tenant at a moment."""

    def __init__(self, control: Control) -> None:
        self.sets: dict[str, list[dict[str, Any]]] = {name: control.dump(path) for name, path in SETS.items()}
        self.edges = {(kind, relation): control.edges(kind, relation) for kind, relation in (MEMBERS, *OWNERS)}
        self.federated = {
            one["id"]: control.dump(f"applications/{one['id']}/federatedIdentityCredentials")
            for one in self.sets["applications"]
        }

    def names(self) -> dict[str, tuple[str, str]]:
        """Of users, groups and service principals: id → name and kind."""
        kinds = (("users", "user"), ("groups", "group"), ("principals", "servicePrincipal"))
        return {one["id"]: (one["displayName"] or one["id"], kind) for name, kind in kinds for one in self.sets[name]}

    def role_holders(self) -> Iterator[Holder]:
        """Each way by which somebody comes to a role."""
        names, roles = self.names(), {one["id"]: one["displayName"] for one in self.sets["roles"]}
        inside = self._inside()
        waiting: list[tuple[Holder, str, list[str]]] = []
        held = [(one, self._assigned(one)) for one in self.sets["assignments"]]
        held += [(one, ("eligible", *_period(one))) for one in self.sets["eligibilities"]]
        for one, (state, since, until) in held:
            role = one["roleDefinitionId"]
            way = Holder("", "", roles[role], state, "directly", _place(one), since, until, role_id=role)
            waiting.append((way, one["principalId"], []))
        while waiting:
            way, who, seen = waiting.pop()
            name, kind = names.get(who, (who, "unknown"))
            yield way._replace(principal=name, kind=kind, principal_id=who)
            for member, state, since, until in inside.get(who, ()):
                if member in [*seen, who]:
                    continue
                further = way._replace(
                    state=max(way.state, state, key=STRENGTH.index),
                    how=("through " if way.how == "directly" else f"{way.how} and ") + name,
                    since=max(filter(None, (way.since, since)), default=None),
                    until=min(filter(None, (way.until, until)), default=None),
                )
                waiting.append((further, member, [*seen, who]))

    def _assigned(self, assignment: dict[str, Any]) -> tuple[str, datetime | None, datetime | None]:
        """In which state an assignment is, since when and until when, by its schedules."""
        return _active([one for one in self.sets["assignment_schedules"] if _what(one) == _what(assignment)])

    def _inside(self) -> dict[str, list[tuple[str, str, datetime | None, datetime | None]]]:
        """By group: who is in it, or may be, in which state, since when and until when."""
        found = defaultdict(list)
        for group, member, _ in self.edges[MEMBERS]:
            same = [
                one
                for one in self.sets["group_assignments"]
                if (one["groupId"], one["principalId"], one["accessId"]) == (group, member, "member")
            ]
            found[group].append((member, *_active(same)))
        for one in self.sets["group_eligibilities"]:
            if one["accessId"] == "member":
                found[one["groupId"]].append((one["principalId"], "eligible", *_period(one)))
        return found

    def principals(self) -> Iterator[tuple[object, ...]]:
        """Users, groups, service principals and devices: id, kind, label, unique name, whether enabled."""
        for one in self.sets["users"]:
            yield one["id"], "user", one["displayName"], one["userPrincipalName"], one["accountEnabled"]
        for one in self.sets["groups"]:
            yield one["id"], "group", one["displayName"], one.get("mail"), None
        for one in self.sets["principals"]:
            yield one["id"], "servicePrincipal", one["displayName"], one["appId"], one["accountEnabled"]
        for one in self.sets["devices"]:
            yield one["id"], "device", one["displayName"], one["deviceId"], one["accountEnabled"]

    def app_permissions(self) -> Iterator[tuple[object, ...]]:
        """Client, kind, resource, permission, consent, user and names of owners of each permission."""
        names = {one["id"]: one["displayName"] for kind in ("users", "principals") for one in self.sets[kind]}
        by_id = {one["id"]: one for one in self.sets["principals"]}
        owners = {id_: sorted(found) for id_, found in self._owners(by_id).items()}
        for one in self.sets["app_roles"]:
            if one["principalType"] != "ServicePrincipal":
                continue
            roles = {role["id"]: role["value"] for role in by_id[one["resourceId"]].get("appRoles") or ()}
            client = one["principalId"]
            owned_by = [names.get(owner, owner) for owner in owners.get(client, ())]
            role = roles.get(one["appRoleId"], one["appRoleId"])
            yield names[client], "application", names[one["resourceId"]], role, "admin", None, owned_by
        for one in self.sets["grants"]:
            owned_by = [names.get(owner, owner) for owner in owners.get(one["clientId"], ())]
            user = names.get(one.get("principalId") or "")
            consent = "user" if one.get("principalId") else "admin"
            for permission in one["scope"].split():
                yield names[one["clientId"]], "delegated", names[one["resourceId"]], permission, consent, user, owned_by

    def _owners(self, principals: dict[str, dict[str, Any]]) -> dict[str, set[str]]:
        """Ids of owners of service principals and of their app registrations, by service principal."""
        found = defaultdict(set)
        for source, target, _ in self.edges["servicePrincipals", "owners"]:
            found[source].add(target)
        app_ids = {one["id"]: one["appId"] for one in self.sets["applications"]}
        for source, target, _ in self.edges["applications", "owners"]:
            for id_, one in principals.items():
                if one["appId"] == app_ids[source]:
                    found[id_].add(target)
        return found

    def effective_owners(self) -> Iterator[tuple[object, ...]]:
        """Kind of object, its id, id of the owner, the state and how."""
        taken = defaultdict(set)
        for one in self.sets["group_assignments"]:
            if one["accessId"] == "owner":
                taken[one["groupId"], one["principalId"]].add(one["assignmentType"].lower())
        for group, owner, _ in self.edges["groups", "owners"]:
            state = "activated" if taken[group, owner] == {"activated"} else "active"
            yield "group", group, owner, state, "directly"
        eligible = {
            (g["groupId"], g["principalId"]) for g in self.sets["group_eligibilities"] if g["accessId"] == "owner"
        }
        yield from (("group", group, owner, "eligible", "directly") for group, owner in eligible)
        app_ids = {one["id"]: one["appId"] for one in self.sets["applications"]}
        for application, owner, _ in self.edges["applications", "owners"]:
            yield "application", application, owner, "active", "directly"
            for one in self.sets["principals"]:
                if one["appId"] == app_ids[application]:
                    yield "servicePrincipal", one["id"], owner, "active", "through its app registration"
        for principal, owner, _ in self.edges["servicePrincipals", "owners"]:
            yield "servicePrincipal", principal, owner, "active", "directly"

    def credentials(self) -> Iterator[tuple[object, ...]]:
        """Kind, kind of the object, its name, id of the credential, name, and until when it is valid."""
        for set_, object_kind in (("applications", "application"), ("principals", "servicePrincipal")):
            for one in self.sets[set_]:
                for name, kind in (("passwordCredentials", "secret"), ("keyCredentials", "certificate")):
                    for held in one.get(name) or ():
                        end = moment(held["endDateTime"])
                        yield kind, object_kind, one["displayName"], held["keyId"], held.get("displayName"), end
        names = {one["id"]: one["displayName"] for one in self.sets["applications"]}
        for id_, name in names.items():
            for held in self.federated[id_]:
                yield "federated", "application", name, held["id"], held["name"], None

    def members(self) -> Iterator[tuple[str, str, int]]:
        """Each group, who is in it directly or through groups, and on how many groups the shortest way leads."""
        inside = defaultdict(set)
        for group, member, _ in self.edges[MEMBERS]:
            inside[group].add(member)
        for group in list(inside):
            depths: dict[str, int] = {}
            level, depth, seen = {group}, 1, {group}
            while level:
                reached = {member for one in level for member in inside.get(one, ())}
                for member in reached - depths.keys():
                    depths[member] = depth
                level = (reached & inside.keys()) - seen
                seen |= level
                depth += 1
            yield from ((group, member, far) for member, far in depths.items())


def moment(text: str | None) -> datetime | None:
    """A time of Graph, to the microsecond as DuckDB has it."""
    if not text:
        return None
    whole, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(whole).replace(microsecond=int(fraction.ljust(6, "0")[:6] or 0), tzinfo=UTC)


def _period(schedule: dict[str, Any]) -> tuple[datetime | None, datetime | None]:
    times = schedule["scheduleInfo"]
    return moment(times.get("startDateTime")), moment((times.get("expiration") or {}).get("endDateTime"))


def _active(schedules: list[dict[str, Any]]) -> tuple[str, datetime | None, datetime | None]:
    """What several schedules of one active assignment come to."""
    if not schedules:
        return "active", None, None
    kinds = {one["assignmentType"].lower() for one in schedules}
    starts, ends = zip(*map(_period, schedules), strict=True)
    until = None if None in ends else max(ends)
    return "activated" if kinds == {"activated"} else "active", min(filter(None, starts), default=None), until


def _place(assignment: dict[str, Any]) -> str:
    return str(assignment.get("directoryScopeId") or assignment.get("appScopeId") or "/")


def _what(assignment: dict[str, Any]) -> tuple[str, str, str]:
    return assignment["principalId"], assignment["roleDefinitionId"], _place(assignment)
