"""Adds and removes references between objects that live on their own.

What belongs here: which references Graph accepts. What does not: objects that belong to another one (`objects`).
"""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import msgspec

from entra_pipeline.simulator.graph.writing import privileged
from entra_pipeline.simulator.graph.writing.checks import WRONG_VALUES, check_members
from entra_pipeline.simulator.graph.writing.creation import Creation
from entra_pipeline.simulator.protocol.failures import (
    Failure,
    bad_request,
    not_found,
)
from entra_pipeline.simulator.schema import BY_PATH, EntitySet, LinkKind, NavigationProperty
from entra_pipeline.simulator.storage.database import StoredObject
from entra_pipeline.simulator.storage.directory import Directory

MOST_BOUND = 20
"""References that one request may bind (Graph doc: group-post-groups)."""
MOST_OWNERS = 100


class References:
    """Changes the references of one tenant."""

    def __init__(self, directory: Directory, creation: Creation) -> None:
        self.directory = directory
        self.creation = creation

    def bind(self, row: StoredObject, entry: EntitySet, name: str, references: object) -> None:
        """Adds the references that a request binds to the relation `name`. Raises Failure (400, 404)."""
        relation = entry.relation(name)
        if relation is None or not relation.targets:
            raise bad_request(f"Property '{name}' does not exist on type 'microsoft.graph.{entry.name}'.")
        if not relation.many:
            references = [references]
        if not isinstance(references, list):
            raise bad_request(WRONG_VALUES)
        if len(references) > MOST_BOUND:
            raise bad_request(
                f"The number of references for '{name}' exceeds the limit of {MOST_BOUND} in a single request."
            )
        for reference in references:
            self.add(row, relation, self.referenced(str(reference)))

    def referenced(self, reference: str) -> StoredObject:
        """Returns the object that a link such as `…/directoryObjects/{id}` leads to. Raises Failure (404)."""
        path, _, identifier = unquote(urlsplit(reference).path).rstrip("/").rpartition("/")
        entry = BY_PATH.get((path.rpartition("/")[2].lower(),))
        row = self.directory.find(identifier, entry.name if entry else "")
        if row is None:
            raise not_found(identifier)
        return row

    def add(
        self, row: StoredObject, relation: NavigationProperty, target: StoredObject, *, trusted: bool = False
    ) -> None:
        """Adds a link, checked unless trusted."""
        code = relation.codes[0]
        if not trusted:
            check_members(row, relation)
            if code == LinkKind.GROUP_MEMBERS and target.type == "group" and privileged.assignable(row):
                raise bad_request("A group cannot be a member of a group that is assignable to roles.")
            if row.seq == target.seq:
                raise bad_request("An object cannot refer to itself.")
            if target.type not in relation.targets:
                raise bad_request(
                    f"The object type '{target.type}' is not allowed as a reference for '{relation.name}'."
                )
            if relation.many and self.directory.has_link(code, row.seq, target.seq):
                raise bad_request(
                    "One or more added object references already exist for the following modified properties: "
                    f"'{relation.name}'."
                )
            owners = self.directory.count_linked(relation.codes, row.seq) if relation.name == "owners" else 0
            if owners >= MOST_OWNERS:
                raise Failure(
                    403,
                    "Directory_QuotaExceeded",
                    f"Unable to perform operation as '{owners + 1}' would exceed the maximum quota count "
                    f"'{MOST_OWNERS}' for forward-link 'owners'.",
                )
        if not relation.many:
            for old in self.directory.linked(relation.codes, row.seq):
                if old.seq != target.seq:
                    self.directory.unlink(code, row.seq, old.seq)
        self.directory.link(code, row.seq, target.seq)
        if code == LinkKind.ROLE_MEMBERS:
            self._mirror_member(row, target, present=True)

    def remove(
        self, row: StoredObject, relation: NavigationProperty, target: StoredObject, *, trusted: bool = False
    ) -> None:
        """Removes a link, checked unless trusted."""
        code = relation.codes[0]
        if not trusted:
            check_members(row, relation)
            if not self.directory.has_link(code, row.seq, target.seq):
                raise bad_request(
                    "One or more removed object references do not exist for the following modified properties: "
                    f"'{relation.name}'."
                )
            if (
                relation.name == "owners"
                and row.type == "group"
                and self.directory.count_linked(relation.codes, row.seq) == 1
            ):
                raise bad_request("The group must have at least one owner, hence this owner cannot be removed.")
        self.directory.unlink(code, row.seq, target.seq)
        if code == LinkKind.ROLE_MEMBERS:
            self._mirror_member(row, target, present=False)

    def _mirror_member(self, role: StoredObject, member: StoredObject, *, present: bool) -> None:
        template = msgspec.json.decode(role.body)["roleTemplateId"]
        held = [
            row
            for row in self.directory.linked((LinkKind.ROLE_ASSIGNED,), member.seq)
            if (body := msgspec.json.decode(row.body))["roleDefinitionId"] == template
            and body["directoryScopeId"] == "/"
        ]
        if present and not held:
            body = {"principalId": member.id, "roleDefinitionId": template, "directoryScopeId": "/"}
            row = self.directory.insert("unifiedRoleAssignment", self.creation.new_key().replace("-", "") + "-1", body)
            self.directory.link(LinkKind.ROLE_ASSIGNED, member.seq, row.seq)
        if not present:
            for row in held:
                self.directory.purge(row.seq)
