"""Chance that is the same every time: random numbers by a seed in words."""

from __future__ import annotations

import random


def dice(*seed: object) -> random.Random:
    """A generator of random numbers that depends on nothing but the parts of its seed."""
    return random.Random(":".join(map(str, seed)))  # noqa: S311 - reproducible on purpose, and no secret
