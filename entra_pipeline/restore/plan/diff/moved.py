"""What names an object that has, or will have, another id: it differs, though it looks the same.

What belongs here: following such ids from object to object. What does not: which objects have another id because they
are missing, or were made anew (`compare`).

An object that takes a reference only when it is made cannot be changed to the new id: another one takes its place,
which has a new id in turn. So a catalog that was deleted for good takes its access packages along, these their
policies, and both their assignments. All of that is one plan: Graph deletes no package that still has assignments.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import duckdb

from entra_pipeline.catalogue import CATALOGUE, RELATIONS, ObjectType
from entra_pipeline.catalogue.order import taken_before
from entra_pipeline.restore.objects.normalize import differing, is_erased, moved, normalized
from entra_pipeline.restore.objects.references import ids_in
from entra_pipeline.restore.objects.selection import RestoreSet, is_view
from entra_pipeline.restore.plan.diff.sides import Side, bodies, children, decoded, meeting, naming, parents
from entra_pipeline.restore.plan.diff.tenant_diff import Dependant, ObjectDiff, ObjectState, RestoreLink, TenantDiff


class MovedReferences:
    """Adds to a comparison what names objects that get another id.

    Args:
        connection: Reads both stores.
        point: The recovery point to restore.
        live: The recovery point that shows the tenant.
        chosen: What to restore.
        tables: Object types and relations that can be compared.
        found: What differs; it is changed.
        ended: Id once → id at the recovery point, of objects that are there no more under either.
        replacing: Another object may take the place of one that is there.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        point: Side,
        live: Side,
        chosen: RestoreSet,
        tables: Collection[str],
        found: TenantDiff,
        *,
        ended: Mapping[str, str],
        replacing: bool,
    ) -> None:
        self._connection = connection
        self._point = point
        self._live = live
        self._chosen = chosen
        self._tables = [one for one in CATALOGUE if one in tables and CATALOGUE[one].restore.possible]
        self._relations = [one for one in RELATIONS if one in tables]
        self._found = found
        self._ended = ended
        self._replacing = replacing

    def follow(self) -> None:
        """Adds what names a moved object, and what hangs from that, until nothing more has to be made anew."""
        # What comes back under a third id is still named by the first.
        pending = self._found.pending()
        self._found.forward |= {old: new for old, new in self._ended.items() if new in pending}
        known: dict[str, str] = {}
        while fresh := {**self._found.forward, **self._found.pending()}.items() - known.items():
            known |= fresh
            replaced = self._found.replaced()
            for table in self._tables:
                self._naming(CATALOGUE[table], dict(fresh), known, replaced)
            if self._replacing:
                self._mark(known, replaced)
        if replaced := self._found.replaced():
            self._links(replaced.keys())
            self._dependants(replaced)

    def _naming(
        self,
        entry: ObjectType,
        fresh: Mapping[str, str],
        known: Mapping[str, str],
        replaced: Collection[str],
    ) -> None:
        """Adds objects of a type that look the same, but name or belong to something that has another id."""
        items = self._found.items.setdefault(entry.name, {})
        ids = fresh.keys() | {f"extension_{one.replace('-', '')}_" for one in fresh}
        then = naming(self._connection, self._point, entry.name, ids)
        below = self._below(entry, fresh.keys() & replaced)
        then = {id_: body for id_, body in {**then, **below}.items() if id_ not in items}
        there = bodies(self._connection, self._live, entry.name, then) if then else {}
        owners = parents(self._connection, [self._point], entry, there)
        for id_, after in there.items():
            wanted = moved(entry, id_, normalized(entry, decoded(then[id_])), known)
            if id_ not in below and not differing(entry, wanted, normalized(entry, decoded(after))):
                continue
            owner = owners.get(id_, "")
            items[id_] = ObjectDiff(entry.name, id_, id_, owner, ObjectState.THERE, then[id_], after)
            items[id_].requested = self._requested(entry, items[id_], replaced)

    def _below(self, entry: ObjectType, owners: Collection[str]) -> dict[str, str]:
        """Returns the objects of a child type whose owners are made anew."""
        makes = entry.restore.create == "POST" and not is_view(entry)
        return children(self._connection, self._point, entry.name, owners) if entry.parent and makes and owners else {}

    def _requested(self, entry: ObjectType, item: ObjectDiff, replaced: Collection[str]) -> bool:
        """Tells whether an object was chosen, or hangs from one that is replaced: it could not stay without that."""
        if entry.name in self._chosen.tables:
            ids = self._chosen.ids
            if ids is None or not ids.isdisjoint({item.id, item.parent}):
                return True
        return not _hanging(entry, item.then, item.parent).isdisjoint(replaced)

    def _mark(self, known: Mapping[str, str], replaced: Collection[str]) -> None:
        """Marks what has to be made anew, but for what nobody writes: built-in objects, and those of other systems."""
        for table, items in self._found.items.items():
            stuck = {
                item.id: item
                for item in items.values()
                if item.requested and not item.replaced and _is_stuck(item, known, replaced)
            }
            rule = CATALOGUE[table].restore
            for condition in (rule.fixed, rule.mastered, rule.derived) if stuck else ():
                if condition:
                    for id_ in meeting(self._connection, condition, {id_: item.now for id_, item in stuck.items()}):
                        del stuck[id_]
            for item in stuck.values():
                item.replaced = True

    # --- what an object takes with it when another one takes its place -----------------------------------------------

    def _links(self, replaced: Collection[str]) -> None:
        """Adds the links of replaced objects, which go with them; none of them is removed by itself."""
        for relation in self._relations:
            query = (
                f"SELECT source_id, target_id, target_type "
                f"FROM ({self._point.state(relation, 'source_id, target_id, target_type')}) "
                "WHERE list_has_any([source_id, target_id], ?::VARCHAR[])"
            )
            rows = self._connection.execute(query, [sorted(replaced)]).fetchall()
            if rows:
                missing = self._found.missing.get(relation, [])
                self._found.missing[relation] = sorted({*missing, *(RestoreLink(*row) for row in rows)})
            extra = self._found.extra.get(relation, [])
            self._found.extra[relation] = [link for link in extra if set(link[:2]).isdisjoint(replaced)]

    def _dependants(self, replaced: Mapping[str, ObjectDiff]) -> None:
        """Notes which objects of the tenant hang from those that are replaced."""
        before = {now: then for then, now in self._found.forward.items()}
        by_live = {item.live_id: item for item in replaced.values()}
        hanging: dict[str, set[Dependant]] = {}
        tables = {item.table for item in replaced.values()}
        for table in {one for name in tables for one in taken_before(name)}:
            entry = CATALOGUE[table]
            if not entry.restore.possible or is_view(entry) or not self._live.has(table):
                continue
            texts = naming(self._connection, self._live, table, by_live)
            if entry.parent is not None:
                texts |= children(self._connection, self._live, table, by_live)
            if texts and entry.restore.derived:
                ended = meeting(self._connection, entry.restore.derived, texts)
                texts = {id_: text for id_, text in texts.items() if id_ not in ended}
            owners = parents(self._connection, [self._live], entry, texts)
            for id_, text in texts.items():
                for one in _hanging(entry, text, owners.get(id_, "")) & by_live.keys():
                    if id_ != one:
                        hanging.setdefault(one, set()).add(Dependant(table, before.get(id_, id_), id_))
        for live_id, some in hanging.items():
            by_live[live_id].dependants = tuple(sorted(some))


