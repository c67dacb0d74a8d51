"""Takes objects, links or whole types out of an answer that looks complete.

Counts still count what is left out, and a single object still answers: that is how a client can find out.
"""

from __future__ import annotations

from typing import Any

import msgspec

from entra_pipeline.simulator.faults.settings import TenantSettings
from entra_pipeline.simulator.protocol.paths import ResourcePath
from entra_pipeline.simulator.protocol.requests import GraphResponse

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def without_hidden(answer: GraphResponse, place: ResourcePath, settings: TenantSettings) -> GraphResponse:
    """Returns the answer to a GET without what the settings hide."""
    if place.tail not in {"", "delta"} or answer.status != 200 or (place.key and place.relation is None):
        return answer
    if place.tail != "delta" and not settings.hidden_in_lists:
        return answer
    body = _MEMBERS.decode(answer.body)
    if "value" not in body:
        return answer
    items: list[dict[str, Any]] = msgspec.json.decode(body["value"])
    if place.relation is not None:
        shown = [
            item for item in items if f"{place.key}/{place.relation.name}/{item.get('id')}" not in settings.hidden_links
        ]
    elif place.set.name in settings.hidden_types:
        shown = []
    else:
        shown = [_without_links(item, settings) for item in items if item.get("id") not in settings.hidden]
    body["value"] = msgspec.Raw(msgspec.json.encode(shown))
    return GraphResponse(answer.status, msgspec.json.encode(body), answer.headers)


def _without_links(item: dict[str, Any], settings: TenantSettings) -> dict[str, Any]:
    owner = item.get("id")
    for name, value in item.items():
        if isinstance(value, list) and value and isinstance(value[0], dict) and "id" in value[0]:
            segment = name.removesuffix("@delta")
            item[name] = [one for one in value if f"{owner}/{segment}/{one['id']}" not in settings.hidden_links]
    return item
