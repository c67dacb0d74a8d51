"""Reads the children of owners: relations that no delta query tracks, and the objects of child types.

What belongs here: how a whole table is read, and which of its owners have to be requested at all. What does not: the
requests for single owners (`owners`), `$expand` as a probe (`expansion`), types that stand for themselves (`reader`),
and what the rows mean against the parent (`rows.merge`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil

import msgspec

from entra_pipeline.backup.read.child_tables import ChildCollection, UnansweredOwners, stage_edges
from entra_pipeline.backup.read.owners import SHOWS_IT, OwnerReader
from entra_pipeline.backup.read.reader import FEW_REQUESTS, ObjectReader, kept, was_listed_recently
from entra_pipeline.backup.read.streams import with_streams
from entra_pipeline.backup.rows.page_parser import (
    identify,
    stored,
)
from entra_pipeline.backup.rows.result import NotOffered, ReadResult, TableOutcome
from entra_pipeline.backup.rows.set_aside import READ_AGAIN
from entra_pipeline.backup.rows.staging import DELETE, ID_ROWS, UPSERT, Staged, Staging, staged_table
from entra_pipeline.catalogue import Read
from entra_pipeline.errors import GraphError, GraphPermissionDenied
from entra_pipeline.graph import GraphPage, RequestStats
from entra_pipeline.graph.client import BATCH_SIZE
from entra_pipeline.graph.pacing import ONE_BY_ONE
from entra_pipeline.store.manifest import Gap


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
    def owners(self) -> OwnerReader:
        """Requests what belongs to single owners."""
        return OwnerReader(self.reader)

    def reads_changes_only(self, children: ChildCollection) -> bool:
        """Tells whether only owners in the delta response are read.

        Either delta reports every change, or there are many owners, and all were read less than a day ago.
        """
        before, owners = self.reader.states.before(children.table), self.reader.states.before(children.owner.name)
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

    async def read(self, children: ChildCollection) -> list[TableOutcome]:
        """Reads one table."""
        permission = children.relation.permission if children.relation else ""
        if permission and permission not in self.reader.granted:
            reason = f"requires {permission}, which also allows writing; grant it to protect this relation as well"
            return [NotOffered(children.table, reason, RequestStats())]
        if children.among and not self.owners.holding(children):
            reason = f"is read for owners of {' or '.join(children.among)}: protect these to protect it as well"
            return [NotOffered(children.table, reason, RequestStats())]
        return await self.reader.guarded(children.entry, [children.table], lambda stats: self._read(children, stats))

    async def _read(self, children: ChildCollection, stats: RequestStats) -> list[ReadResult]:
        reported = self.reader.states.results.get(children.owner.name)
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
        await self.owners.drop_gone(children.owner, missing, stats)
        reasons = {one: error.message for one, error in missing.refused.items()}
        there = await self.owners.existing(children.owner, missing.absent, stats)
        reasons |= dict.fromkeys(there, SHOWS_IT)
        for owner, elements in missing.unreadable.items():
            self.reader.aside.add(children.table, owner, elements)
        for row in await self.reader.states.known_of(children.table, sorted({*reasons, *missing.unreadable})):
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
                answers = self.owners.each(children, await self.owners.addresses(children, ids, stats), stats, missing)
            else:
                answers = self.owners.items_of(children, list(ids), stats, missing)
            async for owner_id, items in answers:
                whole = await with_streams(self.reader, children, owner_id, items, stats)
                self._stage(children, owner_id, whole, staging)
            gaps = await self._keep_unanswered(children, missing, staging, stats)
        return [tuple(row.values())[1:] for row in staged_table(staging.staged).to_pylist()], gaps

    async def _read_reported(self, children: ChildCollection, reported: ReadResult, stats: RequestStats) -> ReadResult:
        """Reads the children of owners in a delta response; stages the deletion of what was known of them first."""
        started = self.reader.clock()
        there, gone = await self.reader.states.reported(reported)
        before = self.reader.states.before(children.table)
        # Of owners that were not answered last time, too, as delta need not report them again.
        left = {gap.object for gap in (before.gaps if before else ()) if gap.object}
        there = sorted({*there, *(left & await self.reader.states.ids(children.owner.name))})
        self.reader.aside.begin(children.table)
        with self.reader.staging(children.table, children.schema, base=False) as staging:
            for row in await self.reader.states.known_of(children.table, [*there, *gone], DELETE):
                staging.append(*row)
            missing = UnansweredOwners()
            async for owner_id, items in self.owners.items_of(children, there, stats, missing):
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

    async def _all(
        self, children: ChildCollection, stats: RequestStats, notes: list[str], missing: UnansweredOwners
    ) -> AsyncIterator[tuple[str, list[msgspec.Raw]]]:
        """Yields the id and the children of each owner that has any; adds the others to `missing`."""
        ids: Iterable[str] | None = self.reader.chosen_ids(children.owner)
        if ids is None and children.read is Read.EXPAND:
            long: list[str] = []
            self.shown.pop(children.table, None)
            try:
                probe = self.owners.expansion.url(children)
                with Staging(self.reader.folder / f"{children.table}.shown.arrow", ID_ROWS) as shown:
                    async for page in self.reader.graph.pages(probe, stats=stats, lane=children.owner.lane, many=True):
                        seen: set[str] = set()
                        for owner_id, items in self.owners.expansion.short(page, children, long, seen):
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
        addresses = await self.owners.addresses(children, ids, stats)
        async for owner_id, items in self.owners.each(children, addresses, stats, missing):
            yield owner_id, items