def _hanging(entry: ObjectType, text: str, owner: str) -> set[str]:
    """Returns the ids of what an object hangs from: its owner, what a tie ties, what only a new object takes."""
    rule = entry.restore
    body = normalized(entry, decoded(text))
    held = body if rule.link else {name: body[name] for name in rule.create_only if name in body}
    return ids_in(held) | ({owner} if owner else set())


def _is_stuck(item: ObjectDiff, known: Mapping[str, str], replaced: Collection[str]) -> bool:
    """Tells whether an object can follow a changed id only as another object.

    It belongs to one that is made anew; or it names one where only a new object does, and differs there in nothing
    else. One with a unique name that stays the same cannot at all: what takes its place has to stand before it goes,
    and Graph takes no second one (an agent's user, which names the agent and has a sign-in name).
    """
    entry, rule = item.entry, item.entry.restore
    if item.state is not ObjectState.THERE or rule.create != "POST" or entry.key in rule.required or is_view(entry):
        return False
    if is_erased(entry, item.wanted()):
        return False
    if item.parent in replaced:
        return True
    if rule.link or not rule.remove or not rule.create_only:
        return False
    then, now = normalized(entry, item.wanted()), normalized(entry, item.found())
    changed = differing(entry, moved(entry, item.id, then, known), now)
    stuck = rule.create_only & changed.keys()
    if any(now.get(name) and name not in changed for name in rule.unique):
        return False
    return bool(stuck) and not differing(entry, *({name: one.get(name) for name in stuck} for one in (then, now)))
