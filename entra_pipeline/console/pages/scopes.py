"""Scopes: what is protected, where, when, for how long; deleting them; backing up now."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from starlette.responses import Response

from entra_pipeline.catalogue import CATALOGUE, permissions_for
from entra_pipeline.console.auditing import record
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.display.pictures import columns, line
from entra_pipeline.console.editing.consequences import Consequence, not_agreed, of_deletion
from entra_pipeline.console.editing.form_errors import InvalidEntries
from entra_pipeline.console.editing.saving import reloaded, require_approval_kept
from entra_pipeline.console.monitor.overview import last_drill
from entra_pipeline.console.monitor.trends import TrendDay, first_moment, trend
from entra_pipeline.console.pages.dashboard import health
from entra_pipeline.console.rendering import seconds, tone
from entra_pipeline.console.routing import Area, Page, RequestContext, address
from entra_pipeline.errors import EntraPipelineError, UsageError
from entra_pipeline.orchestration.keys import backup_launch
from entra_pipeline.project import Scope, delete_scope
from entra_pipeline.project.schedules import next_runs
from entra_pipeline.project.stores import points_without_scope

_TIMES = 5


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
    context.wrong = error.fields if isinstance(error, InvalidEntries) else {}
    return context.page(
        "scope.html",
        status=400 if context.wrong else 409 if error else 200,
        error=error,
        consequences=_of_deletion(context, scope) if context.access.everywhere(Role.administrator) else [],
        scope=scope,
        health=health(context, scope),
        types=[CATALOGUE[name] for name in scope.types()],
        permissions=permissions_for(scope.types()),
        times=next_runs(scope, context.state.clock(), _TIMES),
        locked=context.state.not_writable(),
    )


def trends(context: RequestContext) -> Response:
    """How a scope's backups have developed, and its last drill: a part of the page of a scope."""
    scope, store, now = context.scope(), context.store(), context.state.clock()
    zone = ZoneInfo(scope.timezone)
    try:
        records = context.state.job_list.records_since(store, first_moment(zone, now))
        # What is stored changes with jobs only.
        key = ("stored", scope.name, records[-1].id if records else "")
        days = trend(records, context.found(key, lambda: context.read("stored")), zone, now)
        drill = last_drill(store)
    except EntraPipelineError as error:
        return context.page("scope_trends.html", scope=scope, problem=error)
    taken = [one for one in days if one.backups]
    return context.page(
        "scope_trends.html",
        problem=None,
        scope=scope,
        days=days,
        taken=taken,
        moved=[one for one in days if one.written or one.deleted or one is days[-1]],
        drill=drill,
        duration=columns(
            [(one.day, one.seconds, tone(one.status), _took(one)) for one in days],
            f"Longest backup of each of the last {len(days)} days",
        ),
        stored=line([one.stored for one in days], f"Stored in the last {len(days)} days"),
    )


def _took(day: TrendDay) -> str:
    """A day of backups in words."""
    return f"{seconds(day.seconds or 0)}, {day.status}"


def back_up(context: RequestContext) -> Response:
    """Takes a recovery point now; while one is being taken, or about to be, shows that."""
    scope = context.scope()
    launched = backup_launch(context.project, scope)
    config = {}
    if full := bool(context.field("full")):
        config = {"ops": {launched.op: {"config": {"full": True}}}}
    with context.state.launching:
        if (first := context.state.backups.of(scope.name, now=True)) is not None:
            text = f"A backup of {scope.name} is {first.status} already. This is its job."
            return context.go(address("jobs", first.run.id), text)
        if launched.partitions:
            context.state.dagster.add_partition(launched.partitions, scope.name)
        run = context.state.dagster.launch(launched.job, config, operator=context.user, tags=launched.tags)
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


# --- Deleting ---------------------------------------------------------------------------------------------------------


def delete(context: RequestContext) -> Response:
    """Deletes a scope; its recovery points stay."""
    scope = context.scope()
    if context.field("confirm") != scope.name:
        return _one(context, InvalidEntries({"confirm": f"Type {scope.name} to confirm."}))
    if scope.approval:
        require_approval_kept(scope, approval=False, tenant="")
    if not_agreed(_of_deletion(context, scope), context.form.get("agreed", [])):
        return _one(
            context,
            UsageError(
                f"{scope.name} has not been deleted",
                remedy="Agree below to what deleting it means, and delete it again.",
            ),
        )
    try:
        with context.state.changing(context.field("version")) as file:
            record(context.state, context.user, context.request, action="scope delete", scope=scope.name)
            delete_scope(file, scope.name)
    except EntraPipelineError as error:
        return _one(context, error)
    text = f"The scope {scope.name} has been deleted. Its recovery points stay in the storage {scope.storage}."
    return context.go("/scopes", f"{text}{reloaded(context.state)}")


def _of_deletion(context: RequestContext, scope: Scope) -> list[Consequence]:
    """What somebody has to agree to before a scope is deleted."""
    try:
        store, restore = context.state.store(scope.name), context.state.backups.restore_of(scope.name)
        return of_deletion(store, scope, context.backup(scope.name), restore)
    except EntraPipelineError as error:
        return [Consequence(f"What it has in its storage is not known: {error.message}.")]


PAGES = (
    Page("/scopes", show, Role.viewer, area=Area.OWN_SCOPES, label="Scopes", place=20, icon="shield-check"),
    Page("/scopes/new/again", without_scope, Role.administrator),
    Page("/scopes/{scope}", one, Role.viewer, area=Area.SCOPE),
    Page("/scopes/{scope}/trends", trends, Role.viewer, polled=True, area=Area.SCOPE),
    Page("/scopes/{scope}/delete", delete, Role.administrator, ("POST",)),
    Page("/scopes/{scope}/backup", backing_up, Role.viewer, polled=True, area=Area.SCOPE),
    Page("/scopes/{scope}/backup", back_up, Role.operator, ("POST",), area=Area.SCOPE),
)
