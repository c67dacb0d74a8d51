"""Answers to a sign-in are checked before azure-identity sees them: an odd one is no refusal of the credential."""

from __future__ import annotations

from typing import Any

import pytest
from requests.exceptions import RequestException

from entra_pipeline.graph.credentials import checked_sign_in

pytestmark = pytest.mark.pure

GOOD = {"token_type": "Bearer", "access_token": "aa.bb-_~+/cc==", "expires_in": 3599}
BASE = "https://login.microsoftonline.com/t"
CONFIGURATION = {"token_endpoint": f"{BASE}/token", "authorization_endpoint": f"{BASE}/authorize", "issuer": BASE}


@pytest.mark.parametrize("lifetime", [3599, "3599", 3599.0, 1, 86400])
def test_a_lifetime_in_seconds_is_taken_however_it_is_written(lifetime: object) -> None:
    answer = checked_sign_in({**GOOD, "expires_in": lifetime, "refresh_in": "x"}, 200, for_token=True)
    assert answer == {**GOOD, "expires_in": int(float(str(lifetime)))}


@pytest.mark.parametrize(
    "lifetime",
    [None, 0, -1, 0.5, True, "", "-3599", "3599 s", "\u0663", "1" * 500, 10**30, float("inf"), [3599], {"s": 1}],
)
def test_a_lifetime_that_is_none_is_named(lifetime: object) -> None:
    with pytest.raises(RequestException, match="expires_in is "):
        checked_sign_in({**GOOD, "expires_in": lifetime}, 200, for_token=True)


def test_a_missing_lifetime_is_named() -> None:
    with pytest.raises(RequestException, match="expires_in is missing"):
        checked_sign_in({"access_token": "x"}, 200, for_token=True)


@pytest.mark.parametrize("token", [None, "", " ", "a\nb", "a\r\nX: y", "ab\n", "caf\u00e9", "a b", 7, ["a"], {}, True])
def test_a_token_that_no_header_carries_is_named_and_not_shown(token: Any) -> None:
    with pytest.raises(RequestException, match="access_token") as found:
        checked_sign_in({**GOOD, "access_token": token}, 200, for_token=True)
    assert "X: y" not in str(found.value)


@pytest.mark.parametrize("kind", ["mac", "", None, 7, ["Bearer"]])
def test_a_token_of_another_type_is_named(kind: object) -> None:
    with pytest.raises(RequestException, match="token_type is "):
        checked_sign_in({**GOOD, "token_type": kind}, 200, for_token=True)


@pytest.mark.parametrize("body", [{}, {"error": None}, {"error": {"code": "x"}}, {"error": 7}, {"message": "no"}])
@pytest.mark.parametrize("status", [200, 400, 401, 403])
def test_neither_a_token_nor_an_error(body: dict[str, Any], status: int) -> None:
    with pytest.raises(RequestException):
        checked_sign_in(body, status, for_token=True)


def test_an_error_stays_one_whatever_else_is_odd() -> None:
    odd = {"error": "invalid_client", "error_description": 7, "error_codes": [[1], "x", 7000215], "suberror": {}}
    assert checked_sign_in(odd, 401, for_token=True) == {
        "error": "invalid_client",
        "error_description": "invalid_client",
        "error_codes": [7000215],
    }


@pytest.mark.parametrize("name", CONFIGURATION)
@pytest.mark.parametrize("value", [None, "", 7, "http://login.microsoftonline.com/t/token"])
def test_a_secret_is_sent_to_no_endpoint_without_tls(name: str, value: object) -> None:
    assert checked_sign_in(CONFIGURATION, 200, for_token=False) == CONFIGURATION
    with pytest.raises(RequestException, match=name):
        checked_sign_in({**CONFIGURATION, name: value}, 200, for_token=False)
