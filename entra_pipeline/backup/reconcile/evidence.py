"""Evidence: what several views of Graph say of the links of one owner, and what follows from it.

No view is believed alone when it is silent. A link is gone when delta reports its removal, or when every view that
there is leaves it out: a list read to its end, its count, and another view, where there is one that can say. A list
alone is never enough: where Graph neither counts nor shows the links from another side, they stay. Views that disagree,
or that fail when they are asked, leave the link in place and make a gap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from enum import Enum


class Says(Enum):
    """What one view says of a link."""

    SHOWS = "shows"
    HIDES = "hides"
    NOTHING = "nothing"
    """The view was asked, and failed or was not read to its end."""


class Verdict(Enum):
    """What is stored of a link."""

    EXISTS = "exists"
    DISPUTED = "disputed"
    """Stored, and named in a gap."""
    GONE = "gone"


def link_verdict(*, removed: bool, listed: Says, counted: Says | None, others: Iterable[Says]) -> Verdict:
    """Weighs the views of a link that is stored, or that one of them shows.

    Args:
        removed: Delta reports its removal after every view that shows it.
        listed: The owner's own list, read to the end.
        counted: Whether Graph's count leaves room for it (SHOWS), or equals the list without it (HIDES); None where
            Graph does not count.
        others: `$expand`, delta of this run, the way back from the target: those that there are for this link.
    """
    if removed:
        return Verdict.GONE
    others = list(others)
    shown = Says.SHOWS in (listed, *others)
    contradicted = Says.HIDES in (listed, *others)
    if shown:
        return Verdict.DISPUTED if contradicted else Verdict.EXISTS
    another = Says.HIDES in others or (counted is Says.HIDES and not others)
    agreed = listed is Says.HIDES and counted in {Says.HIDES, None} and another
    return Verdict.GONE if agreed else Verdict.DISPUTED


@dataclass(frozen=True, slots=True)
class OwnerViews:
    """What the views of Graph say of the links of one owner.

    Attributes:
        stored: Links that are stored: the type of each target by its id.
        listed: Links in the owner's own list; None when it could not be read to its end.
        count: Graph's count; None when it does not tell.
        countable: Graph counts links of this owner, though it may fail to; False where it has no such view.
        expanded: Links that `$expand` shows; None when it failed.
        whole: `$expand` shows all links, as far as it goes: Graph cuts it at 20.
        asked: `$expand` was asked for this owner, and the service supports it.
        reported: Targets that delta reports in this run, and not as removed.
        removed: Targets whose removal delta reports after every other view.
        back: What the way back from a target says, where there is one and it was asked.
        many: The owner can have more than one link.
    """

    stored: Mapping[str, str] = field(default_factory=dict)
    listed: Mapping[str, str] | None = None
    count: int | None = None
    countable: bool = True
    expanded: Mapping[str, str] | None = None
    whole: bool = False
    asked: bool = False
    reported: Set[str] = frozenset()
    removed: Set[str] = frozenset()
    back: Mapping[str, Says] = field(default_factory=dict)
    many: bool = True

    def verdict(self, target: str) -> Verdict:
        """Returns what follows for one link."""
        listed = Says.NOTHING if self.listed is None else Says.SHOWS if target in self.listed else Says.HIDES
        counted = Says.NOTHING if self.countable else None
        if self.count is not None and self.listed is not None:
            counted = Says.SHOWS if self.count > len(self.listed) else Says.HIDES
        others = [self.back[target]] if target in self.back else []
        if target in self.reported:
            others.append(Says.SHOWS)
        if self.expanded is not None and (self.whole or target in self.expanded):
            others.append(Says.SHOWS if target in self.expanded else Says.HIDES)
        elif self.asked:
            others.append(Says.NOTHING)
        return link_verdict(removed=target in self.removed, listed=listed, counted=counted, others=others)


@dataclass(frozen=True, slots=True)
class ComparedViews:
    """What follows for the links of one owner.

    Attributes:
        kept: Links to store: the type of each target by its id, the newest one that a view names.
        disputed: Targets of those that views disagree about; to be named in a gap.
        gone: Stored targets that are gone.
        uncounted: Links that Graph counts and no view shows.
    """

    kept: Mapping[str, str]
    disputed: tuple[str, ...]
    gone: tuple[str, ...]
    uncounted: int


def compare_views(views: OwnerViews) -> ComparedViews:
    """Weighs the views of one owner, link by link."""
    listed = dict(views.listed or {})
    kept, disputed, gone = dict(listed), [], []
    for target, kind in {**(views.expanded or {}), **views.stored}.items():
        # Where there is one link at most, the one that is listed has replaced the others.
        if target in listed or (listed and not views.many):
            continue
        verdict = views.verdict(target)
        if verdict is Verdict.GONE:
            gone += [target] if target in views.stored else []
            continue
        kept[target] = kind
        if verdict is Verdict.DISPUTED:
            disputed.append(target)
    uncounted = max(0, (views.count or 0) - len(kept))
    replaced = [target for target in views.stored if target not in kept and target not in gone]
    return ComparedViews(kept, tuple(sorted(disputed)), tuple(sorted([*gone, *replaced])), uncounted)
