"""Scopes of chosen types, and of chosen users and groups with what belongs to them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from entra_pipeline.catalogue import CATALOGUE, table_names
from entra_pipeline.demo import Picture, look
from entra_pipeline.simulator import Control
from entra_pipeline.store.manifest import Manifest
from tests.support.protected import Protected, protect, totals

Tenant = Callable[..., Protected]
TYPES = protect("users", "groups", "role_assignments", "oauth2_permission_grants", "app_role_assignments")


def select(*, users: Iterable[str] = (), groups: Iterable[str] = ()) -> str:
    """The setting that chooses users and groups, by name."""
    quoted = {"users": [f'"{one}"' for one in users], "groups": [f'"{one}"' for one in groups]}
    return "select = { " + ", ".join(f"{kind} = [{', '.join(names)}]" for kind, names in quoted.items()) + " }"


def chosen(control: Control, users: Iterable[str], groups: Iterable[str]) -> tuple[set[str], set[str]]:
    """Users and groups that belong to the chosen ones: everybody who is in a group, also through other groups."""
    inside: dict[str, set[tuple[str, str]]] = {}
    for group, member, kind in control.edges("groups", "members"):
        inside.setdefault(group, set()).add((member, kind))
    found = {"user": set(users), "group": set(groups)}
    waiting = deque(groups)
    while waiting:
        for member, kind in inside.get(waiting.popleft(), ()):
            if kind == "group" and member not in found["group"]:
                waiting.append(member)
            if kind in found:
                found[kind].add(member)
    return found["user"], found["group"]


def truth(one: Protected, users: Iterable[str], groups: Iterable[str]) -> Picture:
    """What the scope has to hold: the chosen objects, the links they are the source of, and what belongs to them."""
    people, teams = chosen(one.control, users, groups)
    whole = look(one.control, one.scope.types())
    owners = {"users": people, "groups": teams}
    mine = people | teams
    objects = {
        table: {
            identifier: body
            for identifier, body in found.items()
            if (identifier in owners[table] if table in owners else body.get(CATALOGUE[table].belongs_to) in mine)
        }
        for table, found in whole.objects.items()
    }
    links = {table: {edge for edge in edges if edge[0] in mine} for table, edges in whole.links.items()}
    return Picture(objects, links)


def ids(control: Control, path: str) -> list[str]:
    return sorted(one["id"] for one in control.dump(path))


def test_only_the_chosen_types_are_read_and_stored(tenant: Tenant) -> None:
    one = tenant(protect("devices", "domains"))
    one.control.ledger(reset=True)
    manifest = one.backup()
    one.assert_same(manifest)
    assert list(manifest.tables) == table_names(["devices", "domains"])
    asked = one.control.ledger()["sets"].keys()
    assert asked <= {"device", "domain", "directoryObject"}
    one.configure(protect("devices", "domains", "organization"))
    grown = one.backup()
    one.assert_same(grown)
    assert (grown.tables["organization"].read, grown.tables["devices"].read) == ("full", "unchanged")
    one.configure(protect("domains"))
    shrunk = one.backup()
    one.assert_same(shrunk)
    assert list(shrunk.tables) == ["domains"]


def test_chosen_users_and_groups_come_with_their_members_and_what_belongs_to_them(tenant: Tenant) -> None:
    one = tenant(TYPES, users=80, groups=12)
    control = one.control
    people, teams = ids(control, "users"), ids(control, "groups")
    control.patch(f"groups/{teams[0]}", {"displayName": "Café d'Été"})
    control.patch(f"users/{people[0]}", {"userPrincipalName": "o'neil@contoso.com", "mail": "post@contoso.com"})
    outer = control.create("groups", {"displayName": "Outer"})
    inner = control.create("groups", {"displayName": "Inner"})
    control.add_link(f"groups/{outer}/members", inner, people[1])
    control.add_link(f"groups/{inner}/members", people[2], people[3])
    names = select(users=["o'neil@contoso.com", people[5]], groups=["Café d'Été", outer])
    one.configure(f"{TYPES}\n{names}")
    users, groups = [people[0], people[5]], [teams[0], outer]

    def check(manifest: Manifest) -> None:
        one.assert_same(manifest, truth(one, users, groups))
        inside = chosen(control, users, groups)
        assert manifest.selection == {"users": sorted(inside[0]), "groups": sorted(inside[1])}

    check(one.backup())

    # People enter and leave the scope through a group in a group; what is theirs goes with them.
    manager = people[7]
    control.add_link(f"users/{people[6]}/manager", manager)
    control.add_link(f"groups/{inner}/members", people[6])
    control.remove_link(f"groups/{inner}/members", people[2])
    control.patch(f"users/{people[3]}", {"jobTitle": "Changed"})
    control.patch(f"users/{people[9]}", {"jobTitle": "Changed"})
    check(one.backup())

    control.remove_link(f"groups/{outer}/members", inner)
    check(one.backup())
    control.add_link(f"groups/{outer}/members", inner)
    check(one.backup())
    control.delete(f"groups/{inner}")
    check(one.backup())
    control.restore(inner)
    control.delete(f"users/{people[1]}")
    check(one.backup())


def test_more_than_delta_can_filter_are_picked_from_the_whole(tenant: Tenant) -> None:
    one = tenant(TYPES, users=150, groups=10)
    control = one.control
    people = ids(control, "users")
    crowd = control.create("groups", {"displayName": "Crowd"})
    control.add_link(f"groups/{crowd}/members", *people[:60])
    one.configure(f"{TYPES}\n{select(groups=['Crowd'])}")
    first = one.backup()
    one.assert_same(first, truth(one, [], [crowd]))
    assert first.tables["users"].live == 60

    # New faces were never told by this scope's delta; old ones change, leave, and change after they have left.
    control.add_link(f"groups/{crowd}/members", *people[60:70])
    control.remove_link(f"groups/{crowd}/members", *people[:5])
    for person in (people[0], people[10], people[65], people[100]):
        control.patch(f"users/{person}", {"department": "Moved"})
    control.delete(f"users/{people[20]}")
    second = one.backup()
    one.assert_same(second, truth(one, [], [crowd]))
    assert second.tables["users"].read == "incremental"
    assert second.tables["users"].live == 64

    control.add_link(f"groups/{crowd}/members", *people[:5])
    third = one.backup()
    one.assert_same(third, truth(one, [], [crowd]))
    assert totals(third)[1] < 40


def test_who_leaves_the_scope_is_not_taken_for_deleted(tenant: Tenant) -> None:
    one = tenant(TYPES)
    control = one.control
    people = ids(control, "users")[:4]
    team = control.create("groups", {"displayName": "Team"})
    control.add_link(f"groups/{team}/members", *people)
    one.configure(f"{TYPES}\n{select(groups=['Team'])}")
    one.backup()
    control.remove_link(f"groups/{team}/members", people[0])
    control.delete(f"users/{people[1]}")
    manifest = one.backup()
    one.assert_same(manifest, truth(one, [], [team]))
    reasons = {row["target_id"]: row["_reason"] for row in one.written(manifest, "group_members")}
    assert (reasons[people[0]], reasons[people[1]]) == ("removed", "target deleted")


def test_a_name_that_nobody_has_is_a_gap_and_the_others_are_protected(tenant: Tenant) -> None:
    one = tenant(TYPES)
    person = ids(one.control, "users")[0]
    one.configure(f"{TYPES}\n{select(users=[person, 'nobody@contoso.com'], groups=['No such group'])}")
    manifest = one.backup()
    assert manifest.status == "finished with exception"
    assert one.objects(manifest, "users").keys() == {person}
    (gap,) = manifest.tables["users"].gaps
    assert "'nobody@contoso.com' is selected but not in the tenant" in gap.reason
    assert "'No such group'" in manifest.tables["groups"].gaps[0].reason
    assert gap.remedy
    one.control.create("users", {"displayName": "Nobody", "userPrincipalName": "nobody@contoso.com"})
    one.control.create("groups", {"displayName": "No such group"})
    assert one.backup().status == "finished"


def test_choosing_others_is_followed_at_the_next_point(tenant: Tenant) -> None:
    one = tenant(TYPES)
    people, teams = ids(one.control, "users"), ids(one.control, "groups")
    for users, groups in (([people[0]], []), ([people[1]], [teams[0]]), ([], [teams[1]])):
        one.configure(f"{TYPES}\n{select(users=users, groups=groups)}")
        one.assert_same(one.backup(), truth(one, users, groups))
    one.configure(TYPES)
    one.assert_same(one.backup())


def test_a_scope_of_many_chosen_becomes_one_of_everybody_and_back(tenant: Tenant) -> None:
    one = tenant(TYPES, users=70)
    crowd = one.control.create("groups", {"displayName": "Crowd"})
    one.control.add_link(f"groups/{crowd}/members", *ids(one.control, "users")[:60])
    few = f"{TYPES}\n{select(groups=['Crowd'])}"
    for settings in (few, TYPES, few):
        one.configure(settings)
        manifest = one.backup()
        one.assert_same(manifest, truth(one, [], [crowd]) if settings is few else None)
        assert manifest.tables["users"].read == "full"
