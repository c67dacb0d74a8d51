"""What all tests share: the S3 server, what is left out for want of a browser, a header that says so, and purity."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Generator

import pytest

from tests.support import s3
from tests.support.s3 import locking_bucket, moto_endpoint, s3_bucket, s3_endpoint

__all__ = ["locking_bucket", "moto_endpoint", "s3_bucket", "s3_endpoint"]


def _browser_is_there() -> bool:
    return bool(shutil.which("chromium") and shutil.which("chromedriver"))


def pytest_report_header() -> list[str]:
    """What the report rests on: which S3 server, and whether there is a browser."""
    browser = "Chromium" if _browser_is_there() else "none, its tests are left out (Debian: chromium, chromium-driver)"
    return [s3.describe(), f"browser: {browser}"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what needs a browser where there is none."""
    if _browser_is_there():
        return
    left_out = [item for item in items if item.get_closest_marker("browser")]
    items[:] = [item for item in items if not item.get_closest_marker("browser")]
    config.hook.pytest_deselected(items=left_out)


def pytest_addoption(parser: pytest.Parser) -> None:
    """How often the chaos tests kill a backup, on each kind of storage; how long a scope lives that is pruned."""
    parser.addoption("--chaos-kills", type=int, default=2, help="Kills per storage; `make chaos` makes 50.")
    parser.addoption("--preconditions", type=int, default=8, help="Tenants damaged so that Graph would refuse a part.")
    parser.addoption("--preconditions-first", type=int, default=0, help="Seed of the first of them.")
    parser.addoption("--retention-days", type=int, default=8, help="Days of a pruned scope; `make years` takes 400.")


# What no test does that is marked pure, as Python's audit events.
_IMPURE = {"os.fork", "os.posix_spawn", "socket.bind", "socket.connect", "subprocess.Popen"}
_pure = False


def _guard(event: str, values: tuple[object, ...]) -> None:
    # Whoever is the first to read a schedule imports croniter, and with it asks `file` whether this Python has 32 bits.
    if _pure and event in _IMPURE and not (event == "subprocess.Popen" and values[0] == "file"):
        raise AssertionError(f"{event} in a test that is marked pure: move it to a module that is not")


sys.addaudithook(_guard)


def _guarded(item: pytest.Item) -> Generator[None, object, object]:
    global _pure
    _pure = item.get_closest_marker("pure") is not None
    try:
        return (yield)
    finally:
        _pure = False


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Sees that the fixtures of a test that is marked pure start nothing."""
    return (yield from _guarded(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Sees that a test that is marked pure needs no server and no process."""
    return (yield from _guarded(item))
