"""What services answer about an object that has not reached them yet, while `lag_writes` is set.

What belongs here: which objects a write is about, and the words of each service. What does not: what reads see
(`storage.replica`).

The directory answers 404. Sources of other words: terraform-provider-azuread#611 (a service principal right after its
application), msgraph-bicep-types#193 (app role assignments), manicminer/hamilton (licences), and what conditional
access and PIM say of whatever they do not know.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from entra_pipeline.simulator.protocol.failures import Failure, not_found, unknown_in_policy
from entra_pipeline.simulator.protocol.paths import ResourcePath
from entra_pipeline.simulator.protocol.requests import GraphRequest
from entra_pipeline.simulator.storage.database import StoredObject
from entra_pipeline.simulator.storage.links import DirectoryReader

_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
# Longer texts are no ids.
_LONGEST_ID = 256


class _Words(NamedTuple):
    """How a service refuses."""

    status: int
    code: str
    message: str


_NO_SUBJECT = _Words(400, "SubjectNotFound", "The subject is not found.")
_BY_ACTION: Mapping[str, _Words] = {
    "assignLicense": _Words(400, "Request_BadRequest", "One or more property values specified are invalid.")
}
_BY_TYPE: Mapping[str, _Words] = {
    "servicePrincipal": _Words(
        403,
        "Authorization_RequestDenied",
        "When using this permission, the backing application of the service principal being created must in the local "
        "tenant",
    ),
    "appRoleAssignment": _Words(400, "Request_BadRequest", "Not a valid reference update."),
    "unifiedRoleEligibilityScheduleRequest": _NO_SUBJECT,
    "unifiedRoleAssignmentScheduleRequest": _NO_SUBJECT,
    "privilegedAccessGroupEligibilityScheduleRequest": _NO_SUBJECT,
    "privilegedAccessGroupAssignmentScheduleRequest": _NO_SUBJECT,
}
_POLICY = "conditionalAccessPolicy"


def check_seen(
    directory: DirectoryReader, replica: DirectoryReader, request: GraphRequest, place: ResourcePath
) -> None:
    """Raises Failure for a write that is about an object which reads cannot see yet.

    Args:
        directory: The tenant.
        replica: The tenant as reads see it.
        request: The write.
        place: Where it goes.
    """
    part = bool(place.relation and place.relation.part and place.item)
    # An id that counts within its owner may be another owner's as well: the language of a user flow.
    if part and _holds(directory, place) and not _holds(replica, place):
        raise not_found(place.item)
    keys = {key for key in (place.key, "" if part else place.item) if key}
    for key in keys:
        row = directory.find(key)
        if row and replica.find(key) is None:
            raise _refusal(place, row, key)
    for row in _unseen(directory, replica, request, place):
        raise _refusal(place, row, row.id)


def _unseen(
    directory: DirectoryReader, replica: DirectoryReader, request: GraphRequest, place: ResourcePath
) -> Iterator[StoredObject]:
    """Yields the objects that the body of a write names, and that reads cannot see yet."""
    if not request.body or place.stream:
        return
    body = request.json()
    # Its own id is chosen by who makes the object.
    texts = {text for name, value in body.items() if name != "id" for text in _texts(value) if len(text) <= _LONGEST_ID}
    guids = {found.lower() for text in texts for found in _GUID.findall(text)}
    # What a reference leads to is at the end of its address.
    named = [*texts, *guids, *(text.rpartition("/")[2] for text in texts if "/" in text)]
    seen = {row.id for row in replica.by_ids(named)}
    yield from (row for row in directory.by_ids(named) if row.id not in seen)
    # An application is named by its appId where an enterprise application is made of it, that one everywhere else.
    owner = "application" if _written(place) == "servicePrincipal" else "servicePrincipal"
    for guid in guids:
        if (rows := directory.by_key(owner, guid)) and not replica.by_key(owner, guid):
            yield rows[0]


def _refusal(place: ResourcePath, row: StoredObject, key: str) -> Failure:
    """Returns how the service that a write goes to says that it does not know an object."""
    written = _written(place)
    words = _BY_ACTION.get(place.tail) or _BY_TYPE.get(written)
    if words:
        return Failure(*words)
    if written == _POLICY and row.type != _POLICY:
        return unknown_in_policy(row.type, key)
    return not_found(key)


def _written(place: ResourcePath) -> str:
    """Returns the type of what is written."""
    if place.relation is not None:
        return place.relation.part
    return place.entry.name if place.entry else ""


def _holds(directory: DirectoryReader, place: ResourcePath) -> bool:
    """Returns whether the owner that a path names has the part that it names."""
    owner = directory.find(place.key, place.set.name)
    parts = directory.linked(place.followed.codes, owner.seq) if owner else ()
    return any(part.id.lower() == place.item.lower() for part in parts)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
