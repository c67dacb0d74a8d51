"""Protected actions: they take an authentication context that the tenant chooses (Entra doc: protected-actions-add).

What belongs here: which action a write takes, and which context that needs. What does not: whether the caller satisfies
it (`tenant`), the list of actions (`generate.builtin`).
"""

from __future__ import annotations

import msgspec

from entra_pipeline.simulator.generate.builtin import PROTECTABLE_ACTIONS, action_id
from entra_pipeline.simulator.protocol.paths import ResourcePath
from entra_pipeline.simulator.protocol.requests import GraphRequest
from entra_pipeline.simulator.storage.directory import Directory

_SET = "unifiedRbacResourceAction"
_WRITES = {"POST": "create", "PATCH": "basic/update", "PUT": "basic/update", "DELETE": "delete"}
_RESOURCES = {
    "conditionalAccessPolicy": "conditionalAccessPolicies",
    "namedLocation": "namedLocations",
    "crossTenantAccessPolicy": "crossTenantAccessPolicy",
    "crossTenantAccessPolicyConfigurationDefault": "crossTenantAccessPolicy/default",
    "crossTenantAccessPolicyConfigurationPartner": "crossTenantAccessPolicy/partners",
}


def contexts(directory: Directory, request: GraphRequest, place: ResourcePath) -> set[str]:
    """Returns the ids of the authentication contexts that a request needs."""
    resource = _RESOURCES.get(place.entry.name) if place.entry else None
    if resource is None or request.method not in _WRITES or place.relation is not None:
        return set()
    actions = {f"microsoft.directory/{resource}/{_WRITES[request.method]}"}
    if request.method in {"PATCH", "PUT"}:
        # Both sides of one agreement are one part of the policy.
        parts = {name.removesuffix("Inbound").removesuffix("Outbound") for name in request.json()}
        actions |= {f"microsoft.directory/{resource}/{part}/update" for part in parts}
    found = (directory.find(action_id(action), _SET) for action in actions & PROTECTABLE_ACTIONS.keys())
    held = (msgspec.json.decode(row.body).get("authenticationContextId") for row in found if row)
    return {context for context in held if context}
