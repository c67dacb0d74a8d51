"""`notifications`: who is told of what, and whether messages arrive; and what the command tells after a job."""

from __future__ import annotations

import click

from entra_pipeline.channels import CHANNELS
from entra_pipeline.cli.context import as_table, echo, print_rows, project_of, say
from entra_pipeline.errors import EntraPipelineError
from entra_pipeline.notifications import dispatch, places, profile_rows, send_test

_COLUMNS = {
    "profile": "profile",
    **{channel.setting: channel.setting for channel in CHANNELS.values()},
    "backup": "backup",
    "restore": "restore",
    "prune": "prune",
    "drill": "drill",
    "unusual": "unusual",
    "digest": "digest",
    "waiting": "waiting",
    "problem": "problem",
}


@click.group()
def notifications() -> None:
    """Show notification profiles, and test them."""


@notifications.command("list")
@as_table
@click.pass_context
def list_(ctx: click.Context, csv_: bool, json_: bool) -> None:
    """List the notification profiles: recipients, events, queued messages and their last problem."""
    rows = profile_rows(project_of(ctx))
    print_rows(rows, _COLUMNS, json_=json_, csv_=csv_, empty="no notification profile", right=("waiting",))


@notifications.command()
@click.argument("profile")
@click.pass_context
def test(ctx: click.Context, profile: str) -> None:
    """Send a test message to PROFILE."""
    for one in send_test(project_of(ctx), profile):
        echo(f"sent to {one}")


def tell(ctx: click.Context) -> None:
    """Tells what waits, after a job. What cannot be told now is told later; it changes nothing of how the job ended."""
    try:
        project = project_of(ctx)
        found = [place for _, place in places(project)]
    except EntraPipelineError:
        # The command has said so itself.
        return
    for place in found:
        try:
            problems = dispatch(project, place()).problems
        except EntraPipelineError as error:
            problems = [error.message]
        for problem in problems if project.notifications else ():
            say(f"[yellow]![/] not notified: {_escaped(problem)}", err=True)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
