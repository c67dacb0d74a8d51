"""Ids in bodies: found wherever they stand, and replaced there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entra_pipeline.restore.objects.references import ids_in, rewrite

pytestmark = pytest.mark.pure

OLD = "0a1b2c3d-0000-4000-8000-00000000000a"
NEW = "ffffffff-1111-4111-8111-11111111111f"
PLAIN = OLD.replace("-", "")


@pytest.mark.parametrize(
    ("value", "rewritten"),
    [
        (OLD, NEW),
        (OLD.upper(), NEW),
        (f"/administrativeUnits/{OLD}", f"/administrativeUnits/{NEW}"),
        (f"user.memberOf -any (group.objectId -in ['{OLD}'])", f"user.memberOf -any (group.objectId -in ['{NEW}'])"),
        (f"/v1.0/groups/{OLD}/transitiveMembers/?$count=true", f"/v1.0/groups/{NEW}/transitiveMembers/?$count=true"),
        ({f"extension_{PLAIN}_badge": "7"}, {f"extension_{NEW.replace('-', '')}_badge": "7"}),
        (f'user.extension_{PLAIN}_badge -eq "7"', f'user.extension_{NEW.replace("-", "")}_badge -eq "7"'),
        ({"users": {"excludeGroups": [OLD, "All"]}}, {"users": {"excludeGroups": [NEW, "All"]}}),
        (f"api://{OLD}", f"api://{NEW}"),
        ([None, True, 1, 2.5, ""], [None, True, 1, 2.5, ""]),
    ],
)
def test_ids_are_found_and_replaced(value: object, rewritten: object) -> None:
    assert rewrite(value, {OLD: NEW}) == rewritten
    assert ids_in(value) == ({OLD} if value != rewritten else set())


def test_what_is_not_a_guid_is_replaced_only_as_a_whole() -> None:
    mapping = {"lAPpYvVpN0KR-1": "kBRpYvVpN0KR-2"}
    assert rewrite(["lAPpYvVpN0KR-1", "xlAPpYvVpN0KR-1"], mapping) == ["kBRpYvVpN0KR-2", "xlAPpYvVpN0KR-1"]


def test_an_object_that_was_made_anew_twice_has_the_last_of_its_ids() -> None:
    last = "eeeeeeee-2222-4222-8222-22222222222e"
    mapping = {OLD: NEW.upper(), NEW: last}
    assert rewrite([OLD, f"/groups/{OLD}", NEW], mapping) == [last, f"/groups/{last}", last]
    # A circle is no reason to wait for its end.
    assert rewrite(OLD, {OLD: NEW, NEW: OLD}) in {OLD, NEW}


def test_longer_hexadecimal_text_holds_no_id() -> None:
    assert ids_in(f"f{OLD}") == set()
    assert ids_in(PLAIN) == set()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.just(OLD) | st.just(f"x/{OLD}?y='{OLD}'"),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just(f"extension_{PLAIN}_a"), inner),
)


@given(JSON)
def test_rewriting_there_and_back_gives_the_same(value: object) -> None:
    there = rewrite(value, {OLD: NEW})
    assert OLD not in ids_in(there)
    assert rewrite(there, {NEW: OLD}) == value
