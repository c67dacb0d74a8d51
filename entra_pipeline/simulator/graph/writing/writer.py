"""Answers to POST, PATCH, PUT and DELETE: what Graph accepts, and what it refuses.

What belongs here: the rules of writing, per type where they differ. What does not: how the directory stores it.
Property names and kinds come from msgraph-sdk's models, as the service's own metadata does.
"""

from __future__ import annotations

import base64
import re
from urllib.parse import unquote, urlsplit

import msgspec

from entra_pipeline.catalogue.sdk import JSON as WHATEVER
from entra_pipeline.catalogue.sdk import Kind, Property, has_navigation, model_properties
from entra_pipeline.simulator.generate.plan import Identity
from entra_pipeline.simulator.graph import inline
from entra_pipeline.simulator.graph.projection import shape
from entra_pipeline.simulator.graph.writing import entitlement, privileged, rules
from entra_pipeline.simulator.graph.writing.creation import Creation, principal_exists
from entra_pipeline.simulator.protocol.failures import (
    Failure,
    bad_request,
    conflict,
    denied,
    method_not_allowed,
    not_found,
    same_key,
)
from entra_pipeline.simulator.protocol.paths import Place
from entra_pipeline.simulator.protocol.requests import JSON, Answer, Request
from entra_pipeline.simulator.protocol.tokens import Caller
from entra_pipeline.simulator.schema import BY_NAME, BY_PATH, EntitySet, Link, Relation
from entra_pipeline.simulator.storage.database import Body, Row, State
from entra_pipeline.simulator.storage.directory import Directory

_MOST_BOUND = 20
_MOST_OWNERS = 100
_WRONG_VALUES = "One or more property values specified are invalid."
_SYNCED = (
    "Unable to update the specified properties for on-premises mastered Directory Sync objects or objects currently "
    "undergoing migration."
)
# What may be changed in Entra on an object that is mastered on-premises (Entra doc: users of hybrid tenants).
_CLOUD_OWNED = {"usageLocation", "preferredDataLocation", "passwordPolicies", "customSecurityAttributes"}
_KINDS: dict[Kind, tuple[type, ...]] = {
    Kind.STRING: (str,),
    Kind.BOOLEAN: (bool,),
    Kind.INTEGER: (int,),
    Kind.NUMBER: (int, float),
    Kind.DATETIME: (str,),
    Kind.DATE: (str,),
    Kind.COMPLEX: (dict,),
}
_EXTENSION_KINDS: dict[str, tuple[type, ...]] = {
    "String": (str,),
    "Integer": (int,),
    "LargeInteger": (int,),
    "Boolean": (bool,),
    "DateTime": (str,),
    "Binary": (str,),
}


