"""A run of a scope: one recovery point, from the lock to the manifest.

The command uses `BackupRun` through `backup`. The Dagster assets use it step by step: they read and stage the tables,
then commit.
"""

from __future__ import annotations

import asyncio
import platform
import tempfile
from collections.abc import AsyncIterator, Awaitable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Protocol

import duckdb
import msgspec

import entra_pipeline
from entra_pipeline.backup.point_builder import PointBuilder, carried, is_objects, known
from entra_pipeline.backup.read.children import ChildReader, child_collections
from entra_pipeline.backup.read.extensions import extension_names, new_properties
from entra_pipeline.backup.read.reader import ObjectReader
from entra_pipeline.backup.read.selection import ResolvedSelection, resolve_selection, selectable_types
from entra_pipeline.backup.reconcile.reconciler import Settlement, may_be_end
from entra_pipeline.backup.rows.result import NotOffered, Outcome, ReadFailure, ReadResult
from entra_pipeline.backup.scheduler import ReadStep, carry_out
from entra_pipeline.catalogue import CATALOGUE, RELATIONS, ObjectType, table_names
from entra_pipeline.clock import Clock, iso, parse_iso, system_clock
from entra_pipeline.errors import GraphError, GraphPermissionDenied, NotInStore, StoreError, UsageError
from entra_pipeline.graph import Graph, RequestStats
from entra_pipeline.project import Scope
from entra_pipeline.store.manifest import Gap, Manifest, TableEntry, TakenFor
from entra_pipeline.store.recovery_points import ScopeStore, moment_of
from entra_pipeline.store.state import connect
from entra_pipeline.text import did_you_mean

