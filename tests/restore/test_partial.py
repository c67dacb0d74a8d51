"""Which properties a refusal is about, and which an object is never made without."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.restore.execute.refusals import refused_properties
from entra_pipeline.restore.execute.requests.partial import dispensable, replacements, stripped
from entra_pipeline.restore.objects.texts import is_valid, valid_text

pytestmark = pytest.mark.pure

BODY = {
    "displayName": "Shop",
    "description": "Sells",
    "identifierUris": ["https://shop.example.org"],
    "mailNickname": "shop",
    "api": {"preAuthorizedApplications": [], "oauth2PermissionScopes": []},
}


@pytest.mark.parametrize(
    ("targets", "message", "named"),
    [
        (["identifierUris"], "whatever", {"identifierUris"}),
        (["application.identifierUris"], "whatever", {"identifierUris"}),
        (["api.preAuthorizedApplications.delegatedPermissionIds"], "", {"api.preAuthorizedApplications"}),
        (["api/oauth2PermissionScopes"], "", {"api.oauth2PermissionScopes"}),
        (["info"], "Values of identifierUris property must use a verified domain", {"identifierUris"}),
        ([], "Invalid value specified for property 'mailNickname' of resource 'Group'.", {"mailNickname"}),
        ([], "Property MailNickname is invalid", {"mailNickname"}),
        ([], "Another object with the same value for property identifierUris already exists.", {"identifierUris"}),
        # A word is no name.
        ([], "The description of the request is wrong.", set()),
        ([], "One or more property values specified are invalid.", set()),
    ],
)
def test_what_a_refusal_names(targets: list[str], message: str, named: set[str]) -> None:
    assert refused_properties(targets, message, BODY) == named


@pytest.mark.parametrize("table", [name for name, entry in CATALOGUE.items() if entry.restore.possible])
def test_no_object_is_made_without_what_narrows_access(table: str) -> None:
    entry = CATALOGUE[table]
    rule = entry.restore
    loose = dispensable(entry, [*entry.properties, "@odata.type"])
    kept = {*rule.required, *(rule.guards - {"*"}), *(rule.guard or ())[:1], entry.key, "@odata.type"}
    assert not loose & kept
    assert rule.guards == {"*"} or rule.guards <= entry.properties.keys()
    if rule.guards == {"*"}:
        assert loose <= {"description", "displayName", "notes"}


@pytest.mark.parametrize(
    ("table", "names"),
    [
        ("conditional_access_policies", {"conditions", "state", "grantControls", "sessionControls"}),
        ("users", {"accountEnabled", "userType"}),
        ("groups", {"visibility", "isAssignableToRole", "membershipRule"}),
        ("service_principals", {"accountEnabled", "appRoleAssignmentRequired"}),
        ("applications", {"signInAudience"}),
        ("named_locations", {"isTrusted", "ipRanges"}),
        ("oauth2_permission_grants", {"scope", "principalId"}),
    ],
)
def test_guards(table: str, names: set[str]) -> None:
    assert dispensable(CATALOGUE[table], names) == set()


@given(st.text(max_size=90), st.uuids().map(str))
def test_a_nickname_that_is_refused_is_replaced_by_one_that_is_taken(text: str, identifier: str) -> None:
    entry = CATALOGUE["groups"]
    rule = entry.restore.texts["mailNickname"]
    for valid in (valid_text(rule, text), valid_text(rule, text, identifier)):
        assert is_valid(rule, valid)
        assert re.fullmatch(r"[!#$%&'*+./0-9=?A-Z^_`a-z{|}~-]{1,64}", valid)
    if is_valid(rule, text):
        assert valid_text(rule, text) == text
    first = replacements(entry, identifier, {"mailNickname": text}, {})["mailNickname"]
    again = replacements(entry, identifier, {"mailNickname": first}, {"mailNickname": first})
    # Each is another one, and they come to an end.
    assert first != text
    assert again.get("mailNickname") != first


def test_stripping_leaves_the_rest_of_a_value() -> None:
    assert stripped({"api": {"a": 1, "b": 2}, "c": 3}, ["api.a", "c"]) == {"api": {"b": 2}}
