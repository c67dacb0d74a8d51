"""`python -m benchmarks.machines`: tells the story, and exits with 1 when something is lost, doubled or stuck."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType

from benchmarks.machines.installation import (
    DATABASE_ADDRESS,
    Installation,
    dagster_settings,
    installation,
    left_behind,
    settings,
)
from benchmarks.machines.machine import SETTINGS
from benchmarks.machines.story import Story, say
from benchmarks.machines.world import SECOND, World, world
from benchmarks.soak import findings
from entra_pipeline.audit import AuditLog
from entra_pipeline.backup.run import backup
from entra_pipeline.operations.environment import ProjectEnvironment
from entra_pipeline.project import Project, load_project
from entra_pipeline.project.stores import open_store
from entra_pipeline.runtime import run_async
from entra_pipeline.store.recovery_points import ScopeStore

_JOBS = ("backup", "restore", "prune")
_OLD = (10, 9, 8)
_SETTLING = 900


def main() -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.machines", description=__doc__)
    parser.add_argument("--keep", type=Path, help="an empty folder that keeps what the machines print")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="entra-pipeline-machines-", ignore_cleanup_errors=True) as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
        with world(folder, DATABASE_ADDRESS) as there:
            sys.exit(_lived(folder, there))


def _lived(folder: Path, there: World) -> int:
    """Lets it live; returns the exit code."""
    made = Installation(folder, there)
    os.environ |= made.environment
    project = _outside(folder / "outside", there)
    old = _seed(project)
    with installation(made):
        say("everything runs")
        home = folder / "looking"
        home.mkdir()
        (home / "dagster.yaml").write_text(dagster_settings())
        with dg.DagsterInstance.from_config(str(home)) as instance:
            story = Story(there, made, instance, project)
            story.run()
            wrong = _settled(story, old)
            print("\n".join(findings.tick_table(instance)))
        for name, files in left_behind(made).items():
            print(f"written on {name}: {', '.join(files) or 'nothing'}")
    told = Counter((job["scope"], job["type"], job["status"]) for job in findings.jobs(project.file, _JOBS))
    print(f"jobs: {dict(told)}; mails: {len(there.office.mails)}")
    print("\n".join(wrong) or "all is well")
    return int(bool(wrong))


def _outside(folder: Path, there: World) -> Project:
    """Writes the configuration for somebody who looks from outside."""
    for path, text in settings(there).items():
        file = folder / path.relative_to(SETTINGS)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o600)
    return load_project(folder / "dagster_project.toml")


def _seed(project: Project) -> dict[str, list[str]]:
    """Takes recovery points that are past their retention; returns them by scope."""

    async def taken(name: str, days: int) -> str:
        scope = project.scope(name)
        moment = datetime.now(UTC) - timedelta(days=days)
        store = ScopeStore(open_store(project, name).files, name, lambda: moment)
        async with ProjectEnvironment(project).open_tenant(scope, job="backup") as graph:
            return (await backup(scope, store, graph, full=True)).recovery_point

    return {name: [run_async(taken(name, days)) for days in _OLD] for name in project.scopes}


def _settled(story: Story, old: dict[str, list[str]]) -> list[str]:
    """Returns what is not as it has to be once what was under way has ended; no schedule begins anything meanwhile."""
    for state in story.instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE):
        story.instance.stop_schedule(state.instigator_origin_id, state.selector_id, None)
    end = time.monotonic() + _SETTLING
    wrong = ["not looked yet"]
    while wrong and time.monotonic() < end:
        time.sleep(15)
        wrong = _wrong(story, old)
    return wrong


def _wrong(story: Story, old: dict[str, list[str]]) -> list[str]:
    project, there = story.project, story.there
    found = findings.problems(story.instance, project.file, there.tenants, there.office.mails, _JOBS)
    for name, points in old.items():
        kept = set(points) & set(open_store(project, name).points())
        found += [f"{name}: {point} is past its retention" for point in sorted(kept)]
    first = next(iter(there.tenants))
    users = {one["id"] for one in there.tenants[first].control.dump("users")}
    found += [f"{first}: the user {one} is not there again" for one in story.deleted if one not in users]
    today = datetime.now(UTC).date()
    events = AuditLog(project.storage["backup"].open()).events(today - timedelta(days=1), today)
    approved = [event for event in events if event.action == "restore approve"]
    if [(event.actor, event.result) for event in approved] != [(SECOND, "finished")]:
        found.append(f"{first}: the audit log has {len(approved)} approvals")
    return found


if __name__ == "__main__":
    main()
