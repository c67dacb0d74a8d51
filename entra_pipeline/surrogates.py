r"""Half surrogate pairs in JSON: valid by the grammar of JSON, and no text in any encoding.

Graph shows values that hold the escape of one half of a pair, such as `"Sur \ud800 x"`
(microsoft-graph-explorer-v4#2834). Decoders refuse them. So each half is exchanged for two code points that nobody may
use in text (Unicode 15, 23.7: noncharacters), and put back before the JSON is stored. Text that is made of such JSON
has U+FFFD in its place.
"""

from __future__ import annotations

import re

_PAIR = rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_ESCAPE = re.compile(rb"\\u[dD]")
_HALF = re.compile(_PAIR + rb"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL)
# A noncharacter that says how the escape was written, and the half in the private use area.
_LOWER, _UPPER = "\ufdd0", "\ufdd1"
MARKS = (_LOWER, _UPPER)
"""Decoded text without any of them has no exchanged half."""
_FIRST, _PRIVATE = 0xD800, 0xE000
# As an escape, or as the text that a member's name becomes when it is encoded again.
_HIDDEN = re.compile(rb"(?:\\ufdd([01])|\xef\xb7([\x90\x91]))(?:\\u(e[0-7][0-9a-f]{2})|(\xee[\x80-\x9f][\x80-\xbf]))")
_HIDDEN_TEXT = re.compile("[\ufdd0\ufdd1][\ue000-\ue7ff]")
REPLACEMENT = "\ufffd"
"""What stands for a half in text."""


def has_escapes(data: bytes) -> bool:
    """Tells whether JSON has escapes of surrogates at all, whole pairs included: cheap to ask of every answer."""
    # One character is found many times faster than three, and most answers have few backslashes.
    return b"\\" in data and _ESCAPE.search(data) is not None


def may_be_hidden(data: bytes) -> bool:
    """Tells whether halves may have been exchanged in JSON: cheap to ask of many objects at once."""
    return (b"\\" in data and b"\\ufdd" in data) or (b"\xef" in data and b"\xef\xb7" in data)


def hide(data: bytes) -> bytes:
    """Returns JSON that every decoder takes: halves are exchanged, whole pairs stay as they are."""
    return _HALF.sub(_hide, data) if has_escapes(data) else data


def hide_text(raw: str) -> str:
    """Returns stored JSON as `hide` does."""
    return hide(raw.encode()).decode() if "\\ud" in raw or "\\uD" in raw else raw


def is_hidden(data: bytes) -> bool:
    """Tells whether halves were exchanged in JSON."""
    return may_be_hidden(data) and _HIDDEN.search(data) is not None


def reveal(data: bytes) -> bytes:
    """Returns JSON as Graph sent it: puts halves back that `hide` has exchanged."""
    return _HIDDEN.sub(_reveal, data) if may_be_hidden(data) else data


def replace(data: bytes) -> bytes:
    """Returns JSON with U+FFFD in place of halves."""
    hidden = hide(data)
    return _HIDDEN.sub(rb"\\ufffd", hidden) if may_be_hidden(hidden) else hidden


def as_text(decoded: str) -> str:
    """Returns decoded text with U+FFFD in place of halves that `hide` has exchanged."""
    # Text knows of itself whether it is ASCII.
    return decoded if decoded.isascii() else _HIDDEN_TEXT.sub(REPLACEMENT, decoded)


def replaced_sql(column: str) -> str:
    """SQL of stored JSON with U+FFFD in place of halves: as stored, DuckDB refuses it as malformed."""
    half = r"'\\u[dD][89a-fA-F][0-9a-fA-F]{2}'"
    tokens = r"'\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\[^u]|[^\\]+'"
    return (
        rf"CASE WHEN contains({column}, '\ud') OR contains({column}, '\uD') THEN array_to_string(list_transform("
        rf"regexp_extract_all({column}, {tokens}), "
        rf"lambda part: CASE WHEN regexp_full_match(part, {half}) THEN '\ufffd' ELSE part END), '') "
        f"ELSE {column} END"
    )


def _hide(found: re.Match[bytes]) -> bytes:
    escape = found[1]
    if escape is None:
        return found[0]
    code = int(escape[2:], 16) - _FIRST + _PRIVATE
    mark = _UPPER if escape[2:] == escape[2:].upper() else _LOWER
    return b"\\u%04x\\u%04x" % (ord(mark), code)


def _reveal(found: re.Match[bytes]) -> bytes:
    upper = found[1] == b"1" or found[2] == b"\x91"
    code = (int(found[3], 16) if found[3] else ord(found[4].decode())) - _PRIVATE + _FIRST
    return b"\\u" + (b"%04X" if upper else b"%04x") % code
