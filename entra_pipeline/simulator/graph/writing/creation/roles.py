"""Makes up what a new role or role assignment has."""

from __future__ import annotations

import msgspec

from entra_pipeline.simulator.generate import builtin
from entra_pipeline.simulator.graph.writing.creation.context import NewObjects, Preset
from entra_pipeline.simulator.protocol.failures import bad_request, conflict, not_found
from entra_pipeline.simulator.schema import LinkKind
from entra_pipeline.simulator.storage.database import Entity


def _role(new: NewObjects, body: Entity, trusted: bool) -> Entity:
    template = str(body.get("roleTemplateId", ""))
    found = [role for role in builtin.ROLES if role[0] == template]
    if not trusted and (not found or new.directory.by_key("directoryRole", template)):
        raise bad_request("A conflicting object with one or more of the specified property values is present.")
    return {"displayName": found[0][1] if found else "", "description": found[0][2] if found else "", **body}


def _definition(new: NewObjects, body: Entity, trusted: bool) -> Entity:
    identifier = str(body.get("templateId") or body.get("id") or new.new_key())
    if not trusted and new.directory.find(identifier):
        raise conflict("templateId")
    made = {
        "isBuiltIn": False,
        "isEnabled": True,
        "resourceScopes": ["/"],
        "templateId": identifier,
        "version": None,
    }
    return {**made, **body, "id": identifier}


def _assignment(new: NewObjects, body: Entity, trusted: bool) -> Entity:
    principal = new.directory.find(str(body.get("principalId")))
    definition = new.directory.find(str(body.get("roleDefinitionId")), "unifiedRoleDefinition")
    if not trusted:
        if principal is None or definition is None:
            raise not_found(str(body.get("roleDefinitionId" if principal else "principalId")))
        if not body.get("directoryScopeId") and not body.get("appScopeId"):
            raise bad_request("A value is required for property 'directoryScopeId' or 'appScopeId'.")
        if principal.type == "group" and not msgspec.json.decode(principal.body).get("isAssignableToRole"):
            raise bad_request("The group is not assignable to roles (isAssignableToRole is false).")
        for row in new.directory.linked((LinkKind.ROLE_ASSIGNED,), principal.seq):
            held = msgspec.json.decode(row.body)
            if all(held.get(n) == body.get(n) for n in ("roleDefinitionId", "directoryScopeId", "appScopeId")):
                raise bad_request("A conflicting object with one or more of the specified property values is present.")
    return {**body, "id": body.get("id") or new.new_key().replace("-", "") + "-1"}


PRESETS: dict[str, Preset] = {
    "directoryRole": _role,
    "unifiedRoleDefinition": _definition,
    "unifiedRoleAssignment": _assignment,
}
