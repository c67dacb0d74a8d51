"""`drill`: rehearse a restore in an empty simulated tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from entra_pipeline.analysis.markdown import markdown_table, one_line
from entra_pipeline.cli.auditing import about
from entra_pipeline.cli.context import as_json, echo, print_json, print_table, project_of, say
from entra_pipeline.cli.jobs.backups import FINISHED_WITH_EXCEPTION
from entra_pipeline.cli.progress import progress
from entra_pipeline.cli.queries.points import point_at
from entra_pipeline.errors import UsageError
from entra_pipeline.operations.drill import run_drill
from entra_pipeline.operations.environment import COMMAND, ProjectEnvironment
from entra_pipeline.project.stores import open_store
from entra_pipeline.runtime import run_async
from entra_pipeline.text import pluralize

if TYPE_CHECKING:
    from entra_pipeline.restore.check.drill import Drill

# Differences that are shown without `--json`: enough to see what is wrong.
_SHOWN = 30
_COLUMNS = {
    "table": "type",
    "objects": "objects",
    "properties": "properties",
    "links": "links",
    "came_back": "restored",
    "left_out": "left out",
    "why": "why",
}
_NUMBERS = ("objects", "properties", "links", "came_back", "left_out")


@click.command()
@click.argument("scope_name", metavar="SCOPE")
@click.option("--at", "at", default="latest", metavar="POINT|TIME", help="The recovery point. [default: latest]")
@click.option("--markdown", is_flag=True, help="Print the scores as Markdown.")
@as_json
@click.pass_context
def drill(ctx: click.Context, scope_name: str, at: str, markdown: bool, json_: bool) -> int:
    """Restore a recovery point of SCOPE into an empty simulated tenant, and score the result.

    Nothing is written to the real tenant. The result is kept in the scope's store. Exit code 3: of what can be
    restored, fewer than 99 % of the properties or not all links were restored.
    """
    if markdown and json_:
        raise UsageError("--markdown and --json exclude each other", remedy="Choose one.")
    project = project_of(ctx)
    scope = project.scope(scope_name)
    point = point_at(open_store(project, scope), at).recovery_point
    with progress() as reported:
        work = run_drill(
            ProjectEnvironment(project), scope, at=point, origin=COMMAND, progress=_DrillProgress(reported)
        )
        result = run_async(work)
    about(result.id)
    if json_:
        print_json(result)
    elif markdown:
        echo(drill_markdown(result))
    else:
        _print(result)
    return FINISHED_WITH_EXCEPTION if result.status == "finished with exception" else 0


class _DrillProgress:
    """Shows the steps of a restore as phases of a backup's progress."""

    def __init__(self, shown: Any) -> None:
        self.rows = shown.rows
        self.done = shown.done
        self.phase = shown.phase

    def step(self, outcome: object, done: int, steps: int) -> None:
        """Shows every hundredth step."""
        if done % 100 == 0 or done == steps:
            self.phase(f"restoring: {done:,} of {pluralize(steps, 'step')}")


def drill_markdown(result: Drill) -> str:
    """A drill as Markdown: all of it that does not depend on the machine, so that the same tenant gives the same."""
    from entra_pipeline.restore.check.drill import compared, share

    missed = [
        {
            "type": f"`{one.table}`",
            "object": one.name or one.id,
            "what": ", ".join([one.what, *(f"`{name}`" for name in one.properties)]),
            "why": one_line(one.reason),
        }
        for one in result.differences
    ]
    scored = [
        {"type": f"`{one.table}`", "compared": compared(one), "came_back": share(one.equal, one.compared)}
        for one in result.scores
        if one.compared
    ]
    apart: dict[str, list[str]] = {}
    for one in result.scores:
        for reason, number in one.left_out.items():
            apart.setdefault(reason, []).append(f"{number:,} `{one.table}`")
    others = [{"reason": reason, "what": ", ".join(what)} for reason, what in sorted(apart.items())]
    parts = [
        f"{result.properties_equal:,} of {pluralize(result.properties, 'property', 'properties')} "
        f"({share(result.properties_equal, result.properties)}) and {result.links_equal:,} of "
        f"{pluralize(result.links, 'link')} ({share(result.links_equal, result.links)}) were restored, by "
        f"{pluralize(result.steps, 'step')} that take "
        f"{result.seconds_at_limits / 60:.1f} minutes at Graph's write limits.",
        markdown_table(missed, {"type": "not as it was", "object": "object", "what": "what", "why": "why"}),
        markdown_table(scored, {"type": "type", "compared": "compared", "came_back": "restored"}),
        markdown_table(others, {"reason": "left out, because", "what": "what"}),
    ]
    return "\n\n".join(parts)


def _print(result: Any) -> None:
    from rich.markup import escape

    from entra_pipeline.restore.check.drill import drill_text, score_rows

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
