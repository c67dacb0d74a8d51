"""The loop that asynchronous work runs in."""

import asyncio

import pytest

from entra_pipeline.running import run


def test_work_runs_in_uvloop_and_its_result_comes_back():
    async def work() -> str:
        return type(asyncio.get_running_loop()).__module__

    assert run(work()).startswith("uvloop")


def test_what_the_work_raises_comes_out():
    async def work() -> None:
        raise LookupError("lost")

    with pytest.raises(LookupError, match="lost"):
        run(work())
