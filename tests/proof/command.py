"""The command: runs seeds, shrinks what fails, and says how to replay it."""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections import Counter
from pathlib import Path

from tests.proof import world as worlds
from tests.proof.cuts import WORK, all_cuts
from tests.proof.mutations import MUTATIONS
from tests.proof.program import KINDS, program, shrink
from tests.proof.virtual import real_seconds


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="make prove", description=__doc__)
    parser.add_argument("--seeds", type=int, default=500, help="how many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="replay this one, and show what happens")
    parser.add_argument("--show", action="store_true", help="show every operation of a replayed seed")
    parser.add_argument("--no-shrink", action="store_true", help="leave a failing seed as it is")
    parser.add_argument("--mutation", choices=MUTATIONS, help="turn a mended fault on, and run seeds until one fails")
    parser.add_argument(
        "--cuts", choices=("folder", "bucket", "all"), help="cut backups and prunes after each operation instead"
    )
    parser.add_argument("--types", default=",".join(KINDS), help="what is backed up where cuts are made")
    parser.add_argument("--work", default=",".join(WORK), help="what is cut")
    given = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="proof-") as folder:
        worlds.use(Path(folder))
        if given.mutation:
            return mutated(given.mutation, given.first, given.seeds)
        if given.cuts:
            places = {"folder": (False,), "bucket": (True,), "all": (False, True)}[given.cuts]
            return cuts(tuple(given.types.split(",")), places, given.work.split(","))
        if given.seed is not None:
            return replay(given.seed, given.show, not given.no_shrink)
        return run(given.first, given.seeds, not given.no_shrink)


def run(first: int, seeds: int, shrinks: bool) -> int:
    """Runs seeds; returns 1 when one fails."""
    started, steps, told, failed = real_seconds(), 0, Counter[str](), list[int]()
    for number, seed in enumerate(range(first, first + seeds), 1):
        outcome = worlds.simulate(seed, program(seed))
        steps += outcome.steps
        told += outcome.told
        if outcome.violation:
            failed.append(seed)
            print(f"seed {seed} fails: {outcome.violation}", flush=True)
            if shrinks and len(failed) == 1:
                replay(seed, False, True)
        if number % 50 == 0 or number == seeds:
            took = real_seconds() - started
            print(f"{number} seeds, {steps} steps, {number / took:.2f} seeds/s, {len(failed)} failing", flush=True)
    for kind, times in sorted(told.items()):
        print(f"  {times:7} {kind}")
    return 1 if failed else 0


def mutated(name: str, first: int, seeds: int) -> int:
    """Turns a mended fault on and runs seeds until one fails because of it; returns 1 when none does.

    Seeds in which nothing happens that could show it are counted, and not run.
    """
    mutation = MUTATIONS[name]
    print(f"{name}: {mutation.about}", flush=True)
    for number, seed in enumerate(range(first, first + seeds), 1):
        if not mutation.may_show_in(program(seed)):
            continue
        with mutation.applied():
            violation = worlds.simulate(seed, program(seed)).violation
        if not violation:
            continue
        if besides := worlds.simulate(seed, program(seed)).violation:
            print(f"{name}: seed {seed} fails without it, too: {besides[:300]}", flush=True)
            continue
        print(f"{name}: found in seed number {number}: {violation[:300]}", flush=True)
        return 0
    print(f"{name}: not found in {seeds} seeds", flush=True)
    return 1


def cuts(types: tuple[str, ...], places: tuple[bool, ...], work: list[str]) -> int:
    """Cuts work after each of its operations; returns 1 when something is wrong after one."""
    wrong = 0
    for one in all_cuts(types, places, work):
        wrong += len(one.violations)
        print(f"{one.place}, {one.work}: {one.operations} cuts, {len(one.violations)} violations", flush=True)
        for number, violation in one.violations.items():
            print(f"  after operation {number}: {violation}")
    return 1 if wrong else 0


def replay(seed: int, show: bool, shrinks: bool) -> int:
    """Runs one seed again, and shrinks it when it fails."""
    found = program(seed)
    outcome = worlds.simulate(seed, found)
    print(f"seed {seed}: {outcome.violation or 'all is well'}; trace {outcome.trace[:16]}")
    if show:
        print("\n".join(outcome.log))
    if not outcome.violation:
        return 0
    if shrinks:
        kind = outcome.violation[:25]
        found = shrink(found, lambda one: worlds.simulate(seed, one).violation[:25] == kind)
        print(worlds.simulate(seed, found).violation)
    print(found)
    print(f"replay: make prove SEED={seed}")
    return 1
