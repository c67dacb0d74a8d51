"""`report`: what the people around the backups want to know."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import click

from entra_pipeline.cli.calling import as_called
from entra_pipeline.cli.context import echo, print_table, project_of, say
from entra_pipeline.cli.jobs.backups import FINISHED_WITH_EXCEPTION
from entra_pipeline.clock import system_clock
from entra_pipeline.errors import UsageError
from entra_pipeline.reports import REPORTS, Report, ReportRequest, ReportType, job
from entra_pipeline.reports.rendering import FORMATS
from entra_pipeline.reports.rendering.plain import shown, shown_fact, used_columns

_F = TypeVar("_F", bound=Callable[..., Any])
_DATE = click.DateTime(["%Y-%m-%d"])
_SHOWN = 100
_TABLE = "table"
_NUMBERS = {"number", "percent", "seconds"}


def _output(command: _F) -> _F:
    """The options that say how a report is shown."""
    command = click.option(
        "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write the report to a file."
    )(command)
    return click.option(
        "--format",
        "format_",
        type=click.Choice([_TABLE, *FORMATS]),
        help="Output format. [default: from the extension of FILE, else table]",
    )(command)


@click.group()
def report() -> None:
    """Reports as a table, CSV, JSON, an HTML page with charts, or a spreadsheet."""


def _command(name: str, kind: ReportType) -> click.Command:
    """The command of a kind of report."""

    @click.pass_context
    def command(
        ctx: click.Context,
        /,
        scope_name: str,
        format_: str | None,
        output: Path | None,
        first: datetime | None = None,
        last: datetime | None = None,
        **filters: str | None,
    ) -> int:
        now = system_clock()
        end = last.date() if last else now.date()
        start = first.date() if first else end - timedelta(days=max(kind.days - 1, 0))
        if start > end:
            raise UsageError(f"{start} comes after {end}", remedy="Set --from to the earlier day.")
        only = {kind.filters[name]: value for name, value in filters.items() if value}
        asked = ReportRequest(project_of(ctx), now, start, end, scope=scope_name, only=only)
        return _show(kind.build(asked), format_, output)

    options: list[click.Parameter] = [
        click.Option(["--scope", "scope_name"], default="", metavar="SCOPE", help="Only this scope.")
    ]
    if kind.days:
        text = f"The first day (UTC). [default: {kind.days} days, the last included]"
        options.append(click.Option(["--from", "first"], type=_DATE, metavar="DATE", help=text))
        options.append(
            click.Option(["--to", "last"], type=_DATE, metavar="DATE", help="The last day. [default: today]")
        )
    options += [
        click.Option([f"--{option}"], metavar="TEXT", help=f"Only rows whose {column} contains the text.")
        for option, column in kind.filters.items()
    ]
    return _output(click.Command(name, callback=command, params=options, help=kind.about))


for _name, _kind in REPORTS.items():
    report.add_command(_command(_name, _kind))


@report.command("job")
@click.argument("job_id", metavar="ID")
@click.option("--scope", "scope_name", default="", metavar="SCOPE", help="The scope of the job, if known.")
@_output
@click.pass_context
def job_report(ctx: click.Context, job_id: str, scope_name: str, format_: str | None, output: Path | None) -> int:
    """One job by type and by object, with every exception."""
    now = system_clock()
    asked = ReportRequest(project_of(ctx), now, now.date(), now.date(), scope=scope_name)
    return _show(job(asked, job_id), format_, output)


def _show(made: Report, format_: str | None, output: Path | None) -> int:
    """Prints or writes a report; exit code 3 when it could not find out everything."""
    suffix = output.suffix.removeprefix(".") if output else ""
    chosen = format_ or (suffix if suffix in FORMATS else _TABLE)
    if output is not None and chosen == _TABLE:
        raise UsageError(
            f"{output} has no extension that names a format", remedy=f"Set --format to one of {', '.join(FORMATS)}."
        )
    if output is None and chosen == "xlsx" and sys.stdout.isatty():
        raise UsageError("a spreadsheet cannot be written to a terminal", remedy="Set --output to a file.")
    if chosen == _TABLE:
        _print(made)
    elif output is None:
        data = FORMATS[chosen](made)
        if chosen == "xlsx":
            click.echo(data, nl=False)
        else:
            echo(data.decode(), nl=False)
    else:
        try:
            output.write_bytes(FORMATS[chosen](made))
        except OSError as error:
            raise UsageError(f"{output} cannot be written ({error.strerror})", remedy="Name another file.") from None
        echo(f"wrote {output}", err=True)
    for problem in made.problems:
        echo(f"warning: {as_called(problem)}", err=True)
    return FINISHED_WITH_EXCEPTION if made.problems else 0


def _print(made: Report) -> None:
    from rich.markup import escape

    say(f"[bold]{escape(made.title)}[/] [dim]{escape(made.subtitle)}[/]")
    say(", ".join(f"{escape(name)}: {escape(shown_fact(name, value))}" for name, value in made.facts.items()))
    for table in made.tables:
        rows = table.rows[-_SHOWN:]
        if not rows:
            say(f"\n{escape(table.title)}: {escape(table.empty)}")
            continue
        columns = [column for column in used_columns(table) if not column.detail]
        print_table(
            [{column.key: shown(row.get(column.key), column.kind) for column in columns} for row in rows],
            {column.key: column.heading for column in columns},
            title=f"\n{table.title}",
            right=[column.key for column in columns if column.kind in _NUMBERS],
        )
        if more := len(table.rows) - len(rows):
            say(f"… the last {_SHOWN}; {more:,} before them: --format json, or --output FILE, has all")
