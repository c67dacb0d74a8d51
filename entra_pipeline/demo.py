"""The parts of the demonstration: a day in the life of a simulated tenant, what came of it, and the proof.

What belongs here: changing the simulated tenant, telling changes in words, comparing a recovery point with
the tenant. What does not: how it is told on a terminal (`cli.setup.demo`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from entra_pipeline.analysis.changes import Change
from entra_pipeline.analysis.names import short_pair, title
from entra_pipeline.analysis.objects import find
from entra_pipeline.catalogue import CATALOGUE, RELATIONS, ObjectType, Parent
from entra_pipeline.catalogue.sdk import has_navigation
from entra_pipeline.errors import UsageError
from entra_pipeline.project import Project, load_project
from entra_pipeline.simulator import Control
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.state import connect, state_query

SCOPE = "demo"
_FEWEST_USERS = 20
_FEWEST_GROUPS = 3
_NAMED = {"users", "groups", "applications", "service_principals", "devices", "administrative_units", "directory_roles"}
_CLEARED = {"mobilePhone": "mobile phone", "officeLocation": "office", "city": "city", "jobTitle": "job title"}
_CLEARABLE = tuple(_CLEARED)

_Body = dict[str, Any]
"""An object as JSON."""


# --- The project -----------------------------------------------------------------------------------------------------


def is_demo(project: Project) -> bool:
    """Whether the project has a scope `demo` on a simulated tenant."""
    scope = project.scopes.get(SCOPE)
    return scope is not None and project.tenants[scope.tenant].simulator is not None


def demo_project(folder: Path, *, users: int, groups: int, port: int) -> Project:
    """The demonstration's project in a folder of its own, written when it is not there.

    Raises:
        UsageError: The folder holds a demonstration of another size, or the tenant would be too small to change.
    """
    if users < _FEWEST_USERS or groups < _FEWEST_GROUPS:
        raise UsageError(
            f"{users} users and {groups} groups are too few to show anything",
            remedy=f"Ask for at least {_FEWEST_USERS} users and {_FEWEST_GROUPS} groups.",
        )
    file = folder / "dagster_project.toml"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(
            f"# The demonstration of entra-pipeline: a simulated tenant, backed up to a local folder.\n"
            f'[storage.demo]\nkind = "local"\npath = "backup"\n\n'
            f"[tenants.demo]\n"
            f'simulator = {{ users = {users}, groups = {groups}, seed = 7, state = "tenant", port = {port} }}\n\n'
            f'[scopes.demo]\ndescription = "Everything in a simulated tenant"\n'
            f'tenant = "demo"\nstorage = "demo"\nretention = "2 years"\n',
            encoding="utf-8",
        )
    project = load_project(file)
    tenant = project.tenants.get(SCOPE)
    made = tenant.simulator if tenant is not None and is_demo(project) else None
    if made is None or (made.users, made.groups) != (users, groups):
        found = f"of {made.users} users and {made.groups} groups" if made else "that is no demonstration"
        raise UsageError(
            f"{file} has a tenant {found}",
            remedy="Choose another folder with --directory, or remove this one.",
        )
    return project


# --- A day in the life of a tenant -----------------------------------------------------------------------------------


class DemoEvent(NamedTuple):
    """Something that happened in the tenant: the kind of change, and a sentence about it."""

    kind: str
    text: str


def prepare(control: Control) -> None:
    """Sees to it that somebody is in the recycle bin to come back later."""
    if not control.dump("users", deleted=True):
        control.delete(f"users/{_people(control)[-1]['id']}")


def live(control: Control) -> Iterator[DemoEvent]:
    """Changes the tenant in every way an administrator does; each change is made when its event is asked for.

    Raises:
        RuntimeError: The simulator refuses a change.
    """
    people = _people(control)
    called = {one["id"]: one["displayName"] for one in control.dump("users")}
    members = control.edges("groups", "members")
    group = _group(control, members)
    place, name = f"groups/{group['id']}", group["displayName"]
    inside = [target for source, target, kind in members if source == group["id"] and kind == "user"]
    owners = [t for source, t, kind in control.edges("groups", "owners") if source == group["id"] and kind == "user"]
    free = list(people)

    def somebody(*conditions: Callable[[_Body], object]) -> _Body:
        """Somebody to whom nothing has happened yet, for whom the first condition that fits anybody holds."""
        one = next((one for fits in conditions for one in free if fits(one)), free[0])
        free.remove(one)
        return one

    number = len(people) + len(control.dump("users", deleted=True)) + 1
    boss = somebody()
    account = f"astrid.{number}"
    domain = people[0]["userPrincipalName"].partition("@")[2]
    created = control.create(
        "users",
        {
            "displayName": f"Astrid Lind {number}",
            "userPrincipalName": f"{account}@{domain}",
            "mailNickname": account,
            "accountEnabled": True,
            "department": "Finance",
            "jobTitle": "Controller",
        },
    )
    control.add_link(f"users/{created}/manager", boss["id"])
    yield DemoEvent("create", f"Astrid Lind {number} is hired; {boss['displayName']} is her manager")

    control.add_link(f"{place}/members", created)
    yield DemoEvent("add member", f"Astrid Lind {number} joins the group {name}")

    promoted = somebody()
    title = "Head of Finance" if promoted.get("jobTitle") != "Head of Finance" else "Head of Security"
    control.patch(f"users/{promoted['id']}", {"jobTitle": title, "department": title.removeprefix("Head of ")})
    yield DemoEvent("update", f"{promoted['displayName']} becomes {title}")

    lost = somebody(*(lambda one, key=key: one.get(key) for key in _CLEARABLE))
    cleared = next((key for key in _CLEARABLE if lost.get(key)), _CLEARABLE[0])
    control.patch(f"users/{lost['id']}", {cleared: None})
    yield DemoEvent("clear a property", f"{lost['displayName']} has no {_CLEARED[cleared]} any more")

    moved = somebody()
    control.add_link(f"users/{moved['id']}/manager", promoted["id"])
    yield DemoEvent("change manager", f"{moved['displayName']} now reports to {promoted['displayName']}")

    returning = control.dump("users", deleted=True)[0]
    control.restore(returning["id"])
    yield DemoEvent("restore", f"{returning['displayName']} comes back from the recycle bin")

    leaving = somebody(lambda one: one["id"] in inside)
    control.delete(f"users/{leaving['id']}")
    yield DemoEvent("delete", f"{leaving['displayName']} leaves, and the account is deleted")

    staying = sorted(set(inside) - {leaving["id"]})
    if staying:
        control.remove_link(f"{place}/members", staying[0])
        yield DemoEvent("remove member", f"{called[staying[0]]} is taken out of the group {name}")

    owner = somebody(lambda one: one["id"] not in owners)
    control.add_link(f"{place}/owners", owner["id"])
    yield DemoEvent("add owner", f"{owner['displayName']} becomes an owner of the group {name}")
    former = sorted(set(owners) - {leaving["id"], owner["id"]})
    if former:
        control.remove_link(f"{place}/owners", former[0])
        yield DemoEvent("remove owner", f"{called[former[0]]} is no longer an owner of the group {name}")

    policy = min(control.dump("identity/conditionalAccess/policies"), key=lambda one: str(one["displayName"]))
    state = "disabled" if policy["state"] != "disabled" else "enabled"
    control.patch(f"identity/conditionalAccess/policies/{policy['id']}", {"state": state})
    yield DemoEvent("conditional access", f"somebody sets the policy {policy['displayName']!r} to {state}")


def _people(control: Control) -> list[_Body]:
    """The members of the tenant whose accounts are cloud accounts, in a fixed order."""
    users = control.dump("users")
    mine = [one for one in users if one.get("userType") != "Guest" and not one.get("onPremisesSyncEnabled")]
    return sorted(mine, key=lambda one: str(one["id"]))


def _group(control: Control, members: set[tuple[str, str, str]]) -> _Body:
    """An assigned group with a middling number of members."""
    sizes: dict[str, int] = {}
    for source, _, _ in members:
        sizes[source] = sizes.get(source, 0) + 1
    groups = [
        one for one in control.dump("groups") if not one.get("membershipRule") and not one.get("onPremisesSyncEnabled")
    ]
    ranked = sorted(groups, key=lambda one: (sizes.get(one["id"], 0), one["id"]))
    return ranked[len(ranked) // 2]


# --- What is lost, and comes back ------------------------------------------------------------------------------------


class Loss(NamedTuple):
    """A group and one of its members, which somebody has deleted, as they were before."""

    group: _Body
    user: _Body
    members: frozenset[str]
    owners: frozenset[str]

    def left(self, control: Control) -> Loss | None:
        """The same as it is now; None while the group or the user is not there."""
        groups = {one["id"]: one for one in control.dump("groups")}
        users = {one["id"]: one for one in control.dump("users")}
        if self.group["id"] not in groups or self.user["id"] not in users:
            return None
        return Loss(
            groups[self.group["id"]],
            users[self.user["id"]],
            _links(control, "members", self.group["id"]),
            _links(control, "owners", self.group["id"]),
        )


def lose(control: Control) -> Loss:
    """Deletes a group and one of its members."""
    members = control.edges("groups", "members")
    group = _group(control, members)
    inside = {target for source, target, kind in members if source == group["id"] and kind == "user"}
    user = next(one for one in _people(control) if one["id"] in inside)
    loss = Loss(group, user, _links(control, "members", group["id"]), _links(control, "owners", group["id"]))
    control.delete(f"groups/{group['id']}")
    control.delete(f"users/{user['id']}")
    return loss


def _links(control: Control, relation: str, group: str) -> frozenset[str]:
    return frozenset(target for source, target, _ in control.edges("groups", relation) if source == group)


# --- What came of it -------------------------------------------------------------------------------------------------


def tell(change: Change, names: Mapping[str, str]) -> str:
    """A change in words: who, and each property before → after."""
    if change.table in RELATIONS:
        source, target = (names.get(key, key) for key in change.key)
        return f"{source} · {RELATIONS[change.table][1].segment} · {target}"
    who = title(CATALOGUE[change.table], change.after or change.before or {})
    return "; ".join(
        [who, *(f"{key}: {' → '.join(short_pair(was, now))}" for key, (was, now) in change.properties.items())]
    )


def names(store: ScopeStore, points: Sequence[Manifest]) -> dict[str, str]:
    """What people call the objects that links lead between, by id; the last point that has an object names it."""
    found: dict[str, str] = {}
    with connect(store.files) as connection:
        for point in points:
            for table in point.tables.keys() & _NAMED:
                name = "coalesce(json_extract_string(_raw, '$.displayName'), id)"
                query = state_query(store.files, point.tables[table], f"id, {name}")
                found.update(connection.execute(query).fetchall())
    return found


# --- The proof -------------------------------------------------------------------------------------------------------


@dataclass
class Picture:
    """The whole tenant as it truly is at a moment: objects by type and id, links by relation."""

    objects: dict[str, dict[str, _Body]] = field(default_factory=dict)
    links: dict[str, set[tuple[str, str, str]]] = field(default_factory=dict)


@dataclass
class Comparison:
    """A recovery point against the tenant: what was compared, and what differs."""

    objects: int = 0
    properties: int = 0
    links: int = 0
    differing: list[str] = field(default_factory=list)


def look(control: Control, types: list[str]) -> Picture:
    """The tenant as the simulator itself knows it, not as Graph tells it."""
    picture = Picture()
    for entry in (CATALOGUE[name] for name in types):
        if entry.delegated or entry.optional:
            continue
        where = _truth_of(entry)
        places = _owned_places(control, entry.parent) if entry.parent and entry.parent.among else [where]
        bodies = [body for place in places for body in control.dump(place) if _asked_for(entry, body)]
        picture.objects[entry.name] = {_key(entry, body): _shown(entry, body) for body in bodies}
        for relation in entry.relations:
            if not relation.permission:
                picture.links[relation.name] = control.edges(where, relation.segment)
    return picture


def _truth_of(entry: ObjectType) -> str:
    """Where the simulator tells all objects of a type: parts by the path from any owner."""
    if entry.parent is None:
        return entry.path
    owner = CATALOGUE[entry.parent.type]
    if entry.parent.path:
        return entry.parent.path.partition("?")[0].removesuffix("/{id}")
    return f"{owner.path}/-/{entry.parent.segment}" if owner.path else entry.graph_type


def _asked_for(entry: ObjectType, body: _Body) -> bool:
    """Whether what the catalogue asks for brings the object."""
    if entry.filter:
        # A filter that Graph demands leaves out what other scopes have; `/` is the whole tenant.
        return bool(body.get("scopeId") == "/")
    if entry.parent and "scopeType" in entry.parent.path:
        return bool(body.get("scopeType") == "Group")
    return not (entry.parent and entry.projection) or any(body.get(name) for name in entry.projection if name != "id")


def _owned_places(control: Control, parent: Parent) -> list[str]:
    """Where the parts are of those owners that objects of other types belong to."""
    among = [CATALOGUE[name] for name in parent.among]
    owner = CATALOGUE[parent.type]
    holders = {body[entry.belongs_to] for entry in among for body in control.dump(entry.path)}
    ids = sorted(holders & {body["id"] for body in control.dump(owner.path)})
    return [f"{owner.path}/{one}/{parent.segment}" for one in ids]


def _key(entry: ObjectType, body: _Body) -> str:
    """What an object is compared by; where ids are unique within an owner only, all that it says."""
    if entry.local_ids:
        return msgspec.json.encode(_without_nulls(body), order="sorted").decode()
    return str(body.get(entry.key) or entry.name)


def _shown(entry: ObjectType, body: _Body) -> _Body:
    """What of an object the catalogue asks for, of what it is linked with and is a view of."""
    # What Graph shows only when asked for by name may be in a table of its own.
    root = entry.shows or entry.name
    elsewhere = {name for other in CATALOGUE.values() if other.shows == root for name in other.projection}
    names = entry.projection or [
        name
        for name in body.keys() - (elsewhere - entry.properties.keys())
        if name in entry.properties or name.startswith("@") or not has_navigation(entry.model, name)
    ]
    shown = {name: body.get(name) for name in names}
    for name, _, options in (item.partition("(") for item in entry.expand):
        whole = shown.get(name)
        if options == "$select=id)" and isinstance(whole, dict):
            shown[name] = {"id": whole["id"]}
    if shown.get("keyCredentials") and not entry.projection:
        # The certificates themselves are in a table of their own.
        shown["keyCredentials"] = [{**one, "key": None} for one in shown["keyCredentials"] or ()]
    return _without_nulls(shown)


def compare(store: ScopeStore, manifest: Manifest, picture: Picture) -> Comparison:
    """Compares the state at a recovery point with the tenant: object by object, property by property, link by link.

    A property that is null and one that was never set count as equal: Graph's delta does not tell them apart.
    """
    result = Comparison()
    for table, truth in picture.objects.items():
        entry = CATALOGUE[table]
        bodies = map(msgspec.json.decode, find(store, manifest, table))
        stored = {_key(entry, body): _without_nulls(body) for body in bodies}
        for identifier in sorted(truth.keys() | stored.keys()):
            result.objects += 1
            true, kept = truth.get(identifier, {}), stored.get(identifier, {})
            for key in true.keys() | kept.keys():
                result.properties += 1
                if true.get(key) != kept.get(key):
                    result.differing.append(f"{table} {identifier} {key}")
    for table, links in picture.links.items():
        found = {tuple(msgspec.json.decode(row).values()) for row in find(store, manifest, table)}
        result.links += len(links | found)
        result.differing += [f"{table} {' '.join(link)}" for link in sorted(links ^ found)]
    return result


def _without_nulls(body: _Body) -> _Body:
    return {key: value for key, value in body.items() if value is not None}
