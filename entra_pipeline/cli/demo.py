"""`demo`: the main job on a simulated tenant, from nothing to a proven incremental backup."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from entra_pipeline.analysis.changes import Change, changes
from entra_pipeline.analysis.objects import find
from entra_pipeline.catalogue import CATALOGUE, RELATIONS
from entra_pipeline.cli.backups import print_gaps, print_summary, run_backup
from entra_pipeline.cli.context import console, print_table
from entra_pipeline.errors import ConfigurationError, EntraPipelineError
from entra_pipeline.project import Project, Tenant, load_project
from entra_pipeline.simulator import Control, Simulator
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.opening import open_store
from entra_pipeline.store.recovery_points import ScopeStore

_PROJECT = """\
# A simulated tenant on this machine, made by `entra-pipeline demo`.
[storage.demo]
kind = "local"
path = "backup"

[tenants.demo]
simulator = {{ users = {users}, groups = {groups}, seed = 7, state = "tenant", port = 8480 }}

[scopes.demo]
description = "Everything in a simulated tenant"
tenant = "demo"
storage = "demo"
"""
_EXAMPLES = 14


@click.command()
@click.option("--users", type=click.IntRange(20, 100_000), default=200, show_default=True)
@click.option("--groups", type=click.IntRange(5, 10_000), default=20, show_default=True)
@click.pass_context
def demo(ctx: click.Context, users: int, groups: int) -> int:
    """Back up a simulated tenant: a full backup, live changes, an incremental backup, what changed.

    Uses the scope `demo` of the project where its tenant is simulated; elsewhere it makes a project in .demo/.
    """
    project = _project(ctx.find_root().obj, users, groups)
    scope = project.scope("demo")
    out = console()
    started = time.monotonic()
    with _simulator(project.tenants[scope.tenant]) as simulator:
        counts = simulator.control.counts()
        out.rule("[bold]1. A simulated tenant")
        out.print(
            f"It speaks Microsoft Graph at {simulator.graph_url}: "
            + ", ".join(f"{counts[kind]:,} {kind}" for kind in ("users", "groups", "applications", "devices"))
        )
        out.rule("[bold]2. A full backup")
        full = run_backup(project, scope, full=True, types=None)
        print_summary(full)
        out.rule("[bold]3. The tenant lives")
        for told in change_tenant(simulator.control):
            out.print(f"  {told}")
        out.rule("[bold]4. An incremental backup")
        incremental = run_backup(project, scope, full=False, types=None)
        for table, entry in incremental.tables.items():
            print_gaps(table, entry.gaps)
        _compare_cost(full, incremental)
        out.rule("[bold]5. What changed")
        store = open_store(project, scope)
        _show(list(changes(store, full, incremental)), _names(store, full, incremental))
        out.rule("[bold]6. Is it the tenant?")
        objects, links, wrong = compare(store, incremental, simulator.control)
        for problem in wrong:
            out.print(f"[red]differs:[/] {problem}")
        if not wrong:
            out.print(
                f"[green]Yes:[/] {objects:,} objects and {links:,} links, property by property, are what it has now."
            )
    out.rule("[bold]Where to look next")
    _next_steps(project, store)
    out.print(f"[dim]{time.monotonic() - started:.0f} s in all[/]")
    return 1 if wrong else 0


def _project(file: Path | None, users: int, groups: int) -> Project:
    """The project whose scope `demo` is simulated, or one made for the purpose."""
    try:
        project = load_project(file)
        if "demo" in project.scopes and project.tenants[project.scopes["demo"].tenant].simulator:
            return project
    except ConfigurationError:
        if file is not None:
            raise
    made = Path(".demo") / "dagster_project.toml"
    made.parent.mkdir(exist_ok=True)
    if not made.exists():
        made.write_text(_PROJECT.format(users=users, groups=groups))
    return load_project(made)


def _simulator(tenant: Tenant) -> Simulator:
    wanted = tenant.simulator
    if wanted is None:
        raise EntraPipelineError("the demo's tenant is not simulated")
    return Simulator(users=wanted.users, groups=wanted.groups, seed=wanted.seed, state=wanted.folder, port=wanted.port)


def change_tenant(control: Control) -> list[str]:
    """Changes of every kind; what was done, in words."""
    users = [user for user in control.dump("users") if not user.get("onPremisesSyncEnabled")]
    groups = [
        group
        for group in control.dump("groups")
        if not group.get("membershipRule")
        and not group.get("onPremisesSyncEnabled")
        and not group["isAssignableToRole"]
    ]
    members = Counter(source for source, _, _ in control.edges("groups", "members"))
    big = max(groups, key=lambda group: members[group["id"]])
    doomed = next(group for group in reversed(groups) if group is not big)
    inside = {target for source, target, _ in control.edges("groups", "members") if source == big["id"]}
    outsider = next(user for user in users if user["id"] not in inside)
    managed = {source: target for source, target, _ in control.edges("users", "manager")}
    report = next(user for user in users if user["id"] in managed)
    manager = next(user for user in users if user["id"] not in {report["id"], managed[report["id"]]})
    renamed, cleared, leaver, returner, fired = users[3], next(u for u in users[4:] if u.get("city")), *users[5:8]
    policy = control.dump("identity/conditionalAccess/policies")[0]

    control.delete(f"users/{returner['id']}")
    steps: list[tuple[str, Callable[[], Any]]] = [
        ("created: user Nadia Öberg", lambda: control.create("users", {"displayName": "Nadia Öberg"})),
        (
            f"updated: {renamed['displayName']} moves to Legal",
            lambda: control.patch(f"users/{renamed['id']}", {"department": "Legal", "jobTitle": "Counsel"}),
        ),
        (
            f"cleared: the city of {cleared['displayName']}",
            lambda: control.patch(f"users/{cleared['id']}", {"city": None}),
        ),
        (f"deleted: user {leaver['displayName']}", lambda: control.delete(f"users/{leaver['id']}")),
        (f"deleted and restored: user {returner['displayName']}", lambda: control.restore(returner["id"])),
        (f"deleted for good: user {fired['displayName']}", lambda: _delete_for_good(control, fired["id"])),
        (f"deleted: group {doomed['displayName']}", lambda: control.delete(f"groups/{doomed['id']}")),
        (
            f"joined: {outsider['displayName']} is in {big['displayName']}",
            lambda: control.add_link(f"groups/{big['id']}/members", outsider["id"]),
        ),
        (
            f"left: somebody is no longer in {big['displayName']}",
            lambda: control.remove_link(
                f"groups/{big['id']}/members", min(inside - {leaver["id"], fired["id"], returner["id"]})
            ),
        ),
        (
            f"owner: {outsider['displayName']} owns {big['displayName']}",
            lambda: control.add_link(f"groups/{big['id']}/owners", outsider["id"]),
        ),
        (
            f"manager: {report['displayName']} reports to {manager['displayName']}",
            lambda: control.add_link(f"users/{report['id']}/manager", manager["id"]),
        ),
        (
            f"policy: {policy['displayName']} is disabled",
            lambda: control.patch(
                f"identity/conditionalAccess/policies/{policy['id']}",
                {"state": "disabled" if policy["state"] != "disabled" else "enabled"},
            ),
        ),
    ]
    done = []
    for words, step in steps:
        step()
        done.append(words)
    return done


def _delete_for_good(control: Control, identifier: str) -> None:
    control.delete(f"users/{identifier}")
    control.purge(identifier)


def _compare_cost(full: Manifest, incremental: Manifest) -> None:
    rows = []
    for manifest in (full, incremental):
        own = [p for e in manifest.tables.values() for p in e.parts if p.recovery_point == manifest.recovery_point]
        rows.append(
            {
                "kind": manifest.kind,
                "point": manifest.recovery_point,
                "rows": sum(part.rows for part in own),
                "bytes": sum(part.bytes for part in own),
                "read": sum(entry.bytes_read for entry in manifest.tables.values()),
                "status": manifest.status,
            }
        )
    columns = {
        "kind": "kind",
        "point": "recovery point",
        "rows": "rows written",
        "bytes": "bytes written",
        "read": "bytes from Graph",
        "status": "status",
    }
    print_table(rows, columns, right=("rows", "bytes", "read"))


def _show(found: list[Change], names: dict[str, str]) -> None:
    totals: dict[str, Counter[str]] = {}
    for change in found:
        totals.setdefault(change.table, Counter())[change.kind] += 1
    kinds = ("added", "changed", "deleted")
    rows = [{"table": table, **{kind: count[kind] or None for kind in kinds}} for table, count in totals.items()]
    print_table(rows, {"table": "type", **{kind: kind for kind in kinds}}, right=kinds)
    out = console()
    for change in found[:_EXAMPLES]:
        out.print(f"  {_words(change, names)}", markup=False)
    if len(found) > _EXAMPLES:
        out.print(f"  … and {len(found) - _EXAMPLES} more", markup=False)


def _words(change: Change, names: dict[str, str]) -> str:
    who = " → ".join(names.get(key, key) for key in change.key)
    if change.kind != "changed":
        return f"{change.table}: {change.kind}: {who}"
    told = ", ".join(
        f"{name}: {_short(before)} → {_short(after)}" for name, (before, after) in change.properties().items()
    )
    return f"{change.table}: changed: {who}: {told}"


def _short(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _names(store: ScopeStore, *manifests: Manifest) -> dict[str, str]:
    names = {}
    for manifest in manifests:
        for table in (
            "users",
            "groups",
            "service_principals",
            "applications",
            "conditional_access_policies",
            "devices",
        ):
            for row in find(store, manifest, table):
                members = msgspec.json.decode(row)
                names[members["id"]] = members.get("displayName") or members["id"]
    return names


def compare(store: ScopeStore, manifest: Manifest, control: Control) -> tuple[int, int, list[str]]:
    """A recovery point against the simulated tenant as it is now.

    Returns:
        Objects and links compared, and what differs, in words.
    """
    wrong: list[str] = []
    objects = links = 0
    for table, entry in manifest.tables.items():
        rows = find(store, manifest, table)
        if entry.kind == "objects":
            stored = {members["id"]: members for members in map(_without_nulls, map(msgspec.json.decode, rows))}
            of_type = CATALOGUE[table]
            truth = {o["id"]: o for o in map(_without_nulls, control.dump(of_type.path or of_type.graph_type))}
            wrong += [
                f"{table} {i}" for i in sorted(stored.keys() | truth.keys()) if not _same(stored.get(i), truth.get(i))
            ]
            objects += len(truth)
        else:
            owner, relation = RELATIONS[table]
            edges = {(e["source_id"], e["target_id"]) for e in map(msgspec.json.decode, rows)}
            real = {(source, target) for source, target, _ in control.edges(owner.path, relation.segment)}
            wrong += [f"{table} {source} → {target}" for source, target in sorted(edges ^ real)]
            links += len(real)
    return objects, links, wrong


def _without_nulls(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value not in (None, [])}


def _same(stored: dict[str, Any] | None, truth: dict[str, Any] | None) -> bool:
    return stored == truth


def _next_steps(project: Project, store: ScopeStore) -> None:
    flag = "" if project.file == Path("dagster_project.toml").resolve() else f" --project {project.file}"
    command = f"entra-pipeline{flag}"
    files = store.files.url("users/scope=demo/*/*.parquet")
    steps = [
        (f"{command} points demo", "the recovery points"),
        (f"{command} objects demo groups --search sales", "what a point holds"),
        (f"{command} verify demo", "checksums, chain and counts"),
        (f"duckdb -c \"SELECT department, count(*) FROM '{files}' GROUP BY ALL\"", "the same files, without us"),
        ("make dagster", "Dagster's UI: assets, partitions, schedules"),
    ]
    print_table([{"run": run, "to see": what} for run, what in steps], {"run": "run", "to see": "to see"})
