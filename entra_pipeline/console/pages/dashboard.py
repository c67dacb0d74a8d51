"""The dashboard: how each scope is, and what has run lately."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from entra_pipeline.clock import iso
from entra_pipeline.console.alerts import Alert
from entra_pipeline.console.approving.plans import waiting
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.dagster.client import DagsterAbsent, DagsterUnavailable, Run
from entra_pipeline.console.display.pictures import line, strip
from entra_pipeline.console.monitor.listing import row_of
from entra_pipeline.console.monitor.overview import ScopeDays, scope_days
from entra_pipeline.console.monitor.runs import runs_of
from entra_pipeline.console.rendering import ago, tone
from entra_pipeline.console.routing import Area, Page, RequestContext
from entra_pipeline.errors import EntraPipelineError
from entra_pipeline.project import Scope
from entra_pipeline.project.schedules import next_run
from entra_pipeline.reports.fleet import MISCONFIGURED
from entra_pipeline.reports.health import LATE, MISSING
from entra_pipeline.reports.health import health as standing
from entra_pipeline.reports.rendering.plain import shown
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.points.keys import moment_of

_JOBS = 8
# Restores among which plans that wait for approval are looked for.
_RESTORES = 30
CARDS = 12
"""Scopes whose cards are shown, the worst first."""
_ALERTS = 12
_WORST_FIRST = ("bad", "warn", "good")


@dataclass(frozen=True, slots=True)
class ScopeCard:
    """How a scope is.

    Attributes:
        scope: The scope.
        status: Of its last recovery point; or why there is none to tell of.
        verdict: The same in a sentence.
        tone: `good`, `warn`, `bad`.
        points: How many recovery points there are.
        last: The last one.
        objects: Objects that it holds.
        next: When the schedule is due next, RFC 3339; empty without a schedule.
        good: Key of the last point that is finished without exception; empty when there is none.
        freshness: How old that is against the schedule, as `reports.health` has it; empty when nobody knows.
    """

    scope: Scope
    status: str
    verdict: str
    tone: str
    points: int = 0
    last: Manifest | None = None
    objects: int = 0
    next: str = ""
    good: str = ""
    freshness: str = ""


def health(context: RequestContext, scope: Scope) -> ScopeCard:
    """How a scope is, by its last recovery point and its schedule."""
    now = context.state.clock()
    due = f"{one:%Y-%m-%dT%H:%M:%S%z}" if (one := next_run(scope, now)) else ""
    try:
        store = context.state.store(scope.name)
        found = standing(scope, store, now, lambda point: context.state.manifest(store, point))
    except EntraPipelineError as error:
        return ScopeCard(scope, "unknown", f"{error.message}. {error.remedy}", "bad", next=due)
    last = found.latest
    if last is None:
        return ScopeCard(scope, "never backed up", "nothing can be restored yet", "warn", next=due)
    objects = sum(entry.live for entry in last.tables.values() if entry.kind == "objects")
    gaps = sum(len(entry.gaps) for entry in last.tables.values())
    since = ago(iso(moment_of(found.good))) if found.good else ""
    if found.freshness == MISSING:
        mood, verdict = "bad", f"no complete recovery point since {since}: backups are missing"
    elif found.freshness == LATE:
        mood, verdict = "warn", f"no complete recovery point since {since}: the next one is late"
    elif gaps:
        mood, verdict = "warn", f"incomplete: {gaps} gap{'s' if gaps > 1 else ''}"
    else:
        mood, verdict = "good", "complete and verified"
    return ScopeCard(
        scope, last.status, verdict, mood, found.points, last, objects, due, good=found.good, freshness=found.freshness
    )


def recent(context: RequestContext) -> dict[str, Any]:
    """The last jobs; or why they cannot be told."""
    try:
        runs: list[Run] = runs_of(context.state.dagster, context.only, limit=_JOBS)
    except DagsterUnavailable as error:
        return {"jobs": [], "progress": {}, "problem": error, "absent": isinstance(error, DagsterAbsent), "busy": True}
    return {
        "jobs": [row_of(job) for job in context.state.jobs(runs)],
        "progress": context.state.progress.of(runs),
        "problem": None,
        "absent": False,
        "busy": any(run.under_way for run in runs),
    }


def show(context: RequestContext) -> Response:
    """The dashboard: what needs attention, then the scopes, the worst first."""
    healths = _healths(context)
    return context.page("dashboard.html", healths=healths, shown=healths[:CARDS], **recent(context))


def _healths(context: RequestContext) -> list[ScopeCard]:
    found = [health(context, scope) for scope in context.project.scopes.values()]
    return sorted(found, key=lambda one: _WORST_FIRST.index(one.tone))


def days(context: RequestContext) -> Response:
    """How the scopes of the dashboard went in the last two weeks; it asks for it when it is there itself."""
    state, now = context.state, context.state.clock()
    shown = [one.scope for one in _healths(context)[:CARDS] if one.last]
    found = scope_days(
        shown, lambda name, since: state.job_list.records_since(state.store(name), since), state.store, now
    )
    return context.page(
        "scope_days.html",
        found=found,
        strip=lambda one: strip([(day, status, tone(status)) for day, status in one.days]),
        line=lambda one: line(one.objects, f"Objects in the last two weeks: {_first(one):,} to {_last(one):,}"),
        first=_first,
        last=_last,
    )


def _first(one: ScopeDays) -> int:
    """Objects on the first day of which they are known."""
    return next((number for number in one.objects if number is not None), 0)


def _last(one: ScopeDays) -> int:
    return next((number for number in reversed(one.objects) if number is not None), 0)


def jobs(context: RequestContext) -> Response:
    """The last jobs alone, which the dashboard asks for again and again."""
    return context.page("recent_jobs.html", **recent(context))


def attention(context: RequestContext) -> Response:
    """What wants attention, and the seats; the dashboard asks for it when it is there itself."""
    found = context.ask("attention", now=context.state.clock().isoformat())
    return context.page(
        "attention.html",
        alerts=_without_repeats(
            [
                *_misconfigured(context),
                *_waiting(context),
                *(Alert(**one) for one in found["alerts"]),
                *_unwell(context),
            ]
        ),
        most=_ALERTS,
        seats=found["seats"],
        shown=shown,
        problem=found["problem"],
    )


def _misconfigured(context: RequestContext) -> list[Alert]:
    """What is wrong in files of `scopes.d`, whose scopes are not backed up."""
    return [
        Alert(", ".join(one.scopes) or one.file.name, MISCONFIGURED, f"{one.error.message}. {one.error.remedy}")
        for one in context.project.problems
    ]


def _unwell(context: RequestContext) -> list[Alert]:
    """The scopes whose backups are late, missing or incomplete, or that were never backed up."""
    words = {LATE: "late backup", MISSING: "missing backup"}
    return [
        Alert(
            one.scope.name,
            words.get(one.freshness, one.status),
            f"{one.verdict[:1].upper()}{one.verdict[1:]}.",
            point=one.last.recovery_point if one.last and one.freshness not in words else "",
        )
        for one in _healths(context)
        if one.tone != "good"
    ]


def _without_repeats(found: list[Alert]) -> list[Alert]:
    """Leaves out what has been said of a scope before: a store that cannot be read fails everything."""
    unread = {one.scope for one in found if one.what == "not known"}
    return [one for one in found if one.what != "unknown" or one.scope not in unread]


def _waiting(context: RequestContext) -> list[Alert]:
    """The plans that a second administrator has to look at."""
    dagster, only, restores = context.state.dagster, context.only, {"pipelineName": "restore"}
    try:
        found = waiting(
            context.state, context.project, lambda: runs_of(dagster, only, limit=_RESTORES, filters=restores)
        )
    except DagsterUnavailable:
        # The page says so beside its jobs.
        return []
    return [
        Alert(
            one.scope,
            "waits for approval",
            f"A restore that {one.by or 'somebody'} planned is waiting for approval by another administrator.",
            one.moment,
            job=one.plan,
        )
        for one in found
    ]


PAGES = (
    Page("/", show, Role.viewer, area=Area.OWN_SCOPES, label="Dashboard", place=10, icon="layout-dashboard"),
    Page("/dashboard/jobs", jobs, Role.viewer, polled=True, area=Area.OWN_SCOPES),
    Page("/dashboard/days", days, Role.viewer, polled=True, area=Area.OWN_SCOPES),
    Page("/dashboard/attention", attention, Role.viewer, polled=True, area=Area.OWN_SCOPES),
)
