"""Evidence: what several views of Graph say of one link, and what follows from it.

No view is believed alone when it is silent. A link is gone when delta reports its removal, or when every view that was
consulted leaves it out: a complete list, its count, and the others. Views that disagree leave the link in place and
make a gap.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum


class Says(Enum):
    """What one view says of a link."""

    SHOWS = "shows"
    HIDES = "hides"
    NOTHING = "nothing"
    """The view failed, was cut before the link, or was not consulted."""


class Verdict(Enum):
    """What is stored of a link."""

    EXISTS = "exists"
    DISPUTED = "disputed"
    """Stored, and named in a gap."""
    GONE = "gone"


def judge(*, removed: bool, listed: Says, counted: Says, others: Iterable[Says]) -> Verdict:
    """Weighs the views of a link that is stored, or that one of them shows.

    Args:
        removed: Delta reports its removal after every view that shows it.
        listed: The owner's own list, read to the end.
        counted: Whether Graph's count leaves room for it (SHOWS), or equals the list without it (HIDES).
        others: `$expand`, delta of this run, the way back from the target.
    """
    if removed:
        return Verdict.GONE
    others = list(others)
    shown = Says.SHOWS in (listed, *others)
    contradicted = Says.HIDES in (listed, *others)
    if shown:
        return Verdict.DISPUTED if contradicted else Verdict.EXISTS
    agreed = listed is Says.HIDES and counted is Says.HIDES
    return Verdict.GONE if agreed else Verdict.DISPUTED
