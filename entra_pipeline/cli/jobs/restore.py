"""`restore`: plan, ask, apply, verify; each also alone."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from entra_pipeline.cli.auditing import about, shell_origin
from entra_pipeline.cli.calling import as_called
from entra_pipeline.cli.context import as_json, echo, listed, print_json, project_of, say
from entra_pipeline.cli.jobs.backups import FINISHED_WITH_EXCEPTION
from entra_pipeline.cli.jobs.restore_output import SHOWN, print_plan, print_report
from entra_pipeline.cli.jobs.sign_in import prompt_for, sign_in_option
from entra_pipeline.cli.progress import restoring
from entra_pipeline.cli.queries.points import newest_point
from entra_pipeline.errors import EntraPipelineError, NotInStore, UsageError
from entra_pipeline.operations.environment import COMMAND, Environment, ProjectEnvironment
from entra_pipeline.operations.restore import (
    RestoreRun,
    check_passwords_file,
    passwords_file,
    plan_restore,
    plan_undo,
    target_of,
)
from entra_pipeline.project import Project, Scope
from entra_pipeline.project.stores import open_store
from entra_pipeline.restore.execute.apply import LiveChanged
from entra_pipeline.restore.objects.model import Conflict, RestoreOptions, RestorePlan, RestoreSelection
from entra_pipeline.restore.plan.other_tenant import scope_of
from entra_pipeline.restore.plan.undo import read_writes
from entra_pipeline.restore.records.approval import NotApproved, require_approval, sign_plan
from entra_pipeline.restore.records.journal import has_begun
from entra_pipeline.restore.records.plans import load_plan, read_plan, save_plan, write_plan
from entra_pipeline.restore.records.report import RestoreReport
from entra_pipeline.runtime import run_async
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.recovery_points import ScopeStore

_PLAN_TRIGGER = "command: restore"
_INTERRUPTED = 130


@click.command()
@click.argument("scope_name", metavar="SCOPE")
@click.option("--at", "moment", metavar="POINT|TIME", help="The recovery point to restore, or a time with its zone.")
@click.option("--to", "to", metavar="TENANT", help="Another tenant of the configuration to restore to.")
@click.option(
    "--domain",
    "domains",
    multiple=True,
    metavar="OLD=NEW",
    help="With --to: map a domain of the recovery point to one of the target tenant.",
)
@click.option(
    "--types", multiple=True, metavar="TYPE[,TYPE…]", help="Only these object types and their dependent objects."
)
@click.option("--ids", multiple=True, metavar="ID[,ID…]", help="Only these objects, their dependent objects and links.")
@click.option(
    "--where", default="", metavar="SQL", help="Only objects that match a SQL condition over the type's columns."
)
@click.option("--search", default="", metavar="TEXT", help="Only objects that contain the text.")
@click.option(
    "--conflict",
    type=click.Choice(["overwrite", "merge", "skip"]),
    default="overwrite",
    show_default=True,
    help="Objects that exist and differ: restore all properties, fill only missing ones, or leave them unchanged.",
)
@click.option("--delete-added", is_flag=True, help="Also delete objects that are not in the recovery point.")
@click.option(
    "--enable-policies",
    is_flag=True,
    help="Restore Conditional Access policies in their original state instead of report-only.",
)
@click.option(
    "--taken",
    type=click.Choice(["skip", "rename", "match"]),
    default="skip",
    show_default=True,
    help="Deleted users whose UPN is already in use: leave them out, restore them under a new UPN, or overwrite the "
    "user who has it, as the same person.",
)
@click.option(
    "--ended-until",
    default="",
    metavar="TIME",
    help="Reinstate expired assignments until TIME; by default they stay expired.",
)
@click.option("--plan", "plan_file", type=click.Path(path_type=Path), metavar="FILE", help="Write the plan to a file.")
@click.option("--dry-run", is_flag=True, help="Plan only; write nothing to the tenant.")
@click.option("--apply", "saved", metavar="FILE|ID", help="Apply an existing plan.")
@click.option("--resume", "interrupted", metavar="ID", help="Resume an interrupted restore.")
@click.option("--undo", "undone", metavar="ID", help="Revert a restore's changes, and nothing else.")
@sign_in_option
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option(
    "--continue", "go_on", is_flag=True, help="Skip objects that changed since the plan was made; restore the others."
)
@click.option(
    "--passwords",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="File for the first passwords of re-created users. [default: restore-ID-passwords.csv in "
    "passwords_folder, or beside the configuration]",
)
@click.option("--limit", type=click.IntRange(min=0), default=SHOWN, show_default=True, help="Number of steps to show.")
@click.option(
    "--break-glass",
    default="",
    metavar="REASON",
    help="Apply without the required approval of a second administrator; the audit log records the reason.",
)
@as_json
@click.pass_context
def restore(
    ctx: click.Context,
    /,
    scope_name: str,
    moment: str | None,
    saved: str | None,
    interrupted: str | None,
    undone: str | None,
    *,
    plan_file: Path | None,
    dry_run: bool,
    yes: bool,
    go_on: bool,
    passwords: Path | None,
    limit: int,
    sign_in: str | None,
    break_glass: str,
    json_: bool,
    **requested: Any,
) -> int:
    """Restore a recovery point of SCOPE, or some of it, to its tenant or another one.

    Reads the tenant, shows the plan and asks for confirmation. Then it takes a recovery point for undo, writes, and
    verifies the result against the tenant. Without --types, --ids, --where or --search, everything is restored.

    Exit code 3: an object was refused, failed, or still differs.
    """
    _check(ctx, dry_run=dry_run)
    project = project_of(ctx)
    scope = project.scope(scope_name)
    environment = ProjectEnvironment(project)
    store = environment.open_store(scope)
    to, domains = requested.pop("to"), _domains(requested.pop("domains"))
    if plan_file is not None and plan_file.exists():
        raise UsageError(f"{plan_file} exists already", remedy="Choose another file, or remove this one.")
    if moment is not None:
        point = newest_point(store, moment)
        target = scope_of(project, scope, to or scope.tenant)
        plan = make_plan(
            environment,
            target,
            store,
            point,
            *_requested({**requested, "sign_in": sign_in}),
            domains=domains,
            writing=not dry_run,
        )
        sign_plan(store, plan, shell_origin().actor)
    elif undone is not None:
        scope = target = _written_to(project, store, scope, undone)
        store, source = open_store(project, target), store
        policies = requested["enable_policies"]
        how = {"enable_policies": policies, "sign_in": sign_in is not None}
        plan = make_undo(environment, target, source, undone, **how, writing=not dry_run)
        sign_plan(store, plan, shell_origin().actor)
    else:
        plan = _saved(store, scope, saved, interrupted)
        target = target_of(project, plan)
    about(plan.id)
    if plan_file is not None:
        save_plan(plan, plan_file)
    if not json_:
        if not interrupted:
            print_plan(project, target, store, plan, limit=limit)
        if plan_file is not None:
            say(f"the whole plan is in {plan_file}")
    if dry_run or not plan.steps:
        return _end_of_plan(scope, plan, plan_file, dry_run=dry_run, json_=json_)
    if not break_glass:
        _require_approval(project, store, plan)
    if not yes and not interrupted:
        _confirm(plan)
    report = apply_plan(environment, store, plan, passwords=passwords, go_on=go_on, sign_in=sign_in)
    if json_:
        print_json({"plan": plan, "report": report})
    else:
        print_report(project, target, plan, report, passwords=passwords, limit=limit)
    return 0 if report.status == "finished" else FINISHED_WITH_EXCEPTION


_ALWAYS = ("enable_policies", "plan_file", "dry_run")
_PLANNING = (
    "to",
    "domains",
    "types",
    "ids",
    "where",
    "search",
    "conflict",
    "delete_added",
    "taken",
    "ended_until",
    *_ALWAYS,
)


def _check(ctx: click.Context, *, dry_run: bool) -> None:
    """Refuses options that do not go together."""
    ways = [name for name in ("--at", "--apply", "--resume", "--undo") if _given(ctx, name)]
    if not ways:
        raise UsageError(
            "--at is missing: it names the recovery point to restore",
            remedy="entra-pipeline points lists them; --at latest is the newest one.",
        )
    if len(ways) > 1:
        raise UsageError(f"{' and '.join(ways)} exclude each other", remedy="Choose one.")
    given = [name for name in _PLANNING if ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT]
    if ways == ["--undo"]:
        given = [name for name in given if name not in _ALWAYS]
    if ways != ["--at"] and given:
        option = {"plan_file": "--plan", "domains": "--domain"}.get(given[0], f"--{given[0].replace('_', '-')}")
        raise UsageError(
            f"{ways[0]} and {option} exclude each other: "
            + (
                "an undo covers all that the restore wrote"
                if ways == ["--undo"]
                else "the plan defines what is restored, and how"
            ),
            remedy="Plan again with --at, or omit the option.",
        )
    if dry_run and ctx.params["yes"]:
        raise UsageError("--dry-run and --yes exclude each other", remedy="Choose one.")


def _given(ctx: click.Context, option: str) -> bool:
    name = {"--at": "moment", "--apply": "saved", "--resume": "interrupted", "--undo": "undone"}[option]
    return ctx.params[name] is not None


def _domains(given: Sequence[str]) -> dict[str, str]:
    """Domain at the recovery point → domain in the other tenant."""
    found: dict[str, str] = {}
    for one in listed(given):
        old, _, new = one.partition("=")
        if not old or not new:
            raise UsageError(
                f"{one!r} is not a domain mapping",
                remedy="Write it as --domain contoso.com=fabrikam.com.",
            )
        found[old] = new
    return found


def _requested(requested: dict[str, Any]) -> tuple[RestoreSelection, RestoreOptions]:
    """What to restore, and how."""
    selection = RestoreSelection(
        types=tuple(listed(requested["types"])),
        ids=tuple(listed(requested["ids"])),
        where=requested["where"],
        search=requested["search"],
    )
    conflict: Conflict = requested["conflict"]
    return selection, RestoreOptions(
        conflict=conflict,
        delete_added=requested["delete_added"],
        enable_policies=requested["enable_policies"],
        taken=requested["taken"],
        ended_until=requested["ended_until"],
        sign_in=requested["sign_in"] is not None,
    )


# --- Plan ------------------------------------------------------------------------------------------------------------


def make_plan(
    environment: Environment,
    target: Scope,
    store: ScopeStore,
    point: Manifest,
    selection: RestoreSelection,
    options: RestoreOptions,
    *,
    domains: Mapping[str, str] | None = None,
    writing: bool,
) -> RestorePlan:
    """Plans with progress; arguments as for `operations.restore.plan_restore`."""
    with restoring() as reported:
        return run_async(
            plan_restore(
                environment,
                target,
                store,
                point,
                selection,
                options,
                domains=domains,
                writing=writing,
                trigger=_PLAN_TRIGGER,
                progress=reported,
            )
        )


def make_undo(
    environment: Environment,
    target: Scope,
    source: ScopeStore,
    job: str,
    *,
    enable_policies: bool,
    sign_in: bool,
    writing: bool,
) -> RestorePlan:
    """Plans an undo with progress; arguments as for `operations.restore.plan_undo`."""
    with restoring() as reported:
        return run_async(
            plan_undo(
                environment,
                target,
                source,
                job,
                enable_policies=enable_policies,
                sign_in=sign_in,
                writing=writing,
                trigger=_PLAN_TRIGGER,
                progress=reported,
            )
        )


def _written_to(project: Project, store: ScopeStore, scope: Scope, job: str) -> Scope:
    """The scope that shows the tenant which a restore wrote to."""
    try:
        plan = read_plan(store, job)
        target = scope_of(project, scope, plan.tenant, plan.live_scope)
    except NotInStore:
        target = scope
    if target.name not in project.scopes:
        raise UsageError(
            f"restore {job} wrote to tenant {target.tenant!r}, which no scope of the project covers",
            remedy=f"Run: entra-pipeline scope create {target.name} --tenant {target.tenant} "
            f"--storage {target.storage}; then undo it.",
        )
    # That there is nothing to undo is told before the tenant is asked.
    read_writes(store, job, open_store(project, target))
    return target


def _saved(store: ScopeStore, scope: Scope, saved: str | None, interrupted: str | None) -> RestorePlan:
    """A plan that was made before."""
    if interrupted is not None:
        plan = _kept(store, scope, interrupted)
        if not has_begun(store.files, interrupted):
            raise UsageError(
                f"the plan {interrupted} has not been applied yet",
                remedy=f"To apply it: entra-pipeline restore {scope.name} --apply {interrupted}",
            )
    elif saved is not None and Path(saved).exists():
        plan = load_plan(Path(saved))
    else:
        plan = _kept(store, scope, saved or "")
    if plan.scope != scope.name:
        raise UsageError(
            f"the plan {plan.id} restores scope {plan.scope!r}",
            remedy=f"Name that scope: entra-pipeline restore {plan.scope} …",
        )
    write_plan(store, plan)
    return plan


def _kept(store: ScopeStore, scope: Scope, job: str) -> RestorePlan:
    """A plan from the store."""
    try:
        return read_plan(store, job)
    except NotInStore:
        raise UsageError(
            f"scope {scope.name!r} has no plan {job!r}, and there is no such file",
            remedy=f"entra-pipeline restore {scope.name} --at POINT --dry-run creates a plan and shows its id.",
        ) from None


def _end_of_plan(scope: Scope, plan: RestorePlan, plan_file: Path | None, *, dry_run: bool, json_: bool) -> int:
    """Ends where nothing is written."""
    if json_:
        print_json({"plan": plan, "report": None})
    elif dry_run and plan.steps:
        say(f"nothing was written; to apply it: entra-pipeline restore {scope.name} --apply {plan_file or plan.id}")
    return FINISHED_WITH_EXCEPTION if any(one.kind == "unresolved" for one in plan.refusals) else 0


def _require_approval(project: Project, store: ScopeStore, plan: RestorePlan) -> None:
    try:
        require_approval(project, store, plan)
    except NotApproved as error:
        command = f"entra-pipeline restore {plan.scope} --apply {plan.id}"
        raise NotApproved(
            error.message, remedy=f"{error.remedy} If nobody can: {command} --break-glass REASON"
        ) from None


def _confirm(plan: RestorePlan) -> None:
    if not sys.stdin.isatty():
        raise UsageError(
            "no terminal to confirm on; nothing was written",
            remedy=f"Review the plan; then: entra-pipeline restore {plan.scope} --apply {plan.id} --yes",
        )
    if not click.confirm(f"Write this to tenant {plan.tenant}?", err=True):
        echo("nothing was written", err=True)
        raise click.exceptions.Exit(1)


# --- Apply and verify ------------------------------------------------------------------------------------------------


def apply_plan(
    environment: Environment,
    store: ScopeStore,
    plan: RestorePlan,
    *,
    passwords: Path | None = None,
    go_on: bool = False,
    sign_in: str | None = None,
) -> RestoreReport:
    """Carries a plan out and reads back, with progress and a job record; continues where it was interrupted.

    Raises:
        click.exceptions.Exit: It was interrupted; how to continue has been said.
    """
    resume = f"entra-pipeline restore {plan.scope} --resume {plan.id}{f' --sign-in={sign_in}' if sign_in else ''}"
    file = passwords.absolute() if passwords else passwords_file(environment.project, plan)
    try:
        with restoring() as reported:
            run = RestoreRun(
                environment=environment,
                store=store,
                plan=plan,
                passwords_file=file,
                origin=COMMAND,
                progress=reported,
                prompt=prompt_for(sign_in),
            )
            check_passwords_file(file, plan)
            echo(as_called(f"restore {plan.id}; if it is interrupted, resume with: {resume}"), err=True)
            return run_async(run.apply_and_verify(go_on=go_on))
    except KeyboardInterrupt:
        said = f"cancelled; completed writes are kept and recorded in the journal\n  → To resume: {resume}"
        echo(as_called(said), err=True)
        raise click.exceptions.Exit(_INTERRUPTED) from None
    except LiveChanged as error:
        raise LiveChanged(
            error.message,
            remedy="Plan again; or skip these objects: "
            f"entra-pipeline restore {plan.scope} --apply {plan.id} --continue",
        ) from None
    except EntraPipelineError as error:
        if has_begun(store.files, plan.id):
            error.remedy = f"{error.remedy}\n  → Then resume: {resume}" if error.remedy else f"To resume: {resume}"
        raise
