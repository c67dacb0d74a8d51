"""Restoring: choose, plan, look, carry out, see what came of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.responses import Response

from entra_pipeline.analysis.manifest_rows import older_text
from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.console.approving.plans import waiting
from entra_pipeline.console.auditing import record
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.dagster.client import UNDER_WAY, DagsterAbsent, DagsterUnavailable, Run
from entra_pipeline.console.editing.form_errors import InvalidEntries
from entra_pipeline.console.monitor.runs import runs_of
from entra_pipeline.console.paging import Shown
from entra_pipeline.console.rendering import ago
from entra_pipeline.console.routing import Area, Page, RequestContext, address, status_of
from entra_pipeline.errors import EntraPipelineError, NotInStore, UsageError
from entra_pipeline.orchestration.keys import DRY_RUN_TAG, PLAN_TAG, run_tags
from entra_pipeline.project import Scope
from entra_pipeline.restore.objects.model import PlanRefusal, RestoreOptions, RestorePlan, RestoreSelection
from entra_pipeline.restore.plan.rules.expired import check_ended_until
from entra_pipeline.restore.records.approval import approval_scopes, approve, approved_by, made_by, require_approval
from entra_pipeline.restore.records.journal import has_begun
from entra_pipeline.restore.records.plan_rows import NameFinder, PlanRows, names_at
from entra_pipeline.restore.records.plans import read_plan
from entra_pipeline.restore.records.report import applied, exceptions, read_report, rows
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.recovery_points import ScopeStore

_STEPS = 100
_REASONS = 100
_NAMED = 5
_RUNS = 50
_ID = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ-[0-9a-f]{6}")
EVERYTHING = "point"
"""Value of the field `every` that chooses a whole recovery point."""
CONFLICTS = (
    ("overwrite", "Overwrite: restore all differing properties; remove links that are not in the recovery point"),
    ("merge", "Merge: fill empty properties and add missing links; remove nothing"),
    ("skip", "Skip: leave existing objects unchanged"),
)
"""What becomes of objects that exist and differ: value and text."""
TAKEN = (
    ("skip", "Leave the user out, and list who has the UPN"),
    ("rename", "Restore the user under a new UPN"),
    ("match", "Overwrite the user who has it, as the same person"),
)
"""What becomes of deleted users whose UPN somebody else has now: value and text."""


def show(context: RequestContext) -> Response:
    """The plans and restores of all scopes."""
    problem: EntraPipelineError | None = None
    runs: list[Run] = []
    try:
        runs = runs_of(context.state.dagster, context.only, limit=_RUNS, filters={"pipelineName": "restore"})
    except DagsterUnavailable as error:
        problem = error
    records = []
    for scope in context.project.scopes:
        try:
            records += [one for one in context.state.store(scope).jobs.all() if one.type == "restore"]
        except EntraPipelineError as error:
            problem = error
    records.sort(key=lambda one: one.id, reverse=True)
    return context.page(
        "restores.html",
        jobs=context.state.jobs(runs),
        records=records[:_RUNS],
        problem=problem,
        waiting={one.plan for one in waiting(context.state, context.project, lambda: runs)},
    )


def choose(context: RequestContext) -> Response:
    """The form: what to restore of a point, and how."""
    store = context.store()
    point = context.state.manifest(store, context.path("point"))
    asked = context.request.query_params
    selection = _selection(
        asked.getlist("types"),
        asked.getlist("ids"),
        context.query("search"),
        context.query("where"),
        context.query("every"),
    )
    selection, added = _without_added(context, selection, asked.getlist("added"))
    return _form(context, point, selection, context.query("every"), added=added)


def _form(
    context: RequestContext,
    point: Manifest,
    selection: RestoreSelection | None,
    every: str,
    *,
    added: Sequence[str] = (),
    error: EntraPipelineError | None = None,
    status: int = HTTPStatus.OK,
) -> Response:
    """The form, with what was wrong with what was sent, if anything; inactive while nothing is selected."""
    context.wrong = error.fields if isinstance(error, InvalidEntries) else {}
    return context.page(
        "restore_form.html",
        status=status_of(error) if error else status,
        error=error,
        added=added,
        scope=context.scope(),
        manifest=point,
        selection=selection,
        every=every,
        everything=EVERYTHING,
        entries=[CATALOGUE[name] for name in selection.types if name in CATALOGUE] if selection else [],
        conflicts=CONFLICTS,
        taken=TAKEN,
        restorable=context.project.tenants[context.scope().tenant],
    )


def _without_added(
    context: RequestContext, selection: RestoreSelection | None, added: list[str]
) -> tuple[RestoreSelection | None, list[str]]:
    """Parts what the recovery point has from what was added since: that can be removed, by a plan of its own."""
    if selection is None or not selection.ids:
        return selection, list(dict.fromkeys(added))
    asked = {"ids": list(selection.ids), "types": list(selection.types)}
    known = set(context.read("known", point=context.path("point"), **asked))
    later = [one for one in selection.ids if one not in known]
    ids = tuple(one for one in selection.ids if one in known)
    left = msgspec.structs.replace(selection, ids=ids) if ids else None
    return left, list(dict.fromkeys([*later, *added]))


def choose_removal(context: RequestContext) -> Response:
    """The form: which objects are removed that a recovery point does not have."""
    point = context.state.manifest(context.store(), context.path("point"))
    ids = _removed(context.request.query_params.getlist("added"))
    return _removal_form(context, point, ids)


def _removal_form(
    context: RequestContext, point: Manifest, ids: list[str], error: EntraPipelineError | None = None
) -> Response:
    sent_nothing = not ids and context.request.method == "POST"
    status = status_of(error) if error else HTTPStatus.BAD_REQUEST if sent_nothing else HTTPStatus.OK
    return context.page("removal_form.html", status=status, error=error, scope=context.scope(), manifest=point, ids=ids)


def plan_removal(context: RequestContext) -> Response:
    """Has a plan made that removes objects which were added since a recovery point: a dry run in Dagster."""
    scope = context.scope()
    manifest = context.state.manifest(context.store(), context.path("point"))
    ids, point = _removed(context.form.get("added", [])), manifest.recovery_point
    if not ids:
        return _removal_form(context, manifest, ids)
    config = {"scope": scope.name, "point": point, "ids": ids, "delete_added": True, "dry_run": True}
    try:
        return _have_planned(context, scope, config, point=point, removes=len(ids))
    except EntraPipelineError as error:
        return _removal_form(context, manifest, ids, error)


def _removed(ids: list[str]) -> list[str]:
    """The objects to remove, each once."""
    return list(dict.fromkeys(one for one in ids if one))


def _selection(types: list[str], ids: list[str], search: str, where: str, every: str) -> RestoreSelection | None:
    """Returns what was chosen: single objects, all that match, or everything; None for nothing.

    Args:
        types: Object types.
        ids: Single objects.
        search: Text of all that match.
        where: SQL condition of all that match.
        every: Empty for single objects; `point` for everything in the recovery point; anything else for all of the
            types that match. A form that was sent without a choice says none of these.

    Raises:
        UsageError: There is no such type.
    """
    unknown = [name for name in types if name not in CATALOGUE]
    if unknown:
        raise UsageError(
            f"there is no object type {unknown[0]!r}", remedy="Choose an object type of the recovery point."
        )
    if every == EVERYTHING:
        return RestoreSelection()
    if ids and not every:
        return RestoreSelection(types=tuple(types), ids=tuple(dict.fromkeys(ids)))
    if not (types and every):
        return None
    return RestoreSelection(types=tuple(types), search=search.strip(), where=where.strip())


def plan(context: RequestContext) -> Response:
    """Has a plan made: a dry run in Dagster."""
    scope, store = context.scope(), context.store()
    point = context.state.manifest(store, context.path("point"))
    form = context.form
    selection = _selection(
        form.get("types", []),
        form.get("ids", []),
        context.field("search"),
        context.field("where"),
        context.field("every"),
    )
    if selection is None:
        return _form(context, point, None, "", status=HTTPStatus.BAD_REQUEST)
    try:
        return _planned(context, scope, point.recovery_point, selection)
    except EntraPipelineError as error:
        return _form(context, point, selection, context.field("every"), error=error)


def _planned(context: RequestContext, scope: Scope, point: str, selection: RestoreSelection) -> Response:
    """Has the plan made that a form asks for.

    Raises:
        InvalidEntries: An entry of the form is wrong.
        DagsterUnavailable: Nobody can make it now.
    """
    conflict, taken = context.field("conflict", "overwrite"), context.field("taken", "skip")
    ended_until = context.field("ended_until")
    wrong = {}
    if conflict not in dict(CONFLICTS):
        wrong["conflict"] = "Choose what becomes of objects that differ."
    if taken not in dict(TAKEN):
        wrong["taken"] = "Choose what becomes of users whose UPN is in use."
    try:
        check_ended_until(RestoreOptions(ended_until=ended_until), context.state.clock())
    except UsageError:
        wrong["ended_until"] = "Choose a day in the future, or leave it empty."
    if wrong:
        raise InvalidEntries(wrong, what="no plan has been made")
    config = {
        "scope": scope.name,
        "point": point,
        "types": list(selection.types),
        "ids": list(selection.ids),
        "where": selection.where,
        "search": selection.search,
        "conflict": conflict,
        "delete_added": bool(context.field("delete_added")),
        "enable_policies": bool(context.field("enable_policies")),
        "taken": taken,
        "sign_in": bool(context.field("sign_in")),
        "ended_until": ended_until,
        "dry_run": True,
    }
    told = {key: value for key, value in config.items() if value and key not in {"scope", "point", "ids", "dry_run"}}
    objects = len(selection.ids) or ("all" if selection == RestoreSelection() else "all that match")
    return _have_planned(context, scope, config, point=point, objects=objects, **told)


def _have_planned(context: RequestContext, scope: Scope, config: dict[str, Any], **told: Any) -> Response:
    run = context.state.dagster.launch(
        "restore", config, operator=context.user, tags={**run_tags(scope), DRY_RUN_TAG: "true"}
    )
    record(
        context.state,
        context.user,
        context.request,
        action="restore plan",
        result="started",
        scope=scope.name,
        subject=run,
        **told,
    )
    return context.go(address("jobs", run))


def one(context: RequestContext) -> Response:
    """A plan in full, and what became of it."""
    scope, store = context.scope(), context.store()
    found = _plan(context)
    report = read_report(store, found.id)
    offset = context.number("offset")
    name = _name_finder(context)
    writing = [step for step in found.steps if not step.returning]
    grouped: dict[tuple[str, str, str], list[int]] = {}
    for step in found.steps:
        sums = grouped.setdefault((step.stage, step.action, step.table), [0, 0])
        sums[0] += 1
        sums[1] += step.requests
    return context.page(
        "plan.html",
        scope=scope,
        plan=found,
        report=report,
        outcomes=rows(report) if report else [],
        exceptions=exceptions(report)[:_REASONS] if report else [],
        begun=report is None and has_begun(store.files, found.id),
        applying=_known_applying(context, found) if report is None or not report.verified else None,
        grouped=grouped,
        steps=PlanRows(store, found, _live_store(context, found), name).rows(writing[offset : offset + _STEPS]),
        deleting=sum(step.action == "delete" for step in found.steps),
        by_person=sum(step.delegated for step in found.steps),
        returning=len(found.steps) - len(writing),
        shown=Shown(offset, _STEPS, len(writing), context.request.url),
        refusals=_refusals(found.refusals, lambda ids: name(store, found.point, ids)),
        kinds=Counter(refusal.kind for refusal in found.refusals),
        older=older_text(found.older),
        chosen=found.selection != RestoreSelection(),
        options=found.options != RestoreOptions(),
        asking=approval_scopes(context.state.project(), found),
        made=made_by(store, found),
        approved=approved_by(store, found),
    )


def _name_finder(context: RequestContext) -> NameFinder:
    """Finds names in the recovery points that the processes for pages keep open."""

    def find(store: ScopeStore, point: str, ids: Collection[str]) -> Mapping[str, str]:
        if store.scope not in context.project.scopes:
            return names_at(store, point, ids)
        found = context.ask("called", store.scope, point=point, texts=sorted(ids))
        return {text: name for text, (_, _, name) in found.items()}

    return find


def _live_store(context: RequestContext, plan: RestorePlan) -> ScopeStore:
    """The store that shows the tenant written to; a scope that is none of the project's is beside the source."""
    if plan.live_scope in context.project.scopes:
        return context.state.store(plan.live_scope)
    return ScopeStore(context.store().files, plan.live_scope, context.state.clock)


