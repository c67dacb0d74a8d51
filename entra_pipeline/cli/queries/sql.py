"""`sql`: questions over everything that is stored."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import duckdb
import msgspec

from entra_pipeline.analysis.sql import Relations, SqlSession, plain, write_catalog
from entra_pipeline.cli.calling import as_called
from entra_pipeline.cli.context import console, csv_cell, echo, print_rows, print_table, project_of, say
from entra_pipeline.errors import EntraPipelineError, StoreError, UsageError
from entra_pipeline.project import Project
from entra_pipeline.project.stores import complete_indexes
from entra_pipeline.store.backends.duckdb_errors import storage_error

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession

_SHOWN = 100
_BATCH = 1000
# A column narrower than this shows no id and hardly a name.
_READABLE = 12
_HELP = "SQL ends with ;  ·  .tables lists the views  ·  .quit ends"


@click.command()
@click.argument("query", required=False)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "csv", "json", "parquet"]),
    help="Output format. [default: from the extension of FILE, else table]",
)
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write the result to a file."
)
@click.option(
    "--write-catalog",
    "catalog",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a DuckDB database with all views and macros, for other tools.",
)
@click.option("--tables", is_flag=True, help="List the views and macros.")
@click.pass_context
def sql(
    ctx: click.Context,
    query: str | None,
    format_: str | None,
    output: Path | None,
    catalog: Path | None,
    tables: bool,
) -> None:
    """Run QUERY, in DuckDB's SQL, over the recovery points of all scopes.

    Each object type and relation has three forms: `users` (as of now), `users_at('SCOPE', 'TIME')` and `users_history`.
    `role_holders`, `app_permissions` and others say who may do what. There are also recovery_points,
    recovery_point_tables, jobs, audit_events and the logs. Without QUERY, it is read
    from standard input; a terminal opens an interactive prompt.
    """
    project = project_of(ctx)
    if (query is not None) + (catalog is not None) + tables > 1:
        raise UsageError("QUERY, --write-catalog and --tables exclude each other", remedy="Use one of them.")
    if tables and format_ in {"csv", "json"}:
        rows = [{"name": name} for name in Relations.names()]
        print_rows(rows, {"name": "name"}, json_=format_ == "json", csv_=format_ == "csv")
        return
    if tables:
        _print_tables()
        return
    _complete_indexes(project)
    if catalog is not None:
        _write(project, catalog)
        return
    with SqlSession.of(project) as session:
        if query is None and sys.stdin.isatty():
            _converse(session)
            return
        _answer(session, query if query is not None else sys.stdin.read(), _format(format_, output), output)


def _complete_indexes(project: Project) -> None:
    """Writes indexes that older releases did not; a place that may only be read goes without."""
    for name, missing, problem in complete_indexes(project):
        if problem:
            say(f"[yellow]{name}: {problem}[/]", err=True)
        elif missing:
            say(f"{name}: indexed {missing} recovery points", err=True)


# --- The catalog -----------------------------------------------------------------------------------------------------


def _write(project: Project, path: Path) -> None:
    if sys.stderr.isatty():
        with console(err=True).status("writing …") as status:
            write_catalog(
                Relations.of(project), path, progress=lambda done, of: status.update(f"writing {done} of {of} …")
            )
    else:
        write_catalog(Relations.of(project), path)
    echo(f"{path}: {len(Relations.names())} views and macros; no data, and no secrets")
    used = {scope.storage for scope in project.scopes.values()}
    statements = [one for name in sorted(used) for one in project.storage[name].access_statements(name)]
    for name in sorted(used):
        if project.storage[name].encryption:
            echo(
                f"{name} is encrypted: entra-pipeline storage keys {name} --duckdb prints the statements with its keys"
            )
    if statements:
        echo("Statements to run before opening it:\n")
        echo("\n".join(dict.fromkeys(statements)))


# --- Answers ---------------------------------------------------------------------------------------------------------


def _format(asked: str | None, output: Path | None) -> str:
    if asked:
        return asked
    suffix = output.suffix.lstrip(".").lower() if output else ""
    return suffix if suffix in {"csv", "json", "parquet"} else "table"


def _answer(session: SqlSession, text: str, format_: str, output: Path | None) -> None:
    """Runs the statements of a text in turn, and shows what they answer."""
    statements = session.statements(text)
    if sum(one.answers for one in statements) > 1 and (format_ != "table" or output):
        raise UsageError(
            "more than one statement has an answer, which only tables on the terminal show one after the other",
            remedy="Ask one of them; SET VARIABLE before it gives it values.",
        )
    for one in statements:
        answer = session.ask(one.text)
        if one.answers:
            _print(answer, format_, output)


def _print(answer: duckdb.DuckDBPyConnection, format_: str, output: Path | None) -> None:
    if format_ == "parquet":
        if output is None:
            raise UsageError("Parquet cannot be written to a terminal", remedy="Add --output FILE.")
        import pyarrow.parquet as pq

        with _writable(output):
            pq.write_table(answer.fetch_arrow_table(), output, compression="zstd")
        return
    if format_ == "table" and output is None:
        _print_table(answer)
        return
    pieces = _json(answer) if format_ == "json" else _csv(answer)
    if output is None:
        for piece in pieces:
            echo(piece, nl=False)
        return
    with _writable(output), output.open("w", encoding="utf-8", newline="") as file:
        file.writelines(pieces)
    echo(f"{output} written", err=True)


class _writable:
    """Explains why a file cannot be written."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        """Nothing yet."""

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if isinstance(error, OSError):
            raise UsageError(
                f"{self._path} cannot be written: {error.strerror}",
                remedy="Choose a file in a writable folder.",
            ) from None


def _fetched(answer: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    try:
        while rows := answer.fetchmany(_BATCH):
            yield from rows
    except duckdb.Error as error:
        raise storage_error(error) or StoreError(
            str(error).splitlines()[0], remedy="entra-pipeline verify shows what is damaged or missing."
        ) from None


def _csv(answer: duckdb.DuckDBPyConnection) -> Iterator[str]:
    """CSV, a row at a time."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([csv_cell(column[0]) for column in answer.description])
    for row in _fetched(answer):
        writer.writerow([csv_cell(plain(value)) for value in row])
        yield out.getvalue()
        out.seek(0)
        out.truncate()
    yield out.getvalue()


