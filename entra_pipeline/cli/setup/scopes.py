"""`scope`: what is protected, where, when and for how long."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import click

from entra_pipeline.cli.context import as_json, as_table, echo, print_json, print_rows, project_file, project_of, say
from entra_pipeline.clock import system_clock
from entra_pipeline.errors import EntraPipelineError, UsageError
from entra_pipeline.project import Project, Scope, Tenant, create_scope, delete_scope, edit_scope, load_project
from entra_pipeline.text import pluralize

_F = TypeVar("_F", bound=Callable[..., Any])
_BROKEN_STORAGE = 3
_SETTINGS = (
    ("--description", "For people."),
    ("--tenant", "Name of a [tenants] table."),
    ("--storage", "Name of a [storage] table."),
    ("--schedule", "Cron expression of five fields, for example '0 */6 * * *'."),
    ("--drill", "Cron expression for restore drills, for example '0 5 * * 0'."),
    ("--timezone", "Time zone of both, for example Europe/Stockholm."),
    ("--retention", "For example '30 days', '2 years', 'forever'."),
    ("--full-backup-frequency", "With a retention in years, for example '3 months'."),
)


def _settings(command: _F) -> _F:
    """The options that set a scope's settings."""
    command = click.option(
        "--select-group",
        "select_groups",
        multiple=True,
        metavar="NAME",
        help="Protect this group and its members only.",
    )(command)
    command = click.option(
        "--select-user", "select_users", multiple=True, metavar="NAME", help="Protect this user only; may be repeated."
    )(command)
    command = click.option(
        "--protect", metavar="all|TYPE[,TYPE…]", help="Object types or categories, separated by commas."
    )(command)
    command = click.option(
        "--approval/--no-approval", default=None, help="Whether a second administrator has to approve restores."
    )(command)
    for name, text in reversed(_SETTINGS):
        command = click.option(name, metavar="TEXT", help=text)(command)
    return command


def _values(given: dict[str, Any]) -> dict[str, Any]:
    """The given options as settings of the file; what was not given is left out."""
    values: dict[str, Any] = {key: value for key, value in given.items() if isinstance(value, str) and key != "protect"}
    if given["approval"] is not None:
        values["approval"] = given["approval"]
    if given["protect"] is not None:
        names = [name.strip() for name in given["protect"].split(",")]
        values["protect"] = "all" if names == ["all"] else names
    select = {"users": list(given["select_users"]), "groups": list(given["select_groups"])}
    if any(select.values()):
        values["select"] = {kind: names for kind, names in select.items() if names}
    return values


@click.group()
def scope() -> None:
    """List, show, create, edit and delete scopes."""


@scope.command("list")
@as_table
@click.pass_context
def list_scopes(ctx: click.Context, json_: bool, csv_: bool) -> None:
    """List the scopes with their last recovery point and the next scheduled one."""
    project = project_of(ctx)
    rows = [_row(project, one) for one in project.scopes.values()]
    columns = {
        "scope": "scope",
        "tenant": "tenant",
        "storage": "storage",
        "schedule": "schedule",
        "retention": "retention",
        "recovery_points": "points",
        "last": "last recovery point",
        "status": "status",
        "last_good": "last good",
        "age": "age",
        "freshness": "freshness",
        "next": "next",
    }
    empty = f"no scope in {project.file}; entra-pipeline scope create makes one"
    print_rows(rows, columns, json_=json_, csv_=csv_, empty=empty, right=("recovery_points",))


def _row(project: Project, one: Scope) -> dict[str, Any]:
    from entra_pipeline.project.schedules import next_run
    from entra_pipeline.project.stores import open_store
    from entra_pipeline.reports.health import health

    now = system_clock()
    due = next_run(one, now)
    row: dict[str, Any] = {
        "scope": one.name,
        "description": one.description,
        "tenant": one.tenant,
        "storage": one.storage,
        "schedule": one.schedule or "",
        "retention": str(one.retention),
        "next": due.isoformat(timespec="minutes") if due else "",
    }
    try:
        found = health(one, open_store(project, one.name), now)
    except EntraPipelineError as error:
        nothing = dict.fromkeys(("last", "last_good", "age", "freshness"), "")
        return {**row, "recovery_points": None, **nothing, "age_seconds": None, "status": f"storage: {error.message}"}
    return {
        **row,
        "recovery_points": found.points,
        "last": found.latest.recovery_point if found.latest else "",
        "status": found.latest.status if found.latest else "never backed up",
        "last_good": found.good,
        "age": _age(found.age) if found.age is not None else "",
        "age_seconds": int(found.age.total_seconds()) if found.age is not None else None,
        "freshness": found.freshness,
    }


