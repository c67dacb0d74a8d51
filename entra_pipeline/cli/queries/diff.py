"""`diff`: what differs between two recovery points, or between one and the tenant as it is now."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import click
import msgspec

from entra_pipeline.analysis.change_rows import change_rows, flat_rows, summary_rows
from entra_pipeline.analysis.changes import bases
from entra_pipeline.analysis.names import short_pair
from entra_pipeline.analysis.objects import known_ids
from entra_pipeline.catalogue import CATALOGUE, RELATIONS, table_names, with_children
from entra_pipeline.cli.context import EchoedLines, as_table, csv_cell, echo, listed, print_table, project_of, say
from entra_pipeline.cli.jobs.backups import back_up_scope
from entra_pipeline.cli.queries.points import newest_point
from entra_pipeline.errors import NotAtPoint, UsageError
from entra_pipeline.project import Project, Scope
from entra_pipeline.project.stores import open_store
from entra_pipeline.store.manifest import Manifest, TakenFor
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.text import did_you_mean, pluralize

_SHOWN = 50
_LIVE = "live"
_FLAT = ("table", "change", "id", "name", "target_id", "target_name", "property", "before", "after")


@click.command()
@click.argument("scope_name", metavar="SCOPE")
@click.option("--from", "first", metavar="POINT|TIME", help="The earlier side. [default: the point before --to]")
@click.option(
    "--to",
    "second",
    default="latest",
    metavar="POINT|TIME|live",
    help="The later side; live takes an incremental recovery point now and compares with that. "
    "[default: the latest point]",
)
@click.option(
    "--types",
    multiple=True,
    metavar="TYPE[,TYPE…]",
    help="Only these object types, with their relations and what belongs to them, or these relations.",
)
@click.option(
    "--ids", multiple=True, metavar="ID[,ID…]", help="Only these objects, what belongs to them, and their links."
)
@click.option(
    "--limit", type=click.IntRange(min=0), default=_SHOWN, show_default=True, help="Changes that the table shows."
)
@as_table
@click.pass_context
def diff(
    ctx: click.Context,
    scope_name: str,
    first: str | None,
    second: str,
    types: Sequence[str],
    ids: Sequence[str],
    limit: int,
    json_: bool,
    csv_: bool,
) -> None:
    """Show what differs between two recovery points of SCOPE, or between one and the live tenant.

    Shows added, removed and modified objects by property, and added and removed links. An object that differs only in
    properties that Graph computes does not count as modified. Tables that cannot be compared are named.

    --to live takes an incremental recovery point (of the given types, if any) and compares with that. The point is
    kept.
    """
    if json_ and csv_:
        raise UsageError("--json and --csv exclude each other", remedy="Choose one.")
    project = project_of(ctx)
    scope = project.scope(scope_name)
    store = open_store(project, scope_name)
    tables = _tables(listed(types))
    before, after = _points(project, scope, store, first, second, tables)
    wanted = listed(ids)
    _require(store, (before, after), wanted)
    rows = change_rows(store, before, after, tables, wanted or None)
    named = bases(before, after, tables)
    counted: Counter[tuple[str, str]] = Counter()
    told = _counting(rows, counted)
    if csv_:
        _print_csv(told)
        _say_notes(summary_rows(named, counted), err=True)
    elif json_:
        _print_json(before, after, told, lambda: summary_rows(named, counted))
    else:
        # Of the others only the number is shown.
        shown = list(islice(told, limit))
        for _ in told:
            pass
        _print(before, after, summary_rows(named, counted), shown)


def _tables(names: Sequence[str]) -> list[str] | None:
    """The tables of what was asked for; None when nothing was."""
    known = table_names()
    for name in names:
        if name not in known:
            raise UsageError(
                f"there is no object type or relation {name!r}{did_you_mean(name, known)}",
                remedy="entra-pipeline catalogue lists them.",
            )
    types = with_children([name for name in names if name in CATALOGUE])
    wanted = {*table_names(types), *names}
    return [table for table in known if table in wanted] or None


def _points(
    project: Project, scope: Scope, store: ScopeStore, first: str | None, second: str, tables: Sequence[str] | None
) -> tuple[Manifest, Manifest]:
    """The two recovery points; one is taken now where the live tenant was asked for."""
    if second == _LIVE:
        before = newest_point(store, first or "latest")
        types = None
        if tables is not None:
            owners = {name if name in CATALOGUE else RELATIONS[name][0].name for name in tables}
            types = [name for name in scope.types() if name in owners]
            if not types:
                raise UsageError(
                    f"scope {scope.name!r} protects none of the given types",
                    remedy="Add them to the scope's `protect`, or choose other types.",
                )
        after = back_up_scope(project, scope, types=types or (), taken_for=TakenFor.COMPARISON)
        echo(f"the live tenant is recovery point {after.recovery_point}, taken now", err=True)
        return before, after
    after = newest_point(store, second)
    if first is not None:
        return newest_point(store, first), after
    earlier = store.newest(before=after.recovery_point)
    if earlier is None:
        raise UsageError(
            f"{after.recovery_point} is the first recovery point of scope {scope.name!r}: there is no earlier one",
            remedy=f"Compare it with the tenant: entra-pipeline diff {scope.name} --to live",
        )
    return earlier, after


def _require(store: ScopeStore, points: Iterable[Manifest], ids: Collection[str]) -> None:
    """Raises NotAtPoint for ids that none of the points knows, neither of an object nor of an end of a link."""
    unknown = set(ids)
    for point in points:
        if unknown:
            unknown -= known_ids(store, point, point.tables, unknown)
    if unknown:
        raise NotAtPoint(
            f"neither recovery point has an object {', '.join(sorted(unknown))}",
            remedy=f"To find ids: entra-pipeline objects {store.scope} TYPE --search TEXT",
        )


def _counting(rows: Iterable[dict[str, Any]], counted: Counter[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    """The rows, which are counted as they go by."""
    for row in rows:
        counted[row["table"], row["change"]] += 1
        yield row


def _print_csv(rows: Iterable[dict[str, Any]]) -> None:
    writer = csv.writer(EchoedLines(), lineterminator="\n")
    writer.writerow(_FLAT)
    for row in rows:
        writer.writerows([csv_cell(line[name]) for name in _FLAT] for line in flat_rows(row))


def _print_json(
    before: Manifest,
    after: Manifest,
    rows: Iterable[dict[str, Any]],
    summary: Callable[[], list[dict[str, Any]]],
) -> None:
    """One object; the changes go out as they are found, and what they come to follows them."""
    head = {"from": before.recovery_point, "to": after.recovery_point}
    echo(msgspec.json.encode(head).decode().removesuffix("}") + ',"changes":[', nl=False)
    separator = "\n"
    for row in rows:
        echo(separator + msgspec.json.encode(row).decode(), nl=False)
        separator = ",\n"
    echo('\n],"tables":' + msgspec.json.encode(summary()).decode() + "}")


def _print(
    before: Manifest, after: Manifest, summary: Sequence[dict[str, Any]], shown: Sequence[dict[str, Any]]
) -> None:
    say(f"from [bold]{before.recovery_point}[/] to [bold]{after.recovery_point}[/]")
    kinds = ("added", "removed", "modified")
    differing = [row for row in summary if any(row[kind] for kind in kinds)]
    if differing:
        print_table(differing, {"table": "table", **{kind: kind for kind in kinds}}, right=kinds)
        rows = [_detail(row) for row in shown if row["change"] != "volatile"]
        if rows:
            print_table(rows, {"table": "table", "change": "change", "name": "name", "what": "what"})
    else:
        say("[green]no difference[/] in what was compared")
    total = sum(row[kind] or 0 for row in differing for kind in kinds)
    if hidden := total - sum(1 for row in shown if row["change"] != "volatile"):
        say(f"… {hidden:,} more; --limit N, --json or --csv show them")
    volatile = {row["table"]: row["volatile"] for row in summary if row["volatile"]}
    if volatile:
        listed = ", ".join(f"{table} ({number:,})" for table, number in volatile.items())
        say(f"[dim]only in properties that Microsoft Graph computes: {listed}; --json and --csv show it[/]")
    same = sum(1 for row in summary if row["comparable"] and row not in differing and not row["notes"])
    if same:
        say(f"[dim]{pluralize(same, 'other table')}: no difference[/]")
    _say_notes(summary)


def _detail(row: dict[str, Any]) -> dict[str, Any]:
    """A change as a line of the table for people."""
    if "target_id" in row:
        what = f"→ {row['target_name']}"
    else:
        values = row["properties"].items()
        what = "\n".join(f"{key}: {' → '.join(short_pair(value['before'], value['after']))}" for key, value in values)
    return {"table": row["table"], "change": row["change"], "name": row["name"], "what": what}


def _say_notes(summary: Iterable[dict[str, Any]], *, err: bool = False) -> None:
    """What could not be compared, and on what the rest was: each table once, with those of which the same is said."""
    from rich.markup import escape

    concerned: dict[tuple[bool, tuple[str, ...]], list[str]] = {}
    for row in summary:
        if row["notes"]:
            concerned.setdefault((row["comparable"], tuple(row["notes"])), []).append(row["table"])
    for (comparable, notes), tables in sorted(concerned.items(), key=lambda one: one[0][0]):
        verdict = "[dim]as of another time, or not whole" if comparable else "[yellow]not comparable"
        say("\n    ".join([f"{verdict}: {', '.join(tables)}[/]", *map(escape, notes)]), err=err)
