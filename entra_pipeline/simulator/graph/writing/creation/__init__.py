"""Creates objects: what Graph demands and makes up for each type, and the links that a new object gets.

1. `Creation.preset` looks up the function of the type in the tables `PRESETS` of `directory`, `roles` and `services`.
   The function checks what Graph checks for this type alone, and returns the first properties.
2. The writer stores the object.
3. `Creation.connect` links it to what it refers to; a request for a schedule is carried out.

`context.NewObjects` gives ids and checks names. Rules that hold for every type are those of `writer`.
"""

from __future__ import annotations

from collections.abc import Callable

from entra_pipeline.simulator.graph.writing import role_rules, scheduling
from entra_pipeline.simulator.graph.writing.creation import directory, roles, services
from entra_pipeline.simulator.graph.writing.creation.context import NewObjects, Preset
from entra_pipeline.simulator.schema import LinkKind
from entra_pipeline.simulator.storage.database import Entity, StoredObject

_PRESETS: dict[str, Preset] = {**directory.PRESETS, **roles.PRESETS, **services.PRESETS}


class Creation(NewObjects):
    """Creates objects in one tenant."""

    def preset(self, type_name: str, body: Entity, trusted: bool) -> Entity:
        """Returns the first properties of a new object. Raises Failure for what Graph refuses."""
        if type_name in scheduling.REQUESTS:
            return scheduling.preset(self.directory, type_name, body, self.new_key())
        rule = _PRESETS.get(type_name)
        return rule(self, body, trusted) if rule else body

    def connect(self, row: StoredObject, body: Entity) -> None:
        """Links a new object to what it refers to."""
        if row.type in scheduling.REQUESTS:
            scheduling.fulfill(self.directory, row, self._give_role, self._take_role)
            return
        rule = _CONNECTIONS.get(row.type)
        if rule:
            rule(self, row, body)

    def _connect_assignment(self, row: StoredObject, body: Entity) -> None:
        principal = self.directory.find(str(body["principalId"]))
        if principal:
            self.directory.link(LinkKind.ROLE_ASSIGNED, principal.seq, row.seq)
        self.mirror_role(body, present=True)

    def _give_role(self, assignment: Entity) -> None:
        if not self._role_held(assignment):
            identifier = self.new_key().replace("-", "") + "-1"
            row = self.directory.insert("unifiedRoleAssignment", identifier, assignment)
            self._connect_assignment(row, assignment)

    def _take_role(self, assignment: Entity) -> None:
        for row in self._role_held(assignment):
            self.mirror_role(assignment, present=False)
            self.directory.purge(row.seq)

    def _role_held(self, assignment: Entity) -> list[StoredObject]:
        principal = str(assignment["principalId"])
        return self.directory.matching(LinkKind.ROLE_ASSIGNED, principal, "unifiedRoleAssignment", assignment)

    def _connect_app_role(self, row: StoredObject, body: Entity) -> None:
        self._link_from(LinkKind.ASSIGNED_TO, body.get("resourceId"), row)
        self._link_from(LinkKind.ASSIGNMENTS, body.get("principalId"), row)

    def _connect_grant(self, row: StoredObject, body: Entity) -> None:
        self._link_from(LinkKind.GRANT_CLIENT, body.get("clientId"), row)
        self._link_from(LinkKind.GRANT_RESOURCE, body.get("resourceId"), row)
        self._link_from(LinkKind.GRANT_PRINCIPAL, body.get("principalId"), row)

    def _link_from(self, code: LinkKind, identifier: object, row: StoredObject) -> None:
        source = self.directory.find(str(identifier)) if identifier else None
        if source:
            self.directory.link(code, source.seq, row.seq)

    def _connect_group(self, row: StoredObject, body: Entity) -> None:
        role_rules.give(self.directory, row, self.new_key)


_CONNECTIONS: dict[str, Callable[[Creation, StoredObject, Entity], None]] = {
    "group": Creation._connect_group,
    "unifiedRoleAssignment": Creation._connect_assignment,
    "appRoleAssignment": Creation._connect_app_role,
    "oAuth2PermissionGrant": Creation._connect_grant,
}
