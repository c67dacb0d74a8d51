"""What Graph demands of values beyond their kind: references that exist, combinations, what may still be changed.

What belongs here: one function per type, for new objects and changed ones alike. What does not: names and kinds, which
hold for every type (`writer`), what Graph makes up (`creation`), who may (`privileged`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from entra_pipeline.simulator.protocol.failures import (
    Failure,
    bad_request,
    conflict,
    not_found,
    same_key,
    unknown_in_policy,
)
from entra_pipeline.simulator.schema import BY_NAME, LinkKind
from entra_pipeline.simulator.storage.database import Entity, StoredObject
from entra_pipeline.simulator.storage.directory import Directory

_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_LONGEST_SCOPE = 3850
# The type of an attribute set as Graph shows it, and as it takes it (Graph doc: custom-security-attributes-examples).
_ATTRIBUTE_SET = "#microsoft.graph.customSecurityAttributeValue"
_ATTRIBUTE_UPDATE = "#Microsoft.DirectoryServices.CustomSecurityAttributeValue"
# They live in SharePoint, and take a request of their own (Graph doc: user-update).
_PROFILE = frozenset(
    ["aboutMe", "birthday", "interests", "mySite", "pastProjects", "responsibilities", "schools", "skills"]
)
# Graph docs: conditionalaccessusers, conditionalaccessapplications, conditionalaccessclientapplications.
_ANY_USER = frozenset({"all", "none", "guestsorexternalusers"})
_ANY_APPLICATION = frozenset({"all", "none", "office365", "microsoftadminportals"})
_ANY_PRINCIPAL = frozenset({"serviceprincipalsinmytenant"})
# Trusted IPs of multifactor authentication; all compliant networks (Graph doc: compliantnetworknamedlocation-get).
_ANY_LOCATION = frozenset(
    {
        *("all", "alltrusted"),
        *("00000000-0000-0000-0000-000000000000", "3d46dbda-8382-466a-856d-eb00cbc6b910"),
    }
)


# What keeps an extension from being deleted (Graph doc: identitygovernance-customtaskextension-delete,
# accesspackageassignmentworkflowextension-delete).
_NAMED_BY = {"customTaskExtension": "workflow", "customCalloutExtension": "accessPackageAssignmentPolicy"}


def check(directory: Directory, type_name: str, body: Entity, current: Entity, seq: int = 0) -> None:
    """Raises Failure for what Graph refuses of an object.

    Args:
        directory: Where.
        type_name: Its type.
        body: What is sent.
        current: The object as it is; empty for a new one.
        seq: Its number; 0 for a new one.
    """
    rule = _RULES.get(type_name)
    if rule:
        rule(directory, body, current, seq)


def check_removal(directory: Directory, row: StoredObject, current: Entity) -> None:
    """Raises Failure when the object cannot be deleted as long as others need it."""
    if row.type == "group" and current.get("assignedLicenses"):
        # Entra doc: licensing-group-advanced.
        raise bad_request("Cannot delete a group that has licenses assigned. Remove them from the group first.")
    if row.type == "authenticationStrengthPolicy" and _policies(directory, f'"{row.id}"'):
        raise bad_request("The authentication strength is referenced by a conditional access policy.")
    if row.type == "authenticationContextClassReference" and (
        current.get("isAvailable") or _policies(directory, f'"{row.id}"')
    ):
        raise bad_request("An authentication context that is published or used by a policy cannot be deleted.")
    if row.type.startswith("organizationalBranding") and any(current.get(one) for one in BY_NAME[row.type].streams):
        # Graph doc: organizationalbranding-delete.
        raise bad_request("All images must be removed before the branding is deleted.")
    if row.type == "crossTenantAccessPolicyConfigurationPartner" and directory.linked(
        (LinkKind.IDENTITY_SYNC,), row.seq
    ):
        # Graph doc: crosstenantaccesspolicyconfigurationpartner-delete.
        raise bad_request("The user synchronization policy of the partner must be deleted first.")
    if row.type == "accessPackageCatalog":
        if current.get("catalogType") == "serviceDefault":
            raise bad_request("The default catalog cannot be deleted.")
        if _below(directory, "accessPackage", "catalog", row.id):
            raise bad_request("The catalog still has access packages.")
    if row.type == "accessPackage" and any(
        msgspec.json.decode(one.body).get("state") == "delivered"
        for one in _below(directory, "accessPackageAssignment", "accessPackage", row.id)
    ):
        raise bad_request("The access package still has assignments.")
    if row.type in _NAMED_BY and _naming(directory, _NAMED_BY[row.type], row.id):
        raise bad_request(f"The extension is still used by a {_NAMED_BY[row.type]}.")


def merge(current: object, given: object) -> object:
    """Returns a value after a PATCH: what a complex value is not given, it keeps (OData: PATCH of complex values)."""
    if not isinstance(current, dict) or not isinstance(given, dict):
        return given
    if given.get("@odata.type", current.get("@odata.type")) != current.get("@odata.type"):
        return given
    return {**current, **{name: merge(current.get(name), value) for name, value in given.items()}}


def as_stored(directory: Directory, type_name: str, body: Entity) -> Entity:
    """Returns the body as it is kept, after a write: references in full, unassigned attributes gone."""
    attributes = body.get("customSecurityAttributes")
    if attributes:
        # Null and the empty collection remove an attribute (Graph doc: custom-security-attributes-examples).
        held = {
            name: {key: value for key, value in values.items() if "@odata" not in key and value not in (None, [])}
            for name, values in attributes.items()
            if values
        }
        kept = {name: {"@odata.type": _ATTRIBUTE_SET, **_noted(values)} for name, values in held.items() if values}
        body = {**body, "customSecurityAttributes": kept or None}
    controls = body.get("grantControls")
    if type_name == "conditionalAccessPolicy" and controls and controls.get("authenticationStrength"):
        strength = directory.find(str(controls["authenticationStrength"].get("id")), "authenticationStrengthPolicy")
        if strength:
            body = {**body, "grantControls": {**controls, "authenticationStrength": msgspec.json.decode(strength.body)}}
    return body


def _policies(directory: Directory, text: str) -> list[StoredObject]:
    return _naming(directory, "conditionalAccessPolicy", text)


def _naming(directory: Directory, type_name: str, text: str) -> list[StoredObject]:
    return directory.page(type_name, where="instr(o.json, ?)", values=(text,), limit=1)


def _below(directory: Directory, type_name: str, end: str, identifier: str) -> list[StoredObject]:
    return directory.page(type_name, where=f"json_extract(o.json, '$.{end}.id') = ?", values=(identifier,))


def _taken(directory: Directory, type_name: str, name: str, value: object, seq: int, where: str = "1") -> bool:
    found = directory.page(
        type_name, where=f"json_extract(o.json, '$.{name}') = ? COLLATE NOCASE AND {where}", values=(value,), limit=2
    )
    return any(row.seq != seq for row in found)


# --- directory objects -----------------------------------------------------------------------------------------------


def _user(directory: Directory, body: Entity, current: Entity, seq: int) -> None:
    if current and _PROFILE & body.keys() and not body.keys() <= _PROFILE:
        raise bad_request("Properties of the user's profile have to be set in a request of their own.")
    if not current and "customSecurityAttributes" in body:
        raise bad_request("Property 'customSecurityAttributes' cannot be set when the object is created.")
    _attributes(directory, body)


def _attributes(directory: Directory, body: Entity) -> None:
    """Checks custom security attributes: whether they are defined, and whether only predefined values are used."""
    for name, values in (body.get("customSecurityAttributes") or {}).items():
        if not isinstance(values, dict) or values.get("@odata.type") != _ATTRIBUTE_UPDATE:
            raise bad_request(f"The value of attribute set '{name}' must be a customSecurityAttributeValue.")
        for attribute, value in values.items():
            if "@odata" in attribute:
                continue
            row = directory.find(f"{name}_{attribute}", "customSecurityAttributeDefinition")
            if row is None:
                raise bad_request(f"Custom security attribute '{attribute}' of set '{name}' is not defined.")
            if value and values.get(f"{attribute}@odata.type", "") != _annotation(value):
                raise bad_request(f"The value of '{attribute}' takes the annotation '{_annotation(value)}'.")
            definition = msgspec.json.decode(row.body)
            if isinstance(value, list) != bool(definition["isCollection"]) and value is not None:
                raise bad_request(f"Invalid value specified for custom security attribute '{attribute}'.")
            if definition["usePreDefinedValuesOnly"]:
                allowed = {one["id"] for one in definition.get("allowedValues") or () if one.get("isActive")}
                given = value if isinstance(value, list) else [value]
                if not {str(one) for one in given if one is not None} <= allowed:
                    raise bad_request(f"The value of custom security attribute '{attribute}' is not a predefined one.")


def _noted(values: Entity) -> Entity:
    """Returns attributes as Graph shows them: those with numbers or several values with their types."""
    kinds = {f"{name}@odata.type": kind for name, value in values.items() if (kind := _annotation(value))}
    return {**kinds, **values}


def _annotation(value: object) -> str:
    """Returns the type that goes with the value of an attribute (Graph doc: custom-security-attributes-examples)."""
    if isinstance(value, list):
        return f"#Collection({_annotation(value[0]).removeprefix('#') or 'String'})" if value else ""
    return "#Int32" if isinstance(value, int) and not isinstance(value, bool) else ""


def _group(directory: Directory, body: Entity, current: Entity, seq: int) -> None:
    after = {**current, **body}
    types = after.get("groupTypes") or ()
    if after.get("isAssignableToRole"):
        if not after.get("securityEnabled") or "DynamicMembership" in types:
            raise bad_request("A group that is assignable to roles must be security enabled, and not dynamic.")
        if after.get("visibility") == "Public":
            raise bad_request("Groups that are assignable to roles are always private.")
    hidden = "HiddenMembership"
    if hidden in {body.get("visibility"), current.get("visibility") if "visibility" in body else None}:
        changed = current and body["visibility"] != current.get("visibility")
        if changed or (not current and "Unified" not in types):
            raise bad_request("HiddenMembership can be set only when a Microsoft 365 group is created.")
    if current and "Unified" in types and "Unified" not in (current.get("groupTypes") or ()):
        raise bad_request("The type of a group cannot be changed.")
    if "Unified" in types and "mailNickname" in body:
        where = "json_extract(o.json, '$.mailEnabled')"
        if _taken(directory, "group", "mailNickname", body["mailNickname"], seq, where):
            raise conflict("mailNickname")
    if body.get("uniqueName") and _taken(directory, "group", "uniqueName", body["uniqueName"], seq):
        raise conflict("uniqueName")


def _certificates(directory: Directory, body: Entity, current: Entity) -> None:
    """Refuses new certificates that are over (azure-powershell issue 6974)."""
    held = {one.get("keyId") for one in current.get("keyCredentials") or ()}
    for one in body.get("keyCredentials") or ():
        if one.get("keyId") not in held and str(one.get("endDateTime") or "9999")[:19] <= directory.stamp()[:19]:
            raise bad_request("Key credential end date is invalid.")


def _application(directory: Directory, body: Entity, current: Entity, seq: int) -> None:
    _certificates(directory, body, current)
    if body.get("uniqueName") and _taken(directory, "application", "uniqueName", body["uniqueName"], seq):
        raise conflict("uniqueName")
    check_entitlements(body, current)
    given = body.get("api") or {}
    before = current.get("api") or {}
    # Scopes of the same request do not count yet (seen: microsoft-graph-docs-contrib issue 1395).
    known = {scope["id"] for scope in before.get("oauth2PermissionScopes") or ()}
    for client in given.get("preAuthorizedApplications") or ():
        if not set(client.get("delegatedPermissionIds") or ()) <= known:
            target = "api.preAuthorizedApplications.delegatedPermissionIds"
            message = f"Property {target} has a Permission Id that cannot be found in the AppPermissions sets."
            details = [{"code": "InvalidValue", "message": message, "target": target}]
            raise Failure(400, "InvalidValue", message, details=details)


def check_entitlements(body: Entity, current: Entity) -> None:
    """Raises Failure for roles and scopes of an application that Graph refuses.

    Args:
        body: What is sent.
        current: The application as it is; empty for a new one.
    """
    given, before = body.get("api") or {}, current.get("api") or {}
    if "appRoles" in body:
        _entitlements(current.get("appRoles"), body["appRoles"])
    if "oauth2PermissionScopes" in given:
        _entitlements(before.get("oauth2PermissionScopes"), given["oauth2PermissionScopes"])
    if "appRoles" in body or "oauth2PermissionScopes" in given:
        _agree(
            body.get("appRoles", current.get("appRoles")) or (),
            given.get("oauth2PermissionScopes", before.get("oauth2PermissionScopes")) or (),
        )


def _entitlements(before: Iterable[Entity] | None, after: Iterable[Entity] | None) -> None:
    """Roles and scopes have ids, and are disabled before they go or change their value."""
    given: dict[str, Entity] = {}
    for one in after or ():
        if not _GUID.fullmatch(str(one.get("id"))) or one["id"] in given:
            raise bad_request("The id of a role or scope must be a GUID, and used once.")
        given[one["id"]] = one
    values = [one["value"] for one in given.values() if one.get("value")]
    if len(values) != len(set(values)):
        raise Failure(400, "DuplicateValue", "Property value of a permission must be unique.")
    for old in before or ():
        new = given.get(old["id"])
        if old.get("isEnabled") and (new is None or new.get("value", old.get("value")) != old.get("value")):
            raise Failure(
                400,
                "CannotDeleteOrUpdateEnabledEntitlement",
                "Permission (scope or role) cannot be deleted or updated unless disabled first.",
            )


def _agree(roles: Iterable[Entity], scopes: Iterable[Entity]) -> None:
    """Checks that a role and a scope of one id say the same (azure-docs issue 81899)."""
    by_id = {scope["id"]: scope for scope in scopes}
    pairs = (
        ("description", "adminConsentDescription"),
        ("displayName", "adminConsentDisplayName"),
        ("isEnabled", "isEnabled"),
        ("value", "value"),
    )
    for role in roles:
        scope = by_id.get(role["id"])
        if scope and any((role.get(ours) or None) != (scope.get(theirs) or None) for ours, theirs in pairs):
            raise bad_request(
                "The following values must match for the 'oauth2Permissions' and 'appRoles' properties with identifier "
                f"'{role['id']}': (description, adminConsentDescription),(displayName, adminConsentDisplayName),"
                "(isEnabled, isEnabled),(origin, origin),(value, value). Ensure that you are intending to have entries "
                "with the same identifier, and if so, are updating them together."
            )
        if any(role.get("value") and role["value"] == one.get("value") for one in by_id.values() if one is not scope):
            raise Failure(400, "DuplicateValue", "It contains duplicate value.")


def _principal(directory: Directory, body: Entity, current: Entity, seq: int) -> None:
    if current.get("servicePrincipalType") == "ManagedIdentity" and body:
        raise bad_request("Managed identities are changed where they belong.")
    _certificates(directory, body, current)
    if not current and "customSecurityAttributes" in body:
        raise bad_request("Property 'customSecurityAttributes' cannot be set when the object is created.")
    _attributes(directory, body)


def _grant(directory: Directory, body: Entity, current: Entity, seq: int) -> None:
    after = {**current, **body}
    if len(str(after.get("scope") or "")) > _LONGEST_SCOPE:
        raise bad_request("The value of property 'scope' is too long.")
    if current:
        return
    if body.get("consentType") not in {"AllPrincipals", "Principal"}:
        raise bad_request("Invalid value specified for property 'consentType' of resource 'OAuth2PermissionGrant'.")
    if (body["consentType"] == "Principal") != bool(body.get("principalId")):
        raise bad_request("Property 'principalId' is required for, and only for, consent of type 'Principal'.")
    for name in ("clientId", "resourceId"):
        if directory.find(str(body.get(name)), "servicePrincipal") is None:
            raise not_found(str(body.get(name)))


def _assignment(directory: Directory, body: Entity, current: Entity, seq: int) -> None:
    scope = str(body.get("directoryScopeId") or "/")
    unit, _, identifier = scope.strip("/").rpartition("/")
    if not identifier:
        return
    row = directory.find(identifier, "administrativeUnit" if unit else "")
    if row is None or unit not in {"", "administrativeUnits"}:
        raise not_found(scope)


# --- conditional access ----------------------------------------------------------------------------------------------


def _policy(directory: Directory, body: Entity, current: Entity, seq: int) -> None:
    """Checks that what a policy newly names is there; what it named before may have gone meanwhile."""
    given, before = body.get("conditions") or {}, current.get("conditions") or {}
    for condition, kind, type_name, special, there in _NAMED_IN_POLICY:
        for side in ("include", "exclude"):
            for key in _new(given, before, condition, side + kind):
                if key.lower() not in special and not there(directory, key):
                    raise unknown_in_policy(type_name, key)
    name = "includeAuthenticationContextClassReferences"
    for key in _new(given, before, "applications", name):
        if directory.find(key, "authenticationContextClassReference") is None:
            raise unknown_in_policy("authenticationContextClassReference", key)
    controls, held = body.get("grantControls") or {}, current.get("grantControls") or {}
    strength = controls.get("authenticationStrength")
    if strength and directory.find(str(strength.get("id")), "authenticationStrengthPolicy") is None:
        raise unknown_in_policy("authenticationStrengthPolicy", str(strength.get("id")))
    for key in set(controls.get("termsOfUse") or ()) - set(held.get("termsOfUse") or ()):
        if directory.find(key, "agreement") is None:
            raise unknown_in_policy("agreement", key)


def _new(given: Entity, before: Entity, condition: str, name: str) -> list[str]:
    known = (before.get(condition) or {}).get(name) or ()
    return [key for key in (given.get(condition) or {}).get(name) or () if key not in known]


def _role(directory: Directory, key: str) -> bool:
    row = directory.find(key, "unifiedRoleDefinition")
    return row is not None and bool(msgspec.json.decode(row.body).get("isBuiltIn"))


_NAMED_IN_POLICY: tuple[tuple[str, str, str, frozenset[str], Callable[[Directory, str], object]], ...] = (
    ("users", "Users", "user", _ANY_USER, lambda tenant, key: tenant.find(key, "user")),
    ("users", "Groups", "group", frozenset(), lambda tenant, key: tenant.find(key, "group")),
    ("users", "Roles", "unifiedRoleDefinition", frozenset(), _role),
    (
        *("applications", "Applications", "servicePrincipal"),
        _ANY_APPLICATION,
        lambda tenant, key: tenant.by_key("servicePrincipal", key),
    ),
    (
        *("clientApplications", "ServicePrincipals", "servicePrincipal"),
        _ANY_PRINCIPAL,
        lambda tenant, key: tenant.find(key, "servicePrincipal"),
    ),
    ("locations", "Locations", "namedLocation", _ANY_LOCATION, lambda tenant, key: tenant.find(key, "namedLocation")),
)
"""What a policy names: the condition, the end of the property's name, the type, constants, and who tells whether it is
there."""


def _location(directory: Directory, body: Entity, current: Entity, seq: int) -> None:
    kind = str(body.get("@odata.type") or current.get("@odata.type"))
    wrong = {"ipRanges", "isTrusted"} if "country" in kind else {"countriesAndRegions", "countryLookupMethod"}
    for name in sorted(wrong & body.keys()):
        raise bad_request(f"Property '{name}' does not exist on type '{kind.removeprefix('#')}'.")


# --- the rest --------------------------------------------------------------------------------------------------------


def _attribute(directory: Directory, body: Entity, current: Entity, seq: int) -> None:
    if current and body.get("usePreDefinedValuesOnly") and not current.get("usePreDefinedValuesOnly"):
        raise bad_request("Property 'usePreDefinedValuesOnly' can only be changed from true to false.")


def _workflow(directory: Directory, body: Entity, current: Entity, seq: int) -> None:
    if current and {"tasks", "executionConditions"} & body.keys():
        raise bad_request("Tasks and execution conditions are changed by createNewVersion only.")


def _package(directory: Directory, body: Entity, current: Entity, seq: int) -> None:
    _there(directory, body, ("catalog", "accessPackageCatalog"))


def _package_policy(directory: Directory, body: Entity, current: Entity, seq: int) -> None:
    _there(directory, body, ("accessPackage", "accessPackage"), ("catalog", "accessPackageCatalog"))


def _there(directory: Directory, body: Entity, *ends: tuple[str, str]) -> None:
    for name, type_name in ends:
        if body.get(name) and directory.find(str(body[name].get("id")), type_name) is None:
            raise not_found(str(body[name].get("id")))


def _partner(directory: Directory, body: Entity, current: Entity, seq: int) -> None:
    if "tenantId" in body and not _GUID.fullmatch(str(body["tenantId"])):
        raise bad_request("Invalid value specified for property 'tenantId'.")


def check_credential(parts: Iterable[Entity], given: Entity, *, most: int) -> None:
    """Checks federated credentials of one application: names are unique, so are pairs of issuer and subject."""
    present = list(parts)
    if any(part["name"] == given.get("name") for part in present):
        raise same_key(f"FederatedIdentityCredential with name {given.get('name')} already exists.")
    pair = (given.get("issuer"), given.get("subject"))
    if any((part["issuer"], part["subject"]) == pair for part in present):
        raise same_key("FederatedIdentityCredential with the same issuer and subject already exists.")
    if len(present) >= most:
        raise bad_request("No more than 20 federated identity credentials can be added to an application.")


_RULES: dict[str, Callable[[Directory, Entity, Entity, int], Any]] = {
    "user": _user,
    "group": _group,
    "application": _application,
    "servicePrincipal": _principal,
    "oAuth2PermissionGrant": _grant,
    "unifiedRoleAssignment": _assignment,
    "conditionalAccessPolicy": _policy,
    "namedLocation": _location,
    "customSecurityAttributeDefinition": _attribute,
    "workflow": _workflow,
    "accessPackage": _package,
    "accessPackageAssignmentPolicy": _package_policy,
    "crossTenantAccessPolicyConfigurationPartner": _partner,
}
