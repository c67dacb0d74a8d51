"""Jobs: what runs, what has run, and how it went."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from starlette.responses import Response

from entra_pipeline.console.auditing import record
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.dagster.client import Run
from entra_pipeline.console.editing.saved_filters import SavedFilters
from entra_pipeline.console.monitor.jobs import STATUSES
from entra_pipeline.console.monitor.listing import KINDS, PERIODS, JobFilter, row_of_record
from entra_pipeline.console.monitor.progress import progress_of
from entra_pipeline.console.pages.browse.reports import report_file
from entra_pipeline.console.pages.restores import plan_of
from entra_pipeline.console.reading.reporting import JOB
from entra_pipeline.console.routing import Area, Page, RequestContext, address
from entra_pipeline.errors import NotInStore, UsageError
from entra_pipeline.orchestration.keys import PLAN_TAG

_PAGE = 50
# Lines of a log that are shown: the last ones.
_LINES = 200
_RUN_ID = re.compile(r"[0-9a-f-]{36}")
_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_PERIODS = {
    "day": "Last 24 hours",
    "week": "Last 7 days",
    "month": "Last 30 days",
    "quarter": "Last 3 months",
    "all": "All",
}


def show(context: RequestContext) -> Response:
    """The jobs, newest first."""
    saved = SavedFilters(context.state.preferences, context.person, "jobs")
    return context.page(
        "jobs.html",
        **_listed(context),
        saved=saved,
        query=saved.query(context.request.query_params.multi_items()),
        kinds=[("", "All"), *((one, one) for one in KINDS)],
        statuses=[("", "All"), *((one, one.capitalize()) for one in STATUSES)],
        scopes=[("", "All"), *((name, name) for name in context.project.scopes)],
        periods=list(_PERIODS.items()),
    )


def listed(context: RequestContext) -> Response:
    """The list alone, which the page asks for again and again while a job is under way."""
    return context.page("job_list.html", **_listed(context))


def _listed(context: RequestContext) -> dict[str, Any]:
    """A page of the list, and what was chosen; what is no choice chooses all."""
    period = context.query("period") if context.query("period") in _PERIODS else "week"
    chosen = {
        "kind": context.query("kind") if context.query("kind") in KINDS else "",
        "status": context.query("status") if context.query("status") in STATUSES else "",
        "scope": context.query("scope"),
        "period": period,
    }
    days = PERIODS[period]
    asked = JobFilter(
        chosen["kind"],
        chosen["status"],
        chosen["scope"],
        context.state.clock() - timedelta(days=days) if days else None,
    )
    state, after = context.state, context.query("after")
    page = state.job_list.page(
        asked, context.project.scopes, state.store, limit=_PAGE, after=after, only=context.only is not None
    )
    return {
        "jobs": page.rows,
        "progress": state.progress.of(row.run for row in page.rows),
        "problems": page.problems,
        "more": address("jobs", **chosen, after=page.after) if page.after else "",
        "live": "" if after else address("jobs", "list", **chosen),
        "busy": any(row.status in ("running", "queued") for row in page.rows),
        "chosen": chosen,
    }


def of_scope(context: RequestContext) -> Response:
    """The jobs of a scope: the list, with that scope chosen."""
    return context.go(address("jobs", scope=context.scope().name, period="all"))


def recorded(context: RequestContext) -> Response:
    """A job by its record, which the store keeps whatever started it, with its report; with `format`, its file."""
    scope, job_id = context.scope(), context.path("job")
    found = context.store().jobs.find(job_id) if _JOB_ID.fullmatch(job_id) else None
    if found is None:
        raise NotInStore(f"there is no job {job_id[:100]!r} of scope {scope.name}", remedy="See Jobs.")
    asked = {"name": JOB, "job": found.id, "now": context.state.clock().isoformat(), "scope": scope.name}
    if format_ := context.query("format"):
        return report_file(context, asked, format_, f"{found.type}-{scope.name}-{found.id[:17]}")
    if context.query("part"):
        return context.page("report_tables.html", report=context.ask("report", **asked))
    return context.page(
        "recorded_job.html", record=found, row=row_of_record(found), report=context.ask("report", **asked)
    )


def one(context: RequestContext) -> Response:
    """A run with its log."""
    return context.page("job.html", **_job_values(context))


def progress(context: RequestContext) -> Response:
    """The same without its frame, which the page asks for while the run is under way."""
    values = _job_values(context)
    response = context.page("job_progress.html", **values)
    if values["plan"] is not None and values["job"].planning and context.request.headers.get("hx-request"):
        # Who waits for a plan is shown it as soon as it is there.
        response.headers["HX-Redirect"] = address("scopes", values["plan"].scope, "restores", values["plan"].id)
    return response


def _job_values(context: RequestContext) -> dict[str, Any]:
    run = _run(context)
    log = context.state.dagster.log(run)
    [job] = context.state.jobs([run])
    plan = None
    if run.job == "restore" and not run.under_way and run.tags.get(PLAN_TAG) and run.scope:
        try:
            plan = plan_of(context, context.named_scope(run.scope), run.tags[PLAN_TAG])
        except (NotInStore, UsageError):
            plan = None
    return {
        "job": job,
        "run": run,
        "log": log[-_LINES:],
        "hidden": max(len(log) - _LINES, 0),
        "plan": plan,
        "record": job.record,
        "far": progress_of(log, context.state.clock().timestamp()) if run.under_way else None,
    }


def stop(context: RequestContext) -> Response:
    """Asks a run to stop."""
    run = _run(context)
    context.state.dagster.terminate(run.id)
    record(context.state, context.user, context.request, action="job stop", scope=run.scope, subject=run.id)
    return context.go(address("jobs", run.id), "The job is being stopped. This page says what was done.")


def _run(context: RequestContext) -> Run:
    run_id = context.path("run")
    if not _RUN_ID.fullmatch(run_id):
        raise NotInStore(f"there is no run {run_id}", remedy="See Jobs for the existing ones.")
    run = context.state.dagster.run(run_id)
    if context.only is not None and run.scope not in context.only:
        raise NotInStore(f"there is no run {run_id}", remedy="See Jobs for the existing ones.")
    return run


PAGES = (
    Page("/jobs", show, Role.viewer, area=Area.OWN_SCOPES, label="Jobs", place=60, icon="activity"),
    Page("/jobs/list", listed, Role.viewer, polled=True, area=Area.OWN_SCOPES),
    Page("/jobs/{run}", one, Role.viewer, area=Area.OWN_SCOPES),
    Page("/jobs/{run}/progress", progress, Role.viewer, polled=True, area=Area.OWN_SCOPES),
    Page("/jobs/{run}/stop", stop, Role.operator, ("POST",), area=Area.OWN_SCOPES),
    Page("/scopes/{scope}/jobs", of_scope, Role.viewer, area=Area.SCOPE),
    Page("/scopes/{scope}/jobs/{job}", recorded, Role.viewer, area=Area.SCOPE),
)
