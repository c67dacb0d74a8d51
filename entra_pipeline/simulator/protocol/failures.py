"""The errors Microsoft Graph answers with (Graph doc: concepts/errors).

What belongs here: the exception that becomes an error response, and the ones with fixed wording. What does not: when
they are raised.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping


class Failure(Exception):
    """An error response.

    Attributes:
        status: HTTP status.
        code: Graph's error code.
        message: Graph's message.
        headers: Headers the response carries besides the usual ones.
        details: `error.details`, each with code, message and target.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        details: list[dict[str, str]] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})
        self.details = details or []


def bad_request(message: str, *, details: list[dict[str, str]] | None = None) -> Failure:
    """Returns a 400: the general refusal."""
    return Failure(400, "Request_BadRequest", message, details=details)


def unsupported(message: str) -> Failure:
    """Returns a 400: a query that the set does not support."""
    return Failure(400, "Request_UnsupportedQuery", message)


def not_found(key: str) -> Failure:
    """Returns a 404: an object that is not there."""
    return Failure(
        404,
        "Request_ResourceNotFound",
        f"Resource '{key}' does not exist or one of its queried reference-property objects are not present.",
    )


def no_segment(segment: str) -> Failure:
    """Returns a 400: a path that does not exist."""
    return Failure(400, "BadRequest", f"Resource not found for the segment '{segment}'.")


def unknown_property(name: str, type_name: str) -> Failure:
    """Returns a 400: a property that the type does not have."""
    return Failure(
        400, "BadRequest", f"Could not find a property named '{name}' on type 'microsoft.graph.{type_name}'."
    )


def denied() -> Failure:
    """Returns a 403: a permission or directory role is missing."""
    return Failure(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")


def invalid_token(message: str) -> Failure:
    """Returns a 401: no token, or one that is not good (any more)."""
    return Failure(
        401,
        "InvalidAuthenticationToken",
        message,
        headers={"WWW-Authenticate": 'Bearer realm="", error="invalid_token"'},
    )


def step_up(context: str) -> Failure:
    """Returns a 401: a protected action takes a sign-in that satisfies an authentication context.

    The claims to ask for are in the header (Entra doc: claims-challenge, "Claims challenge header format").
    """
    claims = json.dumps({"access_token": {"acrs": {"essential": True, "value": context}}})
    encoded = base64.b64encode(claims.encode()).decode()
    return Failure(
        401,
        "InvalidAuthenticationToken",
        "Authentication context is required to perform the protected action.",
        headers={
            "WWW-Authenticate": 'Bearer realm="", '
            'authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", '
            f'error="insufficient_claims", claims="{encoded}"'
        },
    )


def conflict(name: str) -> Failure:
    """Returns a 400: a value that must be unique is taken."""
    message = f"Another object with the same value for property {name} already exists."
    return bad_request(message, details=[{"code": "ObjectConflict", "message": message, "target": name}])


def same_key(message: str) -> Failure:
    """Returns a 409: an object with the same key exists."""
    return Failure(409, "Request_MultipleObjectsWithSameKeyValue", message)


_UNKNOWN_IN_POLICY = {
    "user": "1053: Invalid user value: {}.",
    "group": "1054: Invalid group value: {}.",
    "unifiedRoleDefinition": "1055: Invalid role value: {}.",
    "servicePrincipal": "1034: Invalid application value: {}.",
    "namedLocation": "1040: NamedLocation with id {} does not exist in the directory.",
    "authenticationContextClassReference": "Authentication context {} does not exist.",
    "authenticationStrengthPolicy": "Authentication strength {} does not exist.",
    "agreement": "Terms of use {} do not exist.",
}


def unknown_in_policy(type_name: str, key: str) -> Failure:
    """Returns a 400: a policy of conditional access names an object of the type that is not there."""
    return Failure(400, "BadRequest", _UNKNOWN_IN_POLICY[type_name].format(key))


def concurrency() -> Failure:
    """Returns a 409: another write on the object is under way."""
    return Failure(409, "Directory_ConcurrencyViolation", "Unable to complete the request due to data concurrency.")


def method_not_allowed() -> Failure:
    """Returns a 405: the path exists, the method on it does not."""
    return Failure(405, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.")
