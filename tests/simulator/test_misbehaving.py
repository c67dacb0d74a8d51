"""Each misbehaviour does over HTTP what its entry says, and nothing else."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from entra_pipeline.cli.setup.simulate import simulate
from entra_pipeline.simulator import Control, Simulator
from entra_pipeline.simulator.faults.misbehave import MISBEHAVIOURS
from entra_pipeline.simulator.faults.misbehave.text import parse_misbehaviour
from tests.simulator.conftest import Client
from tests.support.s3 import free_ports

Body = dict[str, Any]


def ids(items: list[Body]) -> list[str]:
    return [item["id"] for item in items]


def count(client: Client, path: str) -> int:
    answer = client.send("GET", f"{path}/$count", ConsistencyLevel="eventual")
    assert answer.status_code == 200, answer.text
    return int(answer.text)


def group_with(client: Client, kind: str = "user") -> tuple[str, list[str]]:
    """The largest group that has members of the kind, and their ids."""
    members: dict[str, list[str]] = {}
    for group, member, type_name in sorted(client.simulator.control.edges("groups", "members")):
        if type_name == kind:
            members.setdefault(group, []).append(member)
    return max(members.items(), key=lambda one: len(one[1]))


def in_delta(client: Client, group: str) -> list[str]:
    items, _ = client.round("groups/delta?$select=id,displayName,members")
    return [one["id"] for item in items if item["id"] == group for one in item.get("members@delta", ())]


def owned_application(client: Client) -> tuple[str, list[str]]:
    owners: dict[str, list[str]] = {}
    for application, owner, _ in sorted(client.simulator.control.edges("applications", "owners")):
        owners.setdefault(application, []).append(owner)
    return max(owners.items(), key=lambda one: len(one[1]))


# --- views that disagree ----------------------------------------------------------------------------------------------


def test_members_hidden_in_list_and_count_are_in_expand_and_delta(client: Client) -> None:
    group, users = group_with(client)
    control = client.simulator.control
    control.add_link(f"groups/{group}/members", control.dump("servicePrincipals")[0]["id"])
    principal = control.dump("servicePrincipals")[0]["id"]
    control.misbehave("members-hidden", "groups/*/members", types=["servicePrincipal"])
    listed = client.all(f"groups/{group}/members")
    assert principal not in ids(listed)
    assert set(users) <= set(ids(listed))
    assert count(client, f"groups/{group}/members") == len(listed)
    assert principal in in_delta(client, group)
    control.misbehave("members-hidden", "groups/*/members", views=["delta"], types=["servicePrincipal"])
    assert principal not in in_delta(client, group)


@pytest.mark.parametrize("view", ["list", "count", "expand", "delta"])
def test_a_member_can_be_hidden_in_any_one_view(view: str, client: Client) -> None:
    group, users = group_with(client)
    control = client.simulator.control
    smaller = sorted(ids(client.get(f"groups/{group}?$expand=members")["members"]))
    control.misbehave("members-hidden", "groups/*/members", objects=[group], views=[view], members=[smaller[0]])
    shown = {
        "list": smaller[0] in ids(client.all(f"groups/{group}/members")),
        "count": count(client, f"groups/{group}/members") == len(control_members(client, group)),
        "expand": smaller[0] in ids(client.get(f"groups/{group}?$expand=members")["members"]),
        "delta": smaller[0] in in_delta(client, group),
    }
    assert shown == {name: name != view for name in shown}
    assert len(users) > 1


def control_members(client: Client, group: str) -> list[str]:
    return [member for source, member, _ in client.simulator.control.edges("groups", "members") if source == group]


def test_a_share_of_members_stays_hidden_on_every_page_and_in_the_count(client: Client) -> None:
    group, users = group_with(client)
    client.simulator.control.misbehave("members-hidden", f"groups/{group}/members", probability=0.3)
    first = ids(client.all(f"groups/{group}/members?$top=5"))
    assert first == ids(client.all(f"groups/{group}/members"))
    assert 0 < len(first) < len(users)
    assert count(client, f"groups/{group}/members") == len(first)
    answer = client.get(f"groups/{group}/members?$count=true", ConsistencyLevel="eventual")
    assert answer["@odata.count"] == len(first)


def test_a_single_relation_that_is_hidden_is_none(client: Client) -> None:
    control = client.simulator.control
    user, manager, _ = sorted(control.edges("users", "manager"))[0]
    control.misbehave("members-hidden", "users/*/manager", members=[manager], views=["list", "expand"])
    assert client.send("GET", f"users/{user}/manager").status_code == 404
    assert "manager" not in client.get(f"users/{user}?$expand=manager")


def test_hidden_membership_shows_no_member_in_any_view(client: Client) -> None:
    group, users = group_with(client)
    control = client.simulator.control
    control.misbehave("hidden-membership")
    assert len(client.all(f"groups/{group}/members")) >= len(users)
    control.patch(f"groups/{group}", {"visibility": "HiddenMembership"})
    assert client.all(f"groups/{group}/members") == []
    assert count(client, f"groups/{group}/members") == 0
    assert client.get(f"groups/{group}?$expand=members")["members"] == []
    assert in_delta(client, group) == []
    roles = control.roles(client.simulator.client_id)
    control.roles(client.simulator.client_id, [*roles, "Member.Read.Hidden"])
    client.sign_in()
    assert set(users) <= set(ids(client.all(f"groups/{group}/members")))


def test_another_type_in_one_view(client: Client) -> None:
    group, _ = group_with(client)
    control = client.simulator.control
    principal = control.dump("servicePrincipals")[0]["id"]
    control.add_link(f"groups/{group}/members", principal)
    control.misbehave("another-type", "groups/*/members")
    types = {one["id"]: one["@odata.type"] for one in client.all(f"groups/{group}/members")}
    assert types[principal] == "#microsoft.graph.agentIdentity"
    assert {name for key, name in types.items() if key != principal} <= {
        "#microsoft.graph.user",
        "#microsoft.graph.group",
    }
    items, _ = client.round("groups/delta?$select=id,members")
    told = {one["id"]: one["@odata.type"] for item in items for one in item.get("members@delta", ())}
    assert told[principal] == "#microsoft.graph.servicePrincipal"


def test_expand_cut_has_a_link_to_the_rest(client: Client) -> None:
    application, _ = owned_application(client)
    control = client.simulator.control
    for user in control.dump("users")[:12]:
        control.add_link(f"applications/{application}/owners", user["id"])
    whole = client.all(f"applications/{application}/owners")
    control.misbehave("expand-cut", limit=4)
    shown = next(one for one in client.all("applications?$expand=owners") if one["id"] == application)
    assert ids(shown["owners"]) == ids(whole)[:4]
    assert ids(client.all(shown["owners@odata.nextLink"])) == ids(whole)[4:]


@pytest.mark.parametrize("absent", [False, True])
def test_expand_null_hides_the_relation_and_not_the_object(absent: bool, client: Client) -> None:
    application, owners = owned_application(client)
    client.simulator.control.misbehave("expand-null", objects=[application], absent=absent)
    shown = {one["id"]: one for one in client.all("applications?$expand=owners")}
    assert ("owners" in shown[application], shown[application].get("owners")) == (not absent, None)
    assert all(isinstance(one["owners"], list) for key, one in shown.items() if key != application)
    assert set(owners) == set(ids(client.all(f"applications/{application}/owners")))


@pytest.mark.parametrize("view", ["list", "count", "delta"])
def test_objects_are_hidden_in_one_view_of_their_set(view: str, client: Client) -> None:
    hidden = client.simulator.control.dump("groups")[2]["id"]
    client.simulator.control.misbehave("objects-hidden", "groups", objects=[hidden], views=[view])
    shown = {
        "list": hidden in ids(client.all("groups")),
        "count": count(client, "groups") == 12,
        "delta": hidden in ids(client.round("groups/delta")[0]),
    }
    assert shown == {name: name != view for name in shown}
    listed = client.get("groups?$count=true&$top=1", ConsistencyLevel="eventual")
    assert listed["@odata.count"] == (11 if view == "count" else 12)
    assert client.get(f"groups/{hidden}")["id"] == hidden


def test_a_count_is_wrong(client: Client) -> None:
    client.simulator.control.misbehave("count-wrong", "groups/$count", fewer=3)
    assert count(client, "groups") == 9
    assert client.get("groups?$count=true", ConsistencyLevel="eventual")["@odata.count"] == 9
    assert count(client, "users") == 60


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_owner_not_found_though_it_lives(client: Client) -> None:
    application, _ = owned_application(client)
    client.simulator.control.misbehave("owner-not-found", "applications/*/owners", objects=[application], times=2)
    path = f"applications/{application}/owners"
    assert [client.send("GET", path).status_code for _ in range(3)] == [404, 404, 200]
    assert client.send("GET", f"applications/{application}").status_code == 200


def test_one_relation_of_one_object_fails_for_ever(client: Client) -> None:
    application, _ = owned_application(client)
    control = client.simulator.control
    other = next(one["id"] for one in control.dump("applications") if one["id"] != application)
    control.misbehave("fails", "applications/*/owners", objects=[application], status=403, code="Denied")
    assert client.refused("GET", f"applications/{application}/owners")[:2] == (403, "Denied")
    assert client.send("GET", f"applications/{other}/owners").status_code == 200
    items = [
        {"id": str(n), "method": "GET", "url": f"applications/{i}/owners"} for n, i in enumerate((application, other))
    ]
    parts = client.send("POST", "$batch", {"requests": items}).json()["responses"]
    assert {part["id"]: part["status"] for part in parts} == {"0": 403, "1": 200}


def test_count_fails_while_lists_do_not(client: Client) -> None:
    client.simulator.control.misbehave("count-fails", "groups/$count")
    assert client.refused("GET", "groups/$count", ConsistencyLevel="eventual")[0] == 500
    assert client.send("GET", "groups?$count=true", ConsistencyLevel="eventual").status_code == 500
    assert count(client, "users") == 60
    assert client.all("groups")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("next-page-fails", (404, "Request_ResourceNotFound")),
        ("page-token-expired", (400, "Directory_ExpiredPageToken")),
    ],
)
def test_a_later_page_is_refused(name: str, expected: tuple[int, str], client: Client) -> None:
    first = client.get("users?$top=25")
    client.simulator.control.misbehave(name, times=1)
    assert client.get("users?$top=25")["@odata.nextLink"]
    assert client.refused("GET", first["@odata.nextLink"])[:2] == expected
    assert len(client.all(first["@odata.nextLink"])) == 35


def test_throttled_with_a_fraction_of_a_second_for_a_time(client: Client) -> None:
    client.simulator.control.misbehave("throttled", "users", seconds=0.5)
    answer = client.send("GET", "users")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "0.249")
    assert client.send("GET", "groups").status_code == 200
    deadline = time.monotonic() + 30
    while client.send("GET", "users").status_code == 429:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_token_expires_inside_a_batch_only(client: Client) -> None:
    client.simulator.control.misbehave("token-expired", only="batch", times=1)
    assert client.send("GET", "users").status_code == 200
    items = [{"id": str(number), "method": "GET", "url": "users?$top=1"} for number in range(3)]
    answer = client.send("POST", "$batch", {"requests": items})
    parts = {part["id"]: part for part in answer.json()["responses"]}
    assert answer.status_code == 200
    assert [parts[name]["status"] for name in "012"] == [401, 200, 200]
    assert parts["0"]["body"]["error"]["code"] == "InvalidAuthenticationToken"


def test_a_large_page_size_is_refused_and_a_smaller_one_is_not(client: Client) -> None:
    client.simulator.control.misbehave("page-size-refused", largest=100)
    assert client.refused("GET", "users?$top=999")[0] == 400
    assert len(client.all("users?$top=50")) == 60


def test_a_long_url_is_refused(client: Client) -> None:
    client.simulator.control.misbehave("url-too-long", longest=400)
    assert client.send("GET", "users?$select=id,displayName").status_code == 200
    assert client.refused("GET", f"users?$select={','.join(['displayName'] * 60)}")[:2] == (414, "RequestUriTooLong")


# --- bodies -----------------------------------------------------------------------------------------------------------


def test_an_error_with_status_200_alone_and_in_a_batch(client: Client) -> None:
    client.simulator.control.misbehave("error-body", "policies/authorizationPolicy", code="UnknownError")
    assert client.get("policies/authorizationPolicy")["error"]["code"] == "UnknownError"
    items = [{"id": "1", "method": "GET", "url": "policies/authorizationPolicy"}]
    (part,) = client.send("POST", "$batch", {"requests": items}).json()["responses"]
    assert (part["status"], part["body"]["error"]["code"]) == (200, "UnknownError")
    assert "value" in client.get("users")


@pytest.mark.parametrize("body", ["text", None, [1]])
def test_a_part_of_a_batch_whose_body_is_no_object(body: Any, client: Client) -> None:
    client.simulator.control.misbehave("wrong-body", "users/*", only="batch", body=body)
    user = client.simulator.control.dump("users")[0]["id"]
    items = [{"id": "1", "method": "GET", "url": f"users/{user}"}]
    (part,) = client.send("POST", "$batch", {"requests": items}).json()["responses"]
    assert (part["status"], part["body"]) == (200, body)
    assert client.get(f"users/{user}")["id"] == user


@pytest.mark.parametrize(("name", "value"), [("element-null", None), ("element-not-object", "text")])
def test_an_element_that_is_no_object_beside_all_others(name: str, value: Any, client: Client) -> None:
    whole = client.all("groups")
    control = client.simulator.control
    control.misbehave(name, "groups")
    assert client.all("groups") == [*whole, value]
    control.behave(name)
    control.misbehave(name, "groups", objects=[whole[3]["id"]])
    assert client.all("groups") == [*whole[:3], value, *whole[4:]]


@pytest.mark.parametrize("null", [False, True])
def test_an_element_without_id(null: bool, client: Client) -> None:
    group, members = group_with(client)
    client.simulator.control.misbehave("element-without-id", "groups/*/members", objects=[members[0]], null=null)
    odd = [one for one in client.all(f"groups/{group}/members") if one.get("id") is None]
    assert len(odd) == 1
    assert ("id" in odd[0]) is null


@pytest.mark.parametrize("name", ["element-null", "element-not-object", "element-without-id"])
@pytest.mark.parametrize(
    ("path", "within"), [("groups/delta?$select=id,members", "members@delta"), ("groups?$expand=members", "members")]
)
def test_an_unreadable_link_among_those_of_an_object(name: str, path: str, within: str, client: Client) -> None:
    _, members = group_with(client)
    control = client.simulator.control
    healthy = client.get(path)["value"]
    control.misbehave(name, path.partition("?")[0], objects=[members[0]], within=within)
    changed = [
        (old, new)
        for before, after in zip(healthy, client.get(path)["value"], strict=True)
        for old, new in zip(before.get(within, ()), after.get(within, ()), strict=True)
        if old != new
    ]
    assert changed
    assert {old["id"] for old, _ in changed} == {members[0]}
    assert not [new for _, new in changed if isinstance(new, dict) and "id" in new]


@pytest.mark.parametrize("value", [None, {"id": "x"}, "text"])
def test_a_property_of_another_kind(value: Any, client: Client) -> None:
    group, _ = group_with(client)
    client.simulator.control.misbehave("wrong-kind", "groups/delta", objects=[group], value=value)
    items, _ = client.round("groups/delta?$select=id,members")
    held = {item["id"]: item["members@delta"] for item in items if "members@delta" in item}
    assert held[group] == value
    assert all(isinstance(one, list) for key, one in held.items() if key != group)


@pytest.mark.parametrize(("name", "raw"), [("not-utf8", b"\xff\xfe"), ("lone-surrogate", b"\\ud800")])
def test_text_that_no_encoder_writes(name: str, raw: bytes, client: Client) -> None:
    user = client.simulator.control.dump("users")[4]["id"]
    healthy = client.send("GET", "users")
    client.simulator.control.misbehave(name, "users", objects=[user])
    answer = client.send("GET", "users")
    assert raw in answer.content
    assert raw not in healthy.content
    decoded = json.loads(answer.content.replace(raw, b""))["value"]
    changed = [new for old, new in zip(healthy.json()["value"], decoded, strict=True) if old != new]
    assert [(one["id"], one["displayName"]) for one in changed] == [(user, "Broken  text")]


def test_a_byte_order_mark(client: Client) -> None:
    client.simulator.control.misbehave("byte-order-mark", "users")
    answer = client.send("GET", "users")
    assert answer.content.startswith(b"\xef\xbb\xbf{")
    assert json.loads(answer.content.decode("utf-8-sig"))["value"]


# --- links ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["users?$top=20", "users/delta", "groups"])
def test_pages_without_end(path: str, client: Client) -> None:
    client.simulator.control.misbehave("endless-pages", path.partition("?")[0], times=6)
    seen: dict[str, list[str]] = {}
    link = path
    for _ in range(6):
        page = client.get(link)
        assert "@odata.deltaLink" not in page
        link = page["@odata.nextLink"]
        assert link not in seen
        seen[link] = ids(page["value"])
    assert len({tuple(page) for page in seen.values()}) == 1
    assert "value" in client.get(link)


def test_a_link_to_another_host(client: Client) -> None:
    client.simulator.control.misbehave("foreign-link", "users/delta", root="http://127.0.0.1:9")
    _, link = client.round("users/delta?$select=displayName")
    assert link.startswith("http://127.0.0.1:9/v1.0/users/delta?$deltatoken=")
    client.simulator.control.misbehave("foreign-link", "users", links=["@odata.nextLink"])
    assert client.get("users?$top=5")["@odata.nextLink"].startswith("https://graph.example.net/v1.0/users?")


def test_a_link_to_another_set(client: Client) -> None:
    client.simulator.control.misbehave("other-set-link", "users/delta")
    _, link = client.round("users/delta?$select=displayName")
    assert link.endswith("/v1.0/groups/delta?$deltatoken=latest")
    assert client.get(link)["value"] == []
    client.simulator.control.misbehave("other-set-link", "directoryRoles", links=["@odata.nextLink"])
    link = client.get("directoryRoles")["@odata.nextLink"]
    assert link.endswith("/v1.0/groups")
    assert len(client.get(link)["value"]) == 12


def test_ids_in_capitals(client: Client) -> None:
    client.simulator.control.misbehave("ids-in-capitals", "groups")
    shown = ids(client.get("groups?$expand=members")["value"])
    assert shown == [one.upper() for one in shown]
    client.simulator.control.behave()
    assert sorted(ids(client.get("groups")["value"])) == sorted(one.lower() for one in shown)


def test_an_empty_delta_link(client: Client) -> None:
    client.simulator.control.misbehave("empty-delta-link", "groups/delta")
    items, link = client.round("groups/delta")
    assert link == ""
    assert len(items) == 12


# --- signing in -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "status", "text"), [("sign-in-unavailable", 503, "html"), ("sign-in-transient", 400, "AADSTS90033")]
)
def test_signing_in_fails_for_a_while(name: str, status: int, text: str, client: Client) -> None:
    simulator = client.simulator
    simulator.control.misbehave(name, times=2)
    statuses = []
    for _ in range(3):
        answer = httpx.post(
            f"{simulator.authority}/{simulator.tenant_id}/oauth2/v2.0/token",
            data={"client_id": "nobody", "grant_type": "client_credentials"},
            verify=False,
            trust_env=False,
        )
        statuses.append((answer.status_code, text in answer.text))
    assert statuses == [(status, True), (status, True), (400, False)]


# --- the registry -----------------------------------------------------------------------------------------------------


def test_what_is_set_is_listed_counted_and_ended(client: Client) -> None:
    control = client.simulator.control
    control.misbehave("error-body", "users", times=1)
    control.misbehave("count-fails")
    client.get("users")
    client.get("users")
    assert [(one["name"], one["struck"], one["over"]) for one in control.misbehaviours()] == [
        ("error-body", 1, True),
        ("count-fails", 0, False),
    ]
    control.behave("error-body")
    assert [one["name"] for one in control.misbehaviours()] == ["count-fails"]
    control.behave()
    assert control.misbehaviours() == []


@pytest.mark.parametrize(
    ("name", "values", "text"),
    [
        ("nothing", {}, "no such misbehaviour"),
        ("error-body", {"colour": 1}, "not colour"),
        ("fails", {"probability": 2}, "between 0 and 1"),
        ("fails", {"only": "x"}, "batch or single"),
    ],
)
def test_what_cannot_be_set_is_explained(name: str, values: Body, text: str, client: Client) -> None:
    with pytest.raises(RuntimeError, match=text):
        client.simulator.control.misbehave(name, **values)


def test_the_same_seed_strikes_the_same_requests() -> None:
    def struck() -> list[int]:
        with Simulator(users=20, groups=3, seed=9) as simulator:
            client = Client(simulator)
            simulator.control.misbehave("fails", "users", probability=0.4)
            statuses = [client.send("GET", "users?$top=5").status_code for _ in range(30)]
            client.http.close()
            return statuses

    first = struck()
    assert first == struck()
    assert set(first) == {200, 500}


def test_all_at_once_leave_every_answer_an_answer(client: Client) -> None:
    control = client.simulator.control
    control.misbehave("all", probability=0.02)
    assert [one["name"] for one in control.misbehaviours()] == list(MISBEHAVIOURS)
    group, _ = group_with(client)
    paths = ("users", "groups?$expand=owners", f"groups/{group}/members", "users/delta", "policies/authorizationPolicy")
    statuses = {client.send("GET", path).status_code for _ in range(60) for path in paths}
    assert 200 in statuses
    assert statuses <= {200, 302, 400, 401, 404, 414, 429, 500}
    assert sum(one["struck"] > 0 for one in control.misbehaviours()) > 5


def test_what_is_wrong_with_a_list_leaves_alone_what_is_no_list_any_more(client: Client) -> None:
    control = client.simulator.control
    group, _ = group_with(client)
    control.misbehave("wrong-body", body={})
    control.misbehave("another-type", "groups/*/members", type="user", shown_as="agentIdentity")
    answer = client.send("GET", f"groups/{group}/members")
    assert (answer.status_code, answer.json()) == (200, {})


def test_the_command_line_reads_lists_numbers_and_words() -> None:
    assert parse_misbehaviour("members-hidden path=groups/*/members types=user,device probability=0.5") == (
        "members-hidden",
        {"path": "groups/*/members", "types": ["user", "device"], "probability": 0.5},
    )
    assert parse_misbehaviour("throttled retry_after=1 times=3") == ("throttled", {"retry_after": "1", "times": 3})
    assert parse_misbehaviour("wrong-body body=null") == ("wrong-body", {"body": None})
    for text in ("nothing", "fails 5", ""):
        with pytest.raises(ValueError, match=r"no such|expected"):
            parse_misbehaviour(text)


def test_every_misbehaviour_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text()
    for one in MISBEHAVIOURS.values():
        (row,) = (line for line in page.splitlines() if line.startswith(f"| `{one.name}` |"))
        assert row.startswith(f"| `{one.name}` | {one.summary} |")
        assert not {name for name in one.options if f"`{name}" not in row}


def test_the_command_serves_a_tenant_that_misbehaves() -> None:
    # The port after it has TLS.
    port = free_ports(2)
    command = "import sys; from entra_pipeline.cli import main; sys.argv[0] = 'entra-pipeline'; main()"
    arguments = ["simulate", "--users", "5", "--groups", "1", "--port", str(port)]
    misbehaving = ["--misbehave", "sign-in-unavailable times=1", "--misbehave", "members-hidden types=user,device"]
    with subprocess.Popen(
        [sys.executable, "-c", command, *arguments, *misbehaving],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert "serving 5 users" in process.stderr.readline()
        control = Control(f"http://127.0.0.1:{port}")
        assert [one["name"] for one in control.misbehaviours()] == ["sign-in-unavailable", "members-hidden"]
        control.close()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 0


@pytest.mark.parametrize("text", ["nothing", "fails times", "fails colour=red"])
def test_the_command_explains_a_misbehaviour_it_does_not_know(text: str) -> None:
    port = free_ports(2)
    result = CliRunner().invoke(simulate, ["--users", "2", "--groups", "0", "--port", str(port), "--misbehave", text])
    assert result.exit_code == 2
    assert "--misbehave" in result.output
