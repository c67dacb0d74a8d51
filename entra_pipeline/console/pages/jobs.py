"""Jobs: what runs, what has run, and how it went."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from entra_pipeline.console.auditing import record
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.dagster.client import DagsterUnavailable, Run
from entra_pipeline.console.monitor.jobs import STATUSES, MonitoredJob, dagsters_statuses
from entra_pipeline.console.routing import Page, RequestContext, address
from entra_pipeline.errors import EntraPipelineError, NotInStore, UsageError
from entra_pipeline.orchestration.keys import PLAN_TAG
from entra_pipeline.restore.records.plans import read_plan
from entra_pipeline.run_queue import SCOPE_TAG

_PAGE = 50
# Lines of a log that are shown: the last ones.
_LINES = 200
# Pages of runs that are looked through for one page of jobs of a status.
_LOOKED_THROUGH = 5
_RUN_ID = re.compile(r"[0-9a-f-]{36}")


def show(context: RequestContext) -> Response:
    """The jobs, newest first."""
    status, scope = context.query("status"), context.query("scope")
    filters: dict[str, Any] = {}
    if statuses := dagsters_statuses(status):
        filters["statuses"] = statuses
    if scope:
        filters["tags"] = [{"key": SCOPE_TAG, "value": scope}]
    after = context.query("after")
    problem: EntraPipelineError | None = None
    jobs: list[MonitoredJob] = []
    last = ""
    try:
        jobs, last = _page(context, filters, status if statuses else "", after if _RUN_ID.fullmatch(after) else "")
    except DagsterUnavailable as error:
        problem = error
    return context.page(
        "jobs.html",
        jobs=jobs,
        problem=problem,
        more=address("jobs", status=status, scope=scope, after=last) if last else "",
        chosen=status,
        scope=scope,
        statuses=[("", "All"), *((one, one.capitalize()) for one in STATUSES)],
        scopes=[("", "All"), *((name, name) for name in context.project.scopes)],
    )


def _page(
    context: RequestContext, filters: Mapping[str, Any], status: str, after: str
) -> tuple[list[MonitoredJob], str]:
    """A page of jobs of a status, and the run after which the next one begins; empty at the end.

    Dagster does not tell what finished with exception from what else came to its end, or failed: the records do.
    """
    found: list[MonitoredJob] = []
    for _ in range(_LOOKED_THROUGH):
        runs = context.state.dagster.runs(limit=_PAGE + 1, after=after, filters=filters)
        for job in context.state.jobs(runs[:_PAGE]):
            after = job.run.id
            found += [job] if status in ("", job.status) else []
            if len(found) == _PAGE:
                return found, after if len(runs) > _PAGE or job.run is not runs[-1] else ""
        if len(runs) <= _PAGE:
            return found, ""
    return found, after


def records(context: RequestContext) -> Response:
    """The job records of a scope, which the store keeps whatever started the job."""
    found = context.store().jobs.all()[::-1]
    return context.page("records.html", scope=context.scope(), records=found[:_PAGE], total=len(found))


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
            plan = read_plan(context.state.store(run.scope), run.tags[PLAN_TAG])
        except (NotInStore, UsageError):
            plan = None
    return {
        "job": job,
        "run": run,
        "log": log[-_LINES:],
        "hidden": max(len(log) - _LINES, 0),
        "plan": plan,
        "record": job.record,
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
    return context.state.dagster.run(run_id)


PAGES = (
    Page("/jobs", show, Role.viewer, label="Jobs", place=60),
    Page("/jobs/{run}", one, Role.viewer),
    Page("/jobs/{run}/progress", progress, Role.viewer, polled=True),
    Page("/jobs/{run}/stop", stop, Role.operator, ("POST",)),
    Page("/scopes/{scope}/jobs", records, Role.viewer),
)
