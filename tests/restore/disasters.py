"""Disasters for a simulated tenant, and how few writes could undo them.

What belongs here: what happens on the worst day, done through the control API, and the truth about the tenant to
compare with. What does not: restoring, and anything that the code under test believes of Graph.

Written against `Simulator(users=2000, groups=200)`; smaller tenants lose what they have. Everything happens the same
way every time: victims are chosen by their order.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from entra_pipeline.simulator import Control, Simulator
from entra_pipeline.simulator.schema import BY_NAME, SETS, EntitySet

BOUND = 20
"""Members that one PATCH of a group adds (Graph doc: group-post-members)."""
_GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_ACCESS = "identity/conditionalAccess"
# Another view of role assignments: they come and go with them.
_MIRRORED = {("directoryRole", "members")}
# What people or the tenant itself keep, and no application can write.
_BEYOND = {"device", "orgContact", "domain", "subscribedSku", "companySubscription"}
# What comes and goes by requests.
_BY_REQUEST = {"accessPackageAssignment", "accessPackageResource"}
# What Graph changes by itself in an object, besides what no write may have.
_COMPUTED = {"modifiedDateTime", "lastModifiedDateTime", "createdDateTime", "version", "renewedDateTime", "identities"}
# What Graph changes when it deletes, and sets back when it undeletes.
_RENAMED = ("deletedDateTime", "userPrincipalName")
# A deleted object that keeps its id is undeleted by one request, with everything that was tied to it.
_BINS = tuple(entry.name for entry in SETS if entry.bin)


@dataclass
class Truth:
    """A tenant at a moment, as it is, and not as Graph tells it.

    Attributes:
        objects: By type and identifying property.
        deleted: What is in the recycle bins, by type and id.
        links: By type of the owner and relation: pairs of ids.
        held: The same, with those that come back with what is in the recycle bins.
        owners: Of an object that belongs to others: their ids.
    """

    objects: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    deleted: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    links: dict[tuple[str, str], set[tuple[str, str]]] = field(default_factory=dict)
    held: dict[tuple[str, str], set[tuple[str, str]]] = field(default_factory=dict)
    owners: dict[str, set[str]] = field(default_factory=dict)


def truth(control: Control) -> Truth:
    """Everything in the tenant that an application could write, and the recycle bins."""
    found = Truth()
    for entry in SETS:
        if not _writable(entry):
            continue
        kept = control.dump(entry.name)
        found.objects[entry.name] = {str(one.get(entry.key, entry.name)): one for one in kept}
        if entry.bin:
            found.deleted[entry.name] = {one["id"]: one for one in control.dump(entry.name, deleted=True)}
        for relation in entry.relations:
            for source, part, _ in control.edges(entry.name, relation.name) if relation.part else ():
                found.owners.setdefault(part, set()).add(source)
            if relation.targets and (entry.name, relation.name) not in _MIRRORED:
                for links, binned in ((found.links, False), (found.held, True)):
                    edges = control.edges(entry.name, relation.name, binned=binned)
                    links[entry.name, relation.name] = {(source, target) for source, target, _ in edges}
    return found


def least_writes(before: Truth, after: Truth) -> int:
    """The fewest writes that could bring the tenant back from `after` to `before`.

    One for each object that is gone (undelete, create, or a request that provisions it), that is too many or that
    differs; what is undeleted comes back as it was deleted, with the links that it had then. For each link one, or one
    for 20 members of a group; one more for what creation does not take: licences, and that a user is enabled only when
    everything is in place. An object that comes back under another id costs a write for each object that still names
    the old one.
    """
    undeleted = {kind: _missing(before, after, kind) & after.deleted.get(kind, {}).keys() for kind in _BINS}
    created = {kind: _missing(before, after, kind) - undeleted.get(kind, set()) for kind in before.objects}
    back = set().union(*undeleted.values())
    fresh = set().union(*created.values())
    # AppIds are named as well.
    fresh |= {str(before.objects["application"][one]["appId"]) for one in created.get("application", ())}
    writes = len(back)
    for kind, ids in undeleted.items():
        for identifier in ids:
            then = before.objects[kind][identifier]
            # A location comes back without trust (Graph doc: namedlocation-restore).
            again = bool(kind == "namedLocation" and then.get("isTrusted"))
            came = {**after.deleted[kind][identifier], **{name: then.get(name) for name in _RENAMED}}
            writes += max(_changes(BY_NAME[kind], then, came, fresh), again)
    for kind, ids in created.items():
        entry = BY_NAME[kind]
        for identifier in ids:
            body = before.objects[kind][identifier]
            if not back & (before.owners.get(identifier, set()) | _ends(body)):
                writes += 1 + _after_creation(kind, body)
        extra = after.objects.get(kind, {}).keys() - before.objects[kind].keys()
        writes += len(extra) if entry.delete else 0
        for identifier in before.objects[kind].keys() & after.objects.get(kind, {}).keys():
            writes += _changes(entry, before.objects[kind][identifier], after.objects[kind][identifier], fresh)
    for place, pairs in before.links.items():
        gone = set().union(*after.deleted.values()) - back
        held = {pair for pair in after.held.get(place, ()) if gone.isdisjoint(pair)}
        writes += _link_writes(place, pairs, held, fresh)
    return writes


def _writable(entry: EntitySet) -> bool:
    if entry.delegated or entry.derived_from or entry.name in _BEYOND or entry.name.endswith(("Request", "invitation")):
        return False
    provisioned = entry.name.endswith("Schedule") or entry.name in _BY_REQUEST
    return entry.create or entry.update or entry.delete or provisioned


def _missing(before: Truth, after: Truth, kind: str) -> set[str]:
    return set(before.objects.get(kind, {})) - set(after.objects.get(kind, {}))


def _ends(body: dict[str, Any]) -> set[str]:
    """Ids of the objects that the object ties together: it comes back by itself with one that is undeleted."""
    names = ("principalId", "resourceId", "clientId", "groupId", "administrativeUnitId", "scopeId")
    member = (body.get("roleMemberInfo") or {}).get("id")
    return {str(body[name]) for name in names if body.get(name)} | ({member} if member else set())


def _after_creation(kind: str, body: dict[str, Any]) -> int:
    """Writes that follow the creation of an object, because creation does not take everything."""
    more = 1 if kind in {"user", "group"} and body.get("assignedLicenses") else 0
    # Enabled when all else is in place; the same request can carry what only a change may set.
    if kind == "user" and (body.get("accountEnabled") or body.get("customSecurityAttributes")):
        more += 1
    if kind == "servicePrincipal" and body.get("customSecurityAttributes"):
        more += 1
    api = body.get("api") or {}
    if kind == "application" and (body.get("identifierUris") or api.get("preAuthorizedApplications")):
        more += 1
    # Each is set by a request of its own (Graph docs: authenticationbehaviors, synchronizationjob, serviceprincipal).
    separate = ("authenticationBehaviors", "keyCredentials", "synchronizationJobSettings")
    return more + sum(bool(body.get(name)) for name in separate)


def _changes(entry: EntitySet, before: dict[str, Any], after: dict[str, Any], fresh: set[str]) -> int:
    ignored = entry.read_only | _COMPUTED
    if entry.name in _BY_REQUEST:
        # Nobody can change it: it goes, and another one comes.
        return 2 if fresh & set(_GUID.findall(json.dumps(_content(entry, before)))) else 0
    if not entry.update:
        return 0
    differs = any(
        _plain(before.get(name)) != _plain(after.get(name))
        for name in before.keys() | after.keys()
        if name not in ignored and "@odata" not in name
    )
    names_old_ids = not differs and any(found in fresh for found in _GUID.findall(json.dumps(_content(entry, before))))
    licences = _plain(before.get("assignedLicenses")) != _plain(after.get("assignedLicenses"))
    return int(differs or names_old_ids) + int(licences)


def _content(entry: EntitySet, body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in entry.read_only | _COMPUTED}


def _plain(value: Any) -> str:
    return json.dumps(value or None, sort_keys=True)


def _link_writes(
    place: tuple[str, str], before: set[tuple[str, str]], after: set[tuple[str, str]], fresh: set[str]
) -> int:
    kind, relation = place
    lost = before - after
    extra = len(after - before)
    if place == ("group", "members"):
        per_group = Counter(source for source, _ in lost)
        # A new group takes twenty at its creation.
        return extra + sum(
            -(-max(0, number - (BOUND if source in fresh else 0)) // BOUND) for source, number in per_group.items()
        )
    if place == ("group", "owners"):
        lost = {pair for pair in lost if pair[0] not in fresh}
    many = BY_NAME[kind].relation(relation)
    return len(lost) + (extra if many is None or many.many else 0)


# --- who is chosen ---------------------------------------------------------------------------------------------------


def cloud_users(control: Control) -> list[str]:
    """Ids of members that are mastered in the cloud, in order: synced ones are restored in Active Directory."""
    return [
        one["id"] for one in control.dump("users") if not one["onPremisesSyncEnabled"] and one["userType"] == "Member"
    ]


def cloud_groups(control: Control) -> list[str]:
    """Ids of groups that are mastered in the cloud and whose members are chosen by people, in order."""
    return [
        one["id"]
        for one in control.dump("groups")
        if not one["onPremisesSyncEnabled"] and "DynamicMembership" not in one["groupTypes"]
    ]


def _every(items: list[str], wanted: int) -> list[str]:
    """So many of them, spread evenly."""
    if len(items) <= wanted:
        return items
    return [items[number * len(items) // wanted] for number in range(wanted)]


# --- disasters -------------------------------------------------------------------------------------------------------


def delete_people(control: Control, *, users: int = 300, groups: int = 30, for_good: bool = False) -> list[str]:
    """Deletes users and groups, to the recycle bin or for good (disasters 1 and 2); returns their ids."""
    victims = [f"users/{one}" for one in _every(cloud_users(control), users)]
    victims += [f"groups/{one}" for one in _every(cloud_groups(control), groups)]
    for path in victims:
        control.delete(path)
    ids = [path.partition("/")[2] for path in victims]
    for identifier in ids if for_good else ():
        control.purge(identifier)
    return ids


REFUSED = {"user": "city", "group": "description"}
"""Of some types, the property that `refuse_properties` is about: about one of twenty."""


def take_names(control: Control, names: Sequence[str]) -> list[str]:
    """Gives a tenth of sign-in names, one at least, to new users; returns these names."""
    taken = _every(list(names), max(1, len(names) // 10))
    control.create_many("users", [{"displayName": "Holder", "userPrincipalName": name} for name in taken])
    return taken


def refuse_properties(control: Control) -> None:
    """Has writes refused that carry one of the properties `REFUSED`, until `control.behave("property-refused")`."""
    for name in REFUSED.values():
        control.misbehave("property-refused", property=name)


def empty_groups(control: Control, *, groups: int = 50, applications: int = 20) -> None:
    """Takes all members from groups and all owners from applications (disaster 3)."""
    _unlink(control, "groups", "members", _every(cloud_groups(control), groups))
    owned = sorted({source for source, _, _ in control.edges("applications", "owners")})
    _unlink(control, "applications", "owners", _every(owned, applications))


def _unlink(control: Control, path: str, relation: str, owners: Iterable[str]) -> None:
    held: dict[str, list[str]] = {}
    for source, target, _ in control.edges(path, relation):
        held.setdefault(source, []).append(target)
    for owner in owners:
        if owner in held:
            control.remove_link(f"{path}/{owner}/{relation}", *sorted(held[owner]))


def rewrite_conditional_access(control: Control) -> None:
    """Lets everybody in: policies are rewritten, one is deleted, named locations are deleted (disaster 4)."""
    policies = control.dump(f"{_ACCESS}/policies")
    for policy in policies[1:]:
        conditions = policy["conditions"]
        users = {**conditions["users"], "includeUsers": ["None"], "includeGroups": [], "excludeUsers": []}
        changes = {
            "displayName": f"Rewritten {policy['displayName']}",
            "state": "disabled" if policy["state"] == "enabled" else "enabled",
            "conditions": {**conditions, "users": users, "locations": None},
        }
        control.patch(f"{_ACCESS}/policies/{policy['id']}", changes)
    control.delete(f"{_ACCESS}/policies/{policies[0]['id']}")
    for location in control.dump(f"{_ACCESS}/namedLocations"):
        control.delete(f"{_ACCESS}/namedLocations/{location['id']}")


def assign_many(control: Control, *, assignments: int = 500) -> str:
    """Before disaster 5: gives an application of the tenant so many assignments; returns its id."""
    application = control.dump("applications")[1]
    (principal,) = (one for one in control.dump("servicePrincipals") if one["appId"] == application["appId"])
    held = {one["principalId"] for one in control.dump("appRoleAssignment") if one["resourceId"] == principal["id"]}
    free = [one for one in cloud_users(control) if one not in held]
    bodies = [
        {"principalId": one, "resourceId": principal["id"], "appRoleId": principal["appRoles"][0]["id"]}
        for one in free[: assignments - len(held)]
    ]
    control.create_many(f"servicePrincipals/{principal['id']}/appRoleAssignedTo", bodies)
    return str(application["id"])


def delete_application(control: Control, identifier: str, *, for_good: bool = False) -> None:
    """Deletes an application, with it its service principal and all its assignments (disaster 5)."""
    application = next(one for one in control.dump("applications") if one["id"] == identifier)
    principals = [one["id"] for one in control.dump("servicePrincipals") if one["appId"] == application["appId"]]
    control.delete(f"applications/{identifier}")
    for gone in (identifier, *principals) if for_good else ():
        control.purge(gone)


def scramble_roles(control: Control) -> None:
    """Takes half of the role assignments, gives others, mixes up the administrative units (disaster 6)."""
    users = cloud_users(control)
    for number, assignment in enumerate(control.dump("unifiedRoleAssignment")):
        if number % 2 == 0:
            control.delete(f"roleManagement/directory/roleAssignments/{assignment['id']}")
    definitions = [one["id"] for one in control.dump("unifiedRoleDefinition") if one["isBuiltIn"]]
    for number in range(10):
        body = {
            "principalId": users[-1 - number],
            "roleDefinitionId": definitions[number % len(definitions)],
            "directoryScopeId": "/",
        }
        control.create("roleManagement/directory/roleAssignments", body)
    units = control.dump("directory/administrativeUnits")
    members: dict[str, list[str]] = {}
    for source, target, _ in sorted(control.edges("directory/administrativeUnits", "members")):
        members.setdefault(source, []).append(target)
    for number, unit in enumerate(units):
        path = f"directory/administrativeUnits/{unit['id']}"
        control.patch(path, {"displayName": f"Scrambled {number}", "description": None})
        gone = members.get(unit["id"], [])[:20]
        control.remove_link(f"{path}/members", *gone)
        control.add_link(f"directory/administrativeUnits/{units[number - 1]['id']}/members", *gone)
    control.delete(f"directory/administrativeUnits/{units[-1]['id']}")


def overwrite_attributes(control: Control, *, users: int = 5000) -> None:
    """A bad script writes the same over the attributes of so many users (disaster 7); a tenant of 10,000 has them."""
    for identifier in _every(cloud_users(control), users):
        control.patch(
            f"users/{identifier}",
            {"department": "N/A", "jobTitle": None, "city": "Undefined", "employeeId": "0", "officeLocation": ""},
        )


def delete_everything(control: Control) -> None:
    """Deletes all that an application could delete and bring back (disaster 8): to the recycle bin where there is one.

    Microsoft's own objects stay, and so do devices, contacts and domains, which no application can make again.
    """
    for entry in sorted(SETS, key=lambda one: (bool(one.bin), one.name)):
        if not entry.delete or not entry.path or entry.singleton or not _writable(entry):
            continue
        for one in control.dump(entry.name):
            if not _microsofts(entry, one, control):
                control.delete(f"{entry.path}/{one[entry.key]}")


def _microsofts(entry: EntitySet, one: dict[str, Any], control: Control) -> bool:
    return bool(
        one.get("isBuiltIn")
        or one.get("policyType") == "builtIn"
        or "builtIn" in one.get("@odata.type", "")
        or one.get("userFlowAttributeType") == "builtIn"
        or one.get("catalogType") == "serviceDefault"
        or (entry.name == "permissionGrantPolicy" and one["id"].startswith("microsoft-"))
        or (entry.name == "servicePrincipal" and one.get("displayName") == "Microsoft Graph")
        or one.get("onPremisesSyncEnabled")
    )


def tenant(**more: Any) -> Simulator:
    """The tenant that the disasters are meant for."""
    return Simulator(**{"users": 2000, "groups": 200, "seed": 4, **more})
