"""Jobs: what runs, what has run, and how it went."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.responses import Response

from entra_pipeline.console.auditing import record
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.dagster.client import UNDER_WAY, DagsterUnavailable, Run
from entra_pipeline.console.routing import Page, RequestContext, address
from entra_pipeline.errors import EntraPipelineError, NotInStore, UsageError
from entra_pipeline.restore.records.plans import read_plan
from entra_pipeline.store.job_records import JobRecord

_PAGE = 50
# Lines of a log that are shown: the last ones.
_LINES = 200
_STATUSES = {
    "": "all",
    "UNDER_WAY": "under way",
    "SUCCESS": "success",
    "FAILURE": "failure",
    "CANCELED": "canceled",
}
_RUN_ID = re.compile(r"[0-9a-f-]{36}")


def show(context: RequestContext) -> Response:
    """The runs, newest first."""
    status, scope = context.query("status"), context.query("scope")
    filters: dict[str, Any] = {}
    if status in _STATUSES and status:
        filters["statuses"] = list(UNDER_WAY) if status == "UNDER_WAY" else [status]
    if scope:
        filters["tags"] = [{"key": "entra/scope", "value": scope}]
    after = context.query("after")
    problem: EntraPipelineError | None = None
    runs: list[Run] = []
    try:
        runs = context.state.dagster.runs(
            limit=_PAGE + 1, after=after if _RUN_ID.fullmatch(after) else "", filters=filters
        )
    except DagsterUnavailable as error:
        problem = error
    more = ""
    if len(runs) > _PAGE:
        runs = runs[:_PAGE]
        more = address("jobs", status=status, scope=scope, after=runs[-1].id)
    return context.page(
        "jobs.html",
        runs=runs,
        problem=problem,
        more=more,
        chosen=status,
        scope=scope,
        statuses=list(_STATUSES.items()),
        scopes=[("", "all"), *((name, name) for name in context.project.scopes)],
    )


def records(context: RequestContext) -> Response:
    """The job records of a scope, which the store keeps whatever started the job."""
    found = context.store().jobs.all()[::-1]
    return context.page("records.html", scope=context.scope(), records=found[:_PAGE], total=len(found))


def one(context: RequestContext) -> Response:
    """A run with its log."""
    return context.page("job.html", **_job_values(context))


def progress(context: RequestContext) -> Response:
    """The same without its frame, which the page asks for while the run is under way."""
    return context.page("job_progress.html", **_job_values(context))


def _job_values(context: RequestContext) -> dict[str, Any]:
    run = _run(context)
    log = context.state.dagster.log(run)
    record = _record_of(context, run)
    plan = None
    if run.job == "restore" and not run.under_way and run.tags.get("entra/plan") and run.scope:
        try:
            plan = read_plan(context.state.store(run.scope), run.tags["entra/plan"])
        except (NotInStore, UsageError):
            plan = None
    return {"run": run, "log": log[-_LINES:], "hidden": max(len(log) - _LINES, 0), "plan": plan, "record": record}


def _record_of(context: RequestContext, run: Run) -> JobRecord | None:
    """The record that a run has left in the store of its scope; None while there is none."""
    if run.under_way or run.scope not in context.project.scopes:
        return None
    first = datetime.fromtimestamp(run.created, UTC) - timedelta(minutes=1)
    try:
        records = context.state.store(run.scope).jobs.between(first, context.state.clock() + timedelta(days=1))
    except EntraPipelineError:
        # The log is shown all the same.
        return None
    return next((one for one in records if one.run_id == run.id), None)


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
    return context.state.dagster.run(run_id)


PAGES = (
    Page("/jobs", show, Role.viewer, label="Jobs", place=60),
    Page("/jobs/{run}", one, Role.viewer),
    Page("/jobs/{run}/progress", progress, Role.viewer, polled=True),
    Page("/jobs/{run}/stop", stop, Role.operator, ("POST",)),
    Page("/scopes/{scope}/jobs", records, Role.viewer),
)
