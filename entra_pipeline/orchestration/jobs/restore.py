"""The job `restore`: plan, apply, verify, report, for any scope.

What belongs here: what a person fills in, and the order of the ops. What does not: how any of it is done
(`entra_pipeline.restore`), and how it looks in Dagster (`orchestration.metadata.restores`).

Ops hand nothing to each other but their order: the plan, the journal and the report are in the store, and the run's tag
`entra/plan` names the plan. So a run that failed goes on from there on any machine.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from entra_pipeline.errors import NotInStore, UsageError
from entra_pipeline.operations.environment import JobOrigin
from entra_pipeline.operations.restore import (
    RestoreRun,
    check_passwords_file,
    creates_users,
    passwords_file,
    plan_undo,
    require_bare_name,
    target_of,
)
from entra_pipeline.operations.restore import plan_restore as make_plan
from entra_pipeline.orchestration.jobs.executor import EXECUTOR
from entra_pipeline.orchestration.keys import (
    DRY_RUN_TAG,
    OPERATOR_IDENTITY_TAG,
    OPERATOR_TAG,
    PLAN_TAG,
    SOMEBODY,
    shown_at,
)
from entra_pipeline.orchestration.metadata.restores import (
    approval,
    plan_observation,
    plan_text,
    report_observation,
    report_text,
    undo_config,
)
from entra_pipeline.orchestration.op_retries import retried
from entra_pipeline.orchestration.progress import RunProgress, RunRestoreProgress
from entra_pipeline.orchestration.sync import report_new_points
from entra_pipeline.project import Project, Scope, load_project
from entra_pipeline.project.secrets import Needs, needs_of_restore, needs_of_scope, withheld
from entra_pipeline.restore.objects.model import RestoreOptions, RestorePlan, RestoreSelection
from entra_pipeline.restore.plan.other_tenant import scope_of
from entra_pipeline.restore.records.approval import approval_scopes, require_approval, sign_plan
from entra_pipeline.restore.records.journal import has_begun
from entra_pipeline.restore.records.passwords import KEY_FILE
from entra_pipeline.restore.records.plans import read_plan
from entra_pipeline.restore.records.report import RestoreReport, applied, read_report
from entra_pipeline.run_queue import TENANT_TAG
from entra_pipeline.runtime import run_async
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.text import pluralize
from resources import ResourceEnvironment, StorageResource, TenantResource

TRIGGER = "dagster: restore"
OPS = ("plan_restore", "apply_restore", "verify_restore", "report_restore")


class ConflictMode(StrEnum):
    """What becomes of objects that are there and differ. Dagster takes the names, which are the values."""

    overwrite = "overwrite"
    merge = "merge"
    skip = "skip"


class TakenMode(StrEnum):
    """What becomes of users whose UPN is in use. Dagster takes the names, which are the values."""

    skip = "skip"
    rename = "rename"
    match = "match"


class RestoreConfig(dg.Config):
    """What to restore, and how. Nothing is written as long as `dry_run` is true."""

    scope: str = Field(description="Scope whose recovery point is restored.")
    point: str = Field(
        default="",
        description="The recovery point, such as 2026-11-23T05-00-00Z; a time with its zone for the newest before it; "
        "or latest, the newest that was not taken by a comparison or restore.",
    )
    to: str = Field(
        default="", description="Another tenant of the configuration to restore to. Empty: the scope's own tenant."
    )
    domains: dict[str, str] = Field(
        default={},
        description="With to: maps domains of the recovery point to domains of the target tenant, such as "
        "{contoso.com: fabrikam.com}. Initial and default domains are mapped automatically.",
    )
    types: list[str] = Field(
        default=[],
        description="Object types, such as [users, groups]; their relations and child types are included. Empty: all "
        "that the scope protects.",
    )
    ids: list[str] = Field(default=[], description="Ids of objects at the recovery point. Empty: all of the types.")
    where: str = Field(
        default="",
        description="SQL condition over the columns of the one type in types, such as department = 'Sales'.",
    )
    search: str = Field(default="", description="Only objects that contain this text.")
    conflict: ConflictMode = Field(
        default=ConflictMode.overwrite,
        description="Objects that exist and differ: overwrite them (links and assignments that the recovery point "
        "does not have are removed), merge (fill what is missing, add links, remove nothing), or skip them.",
    )
    delete_added: bool = Field(
        default=False, description="Also delete objects that are not in the recovery point. They are kept otherwise."
    )
    enable_policies: bool = Field(
        default=False,
        description="Restore Conditional Access policies in their original state instead of report-only.",
    )
    taken: TakenMode = Field(
        default=TakenMode.skip,
        description="Deleted users whose UPN is already in use: skip leaves them out, rename restores them under a new "
        "UPN, match overwrites the user who has it, as the same person.",
    )
    ended_until: str = Field(
        default="",
        description="Reinstate expired assignments until this time (2027-01-31, 2027-01-31T17:00:00Z). Empty: they "
        "stay expired.",
    )
    sign_in: bool = Field(
        default=False,
        description="Also plan what only a signed-in user can restore, such as the PIM rules of roles. Such a plan is "
        "applied on the command line: entra-pipeline restore SCOPE --apply PLAN --sign-in.",
    )
    undo: str = Field(
        default="",
        description="Instead of a point: the id of a restore to undo. Its changes are reverted; later changes by "
        "others are kept. The scope is that of the tenant it wrote to.",
    )
    dry_run: bool = Field(
        default=True, description="Only create and show the plan. Nothing is written to the tenant while this is true."
    )
    plan_id: str = Field(
        default="",
        description="An existing plan, to show again or, with dry_run false, to apply. It replaces the fields above. "
        "Objects changed in the tenant since the plan are not overwritten.",
    )
    go_on: bool = Field(
        default=False,
        description="Skip objects changed since the plan was made. Otherwise any change stops the restore before it "
        "writes.",
    )
    passwords_file: str = Field(
        default="",
        description="Name of the file for the first passwords of re-created users, on the machine of the run; only the "
        "run's user can read it. It goes beside dagster_project.toml, or where passwords_folder of the tenant says. By "
        "default restore-<plan>-passwords.csv.",
    )

    def selection(self) -> RestoreSelection:
        """What to restore."""
        return RestoreSelection(types=tuple(self.types), ids=tuple(self.ids), where=self.where, search=self.search)

    def options(self) -> RestoreOptions:
        """How to restore."""
        asked = {"conflict", "delete_added", "enable_policies", "taken", "ended_until", "sign_in"}
        return RestoreOptions(**self.model_dump(include=asked, mode="json"))

    def check(self) -> None:
        """Raises UsageError for what contradicts itself, or leaves open what to restore."""
        require_bare_name(self.passwords_file)
        asked = self.point or self.to or self.domains or self.selection() != RestoreSelection()
        if self.undo and (asked or self.options() not in _OF_AN_UNDO or self.plan_id):
            raise UsageError(
                "undo and a selection exclude each other: an undo covers all that the restore wrote",
                remedy="Keep scope, undo, enable_policies and dry_run, and remove the rest; or remove undo.",
            )
        if self.plan_id and (asked or self.options() != RestoreOptions()):
            raise UsageError(
                "plan_id and a selection exclude each other: the plan defines what is restored, and how",
                remedy="Keep scope, plan_id and dry_run, and remove the rest; or remove plan_id to plan again.",
            )
        if not (self.plan_id or self.point or self.undo):
            raise UsageError(
                "the recovery point to restore is missing",
                remedy="Set point to a recovery point of the scope; its partitions are the recovery points.",
            )


_OF_AN_UNDO = (RestoreOptions(), RestoreOptions(enable_policies=True))


@dg.config_mapping
def to_all_ops(config: RestoreConfig) -> dict[str, Any]:
    """One form for the whole job: every op sees all of it."""
    values = config.model_dump(mode="json")
    return {"ops": {name: {"config": values} for name in OPS}}


@dg.op(
    out={"planned": dg.Out(dg.Nothing, is_required=False)},
    description="Compares the recovery point with the tenant, stores the plan and shows it. A dry run ends here.",
)
def plan_restore(
    context: dg.OpExecutionContext, config: RestoreConfig, tenants: TenantResource, storage: StorageResource
) -> Iterator[dg.AssetObservation | dg.Output[None]]:
    """Makes the plan, or finds the one to carry out; with `dry_run`, or nothing to write, all else is skipped."""
    with _checked(context, config, storage):
        environment = ResourceEnvironment(tenants, storage)
        scope = environment.project.scope(config.scope)
        store = storage.open(config.scope)
        plan = _known_plan(context, store, scope, config)
        if plan is None:
            target = scope_of(environment.project, scope, config.to or scope.tenant)
            with _points_reported(environment, storage.open(target), context.instance):
                plan = run_async(_make_plan(context, config, target, environment, store))
            tags = context.run.tags
            sign_plan(store, plan, tags.get(OPERATOR_TAG, SOMEBODY), tags.get(OPERATOR_IDENTITY_TAG, ""))
        live = storage.open(target_of(environment.project, plan))
        first = None if config.dry_run else applied(store, plan.id)
        if not config.dry_run and first is None:
            check_passwords_file(_passwords_file(tenants, config, plan), plan)
            _tell_key(context, tenants, plan)
    told = {PLAN_TAG: plan.id, TENANT_TAG: plan.tenant, DRY_RUN_TAG: "true" if config.dry_run else "false"}
    context.instance.add_run_tags(context.run_id, told)
    if first is not None:
        # It is applied once: a second time shows the first.
        yield report_observation(shown_at(environment.project, plan.scope, plan.point), plan, first)
        context.log.info(f"Plan {plan.id} was applied already, at {first.finished}. {report_text(first)}")
        context.log.info("This run wrote nothing. To restore what still differs, plan again.")
        return
    shown = shown_at(environment.project, plan.scope, plan.point)
    yield plan_observation(shown, store, plan, live, dry_run=config.dry_run)
    context.log.info(f"{plan_text(plan, dry_run=config.dry_run)} Steps and what is not restored: in the event above.")
    if config.dry_run:
        if plan.steps:
            if approval_scopes(tenants.project(), plan):
                context.log.info("A second administrator has to approve the plan in the console, under Restores.")
            context.log.info(f"To apply it, launch the job again with:\n{approval(plan)}")
    elif plan.steps:
        with retried(context, storage.project_file, _needs(config, storage)):
            require_approval(tenants.project(), store, plan)
        yield dg.Output(None, "planned")
    elif any(refusal.kind == "unresolved" for refusal in plan.refusals):
        raise dg.Failure(
            f"Plan {plan.id} has no changes to apply, but some objects still differ: see what is not restored in the "
            "plan's observation above."
        )


@dg.op(
    ins={"planned": dg.In(dg.Nothing)},
    out={"applied": dg.Out(dg.Nothing)},
    description="Takes a recovery point to undo the restore, then applies the plan, stage by stage.",
)
def apply_restore(
    context: dg.OpExecutionContext, config: RestoreConfig, tenants: TenantResource, storage: StorageResource
) -> None:
    """Carries the plan out. An op for all stages, which are told in its log.

    They share one lock, one journal, one undo point and one pace towards Graph; and which there are, the plan says,
    when Dagster has long drawn its ops. When it is tried again it goes on with the journal.
    """
    with _checked(context, config, storage):
        if config.dry_run:
            # A launch can name the ops that it runs, and begin with this one.
            raise UsageError(
                "dry_run is true, and nothing is written while it is",
                remedy="Review the plan, then launch the job with dry_run false and with all of its ops.",
            )
        store = storage.open(config.scope)
        plan = _plan_of_run(context, store, config)
        require_approval(tenants.project(), store, plan)
        with _restore_run(context, config, ResourceEnvironment(tenants, storage), store, plan) as run:
            run_async(run.apply(go_on=config.go_on))
    context.log.info(f"To undo this, launch the job again with:\n{undo_config(plan)}")


@dg.op(
    ins={"applied": dg.In(dg.Nothing)},
    out={"verified": dg.Out(dg.Nothing)},
    description="Verifies what was written against the tenant, and allows for replication delay.",
)
def verify_restore(
    context: dg.OpExecutionContext, config: RestoreConfig, tenants: TenantResource, storage: StorageResource
) -> None:
    """Reads back what was written."""
    with _checked(context, config, storage):
        store = storage.open(config.scope)
        plan = _plan_of_run(context, store, config)
        applied = _report_of(store, plan)
        with _restore_run(context, config, ResourceEnvironment(tenants, storage), store, plan) as run:
            report = run_async(run.verify(applied))
    if report.passwords_at:
        context.log.info(f"First passwords of {pluralize(report.passwords, 'user')}: {report.passwords_to}")


@dg.op(
    ins={"verified": dg.In(dg.Nothing)},
    out={"reported": dg.Out(dg.Nothing)},
    description="Shows the outcome of every step. Fails when not everything was restored, so that it is noticed.",
)
def report_restore(
    context: dg.OpExecutionContext, config: RestoreConfig, storage: StorageResource
) -> Iterator[dg.AssetObservation | dg.Output[None]]:
    """Shows the report; the run fails when not everything is restored."""
    with _checked(context, config, storage):
        store = storage.open(config.scope)
        plan = _plan_of_run(context, store, config)
        report = _report_of(store, plan)
        shown = shown_at(load_project(storage.project_file), plan.scope, plan.point)
        yield report_observation(shown, plan, report)
        context.log.info(report_text(report))
        if report.status != "finished":
            raise dg.Failure(
                report_text(report),
                metadata={
                    "remedy": "The report above names every exception with its reason and what to do about it. After "
                    "that, launch the job again for the same recovery point: its plan has only what still differs."
                },
            )
    yield dg.Output(None, "reported")


@dg.job(
    name="restore",
    config=to_all_ops,
    executor_def=EXECUTOR,
    description="Restores objects of a recovery point. By default a dry run that shows the plan; launch it again with "
    "the plan's id and dry_run false to apply the plan.",
)
def restore() -> None:
    """Plan, apply, verify, report."""
    report_restore(verify_restore(apply_restore(plan_restore())))


@contextmanager
def _checked(context: dg.OpExecutionContext, config: RestoreConfig, storage: StorageResource) -> Iterator[None]:
    """As `retried`, with the configuration checked by every op: a launch may run any of them without those before."""
    with retried(context, storage.project_file, _needs(config, storage)):
        config.check()
        yield


def _needs(config: RestoreConfig, storage: StorageResource) -> Callable[[Project], Needs]:
    """What a restore signs in to: of a plan that was made before, the plan says which tenant it is for."""

    def found(project: Project) -> Needs:
        tenant = config.to
        if config.plan_id:
            own = needs_of_scope(project, config.scope, tenant=False)
            # Whether there is such a plan is said by the op, after all that it checks before.
            with withheld(project, own), suppress(NotInStore, UsageError):
                tenant = _plan_by_id(storage.open(config.scope), config).tenant
        return needs_of_restore(project, config.scope, tenant)

    return found


@contextmanager
def _restore_run(
    context: dg.OpExecutionContext,
    config: RestoreConfig,
    environment: ResourceEnvironment,
    store: ScopeStore,
    plan: RestorePlan,
) -> Iterator[RestoreRun]:
    """Prepares carrying out a plan; recovery points that it takes are reported to Dagster when the block ends."""
    live = environment.open_store(target_of(environment.project, plan))
    with _points_reported(environment, live, context.instance):
        yield RestoreRun(
            environment=environment,
            store=store,
            plan=plan,
            passwords_file=_passwords_file(environment.tenants, config, plan),
            origin=JobOrigin(TRIGGER, context.run_id),
            progress=RunRestoreProgress(context, plan),
        )


@contextmanager
def _points_reported(
    environment: ResourceEnvironment, store: ScopeStore, instance: dg.DagsterInstance
) -> Iterator[None]:
    """As `report_new_points`; Dagster knows nothing of a scope that was made for another tenant."""
    if store.scope not in environment.project.scopes:
        yield
        return
    with report_new_points(environment.project, store, instance):
        yield


async def _make_plan(
    context: dg.OpExecutionContext,
    config: RestoreConfig,
    target: Scope,
    environment: ResourceEnvironment,
    store: ScopeStore,
) -> RestorePlan:
    # A run that is going to write finds out first whether it may; a dry run needs no secret for that.
    writing, progress = not config.dry_run, RunProgress(context)
    if config.undo:
        return await plan_undo(
            environment,
            target,
            store,
            config.undo,
            enable_policies=config.enable_policies,
            writing=writing,
            trigger=TRIGGER,
            progress=progress,
        )
    point = await asyncio.to_thread(_point, store, config.point)
    return await make_plan(
        environment,
        target,
        store,
        point,
        config.selection(),
        config.options(),
        domains=config.domains,
        writing=writing,
        trigger=TRIGGER,
        progress=progress,
    )


def _point(store: ScopeStore, moment: str) -> Manifest:
    """The recovery point that was asked for; `latest` is the newest that was not taken in passing."""
    newest = store.newest() if moment == "latest" else None
    return newest or store.at(moment)


def _known_plan(
    context: dg.OpExecutionContext, store: ScopeStore, scope: Scope, config: RestoreConfig
) -> RestorePlan | None:
    """The plan that was made before, when there is one to carry out (or to show again).

    That is the one that `plan_id` names, or the one that a run before this began to carry out: made anew, a plan would
    know nothing of what is on its way, and could make it twice.

    Raises:
        NotInStore: There is no plan of that id.
        UsageError: It is another scope's.
    """
    if config.plan_id:
        return _plan_by_id(store, config)
    before = _tagged(context.instance, context.run.parent_run_id)
    if not before or config.dry_run:
        return None
    plan = read_plan(store, before)
    wanted = (config.to or scope.tenant, config.selection(), config.options())
    same = (plan.tenant, plan.selection, plan.options) == wanted if not plan.undoes else plan.undoes == config.undo
    if not has_begun(store.files, plan.id) or not same or applied(store, plan.id):
        return None
    context.log.info(f"Plan {plan.id} was interrupted: this run resumes it.")
    return plan


def _plan_by_id(store: ScopeStore, config: RestoreConfig) -> RestorePlan:
    try:
        plan = read_plan(store, config.plan_id)
    except NotInStore:
        raise NotInStore(
            f"scope {config.scope!r} has no plan {config.plan_id!r}",
            remedy="Copy the id from the run that created the plan; it is also its tag entra/plan.",
        ) from None
    if plan.scope != config.scope:
        raise UsageError(f"plan {plan.id} restores scope {plan.scope!r}", remedy="Correct scope or plan_id.")
    return plan


def _plan_of_run(context: dg.OpExecutionContext, store: ScopeStore, config: RestoreConfig) -> RestorePlan:
    """The plan of this run: made by it, or by the one whose steps it goes on with.

    Raises:
        UsageError: There is none, or the configuration names another one.
    """
    plan = _tagged(context.instance, context.run_id)
    if not plan:
        raise UsageError("the plan of this run no longer exists", remedy="Launch the job again.")
    if config.plan_id not in ("", plan):
        raise UsageError(
            f"this run goes on with plan {plan}, and plan_id is {config.plan_id}",
            remedy="Launch the job with all of its ops to apply another plan.",
        )
    return read_plan(store, plan)


def _tagged(instance: dg.DagsterInstance, run_id: str | None) -> str:
    """The plan of a run, or of the nearest run before it that it repeats; empty when there is none."""
    while run_id and (run := instance.get_run_by_id(run_id)):
        if plan := run.tags.get(PLAN_TAG):
            return plan
        run_id = run.parent_run_id
    return ""


def _report_of(store: ScopeStore, plan: RestorePlan) -> RestoreReport:
    report = read_report(store, plan.id)
    if report is None:
        raise NotInStore(f"there is no report of restore {plan.id}", remedy="Run the job again from apply_restore.")
    return report


def _passwords_file(tenants: TenantResource, config: RestoreConfig, plan: RestorePlan) -> Path:
    return passwords_file(tenants.project(), plan, config.passwords_file)


def _tell_key(context: dg.OpExecutionContext, tenants: TenantResource, plan: RestorePlan) -> None:
    """Says beforehand that no other machine can continue the restore, where that is so."""
    if not creates_users(plan):
        return
    app = tenants.project().tenants[plan.tenant].restore
    if app is None or app.passwords_key is None:
        context.log.info(
            f"[tenants.{plan.tenant}.restore] has no passwords_key: first passwords are encrypted with the key in "
            f"{KEY_FILE} beside dagster_project.toml, and only a machine with this key can resume the restore."
        )
