"""Throttling with its headers, injected faults, and the ledger that counts both."""

from __future__ import annotations

import httpx
import msgspec
import pytest

from entra_pipeline.simulator import Simulator
from tests.simulator.conftest import Client


@pytest.mark.parametrize(
    ("path", "units"),
    [
        ("users", 2),
        ("users?$select=id", 1),
        ("users?$select=id&$top=5", 1),
        ("users?$expand=manager", 3),
        ("applications", 2),
        ("subscribedSkus", 3),
        ("oauth2PermissionGrants", 2),
        ("groups", 1),
        ("groups?$expand=owners&$select=id", 1),
    ],
)
def test_requests_cost_what_the_table_says(path: str, units: int, reader: Client) -> None:
    assert reader.send("GET", path).headers["x-ms-resource-unit"] == str(units)


def test_relations_cost_more(reader: Client) -> None:
    group = reader.get("groups?$top=1")["value"][0]["id"]
    assert reader.send("GET", f"groups/{group}/members").headers["x-ms-resource-unit"] == "3"
    assert reader.send("GET", f"groups/{group}/members?$select=id").headers["x-ms-resource-unit"] == "2"
    assert reader.send("GET", f"groups/{group}/transitiveMembers").headers["x-ms-resource-unit"] == "5"
    answer = reader.send("POST", "directoryObjects/getByIds", {"ids": [group]})
    assert answer.headers["x-ms-resource-unit"] == "5"


def test_conditional_access_takes_one_request_a_second_and_does_not_say_when(client: Client) -> None:
    answers = [client.send("GET", "identity/conditionalAccess/policies") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 429, 429]
    assert "retry-after" not in answers[1].headers
    assert answers[1].json()["error"]["code"] == "TooManyRequests"
    assert answers[1].json()["error"]["innerError"]["status"] == "429"


def test_resource_units_run_out(simulator: Simulator, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    # They come back so slowly that the busiest machine spends them faster.
    monkeypatch.setattr("entra_pipeline.simulator.faults.throttle._WINDOW", 10_000.0)
    group = client.get("groups?$top=1")["value"][0]["id"]
    requests = [{"id": str(n), "method": "GET", "url": f"/groups/{group}/transitiveMembers"} for n in range(20)]
    refused: list[dict[str, str]] = []
    warned = False
    for _ in range(120):
        for response in client.send("POST", "$batch", {"requests": requests}).json()["responses"]:
            headers = {name.lower(): value for name, value in response["headers"].items()}
            warned |= "x-ms-throttle-limit-percentage" in headers
            if response["status"] == 429:
                refused.append(headers)
        if refused:
            break
    assert refused
    assert warned
    assert int(refused[0]["retry-after"]) >= 1
    assert refused[0]["x-ms-throttle-information"] == "ResourceUnitLimitExceeded"
    assert (
        refused[0]["x-ms-throttle-scope"] == f"Tenant_Application/ReadWrite/{simulator.client_id}/{simulator.tenant_id}"
    )
    simulator.control.knobs(throttle_units=False)
    assert client.send("GET", "users").status_code == 200


@pytest.mark.parametrize(
    ("kind", "status", "retry_after"),
    [("429", 429, True), ("429-no-retry-after", 429, False), ("503", 503, False), ("504", 504, False)],
)
def test_faults_that_refuse(kind: str, status: int, retry_after: bool, simulator: Simulator, client: Client) -> None:
    simulator.control.faults(1.0, [kind])
    answer = client.send("GET", "users")
    assert answer.status_code == status
    assert ("retry-after" in answer.headers) == retry_after
    assert answer.json()["error"]["code"]


@pytest.mark.parametrize("kind", ["reset", "short"])
def test_connections_that_break_off(kind: str, simulator: Simulator, client: Client) -> None:
    simulator.control.faults(1.0, [kind])
    with pytest.raises(httpx.RemoteProtocolError):
        client.send("GET", "users")
    simulator.control.faults(0)
    assert client.send("GET", "users").status_code == 200


def test_bodies_that_are_cut(simulator: Simulator, client: Client) -> None:
    simulator.control.faults(1.0, ["truncated"])
    answer = client.send("GET", "users")
    assert answer.status_code == 200
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(answer.content)


def test_the_rate_of_faults(simulator: Simulator, client: Client) -> None:
    simulator.control.faults(0.25, ["503"])
    failed = sum(client.send("GET", "domains").status_code == 503 for _ in range(200))
    assert 25 <= failed <= 75


def test_the_ledger(simulator: Simulator, client: Client) -> None:
    simulator.control.ledger(reset=True)
    client.send("GET", "users?$select=id")
    client.send("GET", "groups/nope")
    ledger = simulator.control.ledger(entries=True)
    assert (ledger["requests"], ledger["units"]) == (2, 2)
    assert ledger["statuses"] == {"200": 1, "404": 1}
    assert ledger["sets"] == {"user": 1, "group": 1}
    assert ledger["entries"][0] == {"method": "GET", "path": "users", "query": "$select=id", "status": 200, "units": 1}


def test_the_control_api_explains_a_wrong_order(simulator: Simulator) -> None:
    for order in (
        lambda: simulator.control.order("dance"),
        lambda: simulator.control.knobs(colour="red"),
        lambda: simulator.control.faults(1, ["fire"]),
        lambda: simulator.control.expire_delta_links("somehow"),
        lambda: simulator.control.patch("users/nobody", {}),
        lambda: simulator.control.order("patch", wrong=1),
    ):
        with pytest.raises(RuntimeError):
            order()
