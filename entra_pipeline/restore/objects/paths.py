"""Where objects are written: paths under the Graph root, from the catalogue's rules."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from entra_pipeline.catalogue import BY_GRAPH_TYPE, CATALOGUE, ObjectType

# Graph's documentation refers to these by their common path, where a link may lead to several of them.
_DIRECTORY_OBJECTS = {"groups", "applications", "service_principals"}


def collection(entry: ObjectType, parent: str, owners: Mapping[str, str]) -> str:
    """Returns the path at which objects of a type are listed.

    Args:
        entry: The type.
        parent: Id of the owner, for child types.
        owners: For owners that are child objects themselves: their ids → ids of their owners.
    """
    if entry.parent is None:
        return entry.path
    owner = CATALOGUE[entry.parent.type]
    if entry.parent.path:
        return entry.parent.path.replace("{id}", parent)
    above = owners.get(parent, "") if owner.parent else ""
    return f"{item(owner, parent, above, {})}/{entry.parent.segment}"


def posted_to(entry: ObjectType, parent: str, owners: Mapping[str, str]) -> str:
    """Returns the path to which a new object of a type is posted."""
    if entry.restore.path:
        return entry.restore.path.replace("{parent}", parent)
    return collection(entry, parent, owners)


def item(entry: ObjectType, identifier: str, parent: str, owners: Mapping[str, str]) -> str:
    """Returns the path of one object."""
    local = identifier.removeprefix(f"{parent}/") if entry.local_ids else identifier
    local = quote(local, safe="-_.,()'!=@~")
    if entry.restore.item:
        return entry.restore.item.replace("{id}", local).replace("{parent}", parent)
    if entry.singleton:
        return entry.path
    if entry.parent is not None and not entry.parent.many:
        return collection(entry, parent, owners)
    return f"{collection(entry, parent, owners).partition('?')[0]}/{local}"


def reference(root: str, owner: ObjectType, identifier: str, graph_type: str) -> str:
    """Returns the address by which a link names its target (Graph doc: group-post-members, user-post-manager …)."""
    target = BY_GRAPH_TYPE.get(graph_type)
    if owner.name in _DIRECTORY_OBJECTS or target is None or not target.path:
        return f"{root}/directoryObjects/{identifier}"
    return f"{root}/{target.path}/{identifier}"
