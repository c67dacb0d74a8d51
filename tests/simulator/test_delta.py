"""Delta query as Graph does it: rounds, removals, slices, expiry, and the habits that clients have to stand."""

from __future__ import annotations

from typing import Any

import pytest

from entra_pipeline.simulator import Simulator
from tests.simulator.conftest import Client

WEEK = 7 * 86400.0


def merge(items: list[dict[str, Any]], state: dict[str, dict[str, Any]] | None = None) -> dict[str, dict[str, Any]]:
    """The objects a client has after the items, links by relation as sets of ids."""
    state = {} if state is None else state
    for item in items:
        if "@removed" in item:
            state.pop(item["id"], None)
            continue
        known = state.setdefault(item["id"], {})
        for name, value in item.items():
            if not name.endswith("@delta"):
                known[name] = value
                continue
            links = known.setdefault(name, set())
            for link in value:
                (links.discard if "@removed" in link else links.add)(link["id"])
    return state


def members(simulator: Simulator) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for group, member, _ in simulator.control.edges("groups", "members"):
        found.setdefault(group, set()).add(member)
    return found


def test_the_first_round_tells_everything_that_is_set(simulator: Simulator, client: Client) -> None:
    items, link = client.round("users/delta?$select=displayName,faxNumber,givenName")
    assert {item["id"] for item in items} == {user["id"] for user in simulator.control.dump("users")}
    assert all(set(item) == {"id", "displayName", "givenName"} for item in items)
    assert client.round(link)[0] == []


def test_delta_accepts_both_spellings(client: Client) -> None:
    for path in ("users/delta", "users/delta()", "users/microsoft.graph.delta()"):
        assert len(client.round(path)[0]) == 60


@pytest.mark.parametrize(
    "path",
    [
        "groups",
        "directory/administrativeUnits",
        "directoryRoles",
        "applications",
        "servicePrincipals",
        "devices",
        "oauth2PermissionGrants",
    ],
)
def test_every_set_with_delta_has_a_full_round(path: str, simulator: Simulator, client: Client) -> None:
    items, _ = client.round(f"{path}/delta")
    assert {item["id"] for item in items} == {item["id"] for item in simulator.control.dump(path)}


@pytest.mark.parametrize(
    "path", ["domains", "roleManagement/directory/roleAssignments", "identity/conditionalAccess/policies"]
)
def test_sets_without_delta(path: str, client: Client) -> None:
    assert client.send("GET", f"{path}/delta").status_code == 400


def test_created_changed_cleared_and_deleted_objects(simulator: Simulator, client: Client) -> None:
    items, link = client.round("users/delta?$select=id,displayName,jobTitle,department")
    a, b, c = sorted(item["id"] for item in items)[:3]
    simulator.control.patch(f"users/{a}", {"displayName": "Renamed", "department": None})
    simulator.control.delete(f"users/{b}")
    simulator.control.delete(f"users/{c}")
    simulator.control.purge(c)
    new = simulator.control.create("users", {"displayName": "New"})
    found = {item["id"]: item for item in client.round(link)[0]}
    assert set(found) == {a, b, c, new}
    assert found[a]["displayName"] == "Renamed"
    assert found[a]["department"] is None
    assert found[b] == {"id": b, "@removed": {"reason": "changed"}}
    assert found[c] == {"id": c, "@removed": {"reason": "deleted"}}
    assert found[new] == {"id": new, "displayName": "New"}


def test_minimal_returns_what_changed(simulator: Simulator, client: Client) -> None:
    items, link = client.round("users/delta?$select=displayName,department,city")
    a = items[0]["id"]
    simulator.control.patch(f"users/{a}", {"city": "Malmö"})
    full = client.get(link)["value"]
    assert set(full[0]) == {"id", "displayName", "department", "city"}
    minimal = client.get(link, Prefer="return=minimal")["value"]
    assert minimal == [{"id": a, "city": "Malmö"}]
    simulator.control.delta(partial=True)
    assert client.get(link)["value"] == [{"id": a, "city": "Malmö"}]


