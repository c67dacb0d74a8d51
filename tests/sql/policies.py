"""To whom policies of conditional access apply, by plain Python over what the tenant says of itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from tests.sql.tenant import Tenant

EXTERNAL = "#EXT#"


def coverage(tenant: Tenant) -> Iterator[tuple[object, ...]]:
    """Policy, its state, user, why the user is in it, and whether it asks for multifactor authentication."""
    inside = defaultdict(set)
    for group, member, _ in tenant.members():
        inside[group].add(member)
    roles = defaultdict(set)
    for one in tenant.role_holders():
        if one.state != "eligible" and one.place == "/":
            roles[one.role_id].add(one.principal_id)
    for policy in tenant.sets["policies"]:
        wanted = policy["conditions"]["users"]
        for user in tenant.sets["users"]:
            reasons = sorted(set(_reasons(wanted, "include", user, inside, roles)))
            if reasons and not any(_reasons(wanted, "exclude", user, inside, roles)):
                yield policy["displayName"], policy["state"], user["id"], reasons, _mfa(policy)


def _reasons(
    wanted: dict[str, Any], side: str, user: dict[str, Any], inside: dict[str, set[str]], roles: dict[str, set[str]]
) -> Iterator[str]:
    users = wanted.get(f"{side}Users") or []
    kind = _guest_kind(user)
    if "All" in users:
        yield "all users"
    if user["id"] in users:
        yield "user"
    if any(user["id"] in inside[group] for group in wanted.get(f"{side}Groups") or ()):
        yield "group"
    if any(user["id"] in roles[role] for role in wanted.get(f"{side}Roles") or ()):
        yield "role"
    guests = wanted.get(f"{side}GuestsOrExternalUsers") or {}
    if kind and ("GuestsOrExternalUsers" in users or kind in (guests.get("guestOrExternalUserTypes") or "").split(",")):
        yield "guests"


def _guest_kind(user: dict[str, Any]) -> str:
    if EXTERNAL in user["userPrincipalName"]:
        return "b2bCollaborationGuest" if user["userType"] == "Guest" else "b2bCollaborationMember"
    return "internalGuest" if user["userType"] == "Guest" else ""


def _mfa(policy: dict[str, Any]) -> str | None:
    """`required`, `or`, or None."""
    grant = policy.get("grantControls") or {}
    asked = [*(grant.get("builtInControls") or ()), *(["strength"] if grant.get("authenticationStrength") else ())]
    others = [*(grant.get("termsOfUse") or ()), *(grant.get("customAuthenticationFactors") or ())]
    if not {"mfa", "strength"} & set(asked):
        return None
    return "required" if grant["operator"] == "AND" or len(asked) + len(others) == 1 else "or"
