"""What goes wrong with writes: lost answers, reads that lag, writes that collide; and how writes are counted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import httpx
import pytest

from entra_pipeline.simulator import Simulator
from entra_pipeline.simulator.faults.settings import TenantSettings
from entra_pipeline.simulator.faults.throttle import Throttle, cost
from entra_pipeline.simulator.protocol.failures import Failure
from entra_pipeline.simulator.protocol.paths import resolve
from tests.simulator.conftest import Client
from tests.simulator.test_writing import GRAPH, group, made, reference, user


def write(number: object, method: str, url: str, body: Any = None, **more: Any) -> dict[str, Any]:
    item = {"id": str(number), "method": method, "url": url, **more}
    return item if body is None else {**item, "body": body, "headers": {"Content-Type": "application/json"}}


def batch(writer: Client, *items: dict[str, Any]) -> dict[str, dict[str, Any]]:
    answer = writer.send("POST", "$batch", {"requests": list(items)})
    assert answer.status_code == 200, answer.text
    return {response["id"]: response for response in answer.json()["responses"]}


# --- answers that are lost -------------------------------------------------------------------------------------------


def test_a_write_takes_effect_though_its_answer_is_lost(simulator: Simulator, writer: Client) -> None:
    simulator.control.faults(1.0, ["reset-after"], ["POST"])
    with pytest.raises(httpx.RemoteProtocolError):
        writer.send("POST", "groups", group("one"))
    simulator.control.faults(1.0, ["504-after"], ["POST"])
    assert writer.send("POST", "groups", group("two")).status_code == 504
    assert writer.send("GET", "groups").status_code == 200, "only POST fails"
    with_both = {one["mailNickname"] for one in simulator.control.dump("groups")}
    assert {"one", "two"} <= with_both
    assert [(one["status"], one["lost"]) for one in simulator.control.writes()] == [(201, True), (201, True)]
    assert simulator.control.ledger()["written"] == {"POST group": 2}


def test_writes_without_a_body_in_their_answer_are_lost_as_well(simulator: Simulator, writer: Client) -> None:
    one = writer.all("groups?$select=id")[0]["id"]
    simulator.control.faults(1.0, ["reset-after"], ["PATCH", "DELETE"])
    with pytest.raises(httpx.RemoteProtocolError):
        writer.send("DELETE", f"groups/{one}")
    simulator.control.faults(0)
    assert writer.send("GET", f"groups/{one}").status_code == 404


def test_items_of_a_batch_fail_on_their_own(simulator: Simulator, writer: Client) -> None:
    items = [write(n, "PATCH", f"/users/user00000{n}@contoso.com", {"city": "Kiruna"}) for n in (0, 2, 3)]
    for kind, status, changed in (("503", 503, False), ("429", 429, False), ("504-after", 504, True)):
        simulator.control.faults(1.0, [kind], ["PATCH"])
        assert {one["status"] for one in batch(writer, *items).values()} == {status}
        simulator.control.faults(0)
        assert (writer.get("users/user000003@contoso.com?$select=city")["city"] == "Kiruna") == changed
    simulator.control.faults(1.0, ["504-after"], ["POST"])
    new = write(1, "POST", "/groups", group("batched"))
    assert writer.send("POST", "$batch", {"requests": [new]}).status_code == 504, "the whole answer is lost"
    assert [one["mailNickname"] for one in simulator.control.dump("groups")][-1] == "batched"


# --- reads that lag --------------------------------------------------------------------------------------------------


def test_reads_lag_behind_creations_changes_and_links(simulator: Simulator, writer: Client) -> None:
    someone = writer.get("users/user000003@contoso.com?$select=id,city")
    _, link = writer.round("groups/delta")
    simulator.control.knobs(lag=3600.0)
    new = made(writer, "groups", group("late", uniqueName="late"))["id"]
    old = next(one for one in writer.all("groups") if not one["groupTypes"] and not one["onPremisesSyncEnabled"])["id"]
    members = len(writer.all(f"groups/{old}/members"))
    fresh = made(writer, "users", user())["id"]
    assert writer.send("PATCH", f"users/{someone['id']}", {"city": "Elsewhere"}).status_code == 204
    assert writer.send("POST", f"groups/{old}/members/$ref", reference(fresh)).status_code == 204
    # Nothing of it can be read …
    assert writer.refused("GET", f"groups/{new}")[:2] == (404, "Request_ResourceNotFound")
    assert new not in {one["id"] for one in writer.all("groups")}
    assert writer.all("users?$filter=userPrincipalName eq 'new@contoso.com'") == []
    assert writer.get(f"users/{someone['id']}?$select=city")["city"] == someone["city"]
    assert len(writer.all(f"groups/{old}/members")) == members
    assert writer.round(link)[0] == []
    # … though it is there.
    assert "already exists" in writer.refused("POST", "users", user())[2]
    assert "already exist" in writer.refused("POST", f"groups/{old}/members/$ref", reference(fresh))[2]
    simulator.control.knobs(lag=0.0)
    assert writer.get(f"groups/{new}")["id"] == new
    assert writer.get(f"users/{someone['id']}?$select=city")["city"] == "Elsewhere"
    assert len(writer.all(f"groups/{old}/members")) == members + 1
    assert {one["id"] for one in writer.round(link)[0]} == {new, old}


def test_reads_catch_up(simulator: Simulator, writer: Client) -> None:
    simulator.control.knobs(lag=0.05)
    new = made(writer, "groups", group())["id"]
    answers = (writer.send("GET", f"groups/{new}").status_code for _ in range(10_000))
    assert next(status for status in answers if status != 404) == 200


def test_writes_may_not_find_either_what_reads_cannot_see(simulator: Simulator, writer: Client) -> None:
    simulator.control.knobs(lag=3600.0, lag_writes=True)
    old = writer.get("users/user000003@contoso.com")["id"]
    new = made(writer, "groups", group())["id"]
    assert writer.send("PATCH", f"groups/{new}", {"description": "x"}).status_code == 404
    assert writer.send("POST", f"groups/{new}/members/$ref", reference(old)).status_code == 404
    fresh = made(writer, "users", user())["id"]
    bound = {"members@odata.bind": [f"{GRAPH}/directoryObjects/{fresh}"]}
    assert writer.send("POST", "groups", group("two", **bound)).status_code == 404
    simulator.control.knobs(lag=0.0)
    assert writer.send("POST", "groups", group("two", **bound)).status_code == 201


def test_a_part_that_reads_cannot_see_is_no_other_owners(simulator: Simulator, writer: Client) -> None:
    """The languages of user flows have the same ids in each of them."""
    flow, other = [one["id"] for one in writer.all("identity/b2xUserFlows")[:2]]
    simulator.control.knobs(lag=3600.0, lag_writes=True, throttle_lanes=False)
    paths = [f"identity/b2xUserFlows/{one}/languages/eo" for one in (flow, other)]
    language = {"id": "eo", "isEnabled": True}
    assert [writer.send("PUT", path, language).status_code for path in paths] == [204, 204]
    assert writer.send("PATCH", paths[0], {"isEnabled": False}).status_code == 404


# --- writes that collide ---------------------------------------------------------------------------------------------


def test_two_writes_on_one_object_collide_in_a_batch(writer: Client) -> None:
    one = made(writer, "groups", group())["id"]
    users = [item["id"] for item in writer.all("users?$select=id")[:2]]
    items = [write(n, "POST", f"/groups/{one}/members/$ref", reference(users[n])) for n in range(2)]
    answers = batch(writer, *items)
    assert sorted(answer["status"] for answer in answers.values()) == [204, 409]
    refused = next(answer for answer in answers.values() if answer["status"] == 409)
    assert refused["body"]["error"]["code"] == "Directory_ConcurrencyViolation"
    other = made(writer, "groups", group("other"))["id"]
    items = [write(n, "POST", f"/groups/{other}/members/$ref", reference(users[n])) for n in range(2)]
    answers = batch(writer, items[0], {**items[1], "dependsOn": ["0"]})
    assert {answer["status"] for answer in answers.values()} == {204}, "one after the other"


def test_two_writes_on_one_object_collide_at_once(simulator: Simulator, writer: Client) -> None:
    path = "users/user000003@contoso.com"
    simulator.control.latency(0.3)
    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(lambda n: writer.send("PATCH", path, {"city": str(n)}).status_code, range(4)))
    assert sorted(statuses)[0] == 204
    assert sorted(statuses)[-1] == 409
    simulator.control.latency(0)
    assert writer.send("PATCH", path, {"city": "a"}).status_code == 204
    assert writer.send("PATCH", path, {"city": "b"}).status_code == 204
    simulator.control.knobs(settling=3600.0)
    assert writer.send("PATCH", path, {"city": "c"}).status_code == 409
    simulator.control.knobs(collisions=False)
    assert writer.send("PATCH", path, {"city": "c"}).status_code == 204


# --- counting and limits ---------------------------------------------------------------------------------------------


def test_writes_are_counted_and_kept(simulator: Simulator, writer: Client) -> None:
    simulator.control.ledger(reset=True)
    new = made(writer, "groups", group())["id"]
    someone = writer.all("users?$select=id")[0]["id"]
    batch(writer, write(1, "POST", f"/groups/{new}/members/$ref", reference(someone)), write(2, "GET", "/users"))
    writer.send("PATCH", f"groups/{new}", {"colour": "red"})
    writer.send("POST", "directoryObjects/getByIds", {"ids": [new]})
    writer.send("DELETE", f"groups/{new}")
    writer.send("POST", f"directory/deletedItems/{new}/restore")
    ledger = simulator.control.ledger()
    sent = {
        "POST group": 1,
        "POST group/members": 1,
        "PATCH group": 1,
        "DELETE group": 1,
        "POST group/restore": 1,
    }
    assert ledger["writes"] == sent
    assert ledger["written"] == {name: number for name, number in sent.items() if name != "PATCH group"}
    log = simulator.control.writes()
    assert [(one["method"], one["status"], one["batched"]) for one in log] == [
        ("POST", 201, False),
        ("POST", 204, True),
        ("PATCH", 400, False),
        ("DELETE", 204, False),
        ("POST", 200, False),
    ]
    assert log[0]["body"] == group()
    assert log[2]["body"] == {"colour": "red"}
    assert all(one["at"] <= other["at"] for one, other in pairwise(log))
    simulator.control.ledger(reset=True)
    assert simulator.control.writes() == []


def test_writes_are_limited_by_application_and_by_tenant() -> None:
    throttle = Throttle(TenantSettings())
    place = resolve("users")
    price = cost("POST", place, {})

    def refused(client: str) -> tuple[int, dict[str, str]]:
        for number in range(20_000):
            try:
                throttle.admit(client, "t", place, price, 1_000, "")
            except Failure as failure:
                return number, failure.headers
        raise AssertionError("nothing was refused")

    number, headers = refused("app")
    assert 3_000 <= number <= 3_600
    assert headers["x-ms-throttle-information"] == "WriteLimitExceeded"
    assert headers["x-ms-throttle-scope"] == "Tenant_Application/ReadWrite/app/t"
    scopes = [refused(f"app{other}")[1]["x-ms-throttle-scope"] for other in range(6)]
    assert scopes[0] == "Tenant_Application/ReadWrite/app0/t"
    assert scopes[-1] == "Tenant/ReadWrite/t"
