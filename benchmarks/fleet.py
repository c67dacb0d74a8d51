"""What thousands of tenants cost in the layout `fleet`: the code location, a tick of the due list, a compressed day.

The day is the due list's own, tick by tick, with runs that take the time that they were measured to take: what is found
is how many points are late, and whether tenants that misbehave make others late.
"""

from __future__ import annotations

import heapq
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic, process_time
from typing import NamedTuple

import msgspec

from benchmarks.report import Bound, Section
from benchmarks.scopes import run_alone, write_scopes
from entra_pipeline.operations.due_list import OF_THE_SLOW, DueList, DueRun, DueState, EndedRun, Why
from entra_pipeline.project import Scope

TENANTS = 2_000
LOCATION = 300
_PLACES = 8
"""Runs at a time: `max_concurrent_runs` of the shipped dagster.yaml."""
_QUEUED = 32
_TICK, _DEQUEUE = timedelta(seconds=30), timedelta(seconds=5)
_SPREAD = timedelta(hours=3)
_LATE = timedelta(minutes=10)
_LARGE = timedelta(minutes=35)
"""A run of the tenant with 200,000 users."""
_PATIENCE = timedelta(minutes=15)
"""A run of the tenant that answers 429 for ever: the patience of `entra_pipeline.graph.retry`."""
# A backup of a small tenant as Dagster runs it, in a process of its own: the second one, which reads what has changed.
_RUN = """
import os, time
os.environ["DAGSTER_HOME"] = os.path.abspath("dagster")
os.makedirs("dagster", exist_ok=True)
import dagster as dg
from entra_pipeline.definitions import defs
job = defs.get_job("backup_fleet")
with dg.DagsterInstance.get() as instance:
    instance.add_dynamic_partitions("fleet_scopes", ["customer-000"])
    result = job.execute_in_process(instance=instance, partition_key="customer-000")
assert result.success
print(time.process_time())
"""
# What Dagster's servers do with a code location.
_LOAD = """
import time
from entra_pipeline.definitions import defs
from benchmarks.ours import peak_memory
defs.load_all_definitions()
print(len(defs.assets_defs_by_key), time.process_time(), peak_memory() / 2**20)
"""
_BAD, _BIG = "tenant-0000", "tenant-0001"
_BEGIN = datetime(2026, 11, 23, tzinfo=UTC)


class Day(NamedTuple):
    """What a day came to.

    Attributes:
        taken: Points that were taken by schedule.
        late: Those that began later than ten minutes after they were due, of others than the bad tenant.
        longest: The longest time that one of them waited.
        ticks: Ticks of the due list.
        seconds: Processor seconds of each tick, on average.
        worst: Processor seconds of the longest tick.
        kept: Bytes that a tick leaves to the next one, at the most.
        missed: Points of other tenants that were due and never taken.
    """

    taken: int
    late: int
    longest: timedelta
    ticks: int
    seconds: float
    worst: float
    kept: int
    missed: int


def scopes_of(tenants: int) -> dict[str, Scope]:
    """Makes scopes that all have the same schedule: four points a day."""
    names = [f"tenant-{number:04}" for number in range(tenants)]
    return {name: Scope(name=name, tenant=name, storage="s3", schedule="0 */6 * * *") for name in names}


def day(tenants: int, small: timedelta) -> Day:
    """Lives through a day: a tick every 30 seconds, and every 5 seconds a look at the queue.

    Args:
        tenants: How many there are.
        small: How long a run of a small tenant takes, the start of its process included.
    """
    takes = {_BAD: _PATIENCE, _BIG: _LARGE}
    scopes = scopes_of(tenants)
    due = DueList(scopes, _SPREAD, _QUEUED)
    state: DueState | None = DueState(_BEGIN - timedelta(seconds=1))
    queue: list[DueRun] = []
    running: list[tuple[datetime, str, bool]] = []
    ended: list[EndedRun] = []
    waits: list[timedelta] = []
    taken: Counter[str] = Counter()
    costs: list[float] = []
    kept = 0
    now = _BEGIN
    while now < _BEGIN + timedelta(days=1):
        while running and running[0][0] <= now:
            at, name, _ = heapq.heappop(running)
            again = Why.REPAIR if name == _BAD else None
            ended.append(EndedRun(f"{name} {at}", name, at, again))
        if not (now - _BEGIN) % _TICK:
            started = process_time()
            under_way = [run.scope.name for run in queue] + [name for _, name, _ in running]
            found = due.look(state, now, known=scopes.keys(), under_way=under_way, ended=ended)
            state = msgspec.json.decode(encoded := msgspec.json.encode(found.state), type=DueState)
            costs.append(process_time() - started)
            kept, ended = max(kept, len(encoded)), []
            queue += found.runs
        for run in _places(queue, running):
            if run.scope.name != _BAD:
                waits.append(now - run.due.since)
            taken[run.scope.name] += 1
            heapq.heappush(running, (now + takes.get(run.scope.name, small), run.scope.name, run.slow))
        now += _DEQUEUE
    late = [wait for wait in waits if wait > _LATE]
    missed = sum(max(0, 4 - taken[name]) for name in scopes if name != _BAD)
    return Day(len(waits), len(late), max(waits), len(costs), sum(costs) / len(costs), max(costs), kept, missed)


