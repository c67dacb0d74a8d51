"""`points`, `objects`, `verify`: what is in the store."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

import click
import msgspec

from entra_pipeline.analysis.browse import type_rows
from entra_pipeline.analysis.linking.related import related
from entra_pipeline.analysis.manifest_rows import older_text, point_row
from entra_pipeline.analysis.objects import find, one, table_entry
from entra_pipeline.audit import AuditLog
from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.cli.context import (
    EchoedLines,
    as_json,
    as_table,
    csv_cell,
    echo,
    print_json,
    print_rows,
    project_of,
    say,
)
from entra_pipeline.cli.jobs.backups import print_gaps
from entra_pipeline.cli.progress import checking
from entra_pipeline.errors import NotInStore, UsageError
from entra_pipeline.operations.anchor import Anchor, anchor_of, compare_anchor
from entra_pipeline.project import Project
from entra_pipeline.project.stores import open_store, storages_of
from entra_pipeline.store.backends.encryption.names import ENCRYPTION
from entra_pipeline.store.manifest import Manifest, TableEntry
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.verify import VerifyFinding
from entra_pipeline.store.verify import verify as verify_points
from entra_pipeline.text import pluralize

_SHOWN = 50


@click.command()
@click.argument("scope_name", metavar="SCOPE")
@click.option("--head", is_flag=True, help="Only a line that says how far the scope is, to keep elsewhere.")
@as_table
@click.pass_context
def points(ctx: click.Context, scope_name: str, head: bool, json_: bool, csv_: bool) -> None:
    """List the recovery points of SCOPE, oldest first.

    With --head, print the newest one with the SHA-256 of its manifest, and the end of the audit log, in a line that
    verify --expect compares later.
    """
    project = project_of(ctx)
    project.scope(scope_name)
    store = open_store(project, scope_name)
    if head:
        anchor = anchor_of(store, AuditLog(store.files))
        if json_:
            print_json(anchor._asdict())
        else:
            click.echo(str(anchor))
        return
    rows = [point_row(store.manifest(point)) for point in store.points()]
    if not json_:
        objects = set(CATALOGUE)
        for row in rows:
            row["objects"] = sum(live for table, live in row["types"].items() if table in objects)
            row["links"] = sum(live for table, live in row["types"].items() if table not in objects)
            row["lacks"] = sorted({gap["table"] for gap in row["gaps"]})
            row["older"] = older_text(row["older"])
    columns = {
        "recovery_point": "recovery point",
        "kind": "kind",
        "taken_for": "taken for",
        "status": "status",
        "objects": "objects",
        "links": "links",
        "lacks": "lacks",
        "older": "older",
    }
    print_rows(
        rows,
        columns,
        json_=json_,
        csv_=csv_,
        empty=f"scope {scope_name} has no recovery point yet; entra-pipeline backup {scope_name} takes one",
        right=("objects", "links"),
    )


@click.command()
@click.argument("scope_name", metavar="SCOPE")
@click.argument("table", metavar="[TYPE]", required=False)
@click.option(
    "--at", "moment", default="latest", metavar="POINT|TIME", help="A recovery point, or a time with its zone."
)
@click.option("--where", default="", metavar="SQL", help="A DuckDB condition over the columns.")
@click.option("--search", default="", metavar="TEXT", help="Only rows that contain the text.")
@click.option("--id", "identifier", metavar="ID", help="One object, with all its properties.")
@click.option("--related", "relations", is_flag=True, help="With --id: all links of the object.")
@click.option(
    "--limit", type=click.IntRange(min=1), help=f"Maximum number of rows. [default: all; {_SHOWN} in the table]"
)
@click.option("--offset", type=click.IntRange(min=0), default=0, help="Number of rows to skip.")
@as_table
@click.pass_context
def objects(
    ctx: click.Context,
    scope_name: str,
    table: str | None,
    moment: str,
    where: str,
    search: str,
    identifier: str | None,
    relations: bool,
    limit: int | None,
    offset: int,
    json_: bool,
    csv_: bool,
) -> None:
    """Show the objects of TYPE (or the links of a relation) at a recovery point of SCOPE.

    Without TYPE: the number of objects of each type, by category. With --id: one object. With --related: its links in
    both directions, such as members, owners, managers, assignments, roles, licences and policies.

    JSON gives each object exactly as Microsoft Graph returned it.
    """
    if json_ and csv_:
        raise UsageError("--json and --csv exclude each other", remedy="Choose one.")
    if (table is None or identifier) and (where or search):
        raise UsageError("--where and --search filter the objects of a type", remedy="Set TYPE and omit --id.")
    if (identifier and table is None) or (relations and not identifier):
        raise UsageError("an object is identified by TYPE and --id", remedy="Give both.")
    project = project_of(ctx)
    project.scope(scope_name)
    store = open_store(project, scope_name)
    manifest = point_at(store, moment)
    if table is None:
        _print_types(manifest, json_=json_, csv_=csv_)
    elif relations and identifier:
        _print_related(store, manifest, table, identifier, limit, offset, json_=json_, csv_=csv_)
    else:
        entry = table_entry(manifest, table)
        if identifier:
            _print_object(store, manifest, table, identifier, json_=json_, csv_=csv_)
            return
        shown = limit if limit is not None or json_ or csv_ else _SHOWN + 1
        rows = find(store, manifest, table, where=where, search=search, limit=shown, offset=offset)
        _print_found(rows, manifest, entry, limit, json_=json_, csv_=csv_)


def _print_types(manifest: Manifest, *, json_: bool, csv_: bool) -> None:
    """How many of each type there are."""
    columns = {"category": "category", "type": "type", "title": "what it is", "rows": "rows", "lacks": "lacks"}
    if manifest.older():
        columns["as_of"] = "as of"
    print_rows(type_rows(manifest), columns, json_=json_, csv_=csv_, right=("rows",))


def _print_object(
    store: ScopeStore, manifest: Manifest, table: str, identifier: str, *, json_: bool, csv_: bool
) -> None:
    """One object, property by property."""
    raw = one(store, manifest, table, identifier)
    if json_:
        echo(raw)
        return
    rows = [{"property": name, "value": _cell(value)} for name, value in msgspec.json.decode(raw).items()]
    print_rows(rows, {"property": "property", "value": "value"}, csv_=csv_)


def _cell(value: Any) -> Any:
    return msgspec.json.encode(value).decode() if isinstance(value, dict | list) else value


def _print_related(
    store: ScopeStore,
    manifest: Manifest,
    table: str,
    identifier: str,
    limit: int | None,
    offset: int,
    *,
    json_: bool,
    csv_: bool,
) -> None:
    """What an object is linked with."""
    found = related(
        store, manifest, table, identifier, limit=limit if limit or json_ or csv_ else _SHOWN, offset=offset
    )
    columns = {"relation": "relation", "direction": "", "type": "type", "id": "id", "name": "name"}
    if json_ or csv_:
        print_rows(found.rows, columns, json_=json_, csv_=csv_)
        return
    arrows = {"to": "→", "from": "←"}
    rows = [{**row, "direction": arrows[row["direction"]]} for row in found.rows]
    columns = {"relation": "relation", "direction": "", "type": "type", "name": "name", "id": "id"}
    print_rows(rows, columns, empty="it has no links")
    for kind in dict.fromkeys(row["type"] for row in rows if row["type"] in manifest.tables):
        print_gaps(kind, manifest.tables[kind].gaps, err=True)
    if found.total > len(rows):
        echo(f"… {found.total:,} in all; --limit N, --offset N, --json or --csv show them:")
        for (relation, direction, kind), number in found.counts.items():
            echo(f"    {relation} {arrows[direction]} {kind}: {number:,}")


def _print_found(
    rows: Iterator[str], manifest: Manifest, entry: TableEntry, limit: int | None, *, json_: bool, csv_: bool
) -> None:
    """Objects or links."""
    if json_:
        separator = "[\n"
        for row in rows:
            echo(separator + row, nl=False)
            separator = ",\n"
        echo("\n]" if separator == ",\n" else "[]")
        return
    names = _columns(entry.table)
    if csv_:
        writer = csv.writer(EchoedLines(), lineterminator="\n")
        # A condition that is refused is refused before the heading.
        first = list(islice(rows, 1))
        writer.writerow(names)
        for row in chain(first, rows):
            members = msgspec.json.decode(row)
            writer.writerow([csv_cell(members.get(name)) for name in names])
        return
    decoded = [msgspec.json.decode(row) for row in rows]
    more = limit is None and len(decoded) > _SHOWN
    print_rows(decoded[:_SHOWN] if more else decoded, {name: name for name in names}, empty="nothing matches")
    print_gaps(entry.table, entry.gaps, err=True)
    if more:
        echo(f"… more; --limit N, --json or --csv show them (at {manifest.recovery_point}: {entry.live} in all)")


def point_at(store: ScopeStore, moment: str) -> Manifest:
    """The recovery point that was asked for; raises UsageError when there is none."""
    try:
        return store.at(moment)
    except NotInStore as error:
        raise UsageError(error.message, remedy=error.remedy) from None


def newest_point(store: ScopeStore, moment: str) -> Manifest:
    """As `point_at`; `latest` leaves out what comparisons and restores took for themselves, and says so."""
    if moment != "latest" or not (points := store.points()):
        return point_at(store, moment)
    found = store.newest()
    if found is None:
        raise UsageError(
            f"scope {store.scope!r} has only recovery points taken by comparisons and restores",
            remedy=f"Name one: entra-pipeline points {store.scope} lists them.",
        )
    if found.recovery_point != points[-1]:
        echo(f"latest is {found.recovery_point}; {LEFT_OUT}", err=True)
    return found


LEFT_OUT = "points taken by comparisons and restores are left out"


def _columns(table: str) -> list[str]:
    if table not in CATALOGUE:
        return ["source_id", "target_id", "target_type"]
    entry = CATALOGUE[table]
    usual = ["id", *entry.identity, "userType", "accountEnabled", "groupTypes", "state", "principalId", "resourceId"]
    return [name for name in dict.fromkeys(usual) if name in entry.properties]


@click.command()
@click.argument("scope_name", metavar="[SCOPE]", required=False)
@click.option("--at", "moment", metavar="POINT|TIME", help="Only this recovery point. [default: all]")
@click.option("--all", "every", is_flag=True, help="Every recovery point (the default).")
@click.option(
    "--expect",
    metavar="HEAD",
    help="What points --head printed earlier: all of it must still be there.",
)
@click.option("--audit", "only_audit", is_flag=True, help="Only the audit log; of all storages without SCOPE.")
@as_json
@click.pass_context
def verify(
    ctx: click.Context,
    scope_name: str | None,
    moment: str | None,
    every: bool,
    expect: str | None,
    only_audit: bool,
    json_: bool,
) -> int:
    """Check the recovery points of SCOPE: checksums of all files, the chain of manifests, rows and counts.

    The audit log of its storage is checked, too, unless --at selects one point. Exit code 1: something was changed, is
    missing or damaged.
    """
    given = [name for name, is_set in {"--at": moment, "--all": every, "--audit": only_audit}.items() if is_set]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} exclude each other", remedy="Choose one.")
    if expect is not None and only_audit:
        raise UsageError("--expect and --audit exclude each other", remedy="Leave out --audit: it is checked, too.")
    if scope_name is None and not only_audit:
        raise UsageError("SCOPE is missing", remedy="Name the scope; entra-pipeline scope list shows them.")
    project = project_of(ctx)
    anchor = Anchor.parse(expect) if expect is not None else None
    findings = []
    with checking() as tell:
        store = open_store(project, scope_name) if scope_name is not None and not only_audit else None
        if store is not None:
            if anchor is not None:
                gone = compare_anchor(store, AuditLog(store.files), anchor)
                findings += [VerifyFinding("", str(anchor), False, problem) for problem in gone]
            chosen = [point_at(store, moment).recovery_point] if moment else None
            for finding in verify_points(store, chosen):
                tell(finding.point, finding.table)
                findings.append(finding)
        if not moment:
            findings += audit_findings(project, scope_name)
    problems = [finding for finding in findings if not finding.ok]
    if json_:
        print_json([{"recovery_point": f.point, "table": f.table, "ok": f.ok, "problem": f.problem} for f in findings])
    else:
        rows = [
            {
                "point": f.point or _about(f.table),
                "table": f.table or ("manifest" if f.point else ""),
                "problem": f.problem,
            }
            for f in problems
        ]
        if rows:
            print_rows(rows, {"point": "recovery point", "table": "what", "problem": "problem"})
        checked = len({finding.point for finding in findings if finding.point})
        verdict = f"[red]{pluralize(len(problems), 'problem')}[/]" if problems else "[green]no differences[/]"
        say(f"{pluralize(checked, 'recovery point')}, {pluralize(len(findings), 'check')}: {verdict}")
        if store is not None and store.files.vault is None and next(iter(store.files.list(ENCRYPTION)), None):
            say("The storage is encrypted, and this machine has no key for it: hashes were checked, rows were not.")
    return 1 if problems else 0


def _about(key: str) -> str:
    """What a finding is about that is not about a recovery point."""
    if not key:
        return "prune records"
    if not key.startswith("_"):
        return "expected head"
    return "audit log" if key.startswith("_audit/") else "record"


def audit_findings(project: Project, scope_name: str | None) -> list[VerifyFinding]:
    """What was found of the audit logs of a scope's storage, or of all: `table` is the key of the event."""
    found = []
    for files in storages_of(project, scope_name).values():
        problems = [VerifyFinding("", key, False, what) for key, what in AuditLog(files).verify()]
        found += problems or [VerifyFinding("", f"{files.url('_audit/')}", True, "")]
    return found
