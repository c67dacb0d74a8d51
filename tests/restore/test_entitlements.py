"""Roles and scopes of an application, which may share ids: no order of changes that Graph refuses."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entra_pipeline.restore.execute.requests.application import in_order
from entra_pipeline.simulator.graph.writing.rules import check_entitlements
from entra_pipeline.simulator.protocol.failures import Failure

pytestmark = pytest.mark.pure

_IDS = [f"00000000-0000-4000-8000-00000000000{n}" for n in range(4)]
Body = dict[str, Any]


def role(identifier: str, value: str, enabled: bool, text: str) -> Body:
    return {"id": identifier, "value": value, "isEnabled": enabled, "displayName": text, "description": text}


def scope(one: Body) -> Body:
    return {
        "id": one["id"],
        "value": one["value"],
        "isEnabled": one["isEnabled"],
        "adminConsentDisplayName": one["displayName"],
        "adminConsentDescription": one["description"],
    }


@st.composite
def applications(draw: st.DrawFn) -> Body:
    """What Graph can hold: values are used once, a role and a scope of one id say the same."""
    values = iter(draw(st.permutations([f"Value.{n}" for n in range(6)])))
    roles: list[Body] = []
    scopes: list[Body] = []
    for identifier in _IDS:
        one = role(identifier, next(values), draw(st.booleans()), draw(st.sampled_from("ab")))
        where = draw(st.sampled_from(["neither", "role", "scope", "both"]))
        roles += [one] if where in {"role", "both"} else []
        scopes += [scope(one)] if where in {"scope", "both"} else []
    return {"appRoles": roles, "api": {"oauth2PermissionScopes": scopes}}


def written(found: Body, body: Body) -> Body:
    """The application after a PATCH. Raises Failure when Graph refuses it."""
    check_entitlements(body, found)
    return {**found, **body, "api": {**found["api"], **(body.get("api") or {})}}


@given(applications(), applications())
def test_any_change_is_made_by_requests_that_graph_takes(then: Body, now: Body) -> None:
    body = {name: value for name, value in then.items() if value != now[name]}
    disabled, rest = in_order(now, body)
    after = written(written(now, disabled), rest)
    assert after == then


@given(applications(), st.booleans())
def test_what_only_one_of_the_two_says_the_other_follows(now: Body, enabled: bool) -> None:
    roles = [{**one, "isEnabled": enabled, "description": "new"} for one in now["appRoles"]]
    disabled, rest = in_order(now, {"appRoles": roles})
    after = written(written(now, disabled), rest)
    assert after["appRoles"] == roles


def test_a_pair_that_disagrees_is_refused() -> None:
    one = role(_IDS[0], "Value", True, "text")
    with pytest.raises(Failure, match="must match"):
        written(
            {"appRoles": [one], "api": {}}, {"api": {"oauth2PermissionScopes": [scope({**one, "isEnabled": False})]}}
        )
