"""The loop that asynchronous work runs in, and threads that give way."""

import asyncio
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from entra_pipeline.runtime import lower_thread_priority, run_async

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


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads have no priority of their own")
def test_only_the_thread_that_gives_way_does():
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before = niceness()
    with ThreadPoolExecutor(1, initializer=lower_thread_priority, initargs=(19,)) as other:
        assert other.submit(niceness).result() == 19
    assert niceness() == before
