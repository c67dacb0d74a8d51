"""Reading what belongs to an owner: relations that no delta query tracks, and the objects of child types.

What belongs here: `$expand` as a probe, one request per owner in batches, and which owners have to be asked at all.
What does not: types that stand for themselves (`reader`), and what the rows mean against the parent (`rows.merge`).
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import ceil

import msgspec
import pyarrow as pa

from entra_pipeline.backup.read.reader import FEW_REQUESTS, ObjectReader, kept, lately
from entra_pipeline.backup.rows.page_parser import identify, neighbour, object_id, split_expanded, without_context
from entra_pipeline.backup.rows.result import NotOffered, Outcome, ReadResult
from entra_pipeline.backup.rows.staging import EDGE_ROWS, OBJECT_ROWS, UPSERT, Staging
from entra_pipeline.backup.states import TableStates
from entra_pipeline.catalogue import CATALOGUE, ObjectType, Read, Relation
from entra_pipeline.errors import GraphError, GraphNotFound
from entra_pipeline.graph import BatchRequest, Graph, GraphPage, RequestStats
from entra_pipeline.graph.client import BATCH_SIZE, explain, query
from entra_pipeline.graph.pacing import ONE_BY_ONE
from entra_pipeline.graph.pages import decode_count, decode_page

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])

# Graph cuts an expanded relation at 20 without telling (Graph doc: query-parameters).
EXPAND_LIMIT = 20
# Graph takes at most 15 values in an `in` (Graph doc: filter-query-parameter).
_FILTER_VALUES = 15


@dataclass(frozen=True, slots=True)
class ChildCollection:
    """A table that is read owner by owner.

    Attributes:
        table: Its name.
        entry: The object type that it belongs to: the child type itself, or the type whose relation it is.
        owner: The type of the owners.
        segment: What comes behind the owner's address.
        read: How it is read.
        many: False when an owner has at most one.
        relation: The relation, when the table holds edges.
        path: Path and query for one owner, when that is not its address and the segment.
        where: SQL condition that owners have to meet.
        among: Types whose objects belong to the owners that are asked.
        tracked: The owner's delta query tells when it changes.
    """

    table: str
    entry: ObjectType
    owner: ObjectType
    segment: str
    read: Read
    many: bool
    relation: Relation | None = None
    path: str = ""
    where: str = ""
    among: tuple[str, ...] = ()
    tracked: bool = False


def child_collections(entry: ObjectType) -> list[ChildCollection]:
    """The tables of an object type that are read owner by owner; the type's own comes first."""
    tables = []
    if (parent := entry.parent) is not None:
        owner = CATALOGUE[parent.type]
        tables.append(
            ChildCollection(
                entry.name,
                entry,
                owner,
                parent.segment,
                parent.read,
                parent.many,
                path=parent.path,
                where=parent.where,
                among=parent.among,
                tracked=parent.tracked,
            )
        )
    for relation in entry.relations:
        if relation.read is not Read.DELTA:
            tables.append(
                ChildCollection(
                    relation.name, entry, entry, relation.segment, relation.read, relation.many, relation=relation
                )
            )
    return tables