def _refusals(
    refusals: tuple[PlanRefusal, ...], find: Callable[[Collection[str]], Mapping[str, str]]
) -> list[dict[str, Any]]:
    """What the plan does not do: a row per type and reason; `find` names the objects that the plan has no names of."""
    grouped: dict[tuple[str, str, str, str], list[PlanRefusal]] = {}
    for refusal in refusals:
        key = (refusal.kind, refusal.table, refusal.reason, refusal.remedy)
        grouped.setdefault(key, []).append(refusal)
    told = list(grouped.items())[:_REASONS]
    nameless = {one.id for _, some in told for one in some[:_NAMED] if one.id and one.name in ("", one.id)}
    called = find(nameless) if nameless else {}
    return [
        {
            "kind": kind,
            "table": table,
            "reason": reason,
            "remedy": remedy,
            "names": ", ".join(called.get(one.id) or one.name or one.id or "all" for one in some[:_NAMED])
            + (f" and {len(some) - _NAMED:,} more" if len(some) > _NAMED else ""),
        }
        for (kind, table, reason, remedy), some in told
    ]


def apply(context: RequestContext) -> Response:
    """Has a plan carried out, once: a second time shows the first."""
    scope, found = context.scope(), _plan(context)
    with context.state.launching:
        if (report := applied(context.store(), found.id)) is not None:
            text = f"This plan was applied already, {ago(report.finished)}. Its outcome is below."
            return context.go(address("scopes", found.scope, "restores", found.id), text)
        try:
            require_approval(context.state.project(), context.store(), found)
        except UsageError:
            _record(context, "restore", found, "refused")
            raise
        if (first := _applying(context, found)) is not None:
            return context.go(address("jobs", first.id), "This plan is being applied already. This is its job.")
        config = {"scope": scope.name, "plan_id": found.id, "dry_run": False, "go_on": bool(context.field("go_on"))}
        tags = {**run_tags(scope), PLAN_TAG: found.id, DRY_RUN_TAG: "false"}
        run = context.state.dagster.launch("restore", config, operator=context.user, tags=tags)
    _record(context, "restore", found, "started", run=run)
    return context.go(address("jobs", run))


