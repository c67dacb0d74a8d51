"""What a seed stands for: a scope and a list of steps, and how a failing one is made small."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from tests.proof.troubles import (
    OWNERS,
    PAGED,
    PATHS,
    ROUNDS,
    SINGLE,
    UNANSWERED,
    draw_favoured,
    draw_graph,
    draw_habits,
)

KINDS = tuple(PATHS)
"""What a scope may protect: objects and links that delta tells of, others that are listed, and a single object."""


class Step(NamedTuple):
    """One thing that happens.

    Attributes:
        kind: Which; `world.World` has a method of the name.
        options: What differs from the ordinary.
    """

    kind: str
    options: dict[str, Any]

    def __str__(self) -> str:
        said = ", ".join(f"{name}={value!r}" for name, value in sorted(self.options.items()))
        return f"{self.kind}({said})"


@dataclass(frozen=True)
class Program:
    """A scope and what happens to it.

    Attributes:
        types: The object types that it protects.
        steps: What happens.
        bucket: Whether it is stored in a bucket of S3; else in a folder.
        max_incrementals: Change files before a table gets a new base.
        sql: Whether a point is asked for by SQL at the end.
    """

    types: tuple[str, ...]
    steps: tuple[Step, ...]
    bucket: bool = False
    max_incrementals: int = 3
    sql: bool = True

    def __str__(self) -> str:
        where = "a bucket" if self.bucket else "a folder"
        about = f"  {where} of {', '.join(self.types)}; a new base after {self.max_incrementals}"
        return "\n".join([about, *(f"  {step}" for step in self.steps)])


def program(seed: int) -> Program:
    """Returns what a seed stands for."""
    draw = random.Random(f"steps of {seed}")
    favoured = draw_favoured(draw)
    # Few points are old enough to be pruned, held, and not needed for anything else.
    ages = not favoured and draw.random() < 0.3
    main = draw.choice(("users", "groups", "groups", "administrative_units", "applications"))
    more = draw.sample(KINDS, draw.choice((0, 1, 1, 2)))
    # Small, and unlike all others.
    more += [draw.choice(tuple(OWNERS))] if draw.random() < (0.8 if {*favoured} & {*UNANSWERED} else 0.25) else []
    more += ["authorization_policy"] if draw.random() < (0.8 if {*favoured} & {*SINGLE} else 0.25) else []
    wanted = {main, *more, *(OWNERS[name] for name in more if name in OWNERS)}
    types = tuple(name for name in KINDS if name in wanted)
    bucket = draw.random() < 0.15
    steps = [Step("habits", draw_habits(draw))] if draw.random() < 0.3 else []
    # What strikes the first backup finds nothing that is known.
    steps += [Step("backup", {})] if draw.random() < (0.3 if favoured else 0.7) else []
    for _ in range(draw.randint(2, 5)):
        steps += _some(draw, types, bucket, favoured, ages)
    steps.append(Step("change", {"seed": draw.randrange(10**6), "changes": 4 if favoured else 1}))
    steps.append(Step("backup", {}))
    if any(rule["name"] in PAGED for step in steps for rule in step.options.get("misbehave", ())):
        steps.insert(0, Step("habits", {"delta_page_size": draw.choice((1, 2, 3))}))
    return Program(types, tuple(steps), bucket, draw.choice((1, 2, 3)))


def _some(
    draw: random.Random, types: Sequence[str], bucket: bool, favoured: Sequence[str], ages: bool
) -> Iterator[Step]:
    yield Step("change", {"seed": draw.randrange(10**6), "changes": draw.choice((1, 1, 2, 3, 6))})
    if ages:
        yield Step(draw.choice(("hold", "hold", "release")), {"number": draw.randrange(6)})
        yield Step("wait", {"seconds": draw.choice((86_400, 2 * 86_400, 4 * 86_400))})
        yield Step("backup", {})
        yield Step("prune", _process(draw, 25, 0.4, bucket))
        return
    chance = draw.random()
    if chance < 0.25:
        yield Step("wait", {"seconds": draw.choice((1, 60, 3600, 86_400, 2 * 86_400, 4 * 86_400))})
    elif chance < 0.32:
        yield Step("clock", {"skew": draw.choice((-7200, -600, -60, 0, 60, 3600, 5 * 86_400))})
    elif chance < 0.45:
        yield Step("prune", _process(draw, 25, 0.4, bucket))
    elif chance < 0.55:
        yield Step("hold", {"number": draw.randrange(6)})
    elif chance < 0.6:
        yield Step("release", {"number": draw.randrange(6)})
    elif chance < 0.75:
        yield Step("tamper", {"number": draw.randrange(10**6), "how": draw.choice(TAMPERINGS)})
    yield Step("backup", _backup(draw, types, bucket, favoured))


TAMPERINGS = ("flip", "cut", "delete", "empty", "swap")
WIRE_KINDS = ("500", "500 after", "503", "cut", "stale")
MEANWHILE = ("backup", "backup", "pause", "prune", "hold", "release", "verify", "change")


def _process(draw: random.Random, operations: int, rate: float, bucket: bool) -> dict[str, Any]:
    """Draws what happens to a process that works with the storage."""
    options: dict[str, Any] = {}
    chance = draw.random()
    if chance < rate * 0.5:
        options["dies_at"] = draw.randrange(operations)
        options["done"] = draw.random() < 0.5
    elif chance < rate:
        options["fails_at"] = draw.randrange(operations)
        options["failures"] = draw.choice((1, 1, 2, 100))
        options["done"] = draw.random() < 0.5
    if draw.random() < 0.2:
        options["meanwhile"] = [(draw.randrange(operations), draw.choice(MEANWHILE))]
    if bucket and draw.random() < 0.3:
        options["wire"] = draw.choice((0.02, 0.1, 0.3))
        options["wire_kinds"] = draw.sample(WIRE_KINDS, draw.choice((1, 1, 2, 5)))
    return options


def _backup(draw: random.Random, types: Sequence[str], bucket: bool, favoured: Sequence[str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    # Lists and their counts are read after a whole round; what the link to the next one leads to shows in that.
    if draw.random() < (0.2 if not favoured else 0.05 if {*favoured} & {*ROUNDS} else 0.4):
        options["full"] = True
    if draw.random() < 0.3:
        options["changes_at"] = sorted({draw.randrange(20) for _ in range(draw.randint(1, 3))})
        options["seed"] = draw.randrange(10**6)
    if draw.random() < 0.1:
        options["rival"] = round(draw.uniform(0.0, 2.0), 3)
    # A process that is killed shows nothing of what Graph has told it.
    return options | _process(draw, 60, 0.1 if favoured else 0.35, bucket) | draw_graph(draw, types, favoured)


# --- A failing one made small ----------------------------------------------------------------------------------------


def shrink(found: Program, fails: Callable[[Program], bool], limit: int = 200) -> Program:
    """Returns the smallest program found that still fails.

    Args:
        found: One that fails.
        fails: Runs one, and tells whether it fails in the same way.
        limit: Tries at the most.
    """
    tries = 0

    def still(candidate: Program) -> bool:
        nonlocal tries
        tries += 1
        return tries <= limit and fails(candidate)

    def with_steps(steps: Sequence[Step]) -> Program:
        return replace(found, steps=tuple(steps))

    size = max(1, len(found.steps) // 2)
    while size:
        start = 0
        while start < len(found.steps):
            left = with_steps([*found.steps[:start], *found.steps[start + size :]])
            if left.steps and still(left):
                found = left
            else:
                start += size
        size //= 2
    for name in found.types:
        fewer = replace(found, types=tuple(one for one in found.types if one != name))
        if fewer.types and still(fewer):
            found = fewer
    for number in range(len(found.steps)):
        for option in list(found.steps[number].options):
            step = found.steps[number]
            less = {key: value for key, value in step.options.items() if key != option}
            simpler = with_steps([*found.steps[:number], Step(step.kind, less), *found.steps[number + 1 :]])
            if still(simpler):
                found = simpler
    return found
