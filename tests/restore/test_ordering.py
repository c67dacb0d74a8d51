"""The order of steps holds every step, also those that would wait for each other."""

from __future__ import annotations

from itertools import permutations

import pytest

from entra_pipeline.restore.plan.ordering import ordered
from entra_pipeline.restore.plan.rules.drafts import ALL_STAGES, Draft
from entra_pipeline.restore.plan.rules.holders import UniqueName
from entra_pipeline.restore.plan.rules.names import in_turn

pytestmark = pytest.mark.pure

PASSING = {"userPrincipalName": "passing@contoso.com"}


def update(id_: str) -> Draft:
    return Draft(action="update", table="users", id=id_, stage=ALL_STAGES[2], live_id=id_)


def relies(draft: Draft, giver: Draft) -> None:
    draft.after.add(giver)
    giver.frees.add(draft.id)
    giver.gives.add(UniqueName("users.userPrincipalName", giver.id))


def circle(many: int) -> list[Draft]:
    drafts = [update(f"u{one}") for one in range(many)]
    for one, other in zip(drafts, [*drafts[1:], drafts[0]], strict=True):
        relies(one, other)
    return drafts


@pytest.mark.parametrize("many", [2, 3, 4])
def test_one_of_those_that_wait_for_each_other_gives_up_its_name_first(many: int) -> None:
    for order in permutations(range(many)):
        drafts = circle(many)
        other = update("other")
        outside = update("outside")
        relies(outside, other)
        # It waits for a circle, and is in none.
        relies(other, drafts[0])
        placed = ordered(in_turn([*(drafts[one] for one in order), other, outside], lambda _: PASSING))
        assert sorted(one.id for one in placed if not one.passing) == sorted(
            [*(f"u{n}" for n in range(many)), "other", "outside"]
        )
        [first] = [one for one in placed if one.passing]
        assert placed[0] is first
        for draft in placed:
            assert all(placed.index(one) < placed.index(draft) for one in draft.after)


def test_circles_apart_have_a_passing_name_each() -> None:
    one, two = circle(2), circle(3)
    for draft in two:
        draft.id = f"other-{draft.id}"
    relies(one[0], two[0])
    placed = ordered(in_turn([*one, *two], lambda _: PASSING))
    assert len([draft for draft in placed if draft.passing]) == 2
    assert len(placed) == 7


def test_a_step_that_frees_a_name_comes_before_the_one_that_needs_it() -> None:
    needs, holds = update("needs"), update("holds")
    relies(needs, holds)
    assert [one.id for one in ordered(in_turn([needs, holds], lambda _: PASSING))] == ["holds", "needs"]
