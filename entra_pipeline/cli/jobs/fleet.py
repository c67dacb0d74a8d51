"""`fleet`: how all scopes stand, and what is done with many of them at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

import click
import msgspec

from entra_pipeline.cli.context import echo, print_rows, project_of, say
from entra_pipeline.cli.jobs.backups import FINISHED_WITH_EXCEPTION
from entra_pipeline.cli.queries.sql import sql
from entra_pipeline.clock import system_clock
from entra_pipeline.errors import EntraPipelineError, UsageError
from entra_pipeline.project import Project, Scope
from entra_pipeline.project.schedules import last_run
from entra_pipeline.project.stores import open_stores
from entra_pipeline.reports.fleet import UNREADABLE, FleetScope, fleet_status
from entra_pipeline.store.points.keys import moment_of
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.verify import verify as verify_points
from entra_pipeline.text import pluralize

ATTENTION = 3
_FORMATS = click.Choice(["table", "csv", "json"])
_COLUMNS = {
    "tenant": "tenant",
    "scope": "scope",
    "state": "state",
    "last_good": "last good",
    "age": "age",
    "schedule": "schedule",
    "next": "next",
    "status": "last point",
    "problem": "problem",
}
_VERIFIED = {
    "scope": "scope",
    "recovery_point": "recovery point",
    "checks": "checks",
    "ok": "result",
    "problem": "problem",
}
# What a process of a backup is: the command itself, wherever it is installed.
_COMMAND = (sys.executable, "-c", "from entra_pipeline.cli import main; main()")
_RESULTS = {0: "finished", FINISHED_WITH_EXCEPTION: "finished with exception", 130: "cancelled"}


@click.group()
def fleet() -> None:
    """See how all scopes stand, and back up, verify or query many at once.

    PATTERN is a name of a scope or a tenant, with * and ? for any characters.
    """


@fleet.command("status")
@click.argument("patterns", metavar="[PATTERN]...", nargs=-1)
@click.option("--attention", is_flag=True, help="Only scopes that need attention.")
@click.option("--check", is_flag=True, help=f"Exit code {ATTENTION} when a scope needs attention.")
@click.option("--format", "format_", type=_FORMATS, default="table", show_default=True, help="Output format.")
@click.pass_context
def status(ctx: click.Context, patterns: Sequence[str], attention: bool, check: bool, format_: str) -> int:
    """Show the last good recovery point of every scope against its schedule, what needs attention first."""
    project = project_of(ctx)
    found = fleet_status(project, _matching(project, patterns), system_clock())
    if patterns:
        found = [one for one in found if one.scope in project.scopes or _matches(one.scope, "", patterns)]
    bad = [one for one in found if not one.good]
    rows = [_row(one) for one in (bad if attention else found)]
    troubled = any(one.problem for one in found)
    columns = {key: heading for key, heading in _COLUMNS.items() if troubled or key != "problem"}
    empty = "no scope needs attention" if found else "there is no scope; entra-pipeline scope create makes one"
    print_rows(rows, columns, json_=format_ == "json", csv_=format_ == "csv", empty=empty)
    if format_ == "table" and found:
        needing = f"{len(bad):,} need{'s' if len(bad) == 1 else ''} attention" if bad else "none needs attention"
        say(f"{pluralize(len(found), 'scope')}: {needing}")
    return ATTENTION if check and bad else 0


@fleet.command("backup")
@click.argument("patterns", metavar="[PATTERN]...", nargs=-1)
@click.option("--parallel", type=click.IntRange(1, 64), default=4, show_default=True, help="Backups at a time.")
@click.option("--dry-run", is_flag=True, help="Only list the scopes.")
@click.option("--format", "format_", type=_FORMATS, default="table", show_default=True, help="Output format.")
@click.pass_context
def backup(ctx: click.Context, patterns: Sequence[str], parallel: int, dry_run: bool, format_: str) -> int:
    """Back up the scopes that match a PATTERN, or without one all that are due: no point since the last tick.

    Each backup is a process of its own, recorded and notified like `backup SCOPE`; one that fails stops no other.
    Exit code 1: a scope has no new recovery point. 3: all have one, and some have gaps.
    """
    project = project_of(ctx)
    scopes = _matching(project, patterns)
    unread: list[FleetScope] = []
    if not patterns:
        now = system_clock()
        found = [one for one in fleet_status(project, scopes, now) if one.scope in scopes]
        unread = [one for one in found if one.state == UNREADABLE]
        scopes = {one.scope: scopes[one.scope] for one in found if _is_due(scopes[one.scope], one, now)}
    rows = [{"scope": one.scope, "result": "failed", "recovery_point": "", "error": one.problem} for one in unread]
    if dry_run:
        rows += [{"scope": name, "result": "due", "recovery_point": "", "error": ""} for name in scopes]
    else:
        rows += _back_up(project, scopes, parallel)
    columns = {"scope": "scope", "result": "result", "recovery_point": "recovery point", "error": "error"}
    print_rows(rows, columns, json_=format_ == "json", csv_=format_ == "csv", empty="no scope is due")
    results = {row["result"] for row in rows}
    if results & {"failed", "cancelled"}:
        return 1
    return FINISHED_WITH_EXCEPTION if "finished with exception" in results else 0


@fleet.command("verify")
@click.argument("patterns", metavar="[PATTERN]...", nargs=-1)
@click.option("--parallel", type=click.IntRange(1, 64), default=4, show_default=True, help="Scopes at a time.")
@click.option("--format", "format_", type=_FORMATS, default="table", show_default=True, help="Output format.")
@click.pass_context
def verify(ctx: click.Context, patterns: Sequence[str], parallel: int, format_: str) -> int:
    """Check the newest recovery point of every scope: checksums of its files, its place in the chain, counts.

    `verify SCOPE` checks all points of a scope. Exit code 1: something was changed, is missing or damaged, or a storage
    cannot be read.
    """
    project = project_of(ctx)
    with ThreadPoolExecutor(parallel) as pool:
        rows = list(pool.map(_verified, open_stores(project, _matching(project, patterns))))
    rows.sort(key=lambda row: (row["ok"], row["scope"]))
    shown = [{**row, "ok": "ok" if row["ok"] else "failed"} for row in rows] if format_ == "table" else rows
    print_rows(shown, _VERIFIED, json_=format_ == "json", csv_=format_ == "csv", empty="there is no scope")
    return 0 if all(row["ok"] for row in rows) else 1


fleet.add_command(sql)


def _verified(opened: tuple[str, ScopeStore | EntraPipelineError]) -> dict[str, Any]:
    name, store = opened
    row: dict[str, Any] = {"scope": name, "recovery_point": "", "checks": 0, "ok": True, "problem": ""}
    try:
        if isinstance(store, EntraPipelineError):
            raise store
        points = store.points()
        findings = list(verify_points(store, points[-1:])) if points else []
    except EntraPipelineError as error:
        return {**row, "ok": False, "problem": error.message}
    problems = [f"{one.table or one.point}: {one.problem}" for one in findings if not one.ok]
    return {
        **row,
        "recovery_point": points[-1] if points else "",
        "checks": len(findings),
        "ok": not problems,
        "problem": "; ".join(problems) if points else "never backed up",
    }


def _back_up(project: Project, scopes: Mapping[str, Scope], parallel: int) -> Iterator[dict[str, Any]]:
    """Backs up scopes, so many at a time; yields what became of each, in the order in which they end."""
    with ThreadPoolExecutor(parallel) as pool:
        running = [pool.submit(_back_up_one, str(project.file), name) for name in scopes]
        for number, one in enumerate(as_completed(running), 1):
            row = one.result()
            echo(f"{number} of {len(running)}: {row['scope']}: {row['result']}", err=True)
            yield row


def _back_up_one(file: str, name: str) -> dict[str, Any]:
    command = [*_COMMAND, "--project", file, "backup", name, "--json"]
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603 - this program, on a configured scope
    result = _RESULTS.get(done.returncode, "failed")
    point = (
        msgspec.json.decode(done.stdout)["recovery_point"] if done.returncode in (0, FINISHED_WITH_EXCEPTION) else ""
    )
    told = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    error = told[-1].removeprefix("error: ") if told else ""
    return {"scope": name, "result": result, "recovery_point": point, "error": error}


def _matching(project: Project, patterns: Sequence[str]) -> dict[str, Scope]:
    """Returns the scopes that match one of the patterns, all without any; raises UsageError when one matches none."""
    names = [(name, scope.tenant) for name, scope in project.scopes.items()]
    names += [(name, "") for problem in project.problems for name in problem.scopes]
    for pattern in patterns:
        if not any(_matches(name, tenant, [pattern]) for name, tenant in names):
            raise UsageError(
                f"no scope or tenant matches {pattern!r}", remedy="entra-pipeline fleet status lists all scopes."
            )
    return {
        name: scope for name, scope in project.scopes.items() if not patterns or _matches(name, scope.tenant, patterns)
    }


def _matches(scope: str, tenant: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(one, pattern) for one in (scope, tenant) if one for pattern in patterns)


def _is_due(scope: Scope, found: FleetScope, now: datetime) -> bool:
    """Whether the schedule of a scope has ticked since its newest point was taken."""
    if found.state == UNREADABLE or (ticked := last_run(scope, now)) is None:
        return False
    return not found.last or moment_of(found.last) < ticked


def _row(one: FleetScope) -> dict[str, Any]:
    return {**asdict(one), "age": _age(one.age_seconds)}


def _age(seconds: int | None) -> str:
    """An age in days, hours and minutes."""
    if seconds is None:
        return ""
    hours, minutes = divmod(timedelta(seconds=seconds) // timedelta(minutes=1), 60)
    return f"{hours // 24} d {hours % 24} h" if hours >= 48 else f"{hours} h {minutes} min"
