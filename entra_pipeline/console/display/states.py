"""How an object stands, in a word or two each: enabled, guest, dynamic membership."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_POLICIES = {
    "enabled": ("enabled", "good"),
    "disabled": ("disabled", "warn"),
    "enabledForReportingButNotEnforced": ("report-only", "busy"),
}
VALUES = {"enabledForReportingButNotEnforced": "report-only"}
"""Values of Graph that people have another word for."""


def object_states(body: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Says how an object stands.

    Args:
        body: The object as Graph returned it.

    Returns:
        Words and the tone of each, what matters most first.
    """
    found: list[tuple[str, str]] = []
    if body.get("deletedDateTime"):
        found.append(("deleted", "bad"))
    if isinstance(enabled := body.get("accountEnabled"), bool):
        found.append(("enabled", "good") if enabled else ("disabled", "warn"))
    if str(body.get("state")) in _POLICIES:
        found.append(_POLICIES[str(body["state"])])
    if body.get("userType") == "Guest":
        found.append(("guest", "plain"))
    kinds = body.get("groupTypes")
    if isinstance(kinds, list):
        found.append(
            (
                "Microsoft 365 group"
                if "Unified" in kinds
                else "security group"
                if body.get("securityEnabled")
                else "distribution group",
                "plain",
            )
        )
        if "DynamicMembership" in kinds:
            found.append(("dynamic membership", "plain"))
    if body.get("isAssignableToRole"):
        found.append(("role-assignable", "warn"))
    if body.get("onPremisesSyncEnabled"):
        found.append(("from Active Directory", "plain"))
    if body.get("isBuiltIn"):
        found.append(("built in", "plain"))
    return found
