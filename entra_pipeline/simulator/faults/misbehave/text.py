"""Reads a misbehaviour from the command line: `members-hidden path=groups/*/members types=servicePrincipal`."""

from __future__ import annotations

import shlex
from typing import Any

from entra_pipeline.simulator.faults.misbehave import MISBEHAVIOURS

_LISTS = ("objects",)
_WORDS = {"true": True, "false": False, "null": None}


def parse_misbehaviour(text: str) -> tuple[str, dict[str, Any]]:
    """Returns the name and the values of `NAME key=value …`. Raises ValueError when it cannot be read."""
    name, *pairs = shlex.split(text) or [""]
    if name != "all" and name not in MISBEHAVIOURS:
        raise ValueError(f"no such misbehaviour: {name or text!r}; there are all, {', '.join(MISBEHAVIOURS)}")
    options = MISBEHAVIOURS[name].options if name != "all" else {}
    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"{pair}: a name and a value are expected, such as times=3")
        listed = key in _LISTS or isinstance(options.get(key), tuple)
        text_like = isinstance(options.get(key), str) or key in {"path", "only"}
        values[key] = value.split(",") if listed else value if text_like and value not in _WORDS else _value(value)
    return name, values


def _value(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
