"""Numbers with what they count, for people."""

from __future__ import annotations


def pluralize(number: int, one: str, many: str = "") -> str:
    """`1 object`, `1,200 objects`; `many` is the plural of what does not take an s at its end."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
