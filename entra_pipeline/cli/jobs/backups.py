"""`backup`: take a recovery point now."""

from __future__ import annotations

from collections.abc import Sequence

import click

from entra_pipeline.analysis.manifest_rows import COSTS, cost, cost_rows, point_row, table_rows, tables_in_order
from entra_pipeline.analysis.unusual import UnusualVerdict
from entra_pipeline.backup.jobs import totals
from entra_pipeline.cli.auditing import about
from entra_pipeline.cli.context import as_json, echo, listed, print_json, print_table, project_of, say
from entra_pipeline.cli.progress import progress
from entra_pipeline.operations.backup import run_backup
from entra_pipeline.operations.environment import COMMAND, ProjectEnvironment
from entra_pipeline.project import Project, Scope
from entra_pipeline.runtime import run_async
from entra_pipeline.store.manifest import Gap, Manifest, TakenFor
from entra_pipeline.text import pluralize

FINISHED_WITH_EXCEPTION = 3
# Tables whose cost is shown without being asked for: the dearest.
_DEAREST = 10


@click.command()
@click.argument("scope_name", metavar="SCOPE")
@click.option("--full", is_flag=True, help="Full read; ignore delta links.")
@click.option(
    "--types", multiple=True, metavar="TYPE[,TYPE…]", help="Read only these object types; keep the others as they were."
)
@click.option(
    "--costs", is_flag=True, help=f"Show the Graph request cost of every table, not only the {_DEAREST} most expensive."
)
@as_json
@click.pass_context
def backup(ctx: click.Context, scope_name: str, full: bool, types: Sequence[str], costs: bool, json_: bool) -> int:
    """Take a recovery point of SCOPE now.

    The first backup of a scope is full; the next ones read what changed. Exit code 3: the recovery point has gaps. It
    is kept, and names each gap and its remedy.
    """
    project = project_of(ctx)
    scope = project.scope(scope_name)
    manifest = back_up_scope(project, scope, full=full, types=listed(types))
    if json_:
        print_json({**point_row(manifest), "tables": table_rows(manifest), "totals": totals(manifest)})
    else:
        echo(manifest.recovery_point)
        print_summary(manifest, every_cost=costs)
    return FINISHED_WITH_EXCEPTION if manifest.status == "finished with exception" else 0


def back_up_scope(
    project: Project,
    scope: Scope,
    *,
    full: bool = False,
    types: Sequence[str] = (),
    taken_for: str = TakenFor.BY_HAND,
) -> Manifest:
    """Takes a recovery point with progress, and prints what is unusual in it; the rest as for `run_backup`."""
    with progress() as reported:
        taken = run_async(
            run_backup(
                ProjectEnvironment(project),
                scope,
                full=full,
                types=types,
                taken_for=taken_for,
                origin=COMMAND,
                progress=reported,
            )
        )
    about(taken.manifest.recovery_point)
    print_unusual(taken.unusual)
    return taken.manifest


def print_unusual(verdict: UnusualVerdict) -> None:
    """What has changed that is unusual, and what was done about it."""
    from rich.markup import escape

    for one in verdict.findings:
        say(f"[red]! unusual change[/]: {escape(one.title)}", err=True)
        for row in one.rows[:_DEAREST]:
            named = ", ".join(f"{name} {value}" for name, value in zip(one.columns, row, strict=True))
            say(f"    {escape(named)}", err=True)
    if verdict.held:
        release = f"entra-pipeline hold {verdict.scope} --at {verdict.parent} --release"
        say(f"    → {verdict.parent}, the previous point, is on hold. To release it: {release}", err=True)
    for problem in verdict.problems:
        say(f"[yellow]![/] unusual changes could not be evaluated: {escape(problem)}", err=True)


def print_summary(manifest: Manifest, *, every_cost: bool = False) -> None:
    """What a recovery point holds, what changed, what it took of Graph, and what it lacks.

    Args:
        manifest: The recovery point.
        every_cost: Show what every table took, not only the dearest.
    """
    from rich.markup import escape

    rows = table_rows(manifest)
    total = totals(manifest)
    same = [row for row in rows if row["read"] == "unchanged"]
    first = ["baseline"] if total["baseline"] else []
    numbers = {name: name for name in (*first, "added", "changed", "deleted")}
    columns = {"table": "table", "read": "read", "live": "rows", **numbers}
    if len(same) < len(rows):
        print_table([row for row in rows if row not in same], columns, right=("live", *numbers))
    if same:
        listed = ", ".join(f"{row['table']} ({row['live']:,})" for row in same)
        say(f"[dim]unchanged: {listed}[/]\n")
    print_costs(manifest, shown=len(rows) if every_cost else _DEAREST)
    say(
        f"{manifest.kind} of scope {manifest.scope}: [bold]{pluralize(total['objects'], 'object')}[/], "
        f"[bold]{pluralize(total['edges'], 'link')}[/]; {pluralize(total['requests'], 'request')}, "
        f"{pluralize(total['rows_written'], 'row')} in "
        f"{size(total['bytes_written'])} written"
    )
    for row in rows:
        for note in row["notes"]:
            say(f"[dim]{row['table']}: {escape(note)}[/]")
    colour = "green" if manifest.status == "finished" else "yellow"
    say(f"[{colour}]{manifest.status}[/]")
    for table, entry in tables_in_order(manifest).items():
        print_gaps(table, entry.gaps)


def print_costs(manifest: Manifest, *, shown: int) -> None:
    """What the run took of Graph: the dearest tables, what the others come to, and the total."""
    rows = cost_rows(manifest)
    if not rows:
        return
    dearest, rest = rows[:shown], [manifest.tables[row["table"]] for row in rows[shown:]]
    others = [{"table": f"{pluralize(len(rest), 'other')} (backup --costs shows them)", **cost(rest)}] if rest else []
    total = {"table": "total", **cost(manifest.tables.values())}
    print_table(
        [*dearest, *others, total],
        {"table": "most expensive" if rest else "table", **COSTS},
        title="Requests to Microsoft Graph",
        right=COSTS,
    )


def print_gaps(table: str, gaps: Sequence[Gap], *, err: bool = False) -> None:
    """What a recovery point lacks of a table, and what to do."""
    from rich.markup import escape

    for gap in gaps:
        since = f" (shown as of {gap.since})" if gap.since else ""
        say(f"[yellow]![/] {table}: {escape(gap.what)}{since}: {escape(gap.reason)}", err=err)
        say(f"    → {escape(gap.remedy)}", err=err)


def size(amount: int) -> str:
    """A number of bytes for people, in units of 1,000."""
    number, unit = float(amount), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if number < 1000:
            break
        number, unit = number / 1000, larger
    return f"{number:,.0f} {unit}" if unit == "bytes" or number >= 100 else f"{number:,.1f} {unit}"
