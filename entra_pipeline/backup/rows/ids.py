"""Ids in the one form in which they are compared and stored.

Graph takes a GUID in any letter case, and two views of it may write the same one differently. Other ids (of app role
assignments, scoped roles, extensions) are made of letters whose case counts: they stay as Graph sends them.
"""

from __future__ import annotations

import re

_GUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def one_form(identifier: str) -> str:
    """Returns a GUID in lower case, and any other id as it is."""
    lower = identifier.lower()
    return lower if lower != identifier and _GUID.fullmatch(identifier) else identifier


def in_one_form(identifiers: list[str]) -> list[str]:
    """Returns ids as `one_form` does; the same list where none has a capital, as is the rule."""
    text = "".join(identifiers)
    return identifiers if text == text.lower() else list(map(one_form, identifiers))
