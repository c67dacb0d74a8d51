"""`drill`: rehearse a restore in an empty simulated tenant."""

from __future__ import annotations

from typing import Any

import click

from entra_pipeline.cli.auditing import about
from entra_pipeline.cli.backups import FINISHED_WITH_EXCEPTION
from entra_pipeline.cli.context import as_json, print_json, print_table, project_of, say
from entra_pipeline.cli.points import point_at
from entra_pipeline.cli.progress import progress
from entra_pipeline.running import run
from entra_pipeline.store.opening import open_store
from entra_pipeline.words import counted

# Differences that are shown without `--json`: enough to see what is wrong.
_SHOWN = 30
_COLUMNS = {
    "table": "type",
    "objects": "objects",
    "properties": "properties",
    "links": "links",
    "came_back": "came back",
    "left_out": "left out",
    "why": "why",
}
_NUMBERS = ("objects", "properties", "links", "came_back", "left_out")


@click.command()
@click.argument("scope_name", metavar="SCOPE")
@click.option("--at", "at", default="latest", metavar="POINT|TIME", help="The recovery point. [default: latest]")
@as_json
@click.pass_context
def drill(ctx: click.Context, scope_name: str, at: str, json_: bool) -> int:
    """Restore a recovery point of SCOPE into an empty simulated tenant, and score what came back.

    Nothing is written to the real tenant. The result is kept in the scope's store. Ends with exit code 3 when less than
    99 % of the properties, or not all links, of what can be restored came back.
    """
    from entra_pipeline.restore.drill import drill as rehearse

    project = project_of(ctx)
    store = open_store(project, project.scope(scope_name))
    point = point_at(store, at)
    with progress() as told:
        result = run(rehearse(store, point, trigger="command", progress=_Told(told)))
    about(result.id)
    if json_:
        print_json(result)
    else:
        _print(result)
    return FINISHED_WITH_EXCEPTION if result.status == "finished with exception" else 0


class _Told:
    """Progress of backups, which tells of a restore in phases."""

    def __init__(self, told: Any) -> None:
        self.rows = told.rows
        self.done = told.done
        self.phase = told.phase

    def step(self, outcome: object, done: int, steps: int) -> None:
        """Every hundredth step is told."""
        if done % 100 == 0 or done == steps:
            self.phase(f"restoring: {done:,} of {counted(steps, 'step')}")


def _print(result: Any) -> None:
    from rich.markup import escape

    from entra_pipeline.restore.drill import drill_text, score_rows

    print_table(
        score_rows(result),
        _COLUMNS,
        title=f"Restore drill of {result.point}",
        right=_NUMBERS,
    )
    for one in result.differences[:_SHOWN]:
        named = f" {one.name}" if one.name not in {"", one.id} else ""
        properties = f" ({', '.join(one.properties)})" if one.properties else ""
        say(f"[yellow]![/] {one.table}{escape(named)} {one.id}: {one.what}{escape(properties)}")
        say(f"    {escape(one.reason)}")
    if len(result.differences) > _SHOWN:
        say(f"[dim]{len(result.differences) - _SHOWN:,} more: --json shows them[/]")
    brought = ", ".join(f"{number:,} {table}" for table, number in result.brought.items())
    if brought:
        say(f"[dim]Put there before, because others bring it: {brought}[/]")
    say(drill_text(result))
    say(f"[{'green' if result.status == 'finished' else 'yellow'}]{result.status}[/]")
