"""Runs the checks of a point in the order in which one may cause work for the next, and applies what they find."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field, replace

import pyarrow as pa

from entra_pipeline.backup.point_builder import PointBuilder
from entra_pipeline.backup.read.table_reader import read_answers
from entra_pipeline.backup.reconcile.children import (
    check_children,
    check_lost_children,
    check_passed_over,
    child_subjects,
    probed_subjects,
)
from entra_pipeline.backup.reconcile.context import COUNT_AGAIN, Check, CheckContext, Finding, Subject
from entra_pipeline.backup.reconcile.counts import check_count, counted_types, request_counts
from entra_pipeline.backup.reconcile.endpoints import check_endpoints, check_returned, edges_of_gone
from entra_pipeline.backup.reconcile.links import CHECK_REPORTED, PROVE_WHOLE, read_whole
from entra_pipeline.backup.reconcile.removed_links import check_removed_links, silent_relations
from entra_pipeline.backup.reconcile.removed_objects import RemovedObjects, check_removed_objects
from entra_pipeline.backup.reconcile.selection import check_selection
from entra_pipeline.backup.reconcile.unread import (
    CHECK_UNREAD_LINKS,
    check_owners,
    check_unread_objects,
    check_vanished_properties,
    gaps_of_unanswered,
    unread_ids,
)
from entra_pipeline.backup.reconcile.untyped import CHECK_UNTYPED
from entra_pipeline.backup.scheduler import side_by_side
from entra_pipeline.catalogue import CATALOGUE, RELATIONS, ObjectType
from entra_pipeline.errors import GraphError, GraphPermissionDenied
from entra_pipeline.graph import RequestStats
from entra_pipeline.store.manifest import Gap


@dataclass
class Reconciler:
    """Reconciles the tables of one run with each other and with Graph.

    Attributes:
        builder: Writes corrections, gaps and notes.
        context: What each check is given; its counts of requests are those of no single table.
        fresh: Tables that this run has read; the others were reconciled when an earlier attempt read them.
    """

    builder: PointBuilder
    context: CheckContext
    fresh: Set[str]
    _gone: RemovedObjects = field(init=False)
    _dropped: set[tuple[int, ...]] = field(default_factory=set)
    _proven: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._gone = RemovedObjects(self.context, self._unproven)

    async def reconcile(self) -> None:
        """Runs every check, until none changes anything."""
        entries = self.builder.entries
        types = [entry for entry in self.context.object_types() if entry.name in self.fresh]
        for entry in types:
            await self._run(Subject(entry), check_selection)
        await self._fetch_ahead(types)
        # First, so that no edge drops out with an object that is there.
        await side_by_side(self._run(Subject(entry), check_unread_objects, check_removed_objects) for entry in types)
        await self._drop_edges_of_gone()
        for table in self.context.edge_tables():
            if table in self.fresh:
                await self._run(Subject(*RELATIONS[table]), *CHECK_UNTYPED)
        await side_by_side(
            self._run(subject, *CHECK_UNREAD_LINKS) for subject in _relations(types) if subject.table in self.fresh
        )
        await side_by_side(
            self._run(subject, *(PROVE_WHOLE if self._whole(subject) else CHECK_REPORTED))
            for subject in _relations(types)
            if subject.table in self.fresh - self._proven
        )
        await side_by_side(
            self._run(subject, check_passed_over)
            for subject in probed_subjects(self.context)
            if subject.table in self.fresh
        )
        await side_by_side(
            self._run(Subject(entry, relation), check_removed_links)
            # Owners that could not be read themselves have links all the same.
            for entry in CATALOGUE.values()
            if self.context.has_state(entry.name)
            for relation in silent_relations(self.context, entry)
            if relation.name in self.fresh
        )
        unsettled = types
        while unsettled:
            counts = await self._counts(unsettled)
            await side_by_side(
                self._run(Subject(CATALOGUE[name], reported=count), check_count) for name, count in counts.items()
            )
            for entry in unsettled:
                await self._run(Subject(entry), check_returned)
            compared = {entry.name: entries[entry.name].live for entry in types}
            for table in self.context.edge_tables():
                if table in self.fresh:
                    await self._run(Subject(*RELATIONS[table]), check_endpoints)
            # An object that only an edge reports changes the count, and has links of its own.
            unsettled = [entry for entry in types if entries[entry.name].live != compared[entry.name]]
        await self._drop_edges_of_gone()
        await side_by_side(self._run(Subject(entry), check_children) for entry in types)
        for subject in child_subjects(self.context):
            if subject.table in self.fresh:
                await self._run(subject, check_children, check_lost_children)
        for name in (name for name in CATALOGUE if name in entries and name in self.fresh):
            await self._run(Subject(CATALOGUE[name]), check_vanished_properties)
        self._name_unread()
        # In the catalogue's order, in which owners come before what belongs to them.
        for entry in CATALOGUE.values():
            if entry.name in entries:
                await self._run(Subject(entry), check_owners)

    async def _fetch_ahead(self, types: Sequence[ObjectType]) -> None:
        """Requests the objects that could not be read together: most types have one or two, if any."""
        wanted = {entry.name: ids for entry in types if not entry.shows and (ids := unread_ids(self.context, entry))}
        if len(wanted) > 1:
            await self.context.fetch_ahead(wanted)
            self.builder.charge(min(wanted), self.context.stats.take())

    def _name_unread(self) -> None:
        """Adds the gaps of what could not be read, or was not answered."""
        aside = self.context.reader.aside
        for table in aside.tables():
            if table in self.fresh:
                owner = RELATIONS[table][0] if table in RELATIONS else CATALOGUE[table]
                owner = CATALOGUE[owner.parent.type] if owner.parent and table not in RELATIONS else owner
                self.builder.flag(table, gaps=aside.gaps(table, owner.title.lower()))
        for table in list(self.context.memory.unanswered):
            if table in self.builder.entries:
                self.builder.flag(table, gaps=gaps_of_unanswered(self.context, table))

    async def prove_links(self, entry: ObjectType) -> None:
        """Compares the links of a type as soon as a whole delta round has read them: that needs no other type.

        Not for chosen objects: which ones belong to the scope is known after `check_selection`.
        """
        if self.context.is_partial(entry) or not self.context.was_read(entry.name):
            return
        whole = [one for one in _relations([entry]) if one.table in self.fresh and self._whole(one)]
        self._proven.update(subject.table for subject in whole)
        await side_by_side(self._run(subject, *PROVE_WHOLE) for subject in whole)

    async def gone(self) -> pa.Table:
        """Returns objects that the parent had and the new state has not (`gone_table`)."""
        return await self._gone.table()

    def _whole(self, subject: Subject) -> bool:
        return subject.relation is not None and read_whole(self.context, subject.relation)

    async def _run(self, subject: Subject, *checks: Check) -> None:
        """Runs checks of one subject and applies their findings; what Graph refuses becomes a gap of its table."""
        own = replace(self.context, stats=RequestStats())
        try:
            for check in checks:
                for finding in await read_answers(check(own, subject)):
                    await self._apply(finding)
        except GraphError as error:
            self._unproven(subject.table, error)
        self.builder.charge(subject.table, own.stats)

    async def _apply(self, finding: Finding) -> None:
        if finding.rows:
            await self.builder.amend(finding.table, finding.rows, note=finding.note, gone=finding.gone)
        self.builder.flag(
            finding.table,
            gaps=finding.gaps,
            notes=finding.notes,
            reported=finding.reported,
            compared=finding.compared,
        )

    def _unproven(self, table: str, error: GraphError) -> None:
        entry = CATALOGUE.get(table) or RELATIONS[table][0]
        gap = Gap(
            what="proof",
            reason=error.message,
            remedy=error.remedy or COUNT_AGAIN,
            permission=entry.permissions[0] if isinstance(error, GraphPermissionDenied) else "",
        )
        self.builder.flag(table, gaps=[gap])

    async def _counts(self, entries: Sequence[ObjectType]) -> dict[str, int]:
        """Returns Graph's count of each type that it counts: from its listing, or requested for all types at once."""
        counts, requested = counted_types(self.context, entries)
        try:
            async for name, count in request_counts(self.context, requested):
                if isinstance(count, GraphError):
                    self._unproven(name, count)
                elif count is not None:
                    counts[name] = count
        except GraphError as error:
            for entry in requested:
                self._unproven(entry.name, error)
        if requested:
            self.builder.charge(requested[0].name, self.context.stats.take())
        return counts

    async def _drop_edges_of_gone(self) -> None:
        """Drops edges of objects that are gone since the parent; once, unless more objects have gone."""
        if self._gone.movements() in self._dropped:
            return
        self._dropped.add(self._gone.movements())
        gone = await self.gone()
        for table in self.context.edge_tables():
            for finding in await edges_of_gone(self.context, table, gone):
                await self._apply(finding)


def _relations(entries: Iterable[ObjectType]) -> list[Subject]:
    return [Subject(entry, relation) for entry in entries for relation in entry.delta_relations()]
