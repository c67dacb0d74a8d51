"""A run of a scope: one recovery point, from the lock to the manifest.

The command uses `BackupRun` through `backup`. The Dagster assets use it step by step: they read and stage the tables,
then commit.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Protocol

import duckdb
import msgspec

from entra_pipeline.backup.manifest_builder import CommitContext, commit_point, permission_gap
from entra_pipeline.backup.persons import keys_to_write
from entra_pipeline.backup.point_builder import PointBuilder
from entra_pipeline.backup.read.child_tables import child_collections
from entra_pipeline.backup.read.children import ChildReader
from entra_pipeline.backup.read.extensions import extension_names, new_properties
from entra_pipeline.backup.read.reader import ObjectReader
from entra_pipeline.backup.read.selection import SELECTABLE, ResolvedSelection, resolve_selection, selectable_types
from entra_pipeline.backup.reconcile.context import DEFAULT_POLICY, CheckContext, ReconcilePolicy, may_be_endpoint
from entra_pipeline.backup.reconcile.reconciler import Reconciler
from entra_pipeline.backup.rows.entries import is_objects
from entra_pipeline.backup.rows.queries import QueryRunner
from entra_pipeline.backup.rows.result import ENDED_EARLY, NotOffered, ReadFailure, ReadResult, TableOutcome
from entra_pipeline.backup.rows.set_aside import READ_ALL_AGAIN
from entra_pipeline.backup.scheduler import ReadStep, run_steps
from entra_pipeline.backup.states import TableStates
from entra_pipeline.catalogue import CATALOGUE, RELATIONS, ObjectType
from entra_pipeline.clock import Clock, iso, system_clock
from entra_pipeline.errors import GraphError, GraphPermissionDenied, IntegrityError, StoreError, UsageError
from entra_pipeline.graph import Graph, RequestStats
from entra_pipeline.project import Scope
from entra_pipeline.runtime import to_the_end
from entra_pipeline.store.backends.duckdb_errors import storage_error
from entra_pipeline.store.checksums import IntactParts
from entra_pipeline.store.manifest import Gap, Manifest, TableEntry, TakenFor
from entra_pipeline.store.points.keys import moment_of
from entra_pipeline.store.points.unreadable import keep_unreadable
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.state import connect
from entra_pipeline.text import did_you_mean

# A tenant of any size is compared in this much, and on disk beyond.
_MEMORY = "160MB"


class BackupProgress(Protocol):
    """What a run tells while it works."""

    def rows(self, table: str, rows: int) -> None:
        """`rows` rows of a table have been read so far."""

    def done(self, entry: TableEntry) -> None:
        """A table is read and written."""

    def phase(self, text: str) -> None:
        """The run has come to another part of its work."""


class NullBackupProgress:
    """A `BackupProgress` that tells nobody."""

    def rows(self, table: str, rows: int) -> None:
        """Nothing."""

    def done(self, entry: TableEntry) -> None:
        """Nothing."""

    def phase(self, text: str) -> None:
        """Nothing."""


@dataclass
class BackupRun:
    """A recovery point in the making.

    Attributes:
        scope: What to protect.
        store: Where it goes.
        graph: The tenant.
        point: Key of the recovery point.
        full: Everything is read, and every table gets a new base.
        clock: The one clock.
        progress: Told what happens.
        taken_for: What the recovery point is taken for.
    """

    scope: Scope
    store: ScopeStore
    graph: Graph
    point: str
    full: bool
    clock: Clock
    progress: BackupProgress
    parent: Manifest | None
    builder: PointBuilder
    started: datetime
    types: list[str]
    granted: frozenset[str] = frozenset()
    chosen: ResolvedSelection | None = None
    stats: RequestStats = field(default_factory=RequestStats)
    extension_gap: Gap | None = None
    selection_gap: Gap | None = None
    unnamed: dict[str, Gap] = field(default_factory=dict)
    reconcile_policy: ReconcilePolicy = DEFAULT_POLICY
    taken_for: str = ""
    changed: list[str] = field(default_factory=list)

    async def read(
        self, types: Sequence[str] | None = None, *, stage: bool = False, again: bool = False
    ) -> AsyncIterator[TableEntry]:
        """Reads object types with their relations, settles them, and yields the entry of each table.

        Args:
            types: Object types that were asked for by name; all of the scope when None. The others are carried from the
                parent, unless an earlier try of this point has staged them. Types of whose changes only the delta query
                of another one tells are read with that: the next round does not tell of them again.
            stage: Remember the entries in the store, so that another process can go on or commit.
            again: Whether a type that fails may be tried again for this point: then a passing failure is left out
                for the next try instead of becoming a gap.
        """
        wanted = [name for name in self.types if types is None or name in types or _reported_by(name) in types]
        if stage:
            self.builder.entries.update(await asyncio.to_thread(self.store.staging.tables, self.point))
        self.granted = await self.graph.sign_in()
        self.progress.phase("reading")
        reader = await self._reader(types or ())
        children = ChildReader(reader)
        left: set[str] = set()
        fresh: set[str] = set()
        context = CheckContext(self.builder.states, children, self.stats, self.reconcile_policy)
        reconciler = Reconciler(self.builder, context, fresh)

        async def write(outcome: TableOutcome) -> None:
            failed = outcome.broken if isinstance(outcome, ReadResult) else getattr(outcome, "error", None)
            if failed is not None and again and failed.transient:
                left.add(outcome.table)
            elif isinstance(outcome, ReadResult):
                fresh.add(outcome.table)
                if outcome.broken is not None:
                    outcome.gaps = [*outcome.gaps, self._gap(outcome.table, outcome.broken, ended_early=True)]
                gone = None if is_objects(outcome.table) else await reconciler.gone()
                self.progress.done(await self.builder.write(outcome, gone))
            elif isinstance(outcome, NotOffered):
                now = iso(self.clock())
                self.progress.done(self.builder.not_offered(outcome.table, outcome.stats, now, outcome.reason))
            else:
                self.progress.done(self._carry(outcome))

        # Links that are gone may have gone with an object of the parent; without a parent nothing has.
        ends = [name for name in wanted if may_be_endpoint(CATALOGUE[name])] if self.parent else []
        steps = [*self._steps(reader, children, wanted), *_proofs(reconciler, wanted)]
        await run_steps(steps, write, before_links=ends)
        if self.extension_gap is not None:
            for name in (n for n in wanted if CATALOGUE[n].extensible):
                self.builder.flag(name, gaps=[self.extension_gap])
        for name in (n for n in wanted if n in SELECTABLE):
            if self.selection_gap is not None:
                self.builder.flag(name, gaps=[self.selection_gap])
        for name, gap in self.unnamed.items():
            if name in fresh:
                self.builder.flag(name, gaps=[gap])
        self.progress.phase("proving")
        await reconciler.reconcile()
        if elements := reader.aside.elements():
            await asyncio.to_thread(keep_unreadable, self.store.files, self.store.scope, self.point, elements)
        # Names of extensions, who is chosen, who of them has gone: what serves all is charged to the first type.
        for table in (name for name in wanted[:1] if name in self.builder.entries):
            self.builder.charge(table, self.stats.take())
        for table, entry in self.builder.entries.items():
            if table not in left:
                if stage:
                    await asyncio.to_thread(self.store.staging.save_table, self.point, entry)
                yield entry
        if stage:
            staged: dict[str, object] = msgspec.to_builtins(self._context())
            await asyncio.to_thread(self.store.staging.save_run, self.point, staged)

    def _steps(self, reader: ObjectReader, children: ChildReader, wanted: list[str]) -> list[ReadStep]:
        """The reads, those first that may take many pages."""
        entries = sorted((CATALOGUE[name] for name in wanted), key=lambda entry: entry.page_size is None)
        names = asyncio.ensure_future(self._extension_names(entries))

        async def read(entry: ObjectType) -> list[TableOutcome]:
            reader.extensions[entry.name] = await self._selected_by_name(entry, names)
            return await reader.read(entry, full=self.full)

        return [
            *(
                ReadStep((entry.name, *(one.name for one in entry.delta_relations())), partial(read, entry))
                for entry in entries
                if entry.parent is None
            ),
            *(
                ReadStep((one.table,), partial(children.read, one), children.needs(one))
                for entry in entries
                for one in child_collections(entry)
            ),
        ]

    async def _reader(self, requested: Sequence[str]) -> ObjectReader:
        if self.scope.select is not None:
            self.chosen = await self._resolve(self.scope.select.users, self.scope.select.groups)
        return ObjectReader(
            graph=self.graph,
            builder=self.builder,
            folder=self.builder.folder,
            clock=self.clock,
            parent=self.parent,
            granted=self.granted,
            chosen=self.chosen,
            reveal=frozenset({"bitlocker_recovery_keys"} if self.scope.bitlocker_keys else ()),
            progress=self.progress.rows,
            requested=frozenset(requested),
        )

    async def _resolve(self, users: Sequence[str], groups: Sequence[str]) -> ResolvedSelection:
        """Returns who is chosen; those of the parent where Graph does not say it."""
        try:
            return await resolve_selection(self.graph, users, groups, self.stats)
        except GraphError as error:
            if self.parent is None or not self.parent.selection:
                raise
            self.selection_gap = Gap(
                what="chosen objects",
                reason=f"the selection could not be resolved ({error.message}); that of the last point is used",
                remedy=error.remedy or "The next backup resolves them again.",
                since=self.parent.recovery_point,
            )
            return ResolvedSelection({name: frozenset(ids) for name, ids in self.parent.selection.items()})

    async def _extension_names(self, entries: Sequence[ObjectType]) -> dict[str, tuple[str, ...]]:
        """Names of directory extensions by what they target, where any type can have them."""
        if any(entry.extensible for entry in entries):
            try:
                return await extension_names(self.graph, self.stats)
            except GraphError as error:
                self.extension_gap = permission_gap("directory extensions", error, "Directory.Read.All", "")
        return {}

    async def _selected_by_name(
        self, entry: ObjectType, extensions: Awaitable[dict[str, tuple[str, ...]]]
    ) -> tuple[str, ...]:
        """Returns the properties of a type that Graph returns only when they are selected by name."""
        targets = await extensions if entry.extensible else {}
        names = (*targets.get(entry.extensible, ()), *entry.allowed(entry.on_request, self.granted))
        if names and not entry.select:
            try:
                names += await new_properties(self.graph, entry, self.stats)
            except GraphError as error:
                self.unnamed[entry.name] = Gap(
                    what="properties that are newer than this release",
                    reason=f"Graph does not show which there are ({error.message}), and lists them only by name",
                    remedy="The next backup requests them again.",
                )
        return tuple(dict.fromkeys(names))

    def _carry(self, failure: ReadFailure) -> TableEntry:
        """Returns the entry of a table that could not be read: the parent's rows, and what is missing."""
        gap = self._gap(failure.table, failure.error)
        return self.builder.carry(failure.table, failure.stats, iso(self.clock()), gap)

    def _gap(self, table: str, error: GraphError, *, ended_early: bool = False) -> Gap:
        """Returns the gap of a table that could not be read, or not to its end."""
        before = self.builder.states.before(table)
        since = ""
        if before is not None and self.parent is not None:
            since = next((gap.since for gap in before.gaps if gap.since), self.parent.recovery_point)
        entry = CATALOGUE.get(table) or RELATIONS[table][0]
        what = ENDED_EARLY if ended_early else "not read"
        if isinstance(error, GraphPermissionDenied):
            return permission_gap(what, error, entry.permissions[0], since)
        return Gap(what=what, reason=error.message, remedy=error.remedy or READ_ALL_AGAIN, since=since)

    def commit(self) -> Manifest:
        """Writes the manifest, which makes the recovery point exist; raises like `commit_point`."""
        self.progress.phase("committing")
        return commit_point(self.scope, self.store, self.point, self._context(), self.builder.entries, self.clock)

    def _context(self) -> CommitContext:
        return CommitContext(
            started=iso(self.started),
            tenant_id=self.graph.tenant.tenant_id or "",
            parent=self.parent.recovery_point if self.parent else "",
            types=self.types,
            taken_for=self.taken_for,
            disbelieved=self.changed,
            selection={name: sorted(ids) for name, ids in self.chosen.members.items()} if self.chosen else {},
        )