def test_an_extension_brings_the_others_of_its_type(simulator: Simulator, client: Client) -> None:
    names = sorted(item["name"] for item in simulator.control.dump("extensionProperty"))
    app = next(a for a in client.all("applications?$select=id,appId") if a["appId"].replace("-", "") in names[0])
    simulator.control.create(
        f"applications/{app['id']}/extensionProperties",
        {"name": "extension_x_team", "dataType": "String", "targetObjects": ["User"]},
    )
    items, link = client.round(f"users/delta?$select=displayName,{names[0]},{names[1]},extension_x_team")
    a = items[0]["id"]
    simulator.control.patch(f"users/{a}", {"extension_x_team": "blue"})
    assert client.get(link, Prefer="return=minimal")["value"] == [
        {"id": a, names[0]: items[0][names[0]], "extension_x_team": "blue"}
    ]


def test_managers(simulator: Simulator, client: Client) -> None:
    items, link = client.round("users/delta?$select=displayName,manager")
    state = merge(items)
    expected = {(source, target) for source, target, _ in simulator.control.edges("users", "manager")}
    assert {(user, m) for user, body in state.items() for m in body.get("manager@delta", ())} == expected
    report, manager = min(expected)
    other = next(user for user in state if user not in {report, manager})
    simulator.control.add_link(f"users/{report}/manager", other)
    item = next(item for item in client.round(link)[0] if item["id"] == report)
    told = {(link["id"], "@removed" in link) for link in item["manager@delta"]}
    assert told == {(manager, True), (other, False)}
    assert "manager@delta" not in client.round("users/delta?$select=displayName")[0][5]


def test_members_by_default_and_owners_by_select(simulator: Simulator, client: Client) -> None:
    items, _ = client.round("groups/delta")
    state = merge(items)
    assert {group: body.get("members@delta", set()) for group, body in state.items()} == {
        group: members(simulator).get(group, set()) for group in state
    }
    assert not any("owners@delta" in item for item in items)
    items, link = client.round("groups/delta?$select=displayName,members,owners")
    owners: dict[str, set[str]] = {}
    for group, owner, _ in simulator.control.edges("groups", "owners"):
        owners.setdefault(group, set()).add(owner)
    assert {group: body["owners@delta"] for group, body in merge(items).items()} == owners
    assert not any("members@delta" in item for item in client.round("groups/delta?$select=displayName")[0])
    group, owner = min((g, o) for g, some in owners.items() for o in some)
    simulator.control.remove_link(f"groups/{group}/owners", owner)
    told = client.round(link)[0]
    assert [item["id"] for item in told] == [group]
    assert told[0]["owners@delta"] == [
        {"@odata.type": "#microsoft.graph.user", "id": owner, "@removed": {"reason": "deleted"}}
    ]


def test_a_large_group_comes_in_40_slices(simulator: Simulator, client: Client) -> None:
    users = simulator.control.create_many("users", [{"displayName": f"n{n}"} for n in range(2500)])
    group = simulator.control.create("groups", {"displayName": "Everybody"})
    simulator.control.add_link(f"groups/{group}/members", *users)
    simulator.control.delta(slice_size=63)
    pages = list(client.pages("groups/delta?$select=displayName,members"))
    slices = [item for page in pages for item in page["value"] if item["id"] == group and "members@delta" in item]
    assert len(slices) == 40
    assert max(len(item["members@delta"]) for item in slices) <= 63
    assert {set(item) >= {"displayName"} for item in slices} == {True, False}
    assert len({link["id"] for item in slices for link in item["members@delta"]}) == 2500
    assert len({page["@odata.nextLink"] for page in pages if "@odata.nextLink" in page}) == len(pages) - 1


def test_a_deleted_member_is_told_in_its_groups_too_and_comes_back(simulator: Simulator, client: Client) -> None:
    _, link = client.round("groups/delta?$select=displayName,members")
    _, users_link = client.round("users/delta?$select=displayName,manager")
    user = min(edge[1] for edge in simulator.control.edges("groups", "members") if edge[2] == "user")
    groups = {edge[0] for edge in simulator.control.edges("groups", "members") if edge[1] == user}
    simulator.control.delete(f"users/{user}")
    items, link = client.round(link)
    gone = {"@odata.type": "#microsoft.graph.user", "id": user, "@removed": {"reason": "deleted"}}
    assert {item["id"] for item in items} == groups
    assert all(item["members@delta"] == [gone] for item in items)
    simulator.control.restore(user)
    items, _ = client.round(link)
    assert {item["id"] for item in items} == groups
    assert all(item["members@delta"] == [{"@odata.type": "#microsoft.graph.user", "id": user}] for item in items)
    restored = next(item for item in client.round(users_link)[0] if item["id"] == user)
    assert restored["displayName"]


