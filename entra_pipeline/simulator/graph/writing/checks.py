"""Checks a write against what holds for every type: names and kinds of properties, and what may be changed.

Names and kinds come from msgraph-sdk's models, as the service's own metadata does. Raises Failure (400).
"""

from __future__ import annotations

import re

import msgspec

from entra_pipeline.catalogue.sdk import JSON as WHATEVER
from entra_pipeline.catalogue.sdk import Property, PropertyKind, has_navigation, model_properties
from entra_pipeline.simulator.graph.writing.creation import Creation
from entra_pipeline.simulator.protocol.failures import (
    Failure,
    bad_request,
)
from entra_pipeline.simulator.schema import EntitySet, LinkKind, NavigationProperty
from entra_pipeline.simulator.storage.database import Entity, StoredObject
from entra_pipeline.simulator.storage.directory import Directory

WRONG_VALUES = "One or more property values specified are invalid."
SYNCED = (
    "Unable to update the specified properties for on-premises mastered Directory Sync objects or objects currently "
    "undergoing migration."
)
# What may be changed in Entra on an object that is mastered on-premises (Entra doc: users of hybrid tenants).
_CLOUD_OWNED = {"usageLocation", "preferredDataLocation", "passwordPolicies", "customSecurityAttributes"}
_KINDS: dict[PropertyKind, tuple[type, ...]] = {
    PropertyKind.STRING: (str,),
    PropertyKind.BOOLEAN: (bool,),
    PropertyKind.INTEGER: (int,),
    PropertyKind.NUMBER: (int, float),
    PropertyKind.DATETIME: (str,),
    PropertyKind.DATE: (str,),
    PropertyKind.COMPLEX: (dict,),
}
_EXTENSION_KINDS: dict[str, tuple[type, ...]] = {
    "String": (str,),
    "Integer": (int,),
    "LargeInteger": (int,),
    "Boolean": (bool,),
    "DateTime": (str,),
    "Binary": (str,),
}


def check_required(entry: EntitySet, body: Entity) -> None:
    """Raises Failure (400) when a property that a POST must have is missing."""
    missing = [name for name in entry.required if body.get(name) is None]
    if entry.name == "user" and missing == ["passwordProfile"] and body.get("onPremisesImmutableId"):
        return
    if missing:
        details = [{"code": "MissingProperty", "message": f"'{n}' is required.", "target": n} for n in missing]
        raise bad_request(
            f"A value is required for property '{missing[0]}' of resource '{entry.name.capitalize()}'.",
            details=details,
        )


def check_properties(directory: Directory, entry: EntitySet, body: Entity, *, creating: bool) -> None:
    """Checks names and kinds of properties, and whether they may be written at all. Raises Failure (400)."""
    known = entry.properties()
    extensions = directory.extensions()
    for name, value in body.items():
        if name == "@odata.type" or name.endswith("@odata.type"):
            continue
        if name in extensions:
            _check_extension(entry, name, value, extensions[name])
            continue
        if name.startswith("extension_") and name not in known:
            raise bad_request(f"The following extension properties are not available: {name}.")
        if name not in known and not entry.open:
            raise bad_request(
                f"Property '{name}' does not exist on type 'microsoft.graph.{entry.name}'. {WRONG_VALUES}"
            )
        if name in entry.read_only or (name in entry.immutable and not creating):
            raise bad_request(f"Property '{name}' is read-only and cannot be set.")
        if creating and name in entry.single_only:
            raise bad_request(f"Property '{name}' cannot be set when the object is created.")
        if name in known:
            check_value(name, value, known[name])
    if entry.name == "namedLocation" and creating:
        _check_location(body)


def check_change(creation: Creation, entry: EntitySet, row: StoredObject, current: Entity, body: Entity) -> None:
    """Checks what may not be changed on this very object. Raises Failure (400)."""
    if built_in(row, current):
        raise bad_request("Built-in objects cannot be updated.")
    if current.get("onPremisesSyncEnabled") and row.type in {"user", "group"}:
        owned = [name for name in body if name not in _CLOUD_OWNED and not name.startswith("extension_")]
        if owned:
            raise bad_request(SYNCED)
    if row.type == "user" and body.get("userPrincipalName"):
        creation.check_user_name(str(body["userPrincipalName"]), row.seq)
    if row.type == "user" and body.get("mail") and body["mail"] != current.get("mail"):
        creation.check_addresses([str(body["mail"])], row.seq)
    if row.type == "application" and body.get("identifierUris"):
        creation.check_uris(body["identifierUris"], row.seq)
    for name in entry.required:
        if name in body and body[name] is None and name != "passwordProfile":
            raise bad_request(f"Invalid value specified for property '{name}' of resource '{entry.name.capitalize()}'.")
    odata_type = body.get("@odata.type")
    if odata_type and current.get("@odata.type") not in {None, odata_type}:
        raise bad_request("The type of an object cannot be changed.")


