"""What differs between a recovery point and the tenant: which object is which, and what is there of it.

What belongs here: finding an object of the point in the tenant, under its own id, another one, or in the recycle bin.
What does not: what is done about the differences (`rules`).

Only what differs is looked at object by object; the rest is compared inside DuckDB.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from graphlib import TopologicalSorter
from typing import Any, NamedTuple

import duckdb
import msgspec
import pyarrow as pa

from entra_pipeline.analysis.changes import bases
from entra_pipeline.analysis.changes import differing as differing_rows
from entra_pipeline.analysis.names import title
from entra_pipeline.catalogue import CATALOGUE, RELATIONS, ObjectType
from entra_pipeline.restore.objects.normalize import Body, differing, differing_elsewhere, normalized
from entra_pipeline.restore.objects.normalize import moved as renamed
from entra_pipeline.restore.objects.references import ids_in, rewrite
from entra_pipeline.restore.objects.selection import RestoreSet, bin_of, is_bin, is_view
from entra_pipeline.restore.plan.matching import Namesake, Tie, compare_namesakes, key_of, own_aliases, twins_of
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.state import sql_text

_OBJECT = msgspec.json.Decoder(dict[str, Any])

_GUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|extension_[0-9a-f]{32}_"
PENDING = "new:"
"""Stands before ids of objects that are still to be made: what names one of them differs from what is there."""


class Side(NamedTuple):
    """A recovery point in its store."""

    store: ScopeStore
    manifest: Manifest

    def has(self, table: str) -> bool:
        """Tells whether the point has the table, and has read it."""
        entry = self.manifest.tables.get(table)
        return entry is not None and entry.read != "never"

    def state(self, table: str, columns: str) -> str:
        """Returns the SQL of a table's state, whose parts are hashed first (`ScopeStore.intact_state`)."""
        return self.store.intact_state(self.manifest.tables[table], columns)


class ObjectState(StrEnum):
    """What became of an object since the recovery point."""

    THERE = "there"
    BINNED = "in the recycle bin"
    MISSING = "missing"
    ADDED = "added"


@dataclass(slots=True)
class ObjectDiff:
    """An object that differs.

    Attributes:
        table: Its type.
        id: Its id at the recovery point; of what was added since, in the tenant.
        live_id: Its id in the tenant; empty when it is missing.
        parent: Id of its owner, as `id`.
        state: What became of it.
        then: The object at the recovery point, as JSON text; empty when it was added since.
        now: The object in the tenant, or its recycle bin; empty when it is missing.
        known_by: Why it is taken for the same object, where its id does not say so.
        twin: Id of another object that says what this one is to say: in the tenant when it is there, else at the
            recovery point; only of ties (`Restore.link`).
        unlike: Properties in which the two differ nevertheless.
        conditions: Which of `derived`, `fixed` and `mastered` (`Restore`) are true of it.
        requested: Whether it is among what was chosen; others only name something that has another id now.
    """

    table: str
    id: str
    live_id: str
    parent: str
    state: ObjectState
    then: str
    now: str
    known_by: str = ""
    twin: str = ""
    unlike: tuple[str, ...] = ()
    conditions: frozenset[str] = frozenset()
    requested: bool = True

    @property
    def entry(self) -> ObjectType:
        """Its type's entry in the catalogue."""
        return CATALOGUE[self.table]

    def wanted(self) -> Body:
        """The object at the recovery point."""
        return decoded(self.then)

    def found(self) -> Body:
        """The object in the tenant."""
        return decoded(self.now)

    @property
    def name(self) -> str:
        """What people call it."""
        return title(self.entry, decoded(self.then or self.now)) or self.id


class RestoreLink(NamedTuple):
    """A link: ids at the recovery point, where it has the ends."""

    source_id: str
    target_id: str
    target_type: str


@dataclass(slots=True)
class TenantDiff:
    """All that differs.

    Attributes:
        items: Object type → objects that differ, by id.
        missing: Relation → links that the tenant does not have.
        extra: Relation → links that the recovery point does not have.
        forward: Id at the recovery point → id in the tenant, of objects that are there under another id.
        namesakes: Id at the recovery point → who else has the unique name of that missing object.
        incomparable: Tables about which nothing is known, and why.
    """

    items: dict[str, dict[str, ObjectDiff]] = field(default_factory=dict)
    missing: dict[str, list[RestoreLink]] = field(default_factory=dict)
    extra: dict[str, list[RestoreLink]] = field(default_factory=dict)
    forward: dict[str, str] = field(default_factory=dict)
    namesakes: dict[str, Namesake] = field(default_factory=dict)
    incomparable: dict[str, str] = field(default_factory=dict)

    def back(self) -> set[str]:
        """Returns ids of the objects that are to come back."""
        return {
            item.id
            for table, items in self.items.items()
            if CATALOGUE[table].restore.possible
            for item in items.values()
            if item.state in {ObjectState.MISSING, ObjectState.BINNED}
        }

    def pending(self) -> dict[str, str]:
        """Maps ids of objects that will be created under a new id to placeholders; appIds of applications too."""
        found: dict[str, str] = {}
        for table, items in self.items.items():
            rule = CATALOGUE[table].restore
            if rule.create != "POST" or "id" in rule.required or not rule.possible:
                continue
            for item in items.values():
                if item.state is ObjectState.MISSING:
                    found[item.id] = f"{PENDING}{item.id}"
                    for alias in own_aliases(item.entry):
                        if value := item.wanted().get(alias):
                            found[value] = f"{PENDING}{value}"
        return found