# A tenant of any size is compared in this much, and on disk beyond.
_MEMORY = "160MB"
_NOT_ASKED = "not asked for in this run"


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
        full: Everything is read and based anew.
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
    tables: PointBuilder
    started: datetime
    types: list[str]
    granted: frozenset[str] = frozenset()
    chosen: ResolvedSelection | None = None
    stats: RequestStats = field(default_factory=RequestStats)
    extension_gap: Gap | None = None
    taken_for: str = ""

    async def read(
        self, types: Sequence[str] | None = None, *, stage: bool = False, again: bool = False
    ) -> AsyncIterator[TableEntry]:
        """Reads object types with their relations, settles them, and yields the entry of each table.

        Args:
            types: Object types to read; all of the scope when None. The others are carried from the parent, unless an
                earlier try of this point has staged them. Types of whose changes only the delta query of another one
                tells are read with that: the next round does not tell of them again.
            stage: Remember the entries in the store, so that another process can go on or commit.
            again: Whether a type that fails may be tried again for this point: then a passing failure is left out
                for the next try instead of becoming a gap.
        """
        wanted = [name for name in self.types if types is None or name in types or _told_by(name) in types]
        if stage:
            self.tables.entries.update(await asyncio.to_thread(self.store.staged, self.point))
        self.granted = await self.graph.sign_in()
        self.progress.phase("reading")
        # All types by name are all types.
        asked = () if types is None or set(self.types) <= set(types) else types
        reader = await self._reader(asked)
        owned = ChildReader(reader, self.tables)
        left: set[str] = set()
        fresh: set[str] = set()
        settlement = Settlement(self.tables, owned, self.stats, fresh)

        async def write(outcome: Outcome) -> None:
            if isinstance(outcome, ReadResult):
                fresh.add(outcome.table)
                gone = None if is_objects(outcome.table) else await settlement.gone()
                self.progress.done(await self.tables.write(outcome, gone))
            elif isinstance(outcome, NotOffered):
                now = iso(self.clock())
                self.progress.done(self.tables.unavailable(outcome.table, outcome.stats, now, outcome.reason))
            elif again and not isinstance(outcome.error, GraphPermissionDenied):
                left.add(outcome.table)
            else:
                self.progress.done(self._gap(outcome))

        # Links that are gone may have gone with an object of the parent; without a parent nothing has.
        ends = [name for name in wanted if may_be_end(CATALOGUE[name])] if self.parent else []
        steps = [*self._steps(reader, owned, wanted), *_proofs(settlement, wanted)]
        await carry_out(steps, write, before_links=ends)
        if self.extension_gap is not None:
            for name in (n for n in wanted if CATALOGUE[n].extensible):
                self.tables.flag(name, gaps=[self.extension_gap])
        self.progress.phase("proving")
        await settlement.settle()
        # Names of extensions, who is chosen, who of them has gone: what serves all is charged to the first type.
        for table in (name for name in wanted[:1] if name in self.tables.entries):
            self.tables.charge(table, self.stats.take())
        for table, entry in self.tables.entries.items():
            if table not in left:
                if stage:
                    await asyncio.to_thread(self.store.stage, self.point, entry)
                yield entry
        if stage:
            context: dict[str, object] = msgspec.to_builtins(self._context())
            await asyncio.to_thread(self.store.stage_run, self.point, context)

    def _steps(self, reader: ObjectReader, owned: ChildReader, wanted: list[str]) -> list[ReadStep]:
        """The reads, those first that may take many pages."""
        entries = sorted((CATALOGUE[name] for name in wanted), key=lambda entry: entry.page_size is None)
        names = asyncio.ensure_future(self._extension_names(entries))

        async def read(entry: ObjectType) -> list[Outcome]:
            reader.extensions[entry.name] = await self._asked_by_name(entry, names)
            return await reader.read(entry, full=self.full)

        return [
            *(
                ReadStep((entry.name, *(one.name for one in entry.delta_relations())), partial(read, entry))
                for entry in entries
                if entry.parent is None
            ),
            *(
                ReadStep((one.table,), partial(owned.read, one), owned.needs(one))
                for entry in entries
                for one in child_collections(entry)
            ),
        ]

    async def _reader(self, asked: Sequence[str]) -> ObjectReader:
        if self.scope.select is not None:
            self.chosen = await resolve_selection(
                self.graph, self.scope.select.users, self.scope.select.groups, self.stats
            )
        return ObjectReader(
            graph=self.graph,
            tables=self.tables,
            folder=self.tables.folder,
            clock=self.clock,
            parent=self.parent,
            granted=self.granted,
            chosen=self.chosen,
            reveal=frozenset({"bitlocker_recovery_keys"} if self.scope.bitlocker_keys else ()),
            progress=self.progress.rows,
            asked=frozenset(asked),
        )

    async def _extension_names(self, entries: Sequence[ObjectType]) -> dict[str, tuple[str, ...]]:
        """Names of directory extensions by what they target, where any type can have them."""
        if any(entry.extensible for entry in entries):
            try:
                return await extension_names(self.graph, self.stats)
            except GraphError as error:
                self.extension_gap = permission_gap("directory extensions", error, "Directory.Read.All", "")
        return {}

    async def _asked_by_name(
        self, entry: ObjectType, extensions: Awaitable[dict[str, tuple[str, ...]]]
    ) -> tuple[str, ...]:
        """Properties of a type that have to be asked for by name."""
        targets = await extensions if entry.extensible else {}
        asked = (*targets.get(entry.extensible, ()), *entry.allowed(entry.on_request, self.granted))
        if asked and not entry.select:
            # What refuses this refuses the read of the type, too, and is told there.
            with suppress(GraphError):
                asked += await new_properties(self.graph, entry, self.stats)
        return tuple(dict.fromkeys(asked))

    def _gap(self, unread: ReadFailure) -> TableEntry:
        """The entry of a table that could not be read: the parent's rows, and what is missing."""
        before = self.tables.before(unread.table)
        since = ""
        if before is not None and self.parent is not None:
            since = next((gap.since for gap in before.gaps if gap.since), self.parent.recovery_point)
        entry = CATALOGUE.get(unread.table) or RELATIONS[unread.table][0]
        gap = Gap(what="not read", reason=unread.error.message, remedy=unread.error.remedy, since=since)
        if isinstance(unread.error, GraphPermissionDenied):
            gap = permission_gap("not read", unread.error, entry.permissions[0], since)
        return self.tables.carry(unread.table, unread.stats, iso(self.clock()), gap)

    def commit(self) -> Manifest:
        """Writes the manifest, which makes the recovery point exist; raises like `commit_point`."""
        self.progress.phase("committing")
        return commit_point(self.scope, self.store, self.point, self._context(), self.tables.entries, self.clock)

    def _context(self) -> CommitContext:
        return CommitContext(
            started=iso(self.started),
            tenant_id=self.graph.tenant.tenant_id or "",
            parent=self.parent.recovery_point if self.parent else "",
            types=self.types,
            taken_for=self.taken_for,
            selection={name: sorted(ids) for name, ids in self.chosen.members.items()} if self.chosen else {},
        )


