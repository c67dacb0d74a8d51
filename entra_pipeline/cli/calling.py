"""How this command was called, so that the commands it prints can be pasted as they are.

What belongs here: the program's path and `--project` in front of printed commands. What does not: what they say.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path

from entra_pipeline.cli.registry import COMMANDS

_NAME = "entra-pipeline"
_PRINTED = re.compile(rf"(?<![\w/.-]){_NAME} (?=(?:{'|'.join(COMMANDS)})\b)")
_project: ContextVar[Path | None] = ContextVar("project", default=None)


def called_for(project: Path | None) -> None:
    """Remembers the configuration that has to be named; None where it is found without."""
    _project.set(project)


def as_called(text: str, written: Callable[[str], str] = str) -> str:
    """The text, with every command of ours in it as it has to be typed here.

    Args:
        text: What is printed.
        written: How plain text is written in it.
    """
    project = _project.get()
    command = _program() if project is None else f"{_program()} --project {shlex.quote(relative(project))}"
    return _PRINTED.sub(lambda _: written(f"{command} "), text)


def _program() -> str:
    """The name of this program where the shell finds it, otherwise its path."""
    called = Path(sys.argv[0])
    found = shutil.which(_NAME)
    if called.name != _NAME or (found and Path(found).resolve() == called.resolve()):
        return _NAME
    return shlex.quote(relative(called))


def relative(path: Path) -> str:
    """A path as seen from this folder, when that is shorter."""
    return min((os.path.relpath(path), str(path)), key=len)
