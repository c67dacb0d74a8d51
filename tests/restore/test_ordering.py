"""The order of steps holds every step, also those that wait for each other."""

from __future__ import annotations

from itertools import permutations

import pytest

from entra_pipeline.restore.plan.ordering import ordered
from entra_pipeline.restore.plan.rules.drafts import ALL_STAGES, Draft

pytestmark = pytest.mark.pure


def _update(id_: str, *, frees: str = "", needs: str = "") -> Draft:
    draft = Draft(action="update", table="users", id=id_, stage=ALL_STAGES[2], live_id=id_)
    draft.frees = set(frees.split())
    draft.needs = set(needs.split())
    return draft


@pytest.mark.parametrize("circle", [2, 3, 4])
def test_steps_that_wait_for_each_other_are_all_done_and_one_says_so(circle: int) -> None:
    for order in permutations(range(circle)):
        drafts = [_update(f"u{one}", frees=f"u{(one + 1) % circle}") for one in order]
        placed = ordered([*drafts, _update("other")])
        assert sorted(one.id for one in placed) == sorted([*(f"u{one}" for one in order), "other"])
        assert sum(bool(one.notes) for one in placed) == 1


def test_a_step_that_frees_a_name_comes_before_the_one_that_needs_it() -> None:
    placed = ordered([_update("needs"), _update("holds", frees="needs")])
    assert [one.id for one in placed] == ["holds", "needs"]
    assert not any(one.notes for one in placed)