def check_members(row: StoredObject, relation: NavigationProperty) -> None:
    """Raises Failure (400) for members that are not changed by hand: of dynamic and synchronised groups and units."""
    if relation.codes[0] == LinkKind.UNIT_MEMBERS and msgspec.json.decode(row.body).get("membershipType") == "Dynamic":
        raise bad_request("The membership of a dynamic administrative unit cannot be changed by hand.")
    if relation.codes[0] != LinkKind.GROUP_MEMBERS:
        return
    group = msgspec.json.decode(row.body)
    if "DynamicMembership" in group.get("groupTypes", ()):
        raise bad_request("Insufficient privileges: the membership of a dynamic group cannot be changed by hand.")
    if group.get("onPremisesSyncEnabled"):
        raise bad_request(SYNCED)


def _check_extension(entry: EntitySet, name: str, value: object, declared: tuple[str, tuple[str, ...]]) -> None:
    kind, targets = declared
    if entry.name not in {target[:1].lower() + target[1:] for target in targets}:
        raise bad_request(f"The extension property '{name}' is not available on {entry.name}.")
    kinds = _EXTENSION_KINDS.get(kind, (str,))
    if value is not None and not (isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))):
        raise bad_request(f"Invalid value specified for property '{name}' of resource '{entry.name.capitalize()}'.")


def _check_location(body: Entity) -> None:
    kind = str(body["@odata.type"])
    needed = {
        "#microsoft.graph.ipNamedLocation": "ipRanges",
        "#microsoft.graph.countryNamedLocation": "countriesAndRegions",
    }.get(kind)
    if needed is None or not body.get(needed):
        raise bad_request(f"Invalid named location: {WRONG_VALUES}")


def built_in(row: StoredObject, current: Entity) -> bool:
    """Returns whether the object is Microsoft's, and cannot be changed."""
    return bool(
        current.get("isBuiltIn")
        or current.get("policyType") == "builtIn"
        or current.get("userFlowAttributeType") == "builtIn"
        or (row.type == "permissionGrantPolicy" and row.id.startswith("microsoft-"))
    )


def check_value(name: str, value: object, declared: Property) -> None:
    """Checks the kind of a value, and of everything inside it. Raises Failure (400)."""
    if value is None:
        return
    if declared.many:
        if not isinstance(value, list):
            raise _wrong_kind(name, value, declared)
        for item in value:
            check_value(name, item, Property(declared.kind, False, declared.model))
        return
    if declared == WHATEVER and isinstance(value, list):
        return
    if not isinstance(value, _KINDS[declared.kind]) or (
        isinstance(value, bool) and declared.kind is not PropertyKind.BOOLEAN
    ):
        raise _wrong_kind(name, value, declared)
    if declared.kind is PropertyKind.COMPLEX and isinstance(value, dict) and declared.model:
        model = str(value.get("@odata.type", "")).removeprefix("#microsoft.graph.") or declared.model
        known = _complex(model)
        for inner, inner_value in value.items():
            if "@odata" in inner or known is None:
                continue
            if inner not in known:
                if has_navigation(_module(model), inner):
                    continue
                raise bad_request(
                    f"Property '{inner}' does not exist on type 'microsoft.graph.{model}'. {WRONG_VALUES}"
                )
            check_value(inner, inner_value, known[inner])


def _complex(class_name: str) -> dict[str, Property] | None:
    """Returns properties of a complex type; None when any are allowed (open types), or the SDK does not know it."""
    try:
        return model_properties(_module(class_name)) or None
    except (ImportError, AttributeError):
        return None


def _module(class_name: str) -> str:
    """Returns the msgraph-sdk module of a class: `ConditionalAccessUsers` → `conditional_access_users`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", class_name).lower()


def _wrong_kind(name: str, value: object, declared: Property) -> Failure:
    return Failure(
        400,
        "Request_BadRequest",
        f"Cannot convert the value of property '{name}' ({type(value).__name__}) to the expected type "
        f"'{'Collection of ' if declared.many else ''}{declared.kind.value}'. {WRONG_VALUES}",
    )
