"""Items kept in their owner that have paths of their own: conditions of a consent policy, allowed values, rules.

What belongs here: reading and writing them below their owner. What does not: how the owner shows them (`projection`).
"""

from __future__ import annotations

import msgspec

from entra_pipeline.simulator.protocol.failures import bad_request, method_not_allowed, not_found
from entra_pipeline.simulator.protocol.paths import ResourcePath
from entra_pipeline.simulator.protocol.requests import GraphRequest, GraphResponse, json_answer
from entra_pipeline.simulator.storage.database import Entity, StoredObject


def read(request: GraphRequest, place: ResourcePath, row: StoredObject) -> GraphResponse:
    """Returns all items, or the one requested. Raises Failure (404)."""
    held = msgspec.json.decode(row.body).get(place.inline)
    context = f"{request.root}/$metadata#{place.set.path}('{row.id}')/{place.inline}"
    if isinstance(held, dict):
        return json_answer({"@odata.context": f"{context}/$entity", **held})
    items: list[Entity] = held or []
    if place.item:
        return json_answer({"@odata.context": f"{context}/$entity", **items[_index(items, place.item)]})
    return json_answer({"@odata.context": context, "value": items})


def changed(
    request: GraphRequest, place: ResourcePath, row: StoredObject, new_id: str
) -> tuple[list[Entity], GraphResponse]:
    """Returns the owner's items as they are after the write, and the answer to it.

    Args:
        request: POST to the items; PATCH or DELETE of one.
        place: Where to.
        row: The owner.
        new_id: Id of an item that comes without one.

    Raises:
        Failure: There is no such item (404), or one with the id already (400).
    """
    items: list[Entity] = msgspec.json.decode(row.body).get(place.inline) or []
    if request.method == "POST" and not place.item:
        item = request.json()
        item = {**item, "id": item.get("id") or new_id}
        if any(other["id"] == item["id"] for other in items):
            raise bad_request("A conflicting object with one or more of the specified property values is present.")
        return [*items, item], json_answer(item, 201)
    if not place.item or request.method not in {"PATCH", "DELETE"}:
        raise method_not_allowed()
    index = _index(items, place.item)
    kept = [] if request.method == "DELETE" else [{**items[index], **request.json()}]
    return [*items[:index], *kept, *items[index + 1 :]], GraphResponse(204)


def _index(items: list[Entity], identifier: str) -> int:
    for index, item in enumerate(items):
        if str(item["id"]).lower() == identifier.lower():
            return index
    raise not_found(identifier)