def _json(answer: duckdb.DuckDBPyConnection) -> Iterator[str]:
    """A JSON array, a row at a time; columns of type JSON are JSON in it, not text."""
    columns = [(column[0], str(column[1]) == "JSON") for column in answer.description]
    mark = "["
    for row in _fetched(answer):
        found = {
            name: msgspec.Raw(value.encode()) if is_json and value is not None else plain(value)
            for (name, is_json), value in zip(columns, row, strict=True)
        }
        yield f"{mark}\n{msgspec.json.encode(found).decode()}"
        mark = ","
    yield "[]\n" if mark == "[" else "\n]\n"


def _print_table(answer: duckdb.DuckDBPyConnection) -> None:
    """Prints a table, or records one below the other where it is too wide for the terminal."""
    columns = [column[0] for column in answer.description]
    rows = _fetched(answer)
    shown = [row for _, row in zip(range(_SHOWN), rows, strict=False)]
    if not shown:
        echo("no rows")
        return
    # Two columns of an answer may have the same name.
    keys = [str(number) for number in range(len(columns))]
    table = [dict(zip(keys, (plain(value) for value in row), strict=True)) for row in shown]
    if sum(_least_width(name, row[key]) for row in table[:1] for key, name in zip(keys, columns, strict=True)) > (
        console().width
    ):
        _print_records(table, columns)
    else:
        numbers = [key for key in keys if isinstance(shown[0][int(key)], int | float)]
        print_table(table, dict(zip(keys, columns, strict=True)), right=numbers)
    if next(rows, None) is not None:
        echo(f"… more than {_SHOWN} rows; --format csv has them all", err=True)


def _least_width(name: str, value: Any) -> int:
    """Characters below which a column cannot be read, with the gap to the next one."""
    return min(max(len(name), len(str(value))), _READABLE) + 2


def _print_records(table: list[dict[str, Any]], columns: list[str]) -> None:
    """Prints each row as a table of its own; columns without a value are left out."""
    for number, row in enumerate(table, 1):
        rows = [
            {"column": name, "value": value}
            for name, value in zip(columns, row.values(), strict=True)
            if value is not None
        ]
        print_table(rows, {"column": f"row {number}", "value": ""})


# --- One after the other ---------------------------------------------------------------------------------------------


def _converse(session: SqlSession) -> None:
    """Asks for questions until the end; an error is told, and the next one asked for."""
    say(f"[dim]{_HELP}[/]")
    prompt = _prompt(session)
    while True:
        try:
            text = prompt.prompt("sql> ").strip().removesuffix(";").strip()
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        if text in {".quit", ".exit", "quit", "exit"}:
            return
        if text == ".tables":
            _print_tables()
        elif text:
            try:
                _answer(session, text, "table", None)
            except EntraPipelineError as error:
                echo(f"error: {as_called(str(error))}", err=True)


def _print_tables() -> None:
    rows = [{"about": about, "views": ", ".join(names)} for about, names in Relations.by_category().items()]
    print_table(rows, {"about": "about", "views": "views"})
    say("Of what is backed up there are, for example, users, users_at('SCOPE', 'TIME') and users_history as well.")


def _prompt(session: SqlSession) -> PromptSession[str]:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import Completer, Completion
    from prompt_toolkit.filters import Condition
    from prompt_toolkit.history import FileHistory

    class Names(Completer):
        """Completes tables, and columns of the tables that the text mentions."""

        def get_completions(self, document: Any, complete_event: Any) -> Iterator[Completion]:
            begun = document.get_word_before_cursor()
            if begun:
                for name in session.completions(document.text, begun):
                    yield Completion(name, start_position=-len(begun))

    history = Path.home() / ".local" / "state" / "entra-pipeline"
    history.mkdir(parents=True, exist_ok=True)
    prompt: PromptSession[str] = PromptSession(
        history=FileHistory(str(history / "sql-history")), completer=Names(), complete_while_typing=False
    )
    # Enter ends a statement that ends with a semicolon, and a command that begins with a dot.
    prompt.multiline = Condition(
        lambda: (
            not (text := prompt.default_buffer.text.strip()).endswith(";") and not text.startswith(".") and bool(text)
        )
    )
    return prompt
