"""Reading as Graph does it: pages, select, filter, expand, count, members, the recycle bin."""

from __future__ import annotations

from typing import Any

import pytest

from entra_pipeline.simulator import Simulator
from tests.simulator.conftest import Client

USER_DEFAULT = {
    "businessPhones displayName givenName jobTitle mail mobilePhone officeLocation preferredLanguage surname "
    "userPrincipalName id"
}
SETS = [
    "users",
    "groups",
    "directory/administrativeUnits",
    "applications",
    "servicePrincipals",
    "oauth2PermissionGrants",
    "directoryRoles",
    "roleManagement/directory/roleDefinitions",
    "roleManagement/directory/roleAssignments",
    "identity/conditionalAccess/policies",
    "identity/conditionalAccess/namedLocations",
    "policies/authenticationStrengthPolicies",
    "devices",
    "domains",
    "organization",
    "subscribedSkus",
]


@pytest.mark.parametrize("path", SETS)
def test_every_set_lists_exactly_what_the_tenant_holds(path: str, shared: Simulator, reader: Client) -> None:
    shared.control.knobs(throttle_conditional_access=False)
    listed = reader.all(path)
    assert [item["id"] for item in listed] == [item["id"] for item in shared.control.dump(path)]
    assert listed
    one = reader.get(f"{path}/{listed[0]['id']}")
    assert {name: one[name] for name in listed[0]} == listed[0]


def test_a_list_pages_by_absolute_links_that_carry_the_options(reader: Client) -> None:
    pages = list(reader.pages("users?$top=70&$select=id,displayName"))
    assert [len(page["value"]) for page in pages] == [70, 70, 70, 70, 20]
    assert all(page["@odata.nextLink"].startswith(reader.simulator.graph_url) for page in pages[:-1])
    assert "$skiptoken=" in pages[0]["@odata.nextLink"]
    assert set(pages[3]["value"][0]) == {"id", "displayName"}
    assert pages[0]["@odata.context"].endswith("$metadata#users(id,displayName)")


def test_pages_hold_100_by_default_and_999_at_most(reader: Client) -> None:
    assert len(reader.get("users")["value"]) == 100
    assert len(reader.get("users?$top=999")["value"]) == 300
    assert reader.refused("GET", "users?$top=1000")[:2] == (400, "Request_BadRequest")
    assert reader.send("GET", "users?$select=signInActivity&$top=501").status_code == 400
    assert reader.send("GET", "users?$select=signInActivity&$top=500").status_code == 200


def test_a_foreign_skiptoken_is_refused(reader: Client) -> None:
    assert reader.send("GET", "users?$skiptoken=bm9uc2Vuc2U").status_code == 400


def test_directory_roles_do_not_page(reader: Client) -> None:
    assert "@odata.nextLink" not in reader.get("directoryRoles?$top=1")
    assert len(reader.get("directoryRoles?$top=1")["value"]) == 7


def test_users_return_the_default_properties_only(reader: Client) -> None:
    user = reader.get("users?$top=1")["value"][0]
    assert set(user) == set(next(iter(USER_DEFAULT)).split())


def test_groups_leave_out_what_needs_select(reader: Client) -> None:
    group = reader.get("groups?$top=1")["value"][0]
    assert {"displayName", "membershipRule", "securityIdentifier"} <= set(group)
    assert not {"assignedLicenses", "assignedLabels", "onPremisesExtensionAttributes", "allowExternalSenders"} & set(
        group
    )
    assert "assignedLicenses" in reader.get("groups?$top=1&$select=id,assignedLicenses")["value"][0]


def test_properties_never_set_are_null_in_a_list(reader: Client) -> None:
    user = reader.get("users?$top=1&$select=id,faxNumber")["value"][0]
    assert user["faxNumber"] is None


def test_an_unknown_property_is_refused_by_name(reader: Client) -> None:
    status, _, message = reader.refused("GET", "users?$select=id,nickName")
    assert (status, message) == (400, "Could not find a property named 'nickName' on type 'microsoft.graph.user'.")


def test_properties_held_elsewhere_cannot_be_listed(reader: Client) -> None:
    assert reader.refused("GET", "users?$select=hireDate")[:2] == (501, "NotImplemented")
    user = reader.get("users?$top=1")["value"][0]["id"]
    assert reader.get(f"users/{user}?$select=hireDate")["hireDate"] is None


def test_directory_extensions_come_by_select_only(shared: Simulator, reader: Client) -> None:
    name = next(e["name"] for e in shared.control.dump("extensionProperty") if e["name"].endswith("costCenter"))
    values = [user[name] for user in reader.all(f"users?$select=id,{name}")]
    assert "CC-0000" in values
    assert None in values
    assert reader.send("GET", f"devices?$select={name}x").status_code == 400


