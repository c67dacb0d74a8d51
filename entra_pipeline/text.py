"""Words for people: numbers with what they count, and what somebody may have meant."""

from __future__ import annotations

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
