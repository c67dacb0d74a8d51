"""Creating and editing scopes: the form, what its entries mean while they are written, and saving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tomlkit
from starlette.responses import Response

from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.console.auditing import record
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.editing import scope_form
from entra_pipeline.console.editing.consequences import (
    Consequence,
    not_agreed,
    of_name,
    of_retention,
    of_selection,
)
from entra_pipeline.console.editing.form_errors import InvalidEntries, at_fields
from entra_pipeline.console.editing.saving import reloaded, require_approval_kept
from entra_pipeline.console.reading.reporting import SEARCHED
from entra_pipeline.console.routing import Area, Page, RequestContext, address
from entra_pipeline.errors import ConfigurationError, EntraPipelineError, UsageError
from entra_pipeline.project import Scope, Tenant, create_scope, edit_scope
from entra_pipeline.project.loading import parse_project
from entra_pipeline.project.schedules import in_words, next_runs
from entra_pipeline.store.backends.promises import StoragePromises, shortcomings
from entra_pipeline.text import pluralize

_TIMES = 5
# Characters of a name that is looked for in a tenant; chosen users and groups whose names are looked up.
_LONGEST = 200
_NAMED = 100


def new(context: RequestContext) -> Response:
    """The form for a new scope; the address may fill in its name and storage."""
    return _form(context, None, scope_form.new_values({key: context.query(key) for key in ("name", "storage")}))


def edit(context: RequestContext) -> Response:
    """The form for a scope that there is."""
    scope = context.scope()
    return _form(context, scope, scope_form.values_of(scope))


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
    return context.form_page(
        "scope_form.html",
        error,
        scope=scope,
        values=values,
        categories=categories,
        every=len(CATALOGUE),
        consequences=consequences,
        agreed=context.form.get("agreed", []),
        when=scope_form.WHEN,
        weekdays=scope_form.WEEKDAYS,
        units=scope_form.UNITS,
        forever=scope_form.FOREVER,
        people=[(kind, one, one, "") for kind in scope_form.SELECTED for one in values[kind]],
        **_foreseen(context, values),
    )


def save_new(context: RequestContext) -> Response:
    """Creates a scope."""
    return _save(context, None)


def save(context: RequestContext) -> Response:
    """Changes a scope."""
    return _save(context, context.scope())


def _save(context: RequestContext, scope: Scope | None) -> Response:
    values = scope_form.sent_values(context.form)
    if scope is not None:
        values["name"] = scope.name
    name, settings = values["name"], scope_form.settings_of(values)
    try:
        if scope is not None and scope.approval:
            require_approval_kept(scope, approval=bool(settings["approval"]), tenant=settings["tenant"])
        if wrong := scope_form.wrong_entries(context.project, values, new=scope is None):
            raise InvalidEntries(wrong)
        found = _consequences(context, scope, values, settings)
        if not_agreed(found, context.form.get("agreed", [])):
            question = UsageError(
                "please confirm", remedy="Nothing has been saved yet. Agree to what follows, and save again."
            )
            return _form(context, scope, values, question, found)
        with context.state.changing(context.field("version")) as file:
            if scope is None:
                create_scope(file, name, settings)
            else:
                edit_scope(file, name, settings)
    except EntraPipelineError as error:
        return _form(context, scope, values, at_fields(error, f"scopes.{name}", scope_form.FIELDS))
    action = "scope edit" if scope else "scope create"
    told = {key: value for key, value in settings.items() if value is not None}
    record(context.state, context.user, context.request, action=action, scope=name, **told)
    # What is saved stands: the storage may be set up after it.
    promised = _promised(context, settings["storage"]) if scope is None or scope.storage != settings["storage"] else ""
    text = f"The scope {name} has been saved.{reloaded(context.state)}{promised}"
    return context.go(address("scopes", name), text)


def _promised(context: RequestContext, name: str) -> str:
    """Says what a storage can promise."""
    storage = context.project.storage.get(name)
    if storage is None:
        return ""
    found = list(StoragePromises(storage, erasure=context.project.erases_in(name)).check())
    problems = shortcomings(found)
    if not problems:
        return f" Its storage {name} passed {pluralize(len(found), 'check')}."
    return f" Its storage {name} did not pass: {'; '.join(problems)}"


def _consequences(
    context: RequestContext, scope: Scope | None, values: Mapping[str, Any], settings: Mapping[str, Any]
) -> list[Consequence]:
    """What somebody has to agree to before this is saved; raises InvalidEntries for who does not exist."""
    retention = scope_form.retention_of(values)
    found = [] if scope else of_name(context.project, values["name"])
    if scope is not None and retention is not None and retention != scope.retention:
        found += of_retention(context.store(), scope, retention)
    known = scope.select if scope is not None and scope.select and scope.tenant == settings["tenant"] else None
    chosen = settings["select"] or {}
    new = {
        kind: [one for one in chosen.get(kind, ()) if known is None or one not in getattr(known, kind)]
        for kind in SEARCHED
    }
    return [*found, *of_selection(context.project, settings["tenant"], new["users"], new["groups"])]


# --- While the form is filled in -------------------------------------------------------------------------------------


def preview(context: RequestContext) -> Response:
    """What the schedule that is being written means."""
    asked = {key: [value] for key, value in context.request.query_params.items()}
    return context.page("scope_preview.html", **_foreseen(context, scope_form.sent_values(asked)))


def _foreseen(context: RequestContext, values: Mapping[str, Any]) -> dict[str, Any]:
    """A schedule in words with its next times, or what is wrong with it."""
    schedule, zone = scope_form.cron_of(values), values["timezone"] or "UTC"
    foreseen: dict[str, Any] = {"times": [], "wrong": "", "said": "", "scheduled": bool(values["when"])}
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
            foreseen["times"] = next_runs(scope, context.state.clock(), _TIMES)
            foreseen["said"] = in_words(schedule)
        except ConfigurationError as error:
            foreseen["wrong"] = f"{error.what}. {error.remedy}"
    return foreseen


def search(context: RequestContext) -> Response:
    """Users and groups of a tenant whose name begins with a text, as they are now."""
    text = context.query("find").strip()
    tenant = context.project.tenants.get(context.query("tenant"))
    found: list[dict[str, Any]] = []
    problem = ""
    if tenant is not None and text:
        try:
            for kind in SEARCHED:
                some = context.ask("people", tenant=tenant.name, kind=kind, text=text[:_LONGEST])
                found += [{"kind": kind, **one} for one in some]
        except EntraPipelineError as error:
            problem = f"{error.message}. {error.remedy}"
    return context.page("scope_search.html", text=text, found=found, problem=problem, known=tenant is not None)


def named(context: RequestContext) -> Response:
    """The chosen users and groups by name, as the tenant has them now: a part of the form, which asks for it."""
    tenant = context.project.tenants.get(context.field("tenant"))
    values = scope_form.sent_values(context.form)
    chosen = [(kind, one) for kind in scope_form.SELECTED for one in values[kind]]
    return context.page("scope_people.html", people=_named(context, tenant, chosen))


def chosen_of(context: RequestContext) -> Response:
    """The users and groups that a scope protects, by name: a part of its page, which asks for it."""
    scope = context.scope()
    chosen = [(kind, one) for kind in scope_form.SELECTED for one in getattr(scope.select, kind, [])]
    return context.page("scope_chosen.html", people=_named(context, context.project.tenants[scope.tenant], chosen))


def _named(
    context: RequestContext, tenant: Tenant | None, chosen: Sequence[tuple[str, str]]
) -> list[tuple[str, str, str, str]]:
    """Chosen users and groups with their names: kind, what was chosen, name, what else tells it from others."""
    names: dict[tuple[str, str], tuple[str, str]] = {}
    if tenant is not None and chosen:
        try:
            told = context.ask("named", tenant=tenant.name, names=chosen[:_NAMED])
            names = {(kind, one): (name, detail) for kind, one, name, detail in told}
        except EntraPipelineError:
            # Saving says that the tenant cannot be asked; until then they stand as they were chosen.
            names = {}
    return [(kind, one, *names.get((kind, one), (one, ""))) for kind, one in chosen]


PAGES = (
    Page("/scopes/new", new, Role.administrator),
    Page("/scopes/new", save_new, Role.administrator, ("POST",)),
    Page("/scopes/new/preview", preview, Role.administrator),
    Page("/scopes/new/search", search, Role.administrator),
    Page("/scopes/new/named", named, Role.administrator, ("POST",)),
    Page("/scopes/{scope}/chosen", chosen_of, Role.viewer, area=Area.SCOPE),
    Page("/scopes/{scope}/edit", edit, Role.administrator),
    Page("/scopes/{scope}/edit", save, Role.administrator, ("POST",)),
)
