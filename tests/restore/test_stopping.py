"""What a restore that is stopped lets come to its end."""

from __future__ import annotations

import asyncio

import pytest

from entra_pipeline.restore.execute.stopping import WritingSteps

pytestmark = pytest.mark.pure


def test_a_step_that_writes_comes_to_its_end_and_one_that_waits_does_not_begin() -> None:
    done: list[str] = []

    async def step(writing: WritingSteps, name: str, number: int) -> None:
        if name == "writes":
            writing.begin(number)
        await asyncio.sleep(0.02)
        done.append(name)

    async def restore() -> None:
        writing = WritingSteps()
        async with asyncio.TaskGroup() as group:
            for number, name in enumerate(("writes", "waits")):
                group.create_task(writing.carry_out(number, step(writing, name, number)))

    async def stopped() -> None:
        task = asyncio.ensure_future(restore())
        await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(stopped())
    assert done == ["writes"]


def test_nothing_is_waited_for_where_a_step_has_failed() -> None:
    done: list[str] = []

    async def step(writing: WritingSteps, number: int) -> None:
        writing.begin(number)
        if number == 0:
            raise LookupError("out of reach")
        await asyncio.sleep(0.5)
        done.append("late")

    async def restore() -> None:
        writing = WritingSteps()
        async with asyncio.TaskGroup() as group:
            for number in range(2):
                group.create_task(writing.carry_out(number, step(writing, number)))

    with pytest.raises(ExceptionGroup, match="unhandled"):
        asyncio.run(restore())
    assert done == []
