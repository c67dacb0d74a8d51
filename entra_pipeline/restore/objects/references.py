"""Ids wherever they stand in what Graph returns: finding them, and putting others in their place.

What belongs here: which text is an id. What does not: what an id leads to (`id_map`, `planner`).

Objects are referred to by GUIDs in any string: conditions, rules of dynamic groups, `/administrativeUnits/<id>`, OData
queries of reviews, `<parent>/<id>`. Directory extensions carry the appId of their application in their name, without
dashes: `extension_<appId>_<name>`, as a property and inside rules (Graph doc: extensionProperty).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_HEX = "[0-9a-fA-F]"
_ID = re.compile(
    rf"(?<!{_HEX}){_HEX}{{8}}-(?:{_HEX}{{4}}-){{3}}{_HEX}{{12}}(?!{_HEX})|(?<=extension_){_HEX}{{32}}(?=_)"
)
CONSTANTS = frozenset(
    {
        # Locations of conditional access: multifactor authentication trusted IPs (Microsoft365DSC#2974). Elsewhere it
        # stands for nothing or everybody: default access of an app role, the excluded target of a method (Graph doc).
        "00000000-0000-0000-0000-000000000000",
        # All compliant network locations (Graph doc: compliantnetworknamedlocation-get).
        "3d46dbda-8382-466a-856d-eb00cbc6b910",
        # Built-in authentication strengths: multifactor, passwordless, phishing-resistant (Graph doc:
        # authenticationstrengths-overview).
        "00000000-0000-0000-0000-000000000002",
        "00000000-0000-0000-0000-000000000003",
        "00000000-0000-0000-0000-000000000004",
    }
)
"""GUIDs that mean the same in every tenant and that no list shows, or a scope need not protect: they refer to no object
that could be missing. Constants that are words (`All`, `AllTrusted`, `None`, `GuestsOrExternalUsers`, `Office365`,
`MicrosoftAdminPortals`) are no ids in any case."""
GUID_LENGTH = 36
"""Characters of a GUID with dashes. Shorter text holds none."""


def ids_in(value: Any) -> set[str]:
    """Finds the GUIDs of objects in a JSON value and its member names, in lower case with dashes; no `CONSTANTS`."""
    return {_dashed(found) for text in _texts(value) for found in _ID.findall(text)} - CONSTANTS


def rewrite(value: Any, mapping: Mapping[str, str]) -> Any:
    """Replaces ids in a JSON value, in member names too.

    Args:
        value: The value; it is not changed.
        mapping: Id → the id that takes its place. GUIDs in small letters, with dashes; they are replaced wherever they
            stand, and followed: an object that was made anew twice has the last of its ids. Other ids are replaced
            where they are the whole text.
    """
    if isinstance(value, str):
        return _text(value, mapping)
    if isinstance(value, list):
        return [rewrite(item, mapping) for item in value]
    if isinstance(value, dict):
        return {_text(name, mapping): rewrite(item, mapping) for name, item in value.items()}
    return value


def _text(text: str, mapping: Mapping[str, str]) -> str:
    if (whole := mapping.get(text)) is not None:
        return whole if len(text) != GUID_LENGTH else _end(whole, mapping)
    return _ID.sub(lambda match: _replaced(match[0], mapping), text) if len(text) >= GUID_LENGTH else text


def _replaced(found: str, mapping: Mapping[str, str]) -> str:
    new = mapping.get(_dashed(found))
    if new is None:
        return found
    new = _end(new, mapping)
    return new if "-" in found else new.replace("-", "")


def _end(new: str, mapping: Mapping[str, str]) -> str:
    """Follows what took the place of an id, and of that in turn; a circle ends where it would repeat."""
    seen = {new}
    while (other := mapping.get(new.lower())) is not None and other not in seen:
        seen.add(other)
        new = other
    return new


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if len(value) >= GUID_LENGTH:
            yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _texts(name)
            yield from _texts(item)


def _dashed(found: str) -> str:
    text = found.lower()
    if "-" in text:
        return text
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
