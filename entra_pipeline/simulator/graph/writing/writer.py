"""Answers POST, PATCH, PUT and DELETE: finds out what a write is about, and words the answer.

What belongs here: what each path accepts. What does not: how an object changes (`objects`, `references`, `actions`).
"""

from __future__ import annotations

import base64

import msgspec

from entra_pipeline.simulator.generate.plan import Identity
from entra_pipeline.simulator.graph import inline
from entra_pipeline.simulator.graph.projection import created, shape
from entra_pipeline.simulator.graph.writing import entitlement, privileged, role_rules
from entra_pipeline.simulator.graph.writing.actions import act
from entra_pipeline.simulator.graph.writing.checks import check_change, check_properties, check_required, check_value
from entra_pipeline.simulator.graph.writing.objects import ObjectWriter
from entra_pipeline.simulator.protocol.failures import (
    bad_request,
    denied,
    method_not_allowed,
    not_found,
    same_key,
)
from entra_pipeline.simulator.protocol.paths import ResourcePath
from entra_pipeline.simulator.protocol.requests import GraphRequest, GraphResponse, json_answer
from entra_pipeline.simulator.protocol.tokens import Caller
from entra_pipeline.simulator.schema import BY_NAME, EntitySet, NavigationProperty
from entra_pipeline.simulator.storage.database import Entity, State, StoredObject
from entra_pipeline.simulator.storage.directory import Directory


