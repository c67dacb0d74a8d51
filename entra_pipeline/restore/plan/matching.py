"""Which object of a recovery point an object of the tenant is that has another id.

What belongs here: what makes an object the only one of its kind, and what shows that two of one name are the same.
What does not: reading the tables (`diff`), what is done about a name that somebody else has (`rules.taken`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from entra_pipeline.analysis.equality import normal
from entra_pipeline.catalogue import ObjectType
from entra_pipeline.restore.objects.expiry import end_of
from entra_pipeline.restore.objects.normalize import Body, at, differing, normalized


class Namesake(NamedTuple):
    """An object of the tenant that has the unique name of a missing one.

    Attributes:
        live_id: Its id in the tenant.
        same: Whether it is taken for the missing one.
        why: What tells so, for people.
        open: Nothing contradicts that it is the same: a person may say so (`RestoreOptions.taken`).
    """

    live_id: str
    same: bool
    why: str
    open: bool = False


class Tie(NamedTuple):
    """An object of a recovery point that only ties others together (`Restore.link`).

    Attributes:
        body: The object, with the ids of the tenant.
        parent: Id of its owner in the tenant; empty where it has none.
        live_id: Its id in the tenant; empty when it is missing.
        moved: Whether anything that it names has another id in the tenant.
        requested: Whether it is among what was chosen.
    """

    body: Body
    parent: str
    live_id: str
    moved: bool
    requested: bool


class Twin(NamedTuple):
    """A tie that takes the place of another one, as Graph holds only one of them.

    Attributes:
        id: Its id: in the tenant when it is there, else at the recovery point.
        unlike: Properties in which the two differ nevertheless: when they end, or scopes of a grant.
    """

    id: str
    unlike: tuple[str, ...]


def own_aliases(entry: ObjectType) -> tuple[str, ...]:
    """Aliases that come with the object: the appId of an enterprise application is its application's."""
    return entry.aliases if entry.restore.create_only.isdisjoint(entry.aliases) else ()


def key_of(entry: ObjectType, body: Body, parent: str) -> Any:
    """Returns what no two objects of a type have in common in a tenant; None when nothing is known to be so.

    Two grants or assignments that say the same are the same.

    Args:
        entry: The type.
        body: The object, with the ids of the tenant.
        parent: Id of its owner in the tenant; empty where it has none.
    """
    rule = entry.restore
    if rule.link:
        said = normalized(entry, body)
        if rule.change and rule.create_only:
            said = {name: said.get(name) for name in rule.create_only}
        return parent, msgspec.json.encode(normal(said), order="sorted")
    if rule.unique:
        values = tuple(str(body.get(name) or "").casefold() for name in rule.unique)
        return (parent, *values) if all(values) else None
    if entry.parent is not None and not entry.parent.many:
        return (parent,)
    return () if rule.possible and not rule.create and not entry.shows else None


def tie_of(entry: ObjectType, body: Body, parent: str) -> Any:
    """Returns what no two ties (`Restore.link`) have in common in a tenant: `key_of`, whenever either of them ends."""
    rule = entry.restore
    kept = rule.once or body.keys() - {rule.ends.partition(".")[0]}
    return key_of(entry, {name: value for name, value in body.items() if name in kept}, parent)


def twins_of(entry: ObjectType, ties: Mapping[str, Tie], there: Mapping[str, tuple[Body, str]]) -> dict[str, Twin]:
    """Finds ties that say, with the ids of the tenant, what another one says already, or will when it is back.

    Of those that are to be made, the one stays that named what is in the tenant; else the one that lasts longest.

    Args:
        entry: Their type.
        ties: Ties of the recovery point that are missing or differ, by id.
        there: Ties that the tenant has and keeps, by id: the object, and the id of its owner.

    Returns:
        Id at the recovery point of each that is not to be made → the one in its place.
    """
    keys = {id_: tie_of(entry, tie.body, tie.parent) for id_, tie in ties.items()}
    moved = {keys[id_] for id_, tie in ties.items() if tie.moved}
    held = {tie_of(entry, body, parent): (id_, body) for id_, (body, parent) in sorted(there.items(), reverse=True)}
    found: dict[str, Twin] = {}
    for id_, tie in sorted(ties.items(), key=lambda pair: (*_precedence(entry, pair[1]), pair[0])):
        if keys[id_] not in moved:
            continue
        other, body = held.setdefault(keys[id_], (id_, tie.body))
        if other not in {id_, tie.live_id}:
            found[id_] = Twin(other, tuple(differing(entry, normalized(entry, tie.body), normalized(entry, body))))
    return found


def _precedence(entry: ObjectType, tie: Tie) -> tuple[bool, bool, bool, float]:
    ends = [end for value in at(tie.body, entry.restore.ends) if (end := end_of(value))] if entry.restore.ends else []
    last = max(ends) if ends else datetime.max.replace(tzinfo=UTC)
    return bool(tie.live_id), not tie.requested, tie.moved, -last.timestamp()


def compare_namesakes(
    entry: ObjectType, live_id: str, then: Mapping[str, Any], now: Mapping[str, Any], *, by_name: bool
) -> Namesake:
    """Tells whether an object of the tenant is the one of the recovery point that has the same key (`key_of`).

    Args:
        entry: The type.
        live_id: Id of the object in the tenant.
        then: The object at the recovery point; of its properties those in `Restore.evidence` are looked at.
        now: The object in the tenant.
        by_name: A person says that objects of one name are the same, where nothing contradicts that.
    """
    rule = entry.restore
    if not rule.unique:
        return Namesake(live_id, True, "all its properties are the same")
    evidence = rule.evidence
    if evidence is None:
        return Namesake(live_id, True, f"it has the same {' and '.join(rule.unique)}")
    pairs = {name: (_text(then, name), _text(now, name)) for name in evidence.names}
    against = [name for name in evidence.alone if all(pairs[name]) and pairs[name][0] != pairs[name][1]]
    if against:
        return Namesake(live_id, False, f"its {' and '.join(against)} differ{'s' if len(against) == 1 else ''}")
    agreeing = [name for name, (one, other) in pairs.items() if one and one == other]
    proof = [name for name in agreeing if name in evidence.alone]
    if not proof and set(evidence.together) <= {*agreeing}:
        proof = list(evidence.together)
    if proof:
        return Namesake(live_id, True, f"it has the same {' and '.join((*rule.unique, *proof))}")
    if by_name:
        return Namesake(live_id, True, f"it has the same {' and '.join(rule.unique)}, and --taken match was given")
    return Namesake(live_id, False, "nothing else shows that they are the same", open=True)


def _text(body: Mapping[str, Any], name: str) -> str:
    return str(body.get(name) or "").strip().casefold()
