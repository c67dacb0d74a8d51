"""`prune` and `hold`: what retention takes from a scope, and what it has to leave alone."""

from __future__ import annotations

import getpass
from typing import Any

import click
import msgspec

from entra_pipeline.cli.calling import as_called
from entra_pipeline.cli.context import as_json, echo, print_json, print_rows, project_of, say
from entra_pipeline.cli.jobs.backups import size
from entra_pipeline.cli.queries.points import point_at
from entra_pipeline.errors import StoreError, UsageError
from entra_pipeline.operations.environment import COMMAND
from entra_pipeline.operations.retention import prune_scope
from entra_pipeline.project.stores import open_store
from entra_pipeline.store.retention import holds
from entra_pipeline.store.retention.prune import PruneResult
from entra_pipeline.text import pluralize


@click.command()
@click.argument("scope_name", metavar="[SCOPE]", required=False)
@click.option("--dry-run", is_flag=True, help="Show what would be deleted; change nothing.")
@as_json
@click.pass_context
def prune(ctx: click.Context, scope_name: str | None, dry_run: bool, json_: bool) -> int:
    """Delete expired recovery points and log days of SCOPE or all scopes, and leftovers of interrupted runs.

    Files that another point needs are kept. So are the newest point, the last good one, and everything on hold.
    """
    project = project_of(ctx)
    scopes = [project.scope(scope_name)] if scope_name else list(project.scopes.values())
    rows: list[dict[str, Any]] = []
    failed = False
    for scope in scopes:
        try:
            pruned = prune_scope(open_store(project, scope), scope, by=_who(), dry_run=dry_run, origin=COMMAND)
        except StoreError as error:
            if scope_name:
                raise
            failed = True
            echo(f"error: {as_called(str(error))}", err=True)
            rows.append({"scope": scope.name, "retention": str(scope.retention), "error": error.message})
            continue
        rows.append(_row(pruned, dry_run=dry_run))
        if not json_:
            _print(pruned, dry_run=dry_run)
    if json_:
        print_json(rows)
    return 1 if failed else 0


def _row(pruned: PruneResult, *, dry_run: bool) -> dict[str, Any]:
    return {
        "scope": pruned.scope,
        "retention": pruned.retention,
        "dry_run": dry_run,
        "points": [
            {
                "recovery_point": one.recovery_point,
                "expires": one.expires,
                "forgotten": not one.kept,
                "kept": one.kept,
            }
            for one in pruned.verdicts
        ],
        "forgotten": len(pruned.forgotten),
        "log_days_forgotten": len(pruned.days_forgotten),
        "log_days_kept": dict(pruned.days_kept_beyond_their_time),
        "files_deleted": len(pruned.deleted.keys),
        "bytes_deleted": pruned.deleted.bytes,
        "files_locked": len(pruned.deleted.locked),
        "error": "",
    }


def _print(pruned: PruneResult, *, dry_run: bool) -> None:
    would = "would be " if dry_run else ""
    rows = [
        {"point": one.recovery_point, "expired": one.expires, "what": one.kept or f"{would}forgotten"}
        for one in sorted([*pruned.kept_beyond_their_time, *(one for one in pruned.verdicts if not one.kept)])
    ]
    if rows:
        print_rows(rows, {"point": "recovery point", "expired": "expired", "what": "outcome"})
    stay = len(pruned.verdicts) - len(pruned.forgotten)
    say(
        f"scope {pruned.scope}, retention {pruned.retention}: "
        f"[bold]{pluralize(len(pruned.forgotten), 'recovery point')}[/] {would}forgotten, {stay:,} kept; "
        f"{pluralize(len(pruned.deleted.keys), 'file')} {would}deleted, "
        f"[bold]{size(pruned.deleted.bytes)}[/] {would}freed"
    )
    if pruned.days_forgotten:
        say(f"{pluralize(len(pruned.days_forgotten), 'day')} of logs {would}forgotten")
    for reason, number in pruned.days_kept_beyond_their_time.items():
        echo(f"{pluralize(number, 'day')} of logs past {'its' if number == 1 else 'their'} time kept: {reason}")
    if pruned.deleted.locked:
        say(
            f"kept until their Object Lock ends: {pluralize(len(pruned.deleted.locked), 'file')} "
            "that no recovery point needs"
        )


@click.command()
@click.argument("scope_name", metavar="SCOPE")
@click.option("--at", "moment", metavar="POINT|TIME", help="Only this recovery point. [default: the whole scope]")
@click.option("--reason", metavar="TEXT", help="Reason for the hold.")
@click.option("--release", is_flag=True, help="Release the hold.")
@as_json
@click.pass_context
def hold(
    ctx: click.Context, scope_name: str, moment: str | None, reason: str | None, release: bool, json_: bool
) -> None:
    """Hold SCOPE or one of its recovery points: it is not pruned until it is released, nor are the logs of its time.

    --reason sets a hold, --release releases it. Without options: list the holds.
    """
    if release and reason is not None:
        raise UsageError("--reason and --release exclude each other", remedy="Choose one.")
    if moment and not release and reason is None:
        raise UsageError(
            "a hold needs a reason; no hold was set",
            remedy=f"To hold it: entra-pipeline hold {scope_name} --at {moment} --reason TEXT. Instead of --reason, "
            "--release releases a hold; without these options, holds are listed.",
        )
    project = project_of(ctx)
    store = open_store(project, project.scope(scope_name))
    point = point_at(store, moment).recovery_point if moment else ""
    if release:
        holds.release(store, point)
    elif reason is not None:
        holds.hold(store, point, reason=reason, by=_who())
    held = [msgspec.to_builtins(one) for _, one in sorted(holds.retention_holds(store).items())]
    rows = held if json_ else [{**one, "recovery_point": one["recovery_point"] or "the whole scope"} for one in held]
    columns = {"recovery_point": "held", "reason": "reason", "by": "by", "since": "since"}
    print_rows(rows, columns, json_=json_, empty=f"nothing of scope {scope_name} is held")


def _who() -> str:
    """The person at the command, as the operating system knows them."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "command"