def _applying(context: RequestContext, plan: RestorePlan) -> Run | None:
    """The run that carries a plan out now; None when there is none."""
    filters = {
        "pipelineName": "restore",
        "tags": [{"key": PLAN_TAG, "value": plan.id}],
        "statuses": list(UNDER_WAY),
    }
    try:
        return next(iter(context.state.dagster.runs(limit=1, filters=filters)), None)
    except DagsterAbsent:
        # Nobody listens, so nothing is under way: what is launched waits for Dagster to start.
        return None


def _known_applying(context: RequestContext, plan: RestorePlan) -> Run | None:
    """As `_applying`, for a page that is shown without Dagster as well."""
    try:
        return _applying(context, plan)
    except DagsterUnavailable:
        return None


def consent(context: RequestContext) -> Response:
    """Approves a plan, as another administrator than who made it."""
    found = _plan(context)
    try:
        if context.field("seal") != found.seal:
            raise UsageError("the plan has changed since it was shown", remedy="Reload the page.")
        if any(one not in context.project.scopes for one in approval_scopes(context.state.project(), found)):
            raise UsageError(
                "you are not an administrator of every scope that asks for approval of this plan",
                remedy="Have it approved by somebody who is.",
            )
        approve(context.store(), found, context.user.name, context.user.identity, clock=context.state.clock)
    except UsageError:
        _record(context, "restore approve", found, "refused")
        raise
    _record(context, "restore approve", found, "finished")
    return context.go(address("scopes", found.scope, "restores", found.id), "You have approved this plan.")


