"""Values that say the same are the same however they are written, and no others are."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entra_pipeline.analysis.equality import ORDERED, differences, normal, same
from entra_pipeline.catalogue import CATALOGUE

pytestmark = pytest.mark.pure

_NAMES = st.sampled_from(["a", "b", "value", "@odata.type"])
_SCALARS = st.one_of(st.none(), st.text(max_size=3), st.integers(-9, 9))
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_NAMES, inner, max_size=4)),
    max_leaves=12,
)


def _respelled(value: Any, chance: random.Random) -> Any:
    """The same value as Graph could write it another time."""
    if isinstance(value, dict):
        members = [(key, _respelled(item, chance)) for key, item in value.items()]
        members = [(key, item) for key, item in members if item is not None or chance.random() < 0.5]
        members += [("missing", chance.choice([None, []]))] if chance.random() < 0.5 else []
        members += [("a@odata.type", "#Collection(String)")] if chance.random() < 0.5 else []
        chance.shuffle(members)
        return dict(members)
    if isinstance(value, list):
        items = [_respelled(item, chance) for item in value]
        chance.shuffle(items)
        return items
    return value


@given(_VALUES, st.integers(0, 99))
def test_a_value_is_the_same_however_it_is_written(value: Any, seed: int) -> None:
    assert same(value, _respelled(value, random.Random(seed)))
    assert normal(normal(value)) == normal(value)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([{"skuId": "1"}], [{"skuId": "1"}, {"skuId": "1"}]),
        ([{"skuId": "1", "disabledPlans": ["p"]}], [{"skuId": "1", "disabledPlans": []}]),
        ({"users": {"excludeGroups": ["a"]}}, {"users": {"excludeGroups": []}}),
        ({"users": None}, {"users": {}}),
        ({"approver": {"@odata.type": "#a.internalSponsors"}}, {"approver": {"@odata.type": "#a.externalSponsors"}}),
        ("", None),
        (False, None),
        (0, None),
        ("SMTP:a@example.com", "smtp:a@example.com"),
    ],
)
def test_what_says_something_else_differs(before: Any, after: Any) -> None:
    assert not same(before, after)
    assert not same(after, before)


@pytest.mark.parametrize("name", sorted(ORDERED))
def test_a_list_whose_places_mean_something_keeps_its_order(name: str) -> None:
    assert not same({name: ["a", "b"]}, {name: ["b", "a"]})
    assert not same(["a", "b"], ["b", "a"], name)
    assert same({"of": ["a", "b"]}, {"of": ["b", "a"]})


def test_volatile_properties_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    users = CATALOGUE["users"]
    rule = dataclasses.replace(users.restore, volatile=frozenset({"refreshTokensValidFromDateTime"}))
    monkeypatch.setitem(CATALOGUE, "users", dataclasses.replace(users, restore=rule))
    before = {"id": "1", "@odata.etag": "x", "jobTitle": "a", "refreshTokensValidFromDateTime": "1", "city": None}
    after = {"id": "2", "@odata.etag": "y", "jobTitle": "b", "refreshTokensValidFromDateTime": "2"}

    assert differences("users", before, after) == (
        {"jobTitle": ("a", "b")},
        {"refreshTokensValidFromDateTime": ("1", "2")},
    )
