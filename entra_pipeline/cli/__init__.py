"""The `entra-pipeline` command.

`registry` lists the commands. Each is a module of a floor: `jobs` (back up, restore, prune), `queries` (points, SQL,
reports), `setup` (scopes, console, demo). A call goes through these steps:

1. The module is imported only when its command runs, so `--help` answers at once.
2. `auditing` wraps the command: everything that is not only reading is recorded in the audit log.
3. The command calls the core, shows progress (`progress`) and tables (`context`).
4. After a job, notifications are sent; an error is printed with its remedy, without a stack trace.

Commands hold no logic of their own: the core does the work, and the console and Dagster call the same functions.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

import click

from entra_pipeline.cli.auditing import audited
from entra_pipeline.cli.registry import COMMANDS
from entra_pipeline.errors import EntraPipelineError
from entra_pipeline.text import printable

# Commands that run jobs, of which somebody may want to be told.
_JOBS = {"backup", "restore", "prune", "drill"}
_INTERRUPTED = 130


class _Lazy(click.Group):
    """A group that imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(f"entra_pipeline.cli.{module}"), name)
        return audited(cmd_name, command)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; however a job ends, those are told who want to be."""
        try:
            return super().invoke(ctx)
        finally:
            if ctx.invoked_subcommand in _JOBS:
                from entra_pipeline.cli.setup.notifications import tell

                tell(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from entra_pipeline.text import did_you_mean

        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"no such command: {args[0]}{did_you_mean(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--project",
    "project_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The configuration. [default: $ENTRA_PIPELINE_PROJECT or ./dagster_project.toml]",
)
@click.version_option(package_name="entra-pipeline", prog_name="entra-pipeline")
@click.pass_context
def cli(ctx: click.Context, project_file: Path | None) -> None:
    """Back up and restore Microsoft Entra ID tenants: recovery points as Parquet on S3 or disk.

    Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 finished with exception.
    """
    from entra_pipeline.cli.calling import called_for

    called_for(project_file)
    ctx.obj = project_file


def main() -> None:
    """Entry point: runs the command and explains errors without stack traces."""
    # What it writes is of people: its files are for nobody else on the machine.
    os.umask(0o077)
    # A process that ends gives its memory back whole: searching it for garbage first takes 0.3 to 0.5 s of one core.
    atexit.register(gc.freeze)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs the command with the given arguments; the exit code."""
    try:
        return int(cli.main(args=arguments, prog_name="entra-pipeline", standalone_mode=False) or 0)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("cancelled; committed data is kept, nothing else is visible", err=True)
        return _INTERRUPTED
    except EntraPipelineError as error:
        return _explained(error)
    except Exception as error:
        if failed := _storage_failure(error):
            return _explained(failed)
        trace = _keep_trace()
        click.echo(
            f"unexpected error: {type(error).__name__}: {printable(str(error))}\n"
            f"  → This is a bug; report it with {trace}.",
            err=True,
        )
        return 1


def _explained(error: EntraPipelineError) -> int:
    from entra_pipeline.cli.calling import as_called

    click.echo(f"error: {as_called(printable(str(error)))}", err=True)
    return error.exit_code


def _storage_failure(error: Exception) -> EntraPipelineError | None:
    """Returns what failed in the storage while DuckDB read it; None when it was something else."""
    duckdb = sys.modules.get("duckdb")
    if duckdb is None or not isinstance(error, duckdb.Error):
        return None
    from entra_pipeline.store.backends.duckdb_errors import storage_error

    return storage_error(error)


def _keep_trace() -> str:
    handle, name = tempfile.mkstemp(prefix="entra-pipeline-error-", suffix=".txt")
    with os.fdopen(handle, "w") as file:
        traceback.print_exc(file=file)
    return name


__all__ = ["COMMANDS", "cli", "main", "run"]
