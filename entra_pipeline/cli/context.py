"""What commands share: the project, a scope's store, and how results are printed."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from entra_pipeline.cli.calling import as_called
from entra_pipeline.errors import UsageError
from entra_pipeline.project import Project, load_project
from entra_pipeline.text import printable, spreadsheet_text

if TYPE_CHECKING:
    from rich.console import Console

# Columns where no terminal says how many there are: wide enough for the widest table.
_WIDE = 240
_WARNED = "entra_pipeline.warned"
_F = TypeVar("_F", bound=Callable[..., Any])


def project_of(ctx: click.Context) -> Project:
    """The project that the command was called for; says once what is wrong in files of `scopes.d`."""
    root = ctx.find_root()
    project = load_project(root.obj)
    for problem in project.problems if not root.meta.get(_WARNED) else ():
        echo(f"warning: {as_called(str(problem.error))}{_without(problem.scopes)}", err=True)
    root.meta[_WARNED] = True
    return project


def _without(scopes: Sequence[str]) -> str:
    return f"\n  not used until then: {', '.join(scopes)}" if scopes else ""


def project_file(ctx: click.Context) -> Path:
    """The project's file, for commands that change it."""
    return project_of(ctx).file


def as_json(command: _F) -> _F:
    """Adds `--json`."""
    return click.option("--json", "json_", is_flag=True, help="Print JSON.")(command)


def as_table(command: _F) -> _F:
    """Adds `--json` and `--csv`."""
    return as_json(click.option("--csv", "csv_", is_flag=True, help="Print CSV.")(command))


def listed(given: Sequence[str]) -> list[str]:
    """Values of an option that may be repeated, and may hold several."""
    return list(dict.fromkeys(name.strip() for one in given for name in one.split(",") if name.strip()))


def print_json(value: Any) -> None:
    """Prints a value as indented JSON, in UTF-8."""
    echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_rows(
    rows: Sequence[Mapping[str, Any]],
    columns: Mapping[str, str],
    *,
    json_: bool = False,
    csv_: bool = False,
    title: str = "",
    empty: str = "nothing",
    right: Iterable[str] = (),
) -> None:
    """Prints rows as a table for people, or as JSON or CSV for programs.

    Args:
        rows: The rows; JSON prints them as they are.
        columns: Key → heading, of what the table shows.
        json_: Print JSON.
        csv_: Print CSV.
        title: Above the table.
        empty: What the table says when there are no rows.
        right: Keys of columns that are aligned to the right.
    """
    if json_ and csv_:
        raise UsageError("--json and --csv exclude each other", remedy="Choose one.")
    if json_:
        print_json(rows)
    elif csv_:
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([csv_cell(row.get(key)) for key in columns] for row in rows)
        echo(out.getvalue(), nl=False)
    elif not rows:
        echo(as_called(empty))
    else:
        print_table(rows, columns, title=title, right=right)


def print_table(
    rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], *, title: str = "", right: Iterable[str] = ()
) -> None:
    """Prints a table for people."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    numbers = set(right)
    for key, heading in columns.items():
        table.add_column(heading, justify="right" if key in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_plain(row.get(key)), style=_style(row.get(key))) for key in columns))
    console().print(table)


def echo(text: str = "", *, nl: bool = True, err: bool = False) -> None:
    """Prints a text as it is to a file or program; on a terminal, nothing in it commands that."""
    stream = sys.stderr if err else sys.stdout
    click.echo(printable(text) if stream.isatty() else text, nl=nl, err=err)


class EchoedLines:
    """A file for `csv.writer` that prints as `echo` does."""

    def write(self, text: str, /) -> None:
        """Prints a text."""
        echo(text, nl=False)


def csv_cell(value: Any) -> Any:
    """A value as CSV holds it: scalars as they are, what is nested as JSON, and nothing that begins a formula."""
    if isinstance(value, str):
        return spreadsheet_text(value)
    plain = isinstance(value, int | float | None) and not isinstance(value, bool)
    return value if plain else msgspec.json.encode(value).decode()


def console(*, err: bool = False) -> Console:
    """A rich console; without a terminal it is wide enough not to break lines."""
    from rich.console import Console

    stream = sys.stderr if err else sys.stdout
    return Console(file=stream, highlight=False, width=None if stream.isatty() else _WIDE)


def say(text: str, *, err: bool = False) -> None:
    """Prints a line with rich's markup and commands as they were called; a terminal wraps it, nothing else does."""
    from rich.markup import escape

    console(err=err).print(as_called(printable(text), escape), soft_wrap=True)


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return printable(", ".join(str(one) for one in value))
    return printable(str(value))


_STYLES = {
    **dict.fromkeys(("finished", "ok", "fresh", "ready"), "green"),
    **dict.fromkeys(("finished with exception", "cancelled", "late", "warning", "gaps", "drill fell short"), "yellow"),
    **dict.fromkeys(("failed", "missing", "never backed up", "no good point", "over"), "red"),
}


def _style(value: Any) -> str:
    return _STYLES.get(value, "") if isinstance(value, str) else ""
