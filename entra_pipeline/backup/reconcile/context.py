"""The one signature of all checks: what a check is given, and what it answers.

A check reads states and asks Graph; it never writes. The reconciler applies its findings.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import pyarrow as pa

from entra_pipeline.backup.read.children import ChildReader
from entra_pipeline.backup.read.expansion import FILTER_VALUES
from entra_pipeline.backup.read.owners import OwnerReader
from entra_pipeline.backup.read.reader import ObjectReader
from entra_pipeline.backup.read.singles import laid_over, single_object
from entra_pipeline.backup.rows.ids import one_form
from entra_pipeline.backup.rows.page_parser import read_items, stored
from entra_pipeline.backup.states import TableStates
from entra_pipeline.catalogue import CATALOGUE, RELATIONS, Lane, ObjectType, Relation
from entra_pipeline.errors import GraphError, GraphPermissionDenied
from entra_pipeline.graph import BatchResult, RequestStats
from entra_pipeline.graph.client import query
from entra_pipeline.store.manifest import Gap
from entra_pipeline.surrogates import hide_text, reveal

COUNT_AGAIN = "The next backup reads and compares again; if the problem persists, run a full backup."
"""The remedy of a gap that the next backup may close by itself."""
_READ = {"full", "incremental", "unchanged", "synthetic full"}


@dataclass(frozen=True, slots=True)
class ReconcilePolicy:
    """How much of a point is proven, and for how long.

    Attributes:
        count_pauses: Seconds to wait before each further request for what Graph counts and does not show: its indexes
            lag behind each other.
        owners_counted: Owners whose links a whole delta round counts, for each relation: one resource unit each, so
            that the proof costs little beside the read.
        ordinary_counted: Owners in an ordinary delta response of whom an incremental counts the links all the same,
            for each relation: a batch.
    """

    count_pauses: tuple[float, ...] = (0.0, 2.0, 4.0)
    owners_counted: int = 500
    ordinary_counted: int = 20


DEFAULT_POLICY = ReconcilePolicy()


@dataclass(frozen=True, slots=True)
class CheckMemory:
    """What checks of a run have found that later checks need.

    Attributes:
        healed: Ids of objects that checks have added, by object type: they have links that nothing has read.
        linked: Ids of objects whose links were read because they came back, by object type.
        recounted: Object types whose count was requested: the count in their listing is out of date.
        large_owners: Ids of owners that have more links than `$expand` shows, by relation table.
        concealed: Ids of owners whose links Graph hides from this application, by relation table.
        unanswered: Why Graph does not show an object or the links of an owner, by table and id: what is stored of them
            is what was known.
        relink: Ids of objects whose links have to be listed, as their own read did not bring them, by object type.
        unread: Ids of owners whose links could not be read, or may not have been, by relation table.
        ahead: Answers for single objects that no check has taken yet, by type and id.
    """

    healed: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    linked: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    recounted: set[str] = field(default_factory=set)
    large_owners: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    concealed: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    unanswered: dict[str, dict[str, GraphError]] = field(default_factory=lambda: defaultdict(dict))
    relink: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    unread: dict[str, list[str]] = field(default_factory=dict)
    ahead: dict[tuple[str, str], BatchResult] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Subject:
    """What a check looks at: an object type, or a relation of it.

    Attributes:
        entry: The object type.
        relation: The relation; None when the objects themselves are checked.
        reported: Graph's count of the objects, for the check that compares it.
    """

    entry: ObjectType
    relation: Relation | None = None
    reported: int | None = None

    @property
    def table(self) -> str:
        """The table that the check is charged to, and whose proof fails with it."""
        return self.relation.name if self.relation else self.entry.name


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found of one table.

    Attributes:
        table: The table.
        rows: Corrections: `(id, parent_id, change, raw)` or `(source_id, target_id, target_type, change)`.
        note: Added to the entry when the corrections change anything.
        gone: Objects that are gone (`gone_table`), where the corrections delete edges because of them.
        gaps: What is missing or unproven.
        notes: What a person should know in any case.
        reported: Graph's count, when it was requested again.
        compared: Owners whose rows were compared with another view of Graph.
    """

    table: str
    rows: tuple[tuple[object, ...], ...] = ()
    note: str = ""
    gone: pa.Table | None = None
    gaps: tuple[Gap, ...] = ()
    notes: tuple[str, ...] = ()
    reported: int | None = None
    compared: int = 0


