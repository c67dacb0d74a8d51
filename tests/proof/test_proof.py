"""The proof on a few seeds; `make prove` takes more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.proof.mutations import MUTATIONS

ROOT = Path(__file__).parent.parent.parent


def prove(*arguments: str) -> str:
    """Runs the proof in a process of its own, because it replaces time and chance; returns what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.proof", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, f"{done.stdout[-6000:]}{done.stderr[-3000:]}"
    return done.stdout


def test_fifty_seeds_find_nothing() -> None:
    said = prove("--seeds", "50")
    assert "50 seeds" in said
    assert "0 failing" in said


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mended_fault_can_be_turned_on_again(name: str) -> None:
    with MUTATIONS[name].applied():
        pass


def test_a_seed_replays_bit_for_bit() -> None:
    assert prove("--seed", "7", "--show") == prove("--seed", "7", "--show")


def test_a_backup_and_a_prune_in_a_folder_survive_a_kill_after_each_of_their_operations() -> None:
    said = prove("--cuts", "folder", "--types", "named_locations", "--work", "incremental,prune")
    assert said.count(" cuts, 0 violations") == 2
