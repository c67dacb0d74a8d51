"""Grants and assignments of which Graph holds one only: which of them take the place of others.

What belongs here: finding them at the recovery point and in the tenant. What does not: which two say the same
(`matching.tie_of`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import duckdb

from entra_pipeline.catalogue import CATALOGUE, ObjectType
from entra_pipeline.restore.objects.normalize import Body
from entra_pipeline.restore.objects.references import ids_in, rewrite
from entra_pipeline.restore.plan.diff.sides import Side, decoded, meeting, naming, parents
from entra_pipeline.restore.plan.diff.tenant_diff import ObjectDiff, ObjectState, TenantDiff
from entra_pipeline.restore.plan.matching import Tie, tie_of, twins_of


def held_instead(
    connection: duckdb.DuckDBPyConnection,
    missing: Mapping[str, ObjectDiff],
    new: Mapping[str, str],
    owners: Mapping[str, str],
    forward: Mapping[str, str],
) -> dict[str, str]:
    """Finds ties that were added since in the place of missing ones: Graph takes no second one, whenever either ends.

    What has ended, or ends by itself, takes the place of none.

    Args:
        connection: Any.
        missing: Ties of one type that are missing, by id.
        new: What the tenant has of it and the recovery point has not: id → JSON text.
        owners: Ids of the owners of either.
        forward: Id at the recovery point → id in the tenant.

    Returns:
        Id of a missing one → id of the one in its place.
    """
    if not missing or not new:
        return {}
    entry = next(iter(missing.values())).entry
    rule = entry.restore
    if not rule.link or not (rule.ends or rule.once):
        return {}
    texts = {**{id_: item.then for id_, item in missing.items()}, **new}
    passing = meeting(connection, rule.derived, texts) if rule.derived else set()
    there = {
        tie_of(entry, decoded(now), owners.get(id_, "")): id_
        for id_, now in sorted(new.items(), reverse=True)
        if id_ not in passing
    }
    found: dict[str, str] = {}
    for id_, item in missing.items():
        key = tie_of(entry, rewrite(item.wanted(), forward), rewrite(item.parent, forward))
        if id_ not in passing and key in there:
            found[id_] = there.pop(key)
    return found


def find_twins(connection: duckdb.DuckDBPyConnection, point: Side, live: Side, found: TenantDiff) -> None:
    """Finds ties that say, with the ids of now, what another one says already, or will (`matching.twins_of`).

    Graph refuses a second one, however long either of them lasts.

    Args:
        connection: Reads both stores.
        point: The recovery point to restore.
        live: The recovery point that shows the tenant.
        found: What differs; it is changed.
    """
    forward = found.forward
    for table, items in found.items.items():
        entry = CATALOGUE[table]
        if not entry.restore.link:
            continue
        ties = {
            id_: _tie(item, forward)
            for id_, item in items.items()
            if item.state in {ObjectState.MISSING, ObjectState.THERE} and "derived" not in item.conditions
        }
        moved = [tie for tie in ties.values() if tie.moved]
        if not moved:
            continue
        named = {one for tie in moved for one in ids_in(tie.body)} & set(forward.values())
        for id_, twin in twins_of(entry, ties, _there(connection, (live, point), entry, named, items)).items():
            item = items[id_]
            item.twin, item.unlike = twin
            if item.state is ObjectState.MISSING:
                forward[id_] = twin.id
                if not twin.unlike:
                    del items[id_]


def _there(
    connection: duckdb.DuckDBPyConnection,
    sides: tuple[Side, Side],
    entry: ObjectType,
    named: Collection[str],
    items: Mapping[str, ObjectDiff],
) -> dict[str, tuple[Body, str]]:
    """Ties that name one of the ids, and that the tenant keeps: neither added since nor ending by themselves."""
    live, _ = sides
    if not named or not live.has(entry.name):
        return {}
    found = naming(connection, live, entry.name, named)
    derived = entry.restore.derived
    passing = meeting(connection, derived, found) if derived and found else set()
    kept = {
        id_: body
        for id_, body in found.items()
        if id_ not in passing and not (id_ in items and items[id_].state is ObjectState.ADDED)
    }
    owners = parents(connection, sides, entry, kept)
    return {id_: (decoded(body), owners.get(id_, "")) for id_, body in kept.items()}


def _tie(item: ObjectDiff, forward: Mapping[str, str]) -> Tie:
    wanted, parent = item.wanted(), rewrite(item.parent, forward)
    body = rewrite(wanted, forward)
    return Tie(body, parent, item.live_id, (body, parent) != (wanted, item.parent), item.requested)
