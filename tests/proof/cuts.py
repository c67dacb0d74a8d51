"""Crash cuts: a process is killed after each of its operations of the storage in turn, all of them and not a sample."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from tests.proof.program import Program, Step
from tests.proof.world import simulate

_DAY = 86_400


def _change(seed: int, changes: int = 2) -> Step:
    return Step("change", {"seed": seed, "changes": changes})


def _wait(days: int) -> Step:
    return Step("wait", {"seconds": days * _DAY})


_BACKUP, _PRUNE = Step("backup", {}), Step("prune", {})
_FULL = Step("backup", {"full": True})
_AFTERWARDS = (Step("verify", {}), _change(9), _BACKUP)
WORK: dict[str, tuple[tuple[Step, ...], Step]] = {
    "first full": ((), _BACKUP),
    "full": ((_BACKUP, _change(1)), _FULL),
    "incremental": ((_BACKUP, _change(1)), _BACKUP),
    "synthetic full": ((_BACKUP, _change(1), _BACKUP, _change(2)), _BACKUP),
    "prune": (
        (_BACKUP, _change(1), _BACKUP, _wait(2), _FULL, _change(2), _BACKUP, _wait(4), _change(3), _BACKUP),
        _PRUNE,
    ),
}
"""What comes before, and the work that is cut."""


class Cut(NamedTuple):
    """A kind of work that was cut at all of its operations.

    Attributes:
        work: Out of `WORK`.
        place: `folder` or `bucket`.
        operations: How many there are: operations of a folder, requests to a bucket.
        violations: What was wrong afterwards, by the operation that was the last.
    """

    work: str
    place: str
    operations: int
    violations: dict[int, str]


def cut_everywhere(work: str, *, bucket: bool, types: tuple[str, ...]) -> Cut:
    """Carries out work as often as it has operations, each time killed after another one, and looks what is left."""
    before, cut = WORK[work]
    whole = Program(types, (*before, cut), bucket, max_incrementals=1, sql=False)
    outcome = simulate(0, whole)
    if outcome.violation:
        raise AssertionError(f"{work} fails without a cut: {outcome.violation}")
    # A bucket is cut after each request, those of the lock among them; a folder's lock ends with its process.
    count = outcome.requests[-1] if bucket else outcome.operations[-1]
    violations = {}
    for number in range(count):
        how = {"wire_dies_at": number} if bucket else {"dies_at": number, "done": True}
        killed = Step(cut.kind, {**cut.options, **how})
        again = (cut,) if cut is _PRUNE else ()
        found = simulate(0, replace(whole, steps=(*before, killed, *again, *_AFTERWARDS)))
        if not found.violation and not found.told["killed"]:
            found.violation = "it was not killed"
        if found.violation:
            violations[number] = found.violation
    return Cut(work, "bucket" if bucket else "folder", count, violations)


def all_cuts(
    types: tuple[str, ...], places: tuple[bool, ...] = (False, True), work: Iterable[str] = WORK
) -> Iterator[Cut]:
    """Yields every kind of work, or those that are named, cut everywhere, in each place."""
    for bucket in places:
        for one in work:
            yield cut_everywhere(one, bucket=bucket, types=types)