@dataclass(frozen=True, slots=True)
class ChildReader:
    """Reads what belongs to owners, for one run.

    Attributes:
        reader: Reads what stands for itself; knows the scope and the query options.
    """

    reader: ObjectReader

    @property
    def states(self) -> TableStates:
        """The parent's states and the new ones."""
        return self.reader.states

    @property
    def _graph(self) -> Graph:
        return self.reader.graph

    def rests(self, owned: ChildCollection) -> bool:
        """Whether only the owners that delta tells are read.

        Either delta tells all that changes, or there are many owners, and all were read less than a day ago.
        """
        before, owners = self.states.before(owned.table), self.states.before(owned.owner.name)
        if self.reader.builder.full or before is None or owners is None or not owned.owner.delta:
            return False
        if self.reader.chosen_ids(owned.owner) is not None:
            return False
        if owned.tracked:
            return bool(before.listed)
        batched = 1 if owned.entry.lane in ONE_BY_ONE else BATCH_SIZE
        each_request = (owned.owner.page_size or 1) if owned.read is Read.EXPAND else batched
        return ceil(owners.live / each_request) > FEW_REQUESTS and lately(before, self.reader.clock())

    def needs(self, owned: ChildCollection) -> tuple[str, ...]:
        """The tables that have to be written first: the owners where each is asked, or only those that delta told."""
        if owned.read is Read.EACH or owned.owner.parent is not None or self.rests(owned):
            return owned.owner.name, *owned.among
        return ()

    async def read(self, owned: ChildCollection) -> list[Outcome]:
        """Reads one table."""
        permission = owned.relation.permission if owned.relation else ""
        if permission and permission not in self.reader.granted:
            reason = f"takes {permission}, which would allow writing, too; grant it to protect this relation as well"
            return [NotOffered(owned.table, reason, RequestStats())]
        if owned.among and not self._holding(owned):
            reason = f"is read for owners of {' or '.join(owned.among)}: protect these to protect it as well"
            return [NotOffered(owned.table, reason, RequestStats())]
        return await self.reader.guarded(owned.entry, [owned.table], lambda stats: self._read(owned, stats))

    async def _read(self, owned: ChildCollection, stats: RequestStats) -> list[ReadResult]:
        told = self.states.results.get(owned.owner.name)
        if told is not None and not told.complete and self.rests(owned):
            return [await self._read_told(owned, told, stats)]
        notes: list[str] = []
        closed = 0

        async def fill(staging: Staging) -> None:
            nonlocal closed
            closed = 0
            async for owner_id, items in self._all(owned, stats, notes):
                self._stage(owned, owner_id, await self._with_streams(owned, owner_id, items, stats), staging)
                closed += 1
                self.reader.progress(owned.table, staging.rows)

        readings = await self.reader.listing(owned.table, _schema(owned), fill, stats, notes)
        for reading in readings:
            reading.owners = closed
        return readings

    async def _read_told(self, owned: ChildCollection, told: ReadResult, stats: RequestStats) -> ReadResult:
        """What belongs to the owners that delta told; all that was known of them is taken back first."""
        started = self.reader.clock()
        there, gone = await self.states.reported(told)
        with self.reader.staging(owned.table, _schema(owned), base=False) as staging:
            for row in await self.states.deletions_of(owned.table, [*there, *gone]):
                staging.append(*row)
            async for owner_id, items in self._told_items(owned, there, stats):
                self._stage(owned, owner_id, items, staging)
        before = self.states.before(owned.table)
        since = before.listed if before else ""
        note = (
            f"delta does not track it: read for the {len(there)} {owned.owner.name} that delta told; all were read at "
            f"{since}, and are once a day"
        )
        notes = [] if owned.tracked else [note]
        return ReadResult(
            owned.table, staging.staged, False, started, self.reader.clock(), stats, owners=len(there), notes=notes
        )

    def _stage(self, owned: ChildCollection, owner_id: str, items: Iterable[msgspec.Raw], staging: Staging) -> None:
        if owned.relation is not None:
            stage_edges(owner_id, items, staging, owned.relation.target)
            return
        entry = owned.entry
        keep = self.reader.keep(entry)
        page = GraphPage(list(items))
        for raw in (page if keep is None else kept(page, keep)).value:
            identifier = identify(raw, entry.key)
            staging.append(
                f"{owner_id}/{identifier}" if entry.local_ids else identifier, owner_id, UPSERT, bytes(raw).decode()
            )

    async def _with_streams(
        self, owned: ChildCollection, owner_id: str, items: list[msgspec.Raw], stats: RequestStats
    ) -> list[msgspec.Raw]:
        """The items with the bytes of their streams inside, as Base64."""
        streams = owned.entry.streams
        if streams is None:
            return items
        whole = []
        for raw in items:
            members = _members.decode(raw)
            for name in sorted(streams.names):
                if bytes(members.get(streams.given_by.format(name=name), b"null")) == b"null":
                    continue
                url = streams.path.format(owner=owner_id, id=identify(raw), name=name)
                with suppress(GraphNotFound):
                    content = await self._graph.fetch(
                        url, bytes, stats=stats, lane=owned.entry.lane, headers={"Accept": "*/*"}
                    )
                    members[name] = msgspec.Raw(msgspec.json.encode(base64.b64encode(content).decode()))
            whole.append(msgspec.Raw(msgspec.json.encode(members)))
        return whole

    # --- Owners ------------------------------------------------------------------------------------------------------

    async def _all(
        self, owned: ChildCollection, stats: RequestStats, notes: list[str]
    ) -> AsyncIterator[tuple[str, list[msgspec.Raw]]]:
        """For each owner that has any: its id, and its items."""
        ids: Iterable[str] | None = self.reader.chosen_ids(owned.owner)
        if ids is None and owned.read is Read.EXPAND:
            long: list[str] = []
            try:
                probe = self._probe(owned)
                async for page in self._graph.pages(probe, stats=stats, lane=owned.owner.lane, many=True):
                    for owner_id, items in self._short(page, owned, long):
                        yield owner_id, items
                ids = long
            except GraphError as error:
                if error.status not in {400, 501}:
                    raise
                notes.append(
                    f"read one by one: Graph does not expand {owned.segment} of {owned.owner.path} ({error.message})"
                )
        addresses = await self._addresses(owned, ids, stats)
        async for owner_id, items in self._each(owned, addresses, stats):
            yield owner_id, items

    async def _addresses(
        self, owned: ChildCollection, ids: Iterable[str] | None, stats: RequestStats
    ) -> dict[str, str]:
        """Where each owner's items are, by its id: of the given owners, or of all that can have any."""
        parents: dict[str, str] = {}
        if owned.owner.name in self.states.entries and (ids is None or owned.read is Read.EACH):
            parents = await self.states.owners(owned.owner, self._condition(owned), None if ids is None else list(ids))
            ids = parents
        elif ids is None:
            url = query(owned.owner.path, select="id", top=owned.owner.page_size)
            pages = self._graph.pages(url, stats=stats, lane=owned.owner.lane)
            ids = [identify(raw, owned.owner.key) async for page in pages for raw in page.value]
        return {one: self._address(owned, one, parents.get(one, "")) for one in sorted(ids)}

    def _holding(self, owned: ChildCollection) -> list[str]:
        """The types that say which owners are asked, as far as there are rows of them."""
        entries = self.states.entries
        return [name for name in owned.among if name in entries and entries[name].read != "never"]

    def _condition(self, owned: ChildCollection) -> str:
        """SQL condition that owners have to meet."""
        if not owned.among:
            return owned.where
        holders = " UNION ".join(
            f"SELECT raw->>'$.{CATALOGUE[name].belongs_to}' FROM ({self.states.sql(name)})"
            for name in self._holding(owned)
        )
        condition = f"id IN ({holders})"
        return f"{condition} AND ({owned.where})" if owned.where else condition

    @staticmethod
    def _address(owned: ChildCollection, identifier: str, parent_id: str) -> str:
        if owned.path:
            return owned.path.format(id=identifier)
        return f"{address(owned.owner, identifier, parent_id)}/{owned.segment}"

    async def _each(
        self, owned: ChildCollection, addresses: dict[str, str], stats: RequestStats
    ) -> AsyncIterator[tuple[str, list[msgspec.Raw]]]:
        select = "id" if owned.relation is not None and not owned.relation.target else ""
        top = owned.entry.page_size if owned.many else None
        expand = ",".join(owned.entry.expand) if owned.relation is None else ""
        requests = [
            BatchRequest(query(path, select=select, expand=expand, top=top), owner_id)
            for owner_id, path in addresses.items()
        ]
        async for answer in self._answers(requests, owned.entry, stats, many=owned.many):
            yield answer

    async def collections(
        self, owner: ObjectType, segment: str, ids: Sequence[str], stats: RequestStats, *, many: bool = True
    ) -> AsyncIterator[tuple[str, list[msgspec.Raw]]]:
        """The ends of `segment` of the given owners, page by page; owners that are gone meanwhile bring nothing.

        Where an owner has one item at most (`many` is False), Graph answers with the item itself, or 404 without one.
        """
        top = owner.page_size if many else None
        requests = [BatchRequest(query(f"{owner.path}/{i}/{segment}", select="id", top=top), i) for i in ids]
        async for answer in self._answers(requests, owner, stats, many=many):
            yield answer

    async def _answers(
        self, requests: Sequence[BatchRequest], entry: ObjectType, stats: RequestStats, *, many: bool
    ) -> AsyncIterator[tuple[str, list[msgspec.Raw]]]:
        async for result in self._graph.batch(requests, stats=stats, lane=entry.lane):
            if result.status == 404 or not result.body:
                continue
            if result.status >= 300:
                raise explain(result)
            if not many:
                yield result.request.key, [msgspec.Raw(without_context(result.body))]
                continue
            page = decode_page(result.body)
            stats.pages += 1
            yield result.request.key, page.value
            if page.next_link:
                async for following in self._graph.pages(page.next_link, stats=stats, lane=entry.lane):
                    yield result.request.key, following.value

    async def links(
        self, owner: ObjectType, relation: Relation, ids: list[str], stats: RequestStats
    ) -> AsyncIterator[tuple[str, list[msgspec.Raw]]]:
        """The ends of a relation of the given owners, with as few requests as Graph allows."""
        # A probe shows 20 at the most; owners of many are read one by one from the start.
        read = Read.EACH if relation.many else Read.EXPAND
        owned = ChildCollection(relation.name, owner, owner, relation.segment, read, relation.many, relation=relation)
        async for answer in self._told_items(owned, ids, stats):
            yield answer

    async def link_counts(
        self, owner: ObjectType, segment: str, ids: Sequence[str], stats: RequestStats
    ) -> AsyncIterator[tuple[str, int | None]]:
        """How many items `segment` of the given owners has; None where Graph does not tell.

        Owners that are gone meanwhile bring nothing. Counts come from an index that lags behind the directory by
        seconds to minutes (Graph doc: aad-advanced-queries).
        """
        eventual = {"ConsistencyLevel": "eventual"}
        requests = [
            BatchRequest(query(f"{owner.path}/{i}/{segment}", select="id", count="true", top=1), i, eventual)
            for i in ids
        ]
        async for result in self._graph.batch(requests, stats=stats, lane=owner.lane):
            if result.status != 404:
                yield result.request.key, decode_count(result.body) if result.status < 300 else None

    # --- Probes ------------------------------------------------------------------------------------------------------

    def _probe(self, owned: ChildCollection, condition: str = "") -> str:
        nested = f"{owned.segment}($select=id)" if owned.relation is not None else owned.segment
        top = owned.owner.page_size if not condition else None
        return query(owned.owner.path, filter=condition, select="id", expand=nested, top=top)

    def _short(self, page: GraphPage, owned: ChildCollection, long: list[str]) -> list[tuple[str, list[msgspec.Raw]]]:
        """Owners on a page whose items Graph has shown all; those it may have cut are added to `long`."""
        found = []
        for owner_id, items in split_expanded(page.value, owned.segment):
            if len(items) >= EXPAND_LIMIT:
                long.append(owner_id)
            elif items:
                found.append((owner_id, items))
        return found

    async def probe(self, owner: ObjectType, relation: Relation, stats: RequestStats, staging: Staging) -> list[str]:
        """Stages the edges of all owners that have few, and returns the ids of those with many.

        Raises:
            GraphError: Graph does not expand the relation.
        """
        owned = ChildCollection(
            relation.name, owner, owner, relation.segment, Read.EXPAND, relation.many, relation=relation
        )
        long: list[str] = []
        async for page in self._graph.pages(self._probe(owned), stats=stats, lane=owner.lane):
            for owner_id, items in self._short(page, owned, long):
                stage_edges(owner_id, items, staging, relation.target)
        return long

    async def _told_items(
        self, owned: ChildCollection, ids: list[str], stats: RequestStats
    ) -> AsyncIterator[tuple[str, list[msgspec.Raw]]]:
        """Items of some owners: 15 owners to a probe, 20 probes to a batch, where Graph lets them be named so."""
        if owned.read is Read.EXPAND:
            try:
                answers, long = await self._some(owned, ids, stats)
            except GraphError:
                answers, long = {}, ids
            for owner_id, items in answers.items():
                yield owner_id, items
            addresses = await self._addresses(owned, long, stats)
        else:
            able = await self.states.owners(owned.owner, self._condition(owned), ids)
            addresses = {one: self._address(owned, one, parent) for one, parent in able.items()}
        async for owner_id, items in self._each(owned, addresses, stats):
            yield owner_id, items

    async def _some(
        self, owned: ChildCollection, ids: Sequence[str], stats: RequestStats
    ) -> tuple[dict[str, list[msgspec.Raw]], list[str]]:
        """Probes of some owners: the items of those with few, and the ids of those with many.

        Raises:
            GraphError: Graph refuses to name owners so, or has answered with others.
        """
        chunks = [ids[start : start + _FILTER_VALUES] for start in range(0, len(ids), _FILTER_VALUES)]
        conditions = [f"id in ({','.join(repr(one) for one in chunk)})" for chunk in chunks]
        requests = [BatchRequest(self._probe(owned, condition)) for condition in conditions]
        wanted = set(ids)
        found: dict[str, list[msgspec.Raw]] = {}
        long: list[str] = []
        async for result in self._graph.batch(requests, stats=stats, lane=owned.owner.lane):
            if result.status >= 300:
                raise explain(result)
            page = decode_page(result.body)
            if page.next_link or any(object_id(raw) not in wanted for raw in page.value):
                raise GraphError(f"Graph does not filter {owned.owner.path} by ids", status=400)
            found.update(self._short(page, owned, long))
        return found, long


def address(entry: ObjectType, identifier: str, parent_id: str = "") -> str:
    """Path of one object under the Graph root."""
    if entry.parent is None:
        return f"{entry.path}/{identifier}"
    local = identifier.removeprefix(f"{parent_id}/") if entry.local_ids else identifier
    return f"{CATALOGUE[entry.parent.type].path}/{parent_id}/{entry.parent.segment}/{local}"


def stage_edges(owner_id: str, items: Iterable[msgspec.Raw], edges: Staging, target: str = "") -> None:
    """Stages the edges from an owner to each of the listed objects."""
    others = [neighbour(raw) for raw in items]
    number = len(others)
    types = [other.target_type or target for other in others]
    edges.extend([owner_id] * number, [other.id for other in others], types, [UPSERT] * number)


def _schema(owned: ChildCollection) -> pa.Schema:
    return EDGE_ROWS if owned.relation is not None else OBJECT_ROWS
