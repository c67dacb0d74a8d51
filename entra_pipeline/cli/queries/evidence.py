"""`evidence`: one signed file for an auditor."""

from __future__ import annotations

from datetime import datetime
from importlib.resources import files
from pathlib import Path

import click

from entra_pipeline.cli.calling import as_called
from entra_pipeline.cli.context import echo, project_of, say
from entra_pipeline.cli.jobs.backups import FINISHED_WITH_EXCEPTION
from entra_pipeline.clock import system_clock
from entra_pipeline.errors import UsageError
from entra_pipeline.operations.evidence import EvidenceFile, make_evidence

_DATE = click.DateTime(["%Y-%m-%d"])
_SCRIPT = "verify_evidence.py"


@click.command()
@click.argument("scope_names", nargs=-1, metavar="[SCOPE]...")
@click.option("--from", "first", type=_DATE, metavar="DATE", help="The first day (UTC).")
@click.option("--to", "last", type=_DATE, metavar="DATE", help="The last day (UTC). [default: today]")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where to write it. [default: evidence-FROM-TO.jsonl]",
)
@click.option("--script", is_flag=True, help=f"Only print {_SCRIPT}, which checks the file without entra-pipeline.")
@click.pass_context
def evidence(
    ctx: click.Context,
    scope_names: tuple[str, ...],
    first: datetime | None,
    last: datetime | None,
    output: Path | None,
    script: bool,
) -> int:
    """Write one signed file that proves to an auditor what was done for SCOPEs, all unless named, in a period.

    It has recovery points, drills, restores and approvals, holds, pruned points, settings, what was missed, and the
    audit log's chain, but no data of the tenant's. Exit code 3: it is not signed, or not complete.
    """
    if script:
        click.echo(files("entra_pipeline.evidence").joinpath(_SCRIPT).read_text(encoding="utf-8"), nl=False)
        return 0
    if first is None:
        raise UsageError("the period has no first day", remedy="Set --from, for example --from 2026-01-01.")
    now = system_clock()
    start, end = first.date(), last.date() if last else now.date()
    made = make_evidence(project_of(ctx), scope_names, start, end, now)
    target = output or Path(f"evidence-{start}-{end}.jsonl")
    try:
        target.write_bytes(made.data)
    except OSError as error:
        raise UsageError(f"{target} cannot be written ({error.strerror})", remedy="Name another file.") from None
    return _told(target, made)


def _told(target: Path, made: EvidenceFile) -> int:
    """Says what was written, and how it is checked; returns the exit code."""
    echo(f"wrote {target}", err=True)
    for problem in made.problems:
        echo(f"warning: {as_called(problem)}", err=True)
    if made.key is None:
        echo(
            "warning: the evidence is not signed: anybody may change it. Set signing = { private_key = … } in "
            f"[storage.{made.storage}] (openssl genpkey -algorithm ed25519 -out signing.pem), then run: "
            + as_called(f"entra-pipeline storage sign {made.storage}"),
            err=True,
        )
    else:
        say(
            f"It is signed. To check it elsewhere: python3 {_SCRIPT} {target} {made.key.text}\n"
            f"The script comes from: {as_called('entra-pipeline evidence --script')}"
        )
    return 0 if made.key and not made.problems else FINISHED_WITH_EXCEPTION
