"""`doctor`: whether everything works that backups and restores rest on."""

from __future__ import annotations

import click

from entra_pipeline.cli.context import as_table, print_rows, say
from entra_pipeline.text import pluralize

_FAILED, _CONFIGURATION, _LACKING = 1, 2, 3
_COLUMNS = {"subject": "what", "check": "check", "outcome": "outcome", "told": "what was seen", "remedy": "remedy"}
_MARKS = {"ok": "[green]✓[/]", "warning": "[yellow]![/]", "failed": "[red]✗[/]", "skipped": "[dim]–[/]"}


@click.command()
@as_table
@click.pass_context
def doctor(ctx: click.Context, csv_: bool, json_: bool) -> int:
    """Check configuration, tenants, permissions, clocks, storage, mail and Dagster, and say what to do.

    Nothing is changed, and nobody is told. Exit codes: 1 backups cannot work, 2 a setting is wrong, 3 something else
    does not work.
    """
    from rich.markup import escape

    from entra_pipeline.doctor import examine

    found = []
    for one in examine(ctx.find_root().obj):
        found.append(one)
        if not (csv_ or json_):
            remedy = f"\n    → {escape(one.remedy)}" if one.remedy else ""
            say(f"{_MARKS[one.outcome]} {escape(one.subject)}, {escape(one.check)}: {escape(one.told)}{remedy}")
    broken = [one for one in found if one.outcome == "failed"]
    warned = [one for one in found if one.outcome == "warning"]
    if csv_ or json_:
        print_rows([one._asdict() for one in found], _COLUMNS, json_=json_, csv_=csv_)
    elif broken or warned:
        say(f"\n{pluralize(len(broken), 'failure')}, {pluralize(len(warned), 'warning')}")
    else:
        say("\neverything works")
    if any(one.configuration for one in (*broken, *warned)):
        return _CONFIGURATION
    if broken:
        return _FAILED
    return _LACKING if warned else 0
