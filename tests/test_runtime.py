"""The loop that asynchronous work runs in, and threads that give way."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from signal import SIGINT, raise_signal

import pytest

from entra_pipeline.runtime import lower_thread_priority, run_async, to_the_end

pytestmark = pytest.mark.pure


def test_work_runs_in_uvloop_and_its_result_comes_back():
    async def work() -> str:
        return type(asyncio.get_running_loop()).__module__

    assert run_async(work()).startswith("uvloop")


def test_what_the_work_raises_comes_out():
    async def work() -> None:
        raise LookupError("lost")

    with pytest.raises(LookupError, match="lost"):
        run_async(work())


class Stopped(BaseException):
    """What a handler of a signal raises, as Dagster's does."""


def _interrupt() -> None:
    raise_signal(SIGINT)


@pytest.fixture
def raising() -> Iterator[None]:
    """A handler of SIGINT that raises."""

    def handler(*_: object) -> None:
        raise Stopped

    before = signal.signal(SIGINT, handler)
    yield
    assert signal.getsignal(SIGINT) is handler
    signal.signal(SIGINT, before)


@pytest.mark.usefixtures("raising")
def test_a_signal_cancels_the_work_in_whatever_the_loop_runs_and_comes_out_as_its_handler_says():
    ended = []

    async def work() -> None:
        # Within a callback: the loop logs what one raises, and goes on.
        asyncio.get_running_loop().call_later(0.01, _interrupt)
        try:
            await asyncio.sleep(10)
        finally:
            ended.append("in order")

    with pytest.raises(Stopped):
        run_async(work())
    assert ended == ["in order"]


@pytest.mark.usefixtures("raising")
def test_what_must_not_be_left_half_done_comes_to_its_end():
    done = []

    async def commit() -> str:
        _interrupt()
        await asyncio.sleep(0.02)
        done.append("committed")
        return "a point"

    async def work() -> str:
        return await to_the_end(commit())

    assert run_async(work()) == "a point"
    assert done == ["committed"]


def test_a_second_signal_ends_it_at_once():
    async def work() -> None:
        asyncio.get_running_loop().call_later(0.01, _interrupt)
        try:
            await asyncio.sleep(10)
        finally:
            asyncio.get_running_loop().call_later(0.01, _interrupt)
            await asyncio.sleep(10)

    with pytest.raises(KeyboardInterrupt):
        run_async(work())


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads have no priority of their own")
def test_only_the_thread_that_gives_way_does():
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before = niceness()
    with ThreadPoolExecutor(1, initializer=lower_thread_priority, initargs=(19,)) as other:
        assert other.submit(niceness).result() == 19
    assert niceness() == before
