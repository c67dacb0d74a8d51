"""`logs`: read the logs of a tenant, and show what is stored of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from typing import Any

import click

from entra_pipeline.backup.log_lifetime import KEPT_WITH_LICENCE
from entra_pipeline.backup.logs import LogReadProgress
from entra_pipeline.catalogue.logs import LOGS
from entra_pipeline.cli.context import as_table, console, echo, print_rows, project_of, say
from entra_pipeline.cli.jobs.backups import FINISHED_WITH_EXCEPTION, print_gaps, size
from entra_pipeline.clock import system_clock
from entra_pipeline.errors import UsageError
from entra_pipeline.operations.environment import COMMAND, ProjectEnvironment
from entra_pipeline.operations.logs import run_log_read
from entra_pipeline.operations.sign_ins import ADVICE, SignInVerdict
from entra_pipeline.project import Scope
from entra_pipeline.project.stores import open_store
from entra_pipeline.runtime import run_async
from entra_pipeline.store.logs import LogDay
from entra_pipeline.text import did_you_mean, pluralize

_DATE = click.DateTime(["%Y-%m-%d"])


@click.command()
@click.argument("scope_name", metavar="SCOPE")
@click.option("--types", multiple=True, metavar="LOG[,LOG…]", help=f"Only these of {', '.join(LOGS)}.")
@click.option("--from", "first", type=_DATE, metavar="DATE", help="Read this day (UTC) and later days again.")
@click.option("--to", "last", type=_DATE, metavar="DATE", help="The last day to read again. [default: today]")
@click.option("--list", "list_", is_flag=True, help="Read nothing; list the stored days.")
@as_table
@click.pass_context
def logs(
    ctx: click.Context,
    scope_name: str,
    types: Sequence[str],
    first: datetime | None,
    last: datetime | None,
    list_: bool,
    json_: bool,
    csv_: bool,
) -> int:
    """Read the due days of the logs of SCOPE: directory audits, sign-ins, provisioning.

    The first run reads every day that Entra still keeps; later runs read the days that are not complete yet. Sign-ins
    of our own app registrations are compared with the tokens that were taken. Exit code 3: entries are missing, and the
    table names them; or nothing explains a sign-in.
    """
    project = project_of(ctx)
    scope = project.scope(scope_name)
    wanted = wanted_logs(scope, types)
    days = wanted_days(first, last)
    if list_:
        store = open_store(project, scope).logs
        found, sign_ins = [day for name in wanted for day in store.held(name, days).values()], None
    else:
        with _progress() as reported:
            found, sign_ins = run_async(
                run_log_read(
                    ProjectEnvironment(project),
                    scope,
                    types=wanted,
                    days=days,
                    whole=days is not None,
                    origin=COMMAND,
                    progress=reported,
                )
            )
    empty = "no day is stored yet" if list_ else "nothing is due: all past days are complete"
    rows = [day_row(day) for day in found]
    if not (json_ or csv_):
        rows = [{**row, "size": size(row["bytes"]), "lacks": len(row["gaps"]) or ""} for row in rows]
    columns = {"log": "log", "day": "day", "rows": "entries", "added": "new", "changed": "changed"}
    numbers = ("rows", "added", "changed", "requests", "size", "lacks")
    rest = {"complete": "complete", "requests": "requests", "bytes" if csv_ else "size": "size"}
    rest["gaps" if csv_ else "lacks"] = "gaps"
    print_rows(rows, {**columns, **rest}, json_=json_, csv_=csv_, empty=empty, right=numbers)
    if not (json_ or csv_):
        _tell(found)
    foreign = _tell_sign_ins(sign_ins) if sign_ins else False
    return FINISHED_WITH_EXCEPTION if foreign or (not list_ and any(day.gaps for day in found)) else 0


def wanted_logs(scope: Scope, given: Sequence[str]) -> list[str]:
    """The logs that were asked for; those of the scope when none were named."""
    protected = scope.log_types()
    names = [name.strip() for one in given for name in one.split(",") if name.strip()]
    for name in names:
        if name not in LOGS:
            raise UsageError(
                f"there is no log {name!r}{did_you_mean(name, LOGS)}", remedy=f"There are {', '.join(LOGS)}."
            )
    if missing := [name for name in names if name not in protected]:
        raise UsageError(
            f"scope {scope.name!r} does not protect {missing[0]}",
            remedy="Add it to the scope's `logs`, or omit it.",
        )
    if not protected:
        raise UsageError(f"scope {scope.name!r} protects no logs", remedy="Set `logs = true` in the scope.")
    return [name for name in protected if not names or name in names]


def wanted_days(first: datetime | None, last: datetime | None) -> list[date] | None:
    """The days that were asked for; None when none were."""
    if first is None and last is None:
        return None
    today = system_clock().date()
    end = last.date() if last else today
    start = first.date() if first else min(end, (system_clock() - KEPT_WITH_LICENCE).date())
    if start > end:
        raise UsageError(f"{start} comes after {end}", remedy="Set --from to the earlier day.")
    if end > today:
        raise UsageError(f"{end} is in the future", remedy="Use a date that is not in the future (UTC).")
    return [start + timedelta(days=number) for number in range((end - start).days + 1)]


def day_row(day: LogDay) -> dict[str, Any]:
    """A day as a row of a table, and as JSON."""
    last = day.reads[-1] if day.reads else None
    return {
        "log": day.log,
        "day": day.day,
        "rows": day.rows,
        "added": last.added if last else 0,
        "changed": last.changed if last else 0,
        "complete": day.complete,
        "first": day.first,
        "last": day.last,
        "read": last.started if last else "",
        "reads": len(day.reads),
        "requests": sum(read.requests for read in day.reads),
        "files": len(day.parts),
        "bytes": sum(part.bytes for part in day.parts),
        "gaps": list(day.gaps),
        "notes": list(day.notes),
    }


def _tell(days: Sequence[LogDay]) -> None:
    """What the table has no room for: notes, each once, and gaps."""
    from rich.markup import escape

    notes = {(day.log, note): None for day in days for note in day.notes if not day.reads}
    for log, note in notes:
        say(f"[dim]{log}: {escape(note)}[/]")
    for day in days:
        for note in day.notes if day.reads else ():
            say(f"[dim]{day.log} {day.day}: {escape(note)}[/]")
        print_gaps(f"{day.log} {day.day}", day.gaps)


def _tell_sign_ins(verdict: SignInVerdict) -> bool:
    """Says what was found of the sign-ins of our app registrations; returns whether nothing explains some."""
    judged = pluralize(verdict.judged, "sign-in")
    if verdict.problem:
        echo(f"warning: not every sign-in of our app registrations can be checked: {verdict.problem}", err=True)
    if verdict.unexplained:
        echo(f"warning: of {judged} of our app registrations, {len(verdict.unexplained)} are unexplained:", err=True)
        for one in verdict.unexplained:
            echo(f"  {one.moment} {one.app} ({one.app_name}) from {one.address}", err=True)
        echo(f"  → {ADVICE}", err=True)
    elif verdict.known:
        echo(f"{judged} of our app registrations: {verdict.known} unexplained, as you were told before", err=True)
    elif verdict.judged:
        echo(f"{judged} of our app registrations: all explained", err=True)
    return bool(verdict.unexplained)


class _Lines:
    """Plain lines, for logs."""

    def rows(self, log: str, rows: int) -> None:
        """Not told: a log wants results."""

    def day(self, day: LogDay) -> None:
        """A line for a day that is stored."""
        added = day.reads[-1].added if day.reads else 0
        echo(f"{day.log} {day.day}: {pluralize(day.rows, 'entry', 'entries')} (+{added})", err=True)


class _Status:
    """A live line on a terminal."""

    def __init__(self, status: Any) -> None:
        self._status = status
        self._rows: dict[str, int] = {}

    def rows(self, log: str, rows: int) -> None:
        """Shows how many entries have come."""
        self._rows[log] = rows
        self._status.update(", ".join(f"{name}: {number:,}" for name, number in self._rows.items()))

    def day(self, day: LogDay) -> None:
        """Not told: the table will."""


@contextmanager
def _progress() -> Iterator[LogReadProgress]:
    """What suits the place where standard error goes."""
    if sys.stderr.isatty():
        with console(err=True).status("reading logs …") as status:
            yield _Status(status)
        return
    yield _Lines()
