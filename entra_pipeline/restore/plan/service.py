"""Planning from end to end: read the tenant as it is, compare, and keep the plan in the store.

What belongs here: what the command, the Dagster job and the console have in common before a plan is looked at. What
does not: the comparison and the steps (`planner`), carrying them out (`apply`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from entra_pipeline.analysis.changes import reading as opened
from entra_pipeline.backup.jobs import backup_job
from entra_pipeline.backup.run import BackupProgress
from entra_pipeline.backup.run import backup as take_backup
from entra_pipeline.clock import Clock, iso, system_clock
from entra_pipeline.errors import UsageError
from entra_pipeline.graph import Graph
from entra_pipeline.project import Scope
from entra_pipeline.restore.objects.model import RestoreOptions, RestorePlan, RestoreSelection
from entra_pipeline.restore.objects.selection import choose, types_to_read, with_bins
from entra_pipeline.restore.plan.diff import Side
from entra_pipeline.restore.plan.other_tenant import plan_across
from entra_pipeline.restore.plan.planner import LiveTenant, check_cross_tenant, make_plan
from entra_pipeline.restore.plan.protected_actions import read_protected_actions
from entra_pipeline.restore.plan.rules.expired import check_ended_until
from entra_pipeline.restore.plan.rules.extensions import taken_extensions
from entra_pipeline.restore.plan.undo import read_writes
from entra_pipeline.restore.records.id_map import lineage
from entra_pipeline.restore.records.journal import require_finished
from entra_pipeline.restore.records.not_taken import not_taken
from entra_pipeline.restore.records.plans import write_plan
from entra_pipeline.store.manifest import Manifest, TakenFor
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.running_jobs import new_job_id


@dataclass(frozen=True, kw_only=True)
class PlannedTenant:
    """The tenant that is planned for.

    Attributes:
        scope: The scope that shows it (`other_tenant.scope_of`).
        store: Its store.
        reading: The tenant, as the app registration that reads.
        writing: The tenant, as the app registration that may write; None when there is none yet, or when only a plan is
            wanted. A plan leaves both registrations alone.
    """

    scope: Scope
    store: ScopeStore
    reading: Graph
    writing: Graph | None = None

    @property
    def tenant_id(self) -> str:
        """Its id."""
        return str(self.reading.tenant.tenant_id)

    def types_to_read(self, selection: RestoreSelection) -> list[str] | None:
        """Lists the object types that a plan for a selection reads; None for all that the scope protects.

        Raises:
            UsageError: The scope does not protect a type of the selection.
        """
        wanted = types_to_read(selection)
        if wanted is None:
            return None
        protected = self.scope.types()
        unprotected = [name for name in selection.types if name not in protected]
        if unprotected:
            raise UsageError(
                f"scope {self.scope.name!r} does not protect {', '.join(unprotected)}",
                remedy="Add it to the scope's `protect`: without it, an undo is not possible.",
            )
        return [name for name in with_bins(self.scope).types() if name in wanted]

    async def look(
        self, types: list[str] | None, *, trigger: str, clock: Clock, progress: BackupProgress | None
    ) -> Callable[[], LiveTenant]:
        """Takes a recovery point of the tenant.

        Args:
            types: The object types to read; None for all that the scope protects.
            trigger: What started it, for the job record.
            clock: The one clock.
            progress: Told what happens.

        Returns:
            What a plan sees of the tenant by that recovery point; the call reads the store, in a thread of its own.

        Raises:
            What `backup` raises.
        """
        with backup_job(self.store, trigger=trigger, clock=clock) as job:
            live = job.manifest = await take_backup(
                with_bins(self.scope),
                self.store,
                self.reading,
                types=types,
                taken_for=TakenFor.PLAN,
                clock=clock,
                progress=progress,
            )
        if progress is not None:
            progress.phase("comparing")
        working = set(await self.reading.registration())
        if self.writing is not None:
            working |= await self.writing.registration()
        if (app := self.reading.tenant.restore) is not None:
            # Also when nobody signs in as it, because only a plan is wanted.
            working.add(app.client_id)
            if app.owner is not None and app.owner.client_id is not None:
                working.add(app.owner.client_id)
        extensions = await taken_extensions(self.reading)
        protected = await read_protected_actions(self.reading, types)
        side = Side(self.store, live)
        return lambda: LiveTenant(side, self.scope.tenant, _own(side, working), extensions, protected=protected)


async def plan_restore(
    source: ScopeStore,
    point: Manifest,
    subject: PlannedTenant,
    *,
    selection: RestoreSelection | None = None,
    options: RestoreOptions | None = None,
    domains: Mapping[str, str] | None = None,
    trigger: str,
    clock: Clock = system_clock,
    progress: BackupProgress | None = None,
) -> RestorePlan:
    """Makes the plan of a restore and stores it; `plans.read_plan(source, plan.id)` reads it again.

    Takes a recovery point of the tenant first, of the types that the plan rests on: it shows the tenant as the plan
    sees it, and its key is `RestorePlan.live_point`. Nothing is written to the tenant. A plan without steps means that
    nothing has to be written; its refusals say what is not as it was nevertheless.

    Args:
        source: The store of the scope whose recovery point is restored; the plan goes there.
        point: The recovery point.
        subject: The tenant to write to.
        selection: What to restore.
        options: How.
        domains: For another tenant: domain at the recovery point → domain there, where `map_to_tenant` would find
            another one, or none.
        trigger: What started it, for the job record of the recovery point: `command`, `dagster: restore` …
        clock: The one clock.
        progress: Told what happens.

    Raises:
        UsageError: The selection or a domain cannot be understood; what is selected is not among what the scope
            protects.
        NotInStore: The recovery point has nothing of what is selected.
        ConfigurationError: Entra refuses the credential, or cannot be reached.
        RestoreUnfinished: A restore to the tenant has not come to its end.
        ScopeBusy: A backup of the scope is running.
        GraphError, StoreError: The tenant or the store cannot be read.
    """
    selection = selection or RestoreSelection()
    # What cannot be understood is told before the tenant is read; only that shows what was added since.
    check_ended_until(options or RestoreOptions(), clock())
    known = msgspec.structs.replace(selection, ids=()) if options and options.delete_added else selection
    await asyncio.to_thread(choose, source, point, known)
    await asyncio.to_thread(require_finished, source, subject.tenant_id)
    cross_tenant = subject.tenant_id != point.tenant_id
    if cross_tenant:
        check_cross_tenant(options or RestoreOptions())
    elif domains:
        raise UsageError("--domain applies to another tenant only", remedy="Omit --domain, or add --to TENANT.")
    types = None if cross_tenant else subject.types_to_read(selection)
    seen = await subject.look(types, trigger=trigger, clock=clock, progress=progress)

    def compare() -> RestorePlan:
        job, created, side = new_job_id(clock), iso(clock()), Side(source, point)
        target = seen()._replace(untaken=not_taken(source, subject.tenant_id))
        if cross_tenant:
            with TemporaryDirectory(prefix="entra-restore-") as folder:
                plan = plan_across(
                    job,
                    created,
                    side,
                    target,
                    Path(folder),
                    domains=domains,
                    selection=selection,
                    options=options,
                )
        else:
            before = lineage(source, point.tenant_id)
            plan = make_plan(job, created, side, target, selection=selection, options=options, identity=before)
        write_plan(source, plan)
        return plan

    return await asyncio.to_thread(compare)


async def plan_undo(
    source: ScopeStore,
    job: str,
    subject: PlannedTenant,
    *,
    enable_policies: bool = False,
    sign_in: bool = False,
    trigger: str,
    clock: Clock = system_clock,
    progress: BackupProgress | None = None,
) -> RestorePlan:
    """Makes the plan that takes back what a restore has written, and stores it in the store of the subject.

    It restores of the restore's undo point the objects, properties and links that the restore has written, and no
    others: what it made is deleted, what it deleted comes back, what it set is set back. What others have changed of
    that since is refused. It is looked at, applied, verified and undone like any plan.

    Args:
        source: The store of the scope whose recovery point was restored.
        job: Id of the restore.
        subject: The tenant that it wrote to (`other_tenant.scope_of` with its plan); its store has the undo point.
        sign_in: A person signs in when it is applied.
        enable_policies: Conditional access policies get back the state that they had, not report-only.
        trigger: What started it.
        clock: The one clock.
        progress: Told what happens.

    Raises:
        UsageError: There is nothing to undo: the restore has not come to its end, or wrote nothing.
        NotInStore: Its undo point is not there any more.
        And what `plan_restore` raises.
    """
    store = subject.store
    undoing = await asyncio.to_thread(read_writes, source, job, store)
    point = await asyncio.to_thread(store.manifest, undoing.point)
    await asyncio.to_thread(require_finished, store, subject.tenant_id)
    selection = RestoreSelection(types=undoing.types)
    options = RestoreOptions(delete_added=True, enable_policies=enable_policies, sign_in=sign_in)
    types = subject.types_to_read(selection)
    seen = await subject.look(types, trigger=trigger, clock=clock, progress=progress)

    def compare() -> RestorePlan:
        plan = make_plan(
            new_job_id(clock),
            iso(clock()),
            Side(store, point),
            seen(),
            selection=selection,
            options=options,
            identity=lineage(store, point.tenant_id),
            undoing=undoing,
        )
        write_plan(store, plan)
        return plan

    return await asyncio.to_thread(compare)


def _own(live: Side, working: Collection[str]) -> frozenset[str]:
    """Adds the object ids of app registrations and service principals to the appIds of their tokens."""
    found = set(working)
    with opened(live.store) as connection:
        for table in ("applications", "service_principals"):
            if live.has(table):
                state = live.state(table, "id, _raw->>'$.appId' AS app")
                query = f"SELECT id FROM ({state}) SEMI JOIN (SELECT unnest(?::VARCHAR[]) AS app) USING (app)"
                found |= {str(row[0]) for row in connection.execute(query, [sorted(working)]).fetchall()}
    return frozenset(found)
