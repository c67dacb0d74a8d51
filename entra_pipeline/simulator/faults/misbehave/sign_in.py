"""Token requests that fail for a while. Source: azure-sdk-for-python#14241."""

from __future__ import annotations

import msgspec

from entra_pipeline.simulator.faults.misbehave.rule import Misbehaviour, MisbehaviourRule
from entra_pipeline.simulator.protocol.requests import GraphResponse


def _unavailable(rule: MisbehaviourRule) -> GraphResponse:
    return GraphResponse(
        int(rule.options["status"]), b"<html>Service unavailable</html>", {"Content-Type": "text/html"}
    )


def _transient(rule: MisbehaviourRule) -> GraphResponse:
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
)