def compare(
    connection: duckdb.DuckDBPyConnection,
    point: Side,
    live: Side,
    chosen: RestoreSet,
    identity: Mapping[str, str],
    *,
    ended: Mapping[str, str] | None = None,
    by_name: bool = False,
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

    Raises:
        StoreError: A file cannot be read.
    """
    return _Differ(connection, point, live, chosen, identity, ended or {}, by_name=by_name).compare()


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
    ) -> None:
        self._connection = connection
        self._by_name = by_name
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
        self._renamed_references()
        self._conditions()
        self._twins()
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
        parents = self._parents(entry, [*items, *gone, *new])
        alike = _alike(entry, new, parents)
        for id_, then in gone.items():
            item = self._placed(
                entry, ObjectDiff(table, id_, "", parents.get(id_, ""), ObjectState.MISSING, then, ""), new, binned
            )
            if alike and item.state is ObjectState.MISSING and (key := self._key(item)) in alike:
                if alike[key] in new:
                    self._meet(item, alike, key, new)
                elif entry.restore.link:
                    # It says the same as another one of the point, for which that one is there already.
                    self._result.forward[id_] = alike[key]
                    continue
            items[id_] = item
        for id_, item in items.items():
            item.parent = item.parent or parents.get(id_, "")
        if not only_missing:
            for id_, now in new.items():
                items[id_] = ObjectDiff(table, id_, id_, parents.get(id_, ""), ObjectState.ADDED, "", now)

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

    def _parents(self, entry: ObjectType, ids: list[str]) -> dict[str, str]:
        """Ids of the owners of objects of a child type."""
        if entry.parent is None or not ids:
            return {}
        found: dict[str, str] = {}
        for side in (self._live, self._point):
            state = side.state(entry.name, "id, _parent_id")
            query = f"SELECT id, _parent_id FROM ({state}) SEMI JOIN (SELECT unnest(?::VARCHAR[]) AS id) USING (id)"
            found.update(self._connection.execute(query, [ids]).fetchall())
        return found

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

    # --- what names objects that have another id now -----------------------------------------------------------------

    def _renamed_references(self) -> None:
        """Objects that look the same, but name something that has, or will have, another id."""
        pending = self._result.pending()
        # What comes back under a third id is still named by the first.
        self._result.forward |= {old: new for old, new in self._ended.items() if new in pending}
        moved = {**self._result.forward, **pending}
        ids = sorted(moved.keys() | {f"extension_{one.replace('-', '')}_" for one in moved})
        if not moved:
            return
        for table in self._bases:
            if table not in CATALOGUE or not CATALOGUE[table].restore.possible or not self._bases[table].comparable:
                continue
            entry = CATALOGUE[table]
            items = self._result.items.setdefault(table, {})
            parent = "_parent_id" if entry.parent else "''"
            naming_them = self._connection.execute(
                f"FROM ({self._point.state(table, f'id, {parent} AS parent, _raw AS body')}) "
                f"WHERE list_has_any(regexp_extract_all(lower(body), '{_GUID}'), ?::VARCHAR[]) ORDER BY id",
                [ids],
            ).fetchall()
            then = [row for row in naming_them if row[0] not in items]
            there = bodies(self._connection, self._live, table, [row[0] for row in then]) if then else {}
            for id_, owner, before in then:
                if (after := there.get(id_)) is None:
                    continue
                wanted = renamed(entry, id_, normalized(entry, decoded(before)), moved)
                if differing(entry, wanted, normalized(entry, decoded(after))):
                    items[id_] = ObjectDiff(table, id_, id_, owner or "", ObjectState.THERE, before, after)
                    items[id_].requested = self._requested(table, id_, owner)

    def _requested(self, table: str, *ids: str | None) -> bool:
        return table in self._chosen.tables and (self._chosen.ids is None or not self._chosen.ids.isdisjoint(ids))

    def _twins(self) -> None:
        """Finds ties that say, with the ids of now, what another one says already, or will (`matching.twins_of`).

        Graph refuses a second one, however long either of them lasts.
        """
        forward = self._result.forward
        for table, items in self._result.items.items():
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
            for id_, twin in twins_of(entry, ties, self._ties_there(entry, named)).items():
                item = items[id_]
                item.twin, item.unlike = twin
                if item.state is ObjectState.MISSING:
                    forward[id_] = twin.id
                    if not twin.unlike:
                        del items[id_]

    def _ties_there(self, entry: ObjectType, named: Collection[str]) -> dict[str, tuple[Body, str]]:
        """Ties that name one of the ids, and that the tenant keeps: neither added since nor ending by themselves."""
        if not named or not self._live.has(entry.name):
            return {}
        found = naming(self._connection, self._live, entry.name, named)
        derived = entry.restore.derived
        passing = meeting(self._connection, derived, found) if derived and found else set()
        items = self._result.items[entry.name]
        kept = {
            id_: body
            for id_, body in found.items()
            if id_ not in passing and not (id_ in items and items[id_].state is ObjectState.ADDED)
        }
        parents = self._parents(entry, [*kept])
        return {id_: (decoded(body), parents.get(id_, "")) for id_, body in kept.items()}

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


def _alike(entry: ObjectType, new: Mapping[str, str], parents: Mapping[str, str]) -> dict[Any, str]:
    """Objects that only the tenant has, by what makes each of them the only one of its kind."""
    keys = {id_: key_of(entry, decoded(now), parents.get(id_, "")) for id_, now in sorted(new.items())}
    return {key: id_ for id_, key in keys.items() if key is not None}


def _tie(item: ObjectDiff, forward: Mapping[str, str]) -> Tie:
    wanted, parent = item.wanted(), rewrite(item.parent, forward)
    body = rewrite(wanted, forward)
    return Tie(body, parent, item.live_id, (body, parent) != (wanted, item.parent), item.requested)


class _Stored(msgspec.Struct, frozen=True):
    """A link as `differing` gives it."""

    source_id: str
    target_id: str
    target_type: str = ""


_STORED_DECODER = msgspec.json.Decoder(_Stored)


def bodies(connection: duckdb.DuckDBPyConnection, side: Side, table: str, ids: Collection[str]) -> dict[str, str]:
    """Objects of a type by id, as JSON text."""
    state = side.state(table, "id, _raw")
    query = f"SELECT id, _raw FROM ({state}) SEMI JOIN (SELECT unnest(?::VARCHAR[]) AS id) USING (id)"
    return dict(connection.execute(query, [sorted(ids)]).fetchall())


def naming(connection: duckdb.DuckDBPyConnection, side: Side, table: str, ids: Collection[str]) -> dict[str, str]:
    """Objects of a type that name one of the ids (GUIDs) anywhere: their id → JSON text."""
    query = (
        f"SELECT id, body FROM ({side.state(table, 'id, _raw AS body')}) "
        f"WHERE list_has_any(regexp_extract_all(lower(body), '{_GUID}'), ?::VARCHAR[]) ORDER BY id"
    )
    return dict(connection.execute(query, [sorted(ids)]).fetchall())


def meeting(connection: duckdb.DuckDBPyConnection, condition: str, texts: Mapping[str, str]) -> set[str]:
    """Ids of the objects, given as JSON text, of which a condition of the catalogue over `raw` is true."""
    with connection.cursor() as own:
        own.register("_bodies", pa.table({"id": pa.array(texts.keys(), pa.string()), "raw": list(texts.values())}))
        return {row[0] for row in own.execute(f"SELECT id FROM _bodies WHERE ({condition})").fetchall()}


def decoded(text: str) -> Body:
    """An object from its JSON text."""
    return _OBJECT.decode(text)


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


def namesakes(
    connection: duckdb.DuckDBPyConnection, point: Side, live: Side, entry: ObjectType, *, by_name: bool = False
) -> dict[str, Namesake]:
    """Finds objects that only the tenant has, and that have the unique name of one at the point (`Restore.unique`).

    Args:
        connection: Reads both stores.
        point: The recovery point; it has the type.
        live: The recovery point that shows the tenant; it has it, too.
        entry: The type. Of one that belongs to others nothing is found: which owner is which is not known here.
        by_name: As in `matching.compare_namesakes`.

    Returns:
        Id at the point → the object in the tenant.
    """
    names = entry.restore.unique
    if not names or entry.parent is not None:
        return {}
    evidence = entry.restore.evidence.names if entry.restore.evidence else ()
    keys = [f"nullif(lower(_raw->>{sql_text(f'$.{name}')}), '') AS k{n}" for n, name in enumerate(names)]
    told = [f"_raw->>{sql_text(f'$.{name}')} AS e{n}" for n, name in enumerate(evidence)]
    using = ", ".join(f"k{n}" for n in range(len(names)))
    then, now = (side.state(entry.name, ", ".join(["id", *keys, *told])) for side in (point, live))
    shown = ", ".join(f"{side}.e{n}" for side in ("t", "n") for n in range(len(evidence)))
    query = (
        f"SELECT t.id, n.id{', ' + shown if shown else ''} FROM ({then}) t JOIN ({now}) n USING ({using}) "
        f"WHERE t.id <> n.id AND n.id NOT IN (SELECT id FROM ({point.state(entry.name, 'id')}))"
    )
    found: dict[str, Namesake] = {}
    for old, new, *values in connection.execute(query).fetchall():
        before, after = (
            dict(zip(evidence, some, strict=True)) for some in (values[: len(evidence)], values[len(evidence) :])
        )
        found[old] = compare_namesakes(entry, new, before, after, by_name=by_name)
    return found
