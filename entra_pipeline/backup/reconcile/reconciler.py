"""Settling a point: what the tables, each read for itself, say together.

Types are read concurrently while the tenant lives, and delta is known to have holes. So after the reads: chosen objects
enter and leave, counts are compared with Graph's, objects that came back bring their links, the ends of new edges are
looked up, and edges whose ends are gone drop out. What takes the tables of one type only need not wait for the others.
Corrections are written as further change files; what cannot be settled is a named gap.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

import msgspec
import pyarrow as pa

from entra_pipeline.backup.point_builder import PointBuilder, gone_table
from entra_pipeline.backup.read.children import EXPAND_LIMIT, ChildReader
from entra_pipeline.backup.read.reader import ObjectReader
from entra_pipeline.backup.rows.merge import ids_table
from entra_pipeline.backup.rows.page_parser import identify, neighbour, without_context
from entra_pipeline.backup.rows.staging import DELETE, EDGE_ROWS, UPSERT, Staging, read_staged
from entra_pipeline.backup.scheduler import side_by_side
from entra_pipeline.catalogue import BY_GRAPH_TYPE, CATALOGUE, RELATIONS, Lane, ObjectType, Relation
from entra_pipeline.catalogue.sdk import has_navigation
from entra_pipeline.clock import parse_iso
from entra_pipeline.errors import GraphError, GraphPermissionDenied
from entra_pipeline.graph import BatchRequest, RequestStats
from entra_pipeline.graph.client import explain, query
from entra_pipeline.graph.pages import decode_count
from entra_pipeline.store.manifest import Gap

_READ = {"full", "incremental", "unchanged", "synthetic full"}
# Seconds to wait before Graph is asked again for what it counts and does not show: its indexes lag behind each other.
_COUNT_PAUSES = (0.0, 2.0, 4.0)
# Owners whose links a whole round counts, of each relation: one resource unit each, so that the proof costs little
# beside the read.
_OWNERS_COUNTED = 500
# Owners that delta told as ever, of whom an incremental counts the links all the same, of each relation: a batch.
_ORDINARY_COUNTED = 20
_Step = Callable[["Settlement"], Awaitable[None]]
_COUNT_AGAIN = "The next backup reads and compares again; if it stays, run a full backup."


@dataclass(frozen=True, slots=True)
class Settlement:
    """Settles the tables of one run.

    Attributes:
        tables: The tables, read and written.
        owned: To look things up in the tenant.
        stats: Counts the requests of settling.
        fresh: Tables that this run has read; the others were settled when an earlier try read them.
    """

    tables: PointBuilder
    owned: ChildReader
    stats: RequestStats
    fresh: Set[str]
    _recount: set[str] = field(default_factory=set)
    _linked: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _healed: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _in_tenant: dict[str, bool] = field(default_factory=dict)
    _gone: dict[tuple[int, ...], pa.Table] = field(default_factory=dict)
    _finding: asyncio.Lock = field(default_factory=asyncio.Lock)
    _dropped: set[tuple[int, ...]] = field(default_factory=set)
    _proven: set[str] = field(default_factory=set)

    async def settle(self) -> None:
        """Runs every step, in the order in which one may cause work for the next, until none does."""
        types = [entry for entry in self._object_types() if entry.name in self.fresh]
        for entry in types:
            await self._step(entry.name, partial(Settlement._chosen_come_and_go, entry=entry))
        await self._drop_dead_ends()
        await self._at_once({entry.name: partial(Settlement._confirm_deletions, entry=entry) for entry in types})
        links = [(entry, relation) for entry in types for relation in entry.delta_relations()]
        await self._at_once(
            {
                relation.name: partial(Settlement._compare_links, entry=entry, relation=relation)
                for entry, relation in links
                if relation.name in self.fresh - self._proven
            }
        )
        unsettled = types
        while unsettled:
            counts = await self._counts(unsettled)
            await self._at_once(
                {
                    name: partial(Settlement._compare_count, entry=CATALOGUE[name], reported=n)
                    for name, n in counts.items()
                }
            )
            for entry in unsettled:
                await self._step(entry.name, partial(Settlement._bring_back_links, entry=entry))
            compared = {entry.name: self.tables.entries[entry.name].live for entry in types}
            for table in self._edge_tables():
                if table in self.fresh:
                    await self._step(table, partial(Settlement._look_up_ends, table=table))
            # An object that only an edge has told upsets the count, and has links of its own.
            unsettled = [entry for entry in types if self.tables.entries[entry.name].live != compared[entry.name]]
        await self._drop_dead_ends()

    async def prove_links(self, entry: ObjectType) -> None:
        """Compares the links of a type, when a whole round has told them: that takes no other type.

        Of chosen objects it has to be settled first who they are.
        """
        if self._partial(entry) or not self._was_read(entry.name):
            return
        whole = {
            relation.name: partial(Settlement._prove_relation, entry=entry, relation=relation)
            for relation in entry.delta_relations()
            if relation.name in self.fresh and self._told_whole(relation)
        }
        self._proven.update(whole)
        await self._at_once(whole)

    async def _at_once(self, steps: Mapping[str, _Step]) -> None:
        """Takes steps that each concern another table."""
        await side_by_side(self._step(table, step) for table, step in steps.items())

    async def _step(self, table: str, step: _Step) -> None:
        """Takes a step; what Graph refuses becomes a gap of the table instead of the end of the run."""
        own = replace(self, stats=RequestStats())
        try:
            await step(own)
        except GraphError as error:
            self._unproven(table, error)
        self.tables.charge(table, own.stats)

    def _unproven(self, table: str, error: GraphError) -> None:
        entry = CATALOGUE.get(table) or RELATIONS[table][0]
        gap = Gap(
            what="proof",
            reason=error.message,
            remedy=error.remedy or _COUNT_AGAIN,
            permission=entry.permissions[0] if isinstance(error, GraphPermissionDenied) else "",
        )
        self.tables.flag(table, gaps=[gap])

    @property
    def reader(self) -> ObjectReader:
        """Reads what stands for itself."""
        return self.owned.reader

    def _was_read(self, table: str) -> bool:
        return table in self.tables.entries and self.tables.entries[table].read in _READ

    def _object_types(self) -> list[ObjectType]:
        """Types read in this run that stand for themselves."""
        return [entry for entry in CATALOGUE.values() if entry.parent is None and self._was_read(entry.name)]

    def _ends(self) -> list[ObjectType]:
        """Types read in this run whose objects edges lead to."""
        return [entry for entry in self._object_types() if may_be_end(entry)]

    def _edge_tables(self) -> list[str]:
        return [table for table in RELATIONS if self._was_read(table)]

    def _partial(self, entry: ObjectType) -> bool:
        """Whether only chosen objects of the type are protected."""
        chosen = self.reader.chosen
        return chosen is not None and chosen.keeps(entry) is not None

    # --- Chosen objects ----------------------------------------------------------------------------------------------

    async def _chosen_come_and_go(self, entry: ObjectType) -> None:
        chosen = self.reader.chosen
        ids = chosen.ids(entry) if chosen else None
        if chosen is None or ids is None:
            return
        for _, name in (one for one in chosen.missing if one[0] == entry.name):
            gap = Gap(
                what="chosen object",
                reason=f"{name!r} is chosen and not in the tenant",
                remedy="Correct the scope's `select`, or restore the object.",
            )
            self.tables.flag(entry.name, gaps=[gap])
        live = {str(row[0]) for row in await self.tables.query(f"SELECT id FROM ({self.tables.sql(entry.name)})")}
        rows: list[tuple[object, ...]] = [(identifier, None, DELETE, None) for identifier in sorted(live - ids)]
        found = await self._fetch(entry, sorted(ids - live))
        rows += [(identifier, None, UPSERT, raw) for identifier, raw in found.items() if raw is not None]
        if rows:
            await self.tables.amend(entry.name, rows)

    # --- Deletions ---------------------------------------------------------------------------------------------------

    async def _confirm_deletions(self, entry: ObjectType) -> None:
        """An object that a list no longer has is asked for by name: a list that lost a page must not delete it."""
        before, now = self.tables.sql_before(entry.name), self.tables.entries[entry.name]
        if entry.delta or entry.shows or not entry.collection or before is None or not now.deleted:
            return
        rows = await self.tables.query(
            f"SELECT id, raw FROM ({before}) SEMI JOIN (SELECT id FROM ({self.tables.sql_news(entry.name, DELETE)})) "
            "USING (id) ORDER BY id"
        )
        keep = self.reader.keep(entry)
        lost = [str(one) for one, raw in rows if keep is None or keep(msgspec.Raw(str(raw).encode()))]
        found = await self._fetch(entry, lost)
        there: list[tuple[object, ...]] = [(i, None, UPSERT, raw) for i, raw in found.items() if raw is not None]
        if there:
            note = f"healed: {len(there)} objects that Graph's list left out, and has ({_some(i for i, *_ in there)})"
            await self.tables.amend(entry.name, there, note=note)

    # --- Counts ------------------------------------------------------------------------------------------------------

    async def _counts(self, entries: Sequence[ObjectType]) -> dict[str, int]:
        """How many objects Graph counts, by type: said with the list, or asked of all types that have pages at once."""
        counts = {}
        asked = []
        for entry in entries:
            if not entry.count or not entry.collection or self._partial(entry):
                continue
            reading = self.tables.readings.get(entry.name)
            if reading is not None and not reading.complete and not entry.delta:
                # It rested, and is counted when it is read again.
                continue
            if reading is not None and reading.counted is not None and entry.name not in self._recount:
                counts[entry.name] = reading.counted
            elif entry.page_size is not None and entry.lane is Lane.DIRECTORY:
                asked.append(entry)
        for entry in entries:
            self._recount.add(entry.name)
        try:
            async for name, count in self._count(asked):
                if count is not None:
                    counts[name] = count
        except GraphError as error:
            for entry in asked:
                self._unproven(entry.name, error)
        if asked:
            self.tables.charge(asked[0].name, self.stats.take())
        return counts

    async def _count(self, entries: Sequence[ObjectType]) -> AsyncIterator[tuple[str, int | None]]:
        """Graph's count of each type; None where it does not tell (Graph doc: aad-advanced-queries).

        Counts come from an index that lags behind the directory by seconds to minutes.
        """
        eventual = {"ConsistencyLevel": "eventual"}
        requests = [
            BatchRequest(query(entry.path, select="id", count="true", top=1, filter=entry.filter), entry.name, eventual)
            for entry in entries
        ]
        async for result in self.reader.graph.batch(requests, stats=self.stats):
            if result.status >= 300 and result.status not in {400, 404, 405, 501}:
                raise explain(result)
            yield result.request.key, decode_count(result.body) if result.status < 300 else None

    async def _compare_count(self, entry: ObjectType, reported: int) -> None:
        """Live rows against Graph's count; a difference is traced to its objects by listing all ids, and healed."""
        told = self.tables.entries[entry.name].live
        healed: set[str] = set()
        for pause in _COUNT_PAUSES:
            if reported == self.tables.entries[entry.name].live:
                break
            await asyncio.sleep(pause)
            stored = {str(row[0]) for row in await self.tables.query(f"SELECT id FROM ({self.tables.sql(entry.name)})")}
            found = await self._look_again(entry, stored)
            wrong: list[tuple[object, ...]] = [
                (identifier, None, UPSERT, raw) if raw is not None else (identifier, None, DELETE, None)
                for identifier, raw in found.items()
                if (raw is not None) != (identifier in stored)
            ]
            if wrong:
                await self.tables.amend(entry.name, wrong)
                healed.update(str(identifier) for identifier, *_ in wrong)
                self._healed[entry.name].update(str(one) for one, _, change, _ in wrong if change == UPSERT)
            async for _, count in self._count([entry]):
                reported = reported if count is None else count
        live = self.tables.entries[entry.name].live
        if healed:
            note = f"healed: {len(healed)} objects that delta had not told (Graph counts {reported}, delta gave {told})"
            self.tables.flag(entry.name, notes=[note])
        if reported > live:
            reason = f"Graph counts {reported} {entry.name} and shows {live}: {reported - live} cannot be read"
            self.tables.flag(entry.name, gaps=[Gap(what="objects", reason=reason, remedy=_COUNT_AGAIN)])
        elif reported < live:
            note = f"Graph counts {reported}, and shows {live}: its count lags, every object is accounted for"
            self.tables.flag(entry.name, notes=[note])
        self.tables.flag(entry.name, reported=reported)

    async def _look_again(self, entry: ObjectType, stored: set[str]) -> dict[str, str | None]:
        """What Graph says of the objects that only one of its list and the stored state has; None for one that is gone.

        Lists that are read as a whole anyway are read again; of others the ids, and single objects.
        """
        url = query(entry.path, select="id", top=entry.page_size) if entry.delta else self.reader.list_url(entry)
        listed: dict[str, str | None] = {}
        async for page in self.reader.graph.pages(url, stats=self.stats, lane=entry.lane):
            for raw in page.value:
                listed[identify(raw, entry.key)] = "" if entry.delta else bytes(raw).decode()
        differing = sorted(listed.keys() ^ stored)
        if entry.delta:
            return await self._fetch(entry, differing)
        found = {one: listed.get(one) for one in differing}
        if entry.shows:
            return found
        return found | await self._fetch(entry, [one for one, raw in found.items() if raw is None])

    # --- Links that a delta round told -------------------------------------------------------------------------------

    def _told_whole(self, relation: Relation) -> bool:
        """Whether a whole round has told a relation of which an object can have many."""
        return relation.many and self.tables.readings[relation.name].complete

    async def _compare_links(self, entry: ObjectType, relation: Relation) -> None:
        if self._told_whole(relation):
            await self._prove_relation(entry, relation)
        else:
            await self._check_links(entry, relation)

    async def _prove_relation(self, entry: ObjectType, relation: Relation) -> None:
        """The links of a whole round against Graph's other ways to show them.

        A probe shows all links of owners that have few; owners of many are counted first, others as many as fit into
        the budget, and every time others.
        """
        degrees = await self.tables.query(
            f"SELECT source_id, count(*) FROM ({self.tables.sql(relation.name)}) GROUP BY source_id"
        )
        many = {str(owner) for owner, links in degrees if int(str(links)) >= EXPAND_LIMIT}
        everybody = await self.tables.owners(entry)
        if self.reader.chosen_ids(entry) is None and entry.page_size is not None and len(many) * 2 <= len(everybody):
            many |= await self._probe_links(entry, relation)
        order = [*self._in_turn(many), *self._in_turn(everybody.keys() - many)]
        counted = sorted(order[:_OWNERS_COUNTED])
        await self._heal_links(entry, relation, await self._miscounted(entry, relation, counted), shown_by="delta")
        self.tables.prove(relation.name, compared=len(counted))
        if len(counted) < len(order):
            note = f"links of {len(counted)} of the {len(order)} owners were counted by Graph as well"
            self.tables.flag(relation.name, notes=[note])

    async def _probe_links(self, entry: ObjectType, relation: Relation) -> set[str]:
        """Compares the links of all owners that have few with what `$expand` shows; returns owners with many."""
        with Staging(self.reader.folder / f"{relation.name}.probe.arrow", EDGE_ROWS) as staging:
            try:
                many = await self.owned.probe(entry, relation, self.stats, staging)
            except GraphError as error:
                if error.status not in {400, 501}:
                    raise
                return set()
        rows = await self.tables.query(
            f"""
            WITH shown AS (SELECT DISTINCT source_id, target_id, target_type FROM shown),
                 stored AS (FROM ({self.tables.sql(relation.name)}) s ANTI JOIN many ON s.source_id = many.id)
            SELECT DISTINCT source_id FROM (
                (FROM shown ANTI JOIN stored USING (source_id, target_id))
                UNION ALL BY NAME (FROM stored ANTI JOIN shown USING (source_id, target_id))
            )
            """,
            shown=read_staged(staging.staged),
            many=ids_table(many),
        )
        await self._heal_links(entry, relation, [str(row[0]) for row in rows], shown_by="delta")
        return set(many)

    async def _check_links(self, entry: ObjectType, relation: Relation) -> None:
        """Graph tells a restored object as a new one, with the links it has: those it lost meanwhile are not told.

        So whoever delta told, and had links before, is asked how many there are; where the numbers differ, which. Of
        those that were told new links only, and so have been there all the time, a few are.
        """
        owners = await self._told_with_links(entry, relation)
        if relation.many and entry.page_size:
            ordinary = await self._told_news(entry)
            owners = sorted(set(owners) - ordinary) + self._in_turn(ordinary.intersection(owners))[:_ORDINARY_COUNTED]
        compared = len(owners)
        if relation.many and entry.page_size:
            owners = await self._miscounted(entry, relation, owners)
        await self._heal_links(entry, relation, owners, shown_by="delta")
        self.tables.prove(relation.name, compared=compared)

    async def _heal_links(self, entry: ObjectType, relation: Relation, owners: list[str], *, shown_by: str) -> None:
        """Reads the links of some owners, one by one, and writes what differs; names what Graph counts but hides."""
        if not owners:
            return
        listed: set[tuple[object, ...]] = set()
        answered = set() if relation.many else set(owners)
        async for owner, items in self.owned.links(entry, relation, owners, self.stats):
            answered.add(owner)
            listed.update((owner, n.id, n.target_type) for n in map(neighbour, items))
        rows = await self.tables.query(
            f"SELECT source_id, target_id, target_type FROM ({self.tables.sql_told_now(relation.name)}) "
            "SEMI JOIN owners ON source_id = owners.id",
            owners=ids_table(sorted(answered)),
        )
        stored = set(rows)
        differing = [(*one, UPSERT) for one in listed - stored] + [(*one, DELETE) for one in stored - listed]
        if differing:
            who = _some({str(one[0]) for one in differing})
            note = f"healed: {len(differing)} links that {shown_by} had not told ({entry.title.lower()} {who})"
            await self.tables.amend(relation.name, sorted(differing, key=str), note=note)
        if relation.many and entry.page_size:
            await self._name_hidden(entry, relation, sorted(answered), Counter(str(one[0]) for one in listed))

    async def _name_hidden(
        self, entry: ObjectType, relation: Relation, owners: list[str], listed: Mapping[str, int]
    ) -> None:
        for pause in _COUNT_PAUSES:
            await asyncio.sleep(pause)
            counts = self.owned.link_counts(entry, relation.segment, owners, self.stats)
            hidden = {owner: count async for owner, count in counts if count is not None and count > listed[owner]}
            if not hidden:
                return
            owners = sorted(hidden)
        for owner, count in hidden.items():
            what = f"{relation.name} of {entry.title.lower()} {owner}"
            reason = f"Graph counts {count} and shows {listed[owner]}"
            self.tables.flag(relation.name, gaps=[Gap(what=what, reason=reason, remedy=_COUNT_AGAIN)])

    async def _told_with_links(self, entry: ObjectType, relation: Relation) -> list[str]:
        """Live objects that delta told in this run and that had links in the parent.

        The one link that an object can have is not lost when delta tells another: that takes its place.
        """
        before = self.tables.sql_told_before(relation.name)
        if before is None:
            return []
        replaced = "" if relation.many else "ANTI JOIN (FROM told_links WHERE change = 'upsert') USING (source_id)"
        rows = await self.tables.query(
            f"""
            SELECT DISTINCT source_id FROM ({before}) {replaced}
            ANTI JOIN ({self.tables.sql_news(entry.name, DELETE)}) gone ON source_id = gone.id
            SEMI JOIN (SELECT id FROM told UNION ALL SELECT source_id FROM told_links) seen ON source_id = seen.id
            ORDER BY source_id
            """,
            told=read_staged(self.tables.readings[entry.name].staged),
            told_links=read_staged(self.tables.readings[relation.name].staged),
        )
        return [str(row[0]) for row in rows]

    async def _told_news(self, entry: ObjectType) -> set[str]:
        """Objects of which delta told links that came or went, and none that was known: it told them as they changed.

        A restored object is told with all its links, those that are known among them.
        """
        told, staged = [], {}
        for number, relation in enumerate(entry.delta_relations()):
            before = self.tables.sql_told_before(relation.name)
            if before is not None:
                staged[f"told_{number}"] = read_staged(self.tables.readings[relation.name].staged)
                told.append(
                    f"SELECT source_id, change = 'upsert' AND b.target_id IS NOT NULL AS known FROM told_{number} "
                    f"LEFT JOIN ({before}) b USING (source_id, target_id)"
                )
        rows = await self.tables.query(
            f"SELECT source_id FROM ({' UNION ALL '.join(told)}) GROUP BY source_id HAVING NOT bool_or(known)", **staged
        )
        return {str(row[0]) for row in rows}

    def _in_turn(self, owners: Iterable[str]) -> list[str]:
        """Owners in an order that every point draws anew, so that in time everybody comes first."""
        return sorted(owners, key=lambda one: hashlib.sha256(f"{self.tables.point} {one}".encode()).digest())

    async def _miscounted(self, entry: ObjectType, relation: Relation, owners: list[str]) -> list[str]:
        """Those owners that Graph counts another number of links of than are stored."""
        rows = await self.tables.query(
            f"SELECT source_id, count(*) FROM ({self.tables.sql_told_now(relation.name)}) "
            "SEMI JOIN owners ON source_id = owners.id GROUP BY source_id",
            owners=ids_table(owners),
        )
        stored = {str(row[0]): row[1] for row in rows}
        counts = self.owned.link_counts(entry, relation.segment, owners, self.stats)
        return sorted([owner async for owner, count in counts if count not in {None, stored.get(owner, 0)}])

    # --- Objects that came back --------------------------------------------------------------------------------------

    async def _bring_back_links(self, entry: ObjectType) -> None:
        """An object restored from the recycle bin has its links again; Graph's delta need not say so."""
        returned = sorted(set(await self._returned(entry)) - self._linked[entry.name])
        if not returned:
            return
        self._linked[entry.name].update(returned)
        found: dict[str, list[tuple[object, ...]]] = defaultdict(list)
        for relation in entry.delta_relations():
            if self._was_read(relation.name):
                async for owner, items in self.owned.links(entry, relation, returned, self.stats):
                    found[relation.name] += [(owner, n.id, n.target_type, UPSERT) for n in map(neighbour, items)]
        for segment, relations in _inverses(entry).items():
            wanted = {owner.graph_type: relation for owner, relation in relations if self._was_read(relation.name)}
            if not wanted:
                continue
            async for target, items in self.owned.collections(entry, segment, returned, self.stats):
                for other in map(neighbour, items):
                    back = wanted.get(other.target_type)
                    if back is not None and self._in_scope(other.target_type, other.id):
                        found[back.name].append((other.id, target, entry.graph_type, UPSERT))
        for table, rows in found.items():
            await self.tables.amend(table, rows)

    async def _returned(self, entry: ObjectType) -> list[str]:
        """Ids that are new in this point, but not to delta as a matter of course.

        They are older than the parent (restored), entered the selection, or were healed.
        """
        before, now = self.tables.before(entry.name), self.tables.entries[entry.name]
        if entry.shows or not now.added or not _has_links(entry):
            return []
        if before is None or self.tables.parent is None:
            return sorted(self._healed[entry.name])
        rows = await self.tables.query(
            f"SELECT id, raw->>'$.createdDateTime' FROM ({self.tables.sql_added(entry.name)})"
        )
        since = parse_iso(self.tables.parent.started)
        entered, healed = self._partial(entry), self._healed[entry.name]
        return [str(one) for one, born in rows if entered or one in healed or not _younger(born, since)]

    def _in_scope(self, graph_type: str, identifier: str) -> bool:
        chosen = self.reader.chosen
        ids = chosen.ids(BY_GRAPH_TYPE[graph_type]) if chosen and graph_type in BY_GRAPH_TYPE else None
        return ids is None or identifier in ids

    # --- Ends of edges -----------------------------------------------------------------------------------------------

    async def _look_up_ends(self, table: str) -> None:
        """Every new edge's ends are stored objects; one that is not was deleted meanwhile, or delta has not told it.

        Edges that the parent carried have not kept up with the objects, or run ahead of them: all are looked at.
        """
        known = self._wholly_read()
        late = {name for name in (table, *(e.name for e in known.values())) if self._was_carried(name)}
        if not self.tables.entries[table].added and not late:
            return
        fresh = f"({self.tables.sql(table) if late else self.tables.sql_news(table)})"
        owner = RELATIONS[table][0]
        linked = {str(row[0]) for row in await self.tables.query(f"SELECT DISTINCT target_type FROM {fresh}")}
        for graph_type, entry in known.items():
            if graph_type not in linked and entry is not owner:
                continue
            ends = [f"SELECT target_id AS id FROM {fresh} WHERE target_type = '{graph_type}'"]
            if entry is owner:
                ends.append(f"SELECT source_id AS id FROM {fresh}")
            unknown = await self.tables.missing_ids(" UNION ALL ".join(ends), entry.name)
            if not unknown:
                continue
            found = await self._fetch(entry, unknown)
            there: list[tuple[object, ...]] = [(i, None, UPSERT, raw) for i, raw in found.items() if raw is not None]
            if there:
                self._healed[entry.name].update(str(identifier) for identifier, *_ in there)
                note = f"healed: {len(there)} objects that only {table} had told"
                await self.tables.amend(entry.name, there, note=note)
            await self._drop_edges(table, gone_table(i for i, raw in found.items() if raw is None))

    def _was_carried(self, table: str) -> bool:
        before = self.tables.before(table)
        return before is not None and before.read == "carried"

    def _wholly_read(self) -> dict[str, ObjectType]:
        """Types of which every object is known, by Graph's name."""
        return {entry.graph_type: entry for entry in self._ends() if not self._partial(entry)}

    async def gone(self) -> pa.Table:
        """Objects that the parent had and the new state has not, of all types that others link to (`gone_table`)."""
        async with self._finding:
            movements = self._movements()
            if movements not in self._gone:
                self._gone[movements] = await self._find_gone()
            return self._gone[movements]

    def _movements(self) -> tuple[int, ...]:
        """How many objects of each type have come and gone: as long as that stays, so does who."""
        entries = [self.tables.entries[entry.name] for entry in self._ends()]
        return tuple(number for entry in entries for number in (entry.added, entry.deleted))

    async def _find_gone(self) -> pa.Table:
        dead: set[str] = set()
        left: set[str] = set()
        for entry in self._ends():
            if self.tables.before(entry.name) is None or not self.tables.entries[entry.name].deleted:
                continue
            rows = await self.tables.query(f"SELECT id FROM ({self.tables.sql_news(entry.name, DELETE)})")
            lost = {str(row[0]) for row in rows}
            died = await self._dead(entry, lost) if self._partial(entry) else lost
            dead |= died
            left |= lost - died
        return gone_table(dead, left)

    async def _dead(self, entry: ObjectType, lost: set[str]) -> set[str]:
        """Those of the objects, no longer in the scope, that are not in the tenant either.

        Only those are looked up that an edge of the scope leads to.
        """
        linked: set[str] = set()
        for table in RELATIONS:
            owner, before = RELATIONS[table][0].name, self.tables.sql_before(table)
            if before is not None and owner in self.tables.entries:
                rows = await self.tables.query(
                    f"SELECT DISTINCT target_id FROM ({before}) SEMI JOIN lost ON target_id = lost.id "
                    f"SEMI JOIN ({self.tables.sql(owner)}) owner ON source_id = owner.id",
                    lost=ids_table(lost),
                )
                linked.update(str(row[0]) for row in rows)
        unknown = sorted(linked - self._in_tenant.keys())
        try:
            found = await self._fetch(entry, unknown)
        except GraphError as error:
            self._unproven(entry.name, error)
            found = dict.fromkeys(unknown, "")
        self._in_tenant.update((identifier, raw is not None) for identifier, raw in found.items())
        return {identifier for identifier in linked if not self._in_tenant[identifier]}

    async def _drop_dead_ends(self) -> None:
        """Edges drop out with the objects that went since the parent; once is enough, unless more have gone."""
        if self._movements() in self._dropped:
            return
        self._dropped.add(self._movements())
        gone = await self.gone()
        if gone.num_rows:
            for table in self._edge_tables():
                await self._drop_edges(table, gone)

    async def _drop_edges(self, table: str, gone: pa.Table) -> None:
        if not gone.num_rows:
            return
        rows = await self.tables.query(
            f"""
            SELECT source_id, target_id, target_type, 'delete' FROM ({self.tables.sql(table)})
            WHERE source_id IN (SELECT id FROM gone) OR target_id IN (SELECT id FROM gone WHERE dead)
            """,
            gone=gone,
        )
        if rows:
            await self.tables.amend(table, rows, gone=gone)

    async def _fetch(self, entry: ObjectType, ids: Iterable[str]) -> dict[str, str | None]:
        """Objects by id as JSON; None for one that is gone."""
        found: dict[str, str | None] = {}
        async for result in self.reader.objects(entry, ids, self.stats):
            if result.status == 404:
                found[result.request.key] = None
            elif result.status >= 300:
                raise explain(result)
            else:
                found[result.request.key] = without_context(result.body).decode()
        return found


def may_be_end(entry: ObjectType) -> bool:
    """Whether edges may lead to objects of the type; a type that shows others from another side has none of its own."""
    return entry.parent is None and not entry.shows


def _some(ids: Iterable[object]) -> str:
    """A few ids, for a person to look at."""
    found = sorted(map(str, ids))
    return ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")


def _inverses(entry: ObjectType) -> dict[str, list[tuple[ObjectType, Relation]]]:
    """Relations that may lead to objects of a type, by the navigation property that leads back."""
    found: dict[str, list[tuple[ObjectType, Relation]]] = defaultdict(list)
    for owner, relation in RELATIONS.values():
        if relation.inverse and has_navigation(entry.model, relation.inverse):
            found[relation.inverse].append((owner, relation))
    return found


def _has_links(entry: ObjectType) -> bool:
    return bool(entry.delta_relations() or _inverses(entry))


def _younger(born: object, since: datetime) -> bool:
    try:
        return parse_iso(str(born)) >= since
    except ValueError:
        return False
