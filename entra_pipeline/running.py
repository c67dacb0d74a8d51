"""Running asynchronous work from the outside: the loop that costs the least, whichever entrance the work came by."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


def run(work: Coroutine[Any, Any, _T]) -> _T:
    """The result of `work`, run in an event loop of its own; raises what it raises.

    The loop is uvloop's where there is one (not on Windows): most of what a page costs is the loop's and the client's.
    """
    if sys.platform == "win32":
        return asyncio.run(work)
    import uvloop

    return uvloop.run(work)
