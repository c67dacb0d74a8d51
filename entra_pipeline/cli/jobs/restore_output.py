"""What `restore` shows: a plan, what it does not do, and what became of it.

What belongs here: how plans and reports look in a terminal. What does not: making and applying them (`restore`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from entra_pipeline.analysis.manifest_rows import older_text
from entra_pipeline.cli.context import print_table, say
from entra_pipeline.cli.jobs.backups import print_gaps
from entra_pipeline.graph.factory import is_just_in_time
from entra_pipeline.operations.restore import (
    passwords_file,
)
from entra_pipeline.project import Project, Scope
from entra_pipeline.project.stores import open_store
from entra_pipeline.restore.objects.model import PlanRefusal, RestorePlan
from entra_pipeline.restore.plan.undo import undo_command
from entra_pipeline.restore.records.plan_rows import PlanRows
from entra_pipeline.restore.records.report import RestoreReport, exceptions, rows
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.text import pluralize

_NAMED = 3
SHOWN = 50
"""Steps of a plan that are shown."""


def print_plan(project: Project, target: Scope, store: ScopeStore, plan: RestorePlan, *, limit: int = SHOWN) -> None:
    """A plan for people: what it comes to, its steps, what it does not do, and what it costs."""
    say(
        f"plan [bold]{plan.id}[/]: {plan.scope} at [bold]{plan.point}[/] → tenant {plan.tenant} "
        f"as it is at {plan.live_point}"
    )
    if plan.undoes:
        say(f"it reverts the changes of restore {plan.undoes}; later changes by others are kept")
    if plan.domains:
        say(f"domains: {', '.join(f'{old} → {new}' for old, new in plan.domains.items())}")
    if plan.steps:
        _print_totals(plan)
        writing = [step for step in plan.steps if not step.returning]
        shown = writing[:limit]
        described = PlanRows(store, plan, open_store(project, target)).rows(shown)
        columns = {key: key for key in ("step", "stage", "action", "type", "name", "what", "notes")}
        if described:
            print_table(described, columns, right=("step",))
        if hidden := len(writing) - len(shown):
            say(f"… {pluralize(hidden, 'more step')}; --limit N shows more, --plan FILE writes all")
        if returning := len(plan.steps) - len(writing):
            say(
                f"{pluralize(returning, 'more step')} may need no request: Entra restores these links and assignments "
                "with the deleted object. They are checked, and written only if missing."
            )
    if plan.older:
        say(f"[yellow]not read for {plan.point}, restored from earlier data[/]: {older_text(plan.older)}")
    _print_refusals(plan)
    _print_unread(open_store(project, target), plan)
    if plan.steps:
        say(
            f"[bold]{pluralize(len(plan.steps), 'step')}[/] with {pluralize(plan.requests, 'request')}, "
            f"{duration(plan.seconds)} at Graph's write limits"
        )
        if is_just_in_time(project.tenants[target.tenant]):
            say("the app that restores is given a credential when this is applied, for an hour at the most")
    else:
        say("no changes to apply" + ("" if plan.refusals else ": [green]nothing differs[/]"))


def _print_unread(live_store: ScopeStore, plan: RestorePlan) -> None:
    """What could not be read of the tenant of that which the plan writes: it rests on what was read before."""
    if plan.live_point in live_store.points():
        live = live_store.manifest(plan.live_point)
        for table in sorted({step.table for step in plan.steps} & live.tables.keys()):
            print_gaps(table, live.tables[table].gaps)


def _print_totals(plan: RestorePlan) -> None:
    counted: dict[tuple[str, str, str], list[int]] = {}
    for step in plan.steps:
        sums = counted.setdefault((step.stage, step.action, step.table), [0, 0, 0])
        sums[0] += 1
        sums[1] += len(step.targets)
        sums[2] += step.requests
    if len(counted) == len(plan.steps):
        return
    total = [
        {"stage": stage, "action": action, "type": table, "steps": steps, "links": links or None, "requests": requests}
        for (stage, action, table), (steps, links, requests) in counted.items()
    ]
    columns = {key: key for key in ("stage", "action", "type", "steps", "links", "requests")}
    print_table(total, columns, right=("steps", "links", "requests"))


_KINDS = {
    "unresolved": "[red]refused[/]",
    "unrestorable": "[yellow]cannot be restored[/]",
    "skipped": "left unchanged",
}


def _print_refusals(plan: RestorePlan) -> None:
    """What the plan does not do, each reason once."""
    from rich.markup import escape

    grouped: dict[tuple[str, str, str], dict[str, list[PlanRefusal]]] = {}
    for kind in _KINDS:
        for one in plan.refusals:
            if one.kind == kind:
                grouped.setdefault((kind, one.reason, one.remedy), {}).setdefault(one.table, []).append(one)
    for (kind, reason, remedy), tables in list(grouped.items())[:SHOWN]:
        named = "; ".join(f"{table}{escape(_named(ones))}" for table, ones in tables.items())
        say(f"{_KINDS[kind]}: {named}: {escape(reason)}")
        if remedy:
            say(f"    → {escape(remedy)}")
    if len(grouped) > SHOWN:
        say(f"… {pluralize(len(grouped) - SHOWN, 'more reason')}; --plan FILE or --json shows all")


def _named(refusals: Sequence[PlanRefusal]) -> str:
    """The first names, and how many more; nothing of a whole table."""
    names = [one.name or one.id for one in refusals if one.id]
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return f" {', '.join(names[:_NAMED])}{more}" if names else ""


def duration(seconds: float) -> str:
    """A time in its unit, for people."""
    if seconds < 1:
        return "less than a second"
    return pluralize(round(seconds), "second") if seconds < 120 else pluralize(round(seconds / 60), "minute")


def print_report(
    project: Project,
    target: Scope,
    plan: RestorePlan,
    report: RestoreReport,
    *,
    passwords: Path | None = None,
    limit: int = SHOWN,
) -> None:
    """What became of a restore, for people: counts, what did not go well, passwords, and how to undo it."""
    from rich.markup import escape

    print_table(rows(report), {"type": "type", "result": "result", "steps": "steps"}, right=("steps",))
    wrong = exceptions(report)
    for one in wrong[:limit]:
        name = escape(str(one["name"] or one["id"]))
        say(f"[red]{one['result']}[/]: {one['type']} {name}: {escape(str(one['reason']))}")
        if one["remedy"]:
            say(f"    → {escape(str(one['remedy']))}")
    if len(wrong) > limit:
        say(f"… {len(wrong) - limit:,} more; --json shows all")
    kinds = Counter(one.kind for one in plan.refusals)
    if kinds["unresolved"]:
        say(f"[red]refused[/] by the plan: {kinds['unresolved']:,} (above, with what to do)")
    colour = "green" if report.status == "finished" else "yellow"
    say(
        f"[{colour}]{report.status}[/]: {pluralize(report.writes, 'write request')}, "
        f"{pluralize(report.reads, 'other')}, {report.retries:,} sent again; verified against the tenant"
    )
    if report.passwords:
        say(
            f"first passwords of {pluralize(report.passwords, 'user')}, to be changed at the first sign-in: "
            f"{escape(report.passwords_to or str(passwords or passwords_file(project, plan)))}"
        )
    if target.name not in project.scopes:
        say(
            f"before it can be undone: entra-pipeline scope create {target.name} --tenant {target.tenant} "
            f"--storage {target.storage}"
        )
    say(f"to undo: {undo_command(plan)}")