class Writer:
    """Writes to one tenant."""

    def __init__(self, directory: Directory, identity: Identity, seed: int) -> None:
        self.directory = directory
        self.creation = Creation(directory, identity, seed)

    def answer(self, request: Request, place: Place, caller: Caller) -> Answer:
        """The answer to a write. Raises Failure; a refused write changes nothing."""
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
                    self._check_required(place.entry, request.json())
                    made = entitlement.carry_out(self.directory, self.creation, place.entry, request.json())
                    return self._created(made)
                if place.entry.name == "invitation":
                    return self._invite(place.entry, request.json())
                return self._created(self.create(place.entry, request.json()))
            if request.method in place.entry.changes and place.key:
                if request.method in place.entry.upsert and self.directory.find(place.key, place.entry.name) is None:
                    chosen = {} if place.entry.singleton else {place.entry.key: place.key}
                    self.create(place.entry, {**request.json(), **chosen}, identifier=place.key)
                else:
                    self.patch(self._existing(place.entry, place.key), request.json())
                return Answer(204)
            if request.method == "DELETE" and place.key:
                self.delete(self._existing(place.entry, place.key))
                return Answer(204)
        raise method_not_allowed()

    # --- objects -----------------------------------------------------------------------------------------------------

    def create(self, entry: EntitySet, given: Body, *, trusted: bool = False, identifier: str = "") -> Row:
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
            self._check_required(entry, body)
            self._check(entry, body, creating=True)
            if sum(len(items) for items in bound.values() if isinstance(items, list)) > _MOST_BOUND:
                raise bad_request(f"The number of references exceeds the limit of {_MOST_BOUND} in a single request.")
            rules.check(self.directory, entry.name, body, {})
        body = rules.settle(self.directory, entry.name, self.creation.preset(entry.name, body, trusted))
        identifier = str(body.pop(entry.key, "") or identifier or self.creation.mint())
        if entry.path and not trusted and self.directory.find(identifier, entry.name):
            raise same_key("Another object with the same value for property id already exists.")
        key = str(body.get(entry.alternate, "")) if entry.alternate else ""
        row = self.directory.insert(entry.name, identifier, body, key or None)
        for name, references in bound.items():
            self._bind(row, entry, name, references)
        self.creation.connect(row, msgspec.json.decode(row.body))
        return row

    def patch(self, row: Row, given: Body, *, trusted: bool = False) -> None:
        """Changes properties of an object, and adds the references bound to it."""
        entry = BY_NAME[row.type]
        bound = {name.removesuffix("@odata.bind"): given[name] for name in given if name.endswith("@odata.bind")}
        body = {name: value for name, value in given.items() if not name.endswith("@odata.bind")}
        current = msgspec.json.decode(row.body)
        key = None
        if not trusted:
            if not entry.update:
                raise method_not_allowed()
            self._check(entry, body, creating=False)
            self._check_change(entry, row, current, body)
            rules.check(self.directory, row.type, body, current, row.seq)
            body = {name: rules.merge(current.get(name), value) for name, value in body.items()}
            body = rules.settle(self.directory, row.type, body)
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
        for name, references in bound.items():
            self._bind(row, entry, name, references)

    def _inline(self, request: Request, place: Place) -> Answer:
        """Changes the items that an object keeps."""
        entry = place.set
        row = self._existing(entry, place.key)
        if place.inline == "resourceRoleScopes" and request.method == "POST" and not place.item:
            item = entitlement.role_scope(self.directory, row, request.json())
            held = msgspec.json.decode(row.body).get(place.inline) or []
            if any(other["id"] == item["id"] for other in held):
                raise bad_request("The access package has the role already.")
            self.directory.update(row.seq, {place.inline: [*held, item]})
            return Answer(201, msgspec.json.encode(item), {"Content-Type": JSON})
        declared = entry.properties()[place.inline]
        # Graph doc: accesspackage-delete-resourcerolescopes; what expand shows of a package is no property of its own.
        scopes = place.inline == "resourceRoleScopes" and request.method == "DELETE"
        if not entry.update or not (declared.many or scopes):
            raise method_not_allowed()
        self._check_change(entry, row, msgspec.json.decode(row.body), {})
        if request.method in {"POST", "PATCH"}:
            _check_value(place.inline, [request.json()], declared)
        if place.inline == "allowedValues" and request.method == "DELETE":
            raise method_not_allowed()
        items, answer = inline.changed(request, place, row, self.creation.mint())
        self.directory.update(row.seq, {place.inline: items})
        return answer

    def _stream(self, request: Request, place: Place) -> Answer:
        """Puts the bytes of a stream in place."""
        if request.method != "PUT":
            raise method_not_allowed()
        row = self._existing(place.set, place.key)
        shown = f"{place.stream}RelativeUrl"
        changes: Body = {place.stream: base64.b64encode(request.body).decode()}
        if shown in place.set.properties():
            changes[shown] = f"{row.id}/{place.stream.lower()}?ts={self.directory.stamp()}"
        self.directory.update(row.seq, changes)
        return Answer(204)

    def delete(self, row: Row, *, trusted: bool = False) -> None:
        """Deletes an object: to the recycle bin when its type has one, else for good."""
        entry = BY_NAME[row.type]
        current = msgspec.json.decode(row.body)
        if not trusted:
            if not entry.delete:
                raise method_not_allowed()
            if _built_in(row, current):
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
        if row.type == "application":
            for principal in self.directory.by_key("servicePrincipal", current["appId"]):
                self.directory.soft_delete(principal.seq)

    def _existing(self, entry: EntitySet, key: str) -> Row:
        row = self.directory.find(key, entry.name)
        if row is None:
            raise not_found(key)
        return row

    def _created(self, row: Row) -> Answer:
        names = tuple(msgspec.json.decode(row.body)) if BY_NAME[row.type].default is not None else None
        body = shape(row.type, names)([row.body])[0]
        return Answer(201, msgspec.json.encode(body), {"Content-Type": JSON})

    def _invite(self, entry: EntitySet, given: Body) -> Answer:
        """Makes a guest (Graph doc: invitation-post). An address that is known already is invited again."""
        self._check_required(entry, given)
        self._check(entry, given, creating=True)
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
        guest = found[0] if found else self.create(BY_NAME["user"], body, trusted=True)
        invitation = {
            "id": self.creation.mint(),
            **given,
            "inviteRedeemUrl": "https://login.microsoftonline.com/redeem",
            "status": "PendingAcceptance",
            "invitedUser": {"id": guest.id},
        }
        return Answer(201, msgspec.json.encode(invitation), {"Content-Type": JSON})

    # --- checks ------------------------------------------------------------------------------------------------------

    @staticmethod
    def _check_required(entry: EntitySet, body: Body) -> None:
        missing = [name for name in entry.required if body.get(name) is None]
        if entry.name == "user" and missing == ["passwordProfile"] and body.get("onPremisesImmutableId"):
            return
        if missing:
            details = [{"code": "MissingProperty", "message": f"'{n}' is required.", "target": n} for n in missing]
            raise bad_request(
                f"A value is required for property '{missing[0]}' of resource '{entry.name.capitalize()}'.",
                details=details,
            )

    def _check(self, entry: EntitySet, body: Body, *, creating: bool) -> None:
        """Names, kinds, and whether they may be written at all."""
        known = entry.properties()
        extensions = self.directory.extensions()
        for name, value in body.items():
            if name == "@odata.type" or name.endswith("@odata.type"):
                continue
            if name in extensions:
                self._check_extension(entry, name, value, extensions[name])
                continue
            if name.startswith("extension_") and name not in known:
                raise bad_request(f"The following extension properties are not available: {name}.")
            if name not in known and not entry.open:
                raise bad_request(
                    f"Property '{name}' does not exist on type 'microsoft.graph.{entry.name}'. {_WRONG_VALUES}"
                )
            if name in entry.read_only or (name in entry.immutable and not creating):
                raise bad_request(f"Property '{name}' is read-only and cannot be set.")
            if creating and name in entry.single_only:
                raise bad_request(f"Property '{name}' cannot be set when the object is created.")
            if name in known:
                _check_value(name, value, known[name])
        if entry.name == "namedLocation" and creating:
            self._check_location(body)

    @staticmethod
    def _check_extension(entry: EntitySet, name: str, value: object, declared: tuple[str, tuple[str, ...]]) -> None:
        kind, targets = declared
        if entry.name not in {target[:1].lower() + target[1:] for target in targets}:
            raise bad_request(f"The extension property '{name}' is not available on {entry.name}.")
        kinds = _EXTENSION_KINDS.get(kind, (str,))
        if value is not None and not (isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))):
            raise bad_request(f"Invalid value specified for property '{name}' of resource '{entry.name.capitalize()}'.")

    @staticmethod
    def _check_location(body: Body) -> None:
        kind = str(body["@odata.type"])
        needed = {
            "#microsoft.graph.ipNamedLocation": "ipRanges",
            "#microsoft.graph.countryNamedLocation": "countriesAndRegions",
        }.get(kind)
        if needed is None or not body.get(needed):
            raise bad_request(f"Invalid named location: {_WRONG_VALUES}")

    def _check_change(self, entry: EntitySet, row: Row, current: Body, body: Body) -> None:
        """What may not be changed on this very object."""
        if _built_in(row, current):
            raise bad_request("Built-in objects cannot be updated.")
        if current.get("onPremisesSyncEnabled") and row.type in {"user", "group"}:
            owned = [name for name in body if name not in _CLOUD_OWNED and not name.startswith("extension_")]
            if owned:
                raise bad_request(_SYNCED)
        if row.type == "user" and body.get("userPrincipalName"):
            self.creation.check_user_name(str(body["userPrincipalName"]), row.seq)
        if row.type == "application" and body.get("identifierUris"):
            self.creation.check_uris(body["identifierUris"], row.seq)
        for name in entry.required:
            if name in body and body[name] is None and name != "passwordProfile":
                raise bad_request(
                    f"Invalid value specified for property '{name}' of resource '{entry.name.capitalize()}'."
                )
        odata_type = body.get("@odata.type")
        if odata_type and current.get("@odata.type") not in {None, odata_type}:
            raise bad_request("The type of an object cannot be changed.")

    # --- references --------------------------------------------------------------------------------------------------

    def _bind(self, row: Row, entry: EntitySet, name: str, references: object) -> None:
        relation = entry.relation(name)
        if relation is None or not relation.targets:
            raise bad_request(f"Property '{name}' does not exist on type 'microsoft.graph.{entry.name}'.")
        if not relation.many:
            references = [references]
        if not isinstance(references, list):
            raise bad_request(_WRONG_VALUES)
        if len(references) > _MOST_BOUND:
            raise bad_request(
                f"The number of references for '{name}' exceeds the limit of {_MOST_BOUND} in a single request."
            )
        for reference in references:
            self.add_reference(row, relation, self._referenced(str(reference)))

    def _referenced(self, reference: str) -> Row:
        path, _, identifier = unquote(urlsplit(reference).path).rstrip("/").rpartition("/")
        entry = BY_PATH.get((path.rpartition("/")[2].lower(),))
        row = self.directory.find(identifier, entry.name if entry else "")
        if row is None:
            raise not_found(identifier)
        return row

    def add_reference(self, row: Row, relation: Relation, target: Row, *, trusted: bool = False) -> None:
        """Adds a link, checked unless trusted."""
        code = relation.codes[0]
        if not trusted:
            self._check_members(row, relation)
            if code == Link.GROUP_MEMBERS and target.type == "group" and privileged.assignable(row):
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
            if owners >= _MOST_OWNERS:
                raise Failure(
                    403,
                    "Directory_QuotaExceeded",
                    f"Unable to perform operation as '{owners + 1}' would exceed the maximum quota count "
                    f"'{_MOST_OWNERS}' for forward-link 'owners'.",
                )
        if not relation.many:
            for old in self.directory.linked(relation.codes, row.seq):
                if old.seq != target.seq:
                    self.directory.unlink(code, row.seq, old.seq)
        self.directory.link(code, row.seq, target.seq)
        if code == Link.ROLE_MEMBERS:
            self._mirror_member(row, target, present=True)

    def remove_reference(self, row: Row, relation: Relation, target: Row, *, trusted: bool = False) -> None:
        """Removes a link, checked unless trusted."""
        code = relation.codes[0]
        if not trusted:
            self._check_members(row, relation)
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
        if code == Link.ROLE_MEMBERS:
            self._mirror_member(row, target, present=False)

    @staticmethod
    def _check_members(row: Row, relation: Relation) -> None:
        if relation.codes[0] == Link.UNIT_MEMBERS and msgspec.json.decode(row.body).get("membershipType") == "Dynamic":
            raise bad_request("The membership of a dynamic administrative unit cannot be changed by hand.")
        if relation.codes[0] != Link.GROUP_MEMBERS:
            return
        group = msgspec.json.decode(row.body)
        if "DynamicMembership" in group.get("groupTypes", ()):
            raise bad_request("Insufficient privileges: the membership of a dynamic group cannot be changed by hand.")
        if group.get("onPremisesSyncEnabled"):
            raise bad_request(_SYNCED)

    def _relation(self, request: Request, place: Place) -> Answer:
        entry, relation = place.set, place.followed
        row = self._existing(entry, place.key)
        if relation.part:
            return self._part(request, row, relation, place.item)
        if place.tail != "$ref" or not relation.targets:
            raise method_not_allowed()
        if request.method == "DELETE":
            if relation.many:
                self.remove_reference(row, relation, self._referenced(place.item))
            else:
                found = self.directory.linked(relation.codes, row.seq)
                if not found:
                    raise not_found(relation.name)
                self.remove_reference(row, relation, found[0])
            return Answer(204)
        if request.method != ("POST" if relation.many else "PUT") or place.item:
            raise method_not_allowed()
        reference = request.json().get("@odata.id")
        if not isinstance(reference, str):
            raise bad_request("A value is required for property '@odata.id'.")
        self.add_reference(row, relation, self._referenced(reference))
        return Answer(204)

    # --- parts -------------------------------------------------------------------------------------------------------

    def _part(self, request: Request, row: Row, relation: Relation, item: str) -> Answer:
        if request.method == "POST" and not item and relation.many:
            return self._created(self.create_part(row, relation, request.json()))
        found = self.directory.linked(relation.codes, row.seq)
        if relation.many:
            found = [part for part in found if part.id == item]
        entry = BY_NAME[relation.part]
        if found and request.method == "PUT" and relation.part == "crossTenantIdentitySyncPolicyPartner":
            raise same_key("A cross-tenant synchronization policy for the partner already exists.")
        if not found and request.method in entry.upsert:
            self.create_part(row, relation, {**request.json(), **({entry.key: item} if item else {})})
            return Answer(204)
        if not found:
            raise not_found(item or relation.name)
        if request.method in entry.changes:
            self.patch(found[0], request.json())
        elif request.method == "DELETE":
            self.delete(found[0])
        else:
            raise method_not_allowed()
        return Answer(204)

    def create_part(self, row: Row, relation: Relation, given: Body, *, trusted: bool = False) -> Row:
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
            rules.check_credential((msgspec.json.decode(part.body) for part in present), given, most=_MOST_BOUND)
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
            member = self._referenced(str(body["roleMemberInfo"].get("id", "")))
            shown = {"id": member.id, "displayName": msgspec.json.decode(member.body).get("displayName")}
            self.directory.update(part.seq, {"administrativeUnitId": row.id, "roleMemberInfo": shown})
            self.directory.link(Link.SCOPED_MEMBER_USER, member.seq, part.seq)
        return self.directory.by_seq(part.seq)

    @staticmethod
    def _named(relation: Relation, given: Body) -> str:
        """The id that a part chooses by its name."""
        return str(given.get("extensionName", "")) if relation.part == "openTypeExtension" else ""

    # --- the recycle bin ---------------------------------------------------------------------------------------------

    def _bin(self, request: Request, place: Place, caller: Caller) -> Answer:
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
            return Answer(204)
        if request.method != "POST" or place.tail != "restore":
            raise method_not_allowed()
        given = request.json() if request.body else {}
        restored = self.restore(row, given)
        body = shape(row.type, None, tag=not entry.subtypes)([restored.body])[0]
        return Answer(200, msgspec.json.encode(body), {"Content-Type": JSON})

    def restore(self, row: Row, given: Body) -> Row:
        """Brings an object back from the recycle bin. Raises Failure when something live took its name."""
        body = msgspec.json.decode(row.body)
        changes: Body = {}
        if row.type == "user":
            name = str(given.get("newUserPrincipalName") or body["userPrincipalName"][32:])
            self.creation.check_user_name(name)
            if given.get("newUserPrincipalName"):
                changes["userPrincipalName"] = name
        if row.type == "application":
            self.creation.check_uris(body.get("identifierUris") or [])
        if row.type == "servicePrincipal" and self.directory.by_key("servicePrincipal", body["appId"]):
            raise principal_exists(body["appId"])
        if row.type == "servicePrincipal" and not self.directory.by_key("application", body["appId"]):
            gone = "json_extract(o.json, '$.appId') = ?"
            if self.directory.page("application", where=gone, values=(body["appId"],), state=State.DELETED):
                raise bad_request("The application of the service principal is deleted: restore it first.")
        if row.type == "namedLocation" and body.get("isTrusted"):
            changes["isTrusted"] = False
        return self.directory.restore(row.seq, changes)

    # --- actions -----------------------------------------------------------------------------------------------------

    def _action(self, request: Request, place: Place) -> Answer:
        if request.method != "POST":
            raise method_not_allowed()
        row = self._existing(place.set, place.key)
        if place.tail == "assignLicense":
            return self._assign_license(row, request.json())
        if place.tail == "createNewVersion":
            return self._new_version(row, request.json())
        given = request.json()
        current = msgspec.json.decode(row.body)
        if current.get("policyType") == "builtIn":
            raise bad_request("Built-in objects cannot be updated.")
        if not given.get("allowedCombinations"):
            raise bad_request("A value is required for property 'allowedCombinations'.")
        previous = current["allowedCombinations"]
        self.directory.update(row.seq, {"allowedCombinations": given["allowedCombinations"]})
        result = {"previousCombinations": previous, "currentCombinations": given["allowedCombinations"]}
        return Answer(200, msgspec.json.encode(result), {"Content-Type": JSON})

    def _new_version(self, row: Row, given: Body) -> Answer:
        """A workflow with other tasks or conditions, in place of the one before (Graph doc: createNewVersion)."""
        body = given.get("workflow")
        if not isinstance(body, dict):
            raise bad_request("A value is required for property 'workflow'.")
        entry = BY_NAME[row.type]
        self._check_required(entry, body)
        self._check(entry, body, creating=True)
        current = msgspec.json.decode(row.body)
        if body.get("category", current["category"]) != current["category"]:
            raise bad_request("The category of a workflow cannot be changed.")
        made = self.creation.preset(row.type, body, False)
        kept = ("createdDateTime", "version")
        changes = {
            **{name: value for name, value in made.items() if name not in kept},
            "version": current["version"] + 1,
        }
        changes["lastModifiedDateTime"] = self.directory.stamp()
        self.directory.update(row.seq, changes)
        return self._created(self.directory.by_seq(row.seq))

    def _assign_license(self, row: Row, given: Body) -> Answer:
        body = msgspec.json.decode(row.body)
        if "addLicenses" not in given or "removeLicenses" not in given:
            raise bad_request("A value is required for property 'addLicenses' and 'removeLicenses'.")
        if row.type == "user" and not body.get("usageLocation"):
            raise bad_request("License assignment cannot be done for user with invalid usage location.")
        skus = {sku.seq: msgspec.json.decode(sku.body) for sku in self.directory.page("subscribedSku")}
        known = {sku["skuId"]: sku for sku in skus.values()}
        before = {item["skuId"] for item in body.get("assignedLicenses") or ()}
        held = {item["skuId"]: item for item in body.get("assignedLicenses") or ()}
        for sku in given["removeLicenses"]:
            if held.pop(sku, None) is None:
                raise bad_request("User does not have a corresponding license.")
        for item in given["addLicenses"]:
            sku = known.get(str(item.get("skuId")))
            if sku is None:
                raise bad_request(f"License {item.get('skuId')} does not correspond to a valid company License.")
            if not set(item.get("disabledPlans") or ()) <= {plan["servicePlanId"] for plan in sku["servicePlans"]}:
                raise bad_request("License assignment failed because of a disabled plan that is not part of it.")
            free = sku["prepaidUnits"]["enabled"] - sku["consumedUnits"]
            if row.type == "user" and item["skuId"] not in held and free < 1:
                raise bad_request(
                    f"Subscription with SKU {item['skuId']} does not have any available licenses.",
                )
            held[item["skuId"]] = {"disabledPlans": item.get("disabledPlans") or [], "skuId": item["skuId"]}
        changes: Body = {"assignedLicenses": list(held.values())}
        if row.type == "user":
            by_group = [s for s in body.get("licenseAssignmentStates") or () if s.get("assignedByGroup")]
            changes["licenseAssignmentStates"] = by_group + [
                {
                    **item,
                    "assignedByGroup": None,
                    "state": "Active",
                    "error": "None",
                    "lastUpdatedDateTime": self.directory.stamp(),
                }
                for item in held.values()
            ]
        self.directory.update(row.seq, changes)
        for seq, sku in skus.items() if row.type == "user" else ():
            more = (sku["skuId"] in held) - (sku["skuId"] in before)
            if more:
                self.directory.update(seq, {"consumedUnits": sku["consumedUnits"] + more})
        after = self.directory.by_seq(row.seq)
        return Answer(200, msgspec.json.encode(shape(row.type, None)([after.body])[0]), {"Content-Type": JSON})

    # --- roles -------------------------------------------------------------------------------------------------------

    def _mirror_member(self, role: Row, member: Row, *, present: bool) -> None:
        template = msgspec.json.decode(role.body)["roleTemplateId"]
        held = [
            row
            for row in self.directory.linked((Link.ROLE_ASSIGNED,), member.seq)
            if (body := msgspec.json.decode(row.body))["roleDefinitionId"] == template
            and body["directoryScopeId"] == "/"
        ]
        if present and not held:
            body = {"principalId": member.id, "roleDefinitionId": template, "directoryScopeId": "/"}
            row = self.directory.insert("unifiedRoleAssignment", self.creation.mint().replace("-", "") + "-1", body)
            self.directory.link(Link.ROLE_ASSIGNED, member.seq, row.seq)
        if not present:
            for row in held:
                self.directory.purge(row.seq)


