"""JSON batching."""

from __future__ import annotations

from typing import Any

import pytest

from entra_pipeline.simulator import Simulator
from tests.simulator.conftest import Client


def item(number: object, url: str = "/users?$top=1", **more: Any) -> dict[str, Any]:
    return {"id": str(number), "method": "GET", "url": url, **more}


def test_every_request_has_its_own_answer(reader: Client) -> None:
    urls = ["/users?$top=1&$select=id", "/users/nobody", "users/$count", "/nowhere"]
    requests = [item(n, url, headers={"ConsistencyLevel": "eventual"}) for n, url in enumerate(urls)]
    answer = reader.send("POST", "$batch", {"requests": requests})
    assert answer.status_code == 200
    found = {response["id"]: response for response in answer.json()["responses"]}
    assert {number: response["status"] for number, response in found.items()} == {
        "0": 200,
        "1": 404,
        "2": 200,
        "3": 400,
    }
    assert found["0"]["body"]["value"]
    assert found["0"]["headers"]["x-ms-resource-unit"] == "1"
    assert found["1"]["body"]["error"]["code"] == "Request_ResourceNotFound"
    assert found["2"]["body"] == 300


def test_answers_come_in_any_order(reader: Client) -> None:
    requests = [item(n) for n in range(20)]
    found = [response["id"] for response in reader.send("POST", "$batch", {"requests": requests}).json()["responses"]]
    assert sorted(found, key=int) == [str(n) for n in range(20)]
    assert found != [str(n) for n in range(20)]


@pytest.mark.parametrize(
    "requests",
    [
        [],
        [item(n) for n in range(21)],
        [item("a"), item("A")],
        [{"id": "1", "url": "/users"}],
        [item(1, "https://graph.microsoft.com/v1.0/users")],
        [item(1, "/$batch")],
        [{"id": "1", "method": "POST", "url": "/groups", "body": {}}],
        [item(1, dependsOn=["2"]), item(2)],
        [item(1), item(2, dependsOn=["1"]), item(3)],
    ],
)
def test_a_malformed_batch_is_refused_whole(requests: list[dict[str, Any]], reader: Client) -> None:
    assert reader.refused("POST", "$batch", {"requests": requests})[:2] == (400, "BadRequest")


def test_what_depends_on_a_failure_fails(reader: Client) -> None:
    requests = [item(1, "/users/nobody"), item(2, dependsOn=["1"]), item(3, dependsOn=["2"])]
    responses = reader.send("POST", "$batch", {"requests": requests}).json()["responses"]
    assert {r["id"]: r["status"] for r in responses} == {"1": 404, "2": 424, "3": 424}


def test_items_are_throttled_on_their_own(simulator: Simulator, client: Client) -> None:
    requests = [item(n, "/identity/conditionalAccess/policies") for n in range(3)] + [item("u")]
    responses = {r["id"]: r for r in client.send("POST", "$batch", {"requests": requests}).json()["responses"]}
    statuses = [responses[str(n)]["status"] for n in range(3)]
    assert statuses.count(429) == 2
    assert responses["u"]["status"] == 200
    simulator.control.faults(1.0, ["429"])
    refused = client.send("POST", "$batch", {"requests": [item(1)]})
    assert refused.status_code == 429


def test_writes_in_a_batch(writer: Client) -> None:
    body = {"displayName": "B", "mailEnabled": False, "mailNickname": "b", "securityEnabled": True}
    requests = [
        {"id": "1", "method": "POST", "url": "/groups", "body": body, "headers": {"Content-Type": "application/json"}}
    ]
    response = writer.send("POST", "$batch", {"requests": requests}).json()["responses"][0]
    assert response["status"] == 201
    assert writer.get(f"groups/{response['body']['id']}")["displayName"] == "B"


def test_a_batch_needs_a_token(reader: Client) -> None:
    assert reader.send("POST", "$batch", {"requests": [item(1)]}, Authorization="Bearer x").status_code == 401
