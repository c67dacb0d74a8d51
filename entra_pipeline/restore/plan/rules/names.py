"""The order of steps that give up a name or a seat, and of those that need it.

What belongs here: which deletions wait for which objects, and what gives up its name early where steps would wait for
each other. What does not: who relies on whom (`taken`, `seats`), finding the holders (`holders`), carrying that out
(`apply`).

A deletion that went ahead when the object that needs its name has failed would leave neither. So what holds a name that
Graph does not give twice goes first only into a recycle bin, from where it returns when the other does not come back;
all else goes afterwards.

Objects that exchanged names wait for each other. One of each circle gives up its name first, for a passing one, and
gets its own in a step that comes last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from entra_pipeline.catalogue import ObjectType
from entra_pipeline.restore.objects.normalize import Body, at
from entra_pipeline.restore.plan.diff import ObjectState, TenantDiff
from entra_pipeline.restore.plan.rules.drafts import ALL_STAGES, REMOVALS, Draft

# Many services refuse a second object of the type with the same title.
_TITLES = ("displayName", "name")
_TAKING = {"create", "undelete", "update"}
_TYPE = "@odata.type"

_Name = tuple[str, str, str]


def in_turn(drafts: list[Draft], passing: Callable[[Draft], Body]) -> list[Draft]:
    """Puts what gives up a name or a seat before what needs it, and lets nothing wait for itself.

    Args:
        drafts: The drafts that stay, with who relies on whom (`Draft.after`); they are changed.
        passing: Returns what gives up the names and seats of a draft for passing ones.

    Returns:
        The drafts, with one more of each object that gives up a name for a passing one first.
    """
    relying: dict[Draft, list[Draft]] = {}
    for draft in drafts:
        for giver in draft.after:
            relying.setdefault(giver, []).append(draft)
    makers = {draft.id: draft for draft in drafts if draft.action in {"create", "undelete"}}
    added: list[Draft] = []
    circular = _circular(drafts, makers)
    while circular:
        givers = sorted((one for one in circular if one in relying and one.action == "update"), key=_ease)
        giver = next(one for one in givers if _waits_for_itself(one, makers))
        first = _giving_up(giver, passing(giver))
        added.append(first)
        for draft in relying.pop(giver):
            draft.after.remove(giver)
            draft.after.add(first)
        giver.after.add(first)
        circular = _circular(circular, makers)
    for draft in drafts:
        if draft.action == "delete" and draft.frees:
            stages = [one.stage for one in relying[draft] if one.id in draft.frees]
            draft.stage = min(stages, key=ALL_STAGES.index)
            draft.notes.append(f"goes first: it has the name of {', '.join(sorted(draft.frees))}")
    return [*drafts, *added]


def before(draft: Draft, makers: Mapping[str, Draft]) -> set[Draft]:
    """Returns the drafts that come before one: those that make what it leads to, and that give up what it needs.

    Args:
        draft: The draft.
        makers: The drafts that create or undelete objects, by id.
    """
    return draft.after | {makers[need] for need in draft.needs if need in makers and makers[need] is not draft}


def _circular(drafts: Iterable[Draft], makers: Mapping[str, Draft]) -> list[Draft]:
    """Returns the drafts that wait for each other, and those between two such circles."""
    left = list(drafts)
    known = set(left)
    waiting = {draft: before(draft, makers) & known for draft in left}
    leading: dict[Draft, set[Draft]] = {}
    for draft, others in waiting.items():
        for other in others:
            leading.setdefault(other, set()).add(draft)
    for one_way, other_way in ((waiting, leading), (leading, waiting)):
        ends = [draft for draft in left if not one_way.get(draft)]
        while ends:
            done = ends.pop()
            for other in other_way.pop(done, ()):
                one_way[other].discard(done)
                if not one_way[other]:
                    ends.append(other)
        left = [draft for draft in left if one_way.get(draft)]
    return left


def _waits_for_itself(draft: Draft, makers: Mapping[str, Draft]) -> bool:
    waiting, seen = [draft], set[Draft]()
    while waiting:
        for other in before(waiting.pop(), makers) - seen:
            if other is draft:
                return True
            seen.add(other)
            waiting.append(other)
    return False


def _ease(draft: Draft) -> tuple[bool, str, str]:
    """Sorts what can give up its name at once before what has to come out of the recycle bin first."""
    return bool(draft.owner), draft.table, draft.id


def _giving_up(draft: Draft, body: Body) -> Draft:
    """Returns a draft that gives up names and seats of another one's object first; the other keeps all else."""
    named = ", ".join(sorted({one.name for one in draft.gives}))
    first = Draft(
        action="update",
        table=draft.table,
        id=draft.id,
        stage=draft.stage,
        parent=draft.parent,
        live_id=draft.live_id,
        name=draft.name,
        body=body | {name: draft.body[name] for name in (_TYPE,) if name in draft.body},
        before={name: draft.before[name] for name in body if name in draft.before},
        seen=draft.seen,
        owner=draft.owner,
        needs=draft.needs & {draft.owner},
        frees=draft.frees,
        gives=draft.gives,
        passing=True,
        notes=[f"for the time being: others that wait for each other need {named}"],
    )
    draft.frees, draft.gives = set(), set()
    draft.before |= body
    draft.notes.append("gets back what is its own, when the others have theirs")
    return first


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
