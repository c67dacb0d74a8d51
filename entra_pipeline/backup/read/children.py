"""Reads the children of owners: relations that no delta query tracks, and the objects of child types.

What belongs here: one request per owner in batches, and which owners have to be requested at all. What does not:
`$expand` as a probe (`expansion`), types that stand for themselves (`reader`), and what the rows mean against the
parent (`rows.merge`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil
from urllib.parse import quote

import msgspec
import pyarrow as pa

from entra_pipeline.backup.read.child_tables import ChildCollection, UnansweredOwners, address, names_owner, stage_edges
from entra_pipeline.backup.read.expansion import ExpandReader
from entra_pipeline.backup.read.reader import FEW_REQUESTS, ObjectReader, kept, was_listed_recently
from entra_pipeline.backup.read.singles import single_object, without_context
from entra_pipeline.backup.read.streams import with_streams
from entra_pipeline.backup.rows.page_parser import (
    identify,
    read_items,
    stored,
)
from entra_pipeline.backup.rows.result import NotOffered, Outcome, ReadResult
from entra_pipeline.backup.rows.set_aside import READ_AGAIN
from entra_pipeline.backup.rows.staging import DELETE, ID_ROWS, UPSERT, Staged, Staging, read_staged
from entra_pipeline.backup.states import TableStates, readable
from entra_pipeline.catalogue import CATALOGUE, ObjectType, Read, Relation
from entra_pipeline.errors import GraphError, GraphNotFound, GraphPermissionDenied, GraphProtocolError, RoundExpired
from entra_pipeline.graph import BatchRequest, BatchResult, Graph, GraphPage, RequestStats
from entra_pipeline.graph.client import BATCH_SIZE, query
from entra_pipeline.graph.links import check_continuation
from entra_pipeline.graph.pacing import ONE_BY_ONE
from entra_pipeline.graph.pages import decode_count, decode_page
from entra_pipeline.graph.responses import explain
from entra_pipeline.store.manifest import Gap

# What an id may have besides letters, digits and "_.-~" without ending a segment of a path.
_SAFE_IN_IDS = "@:,="
_SHOWS_IT = "Graph answers 404, as if the object did not exist, and shows it"


@dataclass(frozen=True, slots=True)
class ChildReader:
    """Reads the children of owners, for one run.

    Attributes:
        reader: Reads what stands for itself; knows the scope and the query options.
        shown: Owners that the probe of a whole table has shown, by table; missing where there was no such probe.
    """

    reader: ObjectReader
    shown: dict[str, Staged] = field(default_factory=dict)

    @property
    def states(self) -> TableStates:
        """The parent's states and the new ones."""
        return self.reader.states

    @property
    def expansion(self) -> ExpandReader:
        """Reads what `$expand` shows of owners."""
        return ExpandReader(self.reader)

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
        if before.read == "carried" or any(not gap.object for gap in before.gaps):
            # Delta has told of owners that were not read, and does not tell again.
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
            reason = f"requires {permission}, which also allows writing; grant it to protect this relation as well"
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
            missing = UnansweredOwners()
            gaps.clear()
            async for owner_id, items in self._all(children, stats, notes, missing):
                whole = await with_streams(self.reader, children, owner_id, items, stats)
                self._stage(children, owner_id, whole, staging)
                closed += 1
                self.reader.progress(children.table, staging.rows)
            gaps.extend(await self._keep_unanswered(children, missing, staging, stats))

        readings = await self.reader.listing(children.table, children.schema, fill, stats, notes)
        for reading in readings:
            reading.owners = closed
            reading.gaps = gaps
        return readings

    async def _keep_unanswered(
        self, children: ChildCollection, missing: UnansweredOwners, staging: Staging, stats: RequestStats
    ) -> list[Gap]:
        """Stages the known children of owners whose children Graph did not show, or not all of them.

        A missing owner has no children. A missing answer is no empty list.

        Returns:
            A gap for each of these owners. Those with unreadable elements get theirs with all that is set aside.
        """
        await self._drop_gone(children.owner, missing, stats)
        reasons = {one: error.message for one, error in missing.refused.items()}
        there = await self._existing(children.owner, missing.absent, stats)
        reasons |= dict.fromkeys(there, _SHOWS_IT)
        for owner, elements in missing.unreadable.items():
            self.reader.aside.add(children.table, owner, elements)
        for row in await self.states.known_of(children.table, sorted({*reasons, *missing.unreadable})):
            # What an owner's list has shown besides is newer.
            if self._owner_and_item(children, row) not in missing.shown:
                staging.append(*row)
        return [
            Gap(
                what=f"{children.table} of {children.owner.title.lower()} {owner}",
                reason=f"{reason}; what was known is kept",
                remedy=READ_AGAIN,
                permission=children.entry.permissions[0] if self._lacks_permission(missing, owner) else "",
                object=owner,
            )
            for owner, reason in sorted(reasons.items())
        ]

    @staticmethod
    def _owner_and_item(children: ChildCollection, row: tuple[object, ...]) -> tuple[str, str]:
        if children.relation is not None:
            return str(row[0]), str(row[1])
        owner = str(row[1])
        return owner, str(row[0]).removeprefix(f"{owner}/") if children.entry.local_ids else str(row[0])

    @staticmethod
    def _lacks_permission(missing: UnansweredOwners, owner: str) -> bool:
        return owner in missing.absent or isinstance(missing.refused.get(owner), GraphPermissionDenied)

    async def read_again(
        self, children: ChildCollection, ids: Sequence[str], stats: RequestStats, *, singly: bool = False
    ) -> tuple[list[tuple[object, ...]], list[Gap]]:
        """Reads the children of some owners; returns staging rows, and gaps of owners that were not answered.

        Args:
            children: Whose table it is.
            ids: Ids of the owners.
            stats: Counts the requests.
            singly: Each owner's own list is requested, whatever `$expand` shows.
        """
        missing = UnansweredOwners()
        path = self.reader.folder / f"{children.table}.again.arrow"
        with Staging(path, children.schema) as staging:
            if singly:
                answers = self._each(children, await self._addresses(children, ids, stats), stats, missing)
            else:
                answers = self._items_of(children, list(ids), stats, missing)
            async for owner_id, items in answers:
                whole = await with_streams(self.reader, children, owner_id, items, stats)
                self._stage(children, owner_id, whole, staging)
            gaps = await self._keep_unanswered(children, missing, staging, stats)
        rows = read_staged(staging.staged)
        table = rows if isinstance(rows, pa.Table) else rows.to_table()
        return [tuple(row.values())[1:] for row in table.to_pylist()], gaps

    async def able(self, children: ChildCollection, ids: Sequence[str]) -> list[str]:
        """Returns those objects that can have such children, sorted; all where their type is not protected."""
        if children.owner.name not in self.states.entries:
            return sorted(ids)
        return sorted(await self.states.owners(children.owner, self._condition(children), ids))

    async def singly(
        self, children: ChildCollection, items: Sequence[tuple[str, str]], stats: RequestStats
    ) -> AsyncIterator[tuple[str, bool | GraphError]]:
        """Requests children by themselves, beside the lists of their owners.

        Args:
            children: Whose table it is: one of objects, of which an owner has many.
            items: Owner and id of each.
            stats: Counts the requests.

        Yields:
            The id of each, and whether it exists, or why Graph does not say it.
        """
        addresses = await self._addresses(children, sorted({owner for owner, _ in items}), stats)
        requests = []
        for owner, identifier in items:
            local = identifier.removeprefix(f"{owner}/") if children.entry.local_ids else identifier
            path = addresses[owner].partition("?")[0]
            requests.append(BatchRequest(f"{path}/{quote(local, safe=_SAFE_IN_IDS)}", (identifier, local)))
        async for result in self._graph.batch(requests, stats=stats, lane=children.entry.lane):
            identifier, local = result.request.key
            try:
                single_object(children.entry, result, local)
                yield identifier, True
            except GraphError as error:
                # A path that there is not is no absent object (Graph: "Resource not found for the segment").
                gone = error.status == 404 and "segment" not in error.message
                yield identifier, False if gone else error

    async def _existing(self, owner: ObjectType, ids: list[str], stats: RequestStats) -> list[str]:
        """Returns those objects that Graph does not say to be missing, sorted."""
        requests = [BatchRequest(query(f"{owner.path}/{one}", select="id"), one) for one in ids]
        if owner.parent is not None:
            return sorted(ids)
        results = [result async for result in self._graph.batch(requests, stats=stats, lane=owner.lane)]
        return sorted(result.request.key for result in results if result.status != 404)

    async def unanswered(
        self, owner: ObjectType, missing: UnansweredOwners, stats: RequestStats
    ) -> dict[str, GraphError]:
        """Returns why there is no answer, or no whole one, for owners that exist."""
        await self._drop_gone(owner, missing, stats)
        there = await self._existing(owner, missing.absent, stats)
        errors: dict[str, GraphError] = {
            one: GraphProtocolError(f"Graph answered what cannot be read: {elements[0].reason}")
            for one, elements in missing.unreadable.items()
        }
        errors |= {one: GraphNotFound(_SHOWS_IT, status=404) for one in there}
        return errors | missing.refused

    async def _drop_gone(self, owner: ObjectType, missing: UnansweredOwners, stats: RequestStats) -> None:
        """Drops owners whose list broke off because they are gone."""
        broken = [one for one, error in missing.refused.items() if isinstance(error, RoundExpired)]
        for one in set(broken) - set(await self._existing(owner, broken, stats)):
            del missing.refused[one]

    async def _read_reported(self, children: ChildCollection, reported: ReadResult, stats: RequestStats) -> ReadResult:
        """Reads the children of owners in a delta response; stages the deletion of what was known of them first."""
        started = self.reader.clock()
        there, gone = await self.states.reported(reported)
        before = self.states.before(children.table)
        # Of owners that were not answered last time, too, as delta need not report them again.
        left = {gap.object for gap in (before.gaps if before else ()) if gap.object}
        there = sorted({*there, *(left & await self.states.ids(children.owner.name))})
        self.reader.aside.begin(children.table)
        with self.reader.staging(children.table, children.schema, base=False) as staging:
            for row in await self.states.known_of(children.table, [*there, *gone], DELETE):
                staging.append(*row)
            missing = UnansweredOwners()
            async for owner_id, items in self._items_of(children, there, stats, missing):
                self._stage(children, owner_id, items, staging)
            gaps = await self._keep_unanswered(children, missing, staging, stats)
        since = before.listed if before else ""
        note = (
            f"delta does not track it: read for the {len(there)} {children.owner.name} reported by delta; "
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
            staging.append(f"{owner_id}/{identifier}" if entry.local_ids else identifier, owner_id, UPSERT, stored(raw))

    # --- Owners ------------------------------------------------------------------------------------------------------

    async def _all(
        self, children: ChildCollection, stats: RequestStats, notes: list[str], missing: UnansweredOwners
    ) -> AsyncIterator[tuple[str, list[msgspec.Raw]]]:
        """Yields the id and the children of each owner that has any; adds the others to `missing`."""
        ids: Iterable[str] | None = self.reader.chosen_ids(children.owner)
        if ids is None and children.read is Read.EXPAND:
            long: list[str] = []
            self.shown.pop(children.table, None)
            try:
                probe = self.expansion.url(children)
                with Staging(self.reader.folder / f"{children.table}.shown.arrow", ID_ROWS) as shown:
                    async for page in self._graph.pages(probe, stats=stats, lane=children.owner.lane, many=True):
                        seen: set[str] = set()
                        for owner_id, items in self.expansion.short(page, children, long, seen):
                            missing.answered += 1
                            yield owner_id, items
                        shown.extend(sorted(seen))
                self.shown[children.table] = shown.staged
                ids = long
            except GraphError as error:
                # One owner may be what Graph cannot expand: each is asked singly.
                missing.answered = 0
                notes.append(
                    f"read one by one: Graph does not expand {children.segment} of {children.owner.path} "
                    f"({error.message})"
                )
        addresses = await self._addresses(children, ids, stats)
        async for owner_id, items in self._each(children, addresses, stats, missing):
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
            pages = self._graph.pages(url, stats=stats, lane=children.owner.lane, anew=url)
            ids = []
            async for page in pages:
                listed = read_items(page.value, children.owner.key)
                if page.unreadable or listed.unreadable:
                    raise GraphProtocolError(f"Graph's list of {children.owner.path} has elements that cannot be read")
                ids += listed.ids
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
            f"SELECT lower(raw->>'$.{CATALOGUE[name].belongs_to}') FROM ({readable(self.states.sql(name))})"
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
        self, children: ChildCollection, addresses: dict[str, str], stats: RequestStats, missing: UnansweredOwners
    ) -> AsyncIterator[tuple[str, list[msgspec.Raw]]]:
        select = "id" if children.relation is not None and not children.relation.target else ""
        top = children.entry.page_size if children.many else None
        expand = ",".join(children.entry.expand) if children.relation is None else ""
        requests = [
            BatchRequest(query(path, select=select, expand=expand, top=top), owner_id)
            for owner_id, path in addresses.items()
        ]
        own = children if children.relation is None else None
        async for answer in self._answers(requests, children.entry, stats, missing, many=children.many, own=own):
            yield answer

    async def collections(
        self,
        owner: ObjectType,
        segment: str,
        ids: Sequence[str],
        stats: RequestStats,
        missing: UnansweredOwners,
        *,
        many: bool = True,
    ) -> AsyncIterator[tuple[str, list[msgspec.Raw]]]:
        """The ends of `segment` of the given owners, page by page; owners that are gone meanwhile bring nothing.

        Where an owner has one item at most (`many` is False), Graph answers with the item itself, or 404 without one.
        """
        top = owner.page_size if many else None
        requests = [BatchRequest(query(f"{owner.path}/{i}/{segment}", select="id", top=top), i) for i in ids]
        async for answer in self._answers(requests, owner, stats, missing, many=many):
            yield answer

    async def _answers(
        self,
        requests: Sequence[BatchRequest],
        entry: ObjectType,
        stats: RequestStats,
        missing: UnansweredOwners,
        *,
        many: bool,
        own: ChildCollection | None = None,
    ) -> AsyncIterator[tuple[str, list[msgspec.Raw]]]:
        """Yields the items of each owner that can be read; owners that were not answered are added to `missing`.

        Args:
            requests: One for each owner, whose id is the key.
            entry: Whose lane and pages count.
            stats: Counts the requests.
            missing: Takes the other owners.
            many: An owner can have more than one item.
            own: The items are objects of this collection; ends of links otherwise.

        Raises:
            GraphError: Graph refuses it for all owners.
        """
        async for result in self._graph.batch(requests, stats=stats, lane=entry.lane):
            owner = result.request.key
            if result.status == 404:
                # Who has one item at most, and none, is answered by 404 as well: of the item, not of an owner.
                if many or names_owner(result):
                    missing.absent.append(owner)
                continue
            if not many and result.status == 204:
                # No item. A list that has nothing says so: without a body, its answer was lost.
                continue
            shown: list[str] = []
            try:
                async for items in self._items(result, entry, stats, many=many, own=own):
                    listed = read_items(items.value, own.entry.key if own else "id")
                    shown += listed.ids
                    if unreadable := [*items.unreadable, *listed.unreadable]:
                        missing.unreadable.setdefault(owner, []).extend(unreadable)
                    yield owner, listed.items
                missing.answered += 1
            except GraphNotFound:
                missing.absent.append(owner)
            except GraphError as error:
                missing.refuse(owner, error, of=len(requests))
            if owner in missing.names():
                missing.shown.update((owner, one) for one in shown)

    async def _items(
        self, result: BatchResult, entry: ObjectType, stats: RequestStats, *, many: bool, own: ChildCollection | None
    ) -> AsyncIterator[GraphPage]:
        """Yields the pages of the answer for one owner; raises GraphError for what is no such answer."""
        if not many:
            yield GraphPage([msgspec.Raw(own.single(result) if own else result.decoded(without_context))])
            return
        page = result.decoded(decode_page)
        stats.pages += 1
        yield page
        if page.next_link:
            check_continuation(page.next_link, result.request.url, self._graph.root, "a link to the next page")
            pages = self._graph.pages(page.next_link, stats=stats, lane=entry.lane, anew=result.request.url)
            async for following in pages:
                yield following

    async def links(
        self,
        owner: ObjectType,
        relation: Relation,
        ids: list[str],
        stats: RequestStats,
        missing: UnansweredOwners,
    ) -> AsyncIterator[tuple[str, list[msgspec.Raw]]]:
        """The ends of a relation of the given owners, with as few requests as Graph allows."""
        # A probe shows 20 at the most; owners of many are read one by one from the start.
        read = Read.EACH if relation.many else Read.EXPAND
        children = ChildCollection(
            relation.name, owner, owner, relation.segment, read, relation.many, relation=relation
        )
        async for answer in self._items_of(children, ids, stats, missing):
            yield answer

    async def link_counts(
        self, owner: ObjectType, segment: str, ids: Sequence[str], stats: RequestStats
    ) -> AsyncIterator[tuple[str, int | GraphError | None]]:
        """How many items `segment` of the given owners has; None where Graph does not count them.

        A count that fails is yielded as the error. Owners that are gone meanwhile bring nothing. Counts come from an
        index that lags behind the directory by seconds to minutes (Graph doc: aad-advanced-queries).
        """
        eventual = {"ConsistencyLevel": "eventual"}
        requests = [
            BatchRequest(query(f"{owner.path}/{i}/{segment}", select="id", count="true", top=1), i, eventual)
            for i in ids
        ]
        async for result in self._graph.batch(requests, stats=stats, lane=owner.lane):
            if result.status >= 300 and result.status not in {400, 404, 405, 501}:
                yield result.request.key, explain(result)
            elif result.status != 404:
                yield result.request.key, decode_count(result.body) if result.status < 300 else None

    async def _items_of(
        self, children: ChildCollection, ids: list[str], stats: RequestStats, missing: UnansweredOwners
    ) -> AsyncIterator[tuple[str, list[msgspec.Raw]]]:
        """Items of some owners: 15 owners to a probe, 20 probes to a batch, where Graph lets them be named so."""
        if children.read is Read.EXPAND:
            try:
                answers, long = await self.expansion.some(children, ids, stats)
            except GraphError:
                answers, long = {}, ids
            for owner_id, items in answers.items():
                missing.answered += 1
                yield owner_id, items
            addresses = await self._addresses(children, long, stats)
        else:
            able = await self.states.owners(children.owner, self._condition(children), ids)
            addresses = {one: self._address(children, one, parent) for one, parent in able.items()}
        async for owner_id, items in self._each(children, addresses, stats, missing):
            yield owner_id, items
