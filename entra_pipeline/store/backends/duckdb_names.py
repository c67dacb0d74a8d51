"""How the name of a file is written for DuckDB, which takes every name for a pattern.

What belongs here: names and patterns as text. What does not: who reads them (`duckdb_filesystem`, `store.state`).
"""

from __future__ import annotations

import re

# One piece of a pattern: a set of characters, or a character.
_PIECE = re.compile(r"\[[^\]]+\]|.", re.S)


def literal(name: str) -> str:
    """Escapes a file's name as a pattern that matches nothing else."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)


def plain(pattern: str) -> str | None:
    """Returns the one name that a pattern matches, as `literal` wrote it; None when it may match several."""
    found = []
    for piece in _PIECE.findall(pattern):
        if piece in {"*", "?"} or (len(piece) > 3 and piece[0] == "["):
            return None
        found.append(piece[1] if len(piece) == 3 else piece)
    return "".join(found)


def expression(pattern: str) -> re.Pattern[str]:
    """Returns a pattern as a regular expression: `*` and `?` stay within a part of the name."""
    found = []
    for piece in _PIECE.findall(pattern):
        if piece == "*":
            found.append("[^/]*")
        elif piece == "?":
            found.append("[^/]")
        else:
            found.append(re.escape(piece[1:-1] if len(piece) > 1 else piece))
    return re.compile("".join(found), re.S)


def fixed_part(pattern: str) -> str:
    """Returns what every name that a pattern matches starts with."""
    found = []
    for piece in _PIECE.findall(pattern):
        if piece in {"*", "?"} or len(piece) > 3:
            break
        found.append(piece[1] if len(piece) == 3 else piece)
    return "".join(found)