def _places(queue: list[DueRun], running: list[tuple[datetime, str, bool]]) -> Iterator[DueRun]:
    """Takes runs out of the queue, the first one first, as Dagster's queue does: within its limits."""
    for run in list(queue):
        if len(running) >= _PLACES:
            return
        if run.slow and sum(slow for _, _, slow in running) >= OF_THE_SLOW:
            continue
        queue.remove(run)
        yield run


def tick_memory(tenants: int) -> float:
    """Measures the memory of a tick at which all tenants are due, in MB."""
    scopes = scopes_of(tenants)
    tracemalloc.start()
    DueList(scopes, _SPREAD, _QUEUED).look(
        DueState(_BEGIN - timedelta(hours=6)), _BEGIN + timedelta(hours=2), known=scopes.keys(), under_way=()
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / 2**20


def measure(folder: Path, scale: float) -> list[Section]:
    """Measures a code location of 300 scopes and a day of 2,000 tenants; see `benchmarks.parts`."""
    tenants, located = max(10, round(TENANTS * scale)), max(2, round(LOCATION * scale))
    project = write_scopes(folder / f"fleet-{located}", located, '[dagster]\nlayout = "fleet"\n')
    assets, seconds, megabytes = run_alone(project, _LOAD)
    run_alone(project, _RUN)
    started = monotonic()
    [run] = run_alone(project, _RUN)
    wall = monotonic() - started
    lived = day(tenants, timedelta(seconds=wall))
    memory = tick_memory(tenants)
    minutes = timedelta(minutes=1)
    return [
        Section(
            f"{located} scopes in a code location, layout fleet",
            "A process that loads all definitions, as Dagster's servers do, its start and imports included; and a run, "
            "in a process of its own, of a tenant with 5 users, of which nothing has changed. The simulated tenant "
            "answers in the same process.",
            {"what": "what", "value": "value"},
            [
                {"what": "load: processor seconds", "value": seconds},
                {"what": "load: MB", "value": megabytes},
                {"what": "assets", "value": int(assets)},
                {"what": "a run: processor seconds", "value": run},
                {"what": "a run: seconds", "value": wall},
            ],
            [
                Bound("load: processor seconds", seconds, 8),
                Bound("load: MB", megabytes, 700),
            ],
        ),
        Section(
            f"A day of {tenants:,} tenants",
            f"The due list, a tick every {_TICK.seconds} seconds for 24 hours. All scopes have the schedule "
            f"`0 */6 * * *`, spread over {_SPREAD // minutes} minutes; {_PLACES} runs at a time. A run takes as long "
            f"as the one above, that of a tenant with 200,000 users {_LARGE // minutes} minutes; one tenant answers "
            f"429 for ever, and its runs fail after {_PATIENCE // minutes} minutes. Runs are counted, not run.",
            {"what": "what", "value": "value"},
            [
                {"what": "recovery points of the other tenants", "value": lived.taken},
                {"what": "begun more than 10 minutes late", "value": lived.late},
                {"what": "longest wait, seconds", "value": lived.longest.total_seconds()},
                {"what": "processor seconds of a tick, on average", "value": lived.seconds},
                {"what": "processor seconds of the longest tick", "value": lived.worst},
                {"what": "memory of a tick at which all are due, MB", "value": memory},
                {"what": "cursor, bytes at most", "value": lived.kept},
            ],
            [
                Bound("share of points more than 10 minutes late", lived.late / max(1, lived.taken), 0.01),
                Bound("points that were due and not taken", float(lived.missed), 0),
                Bound("processor seconds of the longest tick", lived.worst, 2),
                Bound("memory of a tick, MB", memory, 50),
            ],
        ),
    ]
