"""Who asks when: chains of requests go on while others wait, and Graph never has to refuse."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from entra_pipeline.catalogue import Lane
from entra_pipeline.graph.pacing import CONCURRENT_REQUESTS, LIMITS, Pacer, Priority
from tests.support.protected import Protected, protect

Tenant = Callable[..., Protected]


def _asked(one: Protected) -> list[str]:
    """Paths in the order in which Graph answered."""
    return [entry["path"] for entry in one.control.ledger(entries=True)["entries"]]


def test_what_belongs_to_owners_is_read_while_other_types_have_pages_left(tenant: Tenant) -> None:
    one = tenant(protect("users", "administrative_units", "scoped_role_members"), users=60)
    # More than 30 pages one after the other take over five seconds; nothing done between two reads takes as long.
    one.control.delta(page_size=2)
    one.control.latency(0.15)
    manifest = one.backup()
    asked = _asked(one)
    one.control.latency(0)
    one.assert_same(manifest)
    last_of_users = max(place for place, path in enumerate(asked) if path == "users/delta")
    first_of_members = min(place for place, path in enumerate(asked) if path.endswith("scopedRoleMembers"))
    assert first_of_members < last_of_users


def test_no_request_of_a_backup_at_the_limits_is_refused(tenant: Tenant) -> None:
    one = tenant()
    one.control.knobs(throttle_conditional_access=True)
    one.backup()
    statuses = one.control.ledger()["statuses"]
    assert statuses["200"]
    assert "429" not in statuses


def test_a_page_goes_before_requests_that_came_earlier_and_stand_alone() -> None:
    async def arrivals() -> list[str]:
        pacer, order = Pacer(), list[str]()
        leave = asyncio.Event()

        async def ask(name: str, priority: Priority) -> None:
            async with pacer.turn(Lane.DIRECTORY, priority=priority):
                order.append(name)
                await leave.wait()

        async with asyncio.TaskGroup() as group:
            for number in range(CONCURRENT_REQUESTS):
                group.create_task(ask(f"busy {number}", Priority.SINGLE))
            await asyncio.sleep(0)
            for name, priority in (
                ("batch", Priority.BATCH),
                ("first", Priority.SINGLE),
                ("second", Priority.SINGLE),
                ("page", Priority.PAGE),
            ):
                group.create_task(ask(name, priority))
            given_up = group.create_task(ask("given up", Priority.PAGE))
            await asyncio.sleep(0)
            given_up.cancel()
            leave.set()
        return order[CONCURRENT_REQUESTS:]

    assert asyncio.run(arrivals()) == ["page", "first", "second", "batch"]


def test_who_waits_for_a_slow_service_keeps_nobody_else_from_asking() -> None:
    async def forever(seconds: float) -> None:
        await asyncio.Event().wait()

    async def asked() -> int:
        pacer = Pacer(sleep=forever)
        answered = 0

        async def ask(lane: Lane) -> None:
            nonlocal answered
            async with pacer.turn(lane):
                answered += 1

        reports = [asyncio.create_task(ask(Lane.REPORTS)) for _ in range(CONCURRENT_REQUESTS * 2)]
        await asyncio.sleep(0)
        await asyncio.wait_for(ask(Lane.DIRECTORY), timeout=5)
        for task in reports:
            task.cancel()
        return answered

    assert asyncio.run(asked()) == LIMITS[Lane.REPORTS].requests + 1
