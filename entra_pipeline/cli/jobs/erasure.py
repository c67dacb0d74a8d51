"""`erase` and `erasures`: one person's values become unreadable in all recovery points of a scope."""

from __future__ import annotations

import sys
from typing import Any

import click
import msgspec

from entra_pipeline.cli.auditing import about, shell_origin
from entra_pipeline.cli.context import as_json, as_table, echo, print_json, print_rows, project_of, say
from entra_pipeline.errors import UsageError
from entra_pipeline.project.stores import open_store
from entra_pipeline.store.erasure.erase import Erasure, finish, is_finished
from entra_pipeline.store.erasure.record import ErasureRecords
from entra_pipeline.text import pluralize

_LEFT = 3
_MOST = 20


@click.command()
@click.argument("scope_name", metavar="SCOPE")
@click.argument("person")
@click.option("--reason", metavar="TEXT", default="", help="Reason, kept for ever: write no names.")
@click.option("--dry-run", is_flag=True, help="Show what would become unreadable; change nothing.")
@click.option("--records", is_flag=True, help="Delete restores, drills and messages that name the person, too.")
@click.option("--confirm", metavar="ID", help="Do not ask: the id of the person who is to be erased.")
@as_json
@click.pass_context
def erase(
    ctx: click.Context,
    scope_name: str,
    person: str,
    reason: str,
    dry_run: bool,
    records: bool,
    confirm: str | None,
    json_: bool,
) -> int:
    """Make the values of PERSON (an id or userPrincipalName) unreadable in all recovery points of SCOPE, for ever.

    The scope needs erasure = "per-person". What would become unreadable is shown, and the id asked for. Files do not
    change: verify, comparisons, restores and SQL of everybody else stay as they are. Refused while a hold covers the
    person. Whoever is still in the tenant is backed up anew. Exit code 3: records are left that name the person.
    """
    project = project_of(ctx)
    store = open_store(project, project.scope(scope_name))
    if not dry_run and not reason.strip():
        raise UsageError("an erasure needs a reason", remedy="Add --reason TEXT; write no names, it is kept for ever.")
    if not dry_run and (left := finish(store)):
        say(f"{pluralize(left, 'key')} removed that an interrupted erasure had left")
    found = Erasure.plan(store, person)
    about(found.person)
    shown = {
        "scope": scope_name,
        "person": found.person,
        "rows": dict(found.found.rows),
        "recovery_points": len(found.found.points),
        "held": found.held(),
        "records": list(found.naming),
    }
    if not json_:
        _print(found, shown)
    if dry_run:
        if json_:
            print_json({**shown, "erased": False})
        return 0
    _confirm(found, confirm)
    record = found.erase(by=shell_origin().actor, reason=reason.strip())
    kept = found.remove_records() if records else list(found.naming)
    if json_:
        print_json({**shown, "erased": True, "record": record.number, "records": kept})
    else:
        say(f"[bold]{found.person} is erased[/]: nobody can read the values any more (erasure {record.number})")
        echo("Running consoles and Dagster processes may show what they have read until they are restarted.")
        if kept:
            echo(f"{pluralize(len(kept), 'record')} still {'names' if len(kept) == 1 else 'name'} the person.")
    return _LEFT if kept else 0


def _print(found: Erasure, shown: dict[str, Any]) -> None:
    echo(f"{found.person} is known as: {', '.join(found.called) or 'nothing'}")
    rows = [{"type": table, "rows": number} for table, number in found.found.rows.items()]
    print_rows(rows, {"type": "object type", "rows": "rows that become unreadable"}, empty="no row has values")
    points = found.found.points
    if points:
        say(f"in {pluralize(len(points), 'recovery point')}, {points[0]} to {points[-1]}")
    for reason in shown["held"]:
        say(f"[bold]not now[/]: {reason}")
    if found.naming:
        echo("Records outside of the recovery points that name the person (--records deletes those of restores, drills")
        echo("and messages):")
        for key in found.naming[:_MOST]:
            echo(f"  {key}")
        if len(found.naming) > _MOST:
            echo(f"  … {len(found.naming)} in all")


def _confirm(found: Erasure, given: str | None) -> None:
    if held := found.held():
        raise UsageError(
            f"{found.person} is not erased: {'; '.join(held)}", remedy="Release the hold, when that may be."
        )
    if given is None and sys.stdin.isatty():
        given = click.prompt("This cannot be undone. To erase the person, type the id", err=True)
    if given != found.person:
        raise UsageError(
            "nothing was erased: the id was not confirmed",
            remedy=f"Type it when asked, or give it: --confirm {found.person}",
        )


@click.command()
@click.argument("scope_name", metavar="SCOPE")
@as_table
@click.pass_context
def erasures(ctx: click.Context, scope_name: str, csv_: bool, json_: bool) -> int:
    """List who was erased from SCOPE, when, and why.

    Exit code 3: an erasure is not finished; the next backup, or entra-pipeline erase, goes on with it.
    """
    project = project_of(ctx)
    store = open_store(project, project.scope(scope_name))
    rows = []
    for record in ErasureRecords(store.files, scope_name):
        done = is_finished(store, record)
        rows.append({**msgspec.to_builtins(record), "outcome": "erased" if done else "not finished"})
    columns = {
        **{"number": "number", "person": "person", "erased": "erased", "points": "recovery points"},
        **{"by": "by", "reason": "reason", "outcome": "outcome"},
    }
    print_rows(rows, columns, json_=json_, csv_=csv_, empty=f"nobody was erased from scope {scope_name}")
    return _LEFT if any(row["outcome"] != "erased" for row in rows) else 0
