"""Disasters undone while Graph does its worst: replication lags after every write, names are taken, properties refused.

The suite tries what takes seconds; `make chaos` (`--chaos-kills 50`) all eight.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.restore import disasters
from tests.restore.disasters import least_writes, truth
from tests.restore.test_disasters_undone import DISASTERS, Site, bad, site, unexplained

__all__ = ["site"]

FAST = ("people gone for good",)
_EVERY = 10


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "disaster" in metafunc.fixturenames:
        every = int(metafunc.config.getoption("--chaos-kills")) >= _EVERY
        metafunc.parametrize("disaster", DISASTERS if every else FAST)


def test_a_disaster_is_undone_though_names_are_taken_properties_refused_and_replication_lags(
    disaster: str, site: Callable[..., Site]
) -> None:
    one = site()
    # Seats for everybody: those who are gone for good keep theirs in this tenant.
    for sku in one.control.dump("subscribedSkus"):
        one.control.patch(f"subscribedSkus/{sku['id']}", {"prepaidUnits": {**sku["prepaidUnits"], "enabled": 100_000}})
    before = truth(one.control)
    point = one.backup()
    DISASTERS[disaster](one.control)
    after = truth(one.control)
    least = least_writes(before, after)
    gone = before.objects["user"].keys() - after.objects["user"].keys()
    names = [before.objects["user"][user]["userPrincipalName"] for user in sorted(gone)]
    members = [name for name in names if "#EXT#" not in name]
    taken = disasters.take_names(one.control, members) if members else []
    plan = one.plan(point, taken="rename")
    unresolved = {refusal.name for refusal in plan.refusals if refusal.kind == "unresolved"}
    assert len(unresolved) <= len(taken)

    disasters.refuse_properties(one.control)
    one.control.knobs(lag=0.3, lag_writes=True)
    one.control.ledger(reset=True)
    report = one.apply(plan)
    written = sum(one.control.ledger()["written"].values())
    one.control.knobs(lag=0.0, lag_writes=False)
    one.control.behave()
    # Each refused property is named, and costs nothing else.
    refused = tuple(f"without {name}: Graph answered 400" for name in disasters.REFUSED.values())
    told = bad(report)
    assert [
        each for each in told if each[1] != "restored with differences" or not any(map(each[2].count, refused))
    ] == []
    assert written <= 1.2 * least, (written, least, report.writes)

    # What Graph takes now is set, and nothing is made twice.
    again = one.plan(point, "again")
    assert {name for step in again.steps for name in step.before} <= {*disasters.REFUSED.values()}
    assert {step.action for step in again.steps} <= {"update"}
    assert bad(one.apply(again)) == []
    last = one.plan(point, "last")
    assert last.steps == ()
    left = [each for each in unexplained(last.refusals) if each.reason != "it was added since"]
    assert [each for each in left if each.name not in unresolved] == []