def test_a_restored_group_comes_back_with_its_members(simulator: Simulator, client: Client) -> None:
    items, link = client.round("groups/delta")
    group = max(members(simulator), key=lambda g: len(members(simulator)[g]))
    before = members(simulator)[group]
    simulator.control.delete(f"groups/{group}")
    items, link = client.round(link)
    assert {"id": group, "@removed": {"reason": "changed"}} in items
    simulator.control.restore(group)
    items, _ = client.round(link)
    assert merge(items)[group]["members@delta"] == before


def test_changes_during_a_round_are_told_by_the_next(simulator: Simulator, client: Client) -> None:
    simulator.control.delta(page_size=10)
    pages = client.pages("users/delta?$select=displayName")
    first = next(pages)["value"]
    simulator.control.patch(f"users/{first[0]['id']}", {"displayName": "Changed meanwhile"})
    last = list(pages)[-1]
    again = client.round(last["@odata.deltaLink"])[0]
    assert [item["displayName"] for item in again] == ["Changed meanwhile"]


def test_a_link_can_be_followed_twice(simulator: Simulator, client: Client) -> None:
    _, link = client.round("users/delta?$select=displayName")
    simulator.control.create("users", {"displayName": "New"})
    assert client.round(link)[0] == client.round(link)[0] != []


def test_latest_tells_nothing_but_the_link(simulator: Simulator, client: Client) -> None:
    items, link = client.round("users/delta?$select=displayName&$deltatoken=latest")
    assert items == []
    new = simulator.control.create("users")
    assert [item["id"] for item in client.round(link)[0]] == [new]


def test_only_ids_can_be_filtered_and_fifty_of_them(simulator: Simulator, client: Client) -> None:
    users = sorted(user["id"] for user in simulator.control.dump("users"))
    condition = " or ".join(f"id eq '{user}'" for user in users[:3])
    items, link = client.round(f"users/delta?$select=displayName&$filter={condition}")
    assert {item["id"] for item in items} == set(users[:3])
    simulator.control.patch(f"users/{users[0]}", {"displayName": "A"})
    simulator.control.patch(f"users/{users[9]}", {"displayName": "B"})
    assert [item["id"] for item in client.round(link)[0]] == [users[0]]
    assert client.refused("GET", "users/delta?$filter=displayName eq 'A'")[1] == "Request_UnsupportedQuery"
    many = " or ".join(f"id eq '{user}'" for user in users[:51])
    assert client.refused("GET", f"users/delta?$filter={many}")[1] == "Request_UnsupportedQuery"


def test_what_delta_refuses(client: Client) -> None:
    status, code, message = client.refused("GET", "users/delta?$select=displayName,signInActivity")
    assert (status, code) == (400, "BadRequest")
    assert message == (
        "Invalid request for delta query: for this entity set, $expand/$select is not supported for the following "
        "properties: signInActivity"
    )
    assert client.send("GET", "users/delta?$select=sponsors").status_code == 400
    assert client.send("GET", "applications/delta?$select=owners").status_code == 400
    assert client.send("GET", "users/delta?$orderby=displayName").status_code == 400
    assert client.send("GET", "users/delta?$expand=manager").status_code == 400
    link = client.round("users/delta?$select=displayName")[1]
    assert client.send("GET", f"{link}&$select=city").status_code == 400
    assert client.send("GET", link.replace("/users/", "/groups/")).status_code == 400
    assert client.send("GET", f"{link}x").status_code == 400


def test_top_is_silently_ignored(client: Client) -> None:
    assert len(client.get("users/delta?$top=5")["value"]) == 60


@pytest.mark.parametrize(
    ("path", "form", "expected"),
    [
        ("users", "", (400, "Request_UnsupportedQuery", "DeltaLink older than 30 days is not supported.")),
        ("groups", "", (410, "resyncRequired", "Resync required.")),
        ("users", "gone", (410, "resyncRequired", "Resync required.")),
        ("groups", "unsupported", (400, "Request_UnsupportedQuery", "DeltaLink older than 30 days is not supported.")),
        (
            "groups",
            "sync_state_not_found",
            (404, "syncStateNotFound", "The sync state generation is not found; resync is required."),
        ),
    ],
)
def test_expired_links(
    path: str, form: str, expected: tuple[int, str, str], simulator: Simulator, client: Client
) -> None:
    _, link = client.round(f"{path}/delta")
    simulator.control.expire_delta_links(form)
    assert client.refused("GET", link) == expected
    if expected[0] == 410:
        location = client.send("GET", link).headers["Location"]
        assert location.endswith(f"/{path}/delta?$deltatoken=")
        assert client.round(location)[0]
    fresh = client.round(f"{path}/delta")[1]
    assert client.round(fresh)[0] == []


