"""Carries out actions on an object: licences, versions of workflows, combinations of strengths."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from entra_pipeline.simulator.graph.projection import created, shape
from entra_pipeline.simulator.graph.writing.checks import check_properties, check_required
from entra_pipeline.simulator.graph.writing.creation import Creation
from entra_pipeline.simulator.protocol.failures import (
    bad_request,
)
from entra_pipeline.simulator.protocol.requests import GraphRequest, GraphResponse, json_answer
from entra_pipeline.simulator.schema import BY_NAME
from entra_pipeline.simulator.storage.database import Entity, StoredObject
from entra_pipeline.simulator.storage.directory import Directory


def act(creation: Creation, row: StoredObject, request: GraphRequest, action: str) -> GraphResponse:
    """Carries out the action on the object. Raises Failure."""
    given = request.json()
    if action == "assignLicense":
        return _assign_license(creation.directory, row, given)
    if action == "createNewVersion":
        return _new_version(creation, row, given)
    return _update_combinations(creation.directory, row, given)


def _update_combinations(directory: Directory, row: StoredObject, given: Entity) -> GraphResponse:
    """Sets the combinations of an authentication strength (Graph doc: updateAllowedCombinations)."""
    current = msgspec.json.decode(row.body)
    if current.get("policyType") == "builtIn":
        raise bad_request("Built-in objects cannot be updated.")
    if not given.get("allowedCombinations"):
        raise bad_request("A value is required for property 'allowedCombinations'.")
    previous = current["allowedCombinations"]
    directory.update(row.seq, {"allowedCombinations": given["allowedCombinations"]})
    result = {"previousCombinations": previous, "currentCombinations": given["allowedCombinations"]}
    return json_answer(result)


def _new_version(creation: Creation, row: StoredObject, given: Entity) -> GraphResponse:
    """Returns a workflow with other tasks or conditions, in place of the one before (Graph doc: createNewVersion)."""
    body = given.get("workflow")
    if not isinstance(body, dict):
        raise bad_request("A value is required for property 'workflow'.")
    entry = BY_NAME[row.type]
    check_required(entry, body)
    check_properties(creation.directory, entry, body, creating=True)
    current = msgspec.json.decode(row.body)
    if body.get("category", current["category"]) != current["category"]:
        raise bad_request("The category of a workflow cannot be changed.")
    made = creation.preset(row.type, body, False)
    kept = ("createdDateTime", "version")
    changes = {
        **{name: value for name, value in made.items() if name not in kept},
        "version": current["version"] + 1,
    }
    changes["lastModifiedDateTime"] = creation.directory.stamp()
    creation.directory.update(row.seq, changes)
    return created(creation.directory.by_seq(row.seq))


def _assign_license(directory: Directory, row: StoredObject, given: Entity) -> GraphResponse:
    body = msgspec.json.decode(row.body)
    if "addLicenses" not in given or "removeLicenses" not in given:
        raise bad_request("A value is required for property 'addLicenses' and 'removeLicenses'.")
    if row.type == "user" and not body.get("usageLocation"):
        raise bad_request("License assignment cannot be done for user with invalid usage location.")
    known = {sku["skuId"]: sku for sku in (msgspec.json.decode(one.body) for one in directory.page("subscribedSku"))}
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
    changes: Entity = {"assignedLicenses": list(held.values())}
    if row.type == "user":
        by_group = [s for s in body.get("licenseAssignmentStates") or () if s.get("assignedByGroup")]
        changes["licenseAssignmentStates"] = by_group + [
            {
                **item,
                "assignedByGroup": None,
                "state": "Active",
                "error": "None",
                "lastUpdatedDateTime": directory.stamp(),
            }
            for item in held.values()
        ]
    directory.update(row.seq, changes)
    if row.type == "user":
        count_seats(directory, body, held.values())
    after = directory.by_seq(row.seq)
    return json_answer(shape(row.type, None)([after.body])[0])


def count_seats(directory: Directory, before: Entity, after: Iterable[Entity]) -> None:
    """Counts the seats that a user takes more, or less, of each subscription.

    Args:
        directory: Where.
        before: The user, with the licences before.
        after: The licences afterwards.
    """
    had = {item["skuId"] for item in before.get("assignedLicenses") or ()}
    has = {item["skuId"] for item in after}
    for row in directory.page("subscribedSku") if had != has else ():
        sku = msgspec.json.decode(row.body)
        if more := (sku["skuId"] in has) - (sku["skuId"] in had):
            directory.update(row.seq, {"consumedUnits": sku["consumedUnits"] + more})
