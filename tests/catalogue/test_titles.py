"""What people call object types: one object of a type, and several."""

from __future__ import annotations

import re

import pytest

from entra_pipeline.catalogue import CATALOGUE, EVERYTHING
from entra_pipeline.catalogue.labels import type_name, type_names

pytestmark = pytest.mark.pure


def test_a_type_has_a_name_for_one_object_and_for_several() -> None:
    assert (type_name("users"), type_names("users")) == ("User", "Users")
    assert type_names("conditional_access_policies") == "Conditional access policies"
    assert type_names("bitlocker_recovery_keys") == "BitLocker recovery keys"
    assert type_names("deleted_users") == "Deleted users"
    assert type_names("user_licenses") == "Licences of users"
    assert type_names("authorization_policy") == "Authorization policy"
    # A relation is a name for several already.
    assert type_names("group_members") == type_name("group_members") == "Group members"


def test_no_plural_is_left_to_a_rule_that_does_not_know_its_words() -> None:
    """The rule changes the last word: where another one is what there are several of, the entry says the plural."""
    ruled = [CATALOGUE[name] for name in EVERYTHING if not CATALOGUE[name].irregular_plural]
    many = [entry for entry in ruled if not entry.singleton]
    unlikely = re.compile(r" (of|for|in|from|to|that) |ss$|[^aeiou]ys$")
    assert [entry.plural for entry in many if unlikely.search(entry.plural)] == []
    assert len({entry.plural for entry in CATALOGUE.values()}) == len(CATALOGUE)
