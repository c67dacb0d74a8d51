"""Token requests that fail for a while, or are answered oddly. Source: azure-sdk-for-python#14241."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from entra_pipeline.simulator.faults.misbehave.rule import Misbehaviour, MisbehaviourRule
from entra_pipeline.simulator.protocol.requests import GraphResponse

Healthy = Callable[[], dict[str, Any]]


def _unavailable(rule: MisbehaviourRule, healthy: Healthy) -> GraphResponse:
    return GraphResponse(
        int(rule.options["status"]), b"<html>Service unavailable</html>", {"Content-Type": "text/html"}
    )


def _odd(rule: MisbehaviourRule, healthy: Healthy) -> GraphResponse:
    absent = rule.options["absent"]
    body = {name: value for name, value in {**healthy(), **rule.options["changes"]}.items() if name not in absent}
    return GraphResponse(int(rule.options["status"]), msgspec.json.encode(body), {"Content-Type": "application/json"})


def _transient(rule: MisbehaviourRule, healthy: Healthy) -> GraphResponse:
    number = int(rule.options["number"])
    body = {
        "error": str(rule.options["error"]),
        "error_description": f"AADSTS{number}: A transient error has occurred. Please try again.",
        "error_codes": [number],
    }
    return GraphResponse(int(rule.options["status"]), msgspec.json.encode(body), {"Content-Type": "application/json"})


MISBEHAVIOURS = (
    Misbehaviour(
        "sign-in-unavailable",
        "the token endpoint answers 503 with a page of HTML",
        options={"status": 503},
        sign_in=_unavailable,
    ),
    Misbehaviour(
        "sign-in-transient",
        "the token endpoint refuses with an error that is said to pass: AADSTS90033",
        options={"status": 400, "number": 90033, "error": "temporarily_unavailable"},
        sign_in=_transient,
    ),
    Misbehaviour(
        "sign-in-odd",
        "the answer of the token endpoint has members of another kind, or lacks some",
        options={"status": 200, "changes": {}, "absent": ("expires_in",)},
        sign_in=_odd,
    ),
)
