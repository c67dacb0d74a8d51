"""Which object of a recovery point an object of the tenant is that has another id.

What belongs here: what makes an object the only one of its kind, and what shows that two of one name are the same.
What does not: reading the tables (`diff`), what is done about a name that somebody else has (`rules.taken`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from entra_pipeline.analysis.equality import normal
from entra_pipeline.catalogue import ObjectType
from entra_pipeline.restore.objects.normalize import Body, normalized


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
    end = entry.restore.ends.partition(".")[0]
    return key_of(entry, {name: value for name, value in body.items() if name != end}, parent)


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