class WriteHandler:
    """Answers the writes to one tenant.

    Attributes:
        objects: Changes objects; the control API uses it without the checks.
    """

    def __init__(self, directory: Directory, identity: Identity, seed: int) -> None:
        self.directory = directory
        self.objects = ObjectWriter(directory, identity, seed)
        self.creation = self.objects.creation

    def answer(self, request: GraphRequest, place: ResourcePath, caller: Caller) -> GraphResponse:
        """Returns the answer to a write. Raises Failure; a refused write changes nothing."""
        with self.directory.writing():
            privileged.check(self.directory, request, place, caller)
            if place.deleted:
                return self._bin(request, place, caller)
            if place.relation is not None:
                return self._relation(request, place)
            if place.entry is None:
                raise method_not_allowed()
            if place.inline:
                return self._inline(request, place)
            if place.stream:
                return self._stream(request, place)
            if place.tail:
                return self._action(request, place)
            if request.method == "POST" and not place.key:
                if place.entry.name in entitlement.REQUESTS:
                    check_required(place.entry, request.json())
                    made = entitlement.fulfill(self.directory, self.creation, place.entry, request.json())
                    return created(made)
                if place.entry.name == "invitation":
                    return self._invite(place.entry, request.json())
                return created(self.objects.create(place.entry, request.json()))
            if request.method in place.entry.changes and place.key:
                if request.method in place.entry.upsert and self.directory.find(place.key, place.entry.name) is None:
                    chosen = {} if place.entry.singleton else {place.entry.key: place.key}
                    self.objects.create(place.entry, {**request.json(), **chosen}, identifier=place.key)
                else:
                    row = self._existing(place.entry, place.key)
                    self.objects.patch(row, request.json(), whole=request.method == "PUT")
                return GraphResponse(204)
            if request.method == "DELETE" and place.key:
                self.objects.delete(self._existing(place.entry, place.key))
                return GraphResponse(204)
        raise method_not_allowed()

    def _inline(self, request: GraphRequest, place: ResourcePath) -> GraphResponse:
        """Changes the items that an object keeps."""
        entry = place.set
        row = self._existing(entry, place.key)
        if place.inline == "resourceRoleScopes" and request.method == "POST" and not place.item:
            item = entitlement.role_scope(self.directory, row, request.json())
            held = msgspec.json.decode(row.body).get(place.inline) or []
            if any(other["id"] == item["id"] for other in held):
                raise bad_request("The access package has the role already.")
            self.directory.update(row.seq, {place.inline: [*held, item]})
            return json_answer(item, 201)
        declared = entry.properties()[place.inline]
        # Graph doc: accesspackage-delete-resourcerolescopes; what expand shows of a package is no property of its own.
        scopes = place.inline == "resourceRoleScopes" and request.method == "DELETE"
        # Graph doc: unifiedrolemanagementpolicyrule-update; there is no other write.
        rules = bool(entry.by_user) and place.inline == "rules" and request.method == "PATCH"
        if not entry.update or not (declared.many or scopes or rules):
            raise method_not_allowed()
        check_change(self.creation, entry, row, msgspec.json.decode(row.body), {})
        if request.method in {"POST", "PATCH"} and declared.many:
            check_value(place.inline, [request.json()], declared)
        if place.inline == "allowedValues" and request.method == "DELETE":
            raise method_not_allowed()
        items, answer = inline.changed(request, place, row, self.creation.new_key())
        self.directory.update(row.seq, {place.inline: items})
        if row.type == role_rules.POLICY:
            role_rules.show(self.directory, row.seq)
        return answer

    def _stream(self, request: GraphRequest, place: ResourcePath) -> GraphResponse:
        """Puts the bytes of a stream in place, or removes them."""
        if request.method not in {"PUT", "DELETE"}:
            raise method_not_allowed()
        row = self._existing(place.set, place.key)
        shown = f"{place.stream}RelativeUrl"
        gone = request.method == "DELETE"
        changes: Entity = {place.stream: None if gone else base64.b64encode(request.body).decode()}
        if shown in place.set.properties():
            changes[shown] = None if gone else f"{row.id}/{place.stream.lower()}?ts={self.directory.stamp()}"
        self.directory.update(row.seq, changes)
        return GraphResponse(204)

    def _existing(self, entry: EntitySet, key: str) -> StoredObject:
        row = self.directory.find(key, entry.name)
        if row is None:
            raise not_found(key)
        return row

    def _invite(self, entry: EntitySet, given: Entity) -> GraphResponse:
        """Makes a guest (Graph doc: invitation-post). An address that is known already is invited again."""
        check_required(entry, given)
        check_properties(self.directory, entry, given, creating=True)
        address = str(given["invitedUserEmailAddress"])
        name = f"{address.replace('@', '_')}#EXT#@{self.creation.identity.initial_domain}"
        found = self.directory.by_key("user", name)
        body = {
            "userPrincipalName": name,
            "displayName": given.get("invitedUserDisplayName") or address.partition("@")[0],
            "mail": address,
            "mailNickname": name.partition("@")[0],
            "otherMails": [address],
            "userType": given.get("invitedUserType") or "Guest",
            "creationType": "Invitation",
            "externalUserState": "PendingAcceptance",
            "externalUserStateChangeDateTime": self.directory.stamp(),
            "identities": [{"signInType": "federated", "issuer": "ExternalAzureAD", "issuerAssignedId": None}],
        }
        guest = found[0] if found else self.objects.create(BY_NAME["user"], body, trusted=True)
        invitation = {
            "id": self.creation.new_key(),
            **given,
            "inviteRedeemUrl": "https://login.microsoftonline.com/redeem",
            "status": "PendingAcceptance",
            "invitedUser": {"id": guest.id},
        }
        return json_answer(invitation, 201)

    def _relation(self, request: GraphRequest, place: ResourcePath) -> GraphResponse:
        entry, relation = place.set, place.followed
        row = self._existing(entry, place.key)
        if relation.part:
            return self._part(request, row, relation, place.item)
        if place.tail != "$ref" or not relation.targets:
            raise method_not_allowed()
        if request.method == "DELETE":
            if relation.many:
                self.objects.references.remove(row, relation, self.objects.references.referenced(place.item))
            else:
                found = self.directory.linked(relation.codes, row.seq)
                if not found:
                    raise not_found(relation.name)
                self.objects.references.remove(row, relation, found[0])
            return GraphResponse(204)
        if request.method != ("POST" if relation.many else "PUT") or place.item:
            raise method_not_allowed()
        reference = request.json().get("@odata.id")
        if not isinstance(reference, str):
            raise bad_request("A value is required for property '@odata.id'.")
        self.objects.references.add(row, relation, self.objects.references.referenced(reference))
        return GraphResponse(204)

    def _part(self, request: GraphRequest, row: StoredObject, relation: NavigationProperty, item: str) -> GraphResponse:
        if request.method == "POST" and not item and relation.many:
            return created(self.objects.create_part(row, relation, request.json()))
        found = self.directory.linked(relation.codes, row.seq)
        if relation.many:
            found = [part for part in found if part.id == item]
        entry = BY_NAME[relation.part]
        if found and request.method == "PUT" and relation.part == "crossTenantIdentitySyncPolicyPartner":
            raise same_key("A cross-tenant synchronization policy for the partner already exists.")
        if not found and request.method in entry.upsert:
            self.objects.create_part(row, relation, {**request.json(), **({entry.key: item} if item else {})})
            return GraphResponse(204)
        if not found:
            raise not_found(item or relation.name)
        if request.method in entry.changes:
            self.objects.patch(found[0], request.json(), whole=request.method == "PUT")
        elif request.method == "DELETE":
            self.objects.delete(found[0])
        else:
            raise method_not_allowed()
        return GraphResponse(204)

    def _bin(self, request: GraphRequest, place: ResourcePath, caller: Caller) -> GraphResponse:
        row = self.directory.find(place.key, states=(State.DELETED,)) if place.key else None
        if row is None or (place.entry is not None and row.type != place.entry.name):
            raise not_found(place.key)
        entry = BY_NAME[row.type]
        wanted = ("User.DeleteRestore.All", *entry.write) if row.type == "user" else entry.write
        if not caller.may(wanted):
            raise denied()
        if request.method == "DELETE" and not place.tail:
            if row.type == "administrativeUnit":
                raise bad_request("Administrative units cannot be permanently deleted.")
            self.directory.purge(row.seq)
            return GraphResponse(204)
        if request.method != "POST" or place.tail != "restore":
            raise method_not_allowed()
        given = request.json() if request.body else {}
        restored = self.objects.restore(row, given)
        body = shape(row.type, None, tag=not entry.subtypes)([restored.body])[0]
        return json_answer(body)

    def _action(self, request: GraphRequest, place: ResourcePath) -> GraphResponse:
        if request.method != "POST":
            raise method_not_allowed()
        return act(self.creation, self._existing(place.set, place.key), request, place.tail)
