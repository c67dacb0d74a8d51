"""Scopes: what is protected, where, when, for how long; creating, editing and deleting them; backing up now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tomlkit
from starlette.responses import Response

from entra_pipeline.catalogue import CATALOGUE, permissions_for
from entra_pipeline.console.auditing import record
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.dagster.client import DagsterUnavailable
from entra_pipeline.console.editing.consequences import (
    Consequence,
    not_agreed,
    of_deletion,
    of_name,
    of_retention,
    of_selection,
    requested,
)
from entra_pipeline.console.pages.dashboard import health
from entra_pipeline.console.reading.reporting import SEARCHED
from entra_pipeline.console.routing import Page, RequestContext, address
from entra_pipeline.errors import ConfigurationError, EntraPipelineError, UsageError
from entra_pipeline.orchestration.keys import backup_now_job_name, backup_now_op_name, run_tags
from entra_pipeline.project import Period, Scope, create_scope, delete_scope, edit_scope
from entra_pipeline.project.loading import parse_project
from entra_pipeline.project.schedules import next_runs
from entra_pipeline.project.stores import points_without_scope
from entra_pipeline.store.backends.promises import StoragePromises, shortcomings
from entra_pipeline.text import pluralize

_TIMES = 5
# Characters of a name that is looked for in a tenant.
_LONGEST = 200
_RETENTIONS = ("30 days", "90 days", "1 year", "2 years", "7 years", "forever")


def show(context: RequestContext) -> Response:
    """All scopes."""
    healths = [health(context, scope) for scope in context.project.scopes.values()]
    return context.page("scopes.html", healths=healths, locked=context.state.not_writable())


def without_scope(context: RequestContext) -> Response:
    """The recovery points that belong to no scope of the configuration: a part of the list of scopes."""
    found, problems = points_without_scope(context.project)
    return context.page("without_scope.html", found=found, problems=problems, locked=context.state.not_writable())


def one(context: RequestContext) -> Response:
    """A scope with its settings."""
    return _one(context)


def _one(context: RequestContext, error: EntraPipelineError | None = None) -> Response:
    """A scope, with what was wrong with deleting it, if anything."""
    scope = context.scope()
    return context.page(
        "scope.html",
        status=409 if error else 200,
        error=error,
        consequences=_of_deletion(context, scope) if context.may("administrator") else [],
        scope=scope,
        health=health(context, scope),
        types=[CATALOGUE[name] for name in scope.types()],
        permissions=permissions_for(scope.types()),
        times=next_runs(scope, context.state.clock(), _TIMES),
        locked=context.state.not_writable(),
    )


def back_up(context: RequestContext) -> Response:
    """Takes a recovery point now; while one is being taken, or about to be, shows that."""
    scope = context.scope()
    config = {}
    if full := bool(context.field("full")):
        config = {"ops": {backup_now_op_name(scope): {"config": {"full": True}}}}
    with context.state.launching:
        if (first := context.state.backups.of(scope.name, now=True)) is not None:
            text = f"A backup of {scope.name} is {first.status} already. This is its job."
            return context.go(address("jobs", first.run.id), text)
        job = backup_now_job_name(scope)
        run = context.state.dagster.launch(job, config, operator=context.user, tags=run_tags(scope))
        context.state.backups.forget()
    record(
        context.state,
        context.user,
        context.request,
        action="backup",
        result="started",
        scope=scope.name,
        subject=run,
        full=full,
    )
    return context.go(address("jobs", run))


def backing_up(context: RequestContext) -> Response:
    """Whether a backup of a scope is under way, or the button that starts one: a part of pages, which ask for it."""
    return context.page("backup_now.html", scope=context.scope())


# --- Changing --------------------------------------------------------------------------------------------------------


def new(context: RequestContext) -> Response:
    """The form for a new scope; the address may fill in its name and storage."""
    given = {key: context.query(key) for key in ("name", "storage")}
    return _form(context, None, {"protect": "all", "timezone": "UTC", "retention": "2 years", **given})


def edit(context: RequestContext) -> Response:
    """The form for a scope that there is."""
    scope = context.scope()
    return _form(context, scope, _values(scope))


def _values(scope: Scope) -> dict[str, Any]:
    """A scope as its form shows it."""
    chosen = {one.lower() for one in scope.protect} if scope.protect != "all" else set()
    return {
        "name": scope.name,
        "description": scope.description,
        "tenant": scope.tenant,
        "storage": scope.storage,
        "protect": "all" if scope.protect == "all" else "chosen",
        "types": [name for name in scope.types() if chosen],
        "users": scope.select.users if scope.select else [],
        "groups": scope.select.groups if scope.select else [],
        "schedule": scope.schedule or "",
        "timezone": scope.timezone,
        "retention": str(scope.retention),
        "full_backup_frequency": str(scope.full_backup_frequency or ""),
        "approval": scope.approval,
    }


def _form(
    context: RequestContext,
    scope: Scope | None,
    values: Mapping[str, Any],
    error: EntraPipelineError | None = None,
    consequences: Sequence[Consequence] = (),
) -> Response:
    categories: dict[str, list[Any]] = {}
    for entry in CATALOGUE.values():
        categories.setdefault(entry.category.value, []).append(entry)
    texts = ("name", "description", "tenant", "storage", "schedule")
    filled = {**dict.fromkeys(texts, ""), "types": [], "users": [], "groups": [], "approval": False, **values}
    return context.form_page(
        "scope_form.html",
        error,
        scope=scope,
        values=filled,
        categories=categories,
        consequences=consequences,
        agreed=context.form.get("agreed", []),
        retentions=_RETENTIONS,
        **_foreseen(context, filled),
    )


def save_new(context: RequestContext) -> Response:
    """Creates a scope."""
    return _save(context, None)


def save(context: RequestContext) -> Response:
    """Changes a scope."""
    return _save(context, context.scope())


def _save(context: RequestContext, scope: Scope | None) -> Response:
    values = _sent(context)
    name = scope.name if scope else context.field("name")
    settings = _settings(values)
    try:
        if scope is not None and scope.approval:
            _require_kept(scope, settings)
        found = _consequences(context, scope, name, values)
        if not_agreed(found, context.form.get("agreed", [])):
            question = UsageError(
                "please confirm", remedy="Nothing has been saved yet. Agree to what follows, and save again."
            )
            return _form(context, scope, {**values, "name": name}, question, found)
        with context.state.changing(context.field("version")) as file:
            if scope is None:
                create_scope(file, name, settings)
            else:
                edit_scope(file, name, settings)
    except EntraPipelineError as error:
        return _form(context, scope, {**values, "name": name}, error)
    action = "scope edit" if scope else "scope create"
    told = {key: value for key, value in settings.items() if value is not None}
    record(context.state, context.user, context.request, action=action, scope=name, **told)
    # What is saved stands: the storage may be set up after it.
    promised = _promised(context, settings["storage"]) if scope is None or scope.storage != settings["storage"] else ""
    return context.go(address("scopes", name), f"The scope {name} has been saved.{_reloaded(context)}{promised}")


def _promised(context: RequestContext, name: str) -> str:
    """Says what a storage can promise."""
    storage = context.project.storage.get(name)
    if storage is None:
        return ""
    found = list(StoragePromises(storage).check())
    problems = shortcomings(found)
    if not problems:
        return f" Its storage {name} passed {pluralize(len(found), 'check')}."
    return f" Its storage {name} did not pass: {'; '.join(problems)}"


def _consequences(context: RequestContext, scope: Scope | None, name: str, values: dict[str, Any]) -> list[Consequence]:
    """What somebody has to agree to before this is saved; raises UsageError for what cannot be saved at all."""
    retention = requested(values)
    found = [] if scope else of_name(context.project, name)
    if scope is not None and retention is not None and retention != scope.retention:
        found += of_retention(context.store(), scope, retention)
    known = scope.select if scope is not None and scope.select and scope.tenant == values["tenant"] else None
    new = {kind: [one for one in values[kind] if known is None or one not in getattr(known, kind)] for kind in SEARCHED}
    return [*found, *of_selection(context.project, values["tenant"], new["users"], new["groups"])]


def _of_deletion(context: RequestContext, scope: Scope) -> list[Consequence]:
    """What somebody has to agree to before a scope is deleted."""
    try:
        store, restore = context.state.store(scope.name), context.state.backups.restore_of(scope.name)
        return of_deletion(store, scope, context.backup(scope.name), restore)
    except EntraPipelineError as error:
        return [Consequence(f"What it has in its storage is not known: {error.message}.")]


def _sent(context: RequestContext) -> dict[str, Any]:
    """The form as it was sent."""
    plain = ("description", "tenant", "storage", "protect", "schedule", "timezone", "retention")
    values: dict[str, Any] = {key: context.field(key) for key in (*plain, "full_backup_frequency")}
    values["types"] = context.form.get("types", [])
    values["approval"] = bool(context.field("approval"))
    for kind in SEARCHED:
        values[kind] = context.lines(kind)
    return values


def _settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """What is to stand in the file; None for what is not to stand there."""
    select = {kind: values[kind] for kind in SEARCHED if values[kind]}
    return {
        "description": values["description"] or None,
        "tenant": values["tenant"],
        "storage": values["storage"],
        "protect": "all" if values["protect"] == "all" else values["types"],
        "select": select or None,
        "schedule": values["schedule"] or None,
        "timezone": values["timezone"] or None,
        "retention": values["retention"] or None,
        "approval": values["approval"] or None,
        "full_backup_frequency": values["full_backup_frequency"] if _in_years(values["retention"]) else None,
    } | ({"full_backup_frequency": None} if not values["full_backup_frequency"] else {})


def _require_kept(scope: Scope, settings: Mapping[str, Any]) -> None:
    """Raises UsageError for what would let one administrator alone restore what takes two."""
    if not settings["approval"] or settings["tenant"] != scope.tenant:
        raise UsageError(
            "restores of this scope require approval by a second administrator; "
            "approval and tenant cannot be changed in the console",
            remedy=f"Edit approval or tenant in {scope.setting('approval')[0].name}, on the console's machine.",
        )


def _in_years(retention: str) -> bool:
    try:
        return Period.parse(retention).in_years
    except Exception:  # pydantic's error; saving tells what is wrong with it
        return False


def delete(context: RequestContext) -> Response:
    """Deletes a scope; its recovery points stay."""
    scope = context.scope()
    if context.field("confirm") != scope.name:
        raise UsageError("the name of the scope was not confirmed", remedy="Type the name of the scope to confirm.")
    if scope.approval:
        _require_kept(scope, {"approval": None, "tenant": None})
    if not_agreed(_of_deletion(context, scope), context.form.get("agreed", [])):
        return _one(
            context,
            UsageError(
                f"{scope.name} has not been deleted",
                remedy="Agree below to what deleting it means, and delete it again.",
            ),
        )
    with context.state.changing(context.field("version")) as file:
        record(context.state, context.user, context.request, action="scope delete", scope=scope.name)
        delete_scope(file, scope.name)
    text = f"The scope {scope.name} has been deleted. Its recovery points stay in the storage {scope.storage}."
    return context.go("/scopes", f"{text}{_reloaded(context)}")


def _reloaded(context: RequestContext) -> str:
    """Has Dagster load its definitions again; what to say when it cannot."""
    try:
        context.state.dagster.reload()
    except DagsterUnavailable as error:
        return f" Dagster does not know yet: {error.message}."
    return ""


# --- While the form is filled in -------------------------------------------------------------------------------------


def preview(context: RequestContext) -> Response:
    """What the schedule and the retention that are being written mean."""
    asked = ("schedule", "timezone", "retention", "full_backup_frequency")
    return context.page("scope_preview.html", **_foreseen(context, {key: context.query(key).strip() for key in asked}))


def _foreseen(context: RequestContext, values: Mapping[str, Any]) -> dict[str, Any]:
    """The next times of a schedule, or what is wrong with it; and whether full backups have a frequency."""
    schedule, zone = values.get("schedule", ""), values.get("timezone") or "UTC"
    times, wrong = [], ""
    if schedule:
        # The whole configuration decides what is a schedule; a scope that is nowhere asks it.
        text = tomlkit.dumps(
            {
                "storage": {"s": {"kind": "local", "path": "s"}},
                "tenants": {"t": {"simulator": {"users": 1}}},
                "scopes": {"s": {"tenant": "t", "storage": "s", "schedule": schedule, "timezone": zone}},
            }
        )
        try:
            scope = parse_project(text, context.state.file).scope("s")
            times = next_runs(scope, context.state.clock(), _TIMES)
        except ConfigurationError as error:
            wrong = f"{error.message.partition(f'{error.key}: ')[2]}. {error.remedy}"
    return {
        "times": times,
        "wrong": wrong,
        "scheduled": bool(schedule),
        "in_years": _in_years(values.get("retention", "")),
        "frequency": values.get("full_backup_frequency", ""),
    }


def search(context: RequestContext) -> Response:
    """Users or groups of a tenant whose name begins with a text, as they are now."""
    kind = context.query("kind")
    text = context.query(f"find_{kind}").strip()
    tenant = context.project.tenants.get(context.query("tenant"))
    found: list[dict[str, Any]] = []
    problem = ""
    if kind in SEARCHED and tenant is not None and text:
        try:
            found = context.ask("people", tenant=tenant.name, kind=kind, text=text[:_LONGEST])
        except EntraPipelineError as error:
            problem = f"{error.message}. {error.remedy}"
    return context.page(
        "scope_search.html", kind=kind, text=text, found=found, problem=problem, known=tenant is not None
    )


PAGES = (
    Page("/scopes", show, Role.viewer, label="Scopes", place=20),
    Page("/scopes/new/again", without_scope, Role.administrator, polled=True),
    Page("/scopes/new", new, Role.administrator),
    Page("/scopes/new", save_new, Role.administrator, ("POST",)),
    Page("/scopes/new/preview", preview, Role.administrator),
    Page("/scopes/new/search", search, Role.administrator),
    Page("/scopes/{scope}", one, Role.viewer),
    Page("/scopes/{scope}/edit", edit, Role.administrator),
    Page("/scopes/{scope}/edit", save, Role.administrator, ("POST",)),
    Page("/scopes/{scope}/delete", delete, Role.administrator, ("POST",)),
    Page("/scopes/{scope}/backup", backing_up, Role.viewer, polled=True),
    Page("/scopes/{scope}/backup", back_up, Role.operator, ("POST",)),
)