def _age(age: timedelta) -> str:
    """An age in its largest unit."""
    seconds = age.total_seconds()
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length:
            number = int(seconds // length)
            return f"{number} {unit}{'s' if number > 1 else ''}"
    return "under a minute"


@scope.command("show")
@click.argument("name", metavar="SCOPE")
@as_json
@click.pass_context
def show(ctx: click.Context, name: str, json_: bool) -> None:
    """Show a scope: its settings, what it protects, and the permissions it needs."""
    from entra_pipeline.catalogue import permissions_for

    project = project_of(ctx)
    one = project.scope(name)
    types = one.types()
    row = {
        **_row(project, one),
        "drill": one.drill or "",
        "timezone": one.timezone,
        "full_backup_frequency": str(one.full_frequency or ""),
        "max_incrementals": one.max_incrementals,
        "approval": one.approval,
        "erasure": one.erasure or "",
        "protect": one.protect,
        "select": one.select.model_dump() if one.select else None,
        "types": types,
        "permissions": permissions_for(types),
    }
    if json_:
        print_json(row)
        return
    shown = {**row, "select": _spoken(one)}
    rows = [
        {"key": key.replace("_", " "), "value": "\n".join(value) if isinstance(value, list) else value}
        for key, value in shown.items()
        if value not in ("", None)
    ]
    print_rows(rows, {"key": "scope", "value": one.name})


def _spoken(one: Scope) -> str:
    if one.select is None:
        return ""
    return "; ".join(f"{kind}: {', '.join(names)}" for kind, names in one.select.model_dump().items() if names)


@scope.command("create")
@click.argument("name", metavar="SCOPE")
@_settings
@click.pass_context
def create(ctx: click.Context, /, name: str, **given: Any) -> int:
    """Create a scope, and check what its storage can promise.

    Its tenant signs in by managed identity, workload identity, certificate or, as the last resort, a client secret,
    the safest first. Who has a copy of a client secret can read the tenant from anywhere.

    Exit code 3: the scope was created, and backups to its storage cannot work yet.
    """
    file = project_file(ctx)
    values = _values(given)
    for needed, table in (("tenant", "tenants"), ("storage", "storage")):
        if needed not in {**load_project(file).scope_defaults, **values}:
            raise UsageError(f"--{needed} is missing", remedy=f"Name one of the [{table}.NAME] tables of {file}.")
    create_scope(file, name, values)
    made = project_of(ctx).scope(name)
    echo(f"created scope {name} in {made.setting('')[0]}")
    _advise(project_of(ctx).tenants[made.tenant])
    return _try_storage(ctx, name)


@scope.command("edit")
@click.argument("name", metavar="SCOPE")
@_settings
@click.option("--unset", multiple=True, metavar="KEY", help="Remove a setting; may be repeated.")
@click.pass_context
def edit(ctx: click.Context, /, name: str, unset: tuple[str, ...], **given: Any) -> int:
    """Change settings of a scope; comments in the file are kept. A new storage is checked as by `scope create`."""
    file = project_file(ctx)
    changes = {**_values(given), **{key.replace("-", "_"): None for key in unset}}
    if not changes:
        raise UsageError(
            "nothing to change", remedy="Give at least one setting; entra-pipeline scope edit --help lists them."
        )
    unknown = set(changes) - set(Scope.model_fields)
    if unknown:
        raise UsageError(f"a scope has no setting {sorted(unknown)[0]!r}", remedy="docs/configuration.md lists them.")
    edit_scope(file, name, changes)
    echo(f"changed scope {name} in {project_of(ctx).scope(name).setting('')[0]}: {', '.join(sorted(changes))}")
    return _try_storage(ctx, name) if "storage" in changes else 0


def _advise(tenant: Tenant) -> None:
    """Says that a tenant signs in by the last resort, where it does."""
    held = [
        table
        for table, app in ((f"tenants.{tenant.name}", tenant), (f"tenants.{tenant.name}.restore", tenant.restore))
        if app is not None and app.client_secret is not None
    ]
    if held:
        say(
            f"note: {' and '.join(held)} signs in by a client secret, the last resort: a copy of it works from "
            "anywhere. A managed identity, workload identity or certificate is safer (docs/credentials.md)."
        )


def _try_storage(ctx: click.Context, name: str) -> int:
    """Says what the storage of a scope can promise; the exit code is 3 where backups to it cannot work."""
    from entra_pipeline.store.backends.promises import StoragePromises, shortcomings

    project = project_of(ctx)
    storage = project.scope(name).storage
    found = list(StoragePromises(project.storage[storage], erasure=project.erases_in(storage)).check())
    problems = shortcomings(found)
    if not problems:
        echo(f"storage {storage} passed {pluralize(len(found), 'check')}")
        return 0
    for problem in problems:
        echo(f"warning: storage {storage}: {problem}", err=True)
    broken = any(one.outcome == "failed" and one.needed_for == "backup" for one in found)
    return _BROKEN_STORAGE if broken else 0


@scope.command("delete")
@click.argument("name", metavar="SCOPE")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.pass_context
def delete(ctx: click.Context, name: str, yes: bool) -> None:
    """Delete a scope from the configuration; its recovery points stay in the storage."""
    project = project_of(ctx)
    file = project.scope(name).setting("")[0]
    if not yes:
        click.confirm(f"Delete scope {name}? Its recovery points stay in the storage.", abort=True)
    delete_scope(project.file, name)
    echo(f"deleted scope {name} from {file}; its recovery points stay in the storage")
