"""Objects that are another view of stored ones: made when they are read, from one object each.

What belongs here: how they look. What does not: that they exist (`schema.reports`).
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from entra_pipeline.simulator.generate.plan import seeded_random

_METHODS = ("microsoftAuthenticatorPush", "softwareOneTimePasscode", "mobilePhone", "passKeyDeviceBound", "email")
_STRONG = {"microsoftAuthenticatorPush", "softwareOneTimePasscode", "mobilePhone", "passKeyDeviceBound"}


class _User(msgspec.Struct, rename="camel"):
    id: str
    user_principal_name: str = ""
    display_name: str | None = None
    user_type: str | None = None
    created_date_time: str = "2021-03-01T08:00:00Z"


_user = msgspec.json.Decoder(_User)


def registration(body: bytes) -> bytes:
    """Returns which authentication methods a user has registered; by the user's id, and the same every time."""
    user = _user.decode(body)
    rng = seeded_random("registration", user.id)
    methods = [method for method in _METHODS if rng.random() < 0.4]
    strong = bool(_STRONG.intersection(methods))
    return msgspec.json.encode(
        {
            "id": user.id,
            "userPrincipalName": user.user_principal_name,
            "userDisplayName": user.display_name,
            "userType": "guest" if user.user_type == "Guest" else "member",
            "isAdmin": rng.random() < 0.02,
            "isSsprRegistered": len(methods) > 1,
            "isSsprEnabled": True,
            "isSsprCapable": len(methods) > 1,
            "isMfaRegistered": strong,
            "isMfaCapable": strong,
            "isPasswordlessCapable": "passKeyDeviceBound" in methods,
            "methodsRegistered": methods,
            "isSystemPreferredAuthenticationMethodEnabled": False,
            "systemPreferredAuthenticationMethods": [],
            "userPreferredMethodForSecondaryAuthentication": "push" if strong else "none",
            "lastUpdatedDateTime": user.created_date_time,
        }
    )


DERIVED: dict[str, Callable[[bytes], bytes]] = {"userRegistrationDetails": registration}
"""By type: from the JSON of the object it is derived from to its own."""
