"""The disasters themselves: that they are what they say, and that the fewest writes to undo them are counted right."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from entra_pipeline.simulator import Control, Simulator
from tests.restore import disasters
from tests.restore.disasters import Truth, least_writes, truth


@pytest.fixture
def control() -> Iterator[Control]:
    with Simulator(users=120, groups=30, seed=4) as simulator:
        yield simulator.control


def damage(control: Control, act: Callable[[], object]) -> tuple[Truth, Truth, int]:
    before = truth(control)
    act()
    after = truth(control)
    return before, after, least_writes(before, after)


def test_nothing_happened(control: Control) -> None:
    assert damage(control, lambda: None)[2] == 0


def test_people_in_the_recycle_bin_take_one_write_each(control: Control) -> None:
    before, after, least = damage(control, lambda: disasters.delete_people(control, users=20, groups=5))
    assert len(before.objects["user"]) - len(after.objects["user"]) == 20
    assert least == 25
    for kind in ("user", "group"):
        for identifier in after.deleted[kind]:
            control.restore(identifier)
    assert least_writes(before, truth(control)) == 0


def test_people_who_are_gone_for_good_take_more(control: Control) -> None:
    before, after, least = damage(control, lambda: disasters.delete_people(control, users=20, groups=5, for_good=True))
    assert not after.deleted["user"]
    lost = before.links["group", "members"] - after.links["group", "members"]
    assert len(lost) > 20
    # A creation and an activation at least; twenty members a write.
    assert 20 * 2 + 5 < least < 20 * 2 + 5 + sum(len(pairs - after.links[p]) for p, pairs in before.links.items()) + 90


def test_members_come_back_twenty_at_a_time(control: Control) -> None:
    before, after, least = damage(control, lambda: disasters.empty_groups(control, groups=10, applications=3))
    lost = before.links["group", "members"] - after.links["group", "members"]
    emptied = {source for source, _ in lost}
    assert len(emptied) == 10
    members = sum(-(-sum(source == group for source, _ in lost) // 20) for group in emptied)
    owners = before.links["application", "owners"] - after.links["application", "owners"]
    assert least == members + len(owners)


def test_conditional_access_takes_a_write_per_object(control: Control) -> None:
    _, after, least = damage(control, lambda: disasters.rewrite_conditional_access(control))
    assert len(after.objects["conditionalAccessPolicy"]) == 5
    assert len(after.deleted["namedLocation"]) == 3
    # Five rewritten, one policy and three locations undeleted, one of them trusted again.
    assert least == 10


@pytest.mark.parametrize("for_good", [False, True])
def test_an_application_with_its_assignments(for_good: bool, control: Control) -> None:
    application = disasters.assign_many(control, assignments=50)
    _, after, least = damage(control, lambda: disasters.delete_application(control, application, for_good=for_good))
    assert application not in after.objects["application"]
    assert least == 2 if not for_good else least > 52


def test_roles_and_units(control: Control) -> None:
    before, after, least = damage(control, lambda: disasters.scramble_roles(control))
    assignments = before.objects["unifiedRoleAssignment"].keys() ^ after.objects["unifiedRoleAssignment"].keys()
    # Also of the unit that was deleted: it comes back with the members that it had by then.
    moved = before.links["administrativeUnit", "members"] ^ after.held["administrativeUnit", "members"]
    assert len(assignments) > 10
    assert least >= len(assignments)
    # Each unit has another name; the deleted one takes a write more.
    assert least <= len(assignments) + len(moved) + len(before.objects["administrativeUnit"]) + 1


def test_attributes_take_a_write_per_user(control: Control) -> None:
    assert damage(control, lambda: disasters.overwrite_attributes(control, users=50))[2] == 50


def test_everything(control: Control) -> None:
    before, after, least = damage(control, lambda: disasters.delete_everything(control))
    left = {kind: len(ones) for kind, ones in after.objects.items() if ones}
    assert left["servicePrincipal"] == 1
    assert all(one["onPremisesSyncEnabled"] for one in after.objects["user"].values())
    assert not left.keys() & {"application", "conditionalAccessPolicy", "workflow", "connectedOrganization"}
    assert least > len(before.objects["user"]) / 2
