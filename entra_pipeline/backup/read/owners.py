"""Requests what belongs to owners, one by one in batches: links, child objects, counts, the way back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import msgspec

from entra_pipeline.backup.read.child_tables import ChildCollection, UnansweredOwners, address, names_owner
from entra_pipeline.backup.read.expansion import ExpandReader
from entra_pipeline.backup.read.reader import ObjectReader
from entra_pipeline.backup.read.singles import check_kind, single_object, without_context
from entra_pipeline.backup.rows.page_parser import read_items
from entra_pipeline.backup.states import readable
from entra_pipeline.catalogue import CATALOGUE, ObjectType, Read, Relation
from entra_pipeline.errors import GraphError, GraphNotFound, GraphProtocolError, RoundExpired
from entra_pipeline.graph import BatchRequest, BatchResult, GraphPage, RequestStats
from entra_pipeline.graph.client import query
from entra_pipeline.graph.pages import decode_count, decode_page
from entra_pipeline.graph.responses import explain
from entra_pipeline.graph.urls import check_continuation

# What an id may have besides letters, digits and "_.-~" without ending a segment of a path.
_SAFE_IN_IDS = "@:,="
SHOWS_IT = "Graph answers 404, as if the object did not exist, and shows it"


@dataclass(frozen=True, slots=True)
class OwnerReader:
    """Requests what belongs to single owners, for one run.

    Attributes:
        reader: Reads what stands for itself; knows the scope and the query options.
    """

    reader: ObjectReader

    @property
    def expansion(self) -> ExpandReader:
        """Reads what `$expand` shows of owners."""
        return ExpandReader(self.reader)

    async def able(self, children: ChildCollection, ids: Sequence[str]) -> list[str]:
        """Returns those objects that can have such children, sorted; all where their type is not protected."""
        if children.owner.name not in self.reader.states.entries:
            return sorted(ids)
        return sorted(await self.reader.states.owners(children.owner, self._condition(children), ids))

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
        addresses = await self.addresses(children, sorted({owner for owner, _ in items}), stats)
        requests = []
        for owner, identifier in items:
            local = identifier.removeprefix(f"{owner}/") if children.entry.local_ids else identifier
            path = addresses[owner].partition("?")[0]
            requests.append(BatchRequest(f"{path}/{quote(local, safe=_SAFE_IN_IDS)}", (identifier, local)))
        async for result in self.reader.graph.batch(requests, stats=stats, lane=children.entry.lane):
            identifier, local = result.request.key
            try:
                single_object(children.entry, result, local)
                yield identifier, True
            except GraphError as error:
                # A path that there is not is no absent object (Graph: "Resource not found for the segment").
                gone = error.status == 404 and "segment" not in error.message
                yield identifier, False if gone else error

    async def existing(self, owner: ObjectType, ids: list[str], stats: RequestStats) -> list[str]:
        """Returns those objects that Graph does not say to be missing, sorted."""
        requests = [BatchRequest(query(f"{owner.path}/{one}", select="id"), one) for one in ids]
        if owner.parent is not None:
            return sorted(ids)
        results = [result async for result in self.reader.graph.batch(requests, stats=stats, lane=owner.lane)]
        return sorted(result.request.key for result in results if result.status != 404)

    async def unanswered(
        self, owner: ObjectType, missing: UnansweredOwners, stats: RequestStats
    ) -> dict[str, GraphError]:
        """Returns why there is no answer, or no whole one, for owners that exist."""
        await self.drop_gone(owner, missing, stats)
        there = await self.existing(owner, missing.absent, stats)
        errors: dict[str, GraphError] = {
            one: GraphProtocolError(f"Graph answered what cannot be read: {elements[0].reason}")
            for one, elements in missing.unreadable.items()
        }
        errors |= {one: GraphNotFound(SHOWS_IT, status=404) for one in there}
        return errors | missing.refused

    async def drop_gone(self, owner: ObjectType, missing: UnansweredOwners, stats: RequestStats) -> None:
        """Drops owners whose list broke off because they are gone."""
        broken = [one for one, error in missing.refused.items() if isinstance(error, RoundExpired)]
        for one in set(broken) - set(await self.existing(owner, broken, stats)):
            del missing.refused[one]

    async def addresses(
        self, children: ChildCollection, ids: Iterable[str] | None, stats: RequestStats
    ) -> dict[str, str]:
        """Returns the path of children by their owner's id: of the given owners, or of all that can have any."""
        parents: dict[str, str] = {}
        if children.owner.name in self.reader.states.entries and (ids is None or children.read is Read.EACH):
            parents = await self.reader.states.owners(
                children.owner, self._condition(children), None if ids is None else list(ids)
            )
            ids = parents
        elif ids is None:
            url = query(children.owner.path, select="id", top=children.owner.page_size)
            pages = self.reader.graph.pages(url, stats=stats, lane=children.owner.lane, anew=url)
            ids = []
            async for page in pages:
                listed = read_items(page.value, children.owner.key)
                if page.unreadable or listed.unreadable:
                    raise GraphProtocolError(f"Graph's list of {children.owner.path} has elements that cannot be read")
                ids += listed.ids
        return {one: self._address(children, one, parents.get(one, "")) for one in sorted(ids)}

    def holding(self, children: ChildCollection) -> list[str]:
        """Returns the types that name the owners to request, as far as they have rows."""
        entries = self.reader.states.entries
        return [name for name in children.among if name in entries and entries[name].read != "never"]

    def _condition(self, children: ChildCollection) -> str:
        """SQL condition that owners have to meet."""
        if not children.among:
            return children.where
        holders = " UNION ".join(
            f"SELECT lower(raw->>'$.{CATALOGUE[name].belongs_to}') FROM ({readable(self.reader.states.sql(name))})"
            for name in self.holding(children)
        )
        condition = f"id IN ({holders})"
        return f"{condition} AND ({children.where})" if children.where else condition

    @staticmethod
    def _address(children: ChildCollection, identifier: str, parent_id: str) -> str:
        if children.path:
            return children.path.format(id=identifier)
        return f"{address(children.owner, identifier, parent_id)}/{children.segment}"

    async def each(
        self, children: ChildCollection, addresses: dict[str, str], stats: RequestStats, missing: UnansweredOwners
    ) -> AsyncIterator[tuple[str, list[msgspec.Raw]]]:
        """Yields the children of the owners at some addresses, page by page; adds the others to `missing`."""
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
        async for result in self.reader.graph.batch(requests, stats=stats, lane=entry.lane):
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
                    if own is not None:
                        check_kind(own.entry, items.value)
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
            check_continuation(page.next_link, result.request.url, self.reader.graph.root, "a link to the next page")
            pages = self.reader.graph.pages(page.next_link, stats=stats, lane=entry.lane, anew=result.request.url)
            async for following in pages:
                yield following

    async def links(
        self,
        owner: ObjectType,
        relation: Relation,
        ids: list[str],
        stats: RequestStats,
        missing: UnansweredOwners,
        *,
        singly: bool,
    ) -> AsyncIterator[tuple[str, list[msgspec.Raw]]]:
        """The ends of a relation of the given owners: each owner's own answer (`singly`), or by probes of `$expand`."""
        read = Read.EACH if singly else Read.EXPAND
        children = ChildCollection(
            relation.name, owner, owner, relation.segment, read, relation.many, relation=relation
        )
        async for answer in self.items_of(children, ids, stats, missing):
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
        async for result in self.reader.graph.batch(requests, stats=stats, lane=owner.lane):
            if result.status >= 300 and result.status not in {400, 404, 405, 501}:
                yield result.request.key, explain(result)
            elif result.status != 404:
                yield result.request.key, decode_count(result.body) if result.status < 300 else None

    async def items_of(
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
            addresses = await self.addresses(children, long, stats)
        else:
            able = await self.reader.states.owners(children.owner, self._condition(children), ids)
            addresses = {one: self._address(children, one, parent) for one, parent in able.items()}
        async for owner_id, items in self.each(children, addresses, stats, missing):
            yield owner_id, items
