"""What a seed stands for: a scope and a list of steps, and how a failing one is made small."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

KINDS = (
    "users",
    "groups",
    "administrative_units",
    "directory_roles",
    "applications",
    "named_locations",
    "authorization_policy",
)
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
    """

    types: tuple[str, ...]
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return "\n".join([f"  protects {', '.join(self.types)}", *(f"  {step}" for step in self.steps)])


def program(seed: int) -> Program:
    """Returns what a seed stands for."""
    draw = random.Random(f"steps of {seed}")
    main = draw.choice(("users", "groups", "groups", "administrative_units", "applications"))
    more = draw.sample(KINDS, draw.choice((0, 1, 1, 2)))
    steps = [Step("backup", {})] if draw.random() < 0.7 else []
    for _ in range(draw.randint(2, 5)):
        steps += _some(draw)
    steps.append(Step("change", {"seed": draw.randrange(10**6)}))
    steps.append(Step("backup", {}))
    return Program(tuple(name for name in KINDS if name in {main, *more}), tuple(steps))


def _some(draw: random.Random) -> Iterator[Step]:
    yield Step("change", {"seed": draw.randrange(10**6), "changes": draw.choice((1, 1, 2, 3, 6))})
    if draw.random() < 0.3:
        yield Step("wait", {"seconds": draw.choice((1, 60, 3600, 86_400))})
    yield Step("backup", _backup(draw))


def _backup(draw: random.Random) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if draw.random() < 0.2:
        options["full"] = True
    if draw.random() < 0.3:
        options["changes_at"] = sorted({draw.randrange(20) for _ in range(draw.randint(1, 3))})
        options["seed"] = draw.randrange(10**6)
    chance = draw.random()
    if chance < 0.3:
        options["dies_at"] = draw.randrange(60)
        options["done"] = draw.random() < 0.5
    return options


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
