"""Creates, changes, deletes and restores objects, with the checks of Graph or, for the control API, without."""

from __future__ import annotations

import msgspec

from entra_pipeline.simulator.generate.plan import Identity
from entra_pipeline.simulator.graph.writing import role_rules, rules
from entra_pipeline.simulator.graph.writing.actions import count_seats
from entra_pipeline.simulator.graph.writing.checks import built_in, check_change, check_properties, check_required
from entra_pipeline.simulator.graph.writing.creation import Creation
from entra_pipeline.simulator.graph.writing.creation.context import principal_exists
from entra_pipeline.simulator.graph.writing.references import MOST_BOUND, References
from entra_pipeline.simulator.protocol.failures import (
    bad_request,
    conflict,
    denied,
    method_not_allowed,
    same_key,
)
from entra_pipeline.simulator.schema import BY_NAME, EntitySet, LinkKind, NavigationProperty
from entra_pipeline.simulator.storage.database import Entity, State, StoredObject
from entra_pipeline.simulator.storage.directory import Directory


class ObjectWriter:
    """Changes the objects of one tenant. Methods raise Failure for what Graph refuses, unless `trusted`."""

    def __init__(self, directory: Directory, identity: Identity, seed: int) -> None:
        self.directory = directory
        self.creation = Creation(directory, identity, seed)
        self.references = References(directory, self.creation)

    def create(self, entry: EntitySet, given: Entity, *, trusted: bool = False, identifier: str = "") -> StoredObject:
        """Creates an object.

        Args:
            entry: The set it goes to.
            given: What the request sent, `…@odata.bind` included.
            trusted: Sent by the control API: nothing is checked, what is missing is made up.
            identifier: Its id, where neither the request nor the tenant chooses it.
        """
        if not (entry.create or (entry.singleton and entry.upsert) or trusted):
            # Devices are registered by users, not by applications (Graph permissions reference).
            raise denied() if entry.name == "device" else method_not_allowed()
        bound = {name.removesuffix("@odata.bind"): given[name] for name in given if name.endswith("@odata.bind")}
        body = {name: value for name, value in given.items() if not name.endswith("@odata.bind")}
        if not trusted:
            check_required(entry, body)
            check_properties(self.directory, entry, body, creating=True)
            if sum(len(items) for items in bound.values() if isinstance(items, list)) > MOST_BOUND:
                raise bad_request(f"The number of references exceeds the limit of {MOST_BOUND} in a single request.")
            rules.check(self.directory, entry.name, body, {})
        body = rules.as_stored(self.directory, entry.name, self.creation.preset(entry.name, body, trusted))
        identifier = str(body.pop(entry.key, "") or identifier or self.creation.new_key())
        if entry.path and not trusted and self.directory.find(identifier, entry.name):
            raise same_key("Another object with the same value for property id already exists.")
        key = str(body.get(entry.alternate, "")) if entry.alternate else ""
        row = self.directory.insert(entry.name, identifier, body, key or None)
        for name, references in bound.items():
            self.references.bind(row, entry, name, references)
        self.creation.connect(row, msgspec.json.decode(row.body))
        return row

    def patch(self, row: StoredObject, given: Entity, *, trusted: bool = False, whole: bool = False) -> None:
        """Changes properties of an object, and adds the references bound to it.

        Args:
            row: The object.
            given: What the request sent.
            trusted: Sent by the control API: nothing is checked.
            whole: Sent by PUT: values take the place of those that were there, with all their members.
        """
        entry = BY_NAME[row.type]
        bound = {name.removesuffix("@odata.bind"): given[name] for name in given if name.endswith("@odata.bind")}
        body = {name: value for name, value in given.items() if not name.endswith("@odata.bind")}
        current = msgspec.json.decode(row.body)
        key = None
        if not trusted:
            if not entry.update:
                raise method_not_allowed()
            check_properties(self.directory, entry, body, creating=False)
            check_change(self.creation, entry, row, current, body)
            rules.check(self.directory, row.type, body, current, row.seq)
            if not whole:
                body = {name: rules.merge(current.get(name), value) for name, value in body.items()}
            body = rules.as_stored(self.directory, row.type, body)
            if row.type == role_rules.POLICY and "rules" in body:
                body["rules"] = role_rules.merged(current.get("rules") or [], body["rules"])
        if row.type == "application":
            body.pop("@odata.type", None)
        if row.type == "user":
            body.pop("passwordProfile", None)
        if entry.alternate and entry.alternate in body:
            key = str(body[entry.alternate])
        if "isServiceDefault" in current:
            body["isServiceDefault"] = False
        if "modifiedDateTime" in entry.properties() and body:
            body["modifiedDateTime"] = self.directory.stamp()
        if body:
            self.directory.update(row.seq, body, key=key)
        if row.type == role_rules.POLICY:
            role_rules.show(self.directory, row.seq)
        for name, references in bound.items():
            self.references.bind(row, entry, name, references)

    def delete(self, row: StoredObject, *, trusted: bool = False) -> None:
        """Deletes an object: to the recycle bin when its type has one, else for good."""
        entry = BY_NAME[row.type]
        current = msgspec.json.decode(row.body)
        if not trusted:
            if not entry.delete:
                raise method_not_allowed()
            if built_in(row, current):
                raise bad_request("Built-in objects cannot be deleted.")
            if row.type == "namedLocation" and current.get("isTrusted"):
                raise bad_request("A trusted named location cannot be deleted. Set isTrusted to false first.")
            if row.type == "domain" and (current.get("isInitial") or current.get("isDefault")):
                raise bad_request("The initial or default domain cannot be deleted.")
            rules.check_removal(self.directory, row, current)
        if row.type == "unifiedRoleAssignment":
            self.creation.mirror_role(current, present=False)
        if not entry.bin:
            self.directory.purge(row.seq)
            return
        self.directory.soft_delete(row.seq)
        if row.type == "user":
            count_seats(self.directory, current, ())
        if row.type == "application":
            for principal in self.directory.by_key("servicePrincipal", current["appId"]):
                self.directory.soft_delete(principal.seq)

    def create_part(
        self, row: StoredObject, relation: NavigationProperty, given: Entity, *, trusted: bool = False
    ) -> StoredObject:
        """Creates an object that belongs to another one."""
        entry = BY_NAME[relation.part]
        if relation.part == "oAuth2PermissionGrant" or not (entry.create or trusted):
            raise method_not_allowed()
        given = dict(given)
        if relation.part == "openTypeExtension":
            given["@odata.type"] = "#microsoft.graph.openTypeExtension"
        if relation.part == "scopedRoleMembership":
            given.pop("administrativeUnitId", None)
        if relation.part == "federatedIdentityCredential":
            present = self.directory.linked(relation.codes, row.seq)
            rules.check_credential((msgspec.json.decode(part.body) for part in present), given, most=MOST_BOUND)
        # What has no id of its own goes by its owner's.
        part = self.create(
            entry, given, trusted=trusted, identifier=self._named(relation, given) if entry.key == "id" else row.id
        )
        body = msgspec.json.decode(part.body)
        if relation.part != "appRoleAssignment":
            self.directory.link(relation.codes[0], row.seq, part.seq)
        if relation.part == "extensionProperty" and not trusted:
            application = msgspec.json.decode(row.body)
            name = f"extension_{application['appId'].replace('-', '')}_{body['name']}"
            if name in self.directory.extensions():
                raise conflict("name")
            self.directory.update(part.seq, {"name": name, "appDisplayName": application["displayName"]})
        if relation.part == "scopedRoleMembership":
            member = self.references.referenced(str(body["roleMemberInfo"].get("id", "")))
            shown = {"id": member.id, "displayName": msgspec.json.decode(member.body).get("displayName")}
            self.directory.update(part.seq, {"administrativeUnitId": row.id, "roleMemberInfo": shown})
            self.directory.link(LinkKind.SCOPED_MEMBER_USER, member.seq, part.seq)
        return self.directory.by_seq(part.seq)

    @staticmethod
    def _named(relation: NavigationProperty, given: Entity) -> str:
        """Returns the id that a part chooses by its name."""
        return str(given.get("extensionName", "")) if relation.part == "openTypeExtension" else ""

    def restore(self, row: StoredObject, given: Entity) -> StoredObject:
        """Brings an object back from the recycle bin. Raises Failure when something live took its name."""
        body = msgspec.json.decode(row.body)
        changes: Entity = {}
        if row.type == "user":
            name = str(given.get("newUserPrincipalName") or body["userPrincipalName"][32:])
            self.creation.check_user_name(name)
            own = [one for one in body.get("identities") or () if one.get("signInType") != "userPrincipalName"]
            self.creation.check_identities(own, row.seq)
            if given.get("newUserPrincipalName"):
                changes["userPrincipalName"] = name
            taken = [one for one in body.get("proxyAddresses") or () if self.creation.holds_address(one, row.seq)]
            if taken and not given.get("autoReconcileProxyConflict"):
                raise conflict("proxyAddresses")
            if taken:
                changes["proxyAddresses"] = [one for one in body["proxyAddresses"] if one not in taken]
        if row.type == "group":
            self.creation.check_addresses(body.get("proxyAddresses") or [], row.seq)
        if row.type == "application":
            self.creation.check_uris(body.get("identifierUris") or [], row.seq)
        if row.type == "servicePrincipal" and self.directory.by_key("servicePrincipal", body["appId"]):
            raise principal_exists(body["appId"])
        if row.type == "servicePrincipal" and not self.directory.by_key("application", body["appId"]):
            gone = "json_extract(o.json, '$.appId') = ?"
            if self.directory.page("application", where=gone, values=(body["appId"],), state=State.DELETED):
                raise bad_request("The application of the service principal is deleted: restore it first.")
        if row.type == "namedLocation" and body.get("isTrusted"):
            changes["isTrusted"] = False
        if row.type == "user":
            count_seats(self.directory, {}, body.get("assignedLicenses") or ())
        return self.directory.restore(row.seq, changes)