def _proofs(settlement: Settlement, wanted: Sequence[str]) -> list[ReadStep]:
    """Comparisons that need nothing but the tables of one type, so that they need not wait for the longest read."""

    async def prove(entry: ObjectType) -> list[Outcome]:
        await settlement.prove_links(entry)
        return []

    return [
        ReadStep((), partial(prove, entry), (entry.name, *(relation.name for relation in entry.delta_relations())))
        for entry in map(CATALOGUE.__getitem__, wanted)
        if entry.delta_relations()
    ]


class CommitContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a commit has to know besides the tables; staged with them, so that another process can commit.

    Attributes:
        started: When the run started, RFC 3339.
        tenant_id: Id of the tenant that was read.
        parent: The recovery point that the run builds on; empty for the first.
        types: Object types of the scope.
        selection: Resolved ids of chosen users and groups.
        taken_for: What the recovery point is taken for.
    """

    started: str
    tenant_id: str
    parent: str
    types: list[str]
    selection: dict[str, list[str]]
    taken_for: str = ""


# What readies the type for `msgspec.convert`, too: see CONTRIBUTING.md.
_CONTEXT_DECODER = msgspec.json.Decoder(CommitContext)


def commit_point(
    scope: Scope, store: ScopeStore, point: str, context: CommitContext, entries: Mapping[str, TableEntry], clock: Clock
) -> Manifest:
    """Writes the manifest of a point whose tables are written; tables that nobody asked for are carried.

    What the parent lacks of a table that is carried is still lacking.

    Raises:
        RecoveryPointRefused: The point exists, or its parent is no longer the latest.
        IntegrityError: A file is absent or differs.
        ScopeBusy: The lock was lost to another backup.
    """
    parent = store.manifest(context.parent) if context.parent else None
    now = iso(clock())
    tables = {
        table: entries.get(table)
        or carried(known(parent, table), table, RequestStats(), now, gaps=_gaps(parent, table), notes=(_NOT_ASKED,))
        for table in table_names(context.types)
    }
    full = parent is None or _is_full(tables.values())
    good = not any(entry.gaps for entry in tables.values())
    manifest = Manifest(
        tool=tool(),
        scope=scope.name,
        tenant_id=context.tenant_id,
        recovery_point=point,
        kind="full" if full else "incremental",
        taken_for=str(context.taken_for),
        status="finished" if good else "finished with exception",
        started=context.started,
        finished=now,
        parent=context.parent,
        last_full=point if full else parent.last_full if parent else "",
        last_good=point if good else parent.last_good if parent else "",
        tables=tables,
        selection=context.selection,
    )
    return store.commit(manifest)


def _gaps(manifest: Manifest | None, table: str) -> tuple[Gap, ...]:
    entry = manifest.tables.get(table) if manifest else None
    return entry.gaps if entry else ()


def _is_full(entries: Collection[TableEntry]) -> bool:
    """Whether everything was read in full, but for what Graph refused or does not offer."""
    refused = {"carried", "never"}
    return any(entry.read == "full" for entry in entries) and all(
        entry.read == "full" or (entry.read in refused and entry.notes != (_NOT_ASKED,)) for entry in entries
    )


def commit_staged(scope: Scope, store: ScopeStore, point: str, clock: Clock = system_clock) -> Manifest:
    """Commits what earlier steps staged for a point.

    Raises:
        NotInStore: Nothing is staged.
        And what `commit_point` raises.
    """
    staged = store.staged_run(point)
    if staged is None:
        raise NotInStore(
            f"nothing has been read for recovery point {point} of scope {scope.name!r}",
            remedy="Materialise the snapshots of the same partition first.",
        )
    return commit_point(scope, store, point, msgspec.convert(staged, CommitContext), store.staged(point), clock)


def staged_since(store: ScopeStore, point: str) -> datetime | None:
    """Returns when the first read began of what is staged for a point, by whichever try; None without any."""
    run = store.staged_run(point)
    if run is None:
        return None
    entries = store.staged(point).values()
    return min(map(parse_iso, [msgspec.convert(run, CommitContext).started, *(entry.started for entry in entries)]))


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
) -> AsyncIterator[BackupRun]:
    """A run for a minted point; the caller holds the scope's lock."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="entra-pipeline-")))
        connection = connect(store.files, temp=folder, memory=_MEMORY)
        stack.callback(connection.close)
        parent = await asyncio.to_thread(store.latest)
        due = full or parent is None or full_is_due(scope, parent, clock())
        types = protected_types(scope)
        run = BackupRun(
            scope=scope,
            store=store,
            graph=graph,
            point=point,
            full=due,
            clock=clock,
            progress=progress or NullBackupProgress(),
            parent=parent,
            tables=PointBuilder(store, point, parent, connection, folder, due, scope.max_incrementals),
            started=started,
            types=types,
            taken_for=taken_for,
        )
        stack.callback(run.tables.close)
        try:
            yield run
        except (duckdb.IOException, duckdb.OutOfMemoryException, OSError) as error:
            raise StoreError(
                f"files could not be read or written: {str(error).splitlines()[0]}",
                remedy=f"Look at the space and memory of this machine (working files are in {folder.parent}) and at "
                "the storage; nothing was committed.",
            ) from error


