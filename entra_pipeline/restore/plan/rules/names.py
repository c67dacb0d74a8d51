"""Names that only one object of a tenant has at a time: what holds one is deleted after what needs it has come back.

What belongs here: which deletions wait for which objects. What does not: carrying that out (`executor`).

A deletion that went ahead when the object that needs its name has failed would leave neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from entra_pipeline.catalogue import ObjectType
from entra_pipeline.restore.objects.normalize import Body, at
from entra_pipeline.restore.plan.diff import ObjectState, TenantDiff
from entra_pipeline.restore.plan.rules.drafts import REMOVALS, Draft

# Many services refuse a second object of the type with the same title.
_TITLES = ("displayName", "name")
_TAKING = {"create", "undelete", "update"}

_Name = tuple[str, str, str]


def wait_for_names(drafts: Iterable[Draft], diff: TenantDiff) -> None:
    """Makes deletions wait for the objects that need a name which the deleted object holds: adds to their `needs`.

    Args:
        drafts: The resolved drafts; those of deletions are changed.
        diff: What differs between the recovery point and the tenant.
    """
    drafts = list(drafts)
    removals = [draft for draft in drafts if draft.action == "delete" and draft.stage == REMOVALS]
    if not removals:
        return
    wanted: dict[_Name, set[str]] = {}
    for draft in drafts:
        item = diff.items.get(draft.table, {}).get(draft.id)
        if draft.action not in _TAKING or item is None or item.state is ObjectState.ADDED:
            continue
        bodies: list[Body] = [draft.body]
        if draft.action != "update":
            # What comes out of the recycle bin has names that its properties at the recovery point may lack.
            bodies += [item.wanted(), *([item.found()] if item.now else [])]
        for name in (name for body in bodies for name in _names(item.entry, body, item.parent)):
            wanted.setdefault(name, set()).add(draft.id)
    for draft in removals:
        item = diff.items[draft.table][draft.id]
        for name in _names(item.entry, item.found(), item.parent):
            draft.needs |= wanted.get(name, set()) - {draft.id}


def _names(entry: ObjectType, body: Body, parent: str) -> Iterator[_Name]:
    """Yields the names in some properties of an object: the space of names, the owner in which it counts, the name."""
    for path, space in entry.restore.names.items():
        for value in at(body, path):
            yield from ((space, "", one) for one in _texts(value))
    for name in (*entry.restore.unique, *_TITLES):
        yield from ((f"{entry.name}.{name}", parent, one) for one in _texts(body.get(name)))


def _texts(value: Any) -> Iterator[str]:
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, str) and one:
            yield one.casefold().removeprefix("smtp:")
