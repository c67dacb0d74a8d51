"""The parts of `make bench`, by name, in the order of the page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks import chain, console, fleet, memory, over_time, paced, restore, scopes, speed
from benchmarks.report import Section

PARTS: dict[str, Callable[[Path, float], list[Section]]] = {
    "speed": speed.measure,
    "chain": chain.measure,
    "memory": memory.measure,
    "paced": paced.measure,
    "restore": restore.measure,
    "sql": over_time.measure,
    "console": console.measure,
    "scopes": scopes.measure,
    "fleet": fleet.measure,
}