def _built_in(row: Row, current: Body) -> bool:
    """Whether the object is Microsoft's, and cannot be changed."""
    return bool(
        current.get("isBuiltIn")
        or current.get("policyType") == "builtIn"
        or current.get("userFlowAttributeType") == "builtIn"
        or (row.type == "permissionGrantPolicy" and row.id.startswith("microsoft-"))
    )


def _check_value(name: str, value: object, declared: Property) -> None:
    """Kind of a value, and of everything inside it. Raises Failure (400)."""
    if value is None:
        return
    if declared.many:
        if not isinstance(value, list):
            raise _wrong_kind(name, value, declared)
        for item in value:
            _check_value(name, item, Property(declared.kind, False, declared.model))
        return
    if declared == WHATEVER and isinstance(value, list):
        return
    if not isinstance(value, _KINDS[declared.kind]) or (isinstance(value, bool) and declared.kind is not Kind.BOOLEAN):
        raise _wrong_kind(name, value, declared)
    if declared.kind is Kind.COMPLEX and isinstance(value, dict) and declared.model:
        model = str(value.get("@odata.type", "")).removeprefix("#microsoft.graph.") or declared.model
        known = _complex(model)
        for inner, inner_value in value.items():
            if "@odata" in inner or known is None:
                continue
            if inner not in known:
                if has_navigation(_module(model), inner):
                    continue
                raise bad_request(
                    f"Property '{inner}' does not exist on type 'microsoft.graph.{model}'. {_WRONG_VALUES}"
                )
            _check_value(inner, inner_value, known[inner])


def _complex(class_name: str) -> dict[str, Property] | None:
    """Properties of a complex type; None when any are allowed (open types), or the SDK does not know it."""
    try:
        return model_properties(_module(class_name)) or None
    except (ImportError, AttributeError):
        return None


def _module(class_name: str) -> str:
    """The msgraph-sdk module of a class: `ConditionalAccessUsers` → `conditional_access_users`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", class_name).lower()


def _wrong_kind(name: str, value: object, declared: Property) -> Failure:
    return Failure(
        400,
        "Request_BadRequest",
        f"Cannot convert the value of property '{name}' ({type(value).__name__}) to the expected type "
        f"'{'Collection of ' if declared.many else ''}{declared.kind.value}'. {_WRONG_VALUES}",
    )
