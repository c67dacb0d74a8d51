"""Restoring: plan, apply, verify; and where first passwords go.

A plan is made by `plan_restore` or `plan_undo` and kept in the store. `RestoreRun` carries it out: both parts in one go
for the command, one by one for Dagster's ops, each resumable.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from entra_pipeline.audit import Act, AuditLog
from entra_pipeline.backup.run import BackupProgress
from entra_pipeline.errors import StoreError, UsageError
from entra_pipeline.graph.factory import is_just_in_time, open_owner, open_user_graph
from entra_pipeline.graph.just_in_time import JustInTimeGraph, TemporaryPassword
from entra_pipeline.graph.users import SignInPrompt
from entra_pipeline.operations.environment import Environment, JobOrigin, origin_of
from entra_pipeline.operations.token_journal import journal_of_scope
from entra_pipeline.project import Project, Scope
from entra_pipeline.restore.check.verify import verify
from entra_pipeline.restore.execute.apply import RestoreProgress, RestoreTarget, apply
from entra_pipeline.restore.objects.model import RestoreOptions, RestorePlan, RestoreSelection
from entra_pipeline.restore.plan import service
from entra_pipeline.restore.plan.other_tenant import scope_of
from entra_pipeline.restore.records.jobs import RestoreJob, is_recorded, restore_job
from entra_pipeline.restore.records.passwords import Passwords, key_of, require_private
from entra_pipeline.restore.records.report import RestoreReport, applied, read_report
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.recovery_points import ScopeStore

# What takes tokens, in their records.
_PLAN, _RESTORE = "restore plan", "restore"


async def plan_restore(
    environment: Environment,
    target: Scope,
    source: ScopeStore,
    point: Manifest,
    selection: RestoreSelection,
    options: RestoreOptions,
    *,
    domains: Mapping[str, str] | None = None,
    writing: bool,
    trigger: str,
    progress: BackupProgress | None = None,
) -> RestorePlan:
    """Plans what the tenant of a scope lacks of a recovery point; arguments and errors as for `service.plan_restore`.

    Args:
        environment: Opens the tenant and its store.
        target: The scope that shows the tenant.
        source: The store of the scope whose recovery point is restored.
        point: The recovery point.
        selection: What to restore.
        options: How.
        domains: For another tenant: domain at the recovery point → domain there.
        writing: Whether the plan is to be carried out: then that nobody may write to the tenant is an error before
            anything is read. Otherwise the secret of the app registration that writes is not needed.
        trigger: What started it.
        progress: Receives what happens.
    """

    async def make(tenant: service.PlannedTenant) -> RestorePlan:
        return await service.plan_restore(
            source,
            point,
            tenant,
            selection=selection,
            options=options,
            domains=domains,
            trigger=trigger,
            progress=progress,
        )

    return await _planned(environment, target, make, writing=writing)


async def plan_undo(
    environment: Environment,
    target: Scope,
    source: ScopeStore,
    job: str,
    *,
    enable_policies: bool,
    sign_in: bool = False,
    writing: bool,
    trigger: str,
    progress: BackupProgress | None = None,
) -> RestorePlan:
    """Plans how to take back what the restore `job` of `source` has written; the rest as for `plan_restore`."""

    async def make(tenant: service.PlannedTenant) -> RestorePlan:
        return await service.plan_undo(
            source,
            job,
            tenant,
            enable_policies=enable_policies,
            sign_in=sign_in,
            trigger=trigger,
            progress=progress,
        )

    return await _planned(environment, target, make, writing=writing)


async def _planned(
    environment: Environment,
    target: Scope,
    make: Callable[[service.PlannedTenant], Awaitable[RestorePlan]],
    *,
    writing: bool,
) -> RestorePlan:
    """Makes a plan of the tenant of `target`, opened for it."""
    live = environment.open_store(target)
    async with AsyncExitStack() as stack:
        reader = await stack.enter_async_context(environment.open_tenant(target, job=_PLAN))
        writer = None
        tenant = environment.project.tenants[target.tenant]
        if writing and is_just_in_time(tenant):
            # The app that writes gets its credential when the plan is carried out, and not before it is approved.
            note = journal_of_scope(environment.project, target, _PLAN)
            async with open_owner(tenant, note=note) as passwords:
                await passwords.standing()
        elif writing or tenant.simulator is not None:
            writer = await stack.enter_async_context(environment.open_tenant(target, writing=True, job=_PLAN))
            await writer.sign_in()
        return await make(service.PlannedTenant(scope=target, store=live, reading=reader, writing=writer))


def target_of(project: Project, plan: RestorePlan) -> Scope:
    """Finds the scope that shows the tenant which a plan is for; raises UsageError when there is none any more."""
    return scope_of(project, project.scope(plan.scope), plan.tenant, plan.live_scope)


def creates_users(plan: RestorePlan) -> bool:
    """Returns whether a plan creates users, who get first passwords."""
    return any((step.table, step.action) == ("users", "create") for step in plan.steps)


def passwords_file(project: Project, plan: RestorePlan, name: str = "") -> Path:
    """Returns where the first passwords of a restore go: in the configured folder, else beside the configuration.

    Raises:
        UsageError: The name is none, but a path: it could lead anywhere on this machine.
    """
    require_bare_name(name)
    app = project.tenants[plan.tenant].restore
    folder = app.resolve(app.passwords_folder) if app and app.passwords_folder else project.file.parent
    return (folder / (name or f"restore-{plan.id}-passwords.csv")).absolute()


def require_bare_name(passwords_file: str) -> None:
    """Raises UsageError for a name of the file for first passwords that leads to another folder, or hides the file."""
    if passwords_file != Path(passwords_file).name or passwords_file.startswith("."):
        raise UsageError(
            f"passwords_file {passwords_file!r} must be a file name without a folder",
            remedy="Remove the folder: passwords_folder in [tenants.NAME.restore] says where the file goes.",
        )


def check_passwords_file(file: Path, plan: RestorePlan) -> None:
    """Checks that first passwords can be written, before the first user is created.

    Raises:
        UsageError: The plan creates users, and the file cannot be written, or others could read it.
    """
    if not creates_users(plan):
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"the file for first passwords {file} cannot be made: {error.strerror}",
            remedy="Choose a file in another folder.",
        ) from None
    require_private(file)
    if not os.access(file.parent, os.W_OK):
        raise UsageError(
            f"the file for first passwords {file} cannot be written", remedy="Choose a file in another folder."
        )


@dataclass(frozen=True, kw_only=True)
class RestoreRun:
    """Carries out a plan; each part can be repeated after an interruption and continues where it stopped.

    A plan is carried out once: a part that was done and verified before returns the first report, and is no job of its
    own.

    Attributes:
        environment: Opens the tenant and its store.
        store: The store of the scope whose recovery point is restored.
        plan: The plan.
        passwords_file: Where first passwords go.
        origin: What started it.
        progress: Receives what happens.
        prompt: Asks a person to sign in, when a request takes that; None: nobody is there.
    """

    environment: Environment
    store: ScopeStore
    plan: RestorePlan
    passwords_file: Path
    origin: JobOrigin
    progress: RestoreProgress | None = None
    prompt: SignInPrompt | None = None

    async def apply(self, *, go_on: bool = False) -> RestoreReport:
        """Writes to the tenant, and keeps the record of the job; `go_on` and errors as for `apply.apply`."""
        if (first := await self._first()) is not None:
            return first
        async with self._job() as (job, target):
            job.report = report = await self._apply(target, go_on)
        return report

    async def verify(self, report: RestoreReport) -> RestoreReport:
        """Reads back what was written, and keeps the record of the job; errors as for `check.verify.verify`."""
        if (first := await self._first()) is not None:
            return first
        async with self._job() as (job, target):
            job.report = verified = await self._verify(target, report)
        return verified

    async def apply_and_verify(self, *, go_on: bool = False) -> RestoreReport:
        """Writes and reads back, as one job; what has been done before is not done again."""
        if (first := await self._first()) is not None:
            return first
        async with self._job() as (job, target):
            report = await asyncio.to_thread(read_report, self.store, self.plan.id)
            if report is None:
                report = await self._apply(target, go_on)
            job.report = report
            job.report = report = await self._verify(target, report)
        return report

    async def _first(self) -> RestoreReport | None:
        """Returns the report of the restore that carried the plan out and verified it; None while there is none."""
        report = await asyncio.to_thread(applied, self.store, self.plan.id)
        if report is not None and not await asyncio.to_thread(is_recorded, self.store, report):
            # It was killed between its report and its record.
            with restore_job(self.store, self.plan, trigger=self.origin.trigger, run_id=self.origin.run_id) as job:
                job.report = report
        return report

    async def _apply(self, target: RestoreTarget, go_on: bool) -> RestoreReport:
        return await apply(
            self.plan,
            store=self.store,
            target=target,
            passwords=self._passwords(),
            go_on=go_on,
            progress=self.progress,
        )

    async def _verify(self, target: RestoreTarget, report: RestoreReport) -> RestoreReport:
        return await verify(
            self.plan,
            report,
            store=self.store,
            target=target,
            passwords=self._passwords(),
            passwords_file=self.passwords_file,
            progress=self.progress,
        )

    def _note(self, job: RestoreJob, one: TemporaryPassword) -> None:
        """Records that the app which writes got a credential, or lost it: with the job, and in the audit log."""
        job.credentials[one.key_id] = one
        act = Act(
            action="credential removed" if one.removed else "credential made",
            scope=self.plan.scope,
            subject=self.plan.id,
            result="finished",
            details={"app": one.app_id, "credential": one.key_id, "tenant": self.plan.tenant, "expires": one.expires},
        )
        # The job record tells it, too.
        with suppress(StoreError):
            AuditLog(self.store.files).write(act, origin_of(self.origin))

    def _passwords(self) -> Passwords:
        tenant = self.environment.project.tenants[self.plan.tenant]
        return Passwords(self.store.files, self.plan, lambda: key_of(tenant))

    @asynccontextmanager
    async def _job(self) -> AsyncIterator[tuple[RestoreJob, RestoreTarget]]:
        """Keeps the record of the job while the tenant is open for reading and for writing."""
        with restore_job(self.store, self.plan, trigger=self.origin.trigger, run_id=self.origin.run_id) as job:
            scope = target_of(self.environment.project, self.plan)
            live = self.environment.open_store(scope)
            async with AsyncExitStack() as stack:
                opened = (self.environment.open_tenant(scope, writing=one, job=_RESTORE) for one in (False, True))
                reading, writing = [await stack.enter_async_context(one) for one in opened]
                if isinstance(writing, JustInTimeGraph):
                    writing.passwords.note = partial(self._note, job)
                person = None
                if self.prompt is not None:
                    tenant = self.environment.project.tenants[scope.tenant]
                    person = await stack.enter_async_context(open_user_graph(tenant, self.prompt))
                yield job, RestoreTarget(scope=scope, store=live, reading=reading, writing=writing, person=person)