def _proofs(reconciler: Reconciler, wanted: Sequence[str]) -> list[ReadStep]:
    """Comparisons that need nothing but the tables of one type, so that they need not wait for the longest read."""

    async def prove(entry: ObjectType) -> list[TableOutcome]:
        await reconciler.prove_links(entry)
        return []

    return [
        ReadStep((), partial(prove, entry), (entry.name, *(relation.name for relation in entry.delta_relations())))
        for entry in map(CATALOGUE.__getitem__, wanted)
        if entry.delta_relations()
    ]


@asynccontextmanager
async def open_run(
    scope: Scope,
    store: ScopeStore,
    graph: Graph,
    *,
    point: str,
    full: bool,
    started: datetime,
    taken_for: str,
    clock: Clock = system_clock,
    progress: BackupProgress | None = None,
    reconcile_policy: ReconcilePolicy = DEFAULT_POLICY,
) -> AsyncIterator[BackupRun]:
    """A run for a minted point; the caller holds the scope's lock."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="entra-pipeline-")))
        connection = connect(store.files, temp=folder, memory=_MEMORY)
        stack.callback(connection.close)
        parent = await asyncio.to_thread(store.latest)
        keys = await asyncio.to_thread(keys_to_write, scope, store)
        due = full or parent is None or full_is_due(scope, parent, clock())
        types = protected_types(scope)
        # Of this run, whatever the store has seen before.
        intact = IntactParts(store.files)
        changed = await asyncio.to_thread(_changed_tables, intact, parent) if due and parent else []
        if parent and changed:
            believed = {table: entry for table, entry in parent.tables.items() if table not in changed}
            parent = msgspec.structs.replace(parent, tables=believed)
        states = TableStates(store, point, parent, QueryRunner(connection, intact))
        run = BackupRun(
            scope=scope,
            store=store,
            graph=graph,
            point=point,
            full=due,
            clock=clock,
            progress=progress or NullBackupProgress(),
            parent=parent,
            builder=PointBuilder(states, folder, due, scope.max_incrementals, keys),
            reconcile_policy=reconcile_policy,
            started=started,
            types=types,
            taken_for=taken_for,
            changed=changed,
        )
        stack.callback(run.builder.close)
        try:
            yield run
        except (duckdb.Error, OSError) as error:
            if isinstance(error, duckdb.Error) and (failed := storage_error(error)):
                raise failed from error
            if not isinstance(error, duckdb.IOException | duckdb.OutOfMemoryException | OSError):
                raise
            raise StoreError(
                f"files could not be read or written: {str(error).splitlines()[0]}",
                remedy=f"Check the disk space and memory of this machine (working files are in {folder.parent}) and at "
                "the storage; nothing was committed.",
            ) from error


def _changed_tables(intact: IntactParts, parent: Manifest) -> list[str]:
    """The tables of a point whose stored files are not what it says of them: a full backup does without them."""
    found = []
    for table, entry in parent.tables.items():
        try:
            intact.require(entry.parts)
        except IntegrityError:
            found.append(table)
    return found


def protected_types(scope: Scope) -> list[str]:
    """The object types that a scope protects; of chosen users and groups, only what can belong to them."""
    types = scope.types()
    return selectable_types(types) if scope.select is not None and scope.protect == "all" else types


def _reported_by(name: str) -> str:
    """The type whose delta query tells when objects of this type change; empty when none does."""
    parent = CATALOGUE[name].parent
    return parent.type if parent is not None and parent.tracked else ""


def wanted_types(scope: Scope, names: Sequence[str]) -> list[str] | None:
    """The object types that were asked for; None when none were named. Raises UsageError for what is not protected."""
    protected = scope.types()
    for name in names:
        if name in RELATIONS:
            owner = RELATIONS[name][0].name
            raise UsageError(f"{name} is read with its object type", remedy=f"Use --types {owner}")
        if name not in CATALOGUE:
            raise UsageError(
                f"there is no object type {name!r}{did_you_mean(name, CATALOGUE)}",
                remedy="entra-pipeline catalogue lists them.",
            )
        if name not in protected:
            raise UsageError(
                f"scope {scope.name!r} does not protect {name}",
                remedy="Add it to the scope's `protect`, or omit it.",
            )
    return list(names) or None


def full_is_due(scope: Scope, latest: Manifest, now: datetime) -> bool:
    """Whether the scope's full backup frequency has passed since the last full backup."""
    frequency = scope.full_frequency
    if frequency is None:
        return False
    return not latest.last_full or frequency.after(moment_of(latest.last_full)) <= now


