"""Reads object types that stand for themselves: chooses the requests and stages the rows.

What belongs here: delta rounds, listings and single objects, of types that stand for themselves. What does not: what is
read owner by owner (`children`), what the rows mean against the parent (`rows.merge`), and across types (`reconcile`).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

import msgspec

from entra_pipeline.backup.read.singles import (
    check_kind,
    check_single,
    laid_over,
    not_whole,
    single_object,
    without_context,
)
from entra_pipeline.backup.read.table_reader import TableReader, keeps_rows
from entra_pipeline.backup.rows.page_parser import (
    DeltaPages,
    identify,
    read_items,
    removed_links,
    split_list_page,
    stored,
)
from entra_pipeline.backup.rows.result import ReadResult, TableOutcome
from entra_pipeline.backup.rows.set_aside import PROPERTIES
from entra_pipeline.backup.rows.staging import EDGE_ROWS, OBJECT_ROWS, UPSERT, Staged, Staging, only_upserts
from entra_pipeline.catalogue import ObjectType, Relation
from entra_pipeline.clock import iso, parse_iso
from entra_pipeline.errors import (
    DeltaLinkExpired,
    GraphError,
    GraphNotFound,
    GraphPermissionDenied,
    GraphProtocolError,
    RoundExpired,
)
from entra_pipeline.graph import BatchRequest, BatchResult, GraphPage, RequestStats
from entra_pipeline.graph.client import expired, query
from entra_pipeline.graph.pages import UNREADABLE, Unreadable
from entra_pipeline.graph.retry import Attempts, FailureKind
from entra_pipeline.graph.urls import continues, shown_link
from entra_pipeline.store.manifest import Gap, TableEntry

# Graph keeps delta tokens of directory objects for 7 days (Graph doc: delta-query-overview); one day is for us.
DELTA_LINK_LIFE = timedelta(days=6)
# A list, or the owners of a table, that cost more requests than this are not all read at every incremental backup ...
FEW_REQUESTS = 20
# ... but once a day; a schedule may come a little early.
_ALL_EVERY = timedelta(hours=23)
# Graph's delta takes at most 50 ids in $filter (Graph doc: delta-query-groups).
FILTER_IDS = 50


@dataclass(frozen=True, slots=True)
class ObjectReader(TableReader):
    """Reads object types that stand for themselves, for one run."""

    async def read(self, entry: ObjectType, *, full: bool) -> list[TableOutcome]:
        """Reads an object type that stands for itself, with the relations that its delta query tracks."""
        tables = [entry.name, *(relation.name for relation in entry.delta_relations())]
        return await self.guarded(entry, tables, lambda stats: self._read_objects(entry, stats, full=full))

    async def _read_objects(self, entry: ObjectType, stats: RequestStats, *, full: bool) -> list[ReadResult]:
        if entry.delta:
            return await self._read_delta(entry, stats, full=full)
        if entry.singleton:
            return await self._read_singleton(entry, stats)
        return await self._read_list(entry, stats)

    async def _read_delta(self, entry: ObjectType, stats: RequestStats, *, full: bool) -> list[ReadResult]:
        notes: list[str] = []
        broken_off = Attempts(self.graph.retry)
        while True:
            names = self.properties_to_select(entry)
            url = self._delta_url(entry, names)
            signature = self._signature(entry, url)
            link = None if full else self._usable_delta_link(entry, signature)
            if link is not None and not continues(link, url, self.graph.root):
                notes.append(
                    f"read in full: the stored delta link does not lead to {self.graph.root}/{entry.path}/delta"
                )
                link, full = None, True
            round_notes = [*notes, *self.not_protected(entry)]
            results: list[ReadResult] = []
            try:
                results = await self._delta_round(
                    entry, link or url, stats, signature, round_notes, complete=link is None
                )
                error = results[0].broken
            except GraphError as refused:
                error = refused
            if error is None:
                return results
            if self.does_without(entry, names, error):
                continue
            # Graph has ended the round itself: a first one begins anew, a later one once from its link.
            if isinstance(error, DeltaLinkExpired if link is None else RoundExpired) and not (
                link is not None and broken_off.count
            ):
                pause = broken_off.failed(FailureKind.BAD_RESPONSE, error.message)
                if pause is not None:
                    await asyncio.sleep(pause)
                    continue
            elif link is not None and expired(error):
                notes.append(f"read in full: the delta link had expired ({error.message})")
                full = True
                continue
            if not results:
                raise error
            return results

    async def _delta_round(
        self, entry: ObjectType, url: str, stats: RequestStats, signature: str, notes: list[str], *, complete: bool
    ) -> list[ReadResult]:
        started = self.clock()
        relations = entry.delta_relations()
        keep = self.keep(entry)
        with self.staging(entry.name, OBJECT_ROWS, base=complete) as objects:
            edges = {relation: self.staging(relation.name, EDGE_ROWS, base=complete) for relation in relations}
            parser = DeltaPages(objects, edges, whole=complete)
            delta_link, broken = "", None
            try:
                # A filter without ids would be no filter: nobody is chosen, so there is nothing to ask.
                pages = (
                    _no_pages()
                    if self.chosen_ids(entry) == frozenset()
                    else self.graph.pages(url, stats=stats, lane=entry.lane, many=True)
                )
                async for page in pages:
                    check_kind(entry, page.value)
                    parser.add(page if keep is None else kept(page, keep))
                    delta_link = page.next_round
                    self.progress(entry.name, objects.rows)
            except GraphError as error:
                # What a part of a later round says is not what the whole says: its next reading tells everything again.
                if not complete or not objects.rows or not keeps_rows(error):
                    raise
                broken = error
            finally:
                for staged in edges.values():
                    staged.close()
        self._set_aside(entry, parser)
        gaps = []
        minted = iso(started)
        aside = any(self.aside.has_unknown(table) for table in (entry.name, *(relation.name for relation in relations)))
        first = f"{entry.path}/delta"
        if broken is not None or aside:
            # The round has to be read once more: nobody can say which object it was, or what would have followed.
            before = self.parent.tables.get(entry.name) if self.parent and not complete else None
            delta_link, minted = (before.delta_link, before.delta_minted) if before else ("", "")
        elif self.chosen_ids(entry) != frozenset() and not continues(delta_link, first, self.graph.root):
            gaps.append(_no_next_round(entry, delta_link))
            delta_link = ""
        finished = self.clock()
        common = {
            "complete": complete and broken is None,
            "started": started,
            "finished": finished,
            "signature": signature,
            "broken": broken,
        }

        def came(table: str, rows: Staging) -> Staged:
            # What a part of a round takes away, the rest may bring back.
            return rows.staged if broken is None else only_upserts(rows.staged, self.folder / f"{table}.part.arrow")

        own = ReadResult(
            entry.name,
            came(entry.name, objects),
            stats=stats,
            delta_link=delta_link,
            delta_minted=minted,
            notes=notes,
            gaps=gaps,
            linked=frozenset(parser.linked),
            **common,  # type: ignore[arg-type]
        )
        links = [(relation.name, came(relation.name, rows)) for relation, rows in edges.items()]
        return [own, *(ReadResult(name, rows, stats=RequestStats(), **common) for name, rows in links)]  # type: ignore[arg-type]

    def _set_aside(self, entry: ObjectType, parser: DeltaPages) -> None:
        """Sets aside what a delta round could not read; with an object, its links."""
        relations = entry.delta_relations()
        for table in (entry.name, *(relation.name for relation in relations)):
            self.aside.begin(table)
        for one in parser.unreadable:
            if one.relation is not None:
                self.aside.add(one.relation.name, one.object, [one.element])
                continue
            self.aside.add(entry.name, one.object, [one.element])
            for relation in relations:
                self.aside.add(relation.name, one.object, [one.element])

    def _delta_url(self, entry: ObjectType, names: list[str]) -> str:
        relations = [relation.segment for relation in entry.delta_relations()] if names else []
        condition = None
        if (ids := self.chosen_ids(entry)) is not None and len(ids) <= FILTER_IDS:
            condition = " or ".join(f"id eq '{identifier}'" for identifier in sorted(ids))
        return query(f"{entry.path}/delta", select=",".join([*names, *relations]), filter=condition)

    def _usable_delta_link(self, entry: ObjectType, signature: str) -> str | None:
        before = self.parent.tables.get(entry.name) if self.parent else None
        if before is None or not before.delta_link or before.signature != signature:
            return None
        if any(gap.what == PROPERTIES for gap in before.gaps):
            # The next round does not tell again of objects that the last one has told of in part.
            return None
        if self.clock() - parse_iso(before.delta_minted) > DELTA_LINK_LIFE:
            return None
        return before.delta_link

    async def _read_singleton(self, entry: ObjectType, stats: RequestStats) -> list[ReadResult]:
        async def fill(objects: Staging) -> None:
            try:
                body = await self.graph.fetch(entry.path, without_context, stats=stats, lane=entry.lane)
            except GraphNotFound:
                if not entry.may_be_absent:
                    raise
                return
            check_single(entry, body)
            # What had an id has one still.
            otherwise = entry.name if known.keys() <= {entry.name} else ""
            found = identify(body, entry.key, otherwise=otherwise)
            if known and found not in known and not otherwise and not entry.may_be_absent and not accepted:
                raise GraphProtocolError(
                    f"Graph answered another {entry.title.lower()} than is known: {found}, not {', '.join(known)}",
                    remedy="If the tenant really has another one now, take it over: entra-pipeline backup SCOPE --full "
                    f"--types {entry.name}.",
                )
            if found in known and not accepted:
                body, lacking = laid_over(entry, body, known[found], self.expected(entry))
                gaps.extend(not_whole(entry, found, lacking))
            objects.append(found, None, UPSERT, stored(body))

        known = await self.states.raws_before(entry.name)
        accepted = self.is_accepted(entry)
        gaps: list[Gap] = []
        readings = await self.listing(entry.name, OBJECT_ROWS, fill, stats)
        for reading in readings:
            reading.gaps = gaps
        return readings

    def _is_resting(self, entry: ObjectType) -> bool:
        """Whether a long list was read less than a day ago, and need not be read again."""
        before = self.states.before(entry.name)
        if (
            not entry.daily
            or entry.page_size is None
            or before is None
            or self.builder.full
            or entry.name in self.requested
        ):
            return False
        return ceil(before.live / entry.page_size) > FEW_REQUESTS and was_listed_recently(before, self.clock())

    async def _resting(self, entry: ObjectType, stats: RequestStats) -> list[ReadResult]:
        now = self.clock()
        before = self.states.before(entry.name)
        note = f"a long list that delta does not track: read at {before.listed if before else ''}, and once a day"
        with self.staging(entry.name, OBJECT_ROWS, base=False) as nothing:
            pass
        gaps = list(before.gaps) if before else []
        return [ReadResult(entry.name, nothing.staged, False, now, now, stats, notes=[note], gaps=gaps)]

    async def _read_list(self, entry: ObjectType, stats: RequestStats) -> list[ReadResult]:
        if self._is_resting(entry):
            return await self._resting(entry, stats)
        keep = self.keep(entry)
        # A list in one page can count itself; where it has more, counting is an advanced query of its own.
        counts = entry.count and entry.page_size is None
        while True:
            names = self.properties_to_select(entry)
            url = self.list_url(entry, counts=counts)

            async def fill(objects: Staging, url: str = url) -> int | None:
                counted = None
                many = entry.page_size is not None
                async for page in self.graph.pages(url, stats=stats, lane=entry.lane, many=many):
                    check_kind(entry, page.value)
                    counted = page.count if counted is None else counted
                    shown = page if keep is None else kept(page, keep)
                    if self.reads_singly(entry):
                        listed = read_items(shown.value, entry.key)
                        self.aside.add(entry.name, "", [*shown.unreadable, *listed.unreadable])
                        shown = GraphPage(await self._singly(entry, listed.ids, stats))
                    for one in split_list_page(shown, objects, key=entry.key):
                        self.aside.add(entry.name, one.id, [one])
                    self.progress(entry.name, objects.rows)
                return counted

            try:
                return await self.listing(entry.name, OBJECT_ROWS, fill, stats, self.not_protected(entry))
            except GraphError as error:
                if counts and error.status in {400, 501}:
                    counts = False
                elif not self.does_without(entry, names, error):
                    raise

    def list_url(self, entry: ObjectType, *, counts: bool = False) -> str:
        """The request for all objects of a type."""
        return query(
            entry.path,
            select=",".join(self.properties_to_select(entry)),
            expand=",".join(entry.expand),
            filter=entry.filter,
            top=entry.page_size,
            count="true" if counts else None,
        )

    def reads_singly(self, entry: ObjectType) -> bool:
        """Tells whether a type's list leaves out properties, so that each object is requested by itself."""
        return entry.one_by_one or entry.name in self.reveal

    async def _singly(self, entry: ObjectType, ids: list[str], stats: RequestStats) -> list[msgspec.Raw]:
        """Objects of a list read one by one."""
        found: list[msgspec.Raw] = []
        async for result in self.objects(entry, ids, stats):
            if result.status == 404:
                # Deleted since the list was read, or there all the same: `reconcile.unread` finds out.
                self.aside.listed_only.setdefault(entry.name, set()).add(result.request.key)
                continue
            try:
                found.append(msgspec.Raw(single_object(entry, result, result.request.key)))
            except GraphError as error:
                if not found and isinstance(error, GraphPermissionDenied):
                    raise
                self.aside.add(entry.name, result.request.key, [Unreadable(result.body, error.message)])
        return found

    async def objects(self, entry: ObjectType, ids: Iterable[str], stats: RequestStats) -> AsyncIterator[BatchResult]:
        """Single objects, with all properties that are read; the result of one that is gone has status 404."""
        async for result in self.graph.batch(self.object_requests(entry, ids), stats=stats, lane=entry.lane):
            yield result

    def object_requests(self, entry: ObjectType, ids: Iterable[str]) -> list[BatchRequest]:
        """Returns the requests for single objects, whose ids are the keys."""
        secret = [*entry.properties, entry.secret] if entry.name in self.reveal else []
        select = ",".join(secret or self.properties_to_select(entry))
        expand = ",".join(entry.expand)
        return [BatchRequest(query(f"{entry.path}/{one}", select=select, expand=expand), one) for one in ids]

    async def removed_since(
        self, entry: ObjectType, relation: Relation, delta_link: str, stats: RequestStats
    ) -> set[tuple[str, str]]:
        """Returns the links, as (source, target), whose removal a delta query reports after the round of a link.

        The next backup follows the same link, and stores everything that it reports.

        Raises:
            GraphError: Graph refuses.
        """

        async def read() -> set[tuple[str, str]]:
            found: set[tuple[str, str]] = set()
            async for page in self.graph.pages(delta_link, stats=stats, lane=entry.lane):
                found |= removed_links(page, relation)
            return found

        return await self.graph.begun_anew(read)

    def _signature(self, entry: ObjectType, url: str) -> str:
        """Hashes everything that decides which rows a delta round brings: the query, and what is kept of its response.

        Chosen objects that a filter cannot name come and go one by one (`reconcile`); what belongs to them does not.
        """
        kept = ""
        if self.chosen is not None and self.chosen.keeps(entry) is not None:
            kept = "chosen" if self.chosen_ids(entry) is not None else " ".join(sorted(self.chosen.everybody))
        keys = self.builder.keys
        if keys is not None and keys.destroyed and entry.personal is not None:
            # A round says what has changed of an object; of somebody who was erased, nothing is known to lay it over.
            kept += f" erased {keys.destroyed}"
        return hashlib.sha256(f"{url} {kept}".encode()).hexdigest()[:16]


def was_listed_recently(before: TableEntry, now: datetime) -> bool:
    """Whether all of a table was read less than a day ago."""
    return bool(before.listed) and now - parse_iso(before.listed) < _ALL_EVERY


def _no_next_round(entry: ObjectType, link: str) -> Gap:
    """The gap of a delta round that did not end with a link that can be followed."""
    where = f"a link to the next round that leads to another place ({shown_link(link)})"
    given = where if link else "no link to the next round"
    return Gap(
        what="next round",
        reason=f"the last page of {entry.path}/delta has {given}; what came until then is kept",
        remedy="The next backup reads it in full; if the problem persists, contact Microsoft support.",
    )


async def _no_pages() -> AsyncIterator[GraphPage]:
    nothing: tuple[GraphPage, ...] = ()
    for page in nothing:
        yield page


def kept(page: GraphPage, keep: Callable[[msgspec.Raw], bool]) -> GraphPage:
    """The page with only the objects that belong to the scope."""

    def belongs(raw: msgspec.Raw) -> bool:
        try:
            return keep(raw)
        except UNREADABLE:
            # Whose it is nobody can say: it is set aside with the others that cannot be read.
            return True

    return msgspec.structs.replace(page, value=[raw for raw in page.value if belongs(raw)])