def test_small_pages_tell_the_links_of_every_group_once_the_first_is_done(simulator: Simulator, client: Client) -> None:
    """A page that ends the owners of a group of many members goes on with the members of the next one."""
    select = "groups/delta?$select=displayName,members,owners"
    items, link = client.round(select)
    expected = merge(items)
    one, other = sorted(expected)[:2]
    simulator.control.delta(slice_size=1)
    users = [user["id"] for user in simulator.control.dump("users")]
    owners = {target for group, target, _ in simulator.control.edges("groups", "owners") if group == one}
    for group in (one, other):
        simulator.control.add_link(f"groups/{group}/members", *sorted(set(users) - members(simulator)[group])[:12])
    simulator.control.add_link(f"groups/{one}/owners", *sorted(set(users) - owners)[:1])
    state = merge(client.round(link)[0], expected)
    assert {group: links["members@delta"] for group, links in state.items() if "members@delta" in links} == members(
        simulator
    )


def test_links_live_seven_days(simulator: Simulator, client: Client) -> None:
    _, link = client.round("users/delta")
    simulator.control.clock(WEEK - 60)
    assert client.send("GET", link).status_code == 200
    simulator.control.clock(120)
    assert client.send("GET", link).status_code == 400


def test_empty_and_repeated_pages(simulator: Simulator, client: Client) -> None:
    expected = merge(client.round("groups/delta?$select=displayName,members,owners")[0])
    listed = [user["id"] for user in client.all("users?$top=20&$select=id")]
    simulator.control.delta(page_size=5, slice_size=7)
    simulator.control.empty_pages(1)
    pages = list(client.pages("users?$top=20&$select=id"))
    assert [len(page["value"]) for page in pages] == [20, 0, 20, 0, 20, 0]
    delta = list(client.pages("groups/delta?$select=displayName,members,owners"))
    assert any(not page["value"] for page in delta)
    assert merge([item for page in delta for item in page["value"]]) == expected
    simulator.control.empty_pages(0)
    simulator.control.repeat_pages(1)
    pages = list(client.pages("users?$top=20&$select=id"))
    assert [item["id"] for item in pages[0]["value"]] == [item["id"] for item in pages[1]["value"]]
    assert len({page["@odata.nextLink"] for page in pages[:-1]}) == len(pages) - 1
    assert sorted({item["id"] for page in pages for item in page["value"]}) == sorted(listed)
    assert merge(client.round("groups/delta?$select=displayName,members,owners")[0]) == expected


def test_replays_and_disorder_do_not_change_the_outcome(simulator: Simulator, client: Client) -> None:
    simulator.control.delete(f"users/{simulator.control.dump('users')[0]['id']}")
    plain = merge(client.round("users/delta?$select=displayName,manager")[0])
    simulator.control.delta(page_size=10, replays=3, disorder=True)
    items, _ = client.round("users/delta?$select=displayName,manager")
    assert len(items) > len({item["id"] for item in items})
    assert any("@removed" in item for item in items)
    assert merge(items) == plain
    assert [item["id"] for item in items] != [item["id"] for item in simulator.control.dump("users")]


def test_a_hole_is_never_told(simulator: Simulator, client: Client) -> None:
    items, link = client.round("users/delta")
    a, b = items[0]["id"], items[1]["id"]
    simulator.control.delta(hole=[a])
    simulator.control.patch(f"users/{a}", {"city": "X"})
    simulator.control.patch(f"users/{b}", {"city": "Y"})
    assert [item["id"] for item in client.round(link)[0]] == [b]


def test_grants_of_a_deleted_application_are_told_as_gone(simulator: Simulator, client: Client) -> None:
    _, link = client.round("oauth2PermissionGrants/delta")
    grant = client.all("oauth2PermissionGrants")[0]
    simulator.control.delete(f"servicePrincipals/{grant['clientId']}")
    items, link = client.round(link)
    assert {"id": grant["id"], "@removed": {"reason": "deleted"}} in items
    simulator.control.restore(grant["clientId"])
    assert grant["id"] in {item["id"] for item in client.round(link)[0] if "@removed" not in item}
