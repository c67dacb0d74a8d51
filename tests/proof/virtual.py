"""Time, threads and chance of a simulation, all made of one seed.

Imported before anything of the product: `time.time`, `time.monotonic`, `time.sleep`, `uuid.uuid4` and what `secrets`
gives are replaced here once, so that whoever imports them by name gets the replacement. Outside of a simulation they do
what they always did.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import selectors
import time
import uuid
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

_T = TypeVar("_T")
_TICK = 10.0
BEGINNING = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
_real = {"time": time.time, "monotonic": time.monotonic, "sleep": time.sleep, "uuid4": uuid.uuid4}
_real |= {"token_bytes": secrets.token_bytes}


class Universe:
    """What a simulation has instead of this machine's clock and chance.

    Attributes:
        random: The one source of chance.
        elapsed: Seconds since the beginning.
        skew: How far the clock of the machine that runs backups is ahead of the tenant's.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.elapsed = 0.0
        self.skew = timedelta()
        self.on_time: list[Callable[[], None]] = []

    def pass_(self, seconds: float) -> None:
        """Lets time pass, ten seconds at a time, and tells whoever waits for it."""
        end = self.elapsed + max(0.0, seconds)
        while self.on_time and end - self.elapsed > _TICK:
            self.elapsed += _TICK
            self._tell()
        self.elapsed = end
        self._tell()

    def sleep(self, seconds: float) -> None:
        """Lets time pass while nobody is told: the machine was paused."""
        self.elapsed += seconds

    def _tell(self) -> None:
        for told in list(self.on_time):
            told()

    def tenant_clock(self) -> datetime:
        """Returns the true time."""
        return BEGINNING + timedelta(seconds=self.elapsed)

    def clock(self) -> datetime:
        """Returns the time that the machine which runs backups believes in."""
        return self.tenant_clock() + self.skew


_universe: Universe | None = None


@contextmanager
def inside(universe: Universe) -> Iterator[None]:
    """Makes a universe the one in which everything happens."""
    global _universe
    before, _universe = _universe, universe
    state = random.getstate()
    random.seed(universe.random.random())
    try:
        yield
    finally:
        _universe = before
        random.setstate(state)


def current() -> Universe:
    """Returns the universe in which everything happens."""
    assert _universe is not None
    return _universe


def _time() -> float:
    return _universe.clock().timestamp() if _universe else float(_real["time"]())


def _monotonic() -> float:
    return _universe.elapsed if _universe else float(_real["monotonic"]())


def _sleep(seconds: float) -> None:
    if _universe:
        _universe.pass_(seconds)
    else:
        _real["sleep"](seconds)


def _token_bytes(nbytes: int | None = None) -> bytes:
    return _universe.random.randbytes(nbytes or 32) if _universe else bytes(_real["token_bytes"](nbytes))


def _uuid4() -> uuid.UUID:
    return uuid.UUID(bytes=_token_bytes(16), version=4) if _universe else _real["uuid4"]()


def _token_hex(nbytes: int | None = None) -> str:
    return _token_bytes(nbytes).hex()


time.time, time.monotonic, time.sleep = _time, _monotonic, _sleep
uuid.uuid4 = _uuid4
secrets.token_bytes, secrets.token_hex = _token_bytes, _token_hex


def real_seconds() -> float:
    """Returns seconds of this machine's clock that only goes forward."""
    return float(_real["monotonic"]())


class _Selector(selectors.SelectSelector):
    """Waits for nothing: time passes at once."""

    def __init__(self, universe: Universe) -> None:
        super().__init__()
        self._universe = universe

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Stuck("everything waits for something, and nothing will happen any more")
        if timeout > 0:
            self._universe.pass_(timeout)
        return []


class Stuck(Exception):
    """A run waits for what cannot come."""


class Loop(asyncio.SelectorEventLoop):
    """An event loop in which time is the universe's, and work in threads is done in turn, at moments drawn by it."""

    def __init__(self, universe: Universe) -> None:
        super().__init__(_Selector(universe))
        self._universe = universe

    def time(self) -> float:
        return self._universe.elapsed

    def run_in_executor(self, executor: object, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        future = self.create_future()

        def work() -> None:
            if future.cancelled():
                return
            try:
                result = func(*args)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        self.call_later(self._universe.random.uniform(0.0001, 0.01), work)
        return future


def run(universe: Universe, work: Coroutine[Any, Any, _T]) -> _T:
    """Runs a coroutine to its end in a loop of its own, and returns its result."""
    loop = Loop(universe)
    try:
        return loop.run_until_complete(work)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.close()


class Executor:
    """Stands in for a pool of threads: does each piece of work when it is given, one after the other."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Takes what a `ThreadPoolExecutor` takes."""

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is left to wait for."""

    def submit(self, work: Callable[..., _T], *args: Any, **options: Any) -> Future[_T]:
        """Does the work."""
        future: Future[_T] = Future()
        try:
            future.set_result(work(*args, **options))
        except BaseException as error:
            future.set_exception(error)
        return future

    def map(self, work: Callable[[Any], _T], items: Iterable[Any]) -> Iterator[_T]:
        """Does the work for all items, in an order that is drawn, and returns the results in theirs."""
        given = list(items)
        # Items may come from a set, whose order is not the seed's.
        order = sorted(range(len(given)), key=lambda number: repr(given[number]))
        if _universe is not None:
            _universe.random.shuffle(order)
        results = {number: self.submit(work, given[number]) for number in order}
        return iter([results[number].result() for number in range(len(given))])

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Nothing is left to wait for."""
