"""Reads the children of owners: relations that no delta query tracks, and the objects of child types.

What belongs here: `$expand` as a probe, one request per owner in batches, and which owners have to be requested at all.
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

from entra_pipeline.backup.read.reader import FEW_REQUESTS, ObjectReader, kept, was_listed_recently
from entra_pipeline.backup.rows.page_parser import (
    Expanded,
    endpoint,
    identify,
    object_id,
    split_expanded,
    without_context,
)
from entra_pipeline.backup.rows.result import NotOffered, Outcome, ReadResult
from entra_pipeline.backup.rows.staging import DELETE, EDGE_ROWS, OBJECT_ROWS, UPSERT, Staging
from entra_pipeline.backup.states import TableStates
from entra_pipeline.catalogue import CATALOGUE, ObjectType, Read, Relation
from entra_pipeline.errors import GraphError, GraphNotFound
from entra_pipeline.graph import BatchRequest, Graph, GraphPage, RequestStats
from entra_pipeline.graph.client import BATCH_SIZE, explain, query
from entra_pipeline.graph.pacing import ONE_BY_ONE
from entra_pipeline.graph.pages import decode_count, decode_page
from entra_pipeline.store.manifest import Gap

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])

# Graph cuts an expanded relation at 20 without telling (Graph doc: query-parameters).
EXPAND_LIMIT = 20
_READ_AGAIN = "The next backup reads it again; if it stays, look at the object in the Entra admin center."
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
        among: Types whose objects name the owners to request.
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
    """Reads the children of owners, for one run.

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

    def reads_changes_only(self, children: ChildCollection) -> bool:
        """Tells whether only owners in the delta response are read.

        Either delta reports every change, or there are many owners, and all were read less than a day ago.
        """
        before, owners = self.states.before(children.table), self.states.before(children.owner.name)
        if self.reader.builder.full or before is None or owners is None or not children.owner.delta:
            return False
        if self.reader.chosen_ids(children.owner) is not None:
            return False
        if children.tracked:
            return bool(before.listed)
        batched = 1 if children.entry.lane in ONE_BY_ONE else BATCH_SIZE
        each_request = (children.owner.page_size or 1) if children.read is Read.EXPAND else batched
        return ceil(owners.live / each_request) > FEW_REQUESTS and was_listed_recently(before, self.reader.clock())

    def needs(self, children: ChildCollection) -> tuple[str, ...]:
        """Returns the tables to write first: the owners, where each is requested, or only those in a delta response."""
        if children.read is Read.EACH or children.owner.parent is not None or self.reads_changes_only(children):
            return children.owner.name, *children.among
        return ()

    async def read(self, children: ChildCollection) -> list[Outcome]:
        """Reads one table."""
        permission = children.relation.permission if children.relation else ""
        if permission and permission not in self.reader.granted:
            reason = f"takes {permission}, which would allow writing, too; grant it to protect this relation as well"
            return [NotOffered(children.table, reason, RequestStats())]
        if children.among and not self._holding(children):
            reason = f"is read for owners of {' or '.join(children.among)}: protect these to protect it as well"
            return [NotOffered(children.table, reason, RequestStats())]
        return await self.reader.guarded(children.entry, [children.table], lambda stats: self._read(children, stats))

    async def _read(self, children: ChildCollection, stats: RequestStats) -> list[ReadResult]:
        reported = self.states.results.get(children.owner.name)
        if reported is not None and not reported.complete and self.reads_changes_only(children):
            return [await self._read_reported(children, reported, stats)]
        notes: list[str] = []
        gaps: list[Gap] = []
        closed = 0

        async def fill(staging: Staging) -> None:
            nonlocal closed
            closed = 0
            absent: list[str] = []
            gaps.clear()
            async for owner_id, items in self._all(children, stats, notes, absent):
                self._stage(children, owner_id, await self._with_streams(children, owner_id, items, stats), staging)
                closed += 1
                self.reader.progress(children.table, staging.rows)
            gaps.extend(await self._keep_unanswered(children, absent, staging, stats))

        readings = await self.reader.listing(children.table, _schema(children), fill, stats, notes)
        for reading in readings:
            reading.owners = closed
            reading.gaps = gaps
        return readings

    async def _keep_unanswered(
        self, children: ChildCollection, owners: list[str], staging: Staging, stats: RequestStats
    ) -> list[Gap]:
        """Stages the known children of owners that exist, though Graph answered 404 for their children.

        A missing owner has no children. A missing answer is no empty list.

        Returns:
            A gap for each of these owners.
        """
        there = await self._existing(children.owner, owners, stats)
        for row in await self.states.known_of(children.table, there):
            staging.append(*row)
        return [
            Gap(
                what=f"{children.table} of {children.owner.title.lower()} {owner}",
                reason="Graph answers 404, as if the object did not exist, and shows it; what was known is kept",
                remedy=_READ_AGAIN,
                permission=children.entry.permissions[0],
            )
            for owner in there
        ]

    async def _existing(self, owner: ObjectType, ids: list[str], stats: RequestStats) -> list[str]:
        """Returns those objects that Graph does not say to be missing, sorted."""
        requests = [BatchRequest(query(f"{owner.path}/{one}", select="id"), one) for one in ids]
        if owner.parent is not None:
            return sorted(ids)
        results = [result async for result in self._graph.batch(requests, stats=stats, lane=owner.lane)]
        return sorted(result.request.key for result in results if result.status != 404)

    async def _read_reported(self, children: ChildCollection, reported: ReadResult, stats: RequestStats) -> ReadResult:
        """Reads the children of owners in a delta response; stages the deletion of what was known of them first."""
        started = self.reader.clock()
        there, gone = await self.states.reported(reported)
        with self.reader.staging(children.table, _schema(children), base=False) as staging:
            for row in await self.states.known_of(children.table, [*there, *gone], DELETE):
                staging.append(*row)
            absent: list[str] = []
            async for owner_id, items in self._items_of(children, there, stats, absent):
                self._stage(children, owner_id, items, staging)
            gaps = await self._keep_unanswered(children, absent, staging, stats)
        before = self.states.before(children.table)
        since = before.listed if before else ""
        note = (
            f"delta does not track it: read for the {len(there)} {children.owner.name} that delta told; "
            f"all were read at {since}, and are once a day"
        )
        notes = [] if children.tracked else [note]
        return ReadResult(
            children.table,
            staging.staged,
            False,
            started,
            self.reader.clock(),
            stats,
            owners=len(there),
            notes=notes,
            gaps=gaps,
        )

    def _stage(self, children: ChildCollection, owner_id: str, items: Iterable[msgspec.Raw], staging: Staging) -> None:
        if children.relation is not None:
            stage_edges(owner_id, items, staging, children.relation.target)
            return
        entry = children.entry
        keep = self.reader.keep(entry)
        page = GraphPage(list(items))
        for raw in (page if keep is None else kept(page, keep)).value:
            identifier = identify(raw, entry.key)
            staging.append(
                f"{owner_id}/{identifier}" if entry.local_ids else identifier, owner_id, UPSERT, bytes(raw).decode()
            )

    async def _with_streams(
        self, children: ChildCollection, owner_id: str, items: list[msgspec.Raw], stats: RequestStats
    ) -> list[msgspec.Raw]:
        """Adds the bytes of their streams to items, as Base64."""
        streams = children.entry.streams
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
                        url, bytes, stats=stats, lane=children.entry.lane, headers={"Accept": "*/*"}
                    )
                    members[name] = msgspec.Raw(msgspec.json.encode(base64.b64encode(content).decode()))
            whole.append(msgspec.Raw(msgspec.json.encode(members)))
        return whole

    # --- Owners ------------------------------------------------------------------------------------------------------

    async def _all(
        self, children: ChildCollection, stats: RequestStats, notes: list[str], absent: list[str]
    ) -> AsyncIterator[tuple[str, list[msgspec.Raw]]]:
        """Yields the id and the children of each owner that has any; adds owners answered by 404 to `absent`."""
        ids: Iterable[str] | None = self.reader.chosen_ids(children.owner)
        if ids is None and children.read is Read.EXPAND:
            long: list[str] = []
            try:
                probe = self._probe(children)
                async for page in self._graph.pages(probe, stats=stats, lane=children.owner.lane, many=True):
                    for owner_id, items in self._short(page, children, long):
                        yield owner_id, items
                ids = long
            except GraphError as error:
                if error.status not in {400, 501}:
                    raise
                notes.append(
                    f"read one by one: Graph does not expand {children.segment} of {children.owner.path} "
                    f"({error.message})"
                )
        addresses = await self._addresses(children, ids, stats)
        async for owner_id, items in self._each(children, addresses, stats, absent):
            yield owner_id, items

    async def _addresses(
        self, children: ChildCollection, ids: Iterable[str] | None, stats: RequestStats
    ) -> dict[str, str]:
        """Returns the path of children by their owner's id: of the given owners, or of all that can have any."""
        parents: dict[str, str] = {}
        if children.owner.name in self.states.entries and (ids is None or children.read is Read.EACH):
            parents = await self.states.owners(
                children.owner, self._condition(children), None if ids is None else list(ids)
            )
            ids = parents
        elif ids is None:
            url = query(children.owner.path, select="id", top=children.owner.page_size)
            pages = self._graph.pages(url, stats=stats, lane=children.owner.lane)
            ids = [identify(raw, children.owner.key) async for page in pages for raw in page.value]
        return {one: self._address(children, one, parents.get(one, "")) for one in sorted(ids)}

    def _holding(self, children: ChildCollection) -> list[str]:
        """Returns the types that name the owners to request, as far as they have rows."""
        entries = self.states.entries
        return [name for name in children.among if name in entries and entries[name].read != "never"]

    def _condition(self, children: ChildCollection) -> str:
        """SQL condition that owners have to meet."""
        if not children.among:
            return children.where
        holders = " UNION ".join(
            f"SELECT raw->>'$.{CATALOGUE[name].belongs_to}' FROM ({self.states.sql(name)})"
            for name in self._holding(children)
        )
        condition = f"id IN ({holders})"
        return f"{condition} AND ({children.where})" if children.where else condition

    @staticmethod
    def _address(children: ChildCollection, identifier: str, parent_id: str) -> str:
        if children.path:
            return children.path.format(id=identifier)
        return f"{address(children.owner, identifier, parent_id)}/{children.segment}"

    async def _each(
        self, children: ChildCollection, addresses: dict[str, str], stats: RequestStats, absent: list[str]
    ) -> AsyncIterator[tuple[str, list[msgspec.Raw]]]:
        select = "id" if children.relation is not None and not children.relation.target else ""
        top = children.entry.page_size if children.many else None
        expand = ",".join(children.entry.expand) if children.relation is None else ""
        requests = [
            BatchRequest(query(path, select=select, expand=expand, top=top), owner_id)
            for owner_id, path in addresses.items()
        ]
        async for answer in self._answers(requests, children.entry, stats, many=children.many, absent=absent):
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
        self,
        requests: Sequence[BatchRequest],
        entry: ObjectType,
        stats: RequestStats,
        *,
        many: bool,
        absent: list[str] | None = None,
    ) -> AsyncIterator[tuple[str, list[msgspec.Raw]]]:
        """Yields the items of each owner; owners answered by 404 that can have many are added to `absent`."""
        async for result in self._graph.batch(requests, stats=stats, lane=entry.lane):
            if result.status == 404 and many and absent is not None:
                absent.append(result.request.key)
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
        children = ChildCollection(
            relation.name, owner, owner, relation.segment, read, relation.many, relation=relation
        )
        async for answer in self._items_of(children, ids, stats, []):
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

    def _probe(self, children: ChildCollection, condition: str = "") -> str:
        nested = f"{children.segment}($select=id)" if children.relation is not None else children.segment
        top = children.owner.page_size if not condition else None
        return query(children.owner.path, filter=condition, select="id", expand=nested, top=top)

    def _short(
        self, page: GraphPage, children: ChildCollection, long: list[str]
    ) -> list[tuple[str, list[msgspec.Raw]]]:
        """Owners on a page whose items Graph has shown all; those it may have cut are added to `long`."""
        found = []
        for owner_id, items, complete in split_expanded(page.value, children.segment):
            if children.many and (not complete or len(items) >= EXPAND_LIMIT):
                long.append(owner_id)
            elif items:
                found.append((owner_id, items))
        return found

    async def probe(self, owner: ObjectType, relation: Relation, stats: RequestStats, staging: Staging) -> list[str]:
        """Stages the edges of all owners that have few, and returns the ids of those with many.

        Raises:
            GraphError: Graph does not expand the relation.
        """
        children = ChildCollection(
            relation.name, owner, owner, relation.segment, Read.EXPAND, relation.many, relation=relation
        )
        long: list[str] = []
        async for page in self._graph.pages(self._probe(children), stats=stats, lane=owner.lane):
            for owner_id, items in self._short(page, children, long):
                stage_edges(owner_id, items, staging, relation.target)
        return long

    async def expanded(
        self, owner: ObjectType, relation: Relation, ids: Sequence[str], stats: RequestStats
    ) -> dict[str, Expanded]:
        """Returns what `$expand` shows of the links of some owners; owners that it does not show are left out.

        An owner with as many links as `$expand` shows at most is not complete.

        Raises:
            GraphError: Graph does not expand the relation, or not for single owners.
        """
        children = ChildCollection(
            relation.name, owner, owner, relation.segment, Read.EXPAND, relation.many, relation=relation
        )
        found = {}
        async for page in self._probes(children, ids, stats):
            for one in split_expanded(page.value, relation.segment):
                found[one.id] = one._replace(complete=one.complete and len(one.items) < EXPAND_LIMIT)
        return found

    async def _items_of(
        self, children: ChildCollection, ids: list[str], stats: RequestStats, absent: list[str]
    ) -> AsyncIterator[tuple[str, list[msgspec.Raw]]]:
        """Items of some owners: 15 owners to a probe, 20 probes to a batch, where Graph lets them be named so."""
        if children.read is Read.EXPAND:
            try:
                answers, long = await self._probe_some(children, ids, stats)
            except GraphError:
                answers, long = {}, ids
            for owner_id, items in answers.items():
                yield owner_id, items
            addresses = await self._addresses(children, long, stats)
        else:
            able = await self.states.owners(children.owner, self._condition(children), ids)
            addresses = {one: self._address(children, one, parent) for one, parent in able.items()}
        async for owner_id, items in self._each(children, addresses, stats, absent):
            yield owner_id, items

    async def _probe_some(
        self, children: ChildCollection, ids: Sequence[str], stats: RequestStats
    ) -> tuple[dict[str, list[msgspec.Raw]], list[str]]:
        """Probes of some owners: the items of those with few, and the ids of those with many.

        Raises:
            GraphError: Graph refuses to name owners so, or has answered with others.
        """
        found: dict[str, list[msgspec.Raw]] = {}
        long: list[str] = []
        async for page in self._probes(children, ids, stats):
            found.update(self._short(page, children, long))
        return found, long

    async def _probes(
        self, children: ChildCollection, ids: Sequence[str], stats: RequestStats
    ) -> AsyncIterator[GraphPage]:
        chunks = [ids[start : start + _FILTER_VALUES] for start in range(0, len(ids), _FILTER_VALUES)]
        conditions = [f"id in ({','.join(repr(one) for one in chunk)})" for chunk in chunks]
        requests = [BatchRequest(self._probe(children, condition)) for condition in conditions]
        wanted = set(ids)
        async for result in self._graph.batch(requests, stats=stats, lane=children.owner.lane):
            if result.status >= 300:
                raise explain(result)
            page = decode_page(result.body)
            if page.next_link or any(object_id(raw) not in wanted for raw in page.value):
                raise GraphError(f"Graph does not filter {children.owner.path} by ids", status=400)
            yield page


def address(entry: ObjectType, identifier: str, parent_id: str = "") -> str:
    """Path of one object under the Graph root."""
    if entry.parent is None:
        return f"{entry.path}/{identifier}"
    local = identifier.removeprefix(f"{parent_id}/") if entry.local_ids else identifier
    return f"{CATALOGUE[entry.parent.type].path}/{parent_id}/{entry.parent.segment}/{local}"


def stage_edges(owner_id: str, items: Iterable[msgspec.Raw], edges: Staging, target: str = "") -> None:
    """Stages the edges from an owner to each of the listed objects."""
    others = [endpoint(raw) for raw in items]
    number = len(others)
    types = [other.target_type or target for other in others]
    edges.extend([owner_id] * number, [other.id for other in others], types, [UPSERT] * number)


def _schema(children: ChildCollection) -> pa.Schema:
    return EDGE_ROWS if children.relation is not None else OBJECT_ROWS
