"""Reads what `$expand` shows of owners: many of them in one page, as a probe.

It shows 20 items of an owner at the most, and it is one view among others. An owner that it cuts, or does not show, is
requested by itself (`children`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import msgspec

from entra_pipeline.backup.read.child_tables import ChildCollection, stage_edges
from entra_pipeline.backup.read.reader import ObjectReader
from entra_pipeline.backup.rows.page_parser import Expanded, ReadItems, read_items, split_expanded
from entra_pipeline.backup.rows.staging import Staging
from entra_pipeline.catalogue import ObjectType, Read, Relation
from entra_pipeline.errors import GraphError
from entra_pipeline.graph import BatchRequest, GraphPage, RequestStats
from entra_pipeline.graph.client import query
from entra_pipeline.graph.pages import decode_page

# Graph cuts an expanded relation at 20 without telling (Graph doc: query-parameters).
EXPAND_LIMIT = 20
# Graph takes at most 15 values in an `in` (Graph doc: filter-query-parameter).
FILTER_VALUES = 15


@dataclass(frozen=True, slots=True)
class ExpandReader:
    """Reads expanded owners, for one run.

    Attributes:
        reader: Reads what stands for itself; knows the tenant and what is set aside.
    """

    reader: ObjectReader

    def url(self, children: ChildCollection, condition: str = "") -> str:
        """Returns the probe: the list of owners with what belongs to each; of those only that meet a condition."""
        nested = f"{children.segment}($select=id)" if children.relation is not None else children.segment
        top = children.owner.page_size if not condition else None
        return query(children.owner.path, filter=condition, select="id", expand=nested, top=top)

    def short(
        self, page: GraphPage, children: ChildCollection, long: list[str], seen: set[str] | None = None
    ) -> list[tuple[str, list[msgspec.Raw]]]:
        """Owners on a page whose items Graph has shown all; those it may have cut are added to `long`.

        Owners that are shown at all are added to `seen`. Elements that are no owners are set aside.
        """
        found = []
        owners, unreadable = split_expanded(page.value, children.segment)
        for element in [*page.unreadable, *unreadable]:
            if element.id and children.many:
                long.append(element.id)
            else:
                self.reader.aside.add(children.table, element.id, [element])
        key = children.entry.key if children.relation is None else "id"
        if seen is not None:
            seen.update(owner_id for owner_id, _, _ in owners)
        # Those of all owners are looked at together: most owners have few or none.
        all_readable = not read_items([item for _, items, _ in owners for item in items], key).unreadable
        for owner_id, items, complete in owners:
            if not items and (complete or not children.many):
                continue
            listed = ReadItems(items, [], []) if all_readable else read_items(items, key)
            if children.many and (not complete or len(items) >= EXPAND_LIMIT or listed.unreadable):
                long.append(owner_id)
            else:
                self.reader.aside.add(children.table, owner_id, listed.unreadable)
                found.append((owner_id, listed.items))
        return found

    async def stage(self, owner: ObjectType, relation: Relation, stats: RequestStats, staging: Staging) -> list[str]:
        """Stages the edges of all owners that have few, and returns the ids of those with many.

        Raises:
            GraphError: Graph does not expand the relation.
        """
        children = ChildCollection(
            relation.name, owner, owner, relation.segment, Read.EXPAND, relation.many, relation=relation
        )
        long: list[str] = []
        url = self.url(children)
        async for page in self.reader.graph.pages(url, stats=stats, lane=owner.lane, anew=url):
            for owner_id, items in self.short(page, children, long):
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
            for one in split_expanded(page.value, relation.segment)[0]:
                listed = read_items(one.items)
                complete = one.complete and len(one.items) < EXPAND_LIMIT and not listed.unreadable
                found[one.id] = Expanded(one.id, listed.items, complete)
        return found

    async def some(
        self, children: ChildCollection, ids: Sequence[str], stats: RequestStats
    ) -> tuple[dict[str, list[msgspec.Raw]], list[str]]:
        """Probes of some owners: the items of those with few, and the ids of those with many.

        Raises:
            GraphError: Graph refuses to name owners so, or has answered with others.
        """
        found: dict[str, list[msgspec.Raw]] = {}
        long: list[str] = []
        seen: set[str] = set()
        async for page in self._probes(children, ids, stats):
            found.update(self.short(page, children, long, seen))
        # An owner that the probe leaves out is not one without items.
        return found, sorted({*long, *(set(ids) - seen)})

    async def _probes(
        self, children: ChildCollection, ids: Sequence[str], stats: RequestStats
    ) -> AsyncIterator[GraphPage]:
        chunks = [ids[start : start + FILTER_VALUES] for start in range(0, len(ids), FILTER_VALUES)]
        conditions = [f"id in ({','.join(repr(one) for one in chunk)})" for chunk in chunks]
        requests = [BatchRequest(self.url(children, condition)) for condition in conditions]
        wanted = set(ids)
        async for result in self.reader.graph.batch(requests, stats=stats, lane=children.owner.lane):
            page = result.decoded(decode_page)
            if page.next_link or not wanted.issuperset(read_items(page.value).ids):
                raise GraphError(f"Graph does not filter {children.owner.path} by ids", status=400)
            yield page