def protected_types(scope: Scope) -> list[str]:
    """The object types that a scope protects; of chosen users and groups, only what can belong to them."""
    types = scope.types()
    return selectable_types(types) if scope.select is not None and scope.protect == "all" else types


def _told_by(name: str) -> str:
    """The type whose delta query tells when objects of this type change; empty when none does."""
    parent = CATALOGUE[name].parent
    return parent.type if parent is not None and parent.tracked else ""


def wanted_types(scope: Scope, names: Sequence[str]) -> list[str] | None:
    """The object types that were asked for; None when none were named. Raises UsageError for what is not protected."""
    protected = scope.types()
    for name in names:
        if name in RELATIONS:
            owner = RELATIONS[name][0].name
            raise UsageError(f"{name} is read with its object type", remedy=f"Ask for {owner}: --types {owner}")
        if name not in CATALOGUE:
            raise UsageError(
                f"there is no object type {name!r}{did_you_mean(name, CATALOGUE)}",
                remedy="entra-pipeline catalogue lists them.",
            )
        if name not in protected:
            raise UsageError(
                f"scope {scope.name!r} does not protect {name}",
                remedy="Add it to the scope's `protect`, or leave it out.",
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

    Raises:
        ScopeBusy: Another backup of the scope is running.
        ConfigurationError, GraphError, StoreError: Nothing was committed.
    """
    started = clock()
    with store.lock():
        point = store.mint(manual=manual)
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
            ) as run:
                async for _ in run.read(types):
                    pass
                return await asyncio.to_thread(run.commit)
        except BaseException:
            # Nothing was committed; what cannot be cleared away now, the next sweep does.
            with suppress(StoreError):
                store.discard(point)
            raise


def tool() -> str:
    """What writes manifests, with its version."""
    return f"entra-pipeline {entra_pipeline.__version__} (Python {platform.python_version()})"


def permission_gap(what: str, error: GraphError, permission: str, since: str = "") -> Gap:
    """The gap that a refusal leaves: what is missing, Graph's words, the permission to grant, and what stands in."""
    return Gap(
        what=what,
        reason=error.message,
        remedy=f"Grant the application permission {permission} to the app registration and consent to it as an "
        "administrator; if it is granted, the tenant may lack the licence.",
        since=since,
        permission=permission if isinstance(error, GraphPermissionDenied) else "",
    )
