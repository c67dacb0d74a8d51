"""Names that only one object of a tenant has at a time: in which order who holds one goes, and who needs it comes.

What belongs here: which deletions wait for which objects, and which objects for deletions. What does not: finding the
holders (`holders`), carrying that out (`executor`).

A deletion that went ahead when the object that needs its name has failed would leave neither. So what holds a name that
Graph does not give twice goes first only into a recycle bin, from where it returns when the other does not come back;
all else goes afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from entra_pipeline.catalogue import CATALOGUE, ObjectType
from entra_pipeline.restore.objects.model import PlanRefusal
from entra_pipeline.restore.objects.normalize import Body, at
from entra_pipeline.restore.plan.diff import ObjectState, TenantDiff
from entra_pipeline.restore.plan.rules.drafts import ALL_STAGES, REMOVALS, Draft, PlanDraft

# Many services refuse a second object of the type with the same title.
_TITLES = ("displayName", "name")
_TAKING = {"create", "undelete", "update"}

_Name = tuple[str, str, str]


def freed_first(drafts: list[Draft], plan: PlanDraft) -> tuple[list[Draft], list[PlanRefusal]]:
    """Puts what frees a name before what needs it.

    Args:
        drafts: The resolved drafts; those with `frees` are changed.
        plan: The plan, for the objects they are about.

    Returns:
        The drafts that stay, and why others do not: what needs the name does not come back, or waits for the holder.
    """
    freeing = [draft for draft in drafts if draft.frees]
    if not freeing:
        return drafts, []
    needing = {draft.id: draft for draft in drafts if needs_names(draft.action, draft.table) and not draft.owner}
    makers = {draft.id: draft for draft in drafts if draft.action in {"create", "undelete"}}
    kept: list[Draft] = []
    refusals: list[PlanRefusal] = []
    for draft in drafts:
        wanted, draft.frees = draft.frees, {one for one in draft.frees if one in needing}
        draft.frees = {one for one in draft.frees if not _waits_for(draft, needing[one], makers, freeing)}
        if draft.action == "delete" and wanted - draft.frees:
            item = plan.diff.items[draft.table][draft.id]
            refusals.append(
                PlanRefusal(
                    table=item.table,
                    id=item.id,
                    name=item.name,
                    kind="unresolved",
                    reason=f"it holds the name of {', '.join(sorted(wanted - draft.frees))}, which does not come back",
                    remedy="Mend what keeps that from coming back, and plan again; or delete this one by hand.",
                )
            )
            continue
        if draft.action == "delete" and draft.frees:
            stages = [needing[one].stage for one in draft.frees]
            draft.stage = min(stages, key=ALL_STAGES.index)
            draft.notes.append(f"goes first: it holds the name of {', '.join(sorted(draft.frees))}")
        kept.append(draft)
    return kept, refusals


def needs_names(action: str, table: str) -> bool:
    """Tells whether a step gives an object its names; what only shows an object gives it none."""
    return action in _TAKING and table in CATALOGUE and not CATALOGUE[table].shows


def _waits_for(draft: Draft, needing: Draft, makers: Mapping[str, Draft], freeing: Iterable[Draft]) -> bool:
    """Tells whether what frees a name waits, over others, for what needs it: then nobody could begin."""
    waiting, seen = [draft], {id(draft)}
    while waiting:
        one = waiting.pop()
        if one is needing:
            return True
        before = [makers[need] for need in one.needs if need in makers and makers[need] is not one]
        before += [other for other in freeing if one.id in other.frees and other is not one and one is not draft]
        for other in before:
            if id(other) not in seen:
                seen.add(id(other))
                waiting.append(other)
    return False


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
