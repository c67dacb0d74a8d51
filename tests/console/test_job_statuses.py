"""One vocabulary for how jobs stand, on every page, and in the filter: Dagster's words are nowhere."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.dagster.client import Run
from entra_pipeline.console.monitor.jobs import STATUSES
from entra_pipeline.project import Project
from entra_pipeline.project.stores import open_store
from entra_pipeline.store.running_jobs import recorded
from tests.console.two_points import Served, _console, backed_up, points, project, served, simulator

__all__ = ["_console", "backed_up", "points", "project", "served", "simulator"]

DAGSTERS_WORDS = {"success", "failure", "canceled", "canceling", "started", "starting", "under way"}
# Letter of a run: its job, Dagster's status, the status of its record, what pages call it, and how they say it stands.
RUNS = {
    "a": ("backup_now_contoso", "success", "finished with exception", "Backup", "finished with exception"),
    "b": ("backup_contoso", "success", "finished", "Backup", "finished"),
    "c": ("restore", "failure", "finished with exception", "Restore", "finished with exception"),
    "d": ("restore", "success", "", "Restore plan", "finished"),
    "e": ("restore", "failure", "", "Restore plan", "failed"),
    "f": ("backup_now_contoso", "canceled", "cancelled", "Backup", "cancelled"),
    "1": ("backup_contoso", "queued", "", "Backup", "queued"),
    "2": ("drill_contoso", "started", "", "Restore drill", "running"),
    "3": ("prune", "canceling", "", "Retention", "running"),
}


def identifier(letter: str) -> str:
    return "-".join(letter * length for length in (8, 4, 4, 4, 12))


@pytest.fixture
def runs(served: Served, project: Project, monkeypatch: pytest.MonkeyPatch) -> dict[str, Run]:
    """Runs of every kind and status, in a Dagster that is not there; those that leave a record have left one."""
    store = open_store(project, "contoso")
    found = {}
    for letter, (job, status, outcome, kind, _) in RUNS.items():
        if outcome:
            recording = recorded(
                store, "restore" if job == "restore" else "backup", trigger="", run_id=identifier(letter)
            )
            with recording as one:
                one.status = outcome
        tags = {"entra/scope": "contoso"} | ({"entra/dry-run": "true"} if kind == "Restore plan" else {})
        ended = None if status in {"queued", "started", "canceling"} else time.time()
        found[letter] = Run(identifier(letter), job, status, time.time(), time.time(), ended, tags)

    def listed(*, filters: dict[str, Any] | None = None, limit: int, after: str = "") -> list[Run]:
        asked = filters or {}
        some = [run for run in found.values() if run.status.upper() in asked.get("statuses", [run.status.upper()])]
        some = [run for run in some if run.job == asked.get("pipelineName", run.job)]
        first = [run.id for run in some].index(after) + 1 if after else 0
        return some[first:][:limit]

    served.site.job_list.clear()
    monkeypatch.setattr(served.site.dagster, "runs", listed)
    monkeypatch.setattr(served.site.dagster, "run", lambda run_id: found[run_id[0]])
    monkeypatch.setattr(served.site.dagster, "log", lambda run: [])
    return found


def badges(page: str) -> list[str]:
    return re.findall(r'<span class="badge \w+">(?:<svg.*?</svg>)?([^<]+)</span>', page)


def test_every_page_says_how_a_job_ended_as_its_record_does(served: Served, runs: dict[str, Run]) -> None:
    with served.client(Role.viewer) as client:
        for path in ("/jobs", "/dashboard/jobs"):
            rows = dict(re.findall(r'href="/jobs/([0-9a-f-]{36})"(.*?)</tr>', client.get(path).text, re.S))
            assert len(rows) >= 8
            for letter, (job, _, _, kind, status) in RUNS.items():
                if (row := rows.get(identifier(letter))) is not None:
                    assert badges(row) == [status], job
                    assert f">{kind}</td>" in row, job
        restores = client.get("/restores").text
        assert "Restore plan" in restores
        shown = [client.get(f"/jobs/{run.id}").text for run in runs.values()]
    for (_, _, _, kind, status), page in zip(RUNS.values(), shown, strict=True):
        assert badges(page)[0] == status and f"<h1>{kind} " in page
    for page in (restores, *shown):
        assert not DAGSTERS_WORDS.intersection(badges(page))
        assert 'class="badge good">finished with exception' not in page
    assert "Stopping" in shown[-1] and "data-ask" not in shown[-1]


@pytest.mark.parametrize("status", STATUSES)
def test_the_filter_has_the_same_words(status: str, served: Served, runs: dict[str, Run]) -> None:
    with served.client(Role.viewer) as client:
        page = client.get("/jobs", params={"status": status}).text
    listed = re.findall(r'href="/jobs/([0-9a-f-]{36})"', page)
    # Every test of the module leaves records of the same runs.
    assert set(listed) == {identifier(letter) for letter, run in RUNS.items() if run[4] == status}
    [select] = re.findall(r'<select id="f-status".*?</select>', page, re.S)
    assert re.findall(r'<option value="([^"]*)"', select) == ["", *STATUSES]
