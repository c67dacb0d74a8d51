"""Compares a recovery point with the tenant.

What belongs here: finding an object of the point in the tenant, under its own id, another one, or in the recycle bin.
What does not: what names objects that get another id (`moved`), ties of which Graph holds one only (`ties`).

Only what differs is looked at object by object; the rest is compared inside DuckDB.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from graphlib import TopologicalSorter
from typing import Any

import duckdb
import msgspec

from entra_pipeline.analysis.changes import bases
from entra_pipeline.analysis.changes import differing as differing_rows
from entra_pipeline.catalogue import CATALOGUE, RELATIONS, ObjectType
from entra_pipeline.restore.objects.normalize import differing, differing_elsewhere, normalized
from entra_pipeline.restore.objects.references import rewrite
from entra_pipeline.restore.objects.selection import RestoreSet, bin_of, is_bin, is_view
from entra_pipeline.restore.plan.diff.moved import MovedReferences
from entra_pipeline.restore.plan.diff.sides import Side, bodies, decoded, meeting, namesakes, parents
from entra_pipeline.restore.plan.diff.tenant_diff import ObjectDiff, ObjectState, RestoreLink, TenantDiff
from entra_pipeline.restore.plan.diff.ties import find_twins, held_instead
from entra_pipeline.restore.plan.matching import compare_namesakes, key_of, own_aliases


def compare(
    connection: duckdb.DuckDBPyConnection,
    point: Side,
    live: Side,
    chosen: RestoreSet,
    identity: Mapping[str, str],
    *,
    ended: Mapping[str, str] | None = None,
    by_name: bool = False,
    replacing: bool = True,
) -> TenantDiff:
    """Compares the selected tables, and links that were lost with objects that are missing.

    Args:
        connection: Reads both stores.
        point: The recovery point to restore.
        live: The recovery point that shows the tenant.
        chosen: What to restore.
        identity: Id once → id now, of objects that are in the tenant, or its recycle bin, under another id.
        ended: The same of objects that are there no more under either.
        by_name: As in `matching.compare_namesakes`.
        replacing: Another object may take the place of one that is there (`ObjectDiff.replaced`).

    Raises:
        StoreError: A file cannot be read.
    """
    return _Differ(
        connection, point, live, chosen, identity, ended or {}, by_name=by_name, replacing=replacing
    ).compare()


class _Differ:
    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        point: Side,
        live: Side,
        chosen: RestoreSet,
        identity: Mapping[str, str],
        ended: Mapping[str, str],
        *,
        by_name: bool,
        replacing: bool,
    ) -> None:
        self._connection = connection
        self._by_name = by_name
        self._replacing = replacing
        self._point = point
        self._live = live
        self._chosen = chosen
        self._ended = ended
        self._result = TenantDiff(forward=dict(identity))
        tables = [name for name in (*CATALOGUE, *RELATIONS) if not (name in CATALOGUE and is_bin(CATALOGUE[name]))]
        self._bases = bases(point.manifest, live.manifest, [name for name in tables if point.has(name)])

    def compare(self) -> TenantDiff:
        for entry in _parents_first():
            if self._comparable(entry.name, chosen=True):
                self._objects(entry, self._chosen.ids)
        back = self._result.back()
        if back:
            for entry in _parents_first():
                if entry.restore.link and self._comparable(entry.name, chosen=False):
                    self._objects(entry, back, only_missing=True)
        for relation in RELATIONS:
            if self._comparable(relation, chosen=True):
                self._links(relation, self._chosen.ids)
            elif back and self._comparable(relation, chosen=False):
                self._links(relation, back, only_missing=True)
        comparable = [name for name, base in self._bases.items() if base.comparable]
        MovedReferences(
            self._connection,
            self._point,
            self._live,
            self._chosen,
            comparable,
            self._result,
            ended=self._ended,
            replacing=self._replacing,
        ).follow()
        self._conditions()
        find_twins(self._connection, self._point, self._live, self._result)
        return self._result

    def _comparable(self, table: str, *, chosen: bool) -> bool:
        if (table in self._chosen.tables) is not chosen or table not in self._bases:
            return False
        if not self._bases[table].comparable:
            if chosen:
                self._result.incomparable[table] = "; ".join(self._bases[table].notes)
            return False
        return True

    def _rows(self, table: str, ids: Collection[str] | None) -> Iterator[tuple[tuple[str, ...], str, str]]:
        """The rows whose text differs: key, at the point, in the tenant."""
        wanted = None if ids is None else {*ids, *(self._now(one) for one in ids)}
        if wanted is not None and table in CATALOGUE and self._live.has(table):
            pairs = namesakes(self._connection, self._point, self._live, CATALOGUE[table], by_name=self._by_name)
            pairs = {old: one for old, one in pairs.items() if old in wanted}
            wanted |= {one.live_id for one in pairs.values() if one.same}
            self._result.namesakes |= {old: one for old, one in pairs.items() if not one.same}
        rows = differing_rows(*self._point, *self._live, table, wanted, connection=self._connection)
        return ((row.key, row.before or "", row.after or "") for row in rows)

    def _now(self, old: str) -> str:
        """The id under which an object of the point is known to be in the tenant, if not its own."""
        moved: str = rewrite(old, self._result.forward)
        return moved

    # --- objects -----------------------------------------------------------------------------------------------------

    def _objects(self, entry: ObjectType, ids: Collection[str] | None, *, only_missing: bool = False) -> None:
        table = entry.name
        gone: dict[str, str] = {}
        new: dict[str, str] = {}
        items = self._result.items.setdefault(table, {})
        for (id_,), then, now in self._rows(table, ids):
            if not now:
                gone[id_] = then
            elif not then:
                new[id_] = now
            elif not only_missing:
                wanted, found = decoded(then), decoded(now)
                if differing(entry, normalized(entry, wanted), normalized(entry, found)) or differing_elsewhere(
                    entry, wanted, found
                ):
                    items[id_] = ObjectDiff(table, id_, id_, "", ObjectState.THERE, then, now)
        binned = self._still_useful(entry, gone, self._binned(table, gone))
        owners = parents(self._connection, (self._live, self._point), entry, [*items, *gone, *new])
        alike = _alike(entry, new, owners)
        for id_, then in gone.items():
            item = self._placed(
                entry, ObjectDiff(table, id_, "", owners.get(id_, ""), ObjectState.MISSING, then, ""), new, binned
            )
            if alike and item.state is ObjectState.MISSING and (key := self._key(item)) in alike:
                if alike[key] in new:
                    self._meet(item, alike, key, new)
                elif entry.restore.link:
                    # It says the same as another one of the point, for which that one is there already.
                    self._result.forward[id_] = alike[key]
                    continue
            items[id_] = item
        missing = {id_: items[id_] for id_ in gone if id_ in items and items[id_].state is ObjectState.MISSING}
        for id_, live_id in held_instead(self._connection, missing, new, owners, self._result.forward).items():
            self._settle(items[id_], live_id, new, "it ties the same together")
        for id_, item in items.items():
            item.parent = item.parent or owners.get(id_, "")
        if not only_missing:
            for id_, now in new.items():
                items[id_] = ObjectDiff(table, id_, id_, owners.get(id_, ""), ObjectState.ADDED, "", now)

    def _placed(
        self, entry: ObjectType, item: ObjectDiff, new: dict[str, str], binned: Mapping[str, str]
    ) -> ObjectDiff:
        """The object, found in the recycle bin or under the id that it is known to have now."""
        other = self._now(item.id)
        if item.id in binned:
            item.state, item.live_id, item.now = ObjectState.BINNED, item.id, binned[item.id]
        elif other != item.id and other in new:
            known = "" if is_view(entry) else "it was restored under another id earlier"
            self._settle(item, other, new, known)
        elif other in binned:
            item.state, item.live_id, item.now = ObjectState.BINNED, other, binned[other]
            self._result.forward[item.id] = other
        return item

    def _meet(self, item: ObjectDiff, alike: dict[Any, str], key: Any, new: dict[str, str]) -> None:
        """Takes the one that has a missing object's key for that, or notes why not."""
        live_id = alike[key]
        other = compare_namesakes(item.entry, live_id, item.wanted(), decoded(new[live_id]), by_name=self._by_name)
        if other.same:
            del alike[key]
            self._settle(item, live_id, new, other.why)
        else:
            self._result.namesakes[item.id] = other

    def _settle(self, item: ObjectDiff, live_id: str, new: dict[str, str], known_by: str) -> None:
        """Takes an object that seems to be new in the tenant for the one that seems to be missing."""
        item.state, item.live_id, item.now, item.known_by = ObjectState.THERE, live_id, new.pop(live_id), known_by
        if not is_view(item.entry):
            self._result.forward[item.id] = live_id
        then, now = item.wanted(), item.found()
        for alias in own_aliases(item.entry):
            if then.get(alias) and now.get(alias) and then[alias] != now[alias]:
                self._result.forward[then[alias]] = now[alias]

    def _key(self, item: ObjectDiff) -> Any:
        parent = rewrite(item.parent, self._result.forward)
        return key_of(item.entry, rewrite(item.wanted(), self._result.forward), parent)

    def _binned(self, table: str, gone: Mapping[str, str]) -> dict[str, str]:
        """What of the missing is in the tenant's recycle bin, by id."""
        bin_ = bin_of(table)
        if not gone or not bin_ or not self._live.has(bin_):
            return {}
        return bodies(self._connection, self._live, bin_, {*gone, *(self._now(one) for one in gone)})

    def _still_useful(self, entry: ObjectType, gone: Mapping[str, str], binned: dict[str, str]) -> dict[str, str]:
        """Leaves out what would come back from the recycle bin for an object that gets a new id.

        An enterprise application has its application's appId for good: when that is gone, and made anew, so is this.
        """
        names = entry.restore.create_only
        pending = self._result.pending() if binned and names else {}
        if not pending:
            return binned
        return {
            id_: body
            for id_, body in binned.items()
            if id_ not in gone or pending.keys().isdisjoint(str(decoded(gone[id_]).get(name)) for name in names)
        }

    # --- links -------------------------------------------------------------------------------------------------------

    def _links(self, relation: str, ids: Collection[str] | None, *, only_missing: bool = False) -> None:
        forward = self._result.forward
        gone: dict[tuple[str, str], RestoreLink] = {}
        new: dict[tuple[str, str], RestoreLink] = {}
        for (source, target), then, now in self._rows(relation, ids):
            link = _STORED_DECODER.decode(then or now)
            if then:
                moved = (rewrite(source, forward), rewrite(target, forward)) if forward else (source, target)
                gone[moved] = RestoreLink(source, target, link.target_type)
            else:
                new[source, target] = RestoreLink(source, target, link.target_type)
        same = gone.keys() & new.keys()
        self._result.missing[relation] = sorted(link for key, link in gone.items() if key not in same)
        if not only_missing:
            before = {now: then for then, now in forward.items()}
            extra = (
                RestoreLink(
                    before.get(link.source_id, link.source_id), before.get(link.target_id, link.target_id), link[2]
                )
                for key, link in new.items()
                if key not in same
            )
            self._result.extra[relation] = sorted(extra)

    # --- conditions --------------------------------------------------------------------------------------------------

    def _conditions(self) -> None:
        for table, items in self._result.items.items():
            rule = CATALOGUE[table].restore
            for name in ("derived", "fixed", "mastered"):
                condition = getattr(rule, name)
                if not condition or not items:
                    continue
                texts = {
                    id_: item.now if item.state in {ObjectState.THERE, ObjectState.ADDED} else item.then
                    for id_, item in items.items()
                }
                for id_ in meeting(self._connection, condition, texts):
                    items[id_].conditions |= {name}


def _alike(entry: ObjectType, new: Mapping[str, str], owners: Mapping[str, str]) -> dict[Any, str]:
    """Objects that only the tenant has, by what makes each of them the only one of its kind."""
    keys = {id_: key_of(entry, decoded(now), owners.get(id_, "")) for id_, now in sorted(new.items())}
    return {key: id_ for id_, key in keys.items() if key is not None}


class _Stored(msgspec.Struct, frozen=True):
    """A link as `differing` gives it."""

    source_id: str
    target_id: str
    target_type: str = ""


_STORED_DECODER = msgspec.json.Decoder(_Stored)


def _parents_first() -> Iterable[ObjectType]:
    """All types but recycle bins: owners before what they own, what is shown before what shows it, links last."""
    names = [name for name, entry in CATALOGUE.items() if not is_bin(entry)]
    before = {
        name: {
            *CATALOGUE[name].restore.after,
            *([CATALOGUE[name].parent.type] if CATALOGUE[name].parent else []),  # type: ignore[union-attr]
            *([CATALOGUE[name].shows] if CATALOGUE[name].shows else []),
        }
        for name in names
    }
    return [CATALOGUE[name] for name in TopologicalSorter(before).static_order()]
