"""Words for people: numbers with what they count, and what somebody may have meant."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches


def pluralize(number: int, one: str, many: str = "") -> str:
    """Writes a number with what it counts: `1 object`, `1,200 objects`; `many` is an irregular plural."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Suggests the nearest name: `; did you mean 'x'?`, or the known names when there are few, or nothing."""
    names = list(known)
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there are: {', '.join(names)}" if 0 < len(names) <= 8 else ""


# C0 and C1 controls, with which a text can command a terminal, and marks that turn the direction of what follows. A
# line break and a tab stay.
_COMMANDING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")
# What a spreadsheet takes for the beginning of a formula, in its wide forms too; a number alone is none.
_FORMULA = re.compile("[=+\\-@\t\r\n\uff0b\uff0d\uff1d\uff20|]")
_NUMBER = re.compile(r"[+-]?[\d .,()]*")


def printable(text: str) -> str:
    """Writes out what would command a terminal, or turn the direction of a line, as its number in hexadecimal."""
    return _COMMANDING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def spreadsheet_text(text: str) -> str:
    """Puts an apostrophe before a text that a spreadsheet would take for a formula, as OWASP advises for CSV."""
    return f"'{text}" if _FORMULA.match(text.lstrip(" ")) and not _NUMBER.fullmatch(text) else text
