"""`demo`: the main job on a simulated tenant, from nothing to a proven incremental backup and a restored group."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from entra_pipeline import demo as story
from entra_pipeline.analysis.changes import Change, changes
from entra_pipeline.backup.jobs import totals
from entra_pipeline.cli.auditing import about, recorded
from entra_pipeline.cli.calling import called_for, relative
from entra_pipeline.cli.context import console, print_table, say
from entra_pipeline.cli.jobs.backups import FINISHED_WITH_EXCEPTION, back_up_scope, print_gaps, print_summary, size
from entra_pipeline.cli.jobs.restore import apply_plan, make_plan
from entra_pipeline.cli.jobs.restore_output import print_plan, print_report
from entra_pipeline.clock import system_clock
from entra_pipeline.errors import UsageError
from entra_pipeline.graph.factory import simulated
from entra_pipeline.operations.environment import ProjectEnvironment
from entra_pipeline.project import Project, Scope, load_project
from entra_pipeline.project.loading import FILE_NAME, VARIABLE
from entra_pipeline.project.stores import open_store
from entra_pipeline.restore.objects.model import RestoreOptions, RestoreSelection
from entra_pipeline.restore.records.report import RestoreReport
from entra_pipeline.simulator import Control
from entra_pipeline.store.backends import LocalStorage
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.text import pluralize

_USERS, _GROUPS, _PORT, _DIRECTORY = 200, 20, 8480, Path(".demo")
# Examples of each kind of change to each table; more would hide the forest.
_EXAMPLES = 2


@click.command()
@click.option("--users", type=click.IntRange(0, 100_000), help=f"[default: {_USERS}]")
@click.option("--groups", type=click.IntRange(0, 10_000), help=f"[default: {_GROUPS}]")
@click.option("--port", type=click.IntRange(1024, 65534), help=f"Of the simulated tenant. [default: {_PORT}]")
@click.option("--directory", type=click.Path(path_type=Path), help=f"Where everything goes. [default: {_DIRECTORY}]")
@click.pass_context
def demo(ctx: click.Context, users: int | None, groups: int | None, port: int | None, directory: Path | None) -> int:
    """Back up a simulated tenant: full, live changes, incremental, diff, proof; restore a deleted group.

    Without options it uses the scope `demo` of the project here, if its tenant is simulated; otherwise it makes a
    project in a folder of its own. It can be run again and again, and adds recovery points.
    """
    started = system_clock()
    project = None if users or groups or port or directory else _here(ctx.find_root().obj)
    if project is None:
        project = story.demo_project(
            directory or _DIRECTORY, users=users or _USERS, groups=groups or _GROUPS, port=port or _PORT
        )
    if project.file != Path(FILE_NAME).resolve():
        called_for(project.file)
    scope = project.scope(story.SCOPE)
    store = open_store(project, scope)
    with simulated(project.tenants[scope.tenant]) as tenant:
        counts = tenant.control.counts()
        _heading("A simulated tenant")
        say(
            f"It speaks Microsoft Graph at {tenant.graph_url}: "
            + ", ".join(f"{counts[kind]:,} {kind}" for kind in ("users", "groups", "applications", "devices"))
            + " and what belongs to them."
        )
        story.prepare(tenant.control)

        _heading("A full backup")
        before = story.look(tenant.control, scope.types())
        storage = project.storage[scope.storage]
        full = recorded("backup", scope.name, storage, lambda: back_up_scope(project, scope, full=True), _status)
        print_summary(full)

        _heading("The tenant lives")
        for event in story.live(tenant.control):
            say(f"  [cyan]{event.kind:<18}[/] {_escaped(event.text)}")

        _heading("An incremental backup")
        after = story.look(tenant.control, scope.types())
        incremental = recorded("backup", scope.name, storage, lambda: back_up_scope(project, scope), _status)
        for table, entry in incremental.tables.items():
            print_gaps(table, entry.gaps)
        _print_cost((full, incremental))

        _heading("What changed between the two points")
        found = [one for one in changes(store, full, store, incremental) if one.kind != "volatile"]
        _print_changes(found, story.names(store, (full, incremental)))

        _heading("Is what is stored what the tenant had?")
        pictures = ((full, before), (incremental, after))
        proven = all(_print_proof(store, manifest, picture) for manifest, picture in pictures)

        _heading("Delete a group, then restore it")
        proven &= _restore(project, scope, store, incremental, tenant.control)

    _heading("Where to look next")
    _print_next(project, full)
    say(f"[dim]{(system_clock() - started).total_seconds():.0f} seconds in all[/]")
    if not proven:
        return 1
    return 0 if full.status == incremental.status == "finished" else FINISHED_WITH_EXCEPTION


def _status(made: Manifest | RestoreReport) -> str:
    return made.status


def _here(file: Path | None) -> Project | None:
    """The project that the command was called for, if it has the demonstration in it."""
    asked = file is not None or VARIABLE in os.environ
    if not asked and not Path(FILE_NAME).exists():
        return None
    project = load_project(file)
    if story.is_demo(project):
        return project
    if asked:
        raise UsageError(
            f"{project.file} has no scope {story.SCOPE!r} on a simulated tenant",
            remedy="Omit --project and unset ENTRA_PIPELINE_PROJECT: the demo then creates its own project.",
        )
    return None


def _heading(text: str) -> None:
    out = console()
    out.print()
    out.print(f"[bold]{text}[/]")


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _print_cost(points: Sequence[Manifest]) -> None:
    rows = []
    for manifest in points:
        total = totals(manifest)
        rows.append(
            {
                "point": manifest.recovery_point,
                "kind": manifest.kind,
                "status": manifest.status,
                "requests": total["requests"],
                "received": size(sum(entry.bytes_read for entry in manifest.tables.values())),
                "rows": total["rows_written"],
                "written": size(total["bytes_written"]),
            }
        )
    columns = {"point": "recovery point", **{key: key for key in ("kind", "status", "requests", "received")}}
    print_table(
        rows,
        {**columns, "rows": "rows written", "written": "written"},
        right=("requests", "received", "rows", "written"),
    )


def _print_changes(found: list[Change], names: dict[str, str]) -> None:
    """How many changes of each kind every table had, each with an example or two."""
    count = Counter((change.table, change.kind) for change in found)
    seen: Counter[tuple[str, str]] = Counter()
    rows: list[dict[str, Any]] = []
    shown = ""
    tables = list(dict.fromkeys(change.table for change in found))
    for change in sorted(found, key=lambda one: (tables.index(one.table), one.kind)):
        group = (change.table, change.kind)
        seen[group] += 1
        if seen[group] > _EXAMPLES:
            continue
        first = seen[group] == 1
        rows.append(
            {
                "table": change.table if change.table != shown else "",
                "kind": change.kind if first else "",
                "count": count[group] if first else None,
                "example": story.tell(change, names),
            }
        )
        shown = change.table
    print_table(rows, {"table": "table", "kind": "", "count": "", "example": "for example"}, right=("count",))


def _print_proof(store: ScopeStore, manifest: Manifest, picture: story.Picture) -> bool:
    """Compares a recovery point with the tenant as it was; whether they are the same."""
    result = story.compare(store, manifest, picture)
    what = (
        f"{manifest.recovery_point}: {pluralize(result.objects, 'object')} with "
        f"{pluralize(result.properties, 'property', 'properties')} and {pluralize(result.links, 'link')} compared"
    )
    if not result.differing:
        say(f"[green]✓[/] {what}: no difference")
        return True
    say(f"[red]✗[/] {what}: {pluralize(len(result.differing), 'difference')}")
    for one in result.differing[:10]:
        say(f"    {_escaped(one)}")
    return False


def _restore(project: Project, scope: Scope, store: ScopeStore, point: Manifest, control: Control) -> bool:
    """Deletes a group and one of its members, restores them, and tells whether they are as they were."""
    lost = story.lose(control)
    group, user = lost.group["displayName"], lost.user["displayName"]
    say(f"  [cyan]delete[/] the group {_escaped(group)}, which had {pluralize(len(lost.members), 'member')}")
    say(f"  [cyan]delete[/] {_escaped(user)}, who was one of them\n")
    chosen = RestoreSelection(types=("users", "groups"), ids=(lost.group["id"], lost.user["id"]))
    environment = ProjectEnvironment(project)
    plan = make_plan(environment, scope, store, point, chosen, RestoreOptions(), writing=True)
    print_plan(project, scope, store, plan)

    def apply() -> RestoreReport:
        about(plan.id)
        return apply_plan(environment, store, plan)

    report = recorded("restore", scope.name, project.storage[scope.storage], apply, _status)
    print_report(project, scope, plan, report)
    now = lost.left(control)
    same = now is not None and (now.members, now.owners) == (lost.members, lost.owners)
    if now is None or not same:
        say(f"[red]✗[/] the group {_escaped(group)} is not as it was")
        return False
    say(
        f"[green]✓[/] the group {_escaped(group)} and {_escaped(user)} are back under their own ids, the group with "
        f"the same {pluralize(len(now.members), 'member')} and {pluralize(len(now.owners), 'owner')}"
    )
    return report.status == "finished"


def _print_next(project: Project, full: Manifest) -> None:
    """What to type next."""
    storage = project.storage[project.scope(story.SCOPE).storage]
    steps = [
        ("entra-pipeline points demo", "the recovery points"),
        ("entra-pipeline objects demo users --where \"department = 'Finance'\"", "what a point holds"),
        ("entra-pipeline verify demo", "checksums, chain and counts"),
        (
            f"entra-pipeline restore demo --at {full.recovery_point} --dry-run",
            "what it would take to go back to the beginning",
        ),
        ("entra-pipeline backup demo", "one more recovery point"),
    ]
    if isinstance(storage, LocalStorage):
        part = full.tables["users"].parts[0].key
        query = f"SELECT department, count(*) FROM '{relative(storage.root / part)}' GROUP BY ALL"
        steps.append(
            (
                f'{relative(Path(sys.executable))} -c "import duckdb; print(duckdb.sql(\\"{query}\\"))"',
                "stock DuckDB, without us",
            )
        )
    if Path("Makefile").exists() and Path("workspace.yaml").exists():
        steps.append(("make dagster", "Dagster's UI: assets, partitions, schedules"))
    for typed, why in steps:
        say(f"  [dim]# {why}[/]\n  {_escaped(typed)}")