def test_unknown_members_are_served_where_everything_is_returned(reader: Client) -> None:
    assert any("futureSetting" in app for app in reader.all("applications"))
    assert any("futureControls" in policy for policy in reader.all("identity/conditionalAccess/policies"))


def test_certificates_come_only_when_one_object_is_asked_for_them(reader: Client) -> None:
    app = next(app for app in reader.all("applications") if app["keyCredentials"])
    assert app["keyCredentials"][0]["key"] is None
    assert reader.get(f"applications/{app['id']}?$select=keyCredentials")["keyCredentials"][0]["key"]


def test_alternate_keys(reader: Client) -> None:
    user = reader.get("users?$top=1")["value"][0]
    assert reader.get(f"users/{user['userPrincipalName'].upper()}")["id"] == user["id"]
    app = reader.get("applications?$top=1")["value"][0]
    assert reader.get(f"applications(appId='{app['appId']}')")["id"] == app["id"]
    assert reader.get(f"servicePrincipals(appId='{app['appId']}')")["appId"] == app["appId"]
    assert reader.get(f"users('{user['id']}')")["id"] == user["id"]


def test_what_does_not_exist(reader: Client) -> None:
    status, code, message = reader.refused("GET", "users/6ea91a8d-e32e-41a1-b7bd-d2d185eed0e0")
    assert (status, code) == (404, "Request_ResourceNotFound")
    assert message.startswith("Resource '6ea91a8d-e32e-41a1-b7bd-d2d185eed0e0' does not exist")
    assert reader.refused("GET", "gruppen")[2] == "Resource not found for the segment 'gruppen'."
    assert reader.refused("GET", "domains/delta()/x")[0] == 400


@pytest.mark.parametrize(
    ("condition", "matches"),
    [
        ("displayName eq 'Engineering 00000'", lambda g: g["displayName"] == "Engineering 00000"),
        ("displayName eq 'ENGINEERING 00000'", lambda g: g["displayName"] == "Engineering 00000"),
        ("startsWith(displayName,'Fin')", lambda g: g["displayName"].startswith("Fin")),
        ("mailEnabled eq true and securityEnabled eq false", lambda g: g["mailEnabled"] and not g["securityEnabled"]),
        ("groupTypes/any(t:t eq 'Unified')", lambda g: "Unified" in g["groupTypes"]),
        ("description eq null", lambda g: g["description"] is None),
        ("mailNickname in ('group00001','group00007')", lambda g: g["mailNickname"] in {"group00001", "group00007"}),
        ("(mailEnabled eq true or isAssignableToRole eq true)", lambda g: g["mailEnabled"] or g["isAssignableToRole"]),
        ("createdDateTime ge 2021-03-01T08:10:00Z", lambda g: g["createdDateTime"] >= "2021-03-01T08:10:00Z"),
        ("displayName eq 'R&D 🚀 00006'", lambda g: g["displayName"] == "R&D 🚀 00006"),
    ],
)
def test_filters(condition: str, matches: Any, reader: Client) -> None:
    import urllib.parse

    found = reader.all(f"groups?$filter={urllib.parse.quote(condition)}")
    expected = [group["id"] for group in reader.all("groups") if matches(group)]
    assert expected
    assert [group["id"] for group in found] == expected


@pytest.mark.parametrize(
    ("condition", "matches"),
    [
        ("mailEnabled ne true", lambda g: g["mailEnabled"] is not True),
        ("not startsWith(displayName,'Fin')", lambda g: not g["displayName"].startswith("Fin")),
        ("endsWith(mailNickname,'7')", lambda g: g["mailNickname"].endswith("7")),
        ("description ne null", lambda g: g["description"] is not None),
    ],
)
def test_advanced_filters_need_the_header_and_the_count(condition: str, matches: Any, reader: Client) -> None:
    path = f"groups?$filter={condition}"
    assert reader.refused("GET", path)[1] == "Request_UnsupportedQuery"
    assert reader.refused("GET", path, ConsistencyLevel="eventual")[1] == "Request_UnsupportedQuery"
    page = reader.get(f"{path}&$count=true", ConsistencyLevel="eventual")
    expected = [group["id"] for group in reader.all("groups") if matches(group)]
    assert [group["id"] for group in page["value"]] == expected
    assert page["@odata.count"] == len(expected)


def test_a_filter_that_makes_no_sense(reader: Client) -> None:
    assert reader.refused("GET", "groups?$filter=displayName eq")[1] == "Request_UnsupportedQuery"
    assert reader.send("GET", "groups?$filter=colour eq 'red'").status_code == 400


