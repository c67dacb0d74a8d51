"""Writes over real HTTP: batched, repeated where that doubles nothing, and told as lost where it might."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from entra_pipeline.catalogue import Lane
from entra_pipeline.errors import ConfigurationError
from entra_pipeline.graph import GraphWriter, RequestStats, Write, WriteResult
from entra_pipeline.graph.factory import open_graph
from entra_pipeline.graph.pacing import Limit, WriteBudget
from entra_pipeline.graph.retry import use_policy
from entra_pipeline.project import Project, load_project
from entra_pipeline.simulator import Simulator
from tests.support.patience import IMPATIENT

_T = TypeVar("_T")


@pytest.fixture(autouse=True)
def _impatience() -> Iterator[None]:
    """Retries come at once: how long they wait is not what these tests are about."""
    with use_policy(IMPATIENT):
        yield


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(users=40, groups=4, seed=9) as one:
        yield one


def project(simulator: Simulator, folder: Path, table: str = "") -> Project:
    file = folder / "dagster_project.toml"
    file.write_text(table or simulator.tenant_table())
    return load_project(file)


def write(simulator: Simulator, folder: Path, work: Callable[[GraphWriter], Awaitable[_T]]) -> _T:
    """What some work with a writer comes to."""

    async def run() -> _T:
        tenant = project(simulator, folder).tenants["simulated"]
        async with open_graph(tenant, writing=True) as graph, GraphWriter(graph, stats=RequestStats()) as writer:
            return await work(writer)

    return asyncio.run(run())


def group(number: int) -> Write:
    names = {"displayName": f"Made {number}", "mailNickname": f"made{number}"}
    return Write("POST", "groups", {**names, "mailEnabled": False, "securityEnabled": True})


def made(simulator: Simulator) -> Counter[str]:
    return Counter(one["displayName"] for one in simulator.control.dump("groups") if "Made" in one["displayName"])


def test_writes_of_any_method_travel_together(simulator: Simulator, tmp_path: Path) -> None:
    users = [user["id"] for user in simulator.control.dump("users") if not user["onPremisesSyncEnabled"]]
    writes = [Write("PATCH", f"users/{user}", {"city": "Umeå"}) for user in users[:15]]
    writes += [Write("DELETE", f"users/{user}") for user in users[15:20]]
    writes += [group(number) for number in range(5)]
    writes.append(Write("PATCH", "users/nobody", {"city": "Umeå"}))

    async def work(writer: GraphWriter) -> tuple[list[WriteResult], int, int]:
        answers = await asyncio.gather(*(writer.send(one) for one in writes))
        return list(answers), writer.sent, writer.requests

    answers, sent, requests = write(simulator, tmp_path, work)
    assert [answer.write for answer in answers] == writes
    assert Counter(answer.status for answer in answers) == {204: 20, 201: 5, 404: 1}
    assert answers[-1].error().code == "Request_ResourceNotFound"
    assert {answer.json()["displayName"] for answer in answers if answer.status == 201} == set(made(simulator))
    assert (sent, requests) == (26, 2)
    cities = {user["id"]: user["city"] for user in simulator.control.dump("users")}
    assert {cities[user] for user in users[:15]} == {"Umeå"}


@pytest.mark.parametrize("kind", ["429", "429-no-retry-after", "503"])
def test_what_was_refused_before_it_took_effect_is_sent_again(kind: str, simulator: Simulator, tmp_path: Path) -> None:
    simulator.control.faults(0.2, [kind], ["POST"])

    async def work(writer: GraphWriter) -> list[WriteResult]:
        return list(await asyncio.gather(*(writer.send(group(number)) for number in range(30))))

    answers = write(simulator, tmp_path, work)
    simulator.control.faults(0)
    assert set(made(simulator).values()) == {1}
    done = [answer for answer in answers if answer.done]
    lost = [answer for answer in answers if answer.lost]
    assert len(done) + len(lost) == 30
    # A 503 that names no time may have come after the deed, and is for the caller to look into.
    assert lost == [] or kind == "503"


@pytest.mark.parametrize("kind", ["reset-after", "504-after", "reset", "truncated"])
def test_a_post_whose_answer_was_lost_is_told_and_not_sent_again(
    kind: str, simulator: Simulator, tmp_path: Path
) -> None:
    simulator.control.faults(1.0, [kind], ["POST"])

    async def work(writer: GraphWriter) -> list[WriteResult]:
        return list(await asyncio.gather(*(writer.send(group(number)) for number in range(5))))

    answers = write(simulator, tmp_path, work)
    simulator.control.faults(0)
    assert all(answer.lost and not answer.done for answer in answers)
    assert set(made(simulator).values()) == {1}


def test_what_may_be_repeated_is_repeated(simulator: Simulator, tmp_path: Path) -> None:
    users = [user["id"] for user in simulator.control.dump("users") if not user["onPremisesSyncEnabled"]][:20]
    simulator.control.faults(0.4, ["reset-after", "504-after"], ["PATCH", "POST"])

    async def work(writer: GraphWriter) -> list[WriteResult]:
        changes = (writer.send(Write("PATCH", f"users/{user}", {"city": "Umeå"})) for user in users)
        return list(await asyncio.gather(*changes))

    answers = write(simulator, tmp_path, work)
    simulator.control.faults(0)
    assert {answer.status for answer in answers} == {204}


def test_writes_at_the_same_time_on_one_object_are_repeated(simulator: Simulator, tmp_path: Path) -> None:
    simulator.control.knobs(conflicts=0.3)

    async def work(writer: GraphWriter) -> list[WriteResult]:
        return list(await asyncio.gather(*(writer.send(group(number)) for number in range(20))))

    answers = write(simulator, tmp_path, work)
    assert {answer.status for answer in answers} == {201}
    assert set(made(simulator).values()) == {1}


def test_conditional_access_is_written_one_by_one(simulator: Simulator, tmp_path: Path) -> None:
    path = "identity/conditionalAccess/policies"
    policies = [one["id"] for one in simulator.control.dump(path)[:2]]

    async def work(writer: GraphWriter) -> list[WriteResult]:
        changes = [Write("PATCH", f"{path}/{policy}", {"displayName": policy}) for policy in policies]
        return list(await asyncio.gather(*(writer.send(one, lane=Lane.CONDITIONAL_ACCESS) for one in changes)))

    assert {answer.status for answer in write(simulator, tmp_path, work)} == {204}
    assert "429" not in simulator.control.ledger()["statuses"]


def test_a_token_that_expires_is_renewed(simulator: Simulator, tmp_path: Path) -> None:
    async def work(writer: GraphWriter) -> list[WriteResult]:
        first = await writer.send(group(1))
        await asyncio.to_thread(simulator.control.expire_tokens)
        return [first, *await asyncio.gather(writer.send(group(2)), writer.send(group(3)))]

    assert {answer.status for answer in write(simulator, tmp_path, work)} == {201}


def test_without_an_app_that_may_write_nothing_is_written(simulator: Simulator, tmp_path: Path) -> None:
    table = simulator.tenant_table().partition("[tenants.simulated.restore]")[0]
    tenant = project(simulator, tmp_path, table).tenants["simulated"]

    async def run() -> None:
        async with open_graph(tenant, writing=True):
            pass

    with pytest.raises(ConfigurationError, match=r"tenants\.simulated\.restore") as refused:
        asyncio.run(run())
    assert refused.value.key == "tenants.simulated.restore"
    assert refused.value.remedy


class Time:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def spent(writes: int, each: int, answer: float = 0.2, *, exceeded: float = 0.0) -> list[float]:
    """When writes were sent, `each` at a time, through a budget of 2,970 in 150 seconds."""
    time = Time()
    budget = WriteBudget(Limit(2_970, 150.0), sleep=time.sleep, now=time)
    moments: list[float] = []

    async def run() -> None:
        if exceeded:
            budget.exceeded(exceeded)
        for _ in range(writes // each):
            async with budget.turn(each):
                moments.extend([time.now] * each)
                await time.sleep(answer)

    asyncio.run(run())
    return moments


def test_no_window_gets_more_writes_than_the_limit_and_little_is_left_unused() -> None:
    moments = spent(20_000, 20)
    start = 0
    for end, moment in enumerate(moments):
        while moments[start] <= moment - 150.0:
            start += 1
        assert end - start + 1 <= 3_000
    # What the first window takes at once is no measure of the speed that can be kept up.
    kept_up = (len(moments) - 2_970) / moments[-1]
    assert kept_up >= 0.9 * 20
    assert moments[2_900] < 60


def test_a_budget_that_others_spend_too_is_spent_evenly() -> None:
    moments = spent(1_000, 20, exceeded=2.0)
    assert moments[0] >= 2.0
    assert 15.0 <= len(moments) / moments[-1] <= 20.0
