"""What all tests share: the S3 server, what is left out for want of a browser, and a header that says so."""

from __future__ import annotations

import shutil

import pytest

from tests import s3
from tests.s3 import locking_bucket, moto_endpoint, s3_bucket, s3_endpoint

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
    parser.addoption("--chaos-kills", type=int, default=3, help="Kills per storage; `make chaos` makes 50.")
    parser.addoption("--retention-days", type=int, default=14, help="Days of a pruned scope; `make years` takes 400.")