def test_count_is_ignored_without_the_header_and_an_error_as_a_segment(reader: Client) -> None:
    assert "@odata.count" not in reader.get("users?$count=true&$top=1")
    assert reader.get("users?$count=true&$top=1", ConsistencyLevel="eventual")["@odata.count"] == 300
    assert reader.send("GET", "users/$count").status_code == 400
    answer = reader.send("GET", "users/$count", ConsistencyLevel="eventual")
    assert (answer.text, answer.headers["content-type"]) == ("300", "text/plain")


def test_the_count_is_on_the_first_page_only(reader: Client) -> None:
    first = reader.get("users?$count=true", ConsistencyLevel="eventual")
    assert "@odata.count" not in reader.get(first["@odata.nextLink"], ConsistencyLevel="eventual")


def test_order(reader: Client) -> None:
    names = [user["displayName"] for user in reader.all("users?$orderby=displayName desc&$select=displayName&$top=70")]
    assert len(names) == 300
    assert names == sorted(names, key=lambda name: name.translate(_ASCII_LOWER), reverse=True)


_ASCII_LOWER = {code: code + 32 for code in range(65, 91)}


def test_expand_is_cut_at_20_without_a_link(simulator: Simulator, client: Client) -> None:
    users = [user["id"] for user in client.all("users?$select=id")]
    app = client.all("applications?$select=id")[0]["id"]
    simulator.control.add_link(f"applications/{app}/owners", *users[:21])
    found = next(a for a in client.all("applications?$select=id&$expand=owners($select=id)") if a["id"] == app)
    assert len(found["owners"]) == 20
    assert set(found["owners"][0]) == {"@odata.type", "id"}
    assert not [name for name in found if "nextLink" in name]
    assert len(client.all(f"applications/{app}/owners?$select=id")) >= 21


def test_expand_rules(reader: Client) -> None:
    assert reader.refused("GET", "groups?$expand=members&$count=true", ConsistencyLevel="eventual")[0] == 400
    assert reader.refused("GET", "groups?$expand=members,owners")[0] == 400
    assert reader.refused("GET", "groups?$expand=colours")[0] == 400
    assert "displayName" in reader.get("users?$top=5&$expand=manager($select=id,displayName)")["value"][1]["manager"]
    assert "manager" not in reader.get("users?$top=1&$expand=manager")["value"][0]
    fics = reader.all("applications?$select=id&$expand=federatedIdentityCredentials")
    assert any(app["federatedIdentityCredentials"] for app in fics)


def test_members_name_their_type(shared: Simulator, reader: Client) -> None:
    edges = shared.control.edges("groups", "members")
    for group in reader.all("groups?$select=id")[:12]:
        members = reader.all(f"groups/{group['id']}/members?$select=id&$top=50")
        found = {(group["id"], m["id"], m["@odata.type"].removeprefix("#microsoft.graph.")) for m in members}
        assert found == {edge for edge in edges if edge[0] == group["id"]}
        assert len(members) == len(found)


def test_relations_the_other_way_round(shared: Simulator, reader: Client) -> None:
    group, user, _ = min(edge for edge in shared.control.edges("groups", "members") if edge[2] == "user")
    assert group in {item["id"] for item in reader.all(f"users/{user}/memberOf")}
    group, owner, _ = min(shared.control.edges("groups", "owners"))
    assert group in {item["id"] for item in reader.all(f"users/{owner}/ownedObjects")}
    device, user, _ = min(shared.control.edges("devices", "registeredUsers"))
    assert device in {item["id"] for item in reader.all(f"users/{user}/registeredDevices")}
    report, manager, _ = min(shared.control.edges("users", "manager"))
    assert reader.get(f"users/{report}/manager?$select=id")["id"] == manager
    assert report in {item["id"] for item in reader.all(f"users/{manager}/directReports")}


def test_members_of_nested_groups(shared: Simulator, reader: Client) -> None:
    edges = shared.control.edges("groups", "members")
    outer, inner, _ = next(edge for edge in edges if edge[2] == "group")
    direct = {edge[1] for edge in edges if edge[0] == outer}
    nested = {edge[1] for edge in edges if edge[0] == inner}
    assert nested - direct
    found = {item["id"] for item in reader.all(f"groups/{outer}/transitiveMembers?$select=id")}
    assert direct | nested <= found


