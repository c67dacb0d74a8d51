"""Makes up what new objects of services have: policies, governance, external identities, domains."""

from __future__ import annotations

import re

import msgspec

from entra_pipeline.simulator.graph.writing.creation.context import NewObjects, Preset
from entra_pipeline.simulator.protocol.failures import bad_request, not_found
from entra_pipeline.simulator.storage.database import Entity


def _workflow(new: NewObjects, body: Entity, trusted: bool) -> Entity:
    now = new.directory.stamp()
    made = {"createdDateTime": now, "lastModifiedDateTime": now, "version": 1, "nextScheduleRunDateTime": None}
    tasks = [{"id": new.new_key(), **{k: v for k, v in t.items() if k != "id"}} for t in body.get("tasks") or ()]
    return {"isEnabled": True, "isSchedulingEnabled": False, **made, **body, **({"tasks": tasks} if tasks else {})}


def _review(new: NewObjects, body: Entity, trusted: bool) -> Entity:
    now = new.directory.stamp()
    return {"createdDateTime": now, "lastModifiedDateTime": now, "status": "NotStarted", **body}


def _catalog(new: NewObjects, body: Entity, trusted: bool) -> Entity:
    return {"catalogType": "userManaged", "state": "published", **_dated(new, body, trusted)}


def _dated(new: NewObjects, body: Entity, trusted: bool) -> Entity:
    """Returns the body with a date of creation, for types that get nothing else."""
    return {"createdDateTime": new.directory.stamp(), "modifiedDateTime": None, **body}


def _strength(new: NewObjects, body: Entity, trusted: bool) -> Entity:
    made = {"policyType": "custom", "requirementsSatisfied": "mfa", "combinationConfigurations": []}
    return {**_dated(new, made, trusted), **body}


def _domain(new: NewObjects, body: Entity, trusted: bool) -> Entity:
    made = {
        "authenticationType": "Managed",
        "isAdminManaged": True,
        "isDefault": False,
        "isInitial": False,
        "isRoot": True,
        "isVerified": False,
        "supportedServices": [],
    }
    return {**made, **body}


def _branding(new: NewObjects, body: Entity, trusted: bool) -> Entity:
    return {**body, "id": "0"}


def _context(new: NewObjects, body: Entity, trusted: bool) -> Entity:
    if not trusted and not re.fullmatch(r"c[1-9]\d?", str(body["id"])):
        raise bad_request("The id of an authentication context is one of c1 to c99.")
    return {"isAvailable": False, **body}


def _attribute(new: NewObjects, body: Entity, trusted: bool) -> Entity:
    if not trusted and new.directory.find(str(body["attributeSet"]), "attributeSet") is None:
        raise not_found(str(body["attributeSet"]))
    return {"allowedValues": [], **body, "id": f"{body['attributeSet']}_{body['name']}"}


def _consent(new: NewObjects, body: Entity, trusted: bool) -> Entity:
    if not trusted and str(body["id"]).startswith("microsoft-"):
        raise bad_request("Ids that begin with 'microsoft-' are reserved.")
    return {"includes": [], "excludes": [], **body}


def _flow(new: NewObjects, body: Entity, trusted: bool) -> Entity:
    return {**body, "id": "B2X_1_" + str(body["id"]).removeprefix("B2X_1_")}


def _setting(new: NewObjects, body: Entity, trusted: bool) -> Entity:
    template = new.directory.find(str(body.get("templateId")), "groupSettingTemplate")
    if template is None and not trusted:
        raise bad_request("The value of property 'templateId' does not name a template.")
    name = msgspec.json.decode(template.body)["displayName"] if template else "Group.Unified"
    held = {msgspec.json.decode(row.body)["templateId"] for row in new.directory.page("groupSetting")}
    if not trusted and template and template.id in held:
        raise bad_request("A conflicting object with one or more of the specified property values is present.")
    return {"displayName": name, **body}


def _job(new: NewObjects, body: Entity, trusted: bool) -> Entity:
    made = {
        "schedule": {"expiration": None, "interval": "PT40M", "state": "Disabled"},
        "status": {"code": "NotConfigured", "countSuccessiveCompleteFailures": 0, "escrowsPruned": False},
        "synchronizationJobSettings": [],
    }
    return {**made, **body, "id": f"{body.get('templateId', 'scim')}.{new.new_key()}"}


PRESETS: dict[str, Preset] = {
    "conditionalAccessPolicy": _dated,
    "namedLocation": _dated,
    "authenticationStrengthPolicy": _strength,
    "domain": _domain,
    "workflow": _workflow,
    "accessReviewScheduleDefinition": _review,
    "accessPackageCatalog": _catalog,
    "accessPackage": _dated,
    "accessPackageAssignmentPolicy": _dated,
    "connectedOrganization": _dated,
    "organizationalBranding": _branding,
    "authenticationContextClassReference": _context,
    "customSecurityAttributeDefinition": _attribute,
    "permissionGrantPolicy": _consent,
    "b2xIdentityUserFlow": _flow,
    "groupSetting": _setting,
    "synchronizationJob": _job,
}
