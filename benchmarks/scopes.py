"""What many scopes cost Dagster: the start of a run, and the hourly check of freshness.

Processor time is compared, as a machine that does other work disturbs the clock on the wall.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.report import Bound, Section

SCOPES = 300
_PER_SCOPE = 3
_PROJECT = """
[storage.local]
kind = "local"
path = "store"

[tenants.simulated]
simulator = { users = 5, groups = 2 }
"""
_SCOPE = """
[scopes.customer-{number:03}]
tenant = "simulated"
storage = "local"
schedule = "{minute} {hour} * * *"
"""
# What the process of a run does before its first step.
_START = """
import time
from entra_pipeline.definitions import defs
defs.get_job("{job}")
"""
# Three recovery points of a tenant; the check reads manifests, which are the same in every scope but for its name.
_POINTS = """
import time
import msgspec
from entra_pipeline.backup.run import backup
from entra_pipeline.graph.factory import open_graph
from entra_pipeline.project import load_project
from entra_pipeline.project.stores import open_store
from entra_pipeline.runtime import run_async
from entra_pipeline.store.manifest import canonical, seal
project = load_project("dagster_project.toml")
first, *others = project.scopes.values()
store = open_store(project, first.name)
async def take():
    async with open_graph(project.tenants[first.tenant]) as graph:
        for _ in range({points}):
            await backup(first, store, graph)
run_async(take())
manifests = [store.manifest(point) for point in store.points()]
for other in others:
    for manifest in manifests:
        same = seal(msgspec.structs.replace(manifest, scope=other.name))
        key = open_store(project, other.name).manifest_key(manifest.recovery_point)
        store.files.create(key, canonical(same))
"""
_FRESHNESS = """
import time
from assets.freshness import freshness_result
from entra_pipeline.project import load_project
from resources import StorageResource
file = "dagster_project.toml"
project = load_project(file)
started = time.process_time()
for name, store in StorageResource(project_file=file).open_each(project.scopes):
    freshness_result(project, name, store)
"""
_TOLD = """
from benchmarks.ours import peak_memory
print(time.process_time() - {since}, peak_memory())
"""


def measure(folder: Path, scale: float) -> list[Section]:
    """Measures a project of `SCOPES` scopes; see `benchmarks.parts`."""
    scopes = max(2, round(SCOPES * scale))
    folder = write_scopes(folder / f"scopes-{scopes}", scopes)
    jobs = {
        "backup": f"backup_customer_{scopes // 2:03}",
        "freshness": "check_freshness_of_scopes",
        "prune": "prune",
        "from an asset's page": "__ASSET_JOB",
    }
    starts = {name: _run(folder, _START.format(job=job) + _TOLD.format(since=0)) for name, job in jobs.items()}
    empty, _ = _run(folder, _FRESHNESS + _TOLD.format(since="started"))
    _run(folder, _POINTS.format(points=_PER_SCOPE) + _TOLD.format(since=0))
    check, _ = _run(folder, _FRESHNESS + _TOLD.format(since="started"))
    rows = [{"what": f"start of a run: {name}", "cpu": cpu, "memory": mb} for name, (cpu, mb) in starts.items()]
    own = [one for name, one in starts.items() if name != "from an asset's page"]
    return [
        Section(
            f"{scopes} scopes in Dagster",
            "Each protects all object types. A run builds its own part of the definitions.",
            {"what": "what", "cpu": "processor seconds", "memory": "MB"},
            [
                *rows,
                {"what": "check of freshness, no points", "cpu": empty, "memory": ""},
                {"what": f"check of freshness, {_PER_SCOPE} points in each scope", "cpu": check, "memory": ""},
            ],
            [
                Bound("start of a run, processor seconds", max(cpu for cpu, _ in own), 6),
                Bound("start of a run, MB", max(mb for _, mb in own), 300),
                Bound("check of freshness, processor seconds", check, 20),
            ],
        )
    ]


def write_scopes(folder: Path, scopes: int, settings: str = "") -> Path:
    """Writes a project with scopes that protect all object types of a simulated tenant; returns its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    written = [_SCOPE.format(number=number, minute=number % 60, hour=number % 24) for number in range(scopes)]
    (folder / "dagster_project.toml").write_text(settings + _PROJECT + "".join(written))
    return folder


def _run(folder: Path, program: str) -> tuple[float, float]:
    """Runs a program in a process of its own; processor seconds and the most memory in MB, as it tells them."""
    cpu, memory = run_alone(folder, program)[-2:]
    return cpu, memory / 2**20


def run_alone(folder: Path, program: str) -> list[float]:
    """Runs a program in a process of its own, in a project's folder; the numbers that it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"the program failed: {done.stderr[-2000:]}")
    return [float(one) for one in done.stdout.split()]