async def backup(
    scope: Scope,
    store: ScopeStore,
    graph: Graph,
    *,
    full: bool = False,
    types: Sequence[str] | None = None,
    manual: bool = True,
    taken_for: str = TakenFor.BY_HAND,
    clock: Clock = system_clock,
    progress: BackupProgress | None = None,
    reconcile_policy: ReconcilePolicy = DEFAULT_POLICY,
) -> Manifest:
    """Backs a scope up: one recovery point, from the lock to the manifest.

    Args:
        scope: What to protect.
        store: Where it goes.
        graph: The tenant, open.
        full: Read everything, whatever delta could tell.
        types: Only these object types; the others are carried from the parent.
        manual: Started by a person, not by the schedule.
        taken_for: What the recovery point is taken for.
        clock: The one clock.
        progress: Told what happens.
        reconcile_policy: How much is proven.

    Raises:
        ScopeBusy: Another backup of the scope is running.
        ConfigurationError, GraphError, StoreError: Nothing was committed.
    """
    started = clock()
    with store.lock():
        point = store.new_key(manual=manual)
        try:
            async with open_run(
                scope,
                store,
                graph,
                point=point,
                full=full,
                started=started,
                taken_for=taken_for,
                clock=clock,
                progress=progress,
                reconcile_policy=reconcile_policy,
            ) as run:
                async for _ in run.read(types):
                    pass
                return await to_the_end(asyncio.to_thread(run.commit))
        except BaseException:
            # Nothing was committed; what cannot be cleared away now, the next sweep does.
            with suppress(StoreError):
                store.staging.discard(point)
            raise
