"""Entitlement management: resources and assignments that come and go by requests (Graph doc: resourceRequests).

What belongs here: what a request does. What does not: who approves; a request of an application is delivered at once.
"""

from __future__ import annotations

import msgspec

from entra_pipeline.simulator.graph.writing.creation.context import NewObjects
from entra_pipeline.simulator.graph.writing.scheduling import check_end
from entra_pipeline.simulator.protocol.failures import bad_request, not_found
from entra_pipeline.simulator.schema import EntitySet, LinkKind
from entra_pipeline.simulator.storage.database import Entity, StoredObject
from entra_pipeline.simulator.storage.directory import Directory

REQUESTS = ("accessPackageResourceRequest", "accessPackageAssignmentRequest")
"""Types of requests."""
_SYSTEMS = {"AadGroup": "group", "AadApplication": "servicePrincipal"}


def fulfill(directory: Directory, creation: NewObjects, entry: EntitySet, given: Entity) -> StoredObject:
    """Fulfills a request; returns the request as it is kept. Raises Failure."""
    kind = str(given["requestType"])
    if kind not in {"adminAdd", "adminRemove"}:
        raise bad_request(f"The request type '{kind}' is not supported for applications.")
    act = _resource if entry.name == REQUESTS[0] else _assignment
    act(directory, creation, given, adding=kind == "adminAdd")
    kept = {"requestType": kind, "state": "delivered", "status": "Delivered", "createdDateTime": directory.stamp()}
    return directory.insert(entry.name, creation.new_key(), kept)


def role_scope(directory: Directory, package: StoredObject, item: Entity) -> Entity:
    """Returns a role of a resource that an access package hands out, as it is kept. Raises Failure (400, 404)."""
    catalog = (msgspec.json.decode(package.body).get("catalog") or {}).get("id", "")
    owner = directory.find(str(catalog), "accessPackageCatalog")
    wanted_role, wanted_scope = item.get("role") or {}, item.get("scope") or {}
    for row in directory.linked((LinkKind.CATALOG_RESOURCES,), owner.seq) if owner else ():
        resource = msgspec.json.decode(row.body)
        role = _one(resource.get("roles"), wanted_role)
        scope = _one(resource.get("scopes"), wanted_scope)
        if role and scope:
            identifier = f"{role['id']}_{scope['id']}"
            return {"id": identifier, "createdDateTime": directory.stamp(), "role": role, "scope": scope}
    raise bad_request("The role and scope do not belong to a resource of the access package's catalog.")


def _one(items: list[Entity] | None, wanted: Entity) -> Entity | None:
    for item in items or ():
        if any(wanted.get(name) and wanted[name] == item.get(name) for name in ("id", "originId")):
            return item
    return None


def _resource(directory: Directory, creation: NewObjects, given: Entity, *, adding: bool) -> None:
    named = given.get("resource") or {}
    catalog = directory.find(str((given.get("catalog") or {}).get("id")), "accessPackageCatalog")
    if catalog is None:
        raise not_found(str((given.get("catalog") or {}).get("id")))
    held = {msgspec.json.decode(row.body)["originId"]: row for row in directory.linked(_HELD, catalog.seq)}
    origin = str(named.get("originId"))
    if not adding:
        gone = held.get(origin) or next((row for row in held.values() if row.id == named.get("id")), None)
        if gone is None:
            raise not_found(str(named.get("id") or origin))
        directory.purge(gone.seq)
        return
    system = str(named.get("originSystem"))
    source = directory.find(origin, _SYSTEMS.get(system, ""))
    if system in _SYSTEMS and source is None:
        raise not_found(origin)
    if origin in held:
        raise bad_request("The resource is already in the catalog.")
    shown = msgspec.json.decode(source.body).get("displayName") if source else named.get("displayName")
    now = directory.stamp()
    body = {
        "originId": origin,
        "originSystem": system,
        "displayName": shown,
        "description": named.get("description"),
        "createdDateTime": now,
        "modifiedDateTime": now,
        "attributes": [],
        "roles": [
            {"id": creation.new_key(), "originSystem": system, "description": None, **role}
            for role in _roles(system, origin, source)
        ],
        "scopes": [
            {
                "id": creation.new_key(),
                "originId": origin,
                "originSystem": system,
                "displayName": "Root",
                "description": "Root Scope",
                "isRootScope": True,
            }
        ],
    }
    made = directory.insert("accessPackageResource", creation.new_key(), body)
    directory.link(LinkKind.CATALOG_RESOURCES, catalog.seq, made.seq)


def _roles(system: str, origin: str, source: StoredObject | None) -> list[Entity]:
    if system == "AadApplication" and source:
        offered = msgspec.json.decode(source.body).get("appRoles") or ()
        return [{"originId": role["id"], "displayName": role["displayName"]} for role in offered]
    return [{"originId": f"{name}_{origin}", "displayName": name} for name in ("Member", "Owner")]


def _assignment(directory: Directory, creation: NewObjects, given: Entity, *, adding: bool) -> None:
    named = given.get("assignment") or {}
    if not adding:
        row = directory.find(str(named.get("id")), "accessPackageAssignment")
        if row is None:
            raise not_found(str(named.get("id")))
        directory.purge(row.seq)
        return
    check_end(directory, given.get("schedule") or {})
    ends = (
        ("accessPackageId", "accessPackage"),
        ("assignmentPolicyId", "accessPackageAssignmentPolicy"),
        ("targetId", "user"),
    )
    for name, type_name in ends:
        if directory.find(str(named.get(name)), type_name) is None:
            raise not_found(str(named.get(name)))
    for row in directory.page("accessPackageAssignment"):
        held = msgspec.json.decode(row.body)
        pair = (held["accessPackage"]["id"], held["target"]["objectId"])
        if held["state"] == "delivered" and pair == (named["accessPackageId"], named["targetId"]):
            raise bad_request("The target has an assignment to the access package already.")
    schedule: Entity = {
        "startDateTime": directory.stamp(),
        "recurrence": None,
        "expiration": {"type": "noExpiration"},
    }
    body: Entity = {
        "state": "delivered",
        "status": "Delivered",
        "expiredDateTime": None,
        "customExtensionCalloutInstances": [],
        "schedule": {**schedule, **(given.get("schedule") or {})},
        "accessPackage": {"id": named["accessPackageId"]},
        "assignmentPolicy": {"id": named["assignmentPolicyId"]},
        "target": {"id": creation.new_key(), "objectId": named["targetId"], "subjectType": "user", "altSecId": None},
    }
    directory.insert("accessPackageAssignment", creation.new_key(), body)


_HELD = (LinkKind.CATALOG_RESOURCES,)
