"""The simulated tenant's logs, as Graph lists them."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from entra_pipeline.simulator import Simulator
from tests.simulator.conftest import Client

TIMES = {
    "auditLogs/directoryAudits": "activityDateTime",
    "auditLogs/signIns": "createdDateTime",
    "auditLogs/provisioning": "activityDateTime",
}


@pytest.fixture(autouse=True)
def _no_lanes(request: pytest.FixtureRequest) -> None:
    """The slow lane is a matter of the test of limits below."""
    for name in ("shared", "simulator"):
        if name in request.fixturenames:
            request.getfixturevalue(name).control.knobs(throttle_lanes=False)


def day(days_ago: int) -> str:
    return f"{datetime.now(UTC) - timedelta(days=days_ago):%Y-%m-%dT00:00:00Z}"


def between(name: str, first: str, end: str) -> str:
    return f"$filter={name} ge {first} and {name} lt {end}"


def ids(items: list[dict[str, Any]]) -> list[str]:
    return [item["id"] for item in items]


@pytest.mark.parametrize("path", TIMES)
def test_a_month_is_kept_newest_first_and_every_entry_once(path: str, shared: Simulator, reader: Client) -> None:
    listed = reader.all(path)
    times = [item[TIMES[path]] for item in listed]
    assert times == sorted(times, reverse=True)
    assert len({time[:10] for time in times}) in {30, 31}
    truth = shared.control.log(path)
    # The window moves with the clock, and entries come while the test runs.
    assert len(set(ids(listed)) ^ set(ids(truth))) <= 3
    assert len(set(ids(listed))) == len(listed)


@pytest.mark.parametrize("path", TIMES)
def test_a_window_of_time_in_pages_of_any_size(path: str, reader: Client) -> None:
    name = TIMES[path]
    first, end = day(4), day(2)
    window = between(name, first, end)
    whole = reader.all(f"{path}?{window}")
    assert {item[name][:10] for item in whole} == {day(4)[:10], day(3)[:10]}
    assert ids(reader.all(f"{path}?{window}&$top=7")) == ids(whole)
    assert ids(reader.all(f"{path}?{window}&$orderby={name} asc&$top=50")) == ids(whole)[::-1]
    middle = whole[len(whole) // 2][name]
    before = reader.all(f"{path}?{between(name, first, middle)}")
    since = reader.all(f"{path}?{between(name, middle, end)}")
    assert ids(since) + ids(before) == ids(whole)


def test_the_same_entry_is_the_same_every_time(shared: Simulator, reader: Client) -> None:
    first = reader.get(f"auditLogs/signIns?{between('createdDateTime', day(3), day(2))}&$top=3")["value"]
    again = reader.get(f"auditLogs/signIns/{first[1]['id']}")
    assert {name: again[name] for name in first[1]} == first[1]
    assert again["userId"] in {user["id"] for user in shared.control.dump("users")}
    mine = reader.all(
        f"auditLogs/signIns?{between('createdDateTime', day(3), day(2))} and userId eq '{again['userId']}'"
    )
    assert again["id"] in ids(mine)
    assert {item["userId"] for item in mine} == {again["userId"]}


@pytest.mark.parametrize(
    "query",
    [
        "$filter=nothing eq 'x'",
        "$filter=createdDateTime ge yesterday",
        "$filter=createdDateTime ge 2026-99-01T00:00:00Z",
        "$filter=userId ne 'x'",
        "$top=1001",
        "$orderby=userId",
        "$select=nothing",
    ],
)
def test_what_a_log_does_not_understand(query: str, reader: Client) -> None:
    assert reader.send("GET", f"auditLogs/signIns?{query}").status_code == 400
    assert reader.send("POST", "auditLogs/signIns", {}).status_code in {403, 405}
    assert reader.refused("GET", "auditLogs/signIns/nobody")[0] == 404


def test_what_is_done_is_taken_down(simulator: Simulator, writer: Client) -> None:
    before = set(ids(simulator.control.log("auditLogs/directoryAudits")))
    domain = simulator.control.dump("users")[0]["userPrincipalName"].partition("@")[2]
    user = writer.send(
        "POST",
        "users",
        {
            "displayName": "Adele",
            "userPrincipalName": f"adele@{domain}",
            "mailNickname": "adele",
            "accountEnabled": True,
            "passwordProfile": {"password": "Correct-Horse-1"},
        },
    ).json()["id"]
    group = simulator.control.create("groups", {"displayName": "Sales"})
    reference = {"@odata.id": f"{simulator.graph_url}/directoryObjects/{user}"}
    assert writer.send("POST", f"groups/{group}/members/$ref", reference).status_code == 204
    assert writer.send("PATCH", f"users/{user}", {"jobTitle": "Buyer"}).status_code == 204
    assert writer.send("PATCH", f"users/{user}", {"nothing": 1}).status_code == 400
    assert writer.send("DELETE", f"users/{user}").status_code == 204
    assert writer.send("POST", f"directory/deletedItems/{user}/restore").status_code == 200
    new = [one for one in writer.all("auditLogs/directoryAudits?$orderby=activityDateTime") if one["id"] not in before]
    done = [one for one in new if any(target["id"] == user for target in one["targetResources"])]
    assert [one["activityDisplayName"] for one in done] == [
        "Add user",
        "Add member to group",
        "Update user",
        "Delete user",
        "Restore user",
    ]
    assert done[0]["initiatedBy"]["app"]["appId"] == simulator.restore_client_id
    assert "Add group" in {one["activityDisplayName"] for one in new}


def test_late_entries_come_by_and_by(simulator: Simulator, client: Client) -> None:
    simulator.control.knobs(log_lag=6 * 3600)
    window = between("createdDateTime", day(1), day(0))
    times = Counter[str]()
    for _ in range(3):
        times.update(ids(client.all(f"auditLogs/signIns?{window}")))
        simulator.control.clock(2 * 3600)
    simulator.control.knobs(log_lag=0)
    whole = ids(client.all(f"auditLogs/signIns?{window}"))
    assert set(times) <= set(whole)
    # Longer than the window has been over, at whatever time of day.
    simulator.control.knobs(log_lag=100 * 3600)
    assert len(client.all(f"auditLogs/signIns?{window}")) < len(whole)


def test_what_is_too_old_is_gone(simulator: Simulator, client: Client) -> None:
    simulator.control.knobs(log_retention_days=7)
    assert {one["activityDateTime"][:10] for one in client.all("auditLogs/provisioning")} <= {
        day(number)[:10] for number in range(8)
    }
    assert not client.all(f"auditLogs/signIns?{between('createdDateTime', day(20), day(10))}")


def test_sign_ins_take_a_licence_and_all_logs_a_permission(simulator: Simulator, client: Client) -> None:
    simulator.control.unlicensed("auditLogs/signIns")
    status, code, _ = client.refused("GET", "auditLogs/signIns")
    assert (status, code) == (403, "Authentication_RequestFromNonPremiumTenantOrB2CTenant")
    assert client.get("auditLogs/directoryAudits")["value"]
    simulator.control.roles(simulator.client_id, ["User.Read.All"])
    client.sign_in()
    assert client.refused("GET", "auditLogs/directoryAudits")[:2] == (403, "Authorization_RequestDenied")


def test_the_lane_of_reports_is_five_in_ten_seconds(simulator: Simulator, client: Client) -> None:
    simulator.control.knobs(throttle_lanes=True)
    answers = [client.send("GET", "auditLogs/provisioning?$top=1") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert int(answers[5].headers["Retry-After"]) >= 1


def test_a_fresh_tenant_has_logs_without_everyday_entries() -> None:
    with Simulator(empty=True, seed=12) as simulator:
        client = Client(simulator)
        assert [client.get(path)["value"] for path in TIMES] == [[], [], []]
        client.http.close()