def test_members_narrowed_to_a_type_and_counted(shared: Simulator, reader: Client) -> None:
    group = next(edge[0] for edge in shared.control.edges("groups", "members") if edge[2] == "group")
    only = reader.all(f"groups/{group}/members/microsoft.graph.group?$select=id")
    assert len(only) == 1
    answer = reader.send("GET", f"groups/{group}/members/microsoft.graph.group/$count", ConsistencyLevel="eventual")
    assert answer.text == "1"
    assert reader.send("GET", f"groups/{group}/members/$count").status_code == 400


def test_members_the_caller_may_not_read_are_nulls(simulator: Simulator) -> None:
    simulator.control.roles(simulator.client_id, ["Group.Read.All"])
    client = Client(simulator)
    group = min(edge[0] for edge in simulator.control.edges("groups", "members") if edge[2] == "user")
    member = next(m for m in client.all(f"groups/{group}/members") if m["@odata.type"] == "#microsoft.graph.user")
    assert member["id"]
    assert {value for name, value in member.items() if name not in {"id", "@odata.type"}} == {None}
    client.http.close()


def test_app_role_assignments_from_both_ends(shared: Simulator, reader: Client) -> None:
    every = {item["id"]: item for item in shared.control.dump("appRoleAssignment")}
    found = {}
    for principal in reader.all("servicePrincipals?$select=id"):
        for item in reader.all(f"servicePrincipals/{principal['id']}/appRoleAssignedTo?$top=7"):
            assert item["resourceId"] == principal["id"]
            found[item["id"]] = item
    assert found == every
    one = next(item for item in every.values() if item["principalType"] == "User")
    assert one["id"] in {item["id"] for item in reader.all(f"users/{one['principalId']}/appRoleAssignments")}


def test_directory_objects(reader: Client) -> None:
    users = [user["id"] for user in reader.get("users?$top=3&$select=id")["value"]]
    group = reader.get("groups?$top=1&$select=id")["value"][0]["id"]
    assert reader.get(f"directoryObjects/{group}")["@odata.type"] == "#microsoft.graph.group"
    missing = "00000000-1111-2222-3333-444444444444"
    answer = reader.send("POST", "directoryObjects/getByIds?$select=id", {"ids": [*users, group, missing]})
    assert {item["id"] for item in answer.json()["value"]} == {*users, group}
    answer = reader.send("POST", "directoryObjects/getByIds", {"ids": [*users, group], "types": ["group"]})
    assert [item["id"] for item in answer.json()["value"]] == [group]
    assert reader.send("POST", "directoryObjects/getByIds", {"ids": ["x"] * 1001}).status_code == 400
    names = reader.send("POST", "directoryObjects/getAvailableExtensionProperties", {}).json()["value"]
    assert {item["name"].rpartition("_")[2] for item in names} == {"costCenter", "securityLevel"}


def test_the_recycle_bin_lists_by_type(simulator: Simulator, client: Client) -> None:
    user = client.get("users?$top=1")["value"][0]
    simulator.control.delete(f"users/{user['id']}")
    assert client.send("GET", f"users/{user['id']}").status_code == 404
    deleted = client.get("directory/deletedItems/microsoft.graph.user?$select=id,userPrincipalName,deletedDateTime")[
        "value"
    ]
    assert [item["id"] for item in deleted] == [user["id"]]
    assert deleted[0]["deletedDateTime"]
    assert deleted[0]["userPrincipalName"] == user["id"].replace("-", "") + user["userPrincipalName"]
    assert client.get(f"directory/deletedItems/{user['id']}")["id"] == user["id"]
    assert client.refused("GET", "directory/deletedItems")[0] == 400
    assert client.refused("GET", "directory/deletedItems/microsoft.graph.device")[0] == 400


def test_objects_created_while_a_list_is_read_neither_shift_nor_repeat(simulator: Simulator, client: Client) -> None:
    pages = client.pages("users?$top=20&$select=id")
    seen = [item["id"] for item in next(pages)["value"]]
    simulator.control.delete(f"users/{seen[3]}")
    new = simulator.control.create("users")
    rest = [item["id"] for page in pages for item in page["value"]]
    assert len(seen + rest) == len(set(seen + rest)) == 61
    assert rest[-1] == new


def test_headers_of_every_answer(reader: Client) -> None:
    answer = reader.send("GET", "users?$top=1", **{"client-request-id": "3f2504e0-4f89-11d3-9a0c-0305e82c3301"})
    assert answer.headers["client-request-id"] == "3f2504e0-4f89-11d3-9a0c-0305e82c3301"
    assert answer.headers["odata-version"] == "4.0"
    assert answer.headers["content-type"].startswith("application/json;odata.metadata=minimal")
    assert answer.headers["request-id"]
    error = reader.send("GET", "users/x").json()["error"]
    assert set(error["innerError"]) == {"date", "request-id", "client-request-id"}
