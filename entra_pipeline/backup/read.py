"""Reading a tenant: which requests bring the rows of a table, and the rows themselves into staging files.

What belongs here: delta rounds, listings, expanded and per-object reads, of one object type with its relations. What
does not: what the rows mean against the parent (`merge`), and across types (`settle`).
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pyarrow as pa

from entra_pipeline.backup.selection import Chosen
from entra_pipeline.backup.split import neighbour, split_delta_page, split_expanded, split_list_page
from entra_pipeline.backup.staging import EDGE_ROWS, OBJECT_ROWS, UPSERT, Staging
from entra_pipeline.catalogue import CATALOGUE, ObjectType, Read, Relation
from entra_pipeline.clock import Clock, iso, parse_iso
from entra_pipeline.errors import DeltaLinkExpired, GraphError, GraphPermissionDenied, GraphProtocolError
from entra_pipeline.graph import Graph, Ledger, Page, Request, Result
from entra_pipeline.graph.client import expired, explain, query
from entra_pipeline.graph.pages import decode_count, decode_page
from entra_pipeline.store.manifest import Manifest

# Graph keeps delta tokens of directory objects for 7 days (Graph doc: delta-query-overview); one day is for us.
DELTA_LINK_LIFE = timedelta(days=6)
# Graph cuts an expanded relation at 20 without telling (Graph doc: query-parameters).
EXPAND_LIMIT = 20
# Graph's delta takes at most 50 ids in $filter (Graph doc: delta-query-groups).
FILTER_IDS = 50
_PAGE_LINK_EXPIRED = "Directory_ExpiredPageToken"


@dataclass(slots=True)
class Reading:
    """What the read of one table brought.

    Attributes:
        table: Name of the object type or relation.
        staged: Rows in the order of arrival.
        complete: The rows are the whole table; otherwise changes since the parent.
        delta_link: Where the next round starts, for tables read by delta.
        delta_minted: When that link was minted, by our clock.
        signature: Hash of everything that shapes the query; another signature asks for a full read.
        started, finished: The read window.
        ledger: What it cost. Relations tracked by their owner's delta cost nothing of their own.
        notes: What a person should know and is not a gap.
    """

    table: str
    staged: Path
    complete: bool
    started: datetime
    finished: datetime
    ledger: Ledger
    delta_link: str = ""
    delta_minted: str = ""
    signature: str = ""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Unread:
    """A table that could not be read, and why."""

    table: str
    error: GraphError
    ledger: Ledger


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the tables of one run.

    Attributes:
        graph: The tenant.
        folder: Where staging files go.
        clock: The one clock.
        parent: The manifest that the run builds on, None for the first.
        granted: Application permissions of the token.
        extensions: Directory extensions, and other properties to ask for by name, by the type they target (`User` →
            names).
        chosen: The chosen users and groups, None when the scope protects everything.
        progress: Called with a table and the number of rows read so far.
        refused: Properties that Graph has refused to select, by object type.
    """

    graph: Graph
    folder: Path
    clock: Clock
    parent: Manifest | None
    granted: frozenset[str]
    extensions: dict[str, tuple[str, ...]]
    chosen: Chosen | None
    progress: Callable[[str, int], None]
    refused: dict[str, frozenset[str]] = field(default_factory=dict)

    def reads(self, entry: ObjectType, *, full: bool) -> list[Coroutine[None, None, list[Reading | Unread]]]:
        """The independent reads that bring an object type and its relations; each ends in readings or their failure."""
        tables = [entry.name, *(relation.name for relation in entry.delta_relations())]
        own = self._guarded(tables, lambda ledger: self._read_objects(entry, ledger, full=full))
        others = [
            self._guarded([relation.name], lambda ledger, r=relation: self._read_relation(entry, r, ledger))  # type: ignore[misc]
            for relation in entry.relations
            if relation.read is not Read.DELTA
        ]
        return [own, *others]

    async def _guarded(
        self, tables: Sequence[str], read: Callable[[Ledger], Coroutine[None, None, list[Reading]]]
    ) -> list[Reading | Unread]:
        ledger = Ledger()
        try:
            return list(await read(ledger))
        except GraphError as error:
            costs = [ledger, *(Ledger() for _ in tables[1:])]
            return [Unread(table, error, cost) for table, cost in zip(tables, costs, strict=True)]

    # --- Objects -----------------------------------------------------------------------------------------------------

    async def _read_objects(self, entry: ObjectType, ledger: Ledger, *, full: bool) -> list[Reading]:
        if entry.parent is not None:
            return await self._read_children(entry, ledger)
        if entry.delta:
            return await self._read_delta(entry, ledger, full=full)
        return await self._read_list(entry, ledger)

    async def _read_delta(self, entry: ObjectType, ledger: Ledger, *, full: bool) -> list[Reading]:
        notes: list[str] = []
        while True:
            names = self.properties_to_select(entry)
            url = self._delta_url(entry, names)
            signature = self._signature(entry, url)
            link = None if full else self._usable_delta_link(entry, signature)
            told = [*notes, *self._not_protected(entry)]
            try:
                return await self._delta_round(entry, link or url, ledger, signature, told, complete=link is None)
            except GraphError as error:
                if self._does_without(entry, names, error):
                    continue
                if link is not None and expired(error):
                    notes.append(f"read in full: the delta link had expired ({error.message})")
                    full = True
                elif link is None and isinstance(error, DeltaLinkExpired):
                    # The initial round itself was cut short by Graph: it begins anew, once.
                    return await self._delta_round(entry, url, ledger, signature, told, complete=True)
                else:
                    raise

    async def _delta_round(
        self, entry: ObjectType, url: str, ledger: Ledger, signature: str, notes: list[str], *, complete: bool
    ) -> list[Reading]:
        started = self.clock()
        relations = entry.delta_relations()
        keep = self._keep(entry)
        with Staging(self.staged_path(entry.name), OBJECT_ROWS) as objects:
            edges = {relation: Staging(self.staged_path(relation.name), EDGE_ROWS) for relation in relations}
            delta_link = ""
            try:
                # A filter without ids would be no filter: nobody is chosen, so there is nothing to ask.
                pages = (
                    _no_pages()
                    if self._chosen_ids(entry) == frozenset()
                    else self.graph.pages(url, ledger=ledger, lane=entry.lane)
                )
                async for page in pages:
                    split_delta_page(page if keep is None else _kept(page, keep), objects, edges)
                    delta_link = page.delta_link or ""
                    self.progress(entry.name, objects.rows)
            finally:
                for staged in edges.values():
                    staged.close()
        if not delta_link and self._chosen_ids(entry) != frozenset():
            raise GraphProtocolError(f"the last page of {entry.path}/delta has no delta link")
        finished = self.clock()
        common = {"complete": complete, "started": started, "finished": finished, "signature": signature}
        own = Reading(
            entry.name,
            objects.path,
            ledger=ledger,
            delta_link=delta_link,
            delta_minted=iso(started),
            notes=notes,
            **common,  # type: ignore[arg-type]
        )
        return [own, *(Reading(r.name, s.path, ledger=Ledger(), **common) for r, s in edges.items())]  # type: ignore[arg-type]

    def _delta_url(self, entry: ObjectType, names: list[str]) -> str:
        relations = [relation.segment for relation in entry.delta_relations()] if names else []
        condition = None
        if (ids := self._chosen_ids(entry)) is not None and len(ids) <= FILTER_IDS:
            condition = " or ".join(f"id eq '{identifier}'" for identifier in sorted(ids))
        return query(f"{entry.path}/delta", select=",".join([*names, *relations]), filter=condition)

    def _usable_delta_link(self, entry: ObjectType, signature: str) -> str | None:
        before = self.parent.tables.get(entry.name) if self.parent else None
        if before is None or not before.delta_link or before.signature != signature:
            return None
        if self.clock() - parse_iso(before.delta_minted) > DELTA_LINK_LIFE:
            return None
        return before.delta_link

    async def _read_list(self, entry: ObjectType, ledger: Ledger) -> list[Reading]:
        keep = self._keep(entry)
        while True:
            names = self.properties_to_select(entry)
            url = query(entry.path, select=",".join(names), top=entry.page_size)

            async def fill(objects: Staging, url: str = url) -> None:
                async for page in self.graph.pages(url, ledger=ledger, lane=entry.lane):
                    split_list_page(page if keep is None else _kept(page, keep), objects)
                    self.progress(entry.name, objects.rows)

            try:
                return await self._listing(entry.name, OBJECT_ROWS, fill, ledger, self._not_protected(entry))
            except GraphError as error:
                if not self._does_without(entry, names, error):
                    raise

    async def _read_children(self, entry: ObjectType, ledger: Ledger) -> list[Reading]:
        parent = entry.parent
        assert parent is not None  # noqa: S101 - the caller asks only for child types
        owner = CATALOGUE[parent.type]
        keep = self._keep(entry)
        notes: list[str] = []

        async def fill(objects: Staging) -> None:
            async for owner_id, items in self._neighbourhoods(
                owner, parent.segment, parent.read, ledger, notes, top=entry.page_size
            ):
                page = Page(items)
                split_list_page(page if keep is None else _kept(page, keep), objects, owner_id)
                self.progress(entry.name, objects.rows)

        return await self._listing(entry.name, OBJECT_ROWS, fill, ledger, notes)

    # --- Relations ---------------------------------------------------------------------------------------------------

    async def _read_relation(self, entry: ObjectType, relation: Relation, ledger: Ledger) -> list[Reading]:
        notes: list[str] = []

        async def fill(edges: Staging) -> None:
            async for owner_id, items in self._neighbourhoods(
                entry, relation.segment, relation.read, ledger, notes, select="id", top=entry.page_size
            ):
                stage_edges(owner_id, items, edges)
                self.progress(relation.name, edges.rows)

        return await self._listing(relation.name, EDGE_ROWS, fill, ledger, notes)

    async def _neighbourhoods(
        self,
        owner: ObjectType,
        segment: str,
        read: Read,
        ledger: Ledger,
        notes: list[str],
        *,
        select: str = "",
        top: int | None,
    ) -> AsyncIterator[tuple[str, list[msgspec.Raw]]]:
        """For each owner that has any: its id, and the items of its collection `segment`."""
        ids = self._chosen_ids(owner)
        if ids is None and read is Read.EXPAND:
            nested = f"{segment}($select={select})" if select else segment
            url = query(owner.path, select="id", expand=nested, top=owner.page_size)
            long: list[str] = []
            try:
                async for page in self.graph.pages(url, ledger=ledger, lane=owner.lane):
                    for raw in page.value:
                        owner_id, items = split_expanded(raw, segment)
                        if len(items) >= EXPAND_LIMIT:
                            long.append(owner_id)
                        elif items:
                            yield owner_id, items
                ids = frozenset(long)
            except GraphError as error:
                if error.status not in {400, 501}:
                    raise
                notes.append(f"read one by one: Graph does not expand {segment} of {owner.path} ({error.message})")
        if ids is None:
            url = query(owner.path, select="id", top=owner.page_size)
            found = [split_expanded(raw, "")[0] async for p in self.graph.pages(url, ledger=ledger) for raw in p.value]
            ids = frozenset(found)
        async for owner_id, items in self.collections(owner, segment, sorted(ids), ledger, select=select, top=top):
            yield owner_id, items

    async def collections(
        self,
        owner: ObjectType,
        segment: str,
        ids: Sequence[str],
        ledger: Ledger,
        *,
        select: str = "id",
        top: int | None = None,
        many: bool = True,
    ) -> AsyncIterator[tuple[str, list[msgspec.Raw]]]:
        """The items of `segment` of the given owners, page by page; owners that are gone meanwhile bring nothing.

        Where an owner has one item at most (`many` is False), Graph answers with the item itself, or 404 without one.
        """
        requests = [Request(query(f"{owner.path}/{i}/{segment}", select=select, top=top), i) for i in ids]
        async for result in self.graph.batch(requests, ledger=ledger, lane=owner.lane):
            if result.status == 404:
                continue
            if result.status >= 300:
                raise explain(result)
            if not many:
                yield result.request.key, [msgspec.Raw(result.body)]
                continue
            page = decode_page(result.body)
            yield result.request.key, page.value
            if page.next_link:
                async for following in self.graph.pages(page.next_link, ledger=ledger, lane=owner.lane):
                    yield result.request.key, following.value

    async def link_counts(
        self, owner: ObjectType, segment: str, ids: Sequence[str], ledger: Ledger
    ) -> AsyncIterator[tuple[str, int | None]]:
        """How many items `segment` of the given owners has; None where Graph does not tell.

        Owners that are gone meanwhile bring nothing. Counts come from an index that lags behind the directory by
        seconds to minutes (Graph doc: aad-advanced-queries).
        """
        eventual = {"ConsistencyLevel": "eventual"}
        requests = [
            Request(query(f"{owner.path}/{i}/{segment}", select="id", count="true", top=1), i, eventual) for i in ids
        ]
        async for result in self.graph.batch(requests, ledger=ledger, lane=owner.lane):
            if result.status != 404:
                yield result.request.key, decode_count(result.body) if result.status < 300 else None

    async def objects(self, entry: ObjectType, ids: Iterable[str], ledger: Ledger) -> AsyncIterator[Result]:
        """Single objects, with the properties that a listing has; the result of one that is gone has status 404."""
        select = ",".join(self.properties_to_select(entry))
        requests = [Request(query(f"{entry.path}/{identifier}", select=select), identifier) for identifier in ids]
        async for result in self.graph.batch(requests, ledger=ledger, lane=entry.lane):
            yield result

    # --- What all share ----------------------------------------------------------------------------------------------

    async def _listing(
        self,
        table: str,
        schema: pa.Schema,
        fill: Callable[[Staging], Coroutine[None, None, None]],
        ledger: Ledger,
        notes: list[str],
    ) -> list[Reading]:
        """A complete read, begun anew once when Graph forgets its own page token half-way."""
        started = self.clock()
        for last in (False, True):
            try:
                with Staging(self.staged_path(table), schema) as staged:
                    await fill(staged)
                break
            except GraphError as error:
                if last or error.code != _PAGE_LINK_EXPIRED:
                    raise
        return [Reading(table, staged.path, True, started, self.clock(), ledger, notes=notes)]

    def properties_to_select(self, entry: ObjectType) -> list[str]:
        """What `$select` names: nothing where Graph returns everything by itself and no extension must be asked for."""
        extensions = self.extensions.get(entry.extensible, ())
        if not entry.select and not extensions:
            return []
        chosen = entry.selection(self.granted) if entry.select else list(entry.properties)
        refused = self.refused.get(entry.name, frozenset())
        return [name for name in (*chosen, *extensions) if name not in refused]

    def _does_without(self, entry: ObjectType, names: list[str], error: GraphError) -> bool:
        """Whether Graph has refused to select some of the names, which are then no longer asked for."""
        refused = _refused_properties(error, names)
        self.refused[entry.name] = self.refused.get(entry.name, frozenset()) | refused
        return bool(refused)

    def _not_protected(self, entry: ObjectType) -> list[str]:
        """Notes on the properties that a read does without."""
        gated = entry.gated.items() if entry.select else ()
        notes = [f"not protected: {name} (grant {p} to protect it)" for name, p in gated if p not in self.granted]
        refused = ", ".join(sorted(self.refused.get(entry.name, ())))
        return [*notes, f"not protected: {refused} (Graph refuses to list it)"] if refused else notes

    def _signature(self, entry: ObjectType, url: str) -> str:
        """Of everything that decides which rows a delta round brings: the query, and what is kept of its answer.

        Chosen objects that a filter cannot name come and go one by one (`settle`); what belongs to them does not.
        """
        kept = ""
        if self.chosen is not None and self.chosen.keeps(entry) is not None:
            kept = "chosen" if self._chosen_ids(entry) is not None else " ".join(sorted(self.chosen.everybody))
        return hashlib.sha256(f"{url} {kept}".encode()).hexdigest()[:16]

    def _chosen_ids(self, entry: ObjectType) -> frozenset[str] | None:
        """Ids of the chosen objects of a type; None when the type is protected as a whole."""
        return self.chosen.ids(entry) if self.chosen else None

    def _keep(self, entry: ObjectType) -> Callable[[msgspec.Raw], bool] | None:
        """Tells which objects of a listing belong to the scope; None when all do."""
        return self.chosen.keeps(entry) if self.chosen else None

    def staged_path(self, table: str) -> Path:
        """Where the rows that a read brought for a table are."""
        return self.folder / f"{table}.arrow"


def stage_edges(owner_id: str, items: Iterable[msgspec.Raw], edges: Staging) -> None:
    """Stages the edges from an owner to each of the listed directory objects."""
    for raw in items:
        other = neighbour(raw)
        edges.append(owner_id, other.id, other.target_type, UPSERT)


async def _no_pages() -> AsyncIterator[Page]:
    nothing: tuple[Page, ...] = ()
    for page in nothing:
        yield page


def _kept(page: Page, keep: Callable[[msgspec.Raw], bool]) -> Page:
    return Page([raw for raw in page.value if keep(raw)], page.next_link, page.delta_link)


def _refused_properties(error: GraphError, names: list[str]) -> frozenset[str]:
    """The properties that a 400 names as not selectable.

    Seen: "Could not find a property named 'x' on type 'microsoft.graph.user'." and "$expand/$select is not supported
    for the following properties: x, y".
    """
    if error.status != 400 or isinstance(error, GraphPermissionDenied):
        return frozenset()
    _, marked, listed = error.message.partition("not supported for the following properties:")
    words = {word.strip(" .'") for word in listed.split(",")} if marked else set()
    _, marked, rest = error.message.partition("property named '")
    if marked:
        words.add(rest.partition("'")[0])
    return frozenset(words & set(names))