def undo(context: RequestContext) -> Response:
    """Has a plan made that takes back what a restore has written: a dry run in Dagster."""
    found = _plan(context)
    scope = context.project.scope(found.live_scope or found.scope)
    config = {"scope": scope.name, "undo": found.id, "dry_run": True}
    return _have_planned(context, scope, config, undoes=found.id)


def _record(context: RequestContext, action: str, plan: RestorePlan, result: str, **details: str) -> None:
    record(
        context.state,
        context.user,
        context.request,
        action=action,
        result=result,
        scope=plan.scope,
        subject=plan.id,
        **details,
        steps=len(plan.steps),
    )


def _plan(context: RequestContext) -> RestorePlan:
    return plan_of(context, context.scope(), context.path("plan"))


def plan_of(context: RequestContext, scope: Scope, identifier: str) -> RestorePlan:
    """A plan of a scope, for who may see the tenant that it writes to as well.

    Raises:
        NotInStore: There is none of this id, it is another scope's, or they may not see it.
    """
    absent = NotInStore(f"there is no plan {identifier[:100]}", remedy="See Restores for the existing ones.")
    if not _ID.fullmatch(identifier):
        raise absent
    try:
        found = read_plan(context.state.store(scope.name), identifier)
    except NotInStore:
        raise absent from None
    visible = context.project
    hidden = visible.partial and (
        found.tenant not in visible.tenants or (found.live_scope or scope.name) not in visible.scopes
    )
    # Plans of all scopes of a storage lie side by side.
    if found.scope != scope.name or hidden:
        raise absent
    return found


PAGES = (
    Page("/restores", show, Role.viewer, area=Area.OWN_SCOPES, label="Restores", place=50, icon="rotate-ccw"),
    Page("/scopes/{scope}/points/{point}/restore", choose, Role.operator, area=Area.SCOPE),
    Page("/scopes/{scope}/points/{point}/restore", plan, Role.operator, ("POST",), area=Area.SCOPE),
    Page("/scopes/{scope}/points/{point}/remove", choose_removal, Role.operator, area=Area.SCOPE),
    Page("/scopes/{scope}/points/{point}/remove", plan_removal, Role.operator, ("POST",), area=Area.SCOPE),
    Page("/scopes/{scope}/restores/{plan}", one, Role.viewer, area=Area.SCOPE),
    Page("/scopes/{scope}/restores/{plan}/apply", apply, Role.operator, ("POST",), area=Area.SCOPE),
    Page("/scopes/{scope}/restores/{plan}/approve", consent, Role.administrator, ("POST",), area=Area.SCOPE),
    Page("/scopes/{scope}/restores/{plan}/undo", undo, Role.operator, ("POST",), area=Area.SCOPE),
)
