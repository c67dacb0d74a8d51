"""Runs of the benchmarks' programs, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TypeVar

import msgspec

from benchmarks.ours import Run
from benchmarks.tenant import Measured

_T = TypeVar("_T")


def program(name: str, result: type[_T], *arguments: object) -> _T:
    """What a program of this package prints as JSON; raises RuntimeError with what it said when it fails."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True)
    if done.returncode:
        raise RuntimeError(f"{name} failed: {done.stderr.decode()[-2000:]}")
    return msgspec.json.decode(done.stdout, type=result)


def command(*arguments: object) -> list[str]:
    """The command `entra-pipeline` of this interpreter, with arguments."""
    return [sys.executable, "-c", "from entra_pipeline.cli import main; main()", *map(str, arguments)]


def backup(tenant: Measured, *, full: bool = False) -> Run:
    """One backup of the measured scope."""
    return program("ours", Run, tenant.project_file, time.time(), *(["full"] if full else []))