@dataclass(frozen=True, slots=True)
class CheckContext:
    """What every check is given.

    Attributes:
        states: The parent's states, the new ones, and the result of each read.
        children: Reads tables owner by owner.
        stats: Counts the requests of the check.
        policy: How much is proven.
        memory: What earlier checks of the run have found.
    """

    states: TableStates
    children: ChildReader
    stats: RequestStats
    policy: ReconcilePolicy = DEFAULT_POLICY
    memory: CheckMemory = field(default_factory=CheckMemory)

    @property
    def reader(self) -> ObjectReader:
        """Reads object types that stand for themselves."""
        return self.children.reader

    @property
    def owners(self) -> OwnerReader:
        """Requests what belongs to single owners."""
        return self.children.owners

    def was_read(self, table: str) -> bool:
        """Tells whether this point has read a table to its end: of a part, nothing can be proven."""
        result = self.states.results.get(table)
        if result is not None and result.broken is not None:
            return False
        return table in self.states.entries and self.states.entries[table].read in _READ

    def has_state(self, table: str) -> bool:
        """Tells whether there are rows of a table: read, or kept from the parent."""
        return table in self.states.entries and self.states.entries[table].read != "never"

    def is_partial(self, entry: ObjectType) -> bool:
        """Tells whether the scope protects only chosen objects of a type."""
        chosen = self.reader.chosen
        return chosen is not None and chosen.keeps(entry) is not None

    def object_types(self) -> list[ObjectType]:
        """Returns the types without owners that this point has read."""
        return [entry for entry in CATALOGUE.values() if entry.parent is None and self.was_read(entry.name)]

    def endpoint_types(self) -> list[ObjectType]:
        """Returns the types that this point has read and whose objects edges lead to."""
        return [entry for entry in self.object_types() if may_be_endpoint(entry)]

    def edge_tables(self) -> list[str]:
        """Returns the relations that this point has read."""
        return [table for table in RELATIONS if self.was_read(table)]

    async def fetch(self, entry: ObjectType, ids: Iterable[str], *, singly: bool = False) -> dict[str, str | None]:
        """Requests objects by id; returns their JSON, None for one that is gone.

        Objects that Graph does not show are left out, and remembered as unanswered.

        Args:
            entry: Their type.
            ids: Their ids.
            singly: Each stands for itself: Graph may refuse all of them.

        Raises:
            GraphError: Graph refuses all of them.
        """
        found: dict[str, str | None] = {}
        refused: dict[str, GraphError] = {}
        async for result in self._objects(entry, ids):
            one = result.request.key
            if result.status == 404:
                found[one] = None
                continue
            try:
                found[one] = stored(single_object(entry, result, one))
            except GraphError as error:
                refused[one] = error
        if refused and not found and not singly and (len(refused) > 1 or _lacks_permission(refused)):
            raise next(iter(refused.values()))
        self.memory.unanswered[entry.name].update(refused)
        return found

    async def fetch_ahead(self, wanted: Mapping[str, Sequence[str]]) -> None:
        """Requests objects of several types together, 20 to a batch, for the `fetch` of each type that follows.

        What Graph refuses as a whole is requested there.

        Args:
            wanted: Their ids, by type.
        """
        requests = [
            replace(request, key=(name, request.key))
            for name, ids in wanted.items()
            if CATALOGUE[name].lane is Lane.DIRECTORY
            for request in self.reader.object_requests(CATALOGUE[name], ids)
        ]
        with suppress(GraphError):
            async for result in self.reader.graph.batch(requests, stats=self.stats):
                name, one = result.request.key
                self.memory.ahead[name, one] = replace(result, request=replace(result.request, key=one))

    async def _objects(self, entry: ObjectType, ids: Iterable[str]) -> AsyncIterator[BatchResult]:
        """Single objects: those that were requested ahead, then the others."""
        left = []
        for one in ids:
            if (result := self.memory.ahead.pop((entry.name, one), None)) is not None:
                yield result
            else:
                left.append(one)
        async for result in self.reader.objects(entry, left, self.stats):
            yield result

    def laid_over(self, entry: ObjectType, raw: str, known: str) -> tuple[str, list[str]]:
        """Returns an object with the properties that it had and that Graph has left out, and their names."""
        body, lacking = laid_over(entry, hide_text(raw).encode(), known, self.reader.expected(entry))
        return reveal(body).decode(), lacking

    async def still_listed(self, entry: ObjectType, ids: Sequence[str]) -> list[str]:
        """Returns those objects that Graph's list shows, though they answered 404 by themselves.

        The list is read again: an object that was deleted since it was read is in it no more. Where Graph refuses the
        list, nobody knows that one of them is gone, and all are returned.
        """
        try:
            listed = await self._listed(entry, ids) if ids else set()
        except GraphError:
            return list(ids)
        return [one for one in ids if one in listed]

    async def _listed(self, entry: ObjectType, ids: Sequence[str]) -> set[str]:
        whole = query(entry.path, select="id", top=entry.page_size) if entry.delta else self.reader.list_url(entry)
        if entry.delta and len(ids) <= FILTER_VALUES:
            condition = " or ".join(f"id eq '{one}'" for one in ids)
            try:
                return await self._ids_in(entry, query(entry.path, filter=condition, select="id"))
            except GraphError as error:
                if error.status not in {400, 501}:
                    raise
        return await self._ids_in(entry, whole)

    async def _ids_in(self, entry: ObjectType, url: str) -> set[str]:
        """Returns the ids of the objects of a list, with those that cannot be read otherwise."""
        found: set[str] = set()
        async for page in self.reader.graph.pages(url, stats=self.stats, lane=entry.lane, anew=url):
            items = read_items(page.value, entry.key)
            found.update(items.ids, (one_form(one.id) for one in (*page.unreadable, *items.unreadable)))
        return found


Check = Callable[[CheckContext, Subject], Coroutine[None, None, list[Finding]]]
"""A check: looks at one subject and returns what it found; raises GraphError where Graph refuses the proof."""


def _lacks_permission(refused: Mapping[str, GraphError]) -> bool:
    return any(isinstance(error, GraphPermissionDenied) for error in refused.values())


def may_be_endpoint(entry: ObjectType) -> bool:
    """Tells whether edges may lead to objects of a type. Projection types own no objects, so edges never do."""
    return entry.parent is None and not entry.shows


def some(ids: Iterable[object]) -> str:
    """Names a few ids, for a person to look at."""
    found = sorted(map(str, ids))
    return ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
